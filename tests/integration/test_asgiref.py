"""The threads of asgiref, which Django's async tests and views run in."""

from concurrent.futures import ThreadPoolExecutor

from tests import guarded
from tests.integration import proving


def setUpModule():
    """These tests need asgiref."""
    global sync
    sync = proving.need("asgiref.sync")


async def fails():
    """Fail as a view does."""
    raise LookupError("on purpose")


class WorkerTests(proving.HubTests):
    def test_the_idle_worker_of_one_call_is_no_leak(self):
        """An exception keeps the frame of the call, and so the executor, which only that call could give work."""
        kept = []
        self.addCleanup(kept.clear)

        def calls(test):
            try:
                sync.async_to_sync(fails)()
            except LookupError as error:
                kept.append(error)

        self.assertClean(self.run_sync(calls, grace=guarded.PATIENT))
        self.assertEqual(len(kept), 1)

    def test_one_that_is_kept_for_a_context_is_a_leak(self):
        """It may get more work, and somebody has to leave the context."""
        if not hasattr(sync, "AsyncSingleThreadContext"):
            self.skipTest("asgiref has AsyncSingleThreadContext from 3.9 on")

        async def passes():
            pass

        def leaves(test):
            context = sync.AsyncSingleThreadContext()
            context.__enter__()
            self.addCleanup(context.__exit__, None, None, None)
            sync.async_to_sync(passes)()  # kept

        outcome = self.run_sync(leaves)
        self.assertLeak(outcome, "thread", guarded.place(leaves, "kept"))

    def test_an_executor_of_ones_own_is_a_leak(self):
        """What the awaited code gives work to is not asgiref's."""
        pools = []
        self.addCleanup(lambda: [pool.shutdown() for pool in pools])

        async def gives_work():
            pools.append(ThreadPoolExecutor(1))
            pools[0].submit(int).result()  # work

        def leaves(test):
            sync.async_to_sync(gives_work)()

        outcome = self.run_sync(leaves)
        self.assertLeak(outcome, "thread", guarded.place(gives_work, "work"))

    def test_one_that_is_given_its_work_by_the_bridge_is_a_leak(self):
        """What is handed back to the caller's thread runs below the call, as all of a test of Django's does."""
        pools = []
        self.addCleanup(lambda: [pool.shutdown() for pool in pools])

        def leaves(test):
            pools.append(ThreadPoolExecutor(1))
            sync.async_to_sync(sync.sync_to_async(pools[0].submit))(int)  # given

        outcome = self.run_sync(leaves)
        self.assertLeak(outcome, "thread", guarded.place(leaves, "given"))
