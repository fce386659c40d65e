"""Leaks as text: the message of a LeakError, and the summary at the end of a run."""

from __future__ import annotations

import re
import sys
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from leakguard.model import IGNORES_CANCELLATION, STUCK, Leak, LeakError, LeakReport

ENTRIES = 20
"""Entries that one message shows; the reports have all."""

FEWEST = 3
"""Lines of code that a summary shows however little room there is; the reports have all."""

_PLURALS = {"process": "processes", "environ": "environ changes"}
_NOTED_BY_TRACING = {"file": "files are opened", "exception": "objects are made"}


def count_of(number: int, noun: str) -> str:
    """``1 leak``, ``2 leaks``, ``3 processes``."""
    return f"{number} {noun if number == 1 else _PLURALS.get(noun, noun + 's')}"


def message(title: str, leaks: Sequence[Leak], waited: float, owner: str = "", *, stacks: bool = False) -> str:
    """The text of a LeakError; its first line is enough in a CI summary."""
    lines = [f"{count_of(len(leaks), 'leak')} after {title}, waited {waited:.2f} s"]
    groups = group(leaks)
    for entry in groups[:ENTRIES]:
        lines += ["", *entry_lines(entry, owner, stacks=stacks)]
    if len(groups) > ENTRIES:
        lines += ["", f"  and {len(groups) - ENTRIES} more entries, which the JSON report has"]
    lines += ["", f"To allow one: leak_ignore = {{{_quoted(_rule_for(_first(groups[0])))}: \"why\"}}"]
    return "\n".join(lines)


def group(leaks: Iterable[Leak]) -> List[List[Leak]]:
    """Put leaks of one kind, origin and place together, in the order in which they came.

    Another owner, verdict or advice is another entry. So is another state where no place says what a thing does,
    and another name where nothing is known of the origin.
    """
    groups: Dict[Tuple[object, ...], List[Leak]] = {}
    for leak in leaks:
        key: Tuple[object, ...] = (leak.kind, leak.origin, leak.place, leak.verdict, leak.cancels, leak.hint, leak.owner)
        if leak.place is None:
            key += (leak.state,)
        if leak.origin is None:
            key += (leak.name,)
        groups.setdefault(key, []).append(leak)
    return list(groups.values())


def entry_lines(leaks: Sequence[Leak], owner: str = "", *, stacks: bool = False) -> List[str]:
    """What is said of leaks that belong together, in at most six lines; who made them, if it is not `owner`.

    With `stacks` the stacks that created and that hold the first of them follow their lines in full.
    """
    leak = leaks[0]
    many = f"{len(leaks)} " if len(leaks) > 1 else ""
    noun = _PLURALS.get(leak.kind, leak.kind + "s") if many else leak.kind
    lines = [f"  {many}{noun} {names_of(leaks)} ({'; '.join(_distinct(one.state for one in leaks))})"]
    lines.append(f"    created at  {leak.origin or _why_unknown(leak.kind)}")
    lines += _stack_lines(leak.origin_stack) if stacks else []
    if owner and leak.owner != owner:
        lines.append(f"    made by     {leak.owner}")
    if leak.place:
        lines.append(f"    now at      {leak.place}{_waiting(leaks)}")
    lines += _stack_lines(leak.now_at) if stacks else []
    verdict = verdict_of(leak)
    if verdict:
        lines.append(f"    verdict     {verdict}")
    if leak.hint:
        lines.append(f"    fix         {leak.hint}")
    return lines


def _why_unknown(kind: str) -> str:
    what = _NOTED_BY_TRACING.get(kind)
    tracemalloc: Any = sys.modules.get("tracemalloc")
    if what is None or (tracemalloc is not None and tracemalloc.is_tracing()):
        return "unknown: made where nothing could be noted"
    return f"unknown: only --leak-trace notes where {what}"


def verdict_of(leak: Leak) -> str:
    """Why a leak will not end by itself, "" where nothing is known that its other lines do not say."""
    if leak.verdict == STUCK:
        return "stuck: nothing alive can reach what it waits on"
    if leak.verdict == IGNORES_CANCELLATION:
        return f"ignores cancellation: went on after {count_of(leak.cancels, 'cancel')}"
    return ""


def _stack_lines(stack: Sequence[str]) -> List[str]:
    return [f"                  {line}" for line in stack]


def _distinct(texts: Iterable[str]) -> List[str]:
    return sorted(dict.fromkeys(texts))


def _waiting(leaks: Sequence[Leak]) -> str:
    """What all of the leaks wait in: in full if that is the same for all, else without what differs."""
    texts = _distinct(leak.waiting_in or "" for leak in leaks)
    if len(texts) > 1:
        texts = _distinct(text.partition(", ")[0] for text in texts)
    waiting = " or ".join(text for text in texts if text)
    awaiters = _distinct(name for leak in leaks for name in leak.awaited_by)
    said = f", waiting in {waiting}" if waiting else ""
    if awaiters:
        said += f", awaited by {', '.join(awaiters) if len(awaiters) <= 3 else count_of(len(awaiters), 'task')}"
    return said


NUMBERS = 6
"""Numbers and ranges of numbers that are listed of one entry's names at most."""


