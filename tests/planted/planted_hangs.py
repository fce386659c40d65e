"""A suite that passes its tests and leaves a thread that keeps the process from exiting until stdin is closed."""

import os
import threading
import unittest

from leakguard import LeakGuardTestCase


def wait():
    os.read(0, 1)


class HangTests(unittest.TestCase):
    leak_grace = 0

    def test(self):
        threading.Thread(target=wait, name="holds-the-process").start()


class GuardedHangTests(LeakGuardTestCase):
    leak_grace = 0

    def test(self):
        threading.Thread(target=wait, name="holds-the-process").start()
