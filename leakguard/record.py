"""What a run has put on record, as plain data: its tests, what each left, and the process that it ran in.

Every report is made from a `RunRecord`, whether the run has just ended here or was read from files of other processes.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, Mapping, NamedTuple, Tuple

from leakguard.model import LeakReport

LIVE = ("threads", "tasks", "processes", "files")
"""What is counted after a test, in this order."""

DEFAULT_KINDS = ("process", "thread", "task")
"""The kinds that a test is checked for unless its policy says otherwise."""

OUTCOMES = ("passed", "failed", "error", "skipped", "expected failure", "unexpected success", "unknown")
"""What may come of a test; ``unknown`` where only its guard was there to see it."""


class TestRecord(NamedTuple):
    """One test that has run."""

    id: str
    outcome: str = "unknown"
    """One of `OUTCOMES`."""
    seconds: float = 0.0
    """How long it took, with its fixtures and cleanups."""
    waited: float = 0.0
    """Seconds that its check waited for suspects to end, also where they did."""
    live: Tuple[int, ...] = ()
    """How many of each of `LIVE` were alive after it; -1 for one that was not counted then, () if none was."""
    details: str = ""
    """The text of its failure or error, or the reason why it was skipped."""
    kinds: Tuple[str, ...] = DEFAULT_KINDS
    """What it was checked for, () if it was not checked."""
    leaked: bool = False
    """Whether it failed for a leak, and for nothing else."""
    otherwise: str = ""
    """What would have come of it without that leak, where it is not ``passed``: ``skipped`` or ``expected failure``."""

    @property
    def is_fixture(self) -> bool:
        """Whether it is no test, but a fixture of a class or module that failed or was skipped."""
        return self.id.startswith(_FIXTURES)

    @property
    def has_failed(self) -> bool:
        """Whether a run with it has failed."""
        return self.outcome in ("failed", "error", "unexpected success")


_FIXTURES = tuple(f"{name} (" for name in ("setUpClass", "tearDownClass", "setUpModule", "tearDownModule"))


class RunRecord(NamedTuple):
    """One run, or several that were merged."""

    environment: Mapping[str, str] = {}
    """``python``, ``implementation``, ``platform``, and what else tells one process from another."""
    tests: Tuple[TestRecord, ...] = ()
    """In the order in which they ended."""
    reports: Tuple[LeakReport, ...] = ()
    """What the checks reported, in the order in which they did."""
    before: Tuple[int, ...] = ()
    """How many of each of `LIVE` were alive before the first test."""
    seconds: float = 0.0
    """How long the run took."""
    fixed: Tuple[str, ...] = ()
    """Known leaks that their tests no longer show, a line each."""
    problems: Tuple[str, ...] = ()
    """What is incomplete, a sentence each: a file that could not be read, a process that did not end its run."""

    parts: Tuple[Tuple[int, Tuple[int, ...]], ...] = ()
    """Of several processes, for each: the place in `tests` where its own begin, and what `before` is of it."""

    def kinds_checked(self) -> Dict[str, FrozenSet[str]]:
        """The tests that passed wherever they ran, each with the kinds that were checked of it in all of its runs."""
        found: Dict[str, FrozenSet[str]] = {}
        for test in self.tests:
            if test.outcome != "skipped":
                kinds = test.kinds if test.outcome in ("passed", "expected failure") else ()
                found[test.id] = found.get(test.id, frozenset(kinds)) & frozenset(kinds)
        return {test: kinds for test, kinds in found.items() if kinds}

    @property
    def tests_run(self) -> int:
        """How many tests ran; what failed in a fixture is no test."""
        return sum(1 for test in self.tests if not test.is_fixture)
