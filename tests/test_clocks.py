"""Clocks that a test froze or replaced, at the check and during the wait."""

import asyncio
import datetime
import importlib.util
import time
import unittest
from unittest import mock

from leakguard import _compat
from tests.doubles import BlockedThread
from tests.guarded import PATIENT, run_inner, run_inner_async, while_waiting

CLOCKS = ("monotonic", "perf_counter", "time", "sleep", "monotonic_ns", "perf_counter_ns")


class ClockTests(unittest.TestCase):
    """What holds for a way to freeze the clock: subclasses have one each, begun by `freeze`."""

    def freeze(self):
        """Freeze every clock of `time`, and sleep with them, until the cleanups."""
        for name in CLOCKS:
            patch = mock.patch.object(time, name, return_value=0)
            patch.start()
            self.addCleanup(patch.stop)

    def test_clock_stays_real(self):
        """The guard's own clock goes on, and its pause pauses."""
        before = _compat.clock()
        self.freeze()
        start = _compat.clock()
        _compat.pause(0.02)
        self.assertGreaterEqual(_compat.clock() - start, 0.019)
        self.assertLess(start - before, 3600)

    def test_thread_leak(self):
        """A leaked thread is reported, and the wait ends."""

        def leaks(test):
            self.freeze()
            BlockedThread(name="x").start_in(self)

        self.assertEqual(run_inner(leaks).named(), [("thread", "x", "daemon, alive")])

    def test_task_leak(self):
        """A leaked task is reported, and the wait ends though the loop's clock stands still."""

        async def leaks(test):
            self.freeze()
            kept.append(asyncio.ensure_future(asyncio.get_running_loop().create_future()))
            kept.append(asyncio.create_task(wait_on(kept[0]), name="x"))
            await asyncio.sleep(0)

        async def wait_on(future):
            await future

        kept = []
        self.assertEqual(run_inner_async(leaks).named(), [("task", "x", "pending")])

    def test_ends_in_time(self):
        """What ends within the grace is no leak."""
        threads = []

        def just_ends(test):
            self.freeze()
            threads.append(BlockedThread().start_in(self))

        with while_waiting("thread", lambda: threads[0].release()):
            self.assertEqual(run_inner(just_ends, grace=PATIENT).leaks, [])

    def test_frozen_during_the_wait(self):
        """A clock that is frozen while the guard waits does not hold it."""
        frozen = []

        def freeze_once():
            if not frozen:
                frozen.append(True)
                self.freeze()

        with while_waiting("thread", freeze_once):
            outcome = run_inner(lambda test: BlockedThread(name="x").start_in(self))
        self.assertEqual((outcome.named(), frozen), ([("thread", "x", "daemon, alive")], [True]))


class FreezegunTests(ClockTests):
    """freezegun replaces the clock in every module that has the name."""

    def setUp(self):
        if not importlib.util.find_spec("freezegun"):
            self.skipTest("freezegun is not installed")

    def freeze(self):
        import freezegun

        frozen = freezegun.freeze_time("2001-02-03")
        frozen.start()
        self.addCleanup(frozen.stop)


class TimeMachineTests(ClockTests):
    """time-machine changes the functions of `time` in C: up to its version 2 the monotonic clock too."""

    def setUp(self):
        if not importlib.util.find_spec("time_machine"):
            self.skipTest("time-machine is not installed")

    def freeze(self):
        import time_machine

        traveller = time_machine.travel(datetime.datetime(2001, 2, 3, tzinfo=datetime.timezone.utc), tick=False)
        traveller.start()
        self.addCleanup(traveller.stop)


if __name__ == "__main__":
    unittest.main()
