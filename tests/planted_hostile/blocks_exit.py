"""A test leaves a thread that is no daemon and waits until standard input ends: the interpreter waits for it."""

import sys
import threading
import unittest

from leakguard import LeakGuardTestCase


class ExitTests(LeakGuardTestCase):
    leak_grace = 0.05

    def test_leak(self):
        threading.Thread(target=sys.stdin.read, name="reader").start()


if sys.argv[1:] == ["no-stderr"]:
    stderr, sys.stderr = sys.stderr, None
unittest.defaultTestLoader.loadTestsFromTestCase(ExitTests).run(unittest.TestResult())
