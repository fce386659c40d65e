"""A child process that a test leaves, and its clean twin."""

import subprocess
import sys

from plain.base import Case

BLOCKED = [sys.executable, "-c", "input()"]


class ProcessTests(Case):
    def test_clean(self):
        subprocess.run(BLOCKED, input=b"\n", check=True)

    def test_leak(self):
        type(self).child = subprocess.Popen(BLOCKED, stdin=subprocess.PIPE)
