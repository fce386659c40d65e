"""The runner: what it guards, what it says at the end of a run, and what it leaves to unittest."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import types
import unittest
from unittest import mock

from leakguard import LeakGuardTestCase, check, leak_policy, policy, runner
from leakguard.runner import GuardedRunner
from tests.doubles import BlockedThread
from tests.suites import environment, leaks_of, own_record, run_python, suite_of

PLANTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "planted")


def run_planted(*arguments, **environ):
    """Run ``python -m leakguard`` among the planted suites, impatiently."""
    environ.setdefault("LEAKGUARD_GRACE", "0")
    return run_python("-m", "leakguard", *arguments, cwd=PLANTED, **environ)


def after_ran(process):
    """The lines of standard error after unittest's own last word."""
    lines = process.stderr.splitlines()
    words = ("OK", "FAILED (failures", "FAILED (errors", "NO TESTS RAN", "Ran ")
    last = max(i for i, line in enumerate(lines) if line.startswith(words))
    return [line for line in lines[last + 1 :] if line]


class RunnerTests(unittest.TestCase):
    """In this process."""

    def run_guarded(self, *cases, **options):
        """Run classes with the runner; return the result, the reports and the text."""
        stream = io.StringIO()
        with own_record() as reports, mock.patch.dict(policy.command_line, grace=0.01):
            result = GuardedRunner(stream=stream, verbosity=0, **options).run(suite_of(*cases))
        return result, reports, stream.getvalue()

    def test_checked_once(self):
        """A test with the mixin is checked once under the runner, as is a plain one."""
        outer = self

        class Body:
            def test(self):
                BlockedThread(name="left").start_in(outer)

        for base in (LeakGuardTestCase, unittest.TestCase):
            case = type("Case", (Body, base), {"__module__": __name__})
            result, reports, _ = self.run_guarded(case)
            self.assertEqual((len(result.failures), result.errors), (1, []))
            self.assertEqual(leaks_of(reports), [(f"{__name__}.Case.test", "thread", "left")])

    def test_fixtures_while_output_is_buffered(self):
        """With -b, too, a class and a module that leave something are errors, and what comes after them runs."""
        outer, module = self, types.ModuleType("a_module")
        module.tearDownModule = lambda: BlockedThread(name="of the module").start_in(outer)

        class First(unittest.TestCase):
            __module__ = module.__name__

            @classmethod
            def tearDownClass(cls):
                print("not shown")
                BlockedThread(name="of the class").start_in(outer)

            def test(self):
                pass

        class Second(unittest.TestCase):
            def test(self):
                pass

        output = io.BytesIO()  # no StringIO, which would look as if output were buffered
        stdout = io.TextIOWrapper(output, write_through=True)
        with mock.patch.dict(sys.modules, {module.__name__: module}), contextlib.redirect_stdout(stdout):
            result, reports, _ = self.run_guarded(First, Second, buffer=True)
        names = [f"tearDownClass (a_module.{First.__qualname__})", "tearDownModule (a_module)"]
        self.assertEqual([test.id() for test, _ in result.errors], names)
        self.assertEqual([name for _, _, name in leaks_of(reports)], ["of the class", "of the module"])
        self.assertEqual((result.testsRun, output.getvalue()), (2, b""))

    def test_unused_rules_of_classes(self):
        """So is a rule of a class or a test that ran, once; of many, the first five."""
        outer = self

        class Base(unittest.TestCase):
            leak_ignore = {"thread:left": "used", "thread:base": "not used"}

        class First(Base):
            @leak_policy(ignore=["thread:test"])
            def test(self):
                BlockedThread(name="left").start_in(outer)

        class Second(Base):
            leak_ignore = [f"task:{letter}" for letter in "abcdef"]

            def test(self):
                pass

        class NotRun(unittest.TestCase):
            leak_ignore = ["thread:other"]

        result, _, text = self.run_guarded(First, Second, NotRun)
        self.assertTrue(result.wasSuccessful())
        lines = ["thread:base", "thread:test", "task:a", "task:b", "task:c", "3 more"]
        self.assertEqual([line for line in text.splitlines() if "Unused" in line], [f"Unused ignore: {line}" for line in lines])
        self.run_guarded(First)
        self.assertNotIn("task:a", self.run_guarded(First)[2])

    def test_result_mixin_and_mixin(self):
        """A result with our mixin ends the guard of no test that has the mixin of test cases, with a report neither."""
        outer = self

        class Result(runner.ResultMixin, unittest.TestResult):
            pass

        class Case(LeakGuardTestCase):
            def test(self):
                BlockedThread(name="left").start_in(outer)

        told = mock.Mock()
        with own_record() as reports:
            check.course_listeners.append(told)
            unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(Result())
        self.assertEqual([name for _, _, name in leaks_of(reports)], ["left"])
        guards = [guard for (guard,), _ in told.ends.call_args_list if guard.scope == "test"]
        self.assertEqual([guard.method for guard in guards], ["test"])

    def test_do_cleanups_called_by_the_test(self):
        """A plain test that calls self.doCleanups() itself is still checked at its end, once."""
        outer = self

        class Case(unittest.TestCase):
            def test_clean(self):
                thread = BlockedThread().start_blocked()
                self.doCleanups()
                self.addCleanup(thread.end)

            def test_leak(self):
                BlockedThread(name="left").start_in(outer)
                self.doCleanups()

        result, reports, _ = self.run_guarded(Case)
        self.assertEqual([test._testMethodName for test, _ in result.failures], ["test_leak"])
        self.assertEqual([name for _, _, name in leaks_of(reports)], ["left"])

    def test_foreign_run(self):
        """A class whose own run() resets the cleanups before it tells the result is checked all the same."""
        outer = self

        class Case(unittest.TestCase):
            def run(self, result=None):
                self._cleanups = []
                result.startTest(self)
                try:
                    self.test()
                    self.doCleanups_of_mine()
                    result.addSuccess(self)
                except AssertionError:
                    result.addFailure(self, sys.exc_info())
                finally:
                    result.stopTest(self)

            def doCleanups_of_mine(self):
                while self._cleanups:
                    function, args, kwargs = self._cleanups.pop()
                    function(*args, **kwargs)

            def test(self):
                BlockedThread(name="left").start_in(outer)

        result, reports, _ = self.run_guarded(Case)
        self.assertEqual(len(result.failures), 1)
        self.assertEqual([name for _, _, name in leaks_of(reports)], ["left"])

    def test_tests_are_as_before(self):
        """After a run, its tests have nothing of the guard's on them."""

        class Case(unittest.TestCase):
            def test(self):
                pass

        tests = [Case("test")]
        before = set(vars(tests[0]))
        with own_record():
            GuardedRunner(stream=io.StringIO()).run(unittest.TestSuite(tests))
        self.assertEqual(set(vars(tests[0])) - before - {"_leakguard_guard"}, set())

    def test_text_of_a_clean_run(self):
        """A clean run says what unittest's runner says, and nothing more."""

        class Case(unittest.TestCase):
            def test(self):
                pass

        _, _, text = self.run_guarded(Case)
        self.assertEqual([line for line in text.splitlines() if not line.startswith("Ran ")], ["-" * 70, "", "OK"])

    def test_run_inside_a_run(self):
        """A test may run a guarded suite itself: each run has its own leaks."""
        outer = self
        inner_reports = []

        class Inner(unittest.TestCase):
            def test(self):
                BlockedThread(name="inner").start_in(outer)

        class Case(unittest.TestCase):
            def test(self):
                inner_reports.extend(outer.run_guarded(Inner)[1])

        result, reports, _ = self.run_guarded(Case)
        self.assertEqual((result.wasSuccessful(), leaks_of(reports)), (True, []))
        self.assertEqual([name for _, _, name in leaks_of(inner_reports)], ["inner"])


    def test_plain_run_inside_a_run(self):
        """A suite that a test runs with a result of its own does not end the guard of the module around that test."""
        process = run_planted("planted_inner")
        self.assertEqual(process.returncode, 0, process.stderr)


