"""The engines that people run unittest's tests with: each on a suite whose leaks are known, with one report of them all."""

import json
import os
import sys
import tempfile
import unittest
from pathlib import Path

from tests.required import need_elsewhere
from tests.suites import run_python

SUITES = Path(__file__).parent / "engines"

THREADS = {("thread", "left by a test", "plain.test_threads.ThreadTests.test_leak")}
FIXTURES = {("thread", "left by a fixture", "plain.test_threads.FixtureTests")}
CHILDREN = {("process", "input()", "plain.test_children.ProcessTests.test_leak")}
TASKS = {("task", "Task", "plain.test_tasks.TaskTests.test_leak")}
ALL = THREADS | FIXTURES | CHILDREN | TASKS
CASES = ("ChannelTests", "DatabaseTests", "ServerTests", "TransactionTests")
SOCKET = "database.test_cases.ChannelTests.test_socket_left"
DATABASE = [("thread", "left", f"database.test_cases.{name}.test_leak") for name in CASES] + [("task", "Task", SOCKET)] * 2


class EngineTestCase(unittest.TestCase):
    """A test that runs a suite by an engine, in a folder of its own, with two lines of leakguard's in the suite."""

    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "reports").mkdir()

    def run_engine(self, *arguments, **environ):
        """Run an engine on a suite; return its process."""
        path = os.pathsep.join([str(SUITES), *(folder or os.getcwd() for folder in sys.path)])
        variables = {"LEAKGUARD_REPORT": str(self.folder / "reports") + os.sep, "PYTHONPATH": path, **environ}
        return run_python(*arguments, cwd=str(self.folder), **variables)

    def assert_found(self, process, expected):
        """Assert that a run has failed, and that the report of all its processes has each leak once, and nothing else."""
        self.assertNotEqual(process.returncode, 0, process.stdout + process.stderr)
        merged = self.folder / "merged.json"
        merge = run_python(
            "-m", "leakguard", "--leak-merge", str(self.folder / "reports"), "--leak-report", str(merged)
        )  # fmt: skip
        self.assertEqual(merge.returncode, 1, merge.stdout + merge.stderr)
        report = json.loads(merged.read_text())
        found = [(leak["kind"], short(leak), leak["test"]) for leak in report["leaks"]]
        self.assertEqual(sorted(found), sorted(expected), process.stdout + process.stderr)
        self.assertEqual(report["problems"], [])


def short(leak):
    """The name of a leak without what differs from run to run."""
    if leak["kind"] == "process":
        return leak["name"].split()[-1]
    return leak["name"].split("-")[0]


class PlainTests(EngineTestCase):
    """A suite of plain unittest classes with the mixin."""

    def test_pytest(self):
        """pytest."""
        need_elsewhere("pytest")
        process = self.run_engine("-m", "pytest", "-q", "-p", "no:cacheprovider", str(SUITES / "plain"))
        self.assert_found(process, ALL)

    def test_xdist(self):
        """pytest in two processes."""
        need_elsewhere("xdist")
        process = self.run_engine("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", str(SUITES / "plain"))
        self.assert_found(process, ALL)

    def test_unittest_parallel(self):
        """unittest-parallel, which cannot send async tests to its processes (from 3.11 they hold a context)."""
        need_elsewhere("unittest_parallel")
        process = self.run_engine(
            "-m", "unittest_parallel", "-j", "2", "-s", str(SUITES / "plain"), "-t", str(SUITES), "-p", "test_[ct][h]*.py"
        )
        self.assert_found(process, ALL - TASKS)

    def test_stestr(self):
        """stestr in two processes."""
        need_elsewhere("stestr")
        stestr = ("-m", "stestr.cli", "--test-path", str(SUITES / "plain"), "--top-dir", str(SUITES))
        self.run_engine(*stestr, "init")
        process = self.run_engine(*stestr, "run", "--concurrency", "2")
        self.assert_found(process, ALL)

    def test_zope_testrunner(self):
        """zope.testrunner, which runs no class fixtures."""
        need_elsewhere("zope")
        process = self.run_engine(
            "-m", "zope.testrunner", f"--test-path={SUITES}", "-s", "plain", "--tests-pattern", "^test_"
        )
        self.assert_found(process, ALL - FIXTURES)

    def test_xmlrunner(self):
        """unittest-xml-reporting, whose XML has the leaks as failures of their tests."""
        need_elsewhere("xmlrunner")
        out = self.folder / "out"
        process = self.run_engine(
            "-m", "xmlrunner", "discover", "-s", str(SUITES / "plain"), "-t", str(SUITES), "-o", str(out)
        )
        self.assert_found(process, ALL)
        written = "".join(path.read_text() for path in out.iterdir())
        self.assertEqual(written.count("<failure"), 3)
        self.assertIn("1 leak after test_leak (plain.test_threads.ThreadTests)", written)

    def test_coverage(self):
        """coverage run, around leakguard's runner."""
        need_elsewhere("coverage")
        process = self.run_engine(
            "-m", "coverage", "run", "-m", "leakguard", "discover", "-s", str(SUITES / "plain"), "-t", str(SUITES)
        )
        self.assert_found(process, ALL)


class DjangoTests(EngineTestCase):
    """Django's ``manage.py test``."""

    def setUp(self):
        need_elsewhere("django")
        need_elsewhere("daphne")
        need_elsewhere("channels")
        need_elsewhere("tblib")
        super().setUp()

    def run_django(self, *arguments, guarded_by):
        """Run the suite of Django's cases."""
        manage = str(SUITES / "manage.py")
        return self.run_engine(manage, "test", "database", *arguments, GUARDED_BY=guarded_by)

    def test_mixin(self):
        """With the mixin before TestCase, TransactionTestCase, LiveServerTestCase, and a communicator of Channels'."""
        self.assert_found(self.run_django(guarded_by="mixin"), DATABASE)

    def test_mixin_in_parallel(self):
        """The same in workers."""
        self.assert_found(self.run_django("--parallel", "2", guarded_by="mixin"), DATABASE)

    def test_runner(self):
        """Without the mixin, by a TEST_RUNNER."""
        self.assert_found(self.run_django(guarded_by="runner"), DATABASE)

    def test_runner_in_parallel(self):
        """The same in workers."""
        self.assert_found(self.run_django("--parallel", "2", guarded_by="runner"), DATABASE)


