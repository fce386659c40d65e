"""The runner: a TextTestRunner that guards every test, class and module of any suite."""

from __future__ import annotations

import inspect
import os
import sys
import unittest
import unittest.suite
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

from leakguard import _compat, advise, case, check, exit, origin
from leakguard.guard import Guard, Subject
from leakguard.ignore import Rule
from leakguard.model import LeakError, LeakReport
from leakguard.policy import may_have_key_scope, resolve
from leakguard.report import text
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
        """Before ``setUpClass``; classes with the mixin guard themselves."""
        if self.timing is not None and may_have_key_scope(cls):
            self.timing.install()
        if issubclass(cls, unittest.TestCase) and not issubclass(cls, case.LeakGuardMixin):
            self._class = case.fixture_guard("class", case.class_name(cls), cls)

    def class_is_set_up(self) -> None:
        """After ``setUpClass``."""
        if self._class is not None:
            self._class.refresh()

    def class_ends(self, cls: Any, result: Any, failed: bool) -> None:
        """After ``tearDownClass`` and the class cleanups; after a ``setUpClass`` that failed or skipped the class."""
        guard, self._class = self._class, None
        if guard is not None:
            _add_error(result, f"tearDownClass ({case.class_name(cls)})", guard.end(failed))

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
        record, policy = self.record or Record(), resolve()
        record.rules = policy.ignore
        check.listeners.append(record.reports.append)
        self._fixtures = Fixtures()
        hooks = _compat.SuiteHooks(unittest.suite.TestSuite, self._fixtures)
        guard = Guard("run", Subject("unattributed", "the run"), policy)
        timing = self._fixtures.timing = Observation(guard) if self.advises else Timing(guard)
        before, start = live_things(), _compat.clock()
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
        lines += text.key_tests(record.scoped_tests())
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


# -- advice --------------------------------------------------------------------------------------


def advice_of(record: Record, folder: str) -> str:
    """Propose key tests from what a run, begun in `folder`, has put on record; skipped tests are left out."""
    root = _repository(os.path.realpath(folder))
    tests = [_as_test(course, root) for course in record.courses if course.id not in record.skipped]
    sources = {}
    for path in {test.definition.path for test in tests if test.definition.path}:
        with open(os.path.join(root, path), "rb") as file:
            sources[path] = file.read()
    return advise.advice(tests, record.seconds, sources, _lines(record.fixture_births))


def _as_test(course: Course, root: str) -> advise.Test:
    owner = next((cls for cls in course.cls.__mro__ if course.method in vars(cls)), course.cls)
    return advise.Test(
        id=course.id,
        seconds=course.seconds,
        load=course.load,
        lines=_lines(course.births),
        definition=_definition(owner, course.method, root),
        is_key=course.category is not None,
        is_inherited=owner is not course.cls,
    )


def _lines(creations: Iterable[Creation]) -> "frozenset[advise.Line]":
    return frozenset(advise.Line(kind, str(origin.place_of(code, at))) for kind, code, at in creations)


def _definition(cls: Any, method: str, root: str) -> advise.Definition:
    """Where a class's own method is written, as a path below the root of the repository."""
    path = os.path.realpath(getattr(sys.modules.get(cls.__module__), "__file__", None) or "")
    inside = os.path.join(root, "")
    problem = ""
    if not (path.endswith(".py") and os.path.isfile(path)):
        problem = f"module {cls.__module__} has no source file"
    elif not path.startswith(inside) or origin.rank(path) != origin.USER:
        problem = f"{origin.show_path(path)} is not a file of this repository"
    code = getattr(inspect.unwrap(vars(cls).get(method)), "__code__", None)
    line = getattr(code, "co_firstlineno", 0)
    shown = "" if problem else path[len(inside) :].replace(os.sep, "/")
    return advise.Definition(shown, cls.__qualname__, method, line, problem)


def _repository(folder: str) -> str:
    """The root of the repository that a folder is in: the nearest one with ``.git``, else the folder itself."""
    root = folder
    while not os.path.exists(os.path.join(root, ".git")):
        root, below = os.path.dirname(root), root
        if root == below:
            return folder
    return root
