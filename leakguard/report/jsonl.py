"""The report as lines: one JSON object an event, each whole in itself: a run that is killed has lost nothing."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Mapping, Sequence

from leakguard.model import LeakReport
from leakguard.record import RunRecord, TestRecord
from leakguard.report.files import replace_file
from leakguard.report.protocol import VERSION, encode, quote, test_fields


def begin_line(environment: Mapping[str, str], before: Sequence[int], parts: Sequence[Any] = ()) -> str:
    """The first line: a process begins to put its tests on record; of a merged report, which of the tests are whose."""
    data = {"event": "begin", "version": VERSION, "environment": dict(environment), "before": list(before)}
    return encode({**data, "parts": parts} if parts else data) + "\n"


def start_line(name: str) -> str:
    """A test, or the fixtures of a class or module, begins: named if the process dies in it."""
    return f'{{"event": "start", "id": {quote(name)}}}\n'


def test_line(test: TestRecord) -> str:
    """A test has ended."""
    return f'{{"event": "test", {test_fields(test)}}}\n'


def leaks_line(report: LeakReport) -> str:
    """A check has found leaks, or something that an ignore rule matched."""
    return encode({"event": "leaks", **report.as_dict()}) + "\n"


def end_line(seconds: float, tests_run: int, fixed: Iterable[str] = (), problems: Iterable[str] = ()) -> str:
    """All that has begun has ended: a file of which this is the last line is complete."""
    data = {"event": "end", "seconds": round(seconds, 6), "tests_run": tests_run}
    return encode({**data, "fixed": list(fixed), "problems": list(problems)}) + "\n"


def lines(record: RunRecord) -> Iterator[str]:
    """A whole record as lines."""
    yield begin_line(record.environment, record.before, record.parts)
    yield from map(test_line, record.tests)
    yield from map(leaks_line, record.reports)
    yield end_line(record.seconds, record.tests_run, record.fixed, record.problems)


def write(path: str, record: RunRecord) -> None:
    """Write a whole record, all of it or nothing. Raises OSError if the file cannot be written."""
    replace_file(path, lines(record))
