"""A suite that starts a thread outside of every test, class and module."""

import threading
import unittest

released = threading.Event()


class Suite(unittest.TestSuite):
    def run(self, result, debug=False):
        threading.Thread(target=released.wait, name="of the run", daemon=True).start()
        return super().run(result, debug)


class RunTests(unittest.TestCase):
    def test(self):
        pass


def load_tests(loader, tests, pattern):
    return Suite(tests)
