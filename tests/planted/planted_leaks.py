"""A suite of a plain TestCase that leaks: two lines, one of them twice."""

import threading
import unittest

released = threading.Event()


def start(name):
    threading.Thread(target=released.wait, name=name, daemon=True).start()  # often


class LeakTests(unittest.TestCase):
    def test_a(self):
        threading.Thread(target=released.wait, name="seldom", daemon=True).start()

    def test_b(self):
        start("often-1")

    def test_c(self):
        start("often-2")

    def test_d(self):
        pass
