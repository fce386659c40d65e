"""Key tests in a run: what the scope ``key`` says at its end, what is measured, and ``--leak-advise``."""

import asyncio
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import unittest
from unittest import mock

from leakguard import LeakGuardAsyncTestCase, LeakGuardTestCase, key_test, leak_policy, origin, policy, timing
from leakguard.case import TestGuard
from leakguard.proposal import advice_of
from leakguard.report import text
from leakguard.runner import GuardedRunner, Record
from tests.doubles import BlockedTask, BlockedThread
from tests.suites import environment, leaks_of, own_record, run_python, suite_of


def run_guarded(*cases, advises=False, **flags):
    """Run classes with the runner and flags; return the record, the reports and the lines after unittest's own."""
    stream, record = io.StringIO(), Record()
    runner = type("Runner", (GuardedRunner,), {"record": record, "advises": advises})
    with own_record() as reports, mock.patch.dict(policy.command_line, grace=0.01, **flags):
        runner(stream=stream, verbosity=0).run(suite_of(*cases))
    lines = [line for line in stream.getvalue().splitlines() if line]
    last = max(i for i, line in enumerate(lines) if line.startswith(("OK", "FAILED", "NO TESTS RAN")))
    return record, reports, lines[last + 1 :]


def without_times(lines):
    """The lines with T for every duration."""
    return [re.sub(r"\d+(\.\d+)? (us|ms|s)\b", "T", line) for line in lines]


def case(name, *functions, base=unittest.TestCase, **attributes):
    """A class of tests called `name`, of module ``suite``."""
    return type(name, (base,), {"__module__": "suite", **{one.__name__: one for one in functions}, **attributes})


@key_test("auth")
def test_token(self):
    """A key test with a category."""


@key_test
def test_key(self):
    """A key test without."""


def test_plain(self):
    """No key test."""


def methods():
    """The methods of the guard that may be wrapped."""
    return [vars(TestGuard).get(name) for name in ("__init__", "end", *timing.CHECKS)]


class EndOfRunTests(unittest.TestCase):
    """What the end of a run says."""

    def test_nothing_in_the_scope_all(self):
        """Without the scope ``key`` nothing is said and nothing is wrapped, key tests or not."""
        before, during = methods(), []

        def test_look(case):
            during.extend(methods())

        record, _, lines = run_guarded(case("Tests", test_token, test_key, test_plain, test_look))
        self.assertEqual((lines, record.courses), ([], []))
        self.assertEqual(during, before)

    def test_categories_and_costs(self):
        """By flag: each category with its key tests and what the check and the test cost."""
        before = methods()
        _, _, lines = run_guarded(case("Hub", test_token, test_key, test_plain), case("Auth", test_token), scope="key")
        self.assertEqual(
            without_times(lines),
            [
                "Key tests: 3 of 4 tests, checks T, tests T",
                "  auth",
                "    check T, test T  suite.Hub.test_token",
                "    check T, test T  suite.Auth.test_token",
                "  suite.Hub",
                "    check T, test T  suite.Hub.test_key",
            ],
        )
        self.assertEqual(methods(), before)

    def test_who_has_none(self):
        """A class without a key test is named, a module without one once for all of its classes."""
        other = {"__module__": "other"}
        cases = [case("One", test_key), case("Two", test_plain), case("A", test_plain, **other), case("B", test_plain)]
        cases[3].__module__ = "other"
        _, _, lines = run_guarded(*cases, scope="key")
        self.assertEqual(lines[-2:], ["No key test in class suite.Two", "No key test in module other"])
        _, _, lines = run_guarded(case("Two", test_plain), scope="key")
        self.assertEqual(lines, ["Key tests: 0 of 1 test", "No key test in module suite"])

    def test_by_environment(self):
        """``LEAKGUARD_SCOPE=key`` does the same."""
        process = run_python("-m", "leakguard", "planted_clean", cwd=PLANTED, LEAKGUARD_SCOPE="key")
        said = process.stderr.splitlines()[-2:]
        self.assertEqual(said, ["Key tests: 0 of 2 tests", "No key test in module planted_clean"])

    def test_by_class(self):
        """By attribute or decorator of a class, from that class on; tests of the scope ``all`` are not counted."""
        scoped = leak_policy(scope="key")(case("Decorated", test_plain, base=LeakGuardTestCase))
        for keyed in (case("Tests", test_key, test_plain, leak_scope="key"), scoped):
            with self.subTest(keyed.__name__):
                record, _, lines = run_guarded(case("Before", test_key), keyed, case("After", test_key))
                self.assertEqual(without_times(lines)[0][:12], "Key tests: " + str(int(keyed is not scoped)))
                self.assertEqual({test.class_name for test in record.scoped_tests()}, {f"suite.{keyed.__name__}"})

    def test_switched_off(self):
        """With the action ``off`` there is no key test to speak of."""
        self.assertEqual(run_guarded(case("Tests", test_key), scope="key", action="off")[2], [])

    def test_outcomes_stay(self):
        """What is measured is checked as ever: a key test that leaks fails, another one does not; each kind of case."""
        outer = self

        def test_plain(case):
            BlockedThread(name="plain").start_in(outer)

        @key_test
        def test_key(case):
            BlockedThread(name="key").start_in(outer)

        for base in (unittest.TestCase, LeakGuardTestCase, unittest.IsolatedAsyncioTestCase, LeakGuardAsyncTestCase):
            with self.subTest(base.__name__):
                _, reports, lines = run_guarded(case("Tests", test_key, test_plain, base=base), scope="key")
                self.assertEqual(leaks_of(reports), [("suite.Tests.test_key", "thread", "key")])
                self.assertTrue(any(line.startswith("Key tests: 1 of 2 tests, ") for line in lines), lines)

    def test_a_run_inside_a_test(self):
        """Tests that a test runs inside are that run's affair."""

        @key_test
        def test_outer(test):
            self.inner = run_guarded(case("Inner", test_token), scope="key")[0]
            case("Plain", test_token, base=LeakGuardTestCase)("test_token").debug()

        before = methods()
        record, _, _ = run_guarded(case("Outer", test_outer), scope="key")
        self.assertEqual([course.id for course in record.courses], ["suite.Outer.test_outer"])
        self.assertEqual([course.id for course in self.inner.courses], ["suite.Inner.test_token"])
        self.assertEqual(methods(), before)


