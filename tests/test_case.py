"""How a test under `LeakGuardMixin` lives: where leaks begin, when the verdict comes, what the policy makes of it."""

import asyncio
import copy
import functools
import gc
import io
import pickle
import re
import signal
import subprocess
import sys
import threading
import unittest
import unittest.mock
import weakref

from leakguard import LeakError, LeakGuard, LeakGuardMixin, LeakGuardTestCase, key_test, leak_policy, origin
from leakguard.runner import GuardedRunner
from tests.doubles import BlockedThread
from tests.suites import error_lines, leaks_of, own_record, run_inner, suite_of

HERE = origin.show_path(__file__)


def normal(text):
    """A message with its numbers of lines and seconds taken out."""
    return re.sub(r"waited \d+\.\d\d s", "waited N s", re.sub(r":\d+ in ", ":N in ", text.replace(HERE, "here.py")))


class _CopiedPlain(unittest.TestCase):
    """What a pickle can name."""

    leak_grace = 0.01
    look = None

    def copied(self):
        """Do what the outer test wants."""
        self.look()


class _Copied(LeakGuardMixin, _CopiedPlain):
    """The same with the mixin."""


class _CopiedWithRun(_CopiedPlain):
    """The same with a way of its own to run tests."""

    def run(self, result=None):
        """Run it."""
        return super().run(result)


class GuardedCase(LeakGuardTestCase):
    """What inner classes derive from: impatient, and without tests of its own."""

    leak_grace = 0.01


class LeaksTestCase(unittest.TestCase):
    """A test whose inner tests leak threads, which its own cleanups end."""

    def leak(self, name="left", **options):
        """Start a blocked thread that only the outer test ends."""
        return BlockedThread(name=name, **options).start_in(self)

    def assert_leaks(self, case, names, *, method="test"):
        """The one test of a class fails exactly once, for the threads with these names."""
        result, reports = run_inner(case)
        test_id = f"{__name__}.{case.__qualname__}.{method}"
        title = f"{method} ({__name__}.{case.__qualname__})"
        count = "1 leak" if len(names) == 1 else f"{len(names)} leaks"
        self.assertEqual(result.errors, [])
        self.assertEqual(
            [(test, normal(line)) for test, line in error_lines(result)],
            [(test_id, f"leakguard.LeakError: {count} after {title}, waited N s")],
        )
        self.assertEqual(leaks_of(reports), [(test_id, "thread", name) for name in names])
        return result

    def assert_clean(self, *cases, tests=1):
        """Every test of some classes passes, and nothing is on record."""
        result, reports = run_inner(*cases)
        self.assertEqual((result.failures, result.errors), ([], []))
        self.assertEqual(result.testsRun, tests)
        self.assertEqual(leaks_of(reports), [])


class PlaceTests(LeaksTestCase):
    """Wherever in the course of a test a leak begins, the test fails."""

    def test_set_up(self):
        """A leak in setUp is the test's, whether or not setUp calls super()."""
        outer = self

        class Case(GuardedCase):
            def setUp(self):
                outer.leak()

            def test(self):
                pass

        self.assert_leaks(Case, ["left"])

    def test_tear_down(self):
        """A leak in tearDown is the test's."""
        outer = self

        class Case(GuardedCase):
            def test(self):
                pass

            def tearDown(self):
                outer.leak()

        self.assert_leaks(Case, ["left"])

    def test_cleanup(self):
        """A leak in a cleanup is the test's, the first registered, which runs last, included."""
        outer = self

        class Case(GuardedCase):
            def setUp(self):
                self.addCleanup(outer.leak, "by the last cleanup")

            def test(self):
                self.addCleanup(outer.leak, "by the first cleanup")

        self.assert_leaks(Case, ["by the first cleanup", "by the last cleanup"])

    def test_cleanup_of_a_cleanup(self):
        """A leak in a cleanup that a cleanup registered is the test's."""
        outer = self

        class Case(GuardedCase):
            def test(self):
                self.addCleanup(self.addCleanup, outer.leak)

        self.assert_leaks(Case, ["left"])

    def test_cleanup_registered_before_run(self):
        """A leak in a cleanup that __init__ registered, so before the baseline, is the test's."""
        outer = self

        class Case(GuardedCase):
            def __init__(self, *args):
                super().__init__(*args)
                self.addCleanup(outer.leak)

            def test(self):
                pass

        self.assert_leaks(Case, ["left"])

    def test_subtests(self):
        """Leaks in several subtests are one failure of the test."""
        outer = self

        class Case(GuardedCase):
            def test(self):
                for number in range(3):
                    with self.subTest(number=number):
                        outer.leak(f"left-{number}")

        self.assert_leaks(Case, ["left-0", "left-1", "left-2"])

    def test_replaced_thread(self):
        """A thread that takes another's place is a leak, though their number is the same."""
        outer, before = self, BlockedThread(name="before").start_in(self)

        class Case(GuardedCase):
            def test(self):
                before.end()
                outer.leak("instead")

        self.assert_leaks(Case, ["instead"])

    def test_daemon_or_not(self):
        """Daemon or not, a thread is a leak."""
        for daemon in (True, False):
            with self.subTest(daemon=daemon):
                outer = self

                class Case(GuardedCase):
                    def test(self):
                        outer.leak(daemon=daemon)

                self.assert_leaks(Case, ["left"])

    def test_every_test_of_a_class(self):
        """Each leaking test fails for its own thread; what an earlier one left is no later one's."""
        outer = self

        class Case(GuardedCase):
            def test_1(self):
                outer.leak("first")

            def test_2(self):
                pass

            def test_3(self):
                outer.leak("third")

        result, reports = run_inner(Case)
        self.assertEqual([test._testMethodName for test, _ in result.failures], ["test_1", "test_3"])
        prefix = f"{__name__}.{Case.__qualname__}"
        self.assertEqual(
            leaks_of(reports), [(f"{prefix}.test_1", "thread", "first"), (f"{prefix}.test_3", "thread", "third")]
        )

    def test_process(self):
        """A child process that a test leaves is a leak, and is ended once it is on record."""
        children = []

        class Case(GuardedCase):
            def test(self):
                child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
                children.append(child)

        result, reports = run_inner(Case)
        self.addCleanup(children[0].stdin.close)
        self.assertEqual(len(result.failures), 1)
        self.assertEqual([leak.kind for report in reports for leak in report.leaks], ["process"])
        self.assertEqual(children[0].wait(), -signal.SIGTERM)

    def test_stacked_mixins(self):
        """A class that has the mixin twice over is checked once."""
        outer = self

        class Plain(LeakGuardMixin, unittest.TestCase):
            pass

        class Case(GuardedCase, Plain):
            def test(self):
                outer.leak()

        self.assert_leaks(Case, ["left"])