def names_of(leaks: Sequence[Leak]) -> str:
    """The names of leaks: ``'reader'``, ``'worker-0..7'``, ``'worker-0, 2, 5'``, ``like 'w-0'``, ``'a' and 2 more``.

    A range names nobody who is not there.
    """
    names = sorted({leak.name for leak in leaks}, key=_in_any_run)
    if len(names) == 1:
        return repr(names[0])
    parts = [re.split(r"([0-9]+)", name) for name in names]
    places = [i for i in range(1, len(parts[0]), 2) if len({part[i] for part in parts if len(part) > i}) > 1]
    if len(places) == 1:
        at = places[0]
        before, after = "".join(parts[0][:at]), "".join(parts[0][at + 1 :])
        if all("".join(part[:at]) == before and "".join(part[at + 1 :]) == after for part in parts):
            numbers = _ranges([part[at] for part in parts])
            if numbers is not None:
                return repr(f"{before}{numbers}{after}") if numbers else f"like {names[0]!r}"
    if leaks[0].kind == "environ" and len(names) <= ENTRIES:
        return ", ".join(map(repr, names))  # which they are is all that there is to know
    return f"{names[0]!r} and {len(names) - 1} more"


def _ranges(numbers: Sequence[str]) -> Optional[str]:
    """``0..3, 5``; "" where that would be long, None where zeros before some of the numbers make that ambiguous."""
    is_padded = any(number.startswith("0") and len(number) > 1 for number in numbers)
    if is_padded and len({len(number) for number in numbers}) > 1:
        return None
    runs: List[List[str]] = []
    for number in sorted(numbers, key=int):
        if runs and int(number) == int(runs[-1][-1]) + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ", ".join("..".join(run) for run in runs) if len(runs) <= NUMBERS else ""


def _quoted(text: str) -> str:
    """A string as source code, with the same quotes in every version."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _rule_for(leak: Leak) -> str:
    if re.fullmatch(r"(Thread|Task)-\d+", leak.name) and leak.aliases:  # Python's own name of whatever has none: its function
        return f"{leak.kind}:{leak.aliases[-1]}"
    name = re.sub(r"[\[\]*?]", "?", leak.name)
    return f"{leak.kind}:" + re.sub(r"\d+", "*", name, count=0 if leak.kind != "process" else 1).replace("@", "?")


def _first(leaks: Sequence[Leak]) -> Leak:
    return min(leaks, key=lambda leak: _in_any_run(leak.name))


def _in_any_run(name: str) -> Tuple[object, str]:
    """A key of names: which of some things is the first to be made may differ from run to run."""
    return _by_number(name), name


def _by_number(text: str) -> List[Tuple[str, int]]:
    """A key by which line 9 comes before line 10."""
    parts = re.split(r"([0-9]+)", text) + ["0"]
    return [(parts[i], int(parts[i + 1])) for i in range(0, len(parts), 2)]


def summary(reports: Sequence[LeakReport], room: int = sys.maxsize) -> List[str]:
    """The leaks of a run that are not known, grouped by the line that created them, most frequent first.

    Where they do not fit into `room` lines it says how many are left out.
    """
    leaks = [leak for report in reports for leak in report.leaks if not leak.known]
    if not leaks:
        return []
    by_line: Dict[Tuple[str, str], List[Leak]] = {}
    for leak in leaks:
        by_line.setdefault((leak.kind, leak.origin or f"unknown ({leak.name})"), []).append(leak)
    owners = {leak.owner for leak in leaks}
    lines = [f"Leaks: {len(leaks)} in {count_of(len(owners), 'test')}, by the line that created them"]
    ordered = sorted(by_line.items(), key=lambda item: (-len(item[1]), item[0][0], _by_number(item[0][1])))
    shown = len(ordered) if 2 * len(ordered) < room else max(FEWEST, (room - 2) // 2)
    for (kind, line), same in ordered[:shown]:
        tests = sorted({leak.owner for leak in same})
        where = count_of(len(tests), "test") + f", e.g. {tests[0]}" if len(tests) > 1 else tests[0]
        uncounted = "" if any(leak.counted for leak in same) else " (not counted)"
        lines.append(f"  {len(same):>4} x {kind:<8} {line}{uncounted}")
        lines.append(f"                  {where}")
    if len(ordered) > shown:
        rest = count_of(sum(len(same) for _, same in ordered[shown:]), "leak")
        lines.append(f"  and {count_of(len(ordered) - shown, 'more line')} with {rest}, see --leak-report")
    return lines


def message_of_run(error: Optional[LeakError]) -> List[str]:
    """What no test can be blamed for, in unittest's own shape."""
    title = ["=" * 70, "FAIL: the run", "-" * 70]
    return [*title, *f"leakguard.LeakError: {error}".splitlines(), ""] if error is not None else []


def failed_run(leaks: int) -> List[str]:
    """The last line of a run that fails though all of its tests may be OK."""
    return [f"FAILED (leaks of the run={leaks})"] if leaks else []


def growth(before: Dict[str, int], after: Dict[str, int], course: Mapping[str, str] = {}) -> List[str]:
    """How many things of each kind were alive before the first test and after the last.

    `course` has what it was in between, a sparkline, for those of which it is known.
    """
    parts = [f"{what} {before[what]} -> {after[what]} {course.get(what, '')}".rstrip() for what in before]
    return ["Growth over the run: " + ", ".join(parts)]


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