class MeasureTests(unittest.TestCase):
    """Seconds, on a clock that the test turns."""

    def test_check_and_test_apart(self):
        """The check's time is the guard's begin, look, verdict and end; the rest is the test's own."""
        now = [0.0]
        self.enter(mock.patch.object(timing._compat, "clock", lambda: now[0]))

        def advancing(name, seconds):
            method = getattr(TestGuard, name)

            def wrapped(*args, **kwargs):
                now[0] += seconds
                return method(*args, **kwargs)

            self.enter(mock.patch.object(TestGuard, name, wrapped))

        for name, seconds in (("__init__", 1.0), ("is_clean", 10.0), ("end", 100.0)):
            advancing(name, seconds)

        @key_test
        def test(case):
            now[0] += 1000.0

        record, _, lines = run_guarded(case("Tests", test), scope="key")
        [course] = record.courses
        self.assertEqual((course.checked, course.seconds), (111.0, 1000.0))
        self.assertIn("    check 111.00 s, test 1000.00 s  suite.Tests.test", lines)

    def enter(self, patch):
        patch.start()
        self.addCleanup(patch.stop)

    def test_units(self):
        """Microseconds below a millisecond, milliseconds below a second."""
        tests = [text.ScopedTest("i", "c", "m", "", *times) for times in ((0.0000124, 0.0015), (1.25, 0.0))]
        self.assertEqual(
            text.key_tests(tests),
            [
                "Key tests: 2 of 2 tests, checks 1.25 s, tests 1.5 ms",
                "  c",
                "    check 12 us, test 1.5 ms  i",
                "    check 1.25 s, test 0 us  i",
            ],
        )
        self.assertEqual(text.key_tests([]), [])


async def nothing():
    """A coroutine that ends at once."""


