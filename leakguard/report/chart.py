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
    points: Points
    rises: Tuple[Rise, ...]
    """The greatest first."""

    @property
    def peak(self) -> int:
        """The most that were alive."""
        return max(value for _, value in self.points)


def series(record: RunRecord) -> List[Series]:
    """Return what was counted at least twice, in the order of `LIVE`."""
    found = []
    counts = [record.before, *(test.live for test in record.tests)]
    for column, name in enumerate(LIVE):
        points = [(i, live[column]) for i, live in enumerate(counts) if len(live) > column and live[column] >= 0]
        if len(points) > 1:
            found.append(Series(name, points, _rises(points, record)))
    return found


def _rises(points: Points, record: RunRecord) -> Tuple[Rise, ...]:
    """Where the level rose that the rest of the run never came down from: what comes and goes again is no growth."""
    floors = [value for _, value in points]
    for i in range(len(floors) - 2, -1, -1):
        floors[i] = min(floors[i], floors[i + 1])
    rises = [
        Rise(points[i][0], points[i - 1][0], floors[i] - floors[i - 1], record.tests[points[i][0] - 1].id)
        for i in range(1, len(points))
        if floors[i] > floors[i - 1]
    ]
    return tuple(sorted(rises, key=lambda rise: (-rise.number, rise.position)))


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
    first, last = one.points[0][1], one.points[-1][1]
    label = html.escape(f"{one.name} alive: {first} before the first test, {last} after the last, at most {high}")
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
