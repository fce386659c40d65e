"""The HTML report: one file that needs no network, readable without JavaScript, sortable and searchable with it.

The page is ``page.html``, ``page.css`` and ``page.js``, which lie beside this file. What the script shows is embedded
as JSON, with every text once, and made into rows only as they are looked at: a page of 5,000 leaks opens at once.
"""

from __future__ import annotations

import html
import json
import os
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from leakguard.model import Leak, LeakReport
from leakguard.record import LIVE, RunRecord, TestRecord
from leakguard.report import chart
from leakguard.report.files import replace_file

STATIC_ROWS = 50
"""Groups that are in the page itself, for readers without JavaScript."""

DETAILS = 4_000
"""Characters kept of a test's failure: its end, where the exception is."""

ALL_DETAILS = 2_000_000
"""Characters kept of all of them, so that a run in which everything failed can be opened too."""

FRAMES = 12
"""Lines kept of where a thing is suspended."""


def write(path: str, record: RunRecord) -> None:
    """Write the report, all of it or nothing. Raises OSError if the file cannot be written."""
    replace_file(path, [page(record)])


def page(record: RunRecord) -> str:
    """Return the whole page."""
    groups = grouped(record)
    parts = {
        "css": _read("page.css"),
        "js": _read("page.js"),
        "title": html.escape(verdict(record)),
        "facts": _facts(record),
        "notices": _notices(record),
        "charts": _charts(record),
        "rows": "".join(map(_row, groups[:STATIC_ROWS])) or '<tr><td colspan="4">Nothing was left running.</td></tr>',
        "beyond": _beyond(groups),
        "data": embedded(data(record, groups)),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read("page.html"))


def _read(name: str) -> str:
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()


class Group(NamedTuple):
    """The leaks of one kind that one line created."""

    kind: str
    origin: str
    leaks: List[Tuple[int, Leak]]
    """Each with its number in the run."""

    def owners(self) -> List[str]:
        """Who left them, in order."""
        return list(dict.fromkeys(leak.owner for _, leak in self.leaks))


def grouped(record: RunRecord) -> List[Group]:
    """The leaks of the run by the line that created them, most frequent first."""
    found: Dict[Tuple[str, str], Group] = {}
    for number, leak in enumerate(_leaks(record)):
        origin = leak.origin or f"unknown ({leak.name})"
        found.setdefault((leak.kind, origin), Group(leak.kind, origin, [])).leaks.append((number, leak))
    return sorted(found.values(), key=lambda group: (-len(group.leaks), group.kind, group.origin))


def _leaks(record: RunRecord) -> List[Leak]:
    return [leak for report in record.reports for leak in report.leaks]


# -- what is in the page itself --------------------------------------------------------------------


def verdict(record: RunRecord) -> str:
    """The first line: how many leaks, by how many tests."""
    leaks = _leaks(record)
    tests = _ran(record)
    ran = _count(len(tests), "test")
    if not leaks:
        return f"No leaks in {ran}"
    lines, owners = len(grouped(record)), {leak.owner for leak in leaks}
    leaking = sum(1 for test in tests if test in owners)
    return f"{_count(len(leaks), 'leak')} from {_count(lines, 'line')} of code, left by {leaking:,} of {ran}"


def _ran(record: RunRecord) -> List[str]:
    """The ids of the tests that ran, each once; a fixture that failed is no test."""
    return list(dict.fromkeys(test.id for test in record.tests if not test.is_fixture))


SHOWN = ("python", "implementation", "platform", "host", "started", "processes")
"""What is shown of the environment, where it is known."""


def _facts(record: RunRecord) -> str:
    leaks = _leaks(record)
    failed = sum(1 for test in record.tests if test.has_failed)
    facts = [
        ("leaks that count", f"{sum(1 for leak in leaks if leak.counted):,}"),
        ("known, tolerated or logged", f"{sum(1 for leak in leaks if not leak.counted):,}"),
        ("failed", f"{failed:,}"),
        ("duration", f"{record.seconds:,.1f} s"),
        ("waited for suspects", f"{sum(test.waited for test in record.tests):,.1f} s"),
        *((key, value) for key, value in record.environment.items() if key in SHOWN),
    ]
    return "".join(f"<div><dt>{_safe(name)}</dt><dd>{_safe(value)}</dd></div>" for name, value in facts)


def _notices(record: RunRecord) -> str:
    found = ""
    for title, lines in (
        ("Incomplete", record.problems),
        ("Fixed: known leaks that no test shows any more", record.fixed),
    ):
        if lines:
            items = "".join(f"<li>{_safe(line)}</li>" for line in lines)
            found += f'<section class="notice"><h2>{title}</h2><ul>{items}</ul></section>'
    return found


def _charts(record: RunRecord) -> str:
    figures = [_figure(one, len(record.tests)) for one in chart.series(record)]
    return "".join(figures) or "<p>What was alive after each test was not counted in this run.</p>"


def _figure(one: chart.Series, tests: int) -> str:
    first, last = one.ends
    growth = (f"{first:,} \u2192 {last:,}" if first != last else f"{first:,}, no growth") + one.where
    named = "".join(_rise(rise) for rise in one.rises[: chart.MARKS])
    rest = one.rises[chart.MARKS :]
    if rest:
        named += f"<li>and +{sum(rise.number for rise in rest):,} after {_count(len(rest), 'more test')}</li>"
    listed = f'<ol class="rises" aria-label="where {one.name} rise to stay">{named}</ol>' if named else ""
    return (
        f'<figure class="{one.name}" data-series="{one.name}"><figcaption><b>{one.name}</b> <span class="growth">'
        f'{growth}</span> <span class="peak">at most {one.peak:,}</span></figcaption>'
        f"{chart.svg(one, tests)}{listed}</figure>"
    )


