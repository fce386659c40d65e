"""Tasks of every loop, and async generators left suspended."""

import asyncio
import contextlib
import gc
import sys
import threading
import unittest
from asyncio import run_coroutine_threadsafe as submit_unseen  # bound before any guard is active: no hook sees it
from unittest import mock

from leakguard import LeakGuard, _compat
from tests.doubles import JOIN_SECONDS, BlockedTask
from tests.guarded import PATIENT, listening, place, run_inner, run_inner_async, while_waiting
from tests.planting import run_planted

kept = []
"""What holds pending tasks: asyncio itself does not, so that a collection may take them at any time."""


def new_event():
    """An event that is kept, and with it the tasks that wait for it."""
    kept.append(asyncio.Event())
    return kept[-1]


async def blocked_body():
    """Wait for ever."""
    await new_event().wait()  # waits


async def stubborn_body(swallows, seen):
    """Swallow a number of cancellations."""
    while True:
        try:
            await new_event().wait()
        except asyncio.CancelledError:
            seen.append(1)
            if len(seen) > swallows:
                raise


async def numbers():
    """Give numbers for ever."""
    while True:
        yield 1  # yields


class LoopThread:
    """An event loop in a thread of its own, ended by the test's cleanups."""

    def __init__(self, test):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="loop", daemon=True)
        self.thread.start()
        test.addCleanup(self.end)

    def submit(self, coroutine):
        """Put a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    async def _cancel_all(self):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def end(self):
        """Cancel all tasks, stop the loop, join the thread."""
        self.submit(self._cancel_all()).result(JOIN_SECONDS)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(JOIN_SECONDS)
        self.loop.close()


class OwnLoopTests(unittest.TestCase):
    """Tasks on the loop of the test."""

    maxDiff = None

    def setUp(self):
        self.addCleanup(kept.clear)

    def test_leak(self):
        """A task that is pending when its test ends fails it, with its line and where it is suspended."""

        async def leaks(test):
            asyncio.create_task(blocked_body(), name="ping-7")  # creates
            await asyncio.sleep(0)

        for loop_debug in (True, False):
            with self.subTest(loop_debug=loop_debug):
                outcome = run_inner_async(leaks, loop_debug=loop_debug)
                self.assertEqual(
                    outcome.messages,
                    [
                        "1 leak after test_0 (inner.Inner), waited N s\n"
                        "\n"
                        "  task 'ping-7' (pending)\n"
                        f"    created at  {place(leaks, 'creates')}\n"
                        f"    now at      {place(blocked_body, 'waits')}, waiting in asyncio.Event.wait\n"
                        "    fix         cancel() it and await it, or own it with asyncio.TaskGroup: "
                        "nobody keeps it, so keep what create_task() returns\n"
                        "\n"
                        "To allow one: leak_ignore = {\"task:ping-*\": \"why\"}"
                    ],
                )
                self.assertEqual(outcome.counts(), (1, 0))

    def test_not_started(self):
        """A task that has not taken its first step when the test ends, and then waits, is a leak."""

        async def leaks(test):
            asyncio.create_task(blocked_body(), name="x")

        self.assertEqual(run_inner_async(leaks).named(), [("task", "x", "pending")])

    def test_clean(self):
        """A task that was cancelled and awaited, and one that is done, are no leak."""

        async def is_clean(test):
            task = BlockedTask()
            await task.end()
            cancelled = asyncio.create_task(blocked_body())
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.gather(cancelled, return_exceptions=True)

        self.assertEqual(run_inner_async(is_clean).leaks, [])

    def test_ends_in_time(self):
        """A task that ends within the grace is no leak: the test's loop turns meanwhile."""

        async def just_ends(test):
            async def short():
                for _ in range(30):
                    await asyncio.sleep(0)

            asyncio.create_task(short())

        self.assertEqual(run_inner_async(just_ends, grace=PATIENT).leaks, [])

    def test_cancelled_in_time(self):
        """A task whose cancellation was asked for, and not awaited, is no leak."""

        async def cancels(test):
            task = asyncio.create_task(blocked_body())
            await asyncio.sleep(0)
            task.cancel()

        self.assertEqual(run_inner_async(cancels, grace=PATIENT).leaks, [])

    def test_swallows_cancellation(self):
        """One that swallows its cancellation, once or for ever, is reported and does not hold up the run."""
        for swallows in (1, 2, 10**9):
            seen = []

            async def leaks(test):
                asyncio.create_task(stubborn_body(swallows, seen), name="stubborn")
                await asyncio.sleep(0)

            async def is_clean(test):
                pass

            with self.subTest(swallows=swallows):
                outcome = run_inner_async(leaks, is_clean)
                gc.collect()
                self.assertEqual((outcome.testsRun, outcome.counts()), (2, (1, 0)))
                self.assertEqual(outcome.named(), [("task", "stubborn", "pending")])
                self.assertNotIn("Task was destroyed", outcome.stderr)
                self.assertGreaterEqual(len(seen), min(swallows, 2))

    def test_successor_of_a_cancelled_one(self):
        """A task that is made when the leaked one is cancelled, and that swallows cancellation, does not hold up the run."""

        async def leaks(test):
            async def stubborn():
                while True:
                    try:
                        await asyncio.sleep(3600)
                    except asyncio.CancelledError:
                        pass

            async def supervise():
                try:
                    await asyncio.sleep(3600)
                finally:
                    kept.append(asyncio.ensure_future(stubborn()))

            kept.append(asyncio.ensure_future(supervise()))
            await asyncio.sleep(0)

        kept = []
        outcome = run_inner_async(leaks, lambda test: None)
        self.assertEqual((outcome.counts(), len(kept)), ((1, 0), 2))

    def test_nothing_said_of_destroyed_tasks(self):
        """asyncio says nothing of a task that the guard took out of its loop."""
        messages = []

        async def leaks(test):
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: messages.append(context["message"]))
            asyncio.create_task(stubborn_body(10**9, []))
            await asyncio.sleep(0)

        run_inner_async(leaks)
        gc.collect()
        self.assertEqual(messages, [])

    def test_ignored(self):
        """A rule is held against the name, the coroutine function and the line."""

        async def leaks(test):
            asyncio.create_task(blocked_body(), name="ping-7")
            await asyncio.sleep(0)

        for rule in ("task:ping-*", "task:tests.test_tasks.blocked_body", "task:*@tests/test_tasks.py"):
            with self.subTest(rule=rule):
                self.assertEqual(run_inner_async(leaks, leak_ignore={rule: "why"}).leaks, [])

    def test_allowed(self):
        """A task that the test allows is no leak."""

        async def shares(test):
            test.allowLeak(asyncio.create_task(blocked_body(), name="x"), "shared")

        outcome = run_inner_async(shares)
        self.assertEqual((outcome.leaks, outcome.logged), ([], [("INFO", "leakguard: task 'x' is allowed: shared")]))

    def test_reported_once(self):
        """A leak is reported at its own test; the next one has a loop of its own and is clean."""

        async def leaks(test):
            asyncio.create_task(stubborn_body(10**9, []))
            await asyncio.sleep(0)

        async def is_clean(test):
            pass

        outcome = run_inner_async(leaks, is_clean)
        self.assertEqual([leak.owner for leak in outcome.leaks], ["inner.Inner.test_0"])

    def test_custom_task_factory(self):
        """A loop with a task factory keeps it, and its tasks are seen."""
        made = []

        class OwnTask(asyncio.Task):
            pass

        def factory(loop, coroutine, **kwargs):
            made.append(OwnTask(coroutine, loop=loop, **kwargs))
            return made[-1]

        async def leaks(test):
            asyncio.get_running_loop().set_task_factory(factory)
            asyncio.create_task(blocked_body(), name="x")  # creates
            await asyncio.sleep(0)

        (leak,) = run_inner_async(leaks).leaks
        self.assertEqual(leak.origin, place(leaks, "creates"))
        self.assertEqual(leak.aliases[0], f"tests.test_tasks.{OwnTask.__qualname__}")
        made.clear()

    @unittest.skipUnless(sys.version_info >= (3, 12), "eager tasks are of 3.12")
    def test_eager(self):
        """An eager task that blocks is a leak; one that ran through at once is none."""

        async def at_once():
            pass

        async def leaks(test):
            loop = asyncio.get_running_loop()
            loop.set_task_factory(asyncio.eager_task_factory)
            loop.create_task(at_once())
            loop.create_task(blocked_body(), name="eager")  # creates

        (leak,) = run_inner_async(leaks).leaks
        self.assertEqual((leak.name, leak.origin), ("eager", place(leaks, "creates")))

    @unittest.skipUnless(hasattr(asyncio, "TaskGroup"), "task groups are of 3.11")
    def test_task_group(self):
        """Tasks of a task group that was left are no leak; a task that holds a group open is one, with its own."""

        async def is_clean(test):
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))

        async def hold():
            async with asyncio.TaskGroup() as group:
                group.create_task(blocked_body(), name="member")

        async def leaks(test):
            asyncio.create_task(hold(), name="holder")
            await asyncio.sleep(0)

        outcome = run_inner_async(is_clean, leaks)
        self.assertEqual(sorted(leak.name for leak in outcome.leaks), ["holder", "member"])

    def test_async_generators(self):
        """A generator left suspended is a leak, one that was closed or run through is none."""
        async def leaves(test):
            kept.append(numbers())
            await kept[-1].__anext__()

        async def closes(test):
            generator = numbers()
            await generator.__anext__()
            await generator.aclose()

        outcome = run_inner_async(leaves, closes)
        self.assertEqual(outcome.named(), [("task", "numbers", "suspended async generator")])
        leak = outcome.leaks[0]
        self.assertEqual(leak.owner, "inner.Inner.test_0")
        self.assertEqual(leak.hint, "aclose() it, or iterate it inside contextlib.aclosing()")
        self.assertEqual(leak.place, place(numbers, "yields"))

    def test_generators_that_do_not_close(self):
        """What waits in the ``finally`` of a reported generator holds up no run; what does not is run to its end."""
        ended = []

        async def quick():
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
                ended.append("quick")

        async def slow():
            try:
                yield 1
            finally:
                await new_event().wait()

        async def stubborn():
            try:
                yield 1
            finally:
                while True:
                    try:
                        await new_event().wait()
                    except asyncio.CancelledError:
                        pass

        async def iterate():
            async for _ in stubborn():
                await new_event().wait()

        async def leaves(test):
            for generator in (quick(), slow(), stubborn()):
                kept.append(generator)
                await generator.__anext__()
            asyncio.create_task(iterate(), name="reader")
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        async def is_clean(test):
            ended.append("clean")

        outcome = run_inner_async(leaves, is_clean)
        self.assertEqual(sorted(leak.name.rpartition(".")[2] for leak in outcome.leaks), ["quick", "reader", "slow", "stubborn"])
        self.assertEqual((ended, outcome.counts(), outcome.warned), (["quick", "clean"], (1, 0), []))

    def test_generator_of_a_context(self):
        """A generator that a pending task is inside of, as a context, is that task's affair: allowed or leaked with it."""

        @contextlib.asynccontextmanager
        async def session():
            yield 1

        async def inside():
            async with session():
                await new_event().wait()

        async def inside_a_stack():
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(session())
                await new_event().wait()

        for body in (inside, inside_a_stack):

            async def leaves(test):
                asyncio.create_task(body(), name="reader")
                await asyncio.sleep(0)
                await asyncio.sleep(0)

            with self.subTest(body=body.__name__):
                self.assertEqual(run_inner_async(leaves).named(), [("task", "reader", "pending")])
                self.assertEqual(run_inner_async(leaves, leak_ignore={"task:reader": "why"}).leaks, [])

    def test_generator_of_a_leaked_task(self):
        """A generator that a leaked task iterates is reported once, as the task."""

        async def blocks():
            yield 1
            await new_event().wait()

        async def iterate():
            async for _ in blocks():
                pass

        async def iterate_and_wait():
            async for _ in numbers():
                await new_event().wait()

        for body in (iterate, iterate_and_wait):

            async def leaks(test):
                asyncio.create_task(body(), name="reader")
                await asyncio.sleep(0)
                await asyncio.sleep(0)

            with self.subTest(body=body.__name__):
                self.assertEqual(run_inner_async(leaks).named(), [("task", "reader", "pending")])

    def test_a_thousand(self):
        """A thousand leaked tasks of one line are one entry."""

        async def leaks(test):
            for number in range(1000):
                asyncio.create_task(blocked_body(), name=f"ping-{number}")  # creates

        outcome = run_inner_async(leaks)
        self.assertEqual(
            outcome.messages[0].splitlines()[:4],
            [
                "1000 leaks after test_0 (inner.Inner), waited N s",
                "",
                "  1000 tasks 'ping-0..999' (pending)",
                f"    created at  {place(leaks, 'creates')}",
            ],
        )

    def test_system_exit(self):
        """A leaked task that calls sys.exit when it is cancelled changes nothing but the log."""

        async def exits():
            try:
                await new_event().wait()
            finally:
                sys.exit(3)

        async def leaks(test):
            # up to 3.10 asyncio also says that nobody asked for the task's exception
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
            asyncio.create_task(exits(), name="exits")
            await asyncio.sleep(0)

        async def is_clean(test):
            pass

        outcome = run_inner_async(leaks, is_clean)
        self.assertEqual((outcome.testsRun, outcome.counts()), (2, (1, 0)))
        self.assertIn(
            ("WARNING", "leakguard: a leaked task called sys.exit(3) while it was waited for"), outcome.logged
        )

    def test_sets_up_and_tears_down(self):
        """A task that asyncSetUp made and an async cleanup ends is no leak."""

        async def set_up(test):
            task = asyncio.create_task(blocked_body())

            async def end():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

            test.addAsyncCleanup(end)

        async def is_clean(test):
            pass

        self.assertEqual(run_inner_async(is_clean, asyncSetUp=set_up).leaks, [])


