"""Threads that Python does not know, made without a compiler."""

import ctypes
import os
import sys
import unittest


def need_native():
    """Skip where there are no such threads to be made or seen; on a Linux with ``CI=true`` that is a failure."""
    if sys.platform == "linux" and os.path.isdir("/proc/self/task"):
        return
    if sys.platform == "linux" and os.environ.get("CI") == "true":
        raise AssertionError("/proc must be mounted where CI=true")
    raise unittest.SkipTest("only Linux lists the threads of a process")


class NativeDouble:
    """A thread that runs no Python code and waits until it is ended, in C's own ``sem_wait``."""

    def __init__(self, name=""):
        self._system = ctypes.CDLL(None)
        self._semaphore = ctypes.create_string_buffer(64)
        self._thread = ctypes.c_ulong()
        self._has_ended = False
        self._system.sem_init(self._semaphore, 0, 0)
        failed = self._system.pthread_create(
            ctypes.byref(self._thread), None, self._system.sem_wait, self._semaphore
        )
        assert not failed, "the system made no thread"
        if name:
            self._system.pthread_setname_np(self._thread, name.encode())

    def end(self):
        """Let it end, and wait until it has."""
        if not self._has_ended:
            self._has_ended = True
            self._system.sem_post(self._semaphore)
            self._system.pthread_join(self._thread, None)
