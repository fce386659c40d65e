"""``python -m leakguard``: unittest's command line, with every test guarded."""

import sys

from leakguard.cli import main

if __name__ == "__main__":
    sys.exit(main())