class SummaryTests(unittest.TestCase):
    """What a run says at its end."""

    def test_grouped_by_line(self):
        """Leaks are grouped by the line that created them, most frequent first, with an example."""
        process = run_planted("planted_leaks")
        self.assertEqual(process.returncode, 1)
        self.assertEqual(
            after_ran(process),
            [
                "Leaks: 3 in 3 tests, by the line that created them",
                "     2 x thread   planted_leaks.py:10 in start",
                "                  2 tests, e.g. planted_leaks.LeakTests.test_b",
                "     1 x thread   planted_leaks.py:15 in LeakTests.test_a",
                "                  planted_leaks.LeakTests.test_a",
                "Growth over the run: threads 1 -> 4, tasks 0 -> 0",
            ],
        )

    def test_unused_rules(self):
        """A rule of the command line or the environment that matched nothing is named; one that did is not."""
        process = run_planted(
            "--leak-ignore", "thread:nobody", "--leak-ignore", "thread:often-*", "planted_leaks",
            LEAKGUARD_IGNORE="process:*;thread:seldom",
        )  # fmt: skip
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertEqual(after_ran(process)[1:], ["Unused ignore: process:*", "Unused ignore: thread:nobody"])

    def test_load_tests(self):
        """Fixtures are guarded in the plain TestSuites that load_tests() makes: one failure for each scope."""
        process = run_planted("planted_load_tests")
        heads = [line for line in process.stderr.splitlines() if line.startswith(("ERROR: ", "FAIL: "))]
        self.assertEqual(
            [head.split("(")[0] + head.split("(")[1].rstrip(")") for head in heads],
            [
                "ERROR: tearDownClass planted_load_tests.FirstTests",
                "ERROR: tearDownModule planted_load_tests",
                "FAIL: test_2 planted_load_tests.FirstTests" + (".test_2" if sys.version_info >= (3, 11) else ""),
            ],
        )
        self.assertEqual(process.returncode, 1)

    def test_leftovers_of_the_run(self):
        """What no test, class or module made fails the run, and no test."""
        process = run_planted("planted_run")
        self.assertEqual(process.returncode, 1)
        self.assertIn("\nOK\n", process.stderr)
        self.assertEqual(
            [line for line in after_ran(process) if not line.startswith(("leakguard.LeakError", "    now at", "    fix"))],
            [
                "=" * 70,
                "FAIL: the run",
                "-" * 70,
                "  thread 'of the run' (daemon, alive)",
                "    created at  planted_run.py:11 in Suite.run",
                "To allow one: leak_ignore = {\"thread:of the run\": \"why\"}",
                "Leaks: 1 in 1 test, by the line that created them",
                "     1 x thread   planted_run.py:11 in Suite.run",
                "                  unattributed",
                "Growth over the run: threads 1 -> 2, tasks 0 -> 0",
                "FAILED (leaks of the run=1)",
            ],
        )

    def test_mixin_and_guard_module(self):
        """Classes with the mixin and a module with guard_module() are reported once, with the runner and without."""
        for arguments in (["-m", "leakguard"], ["-m", "unittest"]):
            process = run_python(*arguments, "planted_mixin", cwd=PLANTED, LEAKGUARD_GRACE="0")
            lines = [line for line in process.stderr.splitlines() if "LeakError: " in line]
            self.assertEqual(
                [line.partition("LeakError: ")[2].split(", waited")[0] for line in lines],
                [
                    "1 leak after class planted_mixin.MixinTests",
                    "1 leak after module planted_mixin",
                    "1 leak after test_leak (planted_mixin.MixinTests)",
                ],
            )
            self.assertEqual(process.returncode, 1)


