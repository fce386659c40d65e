"""A suite that leaves nothing."""

import threading
import unittest


class CleanTests(unittest.TestCase):
    def test_one(self):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()

    def test_two(self):
        print("printed by test_two")
