"""A suite with the mixin and with guard_module(), to be run with and without the runner."""

import threading
import unittest

from leakguard import LeakGuardTestCase, guard_module

released = threading.Event()


def start(name):
    threading.Thread(target=released.wait, name=name, daemon=True).start()


def setUpModule():
    guard_module()
    start("of the module")


class MixinTests(LeakGuardTestCase):
    leak_ignore = {"thread:tick": "ticks for ever"}

    @classmethod
    def setUpClass(cls):
        start("of the class")

    def test_clean(self):
        pass

    def test_ignored(self):
        start("tick")

    def test_leak(self):
        start("of the test")


class PlainTests(unittest.TestCase):
    def test(self):
        pass
