"""A suite whose load_tests() hands out plain TestSuites, with fixtures that leak."""

import threading
import unittest

released = threading.Event()


def start(name):
    threading.Thread(target=released.wait, name=name, daemon=True).start()


def setUpModule():
    start("of the module")


class FirstTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        start("of the class")

    def test_1(self):
        pass

    def test_2(self):
        start("of the test")


class SecondTests(unittest.TestCase):
    def test(self):
        pass


def load_tests(loader, tests, pattern):
    suite = unittest.TestSuite()
    for case in (FirstTests, SecondTests):
        suite.addTest(unittest.TestSuite([loader.loadTestsFromTestCase(case)]))
    return suite