class MessageTests(LeaksTestCase):
    """What the failure says."""

    def test_whole_message(self):
        """The message names thread, line of creation, place of blocking, cure and rule; no line is leakguard's."""
        released = threading.Event()

        class Case(GuardedCase):
            def test(self):
                thread = threading.Thread(target=released.wait, name="hub-reader-3", daemon=True)
                thread.start()

        self.addCleanup(released.set)
        ((_, trace),) = run_inner(Case)[0].failures
        name = f"{__name__}.{Case.__qualname__}"
        self.assertEqual(
            normal(trace).splitlines(),
            [
                f"leakguard.LeakError: 1 leak after test ({name}), waited N s",
                "",
                "  thread 'hub-reader-3' (daemon, alive)",
                f"    created at  here.py:N in {Case.__qualname__}.test",
                "    now at      threading.py:N in Event.wait, waiting in threading.Event.wait",
                "    fix         stop the thread's loop and join() it in a cleanup: set() the Event that it waits for",
                "",
                "To allow one: leak_ignore = {\"thread:hub-reader-*\": \"why\"}",
            ],
        )

    def test_error_is_data(self):
        """LeakError.leaks has the leaks as plain data, with the test's id as their owner."""
        outer, caught = self, []

        class Result(unittest.TestResult):
            def addFailure(self, test, err):
                caught.append(err[1])

        class Case(GuardedCase):
            def test(self):
                outer.leak()

        run_inner(Case, result=Result())
        (error,) = caught
        self.assertIsInstance(error, LeakError)
        (leak,) = error.leaks
        self.assertEqual((leak.kind, leak.name, leak.counted), ("thread", "left", True))
        self.assertEqual(leak.owner, f"{__name__}.{Case.__qualname__}.test")


