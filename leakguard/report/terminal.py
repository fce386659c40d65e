"""What the end of a run says beside its leaks: growth as a line, known leaks, slow checks, and colours where wanted."""

from __future__ import annotations

import sys
from typing import Any, Collection, Dict, Iterable, List, Mapping, Sequence, Tuple

from leakguard.model import Leak, LeakReport
from leakguard.record import LIVE, TestRecord
from leakguard.report.text import count_of

SCREEN = 24
"""Lines that the end of a run has at most, but for key tests, unused rules (a few) and what keeps the process from exiting."""

FIXED = 3
"""Fixed entries that are named; the others are counted."""

SLOWEST = 5
"""Tests that are named because their checks waited."""

UNUSED = 5
"""Ignore rules that are named because nothing matched them."""

WORTH_SAYING = 0.1
"""Seconds of waiting below which nobody is called slow."""

BARS = "▁▂▃▄▅▆▇█"

_COLOURS = {
    "Leaks:": "\x1b[1;31m",
    "Known:": "\x1b[33m",
    "Fixed:": "\x1b[32m",
    "Growth over the run:": "\x1b[36m",
    "Unused ignore:": "\x1b[33m",
    "Slowest to settle:": "\x1b[36m",
    "Will keep the process from exiting:": "\x1b[1;31m",
}
_RESET = "\x1b[0m"


def wants_colour(stream: Any, environ: Mapping[str, str]) -> bool:
    """Whether a stream gets colours: as Python's own unittest decides it from 3.13 on, on every version.

    ``PYTHON_COLORS`` comes first (but not under ``-E``), then ``NO_COLOR``, ``FORCE_COLOR``, ``TERM=dumb``, then
    whether the stream is a terminal. https://docs.python.org/3/using/cmdline.html#controlling-color
    """
    python_colours = "" if sys.flags.ignore_environment else environ.get("PYTHON_COLORS", "")
    if python_colours in ("0", "1"):
        return python_colours == "1"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    if environ.get("TERM") == "dumb" or (sys.platform == "win32" and "WT_SESSION" not in environ):
        return False
    try:
        return bool(stream.isatty())
    except Exception:  # a stream of the user's may lack it, be closed, or raise anything: then it is no terminal
        return False


def painted(lines: Iterable[str]) -> List[str]:
    """The lines of a summary with their headings in colour."""
    return [_painted(line) for line in lines]


def _painted(line: str) -> str:
    for heading, colour in _COLOURS.items():
        if line.startswith(heading):
            return f"{colour}{heading}{_RESET}{line[len(heading):]}"
    return line


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Values as a line of at most `width` bars, each the highest of its part; "" where there is nothing to compare.

    The lowest value is the lowest bar. A value below 0 was not counted, and is left out.
    """
    values = [value for value in values if value >= 0]
    if len(values) < 2 or width < 1:
        return ""
    parts = min(width, len(values))
    cuts = [len(values) * i // parts for i in range(parts + 1)]
    peaks = [max(values[a:b]) for a, b in zip(cuts, cuts[1:])]
    low, span = min(peaks), max(peaks) - min(peaks)
    return "".join(BARS[int((peak - low) / span * (len(BARS) - 1)) if span else 0] for peak in peaks)


def courses(tests: Sequence[TestRecord], width: int = 16) -> Dict[str, str]:
    """Return what was alive after each test as a sparkline a kind, for what was counted: two fit a line of 80 columns."""
    return {name: sparkline([t.live[i] for t in tests if len(t.live) > i], width) for i, name in enumerate(LIVE)}


def can_show(stream: Any, characters: str = BARS) -> bool:
    """Whether a stream's encoding has these characters; one that names none takes any text."""
    try:
        characters.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError, TypeError):
        return False
    return True


def slowest(waits: Iterable[Tuple[str, float]]) -> List[str]:
    """The tests whose checks waited longest, from pairs of a test's id and seconds; nothing if none did."""
    of: Dict[str, float] = {}
    for test, seconds in waits:
        of[test] = of.get(test, 0.0) + seconds
    slow = sorted(((-seconds, test) for test, seconds in of.items() if seconds >= WORTH_SAYING))
    if not slow:
        return []
    lines = [f"Slowest to settle: {count_of(len(slow), 'test')} waited {-sum(s for s, _ in slow):.2f} s"]
    return lines + [f"  {-seconds:>6.2f} s  {test}" for seconds, test in slow[:SLOWEST]]


def unused(rules: Sequence[str]) -> List[str]:
    """The ignore rules that matched nothing."""
    lines = [f"Unused ignore: {rule}" for rule in rules[:UNUSED]]
    return [*lines, f"Unused ignore: {len(rules) - UNUSED} more"] if len(rules) > UNUSED else lines


def unknown(tests: Iterable[TestRecord]) -> List[str]:
    """How many tests there are of which nobody knows what came of them."""
    found = [test.id for test in tests if test.outcome == "unknown"]
    return [f"Unknown: what came of {count_of(len(found), 'test')}, e.g. {found[0]}"] if found else []


def known_at_merge(reports: Iterable[LeakReport], path: str, entries: Collection[str]) -> List[str]:
    """How many leaks are on record in the file of the merge, of which these are the fingerprints, and in those of the runs."""
    reports = list(reports)
    lines = []
    for place, is_here in ((f", in {path}", True), (" where they were found", False)):
        leaks = [k for report in reports for k in report.leaks if k.known and (k.fingerprint in entries) is is_here]
        lines += _known(leaks, place)
    return lines


def known(reports: Iterable[LeakReport], path: str) -> List[str]:
    """How many leaks of a run are on record in a file."""
    return _known([leak for report in reports for leak in report.leaks if leak.known], f", in {path}")


def _known(leaks: Sequence[Leak], place: str) -> List[str]:
    entries = len({leak.fingerprint for leak in leaks})
    if not leaks:
        return []
    noun = "entry" if entries == 1 else "entries"
    return [f"Known: {count_of(len(leaks), 'leak')} of {entries} {noun}{place}"]


def fixed(entries: Sequence[str], path: str) -> List[str]:
    """The known leaks that their tests no longer show, and how they are taken off the record."""
    if not entries:
        return []
    lines = [f"Fixed: {entry}" for entry in entries[:FIXED]]
    if len(entries) > FIXED:
        lines.append(f"Fixed: {len(entries) - FIXED} more")
    if path:
        lines[-1] += f" (to remove: --leak-known {path} --leak-learn {path})"
    return lines
