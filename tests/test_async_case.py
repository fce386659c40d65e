"""How an async test under guard lives: its loop, and tasks that `IsolatedAsyncioTestCase` would cancel silently."""

import asyncio
import gc
import sys
import unittest
import unittest.mock

from leakguard import LeakError, LeakGuard, LeakGuardAsyncTestCase, LeakGuardMixin, origin
from tests import doubles
from tests.doubles import BlockedThread
from tests.suites import error_lines, leaks_of, own_record, run_inner
from tests.test_case import normal


held = []


class BlockedTask(doubles.BlockedTask):
    """One that this module refers to: a collection by chance would take one that nobody refers to."""

    def __init__(self, **options):
        super().__init__(**options)
        held.append(self)


class GuardedCase(LeakGuardAsyncTestCase):
    """What inner classes derive from: impatient, and without tests of its own."""

    leak_grace = 0.01


class PlainLoopCase(GuardedCase):
    """The same without asyncio's debug mode."""

    loop_debug = False


class MixinCase(LeakGuardMixin, unittest.IsolatedAsyncioTestCase):
    """The same by the mixin alone."""

    leak_grace = 0.01


BASES = (GuardedCase, PlainLoopCase, MixinCase)


class AsyncTestCase(unittest.TestCase):
    """A test whose inner tests leak tasks, which the guard ends, and threads, which its own cleanups end."""

    def setUp(self):
        self.addCleanup(held.clear)

    def assert_leaks(self, case, names, *, kind="task"):
        """The one test of a class fails exactly once, for the things with these names; no task outlives the run."""
        result, reports = run_inner(case)
        test_id = f"{case.__module__}.{case.__qualname__}.test"
        title = f"test ({case.__module__}.{case.__qualname__})"
        count = "1 leak" if len(names) == 1 else f"{len(names)} leaks"
        self.assertEqual(result.errors, [])
        self.assertEqual(
            [(test, normal(line)) for test, line in error_lines(result)],
            [(test_id, f"leakguard.LeakError: {count} after {title}, waited N s")],
        )
        self.assertEqual(sorted(leaks_of(reports)), sorted((test_id, kind, name) for name in names))
        self.assertEqual([text for _, text in result.failures if not text.startswith("leakguard.LeakError: ")], [])
        return [leak for report in reports for leak in report.leaks]

    def assert_clean(self, case):
        """Every test of a class passes, and nothing is on record."""
        result, reports = run_inner(case)
        self.assertEqual((result.failures, result.errors), ([], []))
        self.assertGreater(result.testsRun, 0)
        self.assertEqual(leaks_of(reports), [])


