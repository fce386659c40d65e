"""Known leaks: which are on record, which of those are gone, and what to put on record. Data in, data out.

The file itself is read and written by `knownfile`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Collection, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from leakguard.fingerprint import pattern_of, shown_own_place, shown_place
from leakguard.model import ENDED_LATE, UNATTRIBUTED, Leak, LeakReport

if TYPE_CHECKING:
    from leakguard.knownfile import Entry
    from leakguard.record import RunRecord, TestRecord

VARIABLE = "LEAKGUARD_KNOWN"
NOTE = "known: on record"
REMARKS = 5
"""Expired entries that one message names."""


class Known(NamedTuple):
    """A file of known leaks as it was read, and the day it was read on."""

    path: str
    entries: Mapping[str, Entry]
    """By fingerprint."""
    today: str

    def is_expired(self, entry: Entry) -> bool:
        """Whether an entry is too old to excuse its leak; its last day is the one that it names."""
        return entry.expires is not None and entry.expires < self.today


NONE = Known("", {}, "")
command_line: List[Known] = []
"""What ``--leak-known`` has named; set by the runner for as long as it runs."""

_read: Dict[str, Known] = {}


def read(path: str, source: str) -> Known:
    """Read a file that `source`, a flag or a variable, names. Raises ValueError naming both and the line."""
    from leakguard import knownfile  # half a millisecond, which only a file costs

    try:
        entries = knownfile.read(path)
    except ValueError as error:
        raise ValueError(f"{source}: {path}{error}") from None
    return Known(path, {entry.fingerprint: entry for entry in entries}, knownfile.today())


def in_force() -> Known:
    """The file of the command line, else of the environment, read once in a process. Raises ValueError as `read`."""
    if command_line:
        return command_line[-1]
    path = os.environ.get(VARIABLE, "").strip()
    if not path:
        return NONE
    if path not in _read:
        _read[path] = read(path, VARIABLE)
    return _read[path]


def mark(leaks: Iterable[Leak], known: Known) -> Tuple[Leak, ...]:
    """Return the leaks, those on record as known and not counted; an entry that has expired excuses nothing."""
    entries = known.entries
    return tuple(
        leak._replace(known=True, counted=False)
        if leak.fingerprint in entries and not known.is_expired(entries[leak.fingerprint])
        else leak
        for leak in leaks
    )


def remarks(leaks: Iterable[Leak], known: Known) -> List[str]:
    """What a message says besides the new leaks: how many are known, and whose entries have expired."""
    lines = []
    leaks = list(leaks)
    number = sum(leak.known for leak in leaks)
    if number:
        lines.append(f"Known: {number} leak{'s' if number > 1 else ''} of this check, on record in {known.path}")
    expired = dict.fromkeys(leak.fingerprint for leak in leaks if not leak.known and leak.fingerprint in known.entries)
    for fingerprint in list(expired)[:REMARKS]:
        entry = known.entries[fingerprint]
        whose = f" (owner: {entry.owner})" if entry.owner else ""
        lines.append(f"Expired: {entry.kind} '{entry.name}' was a known leak until {entry.expires}{whose}")
    if len(expired) > REMARKS:
        lines.append(f"Expired: {len(expired) - REMARKS} more entries of {known.path}")
    return lines


def shown(reports: Iterable[LeakReport]) -> List[Leak]:
    """What a run has shown: its leaks, and what outlived the grace and ended late, which is slow but not gone."""
    return [leak for report in reports for leak in (*report.leaks, *report.ended_late)]


def fixed(known: Known, leaks: Iterable[Leak], tests_run: Mapping[str, Collection[str]]) -> List[Entry]:
    """Return the entries that their tests no longer show; `leaks` are all that were `shown`.

    `tests_run` maps the id of each test that ran to its end to the kinds that were checked of it. Every test that an
    entry names must be one of these; a class or a module has run if one of its tests has. What nobody could be shown
    to have made is never called fixed: no test says that it is gone; nor is an entry that does not name all its tests.
    """
    leaks = list(leaks)
    seen = {leak.fingerprint for leak in leaks}
    # what ends while it is described has lost its target, and with it its fingerprint: any of its kind may be it
    late = {(leak.kind, leak.owner) for leak in leaks if leak.verdict == ENDED_LATE}
    candidates = [
        entry
        for entry in known.entries.values()
        if entry.fingerprint not in seen and not any((entry.kind, test) in late for test in entry.tests)
    ]
    if not candidates:
        return []
    ran: Dict[str, Collection[str]] = dict(tests_run)
    for test, kinds in tests_run.items():
        while "." in test:
            test = test.rpartition(".")[0]
            ran.setdefault(test, kinds)
    return [
        entry
        for entry in candidates
        if UNATTRIBUTED not in entry.tests
        and not entry.more_tests
        and all(entry.kind in ran.get(test, ()) for test in entry.tests)
    ]


def applied(record: RunRecord, known: Known) -> Tuple[RunRecord, List[Entry]]:
    """Return a whole run with its known leaks marked and the fixed ones named, and these as entries.

    A test that failed for leaks alone, all of which are known, has not failed. A record of which something is missing
    shows nothing to be fixed.
    """
    reports = tuple(report._replace(leaks=mark(report.leaks, known)) for report in record.reports)
    leaks = shown(reports)
    record = record._replace(reports=reports, tests=tuple(_forgiven(record, reports)))
    gone = fixed(known, leaks, record.kinds_checked()) if not record.problems else []
    there = {str(known.entries.get(leak.fingerprint) or _entry(leak, "")) for leak in leaks}
    lines = dict.fromkeys(line for line in (*record.fixed, *map(str, gone)) if line not in there)
    return record._replace(fixed=tuple(lines)), gone


def _forgiven(record: RunRecord, reports: Iterable[LeakReport]) -> Iterator[TestRecord]:
    """The tests, those without a failure that failed only for what is known; of a fixture nothing is left then."""
    failing: Dict[str, bool] = {}
    for report in reports:
        if report.leaks and not report.note.startswith(NOTE):
            name = f"tearDown{report.scope.title()} ({report.owner})" if report.scope in ("class", "module") else report.owner
            fails = bool(report.note) or any(leak.counted for leak in report.leaks)
            failing[name] = failing.get(name, False) or fails
    for test in record.tests:
        if not (test.leaked and failing.get(test.id) is False):
            yield test
        elif not test.is_fixture:
            yield test._replace(outcome=test.otherwise or "passed", leaked=False, otherwise="", details="")


def learnable(reports: Iterable[LeakReport]) -> List[Leak]:
    """The leaks that go on record: all but those that a threshold tolerates, which block nobody.

    One that could not be described has no fingerprint: nobody could tell it from another.
    """
    leaks = (leak for report in reports if not report.note.startswith("tolerated") for leak in report.leaks)
    return [leak for leak in leaks if leak.fingerprint]


def learn(leaks: Iterable[Leak], before: Iterable[Entry], today: str) -> List[Entry]:
    """Return an entry a fingerprint; what was on record before keeps all but its tests."""
    by_fingerprint: Dict[str, List[Leak]] = {}
    for leak in leaks:
        by_fingerprint.setdefault(leak.fingerprint, []).append(leak)
    old = {entry.fingerprint: entry for entry in before}
    return [
        _with_tests(old.get(fingerprint) or _entry(same[0], today), {leak.owner for leak in same})
        for fingerprint, same in by_fingerprint.items()
    ]


def ratchet(known: Known, gone: Sequence[Entry]) -> List[Entry]:
    """Return the entries without those that are gone, and otherwise as they were: nothing is added."""
    fingerprints = {entry.fingerprint for entry in gone}
    return [entry for entry in known.entries.values() if entry.fingerprint not in fingerprints]


def _entry(leak: Leak, today: str) -> Entry:
    from leakguard.knownfile import Entry

    return Entry(
        fingerprint=leak.fingerprint,
        kind=leak.kind,
        name=pattern_of(leak.kind, leak.name),
        origin=shown_place(leak.origin),
        place=shown_own_place(leak.place),
        waiting_in=leak.waiting_in,
        since=today,
    )


def _with_tests(entry: Entry, tests: Collection[str]) -> Entry:
    return entry._replace(tests=tuple(sorted(tests)), more_tests=0)
