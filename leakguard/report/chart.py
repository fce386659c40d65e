"""What was alive after each test, as inline SVG: one small chart for each of `record.LIVE`, and where it grew."""

from __future__ import annotations

import html
from typing import List, NamedTuple, Tuple

from leakguard.record import LIVE, RunRecord

BUCKETS = 200
"""A longer series is drawn as the least and the greatest value of each of so many parts, so that no peak is lost."""

WIDTH, HEIGHT = 1000, 100
"""The units of the drawing, which is stretched to the width of the page."""

MARKS = 5
"""The tests named beside one chart, and marked in it: those after which the most came to stay."""

Points = List[Tuple[int, int]]
"""(how many tests had ended, how many things were alive then)"""


class Rise(NamedTuple):
    """A test after which more were alive, and never fewer again until the end of the run."""

    position: int
    """How many tests had ended, this one included."""
    since: int
    """The position at which it was counted before: that of the test before it, unless counting was too dear."""
    number: int
    test: str


class Series(NamedTuple):
    """One of `LIVE` over the run."""

    name: str
    lines: List[Points]
    """One of each process: what was counted in it, in the order of its tests."""
    rises: Tuple[Rise, ...]
    """The greatest first, of whatever process."""

    @property
    def points(self) -> Points:
        """Those of all processes, one after the other."""
        return [point for points in self.lines for point in points]

    @property
    def peak(self) -> int:
        """The most that were alive in one process."""
        return max(value for _, value in self.points)

    @property
    def ends(self) -> Tuple[int, int]:
        """How many were alive before the first test and after the last, in the process in which they grew most."""
        first, last = max(((points[0][1], points[-1][1]) for points in self.lines), key=lambda ends: ends[1] - ends[0])
        return first, last

    @property
    def where(self) -> str:
        """Which process the ends are of, where there are several."""
        return f" in the process that grew most, of {len(self.lines)}" if len(self.lines) > 1 else ""


def series(record: RunRecord) -> List[Series]:
    """Return what was counted at least twice, in the order of `LIVE`."""
    found = []
    parts = record.parts or ((0, record.before),)
    ends = [start for start, _ in parts[1:]] + [len(record.tests)]
    counts = [
        [(start, before), *((i, test.live) for i, test in enumerate(record.tests[start:end], start + 1))]
        for (start, before), end in zip(parts, ends)
    ]
    for column, name in enumerate(LIVE):
        lines = [[(i, live[column]) for i, live in part if len(live) > column and live[column] >= 0] for part in counts]
        lines = [points for points in lines if len(points) > 1]
        if lines:
            rises = [rise for points in lines for rise in _rises(points, record)]
            found.append(Series(name, lines, tuple(sorted(rises, key=lambda rise: (-rise.number, rise.position)))))
    return found


def _rises(points: Points, record: RunRecord) -> List[Rise]:
    """Where the level rose that the rest of the run never came down from: what comes and goes again is no growth."""
    floors = [value for _, value in points]
    for i in range(len(floors) - 2, -1, -1):
        floors[i] = min(floors[i], floors[i + 1])
    return [
        Rise(points[i][0], points[i - 1][0], floors[i] - floors[i - 1], record.tests[points[i][0] - 1].id)
        for i in range(1, len(points))
        if floors[i] > floors[i - 1]
    ]


def downsample(points: Points, buckets: int = BUCKETS) -> Points:
    """Return at most two points of each of `buckets` parts, the least and the greatest; both ends of the run stay."""
    if len(points) <= 2 * buckets:
        return points
    inner, size = points[1:-1], -(-(len(points) - 2) // buckets)
    kept = [points[0]]
    for start in range(0, len(inner), size):
        part = inner[start : start + size]
        least, greatest = min(part, key=_value), max(part, key=_value)
        kept += sorted({least, greatest})
    return [*kept, points[-1]]


def _value(point: Tuple[int, int]) -> int:
    return point[1]


def svg(one: Series, tests: int) -> str:
    """Return one chart; its text is beside it, since the drawing is stretched."""
    drawn = downsample(one.points)
    low, high = min(map(_value, drawn)), max(map(_value, drawn))
    line = " ".join(f"{_x(position, tests)},{_y(value, low, high)}" for position, value in drawn)
    marks = "".join(_mark(rise, tests) for rise in one.rises[:MARKS])
    first, last = one.ends
    label = html.escape(f"{one.name} alive: {first} before the first test, {last} after the last{one.where}, at most {high}")
    area = f"{_x(drawn[0][0], tests)},{HEIGHT} {line} {_x(drawn[-1][0], tests)},{HEIGHT}"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{label}">{marks}'
        f'<polygon class="area" points="{area}"/><polyline class="line" points="{line}"/></svg>'
    )


def _mark(rise: Rise, tests: int) -> str:
    x = _x(rise.position, tests)
    return f'<line class="rise" x1="{x}" x2="{x}" y1="0" y2="{HEIGHT}"/>'


def _x(position: int, tests: int) -> str:
    return f"{position * WIDTH / max(tests, 1):.1f}".replace(".0", "")


def _y(value: int, low: int, high: int) -> str:
    return f"{HEIGHT - 4 - (value - low) * (HEIGHT - 8) / max(high - low, 1):.1f}".replace(".0", "")
