"""Threads that a test and a class's fixture leave, and clean twins."""

import threading

from plain.base import Case

released = threading.Event()


def leave(name):
    threading.Thread(target=released.wait, name=name, daemon=True).start()


class ThreadTests(Case):
    def test_clean(self):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()

    def test_leak(self):
        leave("left by a test")


class FixtureTests(Case):
    @classmethod
    def setUpClass(cls):
        leave("left by a fixture")

    def test_clean(self):
        pass