class PlaceTests(AsyncTestCase):
    """Wherever in the course of an async test a task is left, the test fails, and unittest cannot hide it."""

    def test_test(self):
        """A task left by the test itself is a leak, for each way to guard an async test."""
        for base in BASES:
            with self.subTest(base=base.__name__):

                class Case(base):
                    async def test(self):
                        BlockedTask(name="left")

                self.assert_leaks(Case, ["left"])

    def test_async_set_up(self):
        """A task left by asyncSetUp is the test's."""

        class Case(GuardedCase):
            async def asyncSetUp(self):
                BlockedTask(name="left")

            async def test(self):
                pass

        self.assert_leaks(Case, ["left"])

    def test_async_tear_down(self):
        """A task left by asyncTearDown is the test's."""

        class Case(GuardedCase):
            async def test(self):
                pass

            async def asyncTearDown(self):
                BlockedTask(name="left")

        self.assert_leaks(Case, ["left"])

    def test_async_cleanup(self):
        """A task left by an async cleanup is the test's, the first registered, which runs last, included."""

        async def leak(name):
            BlockedTask(name=name)

        class Case(GuardedCase):
            async def asyncSetUp(self):
                self.addAsyncCleanup(leak, "by the last cleanup")

            async def test(self):
                self.addAsyncCleanup(leak, "by the first cleanup")

        self.assert_leaks(Case, ["by the first cleanup", "by the last cleanup"])

    def test_subtests(self):
        """Tasks left in several subtests are one failure."""

        class Case(GuardedCase):
            async def test(self):
                for number in range(3):
                    with self.subTest(number=number):
                        BlockedTask(name=f"left-{number}")

        self.assert_leaks(Case, ["left-0", "left-1", "left-2"])

    def test_thread(self):
        """A thread left by an async test is a leak."""
        for base in BASES:
            with self.subTest(base=base.__name__):
                outer = self

                class Case(base):
                    async def test(self):
                        BlockedThread(name="left").start_in(outer)

                self.assert_leaks(Case, ["left"], kind="thread")

    def test_task_of_a_task(self):
        """Tasks that a task of the test starts are the test's too."""

        class Case(GuardedCase):
            async def test(self):
                async def outer():
                    await BlockedTask(name="inner").task

                held.append(asyncio.ensure_future(outer()))
                held[-1].set_name("outer")
                await asyncio.sleep(0)

        self.assert_leaks(Case, ["inner", "outer"])

    def test_failed_test(self):
        """A test that fails by itself keeps that one failure; its task is logged and on record."""

        class Case(GuardedCase):
            async def test(self):
                BlockedTask(name="left")
                self.fail("its own")

        with self.assertLogs("leakguard", "WARNING"):
            result, reports = run_inner(Case)
        self.assertEqual(error_lines(result), [(f"{__name__}.{Case.__qualname__}.test", "AssertionError: its own")])
        self.assertEqual([name for _, _, name in leaks_of(reports)], ["left"])

    def test_task_that_only_a_cycle_keeps_alive(self):
        """A pending task that nothing but its own awaitable refers to is a leak: no collection may hide it."""

        class Case(GuardedCase):
            async def test(self):
                asyncio.ensure_future(asyncio.Event().wait()).set_name("left")
                await asyncio.sleep(0)

        self.addCleanup(gc.enable)
        gc.disable()  # the check's own collection is what is tested
        self.assert_leaks(Case, ["left"])

    def test_skip_half_way(self):
        """A skip half-way does not hide a task."""

        class Case(GuardedCase):
            async def test(self):
                BlockedTask(name="left")
                self.skipTest("half-way")

        self.assert_leaks(Case, ["left"])

    def test_debug(self):
        """debug() raises LeakError for a task that is left."""

        class Case(GuardedCase):
            async def test(self):
                BlockedTask(name="left")

        with own_record() as reports, self.assertRaises(LeakError):
            Case("test").debug()
        self.assertEqual(leaks_of(reports), [(f"{__name__}.{Case.__qualname__}.test", "task", "left")])


