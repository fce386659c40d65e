"""A report that is written while the run goes on: each event is one line, on disk before the next thing happens.

A process that is killed has lost nothing. A disk that is full, or a folder that takes no file, is said once and costs
the lines that do not fit, never a test.
"""

from __future__ import annotations

import os
import sys
import weakref
from typing import Any, Iterable, List, Mapping, Sequence

from leakguard.model import LeakReport
from leakguard.record import TestRecord
from leakguard.report import jsonl

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

_open, _write, _close = os.open, os.write, os.close  # tests replace those of the module


class Journal:
    """One file of lines. A forked child never writes into its parent's: there it is closed."""

    def __init__(self, path: str, flags: int = 0) -> None:
        self.path, self._flags = path, flags
        self.problem = ""
        """Why something could not be written, "" if all was."""
        self._begin = ""
        """The first line, until it is on disk: if the disk was full, it comes before the next one."""
        self._lost = 0
        self._is_cut = False
        self._descriptor = -1

    # -- the events of a run --------------------------------------------------------------------------

    def begins(self, environment: Mapping[str, str], before: Sequence[int]) -> None:
        """Write what the process is."""
        self._begin = jsonl.begin_line(environment, before)
        self.write("")

    def starts(self, name: str) -> None:
        """Write that a test, or the fixtures of a class, begin."""
        self.write(jsonl.start_line(name))

    def ends(self, test: TestRecord) -> None:
        """Write what came of a test."""
        self.write(jsonl.test_line(test))

    def reports(self, report: LeakReport) -> None:
        """Write what a check has found."""
        self.write(jsonl.leaks_line(report))

    def rests(self, seconds: float, tests_run: int, fixed: Iterable[str] = (), problems: Iterable[str] = ()) -> None:
        """Write that all that has begun has ended, and what is incomplete of it."""
        lost = [f"{self._lost} events could not be written: {self.problem}"] if self._lost else []
        self.write(jsonl.end_line(seconds, tests_run, fixed, [*problems, *lost]))

    # -- the file -------------------------------------------------------------------------------------

    def open(self) -> None:
        """Make the file; the flags say what becomes of an old one. If that fails, it is said, and no line is written."""
        try:
            self._descriptor = _open(self.path, _FLAGS | self._flags, 0o666)
            _journals.add(self)
        except OSError as error:
            self._say(error)

    def write(self, line: str) -> None:
        """Append one line by one call of the system, so that lines of several threads do not mix."""
        if self._descriptor >= 0:
            begin = ("\n" if self._is_cut else "") + self._begin  # what was cut is ended first
            data = (begin + line).encode("ascii")
            try:
                written = _write(self._descriptor, data)
                self._is_cut = written < len(data) and (self._is_cut or written > 0)
                if written >= len(begin):
                    self._begin = ""
                if written < len(data):
                    raise OSError(f"only {written} of {len(data)} bytes fit")
            except OSError as error:
                self._lost += line != ""
                self._say(error)

    def close(self) -> None:
        """Write no more; safe to call twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            try:
                _close(descriptor)
            except OSError as error:  # a test has closed it, or the last data of a network's file do not fit
                self._say(error)

    def _say(self, error: OSError) -> None:
        if not self.problem and sys.stderr is not None:
            sys.stderr.write(f"leakguard: the report could not be written to {self.path}: {error}\n")
        self.problem = self.problem or str(error)


_journals: "weakref.WeakSet[Any]" = weakref.WeakSet()
"""Those that are open in this process."""


def _close_after_fork() -> None:
    journals: List[Journal] = list(_journals)
    for journal in journals:
        journal.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_after_fork)