class ObservationTests(unittest.TestCase):
    """What is seen of births and load while key tests are being proposed."""

    def observe(self, *functions, base=unittest.TestCase, **attributes):
        """Run functions as the tests of one class; return method -> its course."""
        before = origin.birth_listeners[:]
        record = run_guarded(case("Tests", *functions, base=base, **attributes), advises=True)[0]
        self.assertEqual(origin.birth_listeners, before)
        return {course.method: course for course in record.courses}

    def lines(self, course):
        """(kind, function) of the creating lines of a course."""
        return sorted((kind, code.co_name) for kind, code, _ in course.births)

    def test_births_of_every_kind(self):
        """Threads, raw threads, children and tasks are told with the user's line, to the test that owns them."""

        def test_thread(case):
            BlockedThread().start_in(case)

        def test_thread_in_thread(case):
            def inside():
                thread = threading.Thread(target=int)
                thread.start()
                thread.join()

            thread = threading.Thread(target=inside)
            thread.start()
            thread.join()

        def test_process(case):
            subprocess.run([sys.executable, "-c", ""], check=True)

        def test_task(case):
            asyncio.run(nothing())

        def test_none(case):
            pass

        courses = self.observe(test_thread, test_thread_in_thread, test_process, test_task, test_none)
        found = {name: self.lines(course) for name, course in courses.items()}
        self.assertEqual(
            found,
            {
                "test_thread": [("thread", "start_blocked")],
                "test_thread_in_thread": [("thread", "inside"), ("thread", "test_thread_in_thread")],
                "test_process": [("process", "test_process")],
                "test_task": [("task", "test_task")],
                "test_none": [],
            },
        )

    def test_tasks_in_debug_mode_and_not(self):
        """The line of a task is told in asyncio's debug mode too, and unittest's own tasks have none."""

        async def test_task(case):
            await asyncio.ensure_future(nothing())

        async def test_none(case):
            await asyncio.sleep(0)

        for base, options in [
            (unittest.IsolatedAsyncioTestCase, {}),
            (LeakGuardAsyncTestCase, {}),
            (LeakGuardAsyncTestCase, {"loop_debug": False}),
        ]:
            with self.subTest(base.__name__, **options):
                courses = self.observe(test_task, test_none, base=base, **options)
                self.assertEqual(self.lines(courses["test_task"]), [("task", "test_task")])
                self.assertEqual(self.lines(courses["test_none"]), [])

    def test_load_of_threads(self):
        """The load is how many threads were alive at once, beyond those at the test's begin."""
        outer = self

        def test_1_three_that_stay(case):
            for _ in range(3):
                BlockedThread().start_in(outer)

        def test_2_one_after_the_other(case):
            for _ in range(3):
                BlockedThread().start_blocked().end()

        courses = self.observe(test_1_three_that_stay, test_2_one_after_the_other)
        self.assertEqual([course.load for course in courses.values()], [3, 1])

    def test_load_of_tasks(self):
        """Tasks count while they are pending; above 16 the count is right to within a sixteenth."""

        async def test_1_many(case):
            tasks = [BlockedTask() for _ in range(40)]
            for task in tasks:
                await task.end()

        async def test_2_one_after_the_other(case):
            for _ in range(20):
                await BlockedTask().end()

        for debug in (True, False):
            with self.subTest(debug=debug):
                functions = test_1_many, test_2_one_after_the_other
                courses = self.observe(*functions, base=LeakGuardAsyncTestCase, loop_debug=debug)
                many, few = [course.load for course in courses.values()]
                self.assertTrue(37 <= many <= 42, many)
                self.assertTrue(1 <= few <= 4, few)

    def test_fixtures(self):
        """What a class's fixtures create belongs to no test."""

        def test(case):
            pass

        def setUpClass(cls):
            thread = BlockedThread().start_blocked()
            cls.addClassCleanup(thread.end)

        record, _, _ = run_guarded(case("Tests", test, setUpClass=classmethod(setUpClass)), advises=True)
        self.assertEqual([kind for kind, _, _ in record.fixture_births], ["thread"])
        self.assertEqual(record.courses[0].births, set())

    def test_skipped_tests_are_not_proposed(self):
        """A skipped test has shown nothing."""

        @unittest.skip("no")
        def test_a(case):
            pass

        def test_b(case):
            pass

        record, _, _ = run_guarded(case("Tests", test_a, test_b), advises=True)
        advice = advice_of(record, os.getcwd())
        self.assertTrue(advice.startswith("Key tests proposed: 1 of 1 test, "), advice)
        self.assertIn("  suite.Tests.test_b: module suite has no source file\n", advice)


PLANTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "planted")

BASE = '''
"""Tests that others inherit."""

import threading
import unittest


class Base(unittest.TestCase):
    def test_inherited(self):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
'''

SUITE = '''
"""A suite of every shape."""

import asyncio
import subprocess
import sys
import unittest
from unittest import mock

import base


class A(base.Base):
    def test_a_first(self):
        print("--- a line of its own")

    @unittest.skip("not today")
    def test_skipped(self):
        pass


class B(base.Base):
    pass


class C(unittest.IsolatedAsyncioTestCase):
    @mock.patch("os.getcwd")
    async def test_crowd(self, getcwd):
        done = asyncio.Event()
        tasks = [asyncio.create_task(done.wait()) for _ in range(10)]
        done.set()
        await asyncio.gather(*tasks)


def make():
    class D(unittest.TestCase):
        def test_child(self):
            subprocess.run([sys.executable, "-c", ""], check=True)

    return D


D = make()


class E(unittest.TestCase):
    pass


def a_task(self):
    asyncio.run(asyncio.sleep(0))


for number in range(2):
    setattr(E, f"test_{number}", a_task)
'''