class LifeTests(LeaksTestCase):
    """When the verdict comes, and that it comes once."""

    def test_cleanups_in_any_order(self):
        """A thread that any cleanup ends is no leak, however the cleanups are nested and ordered."""

        class Case(GuardedCase):
            def setUp(self):
                self.thread = BlockedThread().start_in(self)
                self.late = BlockedThread()
                self.addCleanup(self.addCleanup, self.late.end)

            def test(self):
                self.late.start_blocked()
                self.addCleanup(BlockedThread().start_in(self).end)

            def tearDown(self):
                BlockedThread().start_in(self)

        self.assert_clean(Case)

    @unittest.skipIf(sys.version_info < (3, 11), "enterContext is new in 3.11")
    def test_enter_context(self):
        """A thread that an enterContext() ends is no leak."""

        class Thread(BlockedThread):
            def __enter__(self):
                return self.start_blocked()

            def __exit__(self, *_):
                self.end()

        class Case(GuardedCase):
            def setUp(self):
                self.enterContext(Thread())

            def test(self):
                self.enterContext(Thread())

        self.assert_clean(Case)

    def test_run_twice(self):
        """A test that is run twice is checked twice, and each leak is reported in the run that made it."""
        outer = self

        class Case(GuardedCase):
            names = ["first", None, "third"]

            def test(self):
                name = self.names.pop(0)
                if name:
                    outer.leak(name)

        test = Case("test")
        reported = []
        for _ in range(3):
            result = unittest.TestResult()
            with own_record() as reports:
                unittest.TestSuite([test]).run(result)
            reported.append((len(result.failures), [name for _, _, name in leaks_of(reports)]))
        self.assertEqual(reported, [(1, ["first"]), (0, []), (1, ["third"])])

    def test_run_twice_with_one_result(self):
        """What an earlier run of the same object has put into the result hides no leak of this one."""
        outer = self

        class Case(GuardedCase):
            runs = [("fail", None), ("pass", "second"), ("pass", None), ("pass", "fourth"), ("fail", "fifth")]

            def test(self):
                how, name = self.runs.pop(0)
                if name:
                    outer.leak(name)
                self.assertEqual(how, "pass")

        result = unittest.TestResult()
        with own_record() as reports, self.assertLogs("leakguard", "WARNING") as logged:
            unittest.TestSuite([Case("test")] * 5).run(result)
        leaking = ["created at" in text for _, text in result.failures]
        self.assertEqual(leaking, [False, True, True, False], result.failures)
        self.assertEqual([name for _, _, name in leaks_of(reports)], ["second", "fourth", "fifth"])
        self.assertEqual(len(logged.output), 1, logged.output)

    def test_copies(self):
        """A test that is pickled or copied while it runs, as Django does, takes no guard along; its copy has its own."""
        outer, copies = self, []

        def look(test):
            outcome, test._outcome = test._outcome, None
            copies.extend((pickle.loads(pickle.dumps(test)), copy.deepcopy(test)))
            test._outcome = outcome

        def run(test):
            GuardedRunner(stream=io.StringIO()).run(test)

        for base in (_Copied, _CopiedWithRun, _CopiedPlain):
            for start in (run, lambda test: test.debug()):
                copies.clear()
                with unittest.mock.patch.object(base, "look", look), own_record():
                    start(base("copied"))
                self.assertEqual([getattr(one, "_leakguard_guard", None) for one in copies], [None, None])
                for test in copies:
                    with self.subTest(base), own_record() as reports:
                        with unittest.mock.patch.object(base, "look", lambda _: outer.leak()):
                            run(test)
                        self.assertEqual([name for _, _, name in leaks_of(reports)], ["left"])

    def test_debug(self):
        """debug() raises LeakError for a leak, lets an error of the test through, and passes a clean test."""
        outer = self

        class Case(GuardedCase):
            def test_clean(self):
                BlockedThread().start_in(self)

            def test_leak(self):
                outer.leak()

            def test_error(self):
                outer.leak()
                raise OSError("its own")

        with own_record() as reports:
            Case("test_clean").debug()
            with self.assertRaises(LeakError) as caught:
                Case("test_leak").debug()
            with self.assertRaisesRegex(OSError, "^its own$"):
                Case("test_error").debug()
        self.assertEqual(
            normal(str(caught.exception)).splitlines()[0],
            f"1 leak after test_leak ({__name__}.{Case.__qualname__}), waited N s",
        )
        self.assertEqual(leaks_of(reports)[0], (f"{__name__}.{Case.__qualname__}.test_leak", "thread", "left"))

    def test_do_cleanups_called_by_the_test(self):
        """A test that calls self.doCleanups() itself is still checked at its end, once, and not before."""
        outer = self

        class Case(GuardedCase):
            def test_clean(self):
                thread = BlockedThread().start_blocked()
                self.doCleanups()
                self.addCleanup(thread.end)

            def test_leak_before(self):
                outer.leak("before")
                self.doCleanups()

            def test_leak_after(self):
                self.doCleanups()
                outer.leak("after")

        result, reports = run_inner(Case)
        self.assertEqual(result.errors, [])
        self.assertEqual(
            [test._testMethodName for test, _ in result.failures], ["test_leak_after", "test_leak_before"]
        )
        self.assertEqual([name for _, _, name in leaks_of(reports)], ["after", "before"])

    def test_nothing_of_a_leaking_test_is_kept(self):
        """Neither the leaked thread nor its guard keeps the test, nor what is in the frames of its failure."""
        outer, kept = self, []

        class Thing:
            pass

        class Case(GuardedCase):
            def test(self):
                self.thing = Thing()
                kept.append(weakref.ref(self.thing))
                outer.leak()

        suite = suite_of(Case)
        with own_record():
            suite.run(unittest.TestResult())
        del suite
        gc.collect()
        self.assertIsNone(kept[0]())

    def test_a_timer_that_starts_the_next_one(self):
        """For ever, it is one leak, and its test's: no class reports it again."""
        stopped = threading.Event()
        self.addCleanup(stopped.set)

        def tick():
            if not stopped.is_set():
                timer = threading.Timer(0.001, tick)
                timer.daemon = True
                timer.start()

        class Case(GuardedCase):
            def test(self):
                tick()

        _, reports = run_inner(Case)
        self.assertEqual({owner for owner, _, _ in leaks_of(reports)}, {f"{__name__}.{Case.__qualname__}.test"})
        self.assertEqual([report.scope for report in reports if report.leaks], ["test"])

    def test_do_cleanups_overridden(self):
        """A class that overrides doCleanups() and calls super() is checked as any other."""
        outer = self

        class Case(GuardedCase):
            def doCleanups(self):
                return super().doCleanups()

            def test(self):
                outer.leak()

        self.assert_leaks(Case, ["left"])

    def test_cleanups_of_one_s_own(self):
        """The verdict comes by unittest's cleanups, whatever a class or test makes of ``addCleanup()``."""
        outer = self

        class Case(GuardedCase):
            def addCleanup(self, name, function):
                raise AssertionError("nobody else may call it")

            def test(self):
                outer.leak()

        class Mocked(GuardedCase):
            def test(self):
                self.addCleanup = unittest.mock.Mock()
                outer.leak()

        self.assert_leaks(Case, ["left"])
        self.assert_leaks(Mocked, ["left"])

    def test_cleanups_that_are_not_run(self):
        """Where ``doCleanups()`` runs none, or nobody calls it, a leaking test cannot be checked: a RuntimeWarning."""
        outer = self

        class Replaced:
            def doCleanups(self):
                return True

            def test(self):
                outer.leak()

        class NotCalled:
            def run(self, result=None):
                result.startTest(self)
                self.test()
                result.addSuccess(self)
                result.stopTest(self)

            def test(self):
                outer.leak()

        for body in (Replaced, NotCalled):
            for base, by_runner in ((LeakGuardMixin, False), (object, True)):
                bases = (body, unittest.TestCase) if base is object else (base, body, unittest.TestCase)
                case = type("Case", bases, {"__module__": "inner", "leak_grace": 0.01})
                run = GuardedRunner(stream=io.StringIO()).run if by_runner else lambda s: s.run(unittest.TestResult())
                with self.subTest(body.__name__, by_runner=by_runner), self.assertWarns(RuntimeWarning) as caught:
                    with own_record():
                        run(suite_of(case))
                self.assertIn("test (inner.Case) was not checked for leaks", str(caught.warning))

    def test_foreign_run_that_clears_cleanups(self):
        """A base class whose run() drops the cleanups cannot be checked: a RuntimeWarning names the test."""

        class Base(unittest.TestCase):
            def run(self, result=None):
                self._cleanups = []
                result.startTest(self)
                getattr(self, self._testMethodName)()
                result.addSuccess(self)
                result.stopTest(self)

        class Case(LeakGuardMixin, Base):
            def test(self):
                pass

        with self.assertWarns(RuntimeWarning) as caught:
            result, _ = run_inner(Case)
        self.assertTrue(result.wasSuccessful())
        self.assertEqual(
            str(caught.warning),
            f"leakguard: test ({__name__}.{Case.__qualname__}) was not checked for leaks: "
            "its cleanups were cleared or not run",
        )

    def test_own_run_that_calls_the_cleanups(self):
        """One that calls doCleanups() itself leaves no place for the verdict of a leaking test: a RuntimeWarning."""
        outer = self

        class Base(unittest.TestCase):
            def run(self, result=None):
                result.startTest(self)
                getattr(self, self._testMethodName)()
                self.doCleanups()
                result.stopTest(self)

        class Case(LeakGuardMixin, Base):
            def test(self):
                BlockedThread().start_in(outer)

        with self.assertWarns(RuntimeWarning) as caught:
            run_inner(Case)
        self.assertIn("was not checked for leaks", str(caught.warning))

    def test_cleanups_behind_a_decorator_or_a_helper(self):
        """What stands between run() and the cleanups does not keep the verdict from its test."""
        outer = self

        class Decorated(GuardedCase):
            @functools.wraps(GuardedCase.doCleanups)
            def doCleanups(self):
                return self.really_do_them()

            def really_do_them(self):
                return super().doCleanups()

            def test(self):
                BlockedThread(name="left").start_in(outer)

        self.assert_leaks(Decorated, ["left"])

    def test_behind_its_test_case(self):
        """Behind a TestCase the mixin would never be asked: TypeError when the class is defined."""
        with self.assertRaisesRegex(TypeError, "^Wrong must have LeakGuardMixin before its TestCase"):
            type("Wrong", (unittest.TestCase, LeakGuardMixin), {"__qualname__": "Wrong"})

    def test_thread_of_a_leaked_thread(self):
        """A thread that an earlier test's leak starts during a later test is not blamed on the later one."""
        outer = self
        go, started = threading.Event(), threading.Event()

        def start_another():
            go.wait()
            outer.leak("grandchild")
            started.set()

        class Case(GuardedCase):
            def test_1(self):
                thread = threading.Thread(target=start_another, name="child", daemon=True)
                outer.addCleanup(thread.join)
                outer.addCleanup(go.set)
                thread.start()

            def test_2(self):
                go.set()
                started.wait()

        result, reports = run_inner(Case)
        self.assertEqual([test._testMethodName for test, _ in result.failures], ["test_1"])
        prefix = f"{__name__}.{Case.__qualname__}"
        self.assertEqual(
            leaks_of(reports), [(f"{prefix}.test_1", "thread", "child"), (f"{prefix}.test_1", "thread", "grandchild")]
        )
        self.assertEqual([report.scope for report in reports], ["test", "class"])


