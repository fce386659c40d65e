"""The host by a table: every outcome that unittest knows, clean and leaking, sync and async, mixin and runner.

The oracle is unittest itself. A clean test must call the result as its unguarded twin does. A leak must do what a
last cleanup that raises LeakError does in the twin, unless the test had failed already: then nothing at all.
"""

import io
import sys
import unittest

from leakguard import LeakError, LeakGuardAsyncTestCase, LeakGuardMixin
from leakguard.runner import GuardedResult, GuardedRunner
from tests.doubles import BlockedThread
from tests.suites import leaks_of, own_record, suite_of

CHECKED = (
    "passes fails errs skips_half_way subtest_passes subtest_fails subtest_skips expected_failure unexpected_success"
).split()
FIXTURES = "set_up_errs set_up_skips tear_down_errs cleanup_errs cleanup_fails".split()
EXITS = "exits interrupted".split()
NEVER_RUN = ["is_skipped", "class_is_skipped"]
OUTCOMES = [*CHECKED, *FIXTURES, *EXITS, *NEVER_RUN]

HAS_FAILED = set("fails errs subtest_fails set_up_errs tear_down_errs cleanup_errs cleanup_fails exits".split())
"""Outcomes that are a failure already: the leak is logged and on record."""

NOT_CHECKED_AT_ITS_END = {"interrupted"}
"""unittest runs no cleanup after Ctrl-C: the runner finds the leak at the end of the run."""


class Calls:
    """Records what a result is told: (method, test id, type of exception or reason)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.calls = []

    def startTest(self, test):
        self.calls.append(("startTest", test.id()))
        super().startTest(test)

    def stopTest(self, test):
        self.calls.append(("stopTest", test.id()))
        super().stopTest(test)

    def addSuccess(self, test):
        self.calls.append(("addSuccess", test.id()))
        super().addSuccess(test)

    def addFailure(self, test, err):
        self.calls.append(("addFailure", test.id(), err[0].__name__))
        super().addFailure(test, err)

    def addError(self, test, err):
        self.calls.append(("addError", test.id(), err[0].__name__))
        super().addError(test, err)

    def addSkip(self, test, reason):
        self.calls.append(("addSkip", test.id(), reason))
        super().addSkip(test, reason)

    def addExpectedFailure(self, test, err):
        self.calls.append(("addExpectedFailure", test.id(), err[0].__name__))
        super().addExpectedFailure(test, err)

    def addUnexpectedSuccess(self, test):
        self.calls.append(("addUnexpectedSuccess", test.id()))
        super().addUnexpectedSuccess(test)

    def addSubTest(self, test, subtest, err):
        self.calls.append(("addSubTest", subtest.id(), err[0].__name__ if err else None))
        super().addSubTest(test, subtest, err)


class PlainCalls(Calls, unittest.TestResult):
    """The result of a test that runs without a runner."""


class RunnerCalls(Calls, unittest.TextTestResult):
    """The result of unittest's own runner."""


class GuardedCalls(Calls, GuardedResult):
    """The result of ours."""


def make_case(base, outcome, *, start, last=None):
    """A TestCase class whose only test has an outcome; `start` is called where a leak would begin.

    `last` is registered as its first cleanup, so that it runs after all others.
    """

    class Case(base):
        leak_grace = 0.01

        def setUp(self):
            if last is not None:
                self.addCleanup(last)
            if outcome == "set_up_errs":
                start()
                raise OSError("in setUp")
            if outcome == "set_up_skips":
                start()
                self.skipTest("in setUp")

        def tearDown(self):
            if outcome == "tear_down_errs":
                raise OSError("in tearDown")

        def body(self):
            start()
            if outcome == "fails":
                self.fail("in the test")
            elif outcome == "errs":
                raise OSError("in the test")
            elif outcome == "skips_half_way":
                self.skipTest("half-way")
            elif outcome == "expected_failure":
                self.fail("as expected")
            elif outcome == "cleanup_errs":
                self.addCleanup(int, "no number")
            elif outcome == "cleanup_fails":
                self.addCleanup(self.fail, "in a cleanup")
            elif outcome == "exits":
                sys.exit("in the test")
            elif outcome == "interrupted":
                raise KeyboardInterrupt
            elif outcome.startswith("subtest"):
                with self.subTest(number=1):
                    pass
                with self.subTest(number=2):
                    if outcome == "subtest_fails":
                        self.fail("in a subtest")
                    elif outcome == "subtest_skips":
                        self.skipTest("in a subtest")

        if hasattr(base, "asyncSetUp"):

            async def test(self):
                self.body()

        else:

            def test(self):
                self.body()

        if outcome in ("expected_failure", "unexpected_success"):
            test = unittest.expectedFailure(test)
        elif outcome == "is_skipped":
            test = unittest.skip("by decorator")(test)

    return unittest.skip("by decorator")(Case) if outcome == "class_is_skipped" else Case


def run_plainly(case):
    """Run a class without a runner; return the calls, and the type of what came out of it."""
    result = PlainCalls()
    return result, _exception_of(suite_of(case).run, result)


