"""Two tests at the same time: each gets its own leaks, and what cannot be owned is nobody's."""

import asyncio
import threading
import unittest

from leakguard import LeakGuardAsyncTestCase, LeakGuardTestCase
from tests.doubles import BlockedThread
from tests.planting import run_fresh
from tests.suites import BackgroundLoop, leaks_of, own_record
from tests.test_runner import after_ran, run_planted


class GuardedCase(LeakGuardTestCase):
    """What inner classes derive from: impatient, and without tests of its own."""

    leak_grace = 0.01


class ConcurrentTestCase(unittest.TestCase):
    """A test whose inner tests run in threads of their own."""

    def run_at_once(self, *tests):
        """Run tests, each in a thread with a result of its own; return the results and all reports."""
        results = [unittest.TestResult() for _ in tests]
        all_started = threading.Barrier(len(tests))  # so that no thread that runs a test is new in another's course

        def run(test, result):
            all_started.wait()
            test.run(result)
            all_ended.wait()

        all_ended = threading.Barrier(len(tests))
        threads = [threading.Thread(target=run, args=pair) for pair in zip(tests, results)]
        with own_record() as reports:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return results, reports

    def id_of(self, case, method):
        """The id of an inner test."""
        return f"{__name__}.{case.__qualname__}.{method}"


class ThreadTests(ConcurrentTestCase):
    """Threads."""

    def test_each_its_own(self):
        """Two tests that overlap from begin to end report each the thread that they started, and no other."""
        outer = self
        begun, leaked = threading.Barrier(2), threading.Barrier(2)

        class Case(GuardedCase):
            def body(self, name):
                begun.wait()
                BlockedThread(name=name).start_in(outer)
                leaked.wait()

            def test_a(self):
                self.body("of a")

            def test_b(self):
                self.body("of b")

        results, reports = self.run_at_once(Case("test_a"), Case("test_b"))
        self.assertEqual([len(result.failures) for result in results], [1, 1])
        self.assertEqual([result.errors for result in results], [[], []])
        self.assertEqual(
            sorted(leaks_of(reports)),
            [
                (self.id_of(Case, "test_a"), "thread", "of a"),
                (self.id_of(Case, "test_b"), "thread", "of b"),
            ],
        )

    def test_clean_beside_a_leak(self):
        """A clean test is not blamed for a thread that another test leaks in its course."""
        outer = self
        clean_begun, leaked = threading.Event(), threading.Event()

        class Case(GuardedCase):
            def test_clean(self):
                clean_begun.set()
                leaked.wait()

            def test_leak(self):
                clean_begun.wait()
                BlockedThread(name="left").start_in(outer)
                self.addCleanup(leaked.set)

        results, reports = self.run_at_once(Case("test_clean"), Case("test_leak"))
        self.assertEqual([len(result.failures) for result in results], [0, 1])
        self.assertEqual(leaks_of(reports), [(self.id_of(Case, "test_leak"), "thread", "left")])

    def test_thread_of_the_other_test_that_lives(self):
        """What the other test is still using when this one ends is no leak of this one."""
        in_use, other_is_done = threading.Event(), threading.Event()

        class Case(GuardedCase):
            def test_uses(self):
                BlockedThread().start_in(self)
                in_use.set()
                other_is_done.wait()

            def test_ends(self):
                in_use.wait()

        uses, ends = Case("test_uses"), Case("test_ends")
        plain_run = ends.run
        ends.run = lambda result: (plain_run(result), other_is_done.set())
        results, reports = self.run_at_once(uses, ends)
        self.assertEqual([result.wasSuccessful() for result in results], [True, True])
        self.assertEqual(leaks_of(reports), [])

    def test_thread_started_by_a_helper_thread(self):
        """A thread started by a thread of one test is that test's, whatever runs beside it."""
        outer = self
        begun, leaked = threading.Barrier(2), threading.Barrier(2)

        class Case(GuardedCase):
            def test_a(self):
                begun.wait()
                helper = threading.Thread(target=lambda: BlockedThread(name="left").start_in(outer))
                helper.start()
                helper.join()
                leaked.wait()

            def test_b(self):
                begun.wait()
                leaked.wait()

        results, reports = self.run_at_once(Case("test_a"), Case("test_b"))
        self.assertEqual([len(result.failures) for result in results], [1, 0])
        self.assertEqual(leaks_of(reports), [(self.id_of(Case, "test_a"), "thread", "left")])

    def test_started_one_after_the_other(self):
        """A thread that runs a test, started by nobody who is guarded, is no leak of the test that runs already."""
        printed = run_fresh("""
            import threading, unittest
            import leakguard

            begun, go, done = threading.Event(), threading.Event(), threading.Event()

            class First(leakguard.LeakGuardTestCase):
                def test(self):
                    begun.set()
                    go.wait()

            class Second(leakguard.LeakGuardTestCase):
                def test(self):
                    go.set()
                    done.wait()

            def run(case, result):
                case("test").run(result)

            results = unittest.TestResult(), unittest.TestResult()
            first, second = (threading.Thread(target=run, args=pair) for pair in zip((First, Second), results))
            first.start()
            begun.wait()
            second.start()
            first.join()
            done.set()
            second.join()
            print([(result.testsRun, result.failures, result.errors) for result in results])
        """)
        self.assertEqual(printed, "[(1, [], []), (1, [], [])]\n")

    def test_many_pairs(self):
        """However two tests interleave, each reports exactly its own."""
        outer = self

        class Case(GuardedCase):
            leak_grace = 0

            def test_a(self):
                BlockedThread(name="of a").start_in(outer)

            def test_b(self):
                BlockedThread(name="of b").start_in(outer)

            def test_clean(self):
                pass

        wanted = sorted((self.id_of(Case, f"test_{x}"), "thread", f"of {x}") for x in "ab")
        for _ in range(20):
            results, reports = self.run_at_once(Case("test_a"), Case("test_b"), Case("test_clean"))
            self.assertEqual([len(result.failures) for result in results], [1, 1, 0])
            self.assertEqual(sorted(leaks_of(reports)), wanted)