class AssertNoLeaksTests(LeaksTestCase):
    """`assertNoLeaks`: the check in the middle of a test."""

    def test_leak_so_far(self):
        """It fails for what runs now; that the thread is ended afterwards does not matter."""
        errors = []

        class Case(GuardedCase):
            def test(self):
                thread = BlockedThread(name="running").start_in(self)
                with self.assertRaises(LeakError) as caught:
                    self.assertNoLeaks()
                errors.append(normal(str(caught.exception)).splitlines()[0])
                thread.end()
                self.assertNoLeaks()

        self.assert_clean(Case)
        self.assertEqual(errors, [f"1 leak after test ({__name__}.{Case.__qualname__}), waited N s"])

    def test_from_a_helper_thread(self):
        """The thread that asks is none of what is left."""

        class Case(GuardedCase):
            def test(self):
                errors = []

                def ask():
                    try:
                        self.assertNoLeaks()
                    except LeakError as error:
                        errors.append(error)

                thread = threading.Thread(target=ask)
                thread.start()
                thread.join()
                self.assertEqual(errors, [])

        self.assert_clean(Case)

    def test_failure_is_the_test_s_own(self):
        """Let through, it fails the test once, and the leak is on record as of a test that had failed."""
        outer = self

        class Case(GuardedCase):
            def test(self):
                outer.leak()
                self.assertNoLeaks()

        with self.assertLogs("leakguard", "WARNING"):
            result, reports = run_inner(Case)
        self.assertEqual(len(result.failures), 1)
        self.assertEqual([report.note for report in reports], ["logged: the test had already failed"])

    def test_off(self):
        """Where the check is off, and outside a run, it passes."""
        outer = self

        class Case(GuardedCase):
            leak_action = "off"

            def test(self):
                outer.leak()
                self.assertNoLeaks()

        self.assert_clean(Case)
        Case("test").assertNoLeaks()