class LifeTests(AsyncTestCase):
    """What ends in time is no leak; what does not is taken out of the way of the next test."""

    def test_ended_by_cleanups(self):
        """A task that asyncTearDown, an async cleanup or a plain one ends is no leak, for each way to guard."""
        for base in BASES:
            with self.subTest(base=base.__name__):

                class Case(base):
                    async def asyncSetUp(self):
                        self.addAsyncCleanup(BlockedTask().end)
                        self.task = BlockedTask()

                    async def test(self):
                        self.addCleanup(BlockedTask().release)
                        self.addAsyncCleanup(BlockedTask().end)

                    async def asyncTearDown(self):
                        await self.task.end()

                self.assert_clean(Case)

    @unittest.skipIf(sys.version_info < (3, 11), "enterAsyncContext is new in 3.11")
    def test_enter_async_context(self):
        """A task that an enterAsyncContext() ends is no leak."""

        class Context:
            async def __aenter__(self):
                self.task = BlockedTask()

            async def __aexit__(self, *_):
                await self.task.end()

        class Case(GuardedCase):
            async def asyncSetUp(self):
                await self.enterAsyncContext(Context())

            async def test(self):
                await self.enterAsyncContext(Context())

        self.assert_clean(Case)

    def test_cancelled_and_not_awaited(self):
        """A task that was cancelled but not awaited ends within the grace: no leak."""

        class Case(GuardedCase):
            async def test(self):
                BlockedTask().task.cancel()

        self.assert_clean(Case)

    def test_to_thread(self):
        """The idle worker that the loop's default executor keeps is no leak."""

        class Case(GuardedCase):
            async def test(self):
                await asyncio.get_running_loop().run_in_executor(None, int)

        self.assert_clean(Case)

    def test_task_that_ignores_cancellation(self):
        """A task that swallows cancellation for ever is reported and taken out of its loop: the run goes on."""
        for base in BASES:
            with self.subTest(base=base.__name__):
                class Case(base):
                    async def test(self):
                        BlockedTask(name="stubborn", ignores=10**9)
                        await asyncio.sleep(0)

                    async def test_later(self):
                        pass

                result, reports = run_inner(Case)
                self.assertEqual([test._testMethodName for test, _ in result.failures], ["test"])
                self.assertEqual(result.errors, [])
                self.assertEqual([name for _, _, name in leaks_of(reports)], ["stubborn"])

    def test_every_test_of_a_class(self):
        """Each leaking test fails for its own task; a clean one between them passes."""

        class Case(GuardedCase):
            async def test_1(self):
                BlockedTask(name="first")

            async def test_2(self):
                pass

            async def test_3(self):
                BlockedTask(name="third")

        result, reports = run_inner(Case)
        self.assertEqual([test._testMethodName for test, _ in result.failures], ["test_1", "test_3"])
        self.assertEqual([name for _, _, name in leaks_of(reports)], ["first", "third"])

    def test_a_loop_debug_that_is_no_bool(self):
        """It is a ValueError when the class is defined: ``"no"`` would count as true."""
        for value in ("no", 0, None):
            with self.subTest(value=value), self.assertRaises(ValueError) as caught:
                type("Case", (LeakGuardAsyncTestCase,), {"loop_debug": value})
            self.assertEqual(str(caught.exception), f"loop_debug must be True or False (got {value!r})")

    def test_loop_debug(self):
        """asyncio's debug mode is on as in unittest's own case, and off with ``loop_debug = False``."""
        seen = []

        class Case(GuardedCase):
            async def test(self):
                seen.append(asyncio.get_running_loop().get_debug())

        self.assert_clean(Case)
        self.assert_clean(type("Case", (Case,), {"loop_debug": False, "__module__": __name__}))
        self.assertEqual(seen, [True, False])


class RunTests(AsyncTestCase):
    """Who runs an async test: the guard begins where the loop is set up, or around a run() of the user's."""

    def test_a_run_of_any_base_is_called(self):
        """A run() of the user's is called, wherever its class stands among the bases, and its leaks are found."""
        ran = []

        class Timed(unittest.IsolatedAsyncioTestCase):
            def run(self, result=None):
                ran.append(type(self).__name__)
                return super().run(result)

        class Guarded(LeakGuardMixin, Timed):
            leak_grace = 0.01

        for bases in ((MixinCase, Timed), (GuardedCase, Timed), (LeakGuardMixin, Timed), (MixinCase, Guarded)):
            with self.subTest(bases=bases):
                ran.clear()

                async def test(case):
                    BlockedTask(name="left")

                attributes = {"test": test, "leak_grace": 0.01, "__module__": __name__, "__qualname__": "Case"}
                self.assert_leaks(type("Case", bases, attributes), ["left"])
                self.assertEqual(ran, ["Case"])

    def test_a_loop_that_cannot_be_made(self):
        """Where the set-up of the loop raises, no guard is left open."""
        name = "new_event_loop" if sys.version_info < (3, 11) else "Runner"

        class Case(GuardedCase):
            async def test(self):
                pass

        before = set(origin.open_guards)
        with unittest.mock.patch(f"asyncio.{name}", side_effect=OSError("no descriptors left")), own_record():
            with self.assertRaisesRegex(OSError, "no descriptors left"):
                Case("test").run(unittest.TestResult())
        self.assertEqual(set(origin.open_guards), before)


class KeywordTests(AsyncTestCase):
    """What asyncio's functions take by keyword, they take under guard."""

    def test_coroutine_by_keyword(self):
        """`create_task(coro=...)` and `run_coroutine_threadsafe(coro=..., loop=...)` work on a loop that is watched."""

        class Case(PlainLoopCase):
            async def test(self):
                loop = asyncio.get_running_loop()
                await loop.create_task(coro=asyncio.sleep(0))
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coro=asyncio.sleep(0), loop=loop))

        self.assert_clean(Case)


