"""Event loops that a test makes, replaces, closes or leaves."""

import asyncio
import contextlib
import contextvars
import functools
import sys
import threading
import unittest
from unittest import mock

from leakguard import LeakGuardAsyncTestCase, check
from tests.doubles import JOIN_SECONDS, BlockedThread
from tests.guarded import PATIENT, place, run_inner, run_inner_async
from tests.suites import BackgroundLoop


async def wait_for_ever():
    """Wait on a future that nobody sets."""
    await asyncio.get_running_loop().create_future()


class LoopTests(unittest.TestCase):
    """Loops of sync tests and of async ones."""

    def test_closed_with_a_task(self):
        """A pending task of a closed loop can run no more: nobody waits for it; it is reported once, and stops no run."""
        kept = []

        def leaks(test):
            loop = asyncio.new_event_loop()
            loop.set_exception_handler(lambda loop, context: None)
            kept.append(loop.create_task(wait_for_ever(), name="x"))
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

        outcome = run_inner(leaks, lambda test: None, grace=PATIENT)
        self.assertEqual([(leak.name, leak.owner) for leak in outcome.leaks], [("x", "inner.Inner.test_0")])
        self.assertEqual((outcome.testsRun, len(outcome.errors)), (2, 0))
        kept[0]._log_destroy_pending = False
        kept.clear()

    def test_stopped_with_a_task(self):
        """A thread may run a loop that has stopped: its task is waited for, and ends."""
        gate, loop, tasks = threading.Event(), asyncio.new_event_loop(), []
        self.addCleanup(loop.close)

        def run():
            gate.wait(JOIN_SECONDS)
            loop.run_until_complete(tasks[0])

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join, JOIN_SECONDS)

        def leaves(test):
            tasks.append(loop.create_task(asyncio.sleep(0)))

        with mock.patch.object(check, "watchers", [lambda line: gate.set()]), mock.patch.object(check, "SAY_AFTER", 0.01):
            outcome = run_inner(leaves, grace=PATIENT)
        self.assertEqual((outcome.leaks, gate.is_set()), ([], True))

    def test_own_loop_closed_by_the_test(self):
        """Where a cleanup closes the test's own loop, the check still looks at threads."""

        def closes(test):
            loop = asyncio.new_event_loop()
            test.addCleanup(loop.close)
            loop.run_until_complete(asyncio.sleep(0))

        self.assertEqual(run_inner(closes).leaks, [])

    def test_done_tasks(self):
        """Done tasks of a loop that stays open are no leak, however many."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        kept = []

        async def many():
            kept.extend(asyncio.ensure_future(asyncio.sleep(0)) for _ in range(50))
            await asyncio.gather(*kept)

        self.assertEqual(run_inner(lambda test: loop.run_until_complete(many())).leaks, [])

    def test_loop_class_of_ones_own(self):
        """The tasks of a loop of the user's own class are seen."""

        class OwnLoop(asyncio.SelectorEventLoop):
            pass

        loop = OwnLoop()
        self.addCleanup(loop.close)

        def leaks(test):
            loop.create_task(wait_for_ever(), name="x")
            loop.run_until_complete(asyncio.sleep(0))

        self.assertEqual(run_inner(leaks, lambda test: None).named(), [("task", "x", "pending")])

    @unittest.skipIf(sys.version_info >= (3, 14), "policies are deprecated from 3.14")
    def test_policy(self):
        """Under an event loop policy of the user's own, async tests run on its loop and are guarded."""
        made = []

        class Policy(asyncio.DefaultEventLoopPolicy):
            def new_event_loop(self):
                made.append(super().new_event_loop())
                return made[-1]

        async def leaks(test):
            asyncio.create_task(wait_for_ever(), name="x")
            test.assertIn(asyncio.get_running_loop(), made)
            await asyncio.sleep(0)

        asyncio.set_event_loop_policy(Policy())
        try:
            outcome = run_inner_async(leaks)
        finally:
            asyncio.set_event_loop_policy(None)
        self.assertEqual((outcome.named(), outcome.counts()), ([("task", "x", "pending")], (1, 0)))

    def test_generator_on_a_loop_left_open(self):
        """An async generator left suspended on an open loop is a leak of the test that began it."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        self.addCleanup(lambda: loop.run_until_complete(loop.shutdown_asyncgens()))
        kept = []

        async def numbers():
            yield 1

        async def begin():
            kept.append(numbers())
            await kept[0].__anext__()

        outcome = run_inner(lambda test: loop.run_until_complete(begin()), lambda test: None)
        self.assertEqual(
            [(leak.state, leak.owner) for leak in outcome.leaks], [("suspended async generator", "inner.Inner.test_0")]
        )

    def test_generator_thrown_away(self):
        """What asyncio makes to close a generator needs a turn more of a loop that has stopped, which is no leak.

        The check does not turn such a loop: whatever else is ready on it would run, too.
        """
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        closed = []

        async def numbers(waits):
            try:
                yield 1
            finally:
                await waits()
                closed.append(1)

        async def throws_away(waits):
            with contextlib.suppress(OSError):
                async for _ in numbers(waits):
                    raise OSError

        def throws(test, turns, waits=wait_for_ever):
            loop.run_until_complete(throws_away(waits))
            for _ in range(turns):
                loop.call_soon(loop.stop)
                loop.run_forever()

        soon = functools.partial(asyncio.sleep, 0)
        self.assertEqual(run_inner(lambda test: throws(test, 0, soon)).leaks, [])
        self.assertEqual(closed, [])
        self.assertEqual(run_inner(lambda test: throws(test, 3, soon)).leaks, [])
        self.assertEqual(closed, [1, 1])
        outcome = run_inner(lambda test: throws(test, 3), lambda test: None)
        (leak,) = outcome.leaks
        self.assertEqual((leak.kind, leak.state, leak.owner), ("task", "pending", "inner.Inner.test_0"))
        self.assertEqual(leak.hint, "aclose() it, or iterate it inside contextlib.aclosing()")
        self.assertIn("numbers", leak.origin)
        loop.run_until_complete(asyncio.sleep(0))

    def test_generator_thrown_away_on_a_closed_loop(self):
        """Where the loop was closed, it will never be closed: that is a leak, with the generator's line."""
        kept = []

        async def numbers():  # begins
            yield 1

        async def throws_away():
            with contextlib.suppress(OSError):
                async for _ in numbers():
                    raise OSError

        def leaks(test):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(throws_away())
            kept.extend(asyncio.all_tasks(loop))
            loop.close()

        outcome = run_inner(leaks)
        (leak,) = outcome.leaks
        self.assertEqual((leak.kind, leak.origin), ("task", place(numbers, "begins")))
        kept.pop()._log_destroy_pending = False

    def test_loop_thread_and_its_task(self):
        """A loop left running in a thread, with a task on it, is two leaks of one test."""
        loops = []

        def leaks(test):
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="loop", daemon=True)
            self.addCleanup(loop.close)
            self.addCleanup(thread.join, JOIN_SECONDS)
            self.addCleanup(loop.call_soon_threadsafe, loop.stop)
            thread.start()
            started = threading.Event()

            async def body():
                started.set()
                await wait_for_ever()

            loops.append(asyncio.run_coroutine_threadsafe(body(), loop))
            started.wait(JOIN_SECONDS)

        outcome = run_inner(leaks, lambda test: None)
        self.assertEqual(sorted(leak.kind for leak in outcome.leaks), ["task", "thread"])
        self.assertEqual({leak.owner for leak in outcome.leaks}, {"inner.Inner.test_0"})
        loops.clear()

    @unittest.skipIf(sys.version_info < (3, 11), "asyncio.Runner is new in 3.11")
    def test_runner_of_the_class(self):
        """What a test leaves on a runner that several tests share is its own: the runner's context is an older one's."""
        runner = asyncio.Runner()
        self.addCleanup(runner.close)
        runner.run(asyncio.sleep(0))  # it keeps the context of this test

        def leaves(thing):
            async def leave():
                if thing == "task":
                    self.kept = asyncio.ensure_future(asyncio.sleep(3600))
                elif thing == "thread":
                    BlockedThread(name="left").start_in(self)

            return lambda test: runner.run(leave())

        for is_debug in (False, True):
            runner.get_loop().set_debug(is_debug)
            outcome = run_inner(leaves(""), leaves("task"), leaves("thread"), leaves(""))
            found = [(leak.kind, leak.owner) for leak in outcome.leaks]
            self.assertEqual(found, [("task", "inner.Inner.test_1"), ("thread", "inner.Inner.test_2")])

    def test_given_to_a_loop_by_a_thread_of_the_test(self):
        """What the coroutine starts on the loop of another thread is of the test, as what the test itself gives to it."""
        background = BackgroundLoop()
        self.addCleanup(background.stop)

        async def connect():
            asyncio.ensure_future(wait_for_ever()).set_name("reader")

        def by_a_thread(test):
            thread = threading.Thread(target=lambda: background.submit(connect()).result(JOIN_SECONDS))
            thread.start()
            thread.join(JOIN_SECONDS)

        for is_debug in (False, True):
            background.loop.set_debug(is_debug)
            outcome = run_inner(lambda test: None, by_a_thread, lambda test: None)
            self.assertEqual([(one.name, one.owner) for one in outcome.leaks], [("reader", "inner.Inner.test_1")])

    def test_context_that_is_kept(self):
        """What is started in the context of an earlier test, or in an empty one, is of the test that starts it."""
        kept = [contextvars.Context()]

        def keeps(test):
            kept.append(contextvars.copy_context())

        def starts(place):
            return lambda test: kept[place].run(BlockedThread(name="left").start_in, self)

        outcome = run_inner(keeps, starts(0), starts(1))
        self.assertEqual([leak.owner for leak in outcome.leaks], ["inner.Inner.test_1", "inner.Inner.test_2"])

    def test_subclass_of_the_async_case(self):
        """Tests of a class that has both sync and async methods are guarded alike."""

        async def asynchronous(test):
            await asyncio.sleep(0)

        outcome = run_inner(lambda test: None, asynchronous, base=LeakGuardAsyncTestCase)
        self.assertEqual((outcome.testsRun, outcome.leaks, outcome.counts()), (2, [], (0, 0)))


if __name__ == "__main__":
    unittest.main()
