"""The JSON report: one object, ``"version": 1``."""

from __future__ import annotations

import json
import platform
import sys
from typing import Any, Dict, Sequence

from leakguard.model import LeakReport
from leakguard.report.files import replace_file

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
        "ignored": [{"rule": rule, "matches": number} for rule, number in sorted(ignored.items())],
    }


def write(path: str, reports: Sequence[LeakReport], tests_run: int = 0) -> None:
    """Write the report, all of it or nothing. Raises OSError if the file cannot be written."""
    text = json.dumps(as_dict(reports, tests_run), indent=2) + "\n"
    replace_file(path, [text])
