"""The runner: a TextTestRunner that guards every test, class and module of any suite."""

from __future__ import annotations

import os
import sys
import unittest
import unittest.suite
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from leakguard import _compat, case, check, exit, known
from leakguard.guard import Guard, Subject
from leakguard.ignore import Rule
from leakguard.knownfile import Entry
from leakguard.model import Leak, LeakError, LeakReport
from leakguard.policy import key_category, may_have_key_scope, resolve
from leakguard.record import RunRecord
from leakguard.report import terminal, text
from leakguard.timing import Course, Creation, Observation, Timing

__unittest = True


class ResultMixin:
    """Put it before a result class of any engine: each test is guarded from ``startTest`` to ``stopTest``.

    For results of tests that run where the result is: not for one that is told of them by other processes.
    """

    def startTest(self, test: Any) -> None:
        """Begin to guard a test, unless its mixin has already."""
        super().startTest(test)  # type: ignore[misc]
        if isinstance(test, unittest.TestCase):
            case.attach(test, self)

    def stopTest(self, test: Any) -> None:
        """End the guard of a test."""
        if isinstance(test, unittest.TestCase):
            case.detach(test, self)
        super().stopTest(test)  # type: ignore[misc]


class GuardedResult(ResultMixin, unittest.TextTestResult):
    """A TextTestResult that guards each test."""


class Passed:
    """The tests that have run to their end: only such a one can show that a known leak is gone.

    Made only where there are known leaks: an empty test would pay for it.
    """

    def __init__(self, result: Any) -> None:
        self.tests: List[Tuple[Any, str, Optional[str]]] = []
        """Class, method, and the id where the class has an ``id()`` of its own."""
        self._add_success = result.addSuccess
        result.addSuccess = self.add_success

    def add_success(self, test: Any) -> None:
        """Note a test, and do what the result does."""
        cls = type(test)
        if isinstance(test, unittest.TestCase):
            own_id = None if cls.id is unittest.TestCase.id else test.id()
            self.tests.append((cls, test._testMethodName, own_id))
        self._add_success(test)

    def kinds_checked(self, named: Set[str]) -> Dict[str, Sequence[str]]:
        """Return the ids of the tests that are named, or whose class or module is, with the kinds checked of them."""
        return {
            own_id or f"{case.class_name(cls)}.{method}": _kinds_checked(cls, method)
            for cls, method, own_id in self.tests
            if named & {own_id or f"{case.class_name(cls)}.{method}", case.class_name(cls), cls.__module__}
        }


class Fixtures:
    """Guards the class and module fixtures of plain TestCases, told by the suite where they begin and end."""

    def __init__(self) -> None:
        self.result: Any = None
        """The result of the run: suites that a test runs with another result are its own affair."""
        self._class: Optional[case.FixtureGuard] = None
        self._module = ""
        self.next_module = ""
        self.module_is_skipped = False
        """Whether ``setUpModule`` raised SkipTest."""
        self.timing: Optional[Timing] = None
        """What measures tests, from the first class on that has the scope ``key``."""

    def class_begins(self, cls: Any) -> None:
        """Before ``setUpClass``."""
        if self.timing is not None and may_have_key_scope(cls):
            self.timing.install()
        if issubclass(cls, case.LeakGuardMixin):
            try:
                case.begin_class(cls)
            except (TypeError, ValueError):
                pass  # a bad option, which its own setUpClass() is about to say
        elif issubclass(cls, unittest.TestCase):
            self._class = case.fixture_guard("class", case.class_name(cls), cls)

    def class_is_set_up(self) -> None:
        """After ``setUpClass``."""
        if self._class is not None:
            self._class.refresh()

    def class_ends(self, cls: Any, result: Any, failed: bool) -> None:
        """After ``tearDownClass`` and the class cleanups; after a ``setUpClass`` that failed or skipped the class."""
        guard, self._class = self._class, None
        if guard is not None:
            error = guard.end(failed)
        else:  # with the mixin: its class cleanups have given the verdict, where they were run
            error = case.end_class(cls, failed)
        _add_error(result, f"tearDownClass ({case.class_name(cls)})", error)

    def module_ends(self, result: Any, failed: bool) -> None:
        """After ``tearDownModule`` and the module cleanups of one module, before ``setUpModule`` of the next."""
        if self._module:
            name, self._module = self._module, ""
            has_failed = getattr(result, "_moduleSetUpFailed", False) and not self.module_is_skipped
            failed = failed or has_failed
            _add_error(result, f"tearDownModule ({name})", case.end_module(name, failed))
        if self.next_module:
            name, self.next_module = self.next_module, ""
            if case.begin_module(name) is not None:
                self._module = name


