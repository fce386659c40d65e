"""A suite under gevent's monkey patching: a greenlet thread is left, a child process is left, a test passes."""

import sys

import gevent.monkey

if sys.argv[1] == "before":
    gevent.monkey.patch_all()

import subprocess
import threading
import unittest
import warnings

from leakguard import LeakGuardTestCase, check

if sys.argv[1] == "after":
    gevent.monkey.patch_all()

released = threading.Event()


class GeventTests(LeakGuardTestCase):
    leak_grace = 0.05

    def test_1_thread(self):
        thread = threading.Thread(target=released.wait)
        thread.start()

    def test_2_process(self):
        self.children.append(subprocess.Popen(["cat"], stdin=subprocess.PIPE))

    def test_3_clean(self):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()

    children = []


reports = []
check.listeners.append(reports.append)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(GeventTests).run(result)
released.set()
child = GeventTests.children[0]
child.stdin.close()
child.wait()
print(result.testsRun, len(result.failures), len(result.errors), [leak.kind for r in reports for leak in r.leaks])
print(*[str(w.message) for w in caught if str(w.message).startswith("leakguard")], sep="\n")
