"""The threads of trio, which keeps idle ones for whatever run comes next in the process."""

import threading

from tests import guarded
from tests.integration import proving


def setUpModule():
    """These tests need trio."""
    global trio
    trio = proving.need("trio")


class WorkerTests(proving.HubTests):
    def test_an_idle_worker_is_no_leak(self):
        """It is not the test's: it is there for all, and ends when nobody has used it for 10 seconds."""

        def uses(test):
            trio.run(trio.to_thread.run_sync, int)

        self.assertClean(self.run_sync(uses))

    def test_one_that_is_still_at_work_is_a_leak_with_the_users_line(self):
        """What a run has abandoned goes on."""
        released, is_running = threading.Event(), threading.Event()
        self.addCleanup(released.set)

        def job():
            is_running.set()
            released.wait()

        async def works():
            await trio.to_thread.run_sync(job, abandon_on_cancel=True)  # abandoned

        async def abandons():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(works)
                await trio.to_thread.run_sync(is_running.wait)
                nursery.cancel_scope.cancel()

        def leaves(test):
            trio.run(abandons)

        outcome = self.run_sync(leaves)
        self.assertLeak(outcome, "thread", guarded.place(works, "abandoned"))