def _add_error(result: Any, name: str, error: Optional[LeakError]) -> None:
    if error is not None:
        with _compat.buffered_output(result):
            result.addError(unittest.suite._ErrorHolder(name), (type(error), error, None))  # type: ignore[attr-defined]


class Record:
    """Everything that the checks of one run have reported, and what it amounts to."""

    def __init__(self) -> None:
        self.reports: List[LeakReport] = []
        self.live: Tuple[Dict[str, int], Dict[str, int]] = ({}, {})
        self.rules: Tuple[Rule, ...] = ()
        self.tests_run = 0
        self.courses: List[Course] = []
        """What was measured of the tests: of all for advice, else of some or none."""
        self.skipped: Set[str] = set()
        self.fixture_births: Set[Creation] = set()
        self.seconds = 0.0
        self.recorder: Any = None
        """What puts each test on record, where a report was asked for."""
        self.waits: List[Tuple[str, float]] = []
        """Tests whose checks waited, with the seconds."""
        self.grace = 0.0
        """Of the run's policy: where nobody waits, nobody is slow."""
        self.known = known.NONE
        self.fixed: List[Entry] = []
        """Known leaks that their tests no longer show."""

    def as_run(self) -> RunRecord:
        """The run as plain data, which reports are made from; its tests only where a report was asked for."""
        if self.recorder is None:
            run = RunRecord(reports=tuple(self.reports), seconds=self.seconds)
        else:
            run = self.recorder.record(self.reports)
        return run._replace(fixed=tuple(map(str, self.fixed)))

    def of_nobody(self) -> List[Leak]:
        """The leaks that count and that no test, class or module has failed for: the run does."""
        reports = [one for one in self.reports if one.note.startswith("logged: nobody") or (one.scope == "run" and not one.note)]
        return [leak for report in reports for leak in report.leaks if leak.counted]

    def unused_rules(self) -> List[str]:
        """The ignore rules, wherever they were given, that nothing matched."""
        used = {rule for report in self.reports for rule, _ in report.ignored}
        return [rule for rule in dict.fromkeys(map(str, self.rules)) if rule not in used]

    def scoped_tests(self) -> List[text.ScopedTest]:
        """The tests that ran in the scope ``key``."""
        scoped = [one for one in self.courses if one.policy.scope == "key" and one.policy.action != "off"]
        return [text.ScopedTest(c.id, c.class_name, c.module, c.category, c.checked, c.seconds) for c in scoped]


