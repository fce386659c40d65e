"""``--leak-merge``: one `RunRecord` out of the reports of many processes, read one after the other.

Nothing here trusts a clock or a pid: those of two machines may be equal or differ. A report is told from another by the
random id that its process has given itself, and what cannot be read is named, and hides no other.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left, bisect_right
from collections import Counter
from itertools import islice
from math import isfinite
from sys import intern
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Set, Tuple

from leakguard.model import UNATTRIBUTED, Leak, LeakReport
from leakguard.record import DEFAULT_KINDS, RunRecord, TestRecord

VERSION = 1
SUFFIXES = (".json", ".jsonl")

FOREIGN_LINES = 100
"""Lines without anything of a report after which a file is not read on."""

_SEVERITY = ("error", "failed", "unexpected success", "unknown", "passed", "expected failure", "skipped")
_LEAK_FIELDS = frozenset(Leak._fields)
_LEAK_TYPES: Dict[str, Tuple[type, ...]] = {
    **dict.fromkeys(("now_at", "aliases", "awaited_by", "origin_stack"), (tuple,)),
    **dict.fromkeys(("kind", "name", "state", "verdict", "hint", "fingerprint"), (str,)),
    **dict.fromkeys(("origin", "place", "waiting_in"), (str, type(None))),
    **dict.fromkeys(("blocks_exit", "counted", "known"), (bool,)),
    "cancels": (int,),
}


class Source(NamedTuple):
    """One report that was read."""

    path: str
    record: RunRecord
    is_complete: bool

    @property
    def processes(self) -> Tuple[str, ...]:
        """The ids of the processes that it is of: several, if it was merged."""
        return _processes(self.record)


def _processes(record: RunRecord) -> Tuple[str, ...]:
    ids = record.environment.get("process", "")
    return tuple(ids.split(", ")) if ids else ()


class _Unreadable(ValueError):
    """Why a file is no report that can be read."""


_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError)
"""What reading raises for no JSON, for JSON of something else, and for JSON that is nested too deeply."""


def read(paths: Sequence[str]) -> RunRecord:
    """Return one record of all reports that the paths name, or that are in folders that they name.

    Raises ValueError for a path that does not exist.
    """
    kept: Dict[str, Source] = {}
    problems: List[str] = []
    for path in _files(paths, problems):
        try:
            source = _read_lines(path) if path.endswith(".jsonl") else _read_object(path)
        except _Unreadable as error:
            problems.append(f"{path} {error}")
            continue
        except (OSError, *_MALFORMED) as error:
            problems.append(f"{path} cannot be read: {_why(error)}")
            continue
        key = source.record.environment.get("process") or os.path.realpath(path)
        other = kept.get(key)
        if other is None or _fullness(source) > _fullness(other):  # the same process given twice, once cut perhaps
            kept[key] = source
    sources = _without_copies(list(kept.values()))
    problems += [f"{source.path} {problem}" for source in sources for problem in source.record.problems]
    problems += _counted_twice(sources)
    return _merged([source.record for source in sources])._replace(problems=tuple(problems))


def _why(error: BaseException) -> str:
    if isinstance(error, (OSError, ValueError)):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _fullness(source: Source) -> Tuple[bool, int]:
    return source.is_complete, len(source.record.tests)


def _without_copies(sources: List[Source]) -> List[Source]:
    """Leave out a merged report whose processes have reports of their own, else those that are in a merged one.

    Neither, if a test would be lost: a merged report may be older than what its processes have written since.
    """
    kept: List[Source] = []
    for source in sorted(sources, key=lambda one: len(one.processes)):
        if len(source.processes) > 1:
            own = [one for one in kept if set(one.processes) <= set(source.processes) and one.processes]
            there = {process for one in own for process in one.processes}
            if set(source.processes) <= there and _tests([source]) <= _tests(own):
                continue
            kept = [one for one in kept if one not in own or not _tests([one]) <= _tests([source])]
        kept.append(source)
    return [source for source in sources if source in kept]


def _tests(sources: Sequence[Source]) -> Set[str]:
    return {test.id for source in sources for test in source.record.tests}


def _counted_twice(sources: Sequence[Source]) -> List[str]:
    """Name the merged reports that have processes in common with others, and more than these, or less."""
    times = Counter(process for source in sources for process in set(source.processes))
    return [
        f"{source.path} is of processes that other reports are of, too: what these found may be counted twice"
        for source in sources
        if len(source.processes) > 1 and any(times[process] > 1 for process in source.processes)
    ]


def _files(paths: Sequence[str], problems: List[str]) -> Iterator[str]:
    """The reports that the paths name, each once; those of a folder sorted, so that the result is always the same."""
    for path in paths:
        if not os.path.exists(path):
            raise ValueError(f"--leak-merge: PATH must be a report or a folder that exists (got {path!r})")
    seen = set()
    for path in paths:
        found = _in_folder(path) if os.path.isdir(path) else [path]
        if not found:
            problems.append(f"{path} has no report in it")
        for file in found:
            if not os.path.isfile(file):  # a FIFO would be waited for
                problems.append(f"{file} is no regular file")
            elif os.path.realpath(file) not in seen:
                seen.add(os.path.realpath(file))
                yield file


def _in_folder(folder: str) -> List[str]:
    found = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        found += [os.path.join(place, name) for name in sorted(names) if name.endswith(SUFFIXES)]
    return found


# -- one file --------------------------------------------------------------------------------------------


class _Lines:
    """What the lines of a file amount to, event by event."""

    def __init__(self) -> None:
        self.environment: Dict[str, str] = {}
        self.before: Tuple[int, ...] = ()
        self.parts: Tuple[Tuple[int, Tuple[int, ...]], ...] = ()
        self.tests: List[TestRecord] = []
        self.reports: List[LeakReport] = []
        self.seconds = 0.0
        self.fixed: Tuple[str, ...] = ()
        self.problems: List[str] = []
        self.lost: List[str] = []
        self.running = ""
        """What has begun and has not ended."""
        self.is_resting = False

    def begin(self, data: Mapping[str, Any]) -> None:
        _check_version(data)
        self.environment, self.before, self.parts = _environment(data), _counts(data.get("before")), _parts(data)

    def start(self, data: Mapping[str, Any]) -> None:
        self.running = data["id"]

    def test(self, data: Mapping[str, Any]) -> None:
        self.tests.append(_test(data))
        self.running = ""

    def leaks(self, data: Mapping[str, Any]) -> None:
        self.reports.append(_report(data))

    def end(self, data: Mapping[str, Any]) -> None:
        self.seconds, self.fixed = _number(data["seconds"]), tuple(map(str, data.get("fixed", ())))
        self.lost = [str(problem) for problem in data.get("problems", ())]
        self.running = ""

    def is_report(self) -> bool:
        """Whether anything of a report has been read."""
        return bool(self.environment or self.tests or self.reports)

    def take(self, data: Mapping[str, Any]) -> None:
        """Take one event; what a later version has added is passed over."""
        event = data["event"]
        handler = EVENTS.get(event)
        if handler is not None:
            handler(self, data)
            self.is_resting = event == "end"


EVENTS: Dict[str, Callable[[_Lines, Mapping[str, Any]], None]] = {
    "begin": _Lines.begin,
    "start": _Lines.start,
    "test": _Lines.test,
    "leaks": _Lines.leaks,
    "end": _Lines.end,
}


def _read_lines(path: str) -> Source:
    """Read what a process has appended; it may have been killed at any byte."""
    found = _Lines()
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if number > FOREIGN_LINES and not found.is_report():
                break
            try:
                found.take(json.loads(line))
            except _Unreadable:
                raise
            except _MALFORMED:
                if line.strip():
                    whole = line.endswith(b"\n")
                    what = f"has a line {number} that cannot be read" if whole else "ends in the middle of a line"
                    found.problems.append(what)
    if not found.is_report():
        is_empty = os.path.getsize(path) == 0
        raise _Unreadable("is empty: its process ended at once" if is_empty else "is no report of leakguard")
    if not found.environment:
        found.problems.append("lacks its first line: which process wrote it is not known")
    if not found.is_resting:
        last = found.tests[-1].id if found.tests else ""
        where = f"in {found.running}" if found.running else f"after {last}" if last else "before its first test"
        found.problems.append(f"is incomplete: its process ended {where}")
    is_complete = not found.problems
    problems = tuple(found.problems + found.lost)
    tests, reports = tuple(found.tests), tuple(found.reports)
    about = (found.before, found.seconds, found.fixed, problems, found.parts)
    return Source(path, RunRecord(found.environment, tests, reports, *about), is_complete)


def _read_object(path: str) -> Source:
    """Read a report that was written whole."""
    with open(path, "rb") as file:
        data = json.load(file)
    if not isinstance(data, dict) or not {"version", "environment", "leaks"} <= set(data):
        raise _Unreadable("is no report of leakguard")
    _check_version(data)
    tests = tuple(map(_test, data.get("tests", ())))
    leaks, late = list(map(_leak, data["leaks"])), tuple(map(_leak, data.get("ended_late", ())))
    checks = data.get("checks", ())
    if sum(one["leaks"] for one in checks) == len(leaks) and sum(one["ended_late"] for one in checks) == len(late):
        reports = tuple(_checks(checks, iter(leaks), iter(late)))
    else:  # one of before, or of which somebody has taken leaks out
        reports = _reports_of_before(data, leaks, late, tests)
    about = (_counts(data.get("before")), _number(data.get("seconds", 0.0)), tuple(map(str, data.get("fixed", ()))))
    problems = tuple(map(str, data.get("problems", ())))
    return Source(path, RunRecord(_environment(data), tests, reports, *about, problems, _parts(data)), True)


def _checks(checks: Sequence[Mapping[str, Any]], leaks: Iterator[Leak], late: Iterator[Leak]) -> Iterator[LeakReport]:
    """Give each check its own of the leaks, which are in the order of the checks."""
    for one in checks:
        own, own_late = tuple(islice(leaks, one["leaks"])), tuple(islice(late, one["ended_late"]))
        yield _report({**one, "leaks": (), "ended_late": ()})._replace(leaks=own, ended_late=own_late)


def _reports_of_before(
    data: Mapping[str, Any], leaks: Sequence[Leak], late: Tuple[Leak, ...], tests: Sequence[TestRecord]
) -> Tuple[LeakReport, ...]:
    reports = tuple(_reports_of(leaks, {test.id for test in tests}))
    ignored = tuple((one["rule"], "") for one in data.get("ignored", ()) for _ in range(one["matches"]))
    if ignored or late:
        reports += (LeakReport("run", UNATTRIBUTED, "the run", ignored=ignored, ended_late=late),)
    return reports


def _reports_of(leaks: Sequence[Leak], tests: "set[str]") -> Iterator[LeakReport]:
    """Put the leaks of one owner together again: that object has one list of all."""
    by_owner: Dict[str, List[Leak]] = {}
    for leak in leaks:
        by_owner.setdefault(leak.owner, []).append(leak)
    for owner, own in by_owner.items():
        scope = "test" if owner in tests else "run" if owner == UNATTRIBUTED else "class"
        yield LeakReport(scope, owner, owner, tuple(own))


def _check_version(data: Mapping[str, Any]) -> None:
    version = data.get("version")
    if version != VERSION:
        raise _Unreadable(f"is of version {version!r}: this leakguard reads version {VERSION}")


def _parts(data: Mapping[str, Any]) -> Tuple[Tuple[int, Tuple[int, ...]], ...]:
    return tuple((_typed(start, int), _counts(before)) for start, before in data.get("parts", ()))


def _environment(data: Mapping[str, Any]) -> Dict[str, str]:
    environment = {intern(str(name)): str(value) for name, value in data["environment"].items()}
    int(environment.get("processes", "1"))  # it is counted with
    return environment


def _typed(value: Any, *types: type) -> Any:
    """Return a value of one of some types. Raises TypeError for another, which would break what comes later."""
    if not isinstance(value, types):
        raise TypeError(f"{types[0].__name__} expected, not {type(value).__name__}")
    return value


def _number(value: Any) -> float:
    """Return a number of seconds. Raises ValueError for one that no JSON can have, or no float."""
    seconds = float(_typed(value, float, int))
    if isinstance(value, bool) or not isfinite(seconds):
        raise ValueError(f"{value!r} is no number of seconds")
    return seconds


_shared_counts: Dict[Tuple[int, ...], Tuple[int, ...]] = {}


def _counts(data: Any) -> Tuple[int, ...]:
    counts = tuple(data or ())
    if not all(type(count) is int for count in counts):
        raise TypeError("int expected in a list of counts")
    return _shared_counts.setdefault(counts, counts) if len(_shared_counts) < 10000 else counts


def _test(data: Mapping[str, Any]) -> TestRecord:
    seconds, waited = (_number(value) for value in (data["seconds"], data.get("waited") or 0.0))
    live = _counts(data.get("live"))
    details, leaked = _typed(data.get("details", ""), str), _typed(data.get("leaked", False), bool)
    kinds = tuple(data.get("kinds", DEFAULT_KINDS))
    otherwise = data.get("otherwise", "")
    if data["outcome"] not in _SEVERITY or otherwise not in ("", *_SEVERITY):
        raise ValueError(f"{data['outcome']!r} or {otherwise!r} is no outcome")
    return TestRecord(intern(data["id"]), intern(data["outcome"]), seconds, waited, live, details, kinds, leaked, otherwise)


def _leak(data: Mapping[str, Any]) -> Leak:
    fields: Dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in data.items() if name in _LEAK_FIELDS
    }
    for name, value in fields.items():
        _typed(value, *_LEAK_TYPES[name])
        if type(value) is tuple and not all(type(part) is str for part in value):
            raise TypeError(f"str expected in {name}")
    return Leak(owner=intern(data["test"]), **fields)


def _report(data: Mapping[str, Any]) -> LeakReport:
    return LeakReport(
        scope=_typed(data["scope"], str),
        owner=intern(data["owner"]),
        title=_typed(data["title"], str),
        leaks=tuple(map(_leak, data["leaks"])),
        waited=_number(data["waited"]),
        note=_typed(data["note"], str),
        ignored=tuple((rule, name) for rule, name in data["ignored"]),
        ended_late=tuple(map(_leak, data.get("ended_late", ()))),
    )


# -- many records ----------------------------------------------------------------------------------------


def _merged(records: Sequence[RunRecord]) -> RunRecord:
    """Fold records into one: every leak is kept, a test that ran more than once on one platform is one test."""
    tests, parts = _folded(records)
    if len(records) == 1:
        return records[0]._replace(tests=tests, parts=parts)
    return RunRecord(
        environment={**_common([record.environment for record in records]), **_identity(records)},
        tests=tests,
        parts=parts,
        reports=tuple(report for record in records for report in record.reports),
        seconds=max((record.seconds for record in records), default=0.0),
        fixed=tuple(dict.fromkeys(line for record in records for line in record.fixed)),
    )


def _folded(records: Sequence[RunRecord]) -> Tuple[Tuple[TestRecord, ...], Tuple[Tuple[int, Tuple[int, ...]], ...]]:
    """Each test once: in one process its last run counts, among several the worst: nobody knows which was the last.

    It stays among the tests of its process: where these begin is returned, too, if there are several.
    """
    kept: Dict[Tuple[Any, ...], Tuple[int, TestRecord]] = {}
    befores: List[Tuple[int, ...]] = []
    for record in records:
        platform = tuple(record.environment.get(name) for name in ("python", "implementation", "platform"))
        starts = [start for start, _ in record.parts] or [0]
        first = len(befores)
        befores += [before for _, before in record.parts] or [record.before]
        for name, (place, test) in {test.id: (place, test) for place, test in enumerate(record.tests)}.items():
            part, other = first + bisect_right(starts, place) - 1, kept.get((platform, name))
            if other is not None:
                worst = min(other[1], test, key=lambda one: (_SEVERITY.index(one.outcome), one.leaked))
                part = other[0] if worst is other[1] else part
                test = worst._replace(kinds=tuple(kind for kind in other[1].kinds if kind in test.kinds))
            kept[platform, name] = (part, test)
    found = sorted(kept.values(), key=lambda one: one[0])
    order = [part for part, _ in found]
    parts = tuple((bisect_left(order, part), before) for part, before in enumerate(befores)) if len(befores) > 1 else ()
    return tuple(test for _, test in found), parts


def _identity(records: Sequence[RunRecord]) -> Dict[str, str]:
    """Of which processes a merged report is, each of them named: it is recognised by that where it is merged again."""
    ids = {process for record in records for process in _processes(record)}
    nameless = sum(1 for record in records if not _processes(record))
    named = {"process": ", ".join(sorted(ids))} if ids else {}
    return {**named, "processes": str(len(ids) + nameless)}


def _common(environments: Sequence[Mapping[str, str]]) -> Dict[str, str]:
    """What is the same in all, and of what differs each value, or how many there are."""
    merged = {}
    for name in dict.fromkeys(name for environment in environments for name in environment):
        values = sorted({one for environment in environments if name in environment for one in _values(environment, name)})
        merged[name] = ", ".join(values) if len(values) <= 4 else f"{len(values)} different"
    return merged


def _values(environment: Mapping[str, str], name: str) -> List[str]:
    """What a merged report has several of is several here, too."""
    return environment[name].split(", ") if "processes" in environment else [environment[name]]
