"""What a run puts on record while it goes on: the process that it runs in, what is alive, what came of each test.

Only where a report was asked for. Every test pays for it then, so the dear counts are taken every few milliseconds.
"""

from __future__ import annotations

import os
import sys
import time
from functools import lru_cache
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple

from leakguard import _compat, origin
from leakguard.journal import Journal
from leakguard.model import LeakError, LeakReport
from leakguard.probes.processes import child_count
from leakguard.record import DEFAULT_KINDS, OUTCOMES, RunRecord, TestRecord

__unittest = True

INTERVAL = 0.005
"""Seconds between two counts of what is dear to count, at least."""

_WORST_FIRST = ("error", "failed", "unexpected success", "expected failure", "skipped", "passed", "unknown")
_RANK = {outcome: rank for rank, outcome in enumerate(_WORST_FIRST)}
assert set(_WORST_FIRST) == set(OUTCOMES)


def environment(_time: Callable[[], float] = time.time, _gmtime: Any = time.gmtime) -> Dict[str, str]:
    """What tells this process from every other, on this machine and on others, and what it runs on.

    Of the command line only the name of the program: its arguments may hold a secret. Tests freeze clocks: ours are
    bound before.
    """
    uname = getattr(os, "uname", None)
    return {
        "python": sys.version.partition(" ")[0],
        "implementation": sys.implementation.name,
        "platform": sys.platform,
        "leakguard": str(getattr(sys.modules.get("leakguard"), "__version__", "")),
        "host": uname().nodename if uname is not None else os.environ.get("COMPUTERNAME", ""),
        "pid": str(os.getpid()),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", _gmtime(_time())),
        "process": os.urandom(8).hex(),
        "command": _program(),
    }


def _program() -> str:
    path = sys.argv[0] if sys.argv else ""
    folder, name = os.path.split(path)
    return f"python -m {os.path.basename(folder)}" if name == "__main__.py" else name