def run_with(runner_class, result_class, case):
    """Run a class with a runner; return the same."""
    results = []

    def make_result(*args, **kwargs):
        results.append(result_class(*args, **kwargs))
        return results[0]

    runner = runner_class(stream=io.StringIO(), resultclass=make_result)
    raised = _exception_of(runner.run, suite_of(case))
    return results[0], raised


def _exception_of(function, argument):
    try:
        function(argument)
    except BaseException as error:  # Ctrl-C comes out of every run
        return type(error)
    return None


def raise_leak_error():
    raise LeakError("the oracle")


class Matrix:
    """The table, for one way to guard: a class of tests gives `base`, `plain`, and how to run both."""

    plain = unittest.TestCase
    base = None
    by_runner = False

    def run_guarded(self, case):
        """Run a class under guard."""
        return run_with(GuardedRunner, GuardedCalls, case) if self.by_runner else run_plainly(case)

    def run_twin(self, case):
        """Run the same class without."""
        return run_with(unittest.TextTestRunner, RunnerCalls, case) if self.by_runner else run_plainly(case)

    def outcomes(self):
        """The outcomes of this table."""
        if sys.version_info < (3, 11) and hasattr(self.base, "asyncSetUp"):
            # there both end the task that runs all parts of the test, and unittest waits for it for ever
            return [outcome for outcome in OUTCOMES if outcome not in EXITS]
        return OUTCOMES

    def test_clean(self):
        """A clean test tells its result exactly what its unguarded twin does."""
        for outcome in self.outcomes():
            with self.subTest(outcome=outcome), own_record() as reports:
                twin, twin_raised = self.run_twin(make_case(self.plain, outcome, start=int))
                guarded, raised = self.run_guarded(make_case(self.base, outcome, start=int))
                self.assertEqual((guarded.calls, raised), (twin.calls, twin_raised))
                self.assertEqual(guarded.testsRun, twin.testsRun)
                self.assertEqual(reports, [])

    def test_leak(self):
        """A leak is one LeakError failure, as a last cleanup that fails would be; after another failure, none."""
        for outcome in self.outcomes():
            with self.subTest(outcome=outcome), own_record() as reports:
                is_raised = outcome not in HAS_FAILED | NOT_CHECKED_AT_ITS_END
                oracle = raise_leak_error if is_raised else None
                twin, twin_raised = self.run_twin(make_case(self.plain, outcome, start=int, last=oracle))
                blocked = BlockedThread(name="left")
                self.addCleanup(blocked.end)
                with self.logs(is_logged=outcome in HAS_FAILED):
                    guarded, raised = self.run_guarded(make_case(self.base, outcome, start=blocked.start_blocked))
                self.assertEqual((guarded.calls, raised), (twin.calls, twin_raised))
                errors = [call for call in guarded.calls if "LeakError" in call[1:]]
                if outcome in NEVER_RUN:
                    self.assertEqual((errors, leaks_of(reports)), ([], []))
                    continue
                name = make_case(self.base, outcome, start=int).__qualname__
                test_id = f"{__name__}.{name}.test"
                self.assertEqual(errors, [("addFailure", test_id, "LeakError")] if is_raised else [])
                is_found = outcome not in NOT_CHECKED_AT_ITS_END or self.by_runner
                self.assertEqual(leaks_of(reports), [(test_id, "thread", "left")] if is_found else [])

    def logs(self, *, is_logged):
        """Expect a warning on ``leakguard``, or nothing."""
        return self.assertLogs("leakguard", "WARNING") if is_logged else self.subTest()


class SyncMixinTests(Matrix, unittest.TestCase):
    """LeakGuardMixin before TestCase."""

    class base(LeakGuardMixin, unittest.TestCase):
        pass


class AsyncMixinTests(Matrix, unittest.TestCase):
    """LeakGuardAsyncTestCase."""

    plain = unittest.IsolatedAsyncioTestCase
    base = LeakGuardAsyncTestCase


class PlainMixinOnAsyncTests(Matrix, unittest.TestCase):
    """LeakGuardMixin before IsolatedAsyncioTestCase."""

    plain = unittest.IsolatedAsyncioTestCase

    class base(LeakGuardMixin, unittest.IsolatedAsyncioTestCase):
        pass


class SyncRunnerTests(Matrix, unittest.TestCase):
    """A plain TestCase under the runner."""

    base = unittest.TestCase
    by_runner = True


class AsyncRunnerTests(Matrix, unittest.TestCase):
    """A plain IsolatedAsyncioTestCase under the runner."""

    plain = base = unittest.IsolatedAsyncioTestCase
    by_runner = True


class SyncBothTests(Matrix, unittest.TestCase):
    """LeakGuardMixin under the runner: checked once."""

    by_runner = True

    class base(LeakGuardMixin, unittest.TestCase):
        pass


class AsyncBothTests(Matrix, unittest.TestCase):
    """LeakGuardAsyncTestCase under the runner: checked once."""

    plain = unittest.IsolatedAsyncioTestCase
    base = LeakGuardAsyncTestCase
    by_runner = True
