"""`leakguard.recording`: the outcome of every test, what it waited, and what was alive after it."""

import io
import os
import subprocess
import sys
import threading
import unittest
from unittest import mock

from leakguard import LeakGuardTestCase, policy
from leakguard.record import LIVE
from leakguard.recording import LiveCounter, Recorder
from leakguard.runner import GuardedRunner, Record
from tests.doubles import BlockedThread
from tests.guarded import PATIENT, while_waiting
from tests.suites import own_record, suite_of


def run_recorded(*cases, grace=0.01):
    """Run classes with the runner, put on record; return the run."""
    record = Record()
    record.recorder = Recorder()
    runner = type("Runner", (GuardedRunner,), {"record": record})
    with own_record(), mock.patch.dict(policy.command_line, grace=grace):
        runner(stream=io.StringIO(), verbosity=0).run(suite_of(*cases))
    return record.as_run()


def outcomes(run):
    """Name -> outcome of each test, and of each fixture that failed."""
    return {test.id.replace(f"{__name__}.", "").split(".")[-1]: test.outcome for test in run.tests}


class Outcomes:
    """A test of each outcome; the tests of it are run for both kinds of class."""

    def test_passes(self):
        pass

    def test_fails(self):
        self.fail("the text")

    def test_breaks(self):
        raise OSError("the error")

    def test_skips(self):
        self.skipTest("the reason")

    @unittest.skip("by decorator")
    def test_is_skipped(self):
        pass

    @unittest.expectedFailure
    def test_is_expected_to_fail(self):
        self.fail()

    @unittest.expectedFailure
    def test_is_a_surprise(self):
        pass

    def test_fails_and_breaks(self):
        self.addCleanup(int, "x")
        self.fail("first")

    def test_parts(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1, "a part")

    def test_parts_break(self):
        with self.subTest("one"):
            self.fail()
        with self.subTest("two"):
            raise OSError

    def test_parts_pass(self):
        with self.subTest("one"):
            pass


WANTED = {
    "test_passes": "passed",
    "test_fails": "failed",
    "test_breaks": "error",
    "test_skips": "skipped",
    "test_is_skipped": "skipped",
    "test_is_expected_to_fail": "expected failure",
    "test_is_a_surprise": "unexpected success",
    "test_fails_and_breaks": "error",
    "test_parts": "failed",
    "test_parts_break": "error",
    "test_parts_pass": "passed",
}


