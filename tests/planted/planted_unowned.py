"""A suite during which a thread from before the run starts another one."""

import threading
import unittest

released = threading.Event()
asked, served = threading.Event(), threading.Event()


def serve():
    asked.wait()
    # whom it serves, it cannot tell
    name = "for somebody"
    threading.Thread(target=released.wait, name=name, daemon=True).start()
    served.set()
    released.wait()


threading.Thread(target=serve, name="server", daemon=True).start()


class UnownedTests(unittest.TestCase):
    def test(self):
        asked.set()
        served.wait()

    def test_later(self):
        pass
