"""Teardown of the executors of concurrent.futures."""

import asyncio
import concurrent.futures
import threading

from tests import guarded
from tests.integration import proving


class ExecutorTests(proving.HubTests):
    def test_threads_left_are_a_leak_with_the_users_line(self):
        """A worker is started by what is submitted first."""
        left = []

        def leaves(test):
            executor = concurrent.futures.ThreadPoolExecutor(1)
            left.append(executor)
            executor.submit(int).result()  # submits

        outcome = self.run_sync(leaves)
        left[0].shutdown()
        self.assertLeak(outcome, "thread", guarded.place(leaves, "submits"))

    def test_processes_left_are_a_leak_with_the_users_line(self):
        """The same with processes."""
        left = []

        def leaves(test):
            executor = concurrent.futures.ProcessPoolExecutor(1)
            left.append(executor)
            executor.submit(int).result()  # submits

        outcome = self.run_sync(leaves)
        left[0].shutdown()
        self.assertLeak(outcome, "process", guarded.place(leaves, "submits"))

    def test_executors_that_are_torn_down_leave_nothing(self):
        """Of threads and of processes, in sync and async tests."""

        def submits(test):
            for make in concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor:
                test.assertEqual(test.addHub(make(2)).submit(int, "42").result(), 42)

        async def submits_async(test):
            for make in concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor:
                executor = test.addHub(make(2))
                answer = await asyncio.get_running_loop().run_in_executor(executor, int, "42")
                test.assertEqual(answer, 42)

        self.assertClean(self.run_sync(submits, leak_grace=guarded.PATIENT))
        self.assertClean(self.run_async(submits_async, leak_grace=guarded.PATIENT))

    def test_closed_by_the_test(self):
        """A second shutdown is fine."""

        def closes(test):
            for make in concurrent.futures.ThreadPoolExecutor, concurrent.futures.ProcessPoolExecutor:
                with test.addHub(make(1)) as executor:
                    executor.submit(int).result()

        self.assertClean(self.run_sync(closes, leak_grace=guarded.PATIENT))

    def test_work_in_flight(self):
        """What has begun is finished, what has not is cancelled."""
        submitted = []

        def works(test):
            begun, go_on = threading.Event(), threading.Event()

            def work():
                begun.set()
                return go_on.wait()

            executor = test.addHub(concurrent.futures.ThreadPoolExecutor(1))
            submitted.extend(executor.submit(work) for _ in range(3))
            begun.wait()
            test.addCleanup(go_on.set)

        self.assertClean(self.run_sync(works, leak_grace=guarded.PATIENT), None)
        self.assertTrue(submitted[0].result())
        self.assertTrue(all(future.done() for future in submitted))

    def test_work_that_does_not_end(self):
        """A worker that is stuck fails its test, which says in what."""
        release = threading.Event()
        self.addCleanup(release.set)

        def sticks(test):
            executor = test.addHub(concurrent.futures.ThreadPoolExecutor(1, "worker"), timeout=0.2)
            begun = threading.Event()
            executor.submit(lambda: (begun.set(), release.wait()))
            begun.wait()

        outcome = self.run_sync(sticks, lambda test: None)
        [*_, last] = outcome.failures[0][1].strip().splitlines()
        self.assertIn("did not stop within 0.2 s", outcome.failures[0][1], last)
        self.assertEqual({test._testMethodName for test, _ in outcome.failures}, {"test_0"})
        release.set()
        for thread in threading.enumerate():
            if thread.name.startswith("worker"):
                thread.join()