class LiveCounter:
    """Counts what is alive: threads each time, the rest at most every few milliseconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def count(self, now: float, *, fully: bool = False) -> Tuple[int, ...]:
        """Return how many of each of `record.LIVE` are alive at `now`; -1 for one that is too dear to count again."""
        if now < self._next and not fully:
            return (len(_threads), -1, -1, -1)
        self._next = now + INTERVAL
        return (len(_threads), live_tasks(), child_count(), _compat.descriptor_count())


_threads = _compat.live_threads


def live_tasks() -> int:
    """How many tasks are pending, on whatever loop that a guard has seen."""
    if not _compat.TASKS_PER_LOOP:
        return _compat.live_task_count()
    return sum(len(_compat.tasks_of_loop(loop)) for loop in list(origin.loops) if not loop.is_closed())


def kinds_checked(guard: Any) -> Tuple[str, ...]:
    """What the guard of a test has looked for; () if it gave no verdict, or there is no guard."""
    return _kinds_of(guard.plan.probes) if guard is not None and guard.is_verified else ()


@lru_cache(maxsize=64)
def _kinds_of(probes: Any) -> Tuple[str, ...]:
    kinds = tuple(probe.choice or probe.kind for probe in probes)
    return DEFAULT_KINDS if set(kinds) == set(DEFAULT_KINDS) else kinds


_new: Callable[..., TestRecord] = tuple.__new__  # half the time of a named tuple's own, and each test pays it


class Recorder:
    """Collects the tests of one run, and lets its journals write each event as it happens."""

    def __init__(self, journals: Sequence[Journal] = ()) -> None:
        self.journals = list(journals)
        self.tests: List[TestRecord] = []
        self.environment = environment()
        self.before: Tuple[int, ...] = ()
        self.problems: Tuple[str, ...] = ()
        self.seconds = 0.0
        self.was_off = False
        """Whether this is a run inside of another one."""
        self._start = 0.0
        self._live = LiveCounter()

    def begin(self) -> None:
        """Count what is alive before the first test."""
        self._start = _compat.clock()
        self.before = self._live.count(self._start, fully=True)
        for journal in self.journals:
            journal.open()
            journal.begins(self.environment, self.before)

    def start(self, name: str) -> None:
        """A test begins; only journals need to be told."""
        for journal in self.journals:
            journal.starts(name)

    def add(
        self,
        name: str,
        outcome: str,
        details: str = "",
        seconds: float = 0.0,
        guard: Any = None,
        leaked: bool = False,
        otherwise: str = "",
    ) -> None:
        """A test has ended, with the guard that it had, or a fixture has failed."""
        waited = guard.waited if guard is not None else 0.0
        now = _compat.clock()
        live = self._live.count(now, fully=waited > 0)
        test = _new(TestRecord, (name, outcome, seconds, waited, live, details, kinds_checked(guard), leaked, otherwise))
        self.tests.append(test)
        for journal in self.journals:
            journal.ends(test)

    def report(self, report: LeakReport) -> None:
        """A check has found something."""
        for journal in self.journals:
            journal.reports(report)

    def end(self, fixed: Iterable[str] = (), problems: Iterable[str] = ()) -> None:
        """All has ended; with the known leaks that are fixed, and what is incomplete."""
        lines, self.problems = list(fixed), tuple(problems)
        self.seconds = _compat.clock() - self._start
        for journal in self.journals:
            journal.rests(self.seconds, sum(1 for test in self.tests if not test.is_fixture), lines, self.problems)
            journal.close()

    def is_of_this_process(self) -> bool:
        """Whether this is no copy in a forked child, which has nothing to report."""
        return self.environment["pid"] == str(os.getpid())

    def record(self, reports: Sequence[LeakReport]) -> RunRecord:
        """Return the run as plain data."""
        run = (self.environment, tuple(self.tests), tuple(reports), self.before, self.seconds)
        return RunRecord(*run, problems=self.problems)


_START, _OUTCOME, _DETAILS, _FAILURES, _LEAKS = range(5)
_BAD = ("error", "failed", "unexpected success")
_clock = _compat.clock


class RecordedResult:
    """A mixin before a TestResult: the worst that it is told of a test is the test's outcome."""

    recorder: Recorder

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._courses: Dict[int, List[Any]] = {}

    def startTest(self, test: Any) -> None:
        """Begin the course of a test."""
        self._courses[id(test)] = [_clock(), "unknown", "", 0, 0]
        if self.recorder.journals:
            self.recorder.start(test.id())
        super().startTest(test)  # type: ignore[misc]

    def stopTest(self, test: Any) -> None:
        """End it, and put it on record."""
        guard = getattr(test, "_leakguard_guard", None)
        super().stopTest(test)  # type: ignore[misc]
        course = self._courses.pop(id(test), None)
        if course is not None:
            start, outcome, details, failures, leaks = course
            name = test.id() if guard is None else guard.name()
            leaked = failures == leaks == 1
            otherwise = guard.otherwise if leaked and guard is not None else ""
            self.recorder.add(name, outcome, details, _clock() - start, guard, leaked, otherwise)

    def _note(self, test: Any, outcome: str, details: str = "", is_leak: bool = False) -> None:
        course = self._courses.get(id(getattr(test, "test_case", test)))
        if course is None:  # a fixture of a class or a module, which nobody has started
            self.recorder.add(test.id(), outcome, details, leaked=is_leak)
            return
        course[_FAILURES] += outcome in _BAD
        course[_LEAKS] += is_leak
        if _RANK[outcome] < _RANK[course[_OUTCOME]]:
            course[_OUTCOME] = outcome
        if details:
            course[_DETAILS] += ("\n" if course[_DETAILS] else "") + details

    def addSuccess(self, test: Any) -> None:
        """Note a test that passed."""
        super().addSuccess(test)  # type: ignore[misc]
        course = self._courses.get(id(test))
        if course is not None and course[_OUTCOME] == "unknown":
            course[_OUTCOME] = "passed"

    def addFailure(self, test: Any, err: Any) -> None:
        """Note a failure, with its text."""
        super().addFailure(test, err)  # type: ignore[misc]
        self._note(test, "failed", self.failures[-1][1], isinstance(err[1], LeakError))  # type: ignore[attr-defined]

    def addError(self, test: Any, err: Any) -> None:
        """Note an error, with its text."""
        super().addError(test, err)  # type: ignore[misc]
        self._note(test, "error", self.errors[-1][1], isinstance(err[1], LeakError))  # type: ignore[attr-defined]

    def addSkip(self, test: Any, reason: str) -> None:
        """Note a skip, with its reason."""
        super().addSkip(test, reason)  # type: ignore[misc]
        self._note(test, "skipped", str(reason))

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        """Note a failure that was expected, with its text."""
        super().addExpectedFailure(test, err)  # type: ignore[misc]
        self._note(test, "expected failure", self.expectedFailures[-1][1])  # type: ignore[attr-defined]

    def addUnexpectedSuccess(self, test: Any) -> None:
        """Note a success that was not expected."""
        super().addUnexpectedSuccess(test)  # type: ignore[misc]
        self._note(test, "unexpected success")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        """Note a part of a test that failed, with its name and its text."""
        failures, errors = len(self.failures), len(self.errors)  # type: ignore[attr-defined]
        super().addSubTest(test, subtest, err)  # type: ignore[misc]
        for outcome, entries in (
            ("failed", self.failures[failures:]),  # type: ignore[attr-defined]
            ("error", self.errors[errors:]),  # type: ignore[attr-defined]
        ):
            for _, details in entries:
                self._note(test, outcome, f"{subtest.id()}\n{details}")