class AsyncTests(ConcurrentTestCase):
    """Tasks of the tests' own loops."""

    def test_each_its_own(self):
        """Two async tests in two threads report each its own task."""
        begun, leaked = threading.Barrier(2), threading.Barrier(2)
        held = []

        class Case(LeakGuardAsyncTestCase):
            leak_grace = 0.01

            def body(self, name):
                begun.wait()
                held.append(asyncio.ensure_future(asyncio.Event().wait()))
                held[-1].set_name(name)
                leaked.wait()

            async def test_a(self):
                self.body("of a")

            async def test_b(self):
                self.body("of b")

        results, reports = self.run_at_once(Case("test_a"), Case("test_b"))
        self.assertEqual([len(result.failures) for result in results], [1, 1])
        self.assertEqual(
            sorted(leaks_of(reports)),
            [(self.id_of(Case, "test_a"), "task", "of a"), (self.id_of(Case, "test_b"), "task", "of b")],
        )


async def wait_for_ever(started, name):
    asyncio.current_task().set_name(name)
    started.set()
    await asyncio.Event().wait()


class SharedLoopTests(ConcurrentTestCase):
    """Tasks that tests put on a background loop that they share."""

    def setUp(self):
        self.background = BackgroundLoop()
        self.addCleanup(self.background.stop)

    def submit(self, name):
        """Put a task on the shared loop that waits for ever; return its future once it waits."""
        started = threading.Event()
        future = self.background.submit(wait_for_ever(started, name))
        started.wait()
        return future

    def test_each_its_own(self):
        """Tasks submitted with run_coroutine_threadsafe belong to the test that submitted them."""
        outer = self
        begun, leaked = threading.Barrier(2), threading.Barrier(2)
        held = []

        class Case(GuardedCase):
            def body(self, name):
                begun.wait()
                held.append(outer.submit(name))
                leaked.wait()

            def test_a(self):
                self.body("of a")

            def test_b(self):
                self.body("of b")

        results, reports = self.run_at_once(Case("test_a"), Case("test_b"))
        self.assertEqual([len(result.failures) for result in results], [1, 1])
        self.assertEqual(
            sorted(leaks_of(reports)),
            [(self.id_of(Case, "test_a"), "task", "of a"), (self.id_of(Case, "test_b"), "task", "of b")],
        )

    def test_one_after_the_other(self):
        """A task that one test left on the shared loop is not the next test's, nor what it starts later."""
        outer, held = self, []
        begun, go, gone = threading.Event(), threading.Event(), threading.Event()

        async def spawn_later():
            begun.set()
            while not go.is_set():
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    pass  # it outlives its report
            held.append(asyncio.ensure_future(asyncio.Event().wait()))
            held[-1].set_name("grandchild")
            gone.set()

        class Case(GuardedCase):
            leak_kinds = "task"

            def test_1(self):
                held.append(outer.background.submit(spawn_later()))
                begun.wait()

            def test_2(self):
                go.set()
                gone.wait()

        self.addCleanup(go.set)
        results = []
        with own_record() as reports:
            for method in ("test_1", "test_2"):
                results.append(unittest.TestResult())
                Case(method).run(results[-1])
        self.assertEqual([len(result.failures) for result in results], [1, 0])
        self.assertEqual({owner for owner, _, _ in leaks_of(reports)}, {self.id_of(Case, "test_1")})

    def test_finished_in_time(self):
        """A task on the shared loop that ends within the grace is no leak."""
        outer = self

        class Case(GuardedCase):
            leak_grace = 60.0

            def test(self):
                outer.submit("short").cancel()

        with own_record() as reports:
            result = unittest.TestResult()
            Case("test").run(result)
        self.assertTrue(result.wasSuccessful(), result.failures)
        self.assertEqual(leaks_of(reports), [])


class UnattributedTests(unittest.TestCase):
    """What cannot be owned."""

    def test_fails_the_run_and_no_test(self):
        """A thread that a pool from before the run starts during two tests is ``unattributed`` and fails the run."""
        process = run_planted("planted_unowned")
        self.assertIn("\nOK\n", process.stderr)
        self.assertEqual(process.returncode, 1)
        self.assertEqual(
            after_ran(process)[-5:],
            [
                "Leaks: 1 in 1 test, by the line that created them",
                "     1 x thread   planted_unowned.py:14 in serve",
                "                  unattributed",
                "Growth over the run: threads 2 -> 3, tasks 0 -> 0",
                "FAILED (leaks of the run=1)",
            ],
        )