class GuardedRunner(unittest.TextTestRunner):
    """A TextTestRunner that guards every TestCase of the suite, whether or not it uses the mixin."""

    resultclass: Any = GuardedResult

    record: Optional[Record] = None
    """What the run puts on record: a new one for each run unless a subclass has one."""

    advises = False
    """Whether to measure all tests, so that key tests can be proposed."""

    def run(self, test: Any) -> Any:
        """Run the suite, check what is left at its end, and print the summary, even after Ctrl-C."""
        outer = check.rules_in_force.copy()  # of a run around this one
        check.rules_in_force.clear()
        record, policy = self.record or Record(), resolve()
        record.grace, record.known = policy.grace, known.in_force()
        begin_recording(record)
        self._recorder = record.recorder
        check.listeners.append(record.reports.append)
        check.watchers.append(self._say)
        check.wait_listeners.append(record.waits.append)
        self._fixtures = Fixtures()
        hooks = _compat.SuiteHooks(unittest.suite.TestSuite, self._fixtures)
        guard = Guard("run", Subject("unattributed", "the run"), policy)
        timing = self._fixtures.timing = Observation(guard) if self.advises else Timing(guard)
        before, start, error = live_things(), _compat.clock(), None
        guard.begin()
        try:
            if self.advises or policy.scope == "key":
                timing.install()
            return super().run(test)
        finally:
            try:
                hooks.remove()
                timing.remove()
                record.seconds = _compat.clock() - start
                record.courses = [one for one in timing.courses if one.module != "unittest.loader"]  # no failed imports
                record.fixture_births = timing.fixture_births
                record.skipped = {one.id() for one, _ in getattr(self._fixtures.result, "skipped", ())}
                record.live = (before, live_things())
                record.tests_run = getattr(self._fixtures.result, "testsRun", 0)
                guard.close_all_within()
                error = guard.verify()
            finally:
                guard.close()
                record.rules = tuple(check.rules_in_force)
                check.rules_in_force.update(outer)
                check.listeners.remove(record.reports.append)
                check.watchers.remove(self._say)
                check.wait_listeners.remove(record.waits.append)
                if self._passed is not None:
                    record.fixed = _fixed(record, self._passed)
                end_recording(record, self._fixtures.result)
            self._print_summary(record, error)

    _recorder: Any = None

    def _makeResult(self) -> Any:
        if self._recorder is not None:
            self.resultclass = recorded(self.resultclass, self._recorder)
        self._fixtures.result = result = super()._makeResult()
        self._passed = Passed(result) if known.in_force().entries else None
        return result

    _passed: Optional[Passed] = None

    def _say(self, line: str) -> None:
        """Print a line in the middle of a run, below unittest's dots."""
        self.stream.write(f"\n{line}\n")
        self.stream.flush()

    def _print_summary(self, record: Record, error: Optional[LeakError]) -> None:
        tests = record.as_run().tests if terminal.can_show(self.stream) else ()
        lines = text.growth(*record.live, terminal.courses(tests)) if record.reports else []
        lines += terminal.known(record.reports, record.known.path)
        lines += terminal.fixed([str(entry) for entry in record.fixed], record.known.path)
        lines += terminal.slowest(record.waits) if record.grace else []
        lines = text.message_of_run(error) + text.summary(record.reports, terminal.SCREEN - len(lines)) + lines
        lines += text.key_tests(record.scoped_tests())
        lines += terminal.unused(record.unused_rules())
        lines += text.failed_run(len(record.of_nobody()))
        blocking = exit.warning()
        exit.remember(blocking)
        lines += blocking
        if terminal.wants_colour(self.stream, os.environ):
            lines = terminal.painted(lines)
        if lines:
            self.stream.writeln("\n" + "\n".join(lines))
            self.stream.flush()


def begin_recording(record: Record) -> None:
    """Put the tests on record from now on, if a report was asked for, here or by the environment."""
    if record.recorder is not None or os.environ.get("LEAKGUARD_REPORT"):
        from leakguard import process_report  # 5 ms that a run without a report need not pay

        record.recorder = process_report.begin_run(record.recorder)


def end_recording(record: Record, result: Any) -> None:
    """Put the end of the run on record."""
    if record.recorder is not None:
        from leakguard import process_report

        was_stopped = result is None or result.shouldStop or isinstance(sys.exc_info()[1], KeyboardInterrupt)
        process_report.end_run(record.recorder, map(str, record.fixed), [STOPPED] if was_stopped else [])


STOPPED = "was stopped before its end: some tests may not have run"
"""What is said of a run after ``-f`` or Ctrl-C, in its reports and where they are merged."""


def recorded(result_class: Any, recorder: Any) -> Any:
    """Return a class of results that puts on record what it is told, beside what it does with it."""
    from leakguard.recording import RecordedResult

    if not isinstance(result_class, type):
        return result_class  # a function may return anything
    return type(result_class.__name__, (RecordedResult, result_class), {"recorder": recorder})


def live_things() -> Dict[str, int]:
    """How many threads and tasks are alive now."""
    return {"threads": len(_compat.live_threads), "tasks": _compat.live_task_count()}


def _fixed(record: Record, passed: Passed) -> List[Entry]:
    """The known leaks of a run that are gone, by the tests that passed and were checked."""
    named = {test for entry in record.known.entries.values() for test in entry.tests}
    return known.fixed(record.known, known.shown(record.reports), passed.kinds_checked(named))


def _kinds_checked(cls: Any, method: str) -> Sequence[str]:
    function = getattr(cls, method, None)
    policy = resolve(cls, function)
    is_off = policy.action == "off" or (policy.scope == "key" and key_category(cls, function) is None)
    return () if is_off else policy.kinds
