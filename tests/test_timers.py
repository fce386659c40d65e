"""Timers and signal handlers of event loops, on real loops."""

import asyncio
import functools
import signal
import sys
import unittest

from leakguard import LeakGuardTestCase
from tests.guarded import PATIENT, place, run_inner, run_inner_async, while_waiting
from tests.suites import BackgroundLoop

HOUR = 3600.0
TIMER_HINT = "keep the handle that call_later() returns, and cancel() it in a cleanup"
has_loop_signals = unittest.skipIf(sys.platform == "win32", "loops of Windows take no signal handlers")


def tick(*args):
    """What a timer calls."""


class Hub:
    """Something whose method a timer calls."""

    def ping(self):
        """What a timer calls."""


class OwnLoopTests(unittest.TestCase):
    """Timers of the test's own loop, in debug mode and without."""

    maxDiff = None

    def both(self, *functions, **options):
        """Return what comes of the same tests in debug mode and without."""
        return [run_inner_async(*functions, leak_kinds="all", loop_debug=debug, **options) for debug in (True, False)]

    def test_leak(self):
        """A timer that is still pending when its test ends is a leak, with the line that scheduled it."""

        async def leaks(test):
            asyncio.get_running_loop().call_later(HOUR, tick)  # schedules

        for outcome in self.both(leaks):
            self.assertEqual(
                outcome.messages,
                [
                    "1 leak after test_0 (inner.Inner), waited N s\n"
                    "\n"
                    "  timer 'tick' (pending)\n"
                    f"    created at  {place(leaks, 'schedules')}\n"
                    f"    fix         {TIMER_HINT}\n"
                    "\n"
                    "To allow one: leak_ignore = {\"timer:tick\": \"why\"}"
                ],
            )

    def test_call_at(self):
        """The same for one that is scheduled by the clock of the loop."""

        async def leaks(test):
            loop = asyncio.get_running_loop()
            loop.call_at(loop.time() + HOUR, functools.partial(Hub().ping))  # schedules

        for outcome in self.both(leaks):
            self.assertEqual(outcome.named(), [("timer", "Hub.ping", "pending")])
            self.assertEqual(outcome.leaks[0].origin, place(leaks, "schedules"))
            self.assertEqual(outcome.leaks[0].aliases, ("asyncio.events.TimerHandle", "tests.test_timers.Hub.ping"))

    def test_scheduled_by_the_loop_itself(self):
        """Of what a loop was told to schedule, ``call_soon(loop.call_later, ...)``, no line is known, and none is said."""

        async def leaks(test):
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_later, HOUR, tick)
            await asyncio.sleep(0)

        for outcome in self.both(leaks):
            self.assertEqual([(leak.name, leak.origin) for leak in outcome.leaks], [("tick", None)])
        background = BackgroundLoop()
        self.addCleanup(background.stop)
        timers = []

        def by_another_thread(test):
            loop = background.loop
            loop.call_soon_threadsafe(lambda later: timers.append(later(HOUR, tick)), loop.call_later)
            loop.call_soon_threadsafe(loop.call_later, HOUR, tick)
            background.submit(asyncio.sleep(0)).result()

        outcome = run_inner(by_another_thread, leak_kinds="all")
        lines = [leak.origin and leak.origin.rpartition(".")[2] for leak in outcome.leaks]
        self.assertEqual(lines, ["<lambda>", None])

    def test_not_looked_for(self):
        """By default nobody looks for timers."""

        async def leaks(test):
            asyncio.get_running_loop().call_later(HOUR, tick)

        self.assertEqual(run_inner_async(leaks).leaks, [])

    def test_clean(self):
        """One that was cancelled, or has fired, is no leak, nor is what asyncio schedules for a sleep."""

        async def cancels(test):
            asyncio.get_running_loop().call_later(HOUR, tick).cancel()

        async def fires(test):
            fired = asyncio.Event()
            asyncio.get_running_loop().call_later(0, fired.set)
            await fired.wait()

        async def sleeps(test):
            sleeper = asyncio.ensure_future(asyncio.sleep(HOUR))
            await asyncio.sleep(0)
            test.allowLeak(sleeper, "its timer is its own")

        for outcome in self.both(cancels, fires, sleeps):
            self.assertEqual((outcome.leaks, outcome.counts()), ([], (0, 0)))

    def test_fires_in_time(self):
        """One that fires within the grace is no leak."""

        async def schedules(test):
            asyncio.get_running_loop().call_later(0.001, tick)

        for outcome in self.both(schedules, grace=PATIENT):
            self.assertEqual(outcome.leaks, [])

    def test_ignored_and_allowed(self):
        """A rule is held against the function that it calls; one handle may be allowed."""

        async def leaks(test):
            asyncio.get_running_loop().call_later(HOUR, tick)

        async def allows(test):
            test.allowLeak(asyncio.get_running_loop().call_later(HOUR, tick), "why")

        rule = {"timer:tests.test_timers.tick": "why"}
        self.assertEqual(run_inner_async(leaks, leak_kinds="all", leak_ignore=rule).leaks, [])
        self.assertEqual(run_inner_async(allows, leak_kinds="all").leaks, [])

    @has_loop_signals
    def test_signal_handler(self):
        """A signal handler that was left on the loop is a leak; one that was removed is none."""

        async def leaks(test):
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tick)  # adds

        async def removes(test):
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tick)
            asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)

        for outcome in self.both(leaks, removes):
            self.assertEqual(outcome.named(), [("timer", "SIGUSR1", "signal handler")])
            self.assertEqual(outcome.leaks[0].origin, place(leaks, "adds"))
            self.assertEqual(outcome.leaks[0].hint, "loop.remove_signal_handler() in a cleanup")