class OriginTests(AsyncTestCase):
    """The line that made a task is known whatever the loop's mode."""

    def test_created_at_and_now_at(self):
        """Created at the test's line, now at the coroutine's: with debug mode, without it, and by the mixin."""
        for base in BASES:
            with self.subTest(base=base.__name__):

                async def ping(forever):
                    await forever.wait()

                class Case(base):
                    async def test(self):
                        held.append(asyncio.ensure_future(ping(asyncio.Event())))
                        await asyncio.sleep(0)

                result, reports = run_inner(Case)
                ((leak,),) = [report.leaks for report in reports]
                here = origin.show_path(__file__)
                line = Case.test.__code__.co_firstlineno + 1
                self.assertEqual(leak.origin, f"{here}:{line} in {Case.__qualname__}.test")
                self.assertEqual(leak.place, f"{here}:{ping.__code__.co_firstlineno + 1} in {ping.__qualname__}")
                self.assertEqual(leak.waiting_in, "asyncio.Event.wait")

    def test_depth_is_left_alone(self):
        """The interpreter's own record of coroutine origins stays as it was, during the test and after it."""
        before = sys.get_coroutine_origin_tracking_depth()
        self.addCleanup(sys.set_coroutine_origin_tracking_depth, before)
        sys.set_coroutine_origin_tracking_depth(3)
        depths = []

        class Case(PlainLoopCase):
            async def test(self):
                depths.append(sys.get_coroutine_origin_tracking_depth())

        self.assert_clean(Case)
        self.assertEqual((depths, sys.get_coroutine_origin_tracking_depth()), ([3], 3))


class AssertNoLeaksTests(AsyncTestCase):
    """`assertNoLeaks` inside a running loop: nothing can be awaited there."""

    def test_task_so_far(self):
        """It fails for a pending task, and passes once that was awaited."""
        lines = []

        class Case(GuardedCase):
            async def test(self):
                task = BlockedTask(name="running")
                with self.assertRaises(LeakError) as caught:
                    self.assertNoLeaks()
                lines.append(normal(str(caught.exception)).splitlines()[0])
                await task.end()
                self.assertNoLeaks()

        self.assert_clean(Case)
        self.assertEqual(lines, [f"1 leak after test ({__name__}.{Case.__qualname__}), waited N s"])

    def test_cancelled_task(self):
        """A cancelled task that was awaited is over; the test's own task is none."""

        class Case(GuardedCase):
            async def test(self):
                task = BlockedTask()
                task.task.cancel()
                await asyncio.wait([task.task])
                self.assertNoLeaks()

        self.assert_clean(Case)

    def test_from_a_helper_task(self):
        """Called in a helper task that the test awaits, neither the helper nor the test's own task is a leak."""

        class Case(GuardedCase):
            async def helper(self):
                self.assertNoLeaks()

            async def test(self):
                await asyncio.ensure_future(self.helper())
                await asyncio.wait_for(asyncio.gather(self.helper()), 60)

        self.assert_clean(Case)

    def test_from_every_part(self):
        """Called in asyncSetUp, asyncTearDown and an async cleanup of a clean test, it passes."""

        class Case(GuardedCase):
            async def asyncSetUp(self):
                self.assertNoLeaks()

            async def test(self):
                async def cleanup():
                    self.assertNoLeaks()

                self.addAsyncCleanup(cleanup)
                self.addCleanup(self.assertNoLeaks)

            async def asyncTearDown(self):
                self.assertNoLeaks()

        self.assert_clean(Case)


class AllowLeakTests(AsyncTestCase):
    """`allowLeak` of a task."""

    def test_task(self):
        """An allowed task is no leak; unittest cancels it when it closes the loop."""
        tasks = []

        class Case(GuardedCase):
            async def test(self):
                tasks.append(BlockedTask(name="shared").task)
                self.allowLeak(tasks[0], "all subtests share it")

        with self.assertLogs("leakguard", "INFO") as logs:
            self.assert_clean(Case)
        self.assertEqual(logs.output, ["INFO:leakguard:leakguard: task 'shared' is allowed: all subtests share it"])
        self.assertTrue(tasks[0].cancelled())