class OutcomeTests(unittest.TestCase):
    maxDiff = None

    def test_outcomes(self):
        """Each outcome is on record, the worst of a test that has several, for plain classes and for the mixin's."""
        for base in (unittest.TestCase, LeakGuardTestCase):
            run = run_recorded(type("Case", (Outcomes, base), {"__module__": __name__}))
            self.assertEqual(outcomes(run), WANTED)
            self.assertEqual(run.tests_run, len(WANTED))

    def test_details(self):
        """A failure has its text, a skip its reason, a part its name, and what passed nothing."""
        run = run_recorded(type("Case", (Outcomes, unittest.TestCase), {"__module__": __name__}))
        details = {test.id.split(".")[-1]: test.details for test in run.tests}
        self.assertEqual((details["test_passes"], details["test_skips"]), ("", "the reason"))
        self.assertEqual(details["test_is_skipped"], "by decorator")
        self.assertIn("AssertionError: the text", details["test_fails"])
        self.assertIn("AssertionError: first", details["test_fails_and_breaks"])
        self.assertIn("ValueError", details["test_fails_and_breaks"])
        self.assertIn("(number=1)", details["test_parts"].splitlines()[0])
        self.assertIn("a part", details["test_parts"])

    def test_a_leak(self):
        """A test that fails for its leak has failed, with the message as its text, and what its check waited."""
        outer = self

        class Case(unittest.TestCase):
            def test_clean(self):
                pass

            def test_leaks(self):
                BlockedThread(name="left").start_in(outer)

        clean, leaks = run_recorded(Case).tests
        self.assertEqual((clean.outcome, clean.waited, leaks.outcome), ("passed", 0.0, "failed"))
        self.assertIn("leakguard.LeakError: 1 leak after test_leaks", leaks.details)
        self.assertGreaterEqual(leaks.waited, 0.01)
        self.assertGreaterEqual(leaks.seconds, leaks.waited)

    def test_what_settles(self):
        """A test whose suspect ends in time has waited, too, and passed."""

        class Case(unittest.TestCase):
            def test(self):
                threading.Thread(target=released.wait).start()

        released = threading.Event()
        with while_waiting("thread", released.set):
            run = run_recorded(Case, grace=PATIENT)
        (test,) = run.tests
        self.assertEqual((test.outcome, run.reports), ("passed", ()))
        self.assertGreater(test.waited, 0.0)

    def test_fixtures(self):
        """A fixture of a class that fails is on record, and is no test."""

        class Breaks(Outcomes, unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                raise OSError("in the fixture")

        class Skips(Outcomes, unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                raise unittest.SkipTest("no server")

        class BreaksLater(unittest.TestCase):
            @classmethod
            def tearDownClass(cls):
                raise OSError

            def test(self):
                pass

        run = run_recorded(Breaks, Skips, BreaksLater)
        self.assertEqual([test.outcome for test in run.tests], ["error", "skipped", "passed", "error"])
        self.assertEqual([test.is_fixture for test in run.tests], [True, True, False, True])
        self.assertIn("in the fixture", run.tests[0].details)
        self.assertEqual((run.tests[1].details, run.tests_run), ("no server", 1))

    def test_an_import_that_fails(self):
        """What unittest makes of it is a test with an error."""
        record = Record()
        record.recorder = Recorder()
        runner = type("Runner", (GuardedRunner,), {"record": record})
        suite = unittest.TestLoader().loadTestsFromName("no_such_module")
        with own_record():
            runner(stream=io.StringIO()).run(suite)
        self.assertEqual([test.outcome for test in record.as_run().tests], ["error"])

    def test_a_run_inside_of_a_test(self):
        """It has a record of its own, and no part in the outer one's."""
        inner = []

        class Inner(unittest.TestCase):
            def test_inner(self):
                pass

        class Outer(unittest.TestCase):
            def test_outer(self):
                inner.append(run_recorded(Inner))
                suite_of(Inner).run(unittest.TestResult())

        self.assertEqual(outcomes(run_recorded(Outer)), {"test_outer": "passed"})
        self.assertEqual(outcomes(inner[0]), {"test_inner": "passed"})

    def test_a_run_without_a_report(self):
        """Nothing is recorded: the result is the runner's own class."""
        seen = []

        class Case(unittest.TestCase):
            def run(self, result=None):
                seen.append(type(result).__mro__)
                return super().run(result)

            def test(self):
                pass

        with own_record():
            GuardedRunner(stream=io.StringIO()).run(suite_of(Case))
        self.assertNotIn("RecordedResult", [cls.__name__ for cls in seen[0]])


class LiveTests(unittest.TestCase):
    def test_what_is_alive(self):
        """Threads, children and descriptors are counted; each one more is one more."""
        before = LiveCounter().count(0.0, fully=True)
        BlockedThread(name="alive").start_in(self)
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        self.addCleanup(child.wait)
        self.addCleanup(child.stdin.close)
        after = LiveCounter().count(0.0, fully=True)
        counts = dict(zip(LIVE, zip(before, after)))
        self.assertEqual(counts["threads"][1] - counts["threads"][0], 1)
        self.assertEqual(counts["processes"][1] - counts["processes"][0], 1)
        if os.path.isdir("/proc/self/fd"):
            self.assertEqual(counts["files"][1] - counts["files"][0], 1)

    def test_dear_counts_are_rare(self):
        """Between two full counts only threads are counted, and -1 stands for the rest."""
        counter = LiveCounter()
        self.assertNotIn(-1, counter.count(1.0)[:3])
        self.assertEqual(counter.count(1.001)[1:], (-1, -1, -1))
        self.assertNotIn(-1, counter.count(1.001, fully=True)[:3])
        self.assertNotIn(-1, counter.count(2.0)[:3])

    def test_tasks(self):
        """A pending task is counted on every version."""
        import asyncio

        async def main():
            task = asyncio.ensure_future(asyncio.Event().wait())
            await asyncio.sleep(0)
            one = LiveCounter().count(0.0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return one[1] - LiveCounter().count(0.0)[1]

        class Case(LeakGuardTestCase):
            def test(self):
                counted.append(asyncio.run(main()))

        counted = []
        with own_record():
            suite_of(Case).run(unittest.TestResult())
        self.assertEqual(counted, [1])


if __name__ == "__main__":
    unittest.main()
