"""A clean suite with fixtures, one of whose tests runs a suite of the same module itself."""

import threading
import unittest

released = threading.Event()
threads = []
is_over = []


def setUpModule():
    if threads:
        return  # the inner suite
    threads.append(threading.Thread(target=released.wait, name="of the module"))
    threads[0].start()


def tearDownModule():
    if not is_over:
        return
    released.set()
    threads[0].join()


class Inner(unittest.TestCase):
    def test(self):
        pass


class OuterTests(unittest.TestCase):
    def test(self):
        result = unittest.TestResult()
        unittest.TestSuite([Inner("test")]).run(result)
        is_over.append(True)
        self.assertEqual(result.errors, [])


def load_tests(loader, tests, pattern):
    return loader.loadTestsFromTestCase(OuterTests)
