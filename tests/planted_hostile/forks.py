"""A test forks, and its child runs on: through the cleanups, the end of the suite and the exit."""

import os
import subprocess
import sys
import threading
import unittest

from leakguard import LeakGuardTestCase, check

reports, in_child = [], []


class ForkTests(LeakGuardTestCase):
    leak_grace = 0.05

    def test_fork(self):
        sibling = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        thread = threading.Thread(target=sibling.wait, daemon=True)
        thread.start()
        pid = os.fork()
        if pid == 0:
            in_child.append(True)
            self.addCleanup(os.write, 1, b"the child's cleanups ran\n")
            return
        os.waitpid(pid, 0)
        print("the sibling is", "alive" if sibling.poll() is None else "dead", flush=True)
        sibling.stdin.close()
        sibling.wait()
        thread.join()

    def test_next(self):
        pass


check.listeners.append(reports.append)
result = unittest.TestResult()
unittest.defaultTestLoader.loadTestsFromTestCase(ForkTests).run(result)
who = "child" if in_child else "parent"
bad = result.failures + result.errors
print(f"{who}: {result.testsRun} tests, {len(bad)} bad, {len(reports)} reports", flush=True)
sys.stderr.write("".join(text for _, text in bad))