class AdviceTests(unittest.TestCase):
    """``--leak-advise``, from the run to ``git apply`` and the next run."""

    maxDiff = None

    def setUp(self):
        if shutil.which("git") is None:
            self.skipTest("git is not installed")
        self.folder = os.path.realpath(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.tests = os.path.join(self.folder, "tests")
        os.mkdir(self.tests)
        self.write("base.py", BASE.lstrip())
        self.write("test_suite.py", SUITE.lstrip().replace("\n", "\r\n"))
        self.git("init", "-q")

    def write(self, name, source):
        with open(os.path.join(self.tests, name), "w", encoding="utf-8", newline="") as file:
            file.write(source)

    def git(self, *words, given=""):
        environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", *words], cwd=self.folder, env=environ, input=given.encode(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stdout.decode() + given)

    def run_suite(self, *arguments):
        process = subprocess.run(
            [sys.executable, "-B", "-m", "leakguard", *arguments, "test_suite"],
            cwd=self.tests, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        self.assertEqual(process.returncode, 0, process.stderr.decode())
        return process.stdout.decode(), process.stderr.decode()

    def test_from_advice_to_key_tests(self):
        """The patch applies, whatever the tests printed; afterwards its tests are the key tests."""
        advice, _ = self.run_suite("--leak-advise")
        self.assertIn("test_suite.A.test_a_first: ", advice)
        self.assertIn("      first of the suite\n", advice)
        self.assertIn("      highest load, threads and tasks at once: ", advice)
        self.assertRegex(advice, r"  test_suite\.[AB]\.test_inherited: ")
        self.assertIn("      defined in Base, so marked in every class that inherits it\n", advice)
        self.assertRegex(advice, r"  E\.test_[01]: no def of that name in tests/test_suite\.py: made by a loop")
        self.assertNotIn("test_skipped: ", advice)
        self.git("apply", "-", given=advice)
        with open(os.path.join(self.tests, "test_suite.py"), encoding="utf-8", newline="") as file:
            source = file.read()
        self.assertEqual(source.count("\n"), source.count("\r\n"))
        self.assertIn("import base\r\nfrom leakguard import key_test\r\n", source)
        mark = r'@key_test\("[^"]+"\)\r\n'
        self.assertRegex(source, f"    {mark}    def test_a_first")
        self.assertRegex(source, rf"    {mark}    @mock\.patch\(\"os\.getcwd\"\)\r\n    async def test_crowd")
        self.assertRegex(source, f"        {mark}        def test_child")
        with open(os.path.join(self.tests, "base.py"), encoding="utf-8") as file:
            base = file.read()
        self.assertIn("import unittest\nfrom leakguard import key_test\n\n\nclass Base", base)
        self.assertRegex(base, r'    @key_test\("[^"]+"\)\n    def test_inherited')
        _, said = self.run_suite("--leak-scope", "key")
        self.assertRegex(said, "Key tests: 5 of [78] tests, ")  # 3.12.1 does not tell the result of a skipped test
        inherited = "A.test_inherited", "B.test_inherited"
        for test in ("A.test_a_first", *inherited, "C.test_crowd", "make.<locals>.D.test_child"):
            self.assertIn(f"  test_suite.{test}\n", said)
        self.assertIn("No key test in class test_suite.E\n", said)

    def test_what_a_run_says_stays(self):
        """Standard error has what a run says, standard output the advice; the exit status is the run's."""
        _, said = self.run_suite("--leak-advise")
        self.assertNotIn("Key tests", said)
        process = run_python("-m", "leakguard", "--leak-advise", "planted_leaks", cwd=PLANTED, LEAKGUARD_GRACE="0")
        self.assertEqual(process.returncode, 1)
        self.assertIn("Leaks: 3 in 3 tests, by the line that created them\n", process.stderr)
        self.assertTrue(process.stdout.startswith("Key tests proposed: "), process.stdout)

    def test_where_nothing_ran(self):
        """A run without a test says so, with its own status; what could not be imported is no test."""
        for name, status in (("planted_empty", 5), ("planted_skips", 0), ("planted_is_missing", 1)):
            with self.subTest(name):
                process = run_python("-m", "leakguard", "--leak-advise", name, cwd=PLANTED)
                self.assertEqual(process.stdout, "No test ran, so there are no key tests to propose\n")
                self.assertEqual(process.returncode, status)

    def test_a_folder_that_is_no_repository(self):
        """Without a repository paths are those below the folder of the run, where git applies it as well."""
        shutil.rmtree(os.path.join(self.folder, ".git"))
        if os.path.exists(os.path.join(os.path.dirname(self.folder), ".git")):
            self.skipTest("the temporary folder is in a repository")
        advice, _ = self.run_suite("--leak-advise")
        self.assertIn("\n--- a/test_suite.py\n", advice.replace("\r\n", "\n"))


if __name__ == "__main__":
    unittest.main()