class BlockTests(AsyncTestCase):
    """`LeakGuard` with ``async with`` and on ``async def``."""

    def test_async_with(self):
        """A task that outlives the block raises LeakError, and is cancelled."""

        async def main():
            async with guard:
                tasks.append(BlockedTask(name="left").task)

        guard, tasks = LeakGuard(name="the upload", grace=0), []
        with own_record() as reports, self.assertRaises(LeakError) as caught:
            asyncio.run(main())
        self.assertEqual(normal(str(caught.exception)).splitlines()[0], "1 leak after the upload, waited N s")
        self.assertEqual(leaks_of(reports), [("the upload", "task", "left")])
        self.assertTrue(tasks[0].cancelled())

    def test_clean(self):
        """A task that ends in the block, or within the grace, passes; tasks from before the block do not count."""

        async def main():
            before = BlockedTask()
            async with LeakGuard() as guard:
                await BlockedTask().end()
                BlockedTask().task.cancel()
            await before.end()
            return guard.leaks

        with own_record():
            self.assertEqual(asyncio.run(main()), ())

    def test_body_that_raises(self):
        """The block's own exception comes through; the leak is logged and in .leaks."""

        async def main():
            async with guard:
                BlockedTask(name="left")
                raise OSError("its own")

        guard = LeakGuard(grace=0)
        with own_record(), self.assertLogs("leakguard", "WARNING"), self.assertRaisesRegex(OSError, "^its own$"):
            asyncio.run(main())
        self.assertEqual([leak.name for leak in guard.leaks], ["left"])

    def test_off(self):
        """With action off nothing is looked at."""

        async def main():
            async with LeakGuard(action="off") as guard:
                task = BlockedTask()
            await task.end()
            return guard.leaks

        with own_record():
            self.assertEqual(asyncio.run(main()), ())

    def test_decorator(self):
        """A decorated coroutine function is still one, keeps its name and result, and each call is guarded."""

        @LeakGuard(grace=0)
        async def upload(name, *, leaks):
            """Its docstring."""
            if leaks:
                BlockedTask(name=name)
            return name

        self.assertTrue(asyncio.iscoroutinefunction(upload) if sys.version_info < (3, 14) else True)
        self.assertEqual((upload.__name__, upload.__doc__), ("upload", "Its docstring."))
        with own_record() as reports:
            self.assertEqual(asyncio.run(upload("a", leaks=False)), "a")
            with self.assertRaises(LeakError):
                asyncio.run(upload("b", leaks=True))
        self.assertEqual(leaks_of(reports), [(upload.__qualname__, "task", "b")])

    def test_two_blocks_at_once(self):
        """Two blocks in two tasks of one loop get each their own leaks."""

        async def block(name, leaks):
            guard = LeakGuard(name=name, action="log", grace=0)
            async with guard:
                BlockedTask(name=f"{name}-left") if leaks else None
                await both.wait() if name == "one" else both.set()
            return [leak.name for leak in guard.leaks]

        async def main():
            nonlocal both
            both = asyncio.Event()
            return await asyncio.gather(block("one", True), block("two", False))

        both = None
        with own_record(), self.assertLogs("leakguard", "WARNING"):
            self.assertEqual(asyncio.run(main()), [["one-left"], []])

    def test_inside_an_async_test(self):
        """A block inside a guarded test owns its tasks: reported there, not by the test again."""

        class Case(GuardedCase):
            async def test(self):
                with self.assertRaises(LeakError):
                    async with LeakGuard(name="the block", grace=0):
                        BlockedTask(name="left")

        result, reports = run_inner(Case)
        self.assertTrue(result.wasSuccessful(), error_lines(result))
        self.assertEqual(leaks_of(reports), [("the block", "task", "left")])

    def test_plain_with_inside_a_loop(self):
        """A plain ``with`` inside a running loop sees tasks, though it cannot wait for them: no hang, one report."""

        class Case(GuardedCase):
            async def test(self):
                with self.assertRaises(LeakError):
                    with LeakGuard(name="the block", grace=30):
                        BlockedTask(name="left")

        result, reports = run_inner(Case)
        self.assertTrue(result.wasSuccessful(), error_lines(result))
        self.assertEqual(leaks_of(reports), [("the block", "task", "left")])
