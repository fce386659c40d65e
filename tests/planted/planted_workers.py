"""A suite that an engine runs in several processes: ``python planted_workers.py METHOD`` is the engine."""

import io
import multiprocessing
import os
import signal
import sys
import threading
import unittest

from leakguard import LeakGuardTestCase

released = threading.Event()


class WorkerTests(LeakGuardTestCase):
    leak_grace = 0

    def test_clean(self):
        pass

    def test_leak(self):
        threading.Thread(target=released.wait, name="left", daemon=True).start()

    def test_killed(self):
        threading.Thread(target=released.wait, name="found before", daemon=True).start()
        with self.assertRaises(AssertionError):
            self.assertNoLeaks()
        if "kill" in sys.argv:
            os.kill(os.getpid(), signal.SIGKILL)

    def test_forks(self):
        pid = os.fork()
        if pid == 0:
            run("test_clean")
            os._exit(0)
        os.waitpid(pid, 0)


class KilledTests(unittest.TestCase):
    def test(self):
        os.kill(os.getpid(), signal.SIGKILL)


class ForkedTests(unittest.TestCase):
    def test(self):
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
        else:  # it goes on with the rest of the run, as the child of a test that forgets os._exit() does
            self.assertTrue(False, "of the child")


def run(*names):
    """Run some of the tests; return whether all passed."""
    suite = unittest.TestSuite(map(WorkerTests, names))
    return unittest.TextTestRunner(stream=io.StringIO()).run(suite).wasSuccessful()


def main(method):
    """Run tests in workers that were made in one way."""
    if method in ("fork", "spawn"):
        workers = [multiprocessing.get_context(method).Process(target=run, args=("test_clean", "test_leak")) for _ in "ab"]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    elif method == "pool":
        with multiprocessing.get_context("fork").Pool(1) as pool:  # which ends its workers by SIGTERM
            pool.map(run, ["test_clean", "test_leak"])
    elif method == "parent":  # the parent guards tests itself, before and after it forks
        run("test_clean")
        worker = multiprocessing.get_context("fork").Process(target=run, args=("test_leak",))
        worker.start()
        worker.join()
        run("test_clean")
    elif method == "kill":
        run("test_leak", "test_killed", "test_clean")
    elif method == "forks":
        run("test_forks", "test_leak")
    else:
        print(run("test_clean", "test_leak"))


if __name__ == "__main__":
    main(sys.argv[1])
