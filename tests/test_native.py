"""Threads that Python does not know: made by C code, without a compiler."""

import _thread
import functools
import sys
import threading
import unittest
import warnings
from unittest import mock

from leakguard import _compat, guard
from leakguard.policy import Policy
from leakguard.probes import native
from tests.doubles import BlockedThread
from tests.guarded import PATIENT, run_inner, while_waiting
from tests.natives import NativeDouble, need_native

KIND = {"leak_kinds": ("thread", "native")}
HINT = "stop the library that started it, in a cleanup: it runs no Python code, and no line of Python is known"


class NativeTests(unittest.TestCase):
    """Real threads of C's."""

    maxDiff = None

    def setUp(self):
        need_native()

    def start(self, name="planted"):
        """Start one that a cleanup of the outer test ends."""
        thread = NativeDouble(name)
        self.addCleanup(thread.end)
        return thread

    def test_leak(self):
        """One that is alive when its test ends is a leak, with the system's name for it, and is reported once."""
        outcome = run_inner(lambda test: self.start() and None, lambda test: None, **KIND)
        self.assertEqual(
            outcome.messages,
            [
                "1 leak after test_0 (inner.Inner), waited N s\n"
                "\n"
                "  thread 'planted' (native, alive)\n"
                "    created at  unknown: made where nothing could be noted\n"
                f"    fix         {HINT}\n"
                "\n"
                "To allow one: leak_ignore = {\"thread:planted\": \"why\"}"
            ],
        )

    def test_asked_for(self):
        """Who asks for threads gets those that Python knows; ``all`` finds the others, too."""
        self.assertEqual(run_inner(lambda test: self.start() and None, leak_kinds="thread").leaks, [])
        (leak,) = run_inner(lambda test: self.start() and None, leak_kinds="all").leaks
        self.assertEqual((leak.kind, leak.origin, leak.now_at), ("thread", None, ()))

    def test_clean(self):
        """One that has ended, or was there before, is none; nor is any thread of Python's."""
        self.start("before")

        def knows(test):
            threads = [BlockedThread().start_blocked() for _ in range(3)]
            for thread in threads:
                thread.end()

        outcome = run_inner(lambda test: self.start().end(), knows, **KIND)
        self.assertEqual((outcome.leaks, outcome.counts()), ([], (0, 0)))

    def test_ends_in_time(self):
        """One that ends within the grace is no leak."""
        started = []

        def starts(test):
            started.append(self.start())

        with while_waiting("native", lambda: started[0].end()):
            self.assertEqual(run_inner(starts, **KIND, grace=PATIENT).leaks, [])

    def test_ignored(self):
        """A rule for threads is held against its name."""
        outcome = run_inner(lambda test: self.start() and None, leak_ignore={"thread:plan*": "why"}, **KIND)
        self.assertEqual(outcome.leaks, [])

    def test_raw_threads(self):
        """A raw thread of Python's is known by its own kind, and is not reported a second time as a native one."""
        lock = _thread.allocate_lock()
        lock.acquire()
        self.addCleanup(lock.release)
        start = lambda test: _thread.start_new_thread(lambda: lock.acquire(), ()) and None  # noqa: E731
        outcome = run_inner(start, leak_kinds="native")
        self.assertEqual(outcome.leaks, [])

    def test_many_short_threads(self):
        """Threads of Python's that start or end while it looks are none."""

        def starts(test):
            for _ in range(50):
                _thread.start_new_thread(int, ())
                thread = threading.Thread(target=int)
                thread.start()
                thread.join()

        self.assertEqual(run_inner(*[starts] * 3, leak_kinds="native", grace=PATIENT).leaks, [])

    def test_an_id_that_was_handed_out_again(self):
        """A thread is its id and the time of its start: another one with the same id is new."""
        before = set(_compat.system_threads())  # of libraries that have been imported
        thread = self.start()
        (number,) = set(_compat.system_threads()) - before - set(native._known())
        probe = native.NativeProbe()
        baseline = {**probe.snapshot(), number: "1"}
        self.assertEqual([found.key[0] for found in probe.suspects(baseline)], [number])
        thread.end()
        self.assertEqual(probe.suspects(baseline), [])

    def test_raw_native_ids(self):
        """The ids of raw threads are those that they have themselves."""
        asked, told, lock = _thread.allocate_lock(), [], _thread.allocate_lock()
        asked.acquire()
        lock.acquire()

        def tells():
            told.append(threading.get_native_id())
            asked.release()
            lock.acquire()

        _thread.start_new_thread(tells, ())
        asked.acquire()
        found = _compat.raw_native_ids()
        lock.release()
        self.assertLessEqual({*told, threading.get_native_id()}, set(found))

    def test_one_that_has_ended(self):
        """Nothing can be read of a thread that is gone, and that is no error."""
        self.assertEqual((_compat.system_thread_start(0), _compat.system_thread_name(0)), ("", ""))


class ElsewhereTests(unittest.TestCase):
    """Platforms that do not list the threads of a process."""

    def test_said_once(self):
        """The kind is taken, finds nothing, and that is said once in a process."""
        say = functools.lru_cache(maxsize=None)(guard._say_native.__wrapped__)
        with mock.patch.object(_compat, "HAS_SYSTEM_THREADS", False), mock.patch.object(guard, "_say_native", say):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                probes = [guard.probes_of(Policy(kinds=("native",))) for _ in range(2)]
            self.assertEqual(probes[0][0].snapshot(), {})
        self.assertEqual(
            [str(one.message) for one in caught],
            ["leakguard: this platform does not list the threads of a process: native threads are not looked for"],
        )

    def test_all(self):
        """``all`` is all that the platform has."""
        for platform, expected in (("linux", True), ("darwin", False), ("win32", False)):
            with self.subTest(platform), mock.patch.object(sys, "platform", platform):
                from leakguard.policy import check_options

                self.assertEqual("native" in check_options({"kinds": "all"})["kinds"], expected)


if __name__ == "__main__":
    unittest.main()