def _rise(rise: chart.Rise) -> str:
    tests = rise.position - rise.since
    within = f" (or one of the {tests - 1:,} tests before it, after which it was not counted)" if tests > 1 else ""
    name = f'<span data-find="{_safe(rise.test)}">{_code(rise.test)}</span>'
    return f"<li><b>+{rise.number:,}</b> <span>{name}{within}</span></li>"


def _row(group: Group) -> str:
    leak, kind = group.leaks[0][1], _safe(group.kind)
    names = list(dict.fromkeys(leak.name for _, leak in group.leaks))
    lines = [("names", _first(names))]
    lines += [("now at", leak.place or ""), ("waiting in", leak.waiting_in or ""), ("fix", leak.hint)]
    owners = group.owners()
    lines.append(("left by", _first(owners)))
    shown = "".join(f"<dt>{name}</dt><dd>{_code(value)}</dd>" for name, value in lines if value)
    counted = any(leak.counted for _, leak in group.leaks)
    return (
        f'<tr><td class="number">{len(group.leaks):,}</td><td><span class="kind {kind}">{kind}</span></td>'
        f"<td><details><summary>{_code(group.origin)}"
        f'{"" if counted else " <i>not counted</i>"}</summary><dl>{shown}</dl></details></td>'
        f'<td class="number">{len(owners):,}</td></tr>'
    )


def _first(values: List[str], limit: int = 5) -> str:
    """The first of many values, and how many more there are."""
    more = f" and {len(values) - limit:,} more" if len(values) > limit else ""
    return ", ".join(values[:limit]) + more


def _beyond(groups: List[Group]) -> str:
    rest = groups[STATIC_ROWS:]
    if not rest:
        return ""
    leaks = sum(len(group.leaks) for group in rest)
    return f"{_count(len(rest), 'more line')} with {_count(leaks, 'leak')}: with JavaScript this page shows them."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _safe(text: str) -> str:
    return html.escape(visible(text))


def _code(text: str) -> str:
    """A name, path or line: shown in its own direction, and broken where it has parts."""
    return "<bdi>" + re.sub(r"(?<=[./_])(?!py\b)(?=.)", "<wbr>", _safe(text)) + "</bdi>"


def visible(text: str) -> str:
    """A text in which nothing hides: control, formatting and direction marks are their escapes; line ends stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode("ascii") for c in text)


# -- what the script shows -------------------------------------------------------------------------


class Texts:
    """Every text once: a page of 5,000 leaks repeats few of them."""

    def __init__(self) -> None:
        self.all: List[str] = []
        self._numbers: Dict[str, int] = {}

    def number(self, text: str) -> int:
        """Return the place of a text in `all`."""
        if text not in self._numbers:
            self._numbers[text] = len(self.all)
            self.all.append(visible(text))
        return self._numbers[text]


def data(record: RunRecord, groups: List[Group]) -> Dict[str, Any]:
    """Return what the script needs, as plain JSON types; texts are numbers, the places of them in ``texts``."""
    texts = Texts()
    return {
        "leaks": [_leak(leak, report, texts) for report in record.reports for leak in report.leaks],
        "groups": [[texts.number(g.kind), texts.number(g.origin), [n for n, _ in g.leaks]] for g in groups],
        "tests": list(_tests(record, texts)),
        "before": list(record.before),
        "live": list(LIVE),
        "texts": texts.all,
    }


def _leak(leak: Leak, report: LeakReport, texts: Texts) -> List[int]:
    stack = "\n".join(leak.now_at[:FRAMES])
    note = "" if leak.counted else "known" if leak.known else report.note
    fields = [leak.kind, leak.name, leak.state, leak.owner, leak.origin, leak.place, leak.waiting_in]
    fields += [leak.verdict, leak.hint, stack, note]
    return [*(texts.number(field or "") for field in fields), int(leak.counted)]


def _tests(record: RunRecord, texts: Texts) -> Iterator[List[Any]]:
    """A row for each test, then for each class, module and other owner that left something."""
    left: Dict[str, List[int]] = {}
    for number, leak in enumerate(_leaks(record)):
        left.setdefault(leak.owner, []).append(number)
    budget = ALL_DETAILS
    for test in record.tests:
        details = "" if test.outcome == "passed" else test.details[-DETAILS:][: max(budget, 0)]
        budget -= len(details)
        yield _test(test, left.pop(test.id, []), details, texts)
    for owner, numbers in left.items():
        yield _test(TestRecord(owner, ""), numbers, "", texts)


def _test(test: TestRecord, leaks: List[int], details: str, texts: Texts) -> List[Any]:
    times = [round(test.seconds * 1000, 1), round(test.waited * 1000, 1)]
    return [texts.number(test.id), texts.number(test.outcome), *times, list(test.live), leaks, texts.number(details)]


def embedded(value: Any) -> str:
    """JSON that can stand in an element ``script``: nothing in it can end the element or begin a comment."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
