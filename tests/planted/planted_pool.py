"""Leave a pool of processes whose worker waits for work, and holds the lock of its queue meanwhile."""

import multiprocessing
import unittest


class Tests(unittest.TestCase):
    def test_1(self):
        type(self).pool = multiprocessing.get_context("fork").Pool(1)
        self.pool.apply(int)

    def test_2(self):
        pass
