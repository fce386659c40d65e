"""The JSON report: one object, ``"version": 1``; a line for each test and each leak, so that it can be compared."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Dict, Iterable, Iterator

from leakguard.model import LeakReport
from leakguard.record import RunRecord, TestRecord
from leakguard.report.files import replace_file
from leakguard.report.protocol import VERSION, encode, test_fields


def as_dict(record: RunRecord) -> Dict[str, Any]:
    """Return the report of a run as plain JSON types."""
    data: Dict[str, Any] = json.loads("".join(lines(record)))
    return data


def lines(record: RunRecord) -> Iterator[str]:
    """The report as text, piece by piece."""
    leaks = [leak for report in record.reports for leak in report.leaks]
    owners = Counter(leak.owner for leak in leaks)
    yield f'{{\n  "version": {VERSION}'
    yield from _field("tests_run", record.tests_run)
    yield from _field("seconds", round(record.seconds, 6))
    yield from _field("environment", dict(record.environment))
    yield from _list("leaks", (encode(leak.as_dict()) for leak in leaks))
    late = (leak for report in record.reports for leak in report.ended_late)
    yield from _list("ended_late", (encode(leak.as_dict()) for leak in late))
    yield from _list("tests", (_test(test, owners[test.id]) for test in record.tests))
    yield from _list("checks", (encode(_check(report)) for report in record.reports))
    yield from _field("before", list(record.before))
    if record.parts:
        yield from _field("parts", record.parts)
    yield from _list("ignored", map(encode, _ignored(record)))
    yield from _list("fixed", map(encode, record.fixed))
    yield from _list("problems", map(encode, record.problems))
    yield "\n}\n"


def _field(name: str, value: Any) -> Iterator[str]:
    yield f',\n  "{name}": {encode(value)}'


def _list(name: str, items: Iterable[str]) -> Iterator[str]:
    """A list with an item a line."""
    text = ",\n    ".join(items)
    yield f',\n  "{name}": [\n    {text}\n  ]' if text else f',\n  "{name}": []'


def _test(test: TestRecord, leaks: int) -> str:
    return f'{{{test_fields(test)}, "leaks": {leaks}}}'


def _check(report: LeakReport) -> Dict[str, Any]:
    """What a check was, and how many of the leaks are its own: they follow each other in the order of the checks."""
    data = report.as_dict()
    return {**data, "leaks": len(report.leaks), "ended_late": len(report.ended_late)}


def _ignored(record: RunRecord) -> Iterator[Dict[str, Any]]:
    matches = Counter(rule for report in record.reports for rule, _ in report.ignored)
    return ({"rule": rule, "matches": number} for rule, number in sorted(matches.items()))


def write(path: str, record: RunRecord) -> None:
    """Write the report, all of it or nothing. Raises OSError if the file cannot be written."""
    replace_file(path, lines(record))

