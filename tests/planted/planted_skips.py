"""A suite that is skipped."""

import unittest


@unittest.skip("not here")
class SkipTests(unittest.TestCase):
    def test(self):
        pass
