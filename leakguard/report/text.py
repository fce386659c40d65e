"""Leaks as text: the message of a LeakError, and the summary at the end of a run."""

from __future__ import annotations

import re
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from leakguard.model import IGNORES_CANCELLATION, STUCK, Leak, LeakReport

ENTRIES = 20
"""Entries that one message shows; the reports have all."""

_PLURALS = {"process": "processes"}


def count_of(number: int, noun: str) -> str:
    """``1 leak``, ``2 leaks``, ``3 processes``."""
    return f"{number} {noun if number == 1 else _PLURALS.get(noun, noun + 's')}"


def message(title: str, leaks: Sequence[Leak], waited: float, owner: str = "") -> str:
    """The text of a LeakError; its first line is enough in a CI summary."""
    lines = [f"{count_of(len(leaks), 'leak')} after {title}, waited {waited:.2f} s"]
    groups = group(leaks)
    for entry in groups[:ENTRIES]:
        lines += ["", *entry_lines(entry, owner)]
    if len(groups) > ENTRIES:
        lines += ["", f"  and {len(groups) - ENTRIES} more entries, which the JSON report has"]
    lines += ["", f"To allow one: leak_ignore = {{{_quoted(_rule_for(groups[0][0]))}: \"why\"}}"]
    return "\n".join(lines)


def group(leaks: Iterable[Leak]) -> List[List[Leak]]:
    """Put leaks of one kind, origin, place and state together, in the order in which they came."""
    groups: Dict[Tuple[object, ...], List[Leak]] = {}
    for leak in leaks:
        key: Tuple[object, ...] = (leak.kind, leak.origin, leak.place, leak.waiting_in, leak.state, leak.hint)
        key += (leak.owner, leak.verdict, leak.cancels)
        if leak.origin is None:
            key += (leak.name,)
        groups.setdefault(key, []).append(leak)
    return list(groups.values())


def entry_lines(leaks: Sequence[Leak], owner: str = "") -> List[str]:
    """What is said of leaks that belong together, in at most six lines; who made them, if it is not `owner`."""
    leak = leaks[0]
    many = f"{len(leaks)} " if len(leaks) > 1 else ""
    noun = _PLURALS.get(leak.kind, leak.kind + "s") if many else leak.kind
    lines = [f"  {many}{noun} {names_of(leaks)} ({leak.state})"]
    lines.append(f"    created at  {leak.origin or 'unknown: made where nothing could be noted'}")
    if owner and leak.owner != owner:
        lines.append(f"    made by     {leak.owner}")
    if leak.place:
        waiting = f", waiting in {leak.waiting_in}" if leak.waiting_in else ""
        lines.append(f"    now at      {leak.place}{waiting}")
    verdict = verdict_of(leak)
    if verdict:
        lines.append(f"    verdict     {verdict}")
    if leak.hint:
        lines.append(f"    fix         {leak.hint}")
    return lines


def verdict_of(leak: Leak) -> str:
    """Why a leak will not end by itself, "" where nothing is known that its other lines do not say."""
    if leak.verdict == STUCK:
        return "stuck: nothing alive can reach what it waits on"
    if leak.verdict == IGNORES_CANCELLATION:
        return f"ignores cancellation: went on after {count_of(leak.cancels, 'cancel')}"
    return ""


def names_of(leaks: Sequence[Leak]) -> str:
    """One name in quotes, a range ``'worker-0..7'`` for numbered names, or the first name and how many more."""
    names = list(dict.fromkeys(leak.name for leak in leaks))
    if len(names) == 1:
        return repr(names[0])
    numbered = [re.fullmatch(r"(.*?)(\d+)(\D*)", name) for name in names]
    if all(numbered) and len({(m[1], m[3]) for m in numbered if m}) == 1:
        numbers = sorted(int(m[2]) for m in numbered if m)
        first = numbered[0]
        assert first is not None
        return repr(f"{first[1]}{numbers[0]}..{numbers[-1]}{first[3]}")
    return f"{names[0]!r} and {len(names) - 1} more"


def _quoted(text: str) -> str:
    """A string as source code, with the same quotes in every version."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _rule_for(leak: Leak) -> str:
    name = re.sub(r"[\[\]*?]", "?", leak.name)
    return f"{leak.kind}:" + re.sub(r"\d+", "*", name, count=0 if leak.kind != "process" else 1).replace("@", "?")


def summary(reports: Sequence[LeakReport]) -> List[str]:
    """The leaks of a run, grouped by the line that created them, most frequent first."""
    leaks = [leak for report in reports for leak in report.leaks]
    if not leaks:
        return []
    by_line: Dict[Tuple[str, str], List[Leak]] = {}
    for leak in leaks:
        by_line.setdefault((leak.kind, leak.origin or f"unknown ({leak.name})"), []).append(leak)
    owners = {leak.owner for leak in leaks}
    lines = [f"Leaks: {len(leaks)} in {count_of(len(owners), 'test')}, by the line that created them"]
    for (kind, line), same in sorted(by_line.items(), key=lambda item: (-len(item[1]), item[0])):
        tests = sorted({leak.owner for leak in same})
        where = count_of(len(tests), "test") + f", e.g. {tests[0]}" if len(tests) > 1 else tests[0]
        uncounted = "" if any(leak.counted for leak in same) else " (not counted)"
        lines.append(f"  {len(same):>4} x {kind:<8} {line}{uncounted}")
        lines.append(f"                  {where}")
    return lines


def growth(before: Dict[str, int], after: Dict[str, int]) -> List[str]:
    """How many things of each kind were alive before the first test and after the last."""
    return ["Growth over the run: " + ", ".join(f"{what} {before[what]} -> {after[what]}" for what in before)]


class ScopedTest(NamedTuple):
    """A test that ran in the scope ``key``; times in seconds."""

    id: str
    class_name: str
    module: str
    category: Optional[str]
    """What ``@key_test`` says, "" if it says nothing, None if the test is no key test."""
    checked: float
    seconds: float


def key_tests(tests: Sequence[ScopedTest]) -> List[str]:
    """The categories of key tests, what each cost, and the classes of tests that have none.

    A category without a text is the test's class: the smallest group of tests that share fixtures, and so what they
    leave. A module in which no class has a key test is named once, instead of all its classes.
    """
    if not tests:
        return []
    keys = [test for test in tests if test.category is not None]
    by_category: Dict[str, List[ScopedTest]] = {}
    for test in keys:
        by_category.setdefault(test.category or test.class_name, []).append(test)
    lines = [f"Key tests: {len(keys)} of {count_of(len(tests), 'test')}"]
    if keys:
        checked, seconds = sum(test.checked for test in keys), sum(test.seconds for test in keys)
        lines[0] += f", checks {_duration(checked)}, tests {_duration(seconds)}"
    for category, members in sorted(by_category.items()):
        lines.append(f"  {category}")
        lines += [f"    check {_duration(t.checked)}, test {_duration(t.seconds)}  {t.id}" for t in members]
    return lines + [f"No key test in {place}" for place in _places_without(tests, keys)]


def _places_without(tests: Sequence[ScopedTest], keys: Sequence[ScopedTest]) -> List[str]:
    modules, classes = {test.module for test in keys}, {test.class_name for test in keys}
    places = [
        f"class {test.class_name}" if test.module in modules else f"module {test.module}"
        for test in tests
        if test.class_name not in classes
    ]
    return list(dict.fromkeys(places))


def _duration(seconds: float) -> str:
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
