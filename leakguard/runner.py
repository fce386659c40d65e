"""The runner: a TextTestRunner that guards every test, class and module of any suite."""

from __future__ import annotations

import unittest
import unittest.suite
from typing import Any, Dict, List, Optional, Tuple

from leakguard import _compat, case, check, exit
from leakguard.guard import Guard, Subject
from leakguard.ignore import Rule
from leakguard.model import LeakError, LeakReport
from leakguard.policy import resolve
from leakguard.report import text

__unittest = True


class GuardedResult(unittest.TextTestResult):
    """A TextTestResult that guards each test from ``startTest`` to ``stopTest``."""

    def startTest(self, test: Any) -> None:
        """Begin to guard a test, unless its mixin has already."""
        super().startTest(test)
        if isinstance(test, unittest.TestCase):
            case.attach(test, self)

    def stopTest(self, test: Any) -> None:
        """End the guard of a test."""
        if isinstance(test, unittest.TestCase):
            case.detach(test, self)
        super().stopTest(test)


class Fixtures:
    """Guards the class and module fixtures of plain TestCases, told by the suite where they begin and end."""

    def __init__(self) -> None:
        self.result: Any = None
        """The result of the run: suites that a test runs with another result are its own affair."""
        self._class: Optional[case.FixtureGuard] = None
        self._module = ""
        self.next_module = ""

    def class_begins(self, cls: Any) -> None:
        """Before ``setUpClass``; classes with the mixin guard themselves."""
        if issubclass(cls, unittest.TestCase) and not issubclass(cls, case.LeakGuardMixin):
            self._class = case.fixture_guard("class", case.class_name(cls), cls)

    def class_is_set_up(self, cls: Any, result: Any, failed: bool) -> None:
        """After ``setUpClass``: a class whose set-up failed gets no teardown, so it ends here."""
        if self._class is not None:
            self._class.refresh()
            if failed:
                self.class_ends(cls, result, failed)

    def class_ends(self, cls: Any, result: Any, failed: bool) -> None:
        """After ``tearDownClass`` and the class cleanups."""
        guard, self._class = self._class, None
        if guard is not None:
            _add_error(result, f"tearDownClass ({case.class_name(cls)})", guard.end(failed))

    def module_ends(self, result: Any, failed: bool) -> None:
        """After ``tearDownModule`` and the module cleanups of one module, before ``setUpModule`` of the next."""
        if self._module:
            name, self._module = self._module, ""
            failed = failed or bool(getattr(result, "_moduleSetUpFailed", False))
            _add_error(result, f"tearDownModule ({name})", case.end_module(name, failed))
        if self.next_module:
            name, self.next_module = self.next_module, ""
            if case.begin_module(name) is not None:
                self._module = name


def _add_error(result: Any, name: str, error: Optional[LeakError]) -> None:
    if error is not None:
        result.addError(unittest.suite._ErrorHolder(name), (type(error), error, None))  # type: ignore[attr-defined]


class Record:
    """Everything that the checks of one run have reported, and what it amounts to."""

    def __init__(self) -> None:
        self.reports: List[LeakReport] = []
        self.live: Tuple[Dict[str, int], Dict[str, int]] = ({}, {})
        self.rules: Tuple[Rule, ...] = ()
        self.tests_run = 0

    def fails(self) -> bool:
        """Whether a leak counts that no test, class or module has failed for."""
        return any(
            leak.counted
            for report in self.reports
            if report.scope == "run" or report.note.startswith("logged: nobody")
            for leak in report.leaks
        )

    def unused_rules(self) -> List[str]:
        """The ignore rules of the command line and the environment that nothing matched."""
        used = {rule for report in self.reports for rule, _ in report.ignored}
        return [str(rule) for rule in self.rules if str(rule) not in used]


class GuardedRunner(unittest.TextTestRunner):
    """A TextTestRunner that guards every TestCase of the suite, whether or not it uses the mixin."""

    resultclass: Any = GuardedResult

    record: Optional[Record] = None
    """What the run puts on record: a new one for each run unless a subclass has one."""

    def run(self, test: Any) -> Any:
        """Run the suite, check what is left at its end, and print the summary, even after Ctrl-C."""
        record, policy = self.record or Record(), resolve()
        record.rules = policy.ignore
        check.listeners.append(record.reports.append)
        self._fixtures = Fixtures()
        hooks = _compat.SuiteHooks(unittest.suite.TestSuite, self._fixtures)
        guard = Guard("run", Subject("unattributed", "the run"), policy)
        before = live_things()
        guard.begin()
        try:
            return super().run(test)
        finally:
            try:
                hooks.remove()
                record.live = (before, live_things())
                record.tests_run = getattr(self._fixtures.result, "testsRun", 0)
                guard.close_all_within()
                guard.verify()
            finally:
                guard.close()
                check.listeners.remove(record.reports.append)
            self._print_summary(record)

    def _makeResult(self) -> Any:
        self._fixtures.result = result = super()._makeResult()
        return result

    def _print_summary(self, record: Record) -> None:
        lines = text.summary(record.reports)
        lines += text.growth(*record.live) if record.reports else []
        lines += [f"Unused ignore: {rule}" for rule in record.unused_rules()]
        blocking = exit.warning()
        exit.remember(blocking)
        lines += blocking
        if lines:
            self.stream.writeln("\n" + "\n".join(lines))
            self.stream.flush()


def live_things() -> Dict[str, int]:
    """How many threads and tasks are alive now."""
    return {"threads": len(_compat.live_threads), "tasks": _compat.live_task_count()}

