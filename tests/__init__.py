"""The tests of leakguard, and of its docs."""

import gc
import os


def load_tests(loader, tests, pattern):
    """Discover the tests below, then keep what they imported out of the collections: half of a run's time otherwise."""
    tests.addTests(loader.discover(os.path.dirname(__file__), pattern or "test*.py", os.path.dirname(__file__) + "/.."))
    gc.freeze()
    return tests