class OtherLoopTests(unittest.TestCase):
    """Tasks on loops that are not the test's."""

    def setUp(self):
        self.addCleanup(kept.clear)

    def test_loop_of_a_thread(self):
        """Work that a test leaves on a loop of another thread is its leak; the loop's own thread is the fixture's."""
        background = LoopThread(self)

        def leaks(test):
            started = threading.Event()

            async def body():
                started.set()
                await new_event().wait()

            background.submit(body())
            started.wait(JOIN_SECONDS)

        outcome = run_inner(leaks, lambda test: background.submit(asyncio.sleep(0)).result(JOIN_SECONDS))
        self.assertEqual([(leak.kind, leak.owner) for leak in outcome.leaks], [("task", "inner.Inner.test_0")])

    def test_given_to_a_loop_of_a_thread_just_now(self):
        """Work that its loop has not begun when the test ends is the test's leak: the loop is let turn first."""
        for name in ("hooked", "bound before any hook"):
            with self.subTest(name):
                background, gate = LoopThread(self), threading.Event()

                def opens_the_gate(*arguments, wait=_compat.wait_for_turn):
                    gate.set()
                    wait(*arguments)

                def leaks(test):
                    background.loop.call_soon_threadsafe(gate.wait, JOIN_SECONDS)
                    submit = asyncio.run_coroutine_threadsafe if name == "hooked" else submit_unseen
                    submit(blocked_body(), background.loop)

                with mock.patch.object(_compat, "wait_for_turn", opens_the_gate):
                    outcome = run_inner(leaks, lambda test: None)
                self.assertEqual([(leak.kind, leak.owner) for leak in outcome.leaks], [("task", "inner.Inner.test_0")])

    def test_a_loop_of_a_thread_that_is_blocked(self):
        """A test is not held up for long by a loop that does not turn."""
        background, gate = LoopThread(self), threading.Event()

        def leaks(test):
            background.loop.call_soon_threadsafe(gate.wait, JOIN_SECONDS)
            background.submit(asyncio.sleep(0))

        with mock.patch("leakguard.probes.tasks.TURN_SECONDS", 0.01):
            self.assertEqual(run_inner(leaks).leaks, [])
        gate.set()

    def test_never_told_to_cancel(self):
        """What could not be cancelled, on a loop that is busy or closed, is not said to ignore it."""
        background, gate, loop = LoopThread(self), threading.Event(), asyncio.new_event_loop()

        def busy(test):
            background.submit(blocked_body())
            background.submit(asyncio.sleep(0)).result(JOIN_SECONDS)
            background.loop.call_soon_threadsafe(gate.wait, JOIN_SECONDS)

        def closed(test):
            kept.append(loop.create_task(blocked_body()))
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

        with mock.patch("leakguard.probes.tasks.TURN_SECONDS", 0.01):
            outcome = run_inner(busy, closed)
        gate.set()
        self.assertEqual([(leak.kind, leak.cancels) for leak in outcome.leaks], [("task", 0), ("task", 0)])
        self.assertNotIn("ignores cancellation", [leak.verdict for leak in outcome.leaks])
        kept.clear()

    def test_stubborn_on_a_loop_of_a_thread(self):
        """One that swallows its cancellation there is reported once."""
        background = LoopThread(self)
        released = []

        async def stubborn(started):
            while not released:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    started.set()

        def leaks(test):
            started = threading.Event()

            async def begin():
                asyncio.get_running_loop().create_task(stubborn(started))

            background.submit(begin()).result(JOIN_SECONDS)

        outcome = run_inner(leaks, lambda test: None)
        released.append(True)
        self.assertEqual([leak.owner for leak in outcome.leaks], ["inner.Inner.test_0"])

    def test_ends_in_time_on_a_loop_of_a_thread(self):
        """Work there that ends within the grace is no leak."""
        background, events = LoopThread(self), []

        async def body(started):
            events.append(asyncio.Event())
            started.set()
            await events[0].wait()

        def just_ends(test):
            started = threading.Event()
            background.submit(body(started))
            started.wait(JOIN_SECONDS)

        with while_waiting("task", lambda: background.loop.call_soon_threadsafe(events[0].set)):
            self.assertEqual(run_inner(just_ends, grace=PATIENT).leaks, [])

    def test_asyncio_run(self):
        """A sync test that uses asyncio.run() leaves nothing."""

        async def body():
            asyncio.create_task(blocked_body())
            await asyncio.sleep(0)

        self.assertEqual(run_inner(lambda test: asyncio.run(body())).leaks, [])

    def test_loop_left_open(self):
        """A pending task on a loop that a sync test made and left open is a leak."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)

        def leaks(test):
            loop.create_task(blocked_body(), name="x")
            loop.run_until_complete(asyncio.sleep(0))

        self.assertEqual(run_inner(leaks, lambda test: None).named(), [("task", "x", "pending")])

    def test_async_block(self):
        """`async with LeakGuard()` sees a task of the running loop, and lets one end that only needs turns."""

        async def body():
            guard = LeakGuard(grace=0.05, action="log")
            async with guard:
                task = asyncio.create_task(blocked_body(), name="x")
            first = [leak.name for leak in guard.leaks]
            task.cancel()
            async with LeakGuard(grace=PATIENT):
                asyncio.create_task(asyncio.sleep(0))
            return first

        with listening():
            self.assertEqual(asyncio.run(body()), ["x"])

    def test_imported_inside_a_test(self):
        """A task is seen where asyncio was not imported before the test that leaks it."""
        output, errors, code = run_planted("late_asyncio.py")
        self.assertEqual((output, code), ("False ['left']\n", 0), errors)


class UvloopTests(unittest.TestCase):
    """The same on uvloop, where it is installed."""

    def setUp(self):
        try:
            import uvloop
        except ImportError:
            self.skipTest("uvloop is not installed")
        self.addCleanup(kept.clear)
        self.uvloop = uvloop

    def test_loop_left_open(self):
        """A pending task on an open uvloop is a leak, with its line, and a thread pool that is idle is none."""
        loop = self.uvloop.new_event_loop()
        self.addCleanup(loop.close)
        self.addCleanup(loop.run_until_complete, loop.shutdown_default_executor())

        async def work():
            loop.create_task(blocked_body(), name="x")  # creates
            await loop.run_in_executor(None, int)

        def leaks(test):
            loop.run_until_complete(work())

        (leak,) = run_inner(leaks).leaks
        self.assertEqual((leak.name, leak.origin), ("x", place(work, "creates")))

    @unittest.skipUnless(sys.version_info >= (3, 13), "a loop factory of a test case is of 3.13")
    def test_loop_factory(self):
        """A test case with uvloop as its loop factory is guarded."""

        async def leaks(test):
            asyncio.create_task(stubborn_body(10**9, []), name="x")
            await asyncio.sleep(0)

        async def is_clean(test):
            pass

        outcome = run_inner_async(leaks, is_clean, loop_factory=staticmethod(self.uvloop.new_event_loop))
        self.assertEqual([(leak.name, leak.owner) for leak in outcome.leaks], [("x", "inner.Inner.test_0")])


if __name__ == "__main__":
    unittest.main()