class ExitTests(unittest.TestCase):
    """Ctrl-C, and threads that keep the process from exiting."""

    def start(self, *arguments):
        """Start a Python among the planted suites, which reads from a pipe."""
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=PLANTED,
            env=environment(LEAKGUARD_GRACE="0"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdin.close)
        return process

    def read_until(self, process, start):
        """Read its standard error up to a line that starts so, while the process cannot exit; return the next one."""
        for line in process.stderr:
            if line.startswith(start):
                return next(process.stderr).rstrip("\n")
        self.fail(f"no line starts with {start!r}")

    def test_named_before_the_process_hangs(self):
        """The runner names a non-daemon thread, its line and its test before the interpreter waits for it, once."""
        for name, line in [("HangTests", 18), ("GuardedHangTests", 25)]:
            with self.subTest(name=name):
                process = self.start("-m", "leakguard", f"planted_hangs.{name}")
                self.assertEqual(
                    self.read_until(process, "Will keep the process from exiting:"),
                    f"  thread 'holds-the-process' created at planted_hangs.py:{line} in {name}.test, "
                    f"started by planted_hangs.{name}.test",
                )
                self.assertIsNone(process.poll())
                process.stdin.close()
                self.assertEqual(process.stderr.read(), "")
                self.assertEqual(process.wait(), 1)

    def test_named_without_the_runner(self):
        """Without the runner it is named when the interpreter is about to wait."""
        process = self.start("-m", "unittest", "planted_hangs.GuardedHangTests")
        self.assertEqual(
            self.read_until(process, "leakguard: Will keep the process from exiting:"),
            "  thread 'holds-the-process' created at planted_hangs.py:25 in GuardedHangTests.test, "
            "started by planted_hangs.GuardedHangTests.test",
        )
        self.assertIsNone(process.poll())
        process.stdin.close()
        self.assertEqual(process.wait(), 1)

    def test_ctrl_c(self):
        """After Ctrl-C the summary is printed and the report written, with the leak of the interrupted test."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "leaks.json")
            process = run_planted("--leak-report", path, "planted_interrupt.InterruptTests")
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
        self.assertIn(process.returncode, (-signal.SIGINT, 128 + signal.SIGINT))
        self.assertIn(
            "Leaks: 2 in 2 tests, by the line that created them\n"
            "     1 x thread   planted_interrupt.py:17 in InterruptTests.test_1\n"
            "                  planted_interrupt.InterruptTests.test_1\n"
            "     1 x thread   planted_interrupt.py:20 in InterruptTests.test_2\n"
            "                  planted_interrupt.InterruptTests.test_2\n",
            process.stderr,
        )
        self.assertTrue(process.stderr.rstrip().endswith("KeyboardInterrupt"))
        self.assertEqual([leak["name"] for leak in report["leaks"]], ["before", "during"])
        outcomes = [(test["id"].rpartition(".")[2], test["outcome"]) for test in report["tests"]]
        self.assertEqual(outcomes, [("test_1", "failed"), ("test_2", "unknown")])

    def test_ctrl_c_caught(self):
        """With -c, unittest stops after the interrupted test, which is checked, and the summary comes as ever."""
        process = run_planted("-c", "planted_interrupt.CaughtTests")
        self.assertEqual(process.returncode, 1, process.stderr)
        self.assertIn("Ran 1 test in", process.stderr)
        self.assertEqual(
            after_ran(process),
            [
                "Leaks: 1 in 1 test, by the line that created them",
                "     1 x thread   planted_interrupt.py:30 in CaughtTests.test_1",
                "                  planted_interrupt.CaughtTests.test_1",
                "Growth over the run: threads 1 -> 2, tasks 0 -> 0",
            ],
        )
