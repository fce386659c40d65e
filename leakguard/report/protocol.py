"""What the JSON formats share: how a test and any other data look in them."""

from __future__ import annotations

from json.encoder import JSONEncoder, encode_basestring_ascii
from typing import Dict, Tuple

from leakguard.record import DEFAULT_KINDS, TestRecord

VERSION = 1
"""Of the JSON reports: it changes if a field changes its meaning or goes."""

LEAKED = ', "leaked": true'

encode = JSONEncoder(separators=(", ", ": ")).encode


def quote(text: str) -> str:
    """A string as JSON, in ASCII."""
    return encode_basestring_ascii(text) if text else '""'


_counts: Dict[Tuple[int, ...], str] = {}


def _count(live: Tuple[int, ...]) -> str:
    text = str(list(live))
    if len(_counts) < 1000:  # most tests have those of the test before
        _counts[live] = text
    return text


def _checked(kinds: Tuple[str, ...]) -> str:
    return "" if kinds == DEFAULT_KINDS else f', "kinds": {encode(kinds)}'


def _otherwise(outcome: str) -> str:
    return f', "otherwise": "{outcome}"' if outcome else ""


def test_fields(test: TestRecord) -> str:
    """The fields of a test, as the inside of an object: by hand, as every test of a run pays for it."""
    name, outcome, seconds, waited, live, details, kinds, leaked, otherwise = test
    spent = f"{waited:.6f}" if waited else "0.0"
    counts = _counts.get(live) or _count(live)
    return (
        f'"id": {quote(name)}, "outcome": "{outcome}", "seconds": {seconds:.6f}, '
        f'"waited": {spent}, "live": {counts}, "details": {quote(details)}'
        f'{_checked(kinds)}'
        f'{LEAKED * leaked}{_otherwise(otherwise)}'
    )