class AllowLeakTests(LeaksTestCase):
    """`allowLeak`: one thing is shared on purpose."""

    def test_thread(self):
        """An allowed thread is no leak of this test nor of a later check; the reason is logged."""
        outer = self

        class Case(GuardedCase):
            def test(self):
                self.allowLeak(outer.leak("shared"), "all tests share it")

        with self.assertLogs("leakguard", "INFO") as logs:
            self.assert_clean(Case)
        self.assertEqual(logs.output, ["INFO:leakguard:leakguard: thread 'shared' is allowed: all tests share it"])

    def test_process(self):
        """An allowed child process, by object or by pid, is no leak, and goes on."""
        outer, children = self, []

        class Case(GuardedCase):
            def test(self):
                for allowed in (lambda child: child, lambda child: child.pid):
                    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
                    outer.addCleanup(child.communicate)
                    outer.addCleanup(child.kill)
                    children.append(child)
                    self.allowLeak(allowed(child), "the database of all tests")

        with self.assertLogs("leakguard", "INFO"):
            self.assert_clean(Case)
        self.assertEqual([child.poll() for child in children], [None, None])

    def test_others_stay_leaks(self):
        """Allowing one thread allows no other, not even one of the same name."""
        outer = self

        class Case(GuardedCase):
            def test(self):
                self.allowLeak(outer.leak("worker"), "shared")
                outer.leak("worker")

        with self.assertLogs("leakguard", "INFO"):
            self.assert_leaks(Case, ["worker"])

    def test_misuse(self):
        """No reason is a ValueError, a thing that cannot leak a TypeError, each with one line that says why."""
        test, here = GuardedCase(), threading.current_thread()
        for thing, reason, error, message in [
            (here, "", ValueError, "allowLeak must be given a reason, a str that is not empty (got '')"),
            (here, " ", ValueError, "allowLeak must be given a reason, a str that is not empty (got ' ')"),
            (here, None, ValueError, "allowLeak must be given a reason, a str that is not empty (got None)"),
            (object(), "why", TypeError, "allowLeak takes a thread, a task or a running child process (got object)"),
            ("name", "why", TypeError, "allowLeak takes a thread, a task or a running child process (got str)"),
            (True, "why", TypeError, "allowLeak takes a thread, a task or a running child process (got bool)"),
            (None, "why", TypeError, "allowLeak takes a thread, a task or a running child process (got NoneType)"),
        ]:  # fmt: skip
            with self.subTest(thing=thing, reason=reason):
                with self.assertRaises(error) as caught:
                    test.allowLeak(thing, reason)
                self.assertEqual(str(caught.exception), message)