class SharedLoopTests(unittest.TestCase):
    """Timers of a loop that runs in another thread, or that does not run."""

    def test_each_is_its_own_test_s(self):
        """A timer belongs to the test that had it scheduled, and is cancelled when it was reported."""
        background = BackgroundLoop()
        self.addCleanup(background.stop)
        handles = []

        async def schedule():
            handles.append(asyncio.get_running_loop().call_later(HOUR, tick))

        def leaks(test):
            background.submit(schedule()).result()

        def cancels(test):
            background.submit(schedule()).result()
            background.loop.call_soon_threadsafe(handles[-1].cancel)

        outcome = run_inner(leaks, cancels, lambda test: None, base=LeakGuardTestCase, leak_kinds="all")
        self.assertEqual([(leak.kind, leak.owner) for leak in outcome.leaks], [("timer", "inner.Inner.test_0")])
        background.submit(asyncio.sleep(0)).result()
        self.assertTrue(handles[0].cancelled())

    def test_source_traceback(self):
        """What a loop in debug mode keeps of a handle's creation is as without us: asyncio counts frames."""
        lines = []

        def looks(test):
            loop = asyncio.new_event_loop()
            loop.set_debug(True)  # not yet when it was made
            handle = loop.call_later(HOUR, tick)
            lines.append([frame.name for frame in handle._source_traceback])
            loop.close()

        self.assertEqual(run_inner(looks, leak_kinds=("timer",)).counts(), (0, 0))
        looks(self)
        self.assertEqual([names[-1] for names in lines], ["looks"] * 2)

    def test_reported_once(self):
        """One that nobody can cancel is reported once."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)

        def leaks(test):
            loop.run_until_complete(asyncio.sleep(0))
            loop.call_later(HOUR, tick)

        outcome = run_inner(leaks, lambda test: None, leak_kinds="all")
        self.assertEqual([(leak.kind, leak.owner) for leak in outcome.leaks], [("timer", "inner.Inner.test_0")])

    def test_baseline(self):
        """What was scheduled before the test is no leak of it, nor is anything on a loop that was closed."""
        early = asyncio.new_event_loop()
        early.call_later(HOUR, tick)
        self.addCleanup(early.close)

        def runs(test):
            early.run_until_complete(asyncio.sleep(0))

        def closes(test):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(asyncio.sleep(0))
            loop.call_later(HOUR, tick)
            loop.close()

        with while_waiting("timer", lambda: self.fail("there is nothing to wait for")):
            outcome = run_inner(runs, runs, closes, leak_kinds="all")
        self.assertEqual((outcome.leaks, outcome.counts()), ([], (0, 0)))


if __name__ == "__main__":
    unittest.main()
