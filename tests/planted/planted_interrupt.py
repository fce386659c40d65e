"""A suite that is interrupted in its second test, as by Ctrl-C."""

import os
import signal
import threading
import unittest

released = threading.Event()

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs with SIGINT ignored


class InterruptTests(unittest.TestCase):
    leak_grace = 0

    def test_1(self):
        threading.Thread(target=released.wait, name="before", daemon=True).start()

    def test_2(self):
        threading.Thread(target=released.wait, name="during", daemon=True).start()
        os.kill(os.getpid(), signal.SIGINT)
        released.wait()

    def test_3(self):
        pass


class CaughtTests(unittest.TestCase):
    def test_1(self):
        threading.Thread(target=released.wait, name="during", daemon=True).start()
        os.kill(os.getpid(), signal.SIGINT)

    def test_2(self):
        pass