class PolicyTests(LeaksTestCase):
    """What the policy makes of a leak."""

    def case(self, leaks=1, **attributes):
        """A class with one test that leaks some threads, under a policy."""
        outer = self

        class Case(GuardedCase):
            def test(self):
                for number in range(leaks):
                    outer.leak(f"left-{number}")

        return type("Case", (Case,), attributes)

    def test_threshold(self):
        """Leaks up to the threshold are logged at INFO and on record as not counted; one more and all of them fail."""
        with self.assertLogs("leakguard", "INFO") as logs:
            result, reports = run_inner(self.case(2, leak_threshold=2))
        self.assertTrue(result.wasSuccessful())
        self.assertEqual([record.levelname for record in logs.records], ["INFO"])
        self.assertEqual(logs.output[0].splitlines()[-1], "(tolerated: the threshold is 2)")
        self.assertEqual([leak.counted for report in reports for leak in report.leaks], [False, False])

        result, reports = run_inner(self.case(3, leak_threshold=2))
        self.assertEqual(len(result.failures), 1)
        self.assertEqual([leak.counted for report in reports for leak in report.leaks], [True, True, True])

    def test_log(self):
        """With action log a leak is a warning on ``leakguard``, on record as not counted, and the test passes."""
        with self.assertLogs("leakguard", "INFO") as logs:
            result, reports = run_inner(self.case(leak_action="log"))
        self.assertTrue(result.wasSuccessful())
        self.assertEqual([record.levelname for record in logs.records], ["WARNING"])
        self.assertEqual(logs.output[0].splitlines()[-1], "(logged: the action is log)")
        self.assertEqual([leak.counted for report in reports for leak in report.leaks], [False])

    def test_options_on_the_test_itself(self):
        """Options are asked for when a test begins: one that sets them on itself is warned, and its outcome stays."""
        outer = self

        class Case(GuardedCase):
            def test_clean(self):
                self.leak_kinds = "all"

            def test_leak(self):
                self.leak_action, self.leak_grace = "off", -1
                outer.leak()

        with self.assertWarns(RuntimeWarning) as caught:
            result, reports = run_inner(Case)
        said = [str(warning.message).partition(" of test_")[0] for warning in caught.warnings]
        self.assertEqual(said, ["leakguard: leak_kinds", "leakguard: leak_action, leak_grace"])
        self.assertEqual([test._testMethodName for test, _ in result.failures], ["test_leak"])
        self.assertEqual(result.errors, [])

    def test_failed_test(self):
        """A test that has failed keeps its one failure; its leak is logged and on record as counted."""
        outer = self

        class Case(GuardedCase):
            def test(self):
                outer.leak()
                self.fail("its own")

        with self.assertLogs("leakguard", "WARNING") as logs:
            result, reports = run_inner(Case)
        self.assertEqual(error_lines(result), [(f"{__name__}.{Case.__qualname__}.test", "AssertionError: its own")])
        self.assertEqual(logs.output[0].splitlines()[-1], "(logged: the test had already failed)")
        self.assertEqual([leak.counted for report in reports for leak in report.leaks], [True])

    def test_off(self):
        """With action off nothing is checked, by class, method or environment, nor blamed on class or neighbour."""
        self.assert_clean(self.case(leak_action="off"))
        outer = self

        class Case(GuardedCase):
            @leak_policy(action="off")
            def test_1(self):
                outer.leak()

            def test_2(self):
                pass

        self.assert_clean(Case, tests=2)

    def test_environment_off(self):
        """LEAKGUARD_ACTION=off wins over class attributes."""
        with own_record() as reports, unittest.mock.patch.dict("os.environ", LEAKGUARD_ACTION="off"):
            result = unittest.TestResult()
            self.case(leak_action="fail")("test").run(result)
        self.assertEqual((result.failures, leaks_of(reports)), ([], []))

    def test_scope_key(self):
        """With scope key only key tests are checked, and what the others leave is nobody else's leak."""
        outer = self

        class Case(GuardedCase):
            leak_scope = "key"

            def test_1_plain(self):
                outer.leak("unchecked")

            @key_test
            def test_2_key(self):
                outer.leak("key")

            @key_test("stress")
            def test_3_stress(self):
                outer.leak("stress")

            def test_4_plain(self):
                pass

        result, reports = run_inner(Case)
        self.assertEqual([test._testMethodName for test, _ in result.failures], ["test_2_key", "test_3_stress"])
        self.assertEqual([name for _, _, name in leaks_of(reports)], ["key", "stress"])

    def test_method_wins(self):
        """@leak_policy on the method wins over the class, field by field."""
        outer = self

        class Case(GuardedCase):
            leak_action = "log"
            leak_threshold = 5

            @leak_policy(action="fail", threshold=0)
            def test(self):
                outer.leak()

        self.assert_leaks(Case, ["left"])

    def test_ignore(self):
        """A rule that matches takes a leak out, and its match is on record; other threads still count."""
        outer = self

        class Case(GuardedCase):
            leak_ignore = {"thread:tick-*": "ticks for ever"}

            def test(self):
                outer.leak("tick-1")
                outer.leak("left")

        self.assert_leaks(Case, ["left"])
        with own_record() as reports:
            Case("test").run(unittest.TestResult())
        self.assertEqual([report.ignored for report in reports], [(("thread:tick-*", "tick-1"),)])

    def test_own_policy_goes_with_a_thing(self):
        """What the policy of one method leaves out is no leak of its class either."""
        outer = self

        class Case(GuardedCase):
            @leak_policy(ignore="thread:tick-*")
            def test_1_ignored(self):
                outer.leak("tick-1")

            @leak_policy(kinds="process")
            def test_2_other_kind(self):
                outer.leak()

        self.assert_clean(Case, tests=2)


    def test_methods_of_one_class(self):
        """Tests of a class share what is checked of them, but for a method that has options of its own, wherever it stands."""
        outer = self

        class Tolerant:
            """A callable that is no function, with options of its own."""

            def __call__(self):
                outer.leak("three")

        class Case(GuardedCase):
            def test_1(self):
                outer.leak("one")

            @leak_policy(action="log")
            def test_2(self):
                outer.leak("two")

            test_3 = leak_policy(threshold=1)(Tolerant())

            def test_4(self):
                outer.leak("four")

            @leak_policy(action="off")
            def test_5(self):
                outer.leak("five")

            def test_6(self):
                outer.leak("six")

        for first in (1, 2, 3, 5):
            with self.subTest(first=first):
                order = sorted(range(1, 7), key=lambda number: (number != first, number))
                result = unittest.TestResult()
                with own_record() as reports:
                    unittest.TestSuite(Case(f"test_{number}") for number in order).run(result)
                self.assertEqual(result.errors, [])
                failed = sorted(test._testMethodName for test, _ in result.failures)
                self.assertEqual(failed, ["test_1", "test_4", "test_6"])
                notes = {report.owner[-1]: report.note for report in reports}
                self.assertEqual(
                    (notes["2"], notes["3"]), ("logged: the action is log", "tolerated: the threshold is 1")
                )
                self.assertNotIn("5", notes)


