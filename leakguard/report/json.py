"""The JSON report: one object, ``"version": 1``."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from typing import Any, Dict, Sequence

from leakguard.model import LeakReport

VERSION = 1


def as_dict(reports: Sequence[LeakReport], tests_run: int = 0) -> Dict[str, Any]:
    """Return the report of a run as plain JSON types."""
    ignored: Dict[str, int] = {}
    for report in reports:
        for rule, _ in report.ignored:
            ignored[rule] = ignored.get(rule, 0) + 1
    return {
        "version": VERSION,
        "tests_run": tests_run,
        "environment": {
            "python": platform.python_version(),
            "implementation": sys.implementation.name,
            "platform": sys.platform,
        },
        "leaks": [leak.as_dict() for report in reports for leak in report.leaks],
        "ended_late": [leak.as_dict() for report in reports for leak in report.ended_late],
        "ignored": [{"rule": rule, "matches": number} for rule, number in sorted(ignored.items())],
    }


def write(path: str, reports: Sequence[LeakReport], tests_run: int = 0) -> None:
    """Write the report, all of it or nothing. Raises OSError if the file cannot be written."""
    text = json.dumps(as_dict(reports, tests_run), indent=2) + "\n"
    folder = os.path.dirname(os.path.abspath(path))
    handle, partial = tempfile.mkstemp(prefix=".leakguard-", suffix=".tmp", dir=folder)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def _umask() -> int:
    """The process's umask, which can be read only by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
