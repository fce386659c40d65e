"""Reports: one file a format, each a function of a `RunRecord`; `FORMATS` is the one table of them."""

from __future__ import annotations

import importlib
import os
from typing import Any, NamedTuple, Optional, Tuple

from leakguard.record import RunRecord


START_FOLDER = os.getcwd()
"""Where the process began: the paths of leaks are relative to it, wherever its tests have gone since."""


class Format(NamedTuple):
    """One format: how it is asked for, and the module here that has ``write(path, record)`` or ``text(record)``."""

    name: str
    """The suffix of a file, with its dot, or a word: then the module's ``text`` goes to standard output."""
    module: str

    @property
    def is_file(self) -> bool:
        """Whether a report in this format is a file, and not printed."""
        return self.name.startswith(".")

    def load(self) -> Any:
        """Return the module: imported only when a report is written, since a run without one need not pay for it."""
        return importlib.import_module(f"{__name__}.{self.module}")


FORMATS: Tuple[Format, ...] = (
    Format(".json", "json"),
    Format(".jsonl", "jsonl"),
    Format(".html", "html"),
    Format(".xml", "junit"),
    Format("github", "github"),
)


def format_of(target: str) -> Optional[Format]:
    """Return the format that a file's name, or a word, asks for; None if there is none."""
    for one in FORMATS:
        if target.endswith(one.name) if one.is_file else target == one.name:
            return one
    return None


def is_folder(target: str) -> bool:
    """Whether a path is for many reports: it ends in a slash, is a folder, or has not the suffix of a format."""
    return target.endswith(("/", os.sep)) or os.path.isdir(target) or format_of(target) is None


def write(target: str, record: RunRecord) -> str:
    """Write one report; return what is to be printed, "" for a file. Raises OSError if it cannot be written."""
    found = format_of(target)
    assert found is not None, target
    module = found.load()
    if not found.is_file:
        return str(module.text(record))
    module.write(target, record)
    return ""
