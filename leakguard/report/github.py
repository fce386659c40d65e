"""Workflow commands of GitHub Actions: an annotation on each line that leaks, shown in the diff of a pull request.

The commands and their escapes: https://docs.github.com/actions/reference/workflow-commands-for-github-actions, and
``packages/core/src/command.ts`` of actions/toolkit, which writes them.
"""

from __future__ import annotations

import os
import re
from typing import Dict, List, Optional, Sequence, Tuple

from leakguard import report
from leakguard.model import Leak
from leakguard.record import RunRecord
from leakguard.report.text import count_of, entry_lines

SHOWN = 10
"""Annotations of one level that GitHub shows of one step."""

LEVELS = ("error", "warning", "notice")

_PLACE = re.compile(r"(.+):(\d+) in .*", re.S)


def text(record: RunRecord) -> str:
    """Return the commands, a line each, "" if nothing leaked: the most frequent line first, at most 10 of a level.

    ``error`` is what counts, ``notice`` what is known, ``warning`` what is tolerated or only logged. What is beyond the
    ten is listed as plain text in the step's log, and its number is said in the last one.
    """
    levels: Dict[str, List[List[Leak]]] = {level: [] for level in LEVELS}
    for leaks in groups(record):
        levels[level_of(leaks)].append(leaks)
    lines = [line for level in LEVELS for line in _commands(level, levels[level])]
    return "\n".join(["", *lines, ""]) if lines else ""  # a command must begin a line, whatever a test has printed


def groups(record: RunRecord) -> List[List[Leak]]:
    """The leaks of each kind and creating line, most frequent first, those of each level apart."""
    found: Dict[Tuple[str, str, str], List[Leak]] = {}
    for one in record.reports:
        for leak in one.leaks:
            line = leak.origin or f"unknown ({leak.name})"
            found.setdefault((leak.kind, line, level_of([leak])), []).append(leak)
    return [leaks for _, leaks in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))]


def level_of(leaks: Sequence[Leak]) -> str:
    """The level of leaks that are alike."""
    if leaks[0].counted:
        return "error"
    return "notice" if leaks[0].known else "warning"


def _commands(level: str, found: List[List[Leak]]) -> List[str]:
    lines = [_command(level, leaks) for leaks in found[:SHOWN]]
    rest = found[SHOWN:]
    if rest:
        more = f"and {count_of(len(rest), 'more line')} with {count_of(sum(map(len, rest)), 'leak')}"
        lines[-1] += escape(f"\n\n{more}, listed in the log of this step")
        lines += [f"  {level}: {_title(leaks)}, {leaks[0].origin or 'origin unknown'}" for leaks in rest]
    return lines


def _command(level: str, leaks: Sequence[Leak]) -> str:
    properties = {**_position(leaks[0].origin), "title": _title(leaks)}
    values = ",".join(f"{name}={escape_property(value)}" for name, value in properties.items())
    return f"::{level} {values}::{escape(_message(leaks))}"


def _title(leaks: Sequence[Leak]) -> str:
    return f"leaked {count_of(len(leaks), leaks[0].kind)}"


def _message(leaks: Sequence[Leak]) -> str:
    tests = sorted({leak.owner for leak in leaks})
    by = tests[0] if len(tests) == 1 else f"{count_of(len(tests), 'test')}, e.g. {tests[0]}"
    lines = [line.strip() for line in entry_lines(leaks)]
    return "\n".join([*lines, f"left by     {by}"])


def _position(origin: Optional[str]) -> Dict[str, str]:
    """The file, relative to the root of the repository, and the line; nothing for a file that is not in it."""
    found = _PLACE.fullmatch(origin or "")
    if not found:
        return {}
    path = os.path.normpath(os.path.join(report.START_FOLDER, found[1]))
    root = os.path.join(report.START_FOLDER, os.environ.get("GITHUB_WORKSPACE", ""))
    inside = os.path.relpath(path, root).replace(os.sep, "/") if _same_drive(path, root) else ".."
    if inside.startswith("../") or inside == ".." or not os.path.isfile(path):
        return {}  # an installed package's: GitHub would attach it to nothing
    return {"file": inside, "line": found[2]}


def _same_drive(path: str, root: str) -> bool:
    return os.path.splitdrive(path)[0].lower() == os.path.splitdrive(root)[0].lower()


def escape(text: str) -> str:
    """Return a message as the runner reads it."""
    return _visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """Return the value of a property as the runner reads it."""
    return escape(text).replace(":", "%3A").replace(",", "%2C")


def _visible(text: str) -> str:
    """A text that any terminal and any encoding can take: no control characters, no lone surrogates."""
    return "".join(c if c.isprintable() or c in "\r\n" else c.encode("unicode_escape").decode("ascii") for c in text)
