"""A suite that fails by itself, and leaks nothing."""

import unittest


class FailTests(unittest.TestCase):
    def test_1(self):
        number = 42
        self.fail("its own")

    def test_2(self):
        pass