class BlockTests(LeaksTestCase):
    """`LeakGuard`: the same check for a block of code or a function."""

    def test_with(self):
        """A thread that outlives the block raises LeakError, named after the guard, and is in .leaks."""
        guard = LeakGuard(name="the upload", grace=0)
        with own_record() as reports, self.assertRaises(LeakError) as caught:
            with guard:
                self.leak()
        self.assertEqual(normal(str(caught.exception)).splitlines()[0], "1 leak after the upload, waited N s")
        self.assertEqual([leak.name for leak in guard.leaks], ["left"])
        self.assertEqual(leaks_of(reports), [("the upload", "thread", "left")])

    def test_clean(self):
        """A block that ends its threads passes, and .leaks is empty."""
        with own_record(), LeakGuard() as guard:
            self.leak().end()
        self.assertEqual(guard.leaks, ())

    def test_body_that_raises(self):
        """The block's own exception comes through; the leak is logged and in .leaks."""
        guard = LeakGuard(grace=0)
        with own_record(), self.assertLogs("leakguard", "WARNING"), self.assertRaisesRegex(OSError, "^its own$"):
            with guard:
                self.leak()
                raise OSError("its own")
        self.assertEqual([leak.name for leak in guard.leaks], ["left"])

    def test_reuse(self):
        """One object guards one block after another, and not two at a time."""
        guard = LeakGuard(grace=0)
        with own_record(), guard:
            with self.assertRaises(RuntimeError) as caught:
                guard.__enter__()
        self.assertEqual(
            str(caught.exception), "LeakGuard is already active: one object guards one block at a time"
        )
        with own_record(), self.assertRaises(LeakError):
            with guard:
                self.leak()
        with own_record(), guard:
            pass
        self.assertEqual(guard.leaks, ())

    def test_off_and_log(self):
        """With action off nothing is looked at; with action log the leak is logged and in .leaks."""
        with own_record(), LeakGuard(action="off") as off:
            self.leak()
        with own_record(), self.assertLogs("leakguard", "WARNING"), LeakGuard(action="log", grace=0) as log:
            self.leak()
        self.assertEqual((len(off.leaks), len(log.leaks)), (0, 1))

    def test_decorator(self):
        """A decorated function keeps its name, arguments and result; each call is guarded by itself."""
        outer = self

        @LeakGuard(grace=0)
        def upload(name, *, leaks):
            """Its docstring."""
            if leaks:
                outer.leak(name)
            return name

        self.assertEqual((upload.__name__, upload.__doc__), ("upload", "Its docstring."))
        with own_record():
            self.assertEqual(upload("a", leaks=False), "a")
            with self.assertRaises(LeakError) as caught:
                upload("b", leaks=True)
            self.assertEqual(upload("c", leaks=False), "c")
        self.assertEqual(
            normal(str(caught.exception)).splitlines()[0], f"1 leak after {upload.__qualname__}, waited N s"
        )

    def test_function_that_returns_a_coroutine(self):
        """What is not seen to be an ``async def``, because something is around it, is guarded until it has ended."""

        async def leaks(is_clean):
            task = asyncio.ensure_future(asyncio.sleep(0 if is_clean else 3600))
            if is_clean:
                await task
            return task

        decorated = LeakGuard(grace=0)(functools.partial(leaks))
        with own_record() as reports:
            self.assertTrue(asyncio.run(decorated(True)).done())
            with self.assertRaises(LeakError):
                asyncio.run(decorated(False))
        self.assertEqual([kind for _, kind, _ in leaks_of(reports)], ["task"])

    def test_entered_by_another_task(self):
        """The task that leaves a block is none of its leaks, though another one has entered it, as in ``asyncSetUp``."""
        block = LeakGuard(grace=0.01)

        async def run():
            await asyncio.ensure_future(block.__aenter__())
            await asyncio.sleep(0)
            await asyncio.ensure_future(block.__aexit__(None, None, None))

        with own_record() as reports:
            asyncio.run(run())
        self.assertEqual(leaks_of(reports), [])

    def test_cancelled_while_it_ends_its_leaks(self):
        """What a block had to raise when it was cancelled is logged."""

        async def block():
            async with LeakGuard(grace=0):
                here = asyncio.current_task()

                async def ends_what_depends_on_it():
                    try:
                        await asyncio.sleep(3600)
                    finally:
                        here.cancel()

                asyncio.ensure_future(ends_what_depends_on_it())
                await asyncio.sleep(0)

        with own_record() as reports, self.assertLogs("leakguard", "WARNING") as logged:
            with self.assertRaises(asyncio.CancelledError):
                asyncio.run(block())
        self.assertEqual([kind for _, kind, _ in leaks_of(reports)], ["task"])
        self.assertIn("(logged: the check was cut short)", logged.output[0])

    def test_closed_while_it_waits(self):
        """A coroutine that is closed inside of a block's check lets no loop turn."""
        ran = []

        async def block():
            async with LeakGuard(grace=60):
                asyncio.ensure_future(asyncio.sleep(3600))
                asyncio.get_running_loop().call_later(0.01, asyncio.get_running_loop().stop)

        with own_record(), self.assertLogs("leakguard", "WARNING"):
            loop, coroutine = asyncio.new_event_loop(), block()
            task = loop.create_task(coroutine)
            loop.run_forever()
            loop.call_soon(ran.append, "ran")
            coroutine.close()
            self.assertEqual(ran, [])
            left = asyncio.all_tasks(loop)
            for one in left:
                one.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.assertTrue(task.done())
            loop.close()

    def test_cancelled_while_it_waits(self):
        """A block whose check is cancelled says what there is by then, and nobody waits for that any longer."""
        guards = []

        async def block():
            async with LeakGuard(grace=60) as guard:
                guards.append(guard)
                asyncio.ensure_future(asyncio.sleep(3600))
                asyncio.current_task().cancel()

        with own_record(), self.assertLogs("leakguard", "WARNING") as logged:
            with self.assertRaises(asyncio.CancelledError):
                asyncio.run(block())
        self.assertEqual([leak.kind for leak in guards[0].leaks], ["task"])
        self.assertIn("1 leak after block", logged.output[0])

    def test_recursive_function(self):
        """A decorated function may call itself: the innermost call owns the leak, which is reported once."""

        @LeakGuard(grace=0)
        def descend(depth):
            if depth:
                return descend(depth - 1)
            self.leak()

        with own_record() as reports, self.assertRaises(LeakError):
            descend(2)
        self.assertEqual(len(leaks_of(reports)), 1)

    def test_misuse(self):
        """What is no function, option or value is refused at once, in one line."""

        def generates():
            yield

        async def generates_late():
            yield

        decorates = "LeakGuard decorates a function or a coroutine function (got {})"
        for make, error, message in [
            (lambda: LeakGuard()(GuardedCase), TypeError, decorates.format(repr(GuardedCase))),
            (lambda: LeakGuard()(generates), TypeError, decorates.format("a generator function")),
            (lambda: LeakGuard()(generates_late), TypeError, decorates.format("a generator function")),
            (lambda: LeakGuard()(3), TypeError, "LeakGuard decorates a function or a coroutine function (got 3)"),
            (
                lambda: LeakGuard(patience=1),
                TypeError,
                "patience is not an option; known ones: action, threshold, grace, kinds, ignore, scope, stacks, verdicts",
            ),
            (lambda: LeakGuard(grace=-1), ValueError, "leak_grace must be a number of seconds >= 0 (got -1)"),
        ]:
            with self.subTest(message=message), self.assertRaises(error) as caught:
                make()
            self.assertEqual(str(caught.exception), message)

    def test_inside_a_test(self):
        """A block inside a guarded test owns what it starts: reported there, not by the test again."""
        outer = self

        class Case(GuardedCase):
            def test(self):
                with self.assertRaises(LeakError):
                    with LeakGuard(grace=0):
                        outer.leak("of the block")

        result, reports = run_inner(Case)
        self.assertTrue(result.wasSuccessful())
        self.assertEqual(leaks_of(reports), [("block", "thread", "of the block")])

    def test_around_a_clean_block(self):
        """A thread of the test, started before or after a block inside it, is the test's alone."""
        outer = self

        class Case(GuardedCase):
            def test(self):
                outer.leak("before")
                with LeakGuard(grace=0):
                    pass
                outer.leak("after")

        self.assert_leaks(Case, ["before", "after"])

    def test_block_of_other_kinds_inside_a_test(self):
        """A kind that a block leaves out is checked by the test around it."""
        outer = self

        class Case(GuardedCase):
            def test(self):
                with LeakGuard(name="the block", kinds="process"):
                    outer.leak()

        result, reports = run_inner(Case)
        self.assertEqual([test._testMethodName for test, _ in result.failures], ["test"])
        self.assertEqual(leaks_of(reports), [("the block", "thread", "left")])

    def test_off_block_inside_a_test(self):
        """A block that is switched off leaves what it starts to the test around it."""
        outer = self

        class Case(GuardedCase):
            def test(self):
                with LeakGuard(action="off"):
                    outer.leak()

        self.assert_leaks(Case, ["left"])
