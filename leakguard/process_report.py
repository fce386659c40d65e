"""``LEAKGUARD_REPORT=folder/``: every process that guards tests writes a file of its own there, under any runner.

The file is made when the process first guards something. A forked child is a process of its own: it makes its own file
when it guards a test itself. A line says "end" whenever nothing is guarded any more, since a worker of a pool is often
ended from outside, with no chance to say so later.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any, Iterable, Mapping, Optional, Set

from leakguard import _compat, check, recording
from leakguard.journal import Journal
from leakguard.record import TestRecord
from leakguard.recording import Recorder
from leakguard.report import is_folder

VARIABLE = "LEAKGUARD_REPORT"


def file_in(folder: str, environment: Mapping[str, str]) -> str:
    """The name of a process's own file: no other has it, on this machine or on another that shares the folder."""
    host = "".join(c if c.isalnum() or c in "-_." else "-" for c in environment["host"])[:64]
    started = environment["started"].replace(":", "").replace("-", "")
    return os.path.join(folder, f"{host}-{environment['pid']}-{started}-{environment['process']}.jsonl")


def journal_in(folder: str, environment: Mapping[str, str]) -> Journal:
    """A process's own file, and its folder. What cannot be written is said once on stderr, and fails nothing."""
    folder = os.path.abspath(folder)  # tests go elsewhere
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        pass  # the file's own error says it better
    return Journal(file_in(folder, environment), os.O_EXCL)


class ProcessReport:
    """What this process writes of the tests that it guards, where no runner of ours does."""

    def __init__(self) -> None:
        self._value = ""
        self._journal: Optional[Journal] = None
        self._live = recording.LiveCounter()
        self._start = 0.0
        self._tests = 0
        self._is_resting = True
        self._raised: Set[str] = set()
        """The tests under way whose check has failed them."""
        self.is_off = False
        """Whether the runner puts the tests of this process on record."""

    def begin(self, value: str, name: str) -> None:
        """The outermost guard begins, or one inside: `name` is what it guards."""
        if self.is_off:
            return
        if self._journal is None or value != self._value:
            self._open(value)
        if self._is_resting and self._journal is not None:
            self._is_resting = False
            self._journal.starts(name)

    def _open(self, value: str) -> None:
        self._value = value
        if not is_folder(value):
            self._journal = Journal("")  # it is not open, and takes every line for nothing
            _say(f"{VARIABLE} must name a folder here: only python -m leakguard writes one file (got {value!r})")
            return
        about = recording.environment()
        self._start = _compat.clock()
        self._journal = journal_in(value, about)
        self._journal.open()
        self._journal.begins(about, self._live.count(self._start, fully=True))
        self._tests = 0
        if self not in check.course_listeners:
            check.course_listeners.append(self)
            check.listeners.append(self.report)
            atexit.register(self.rests)

    # -- what guards tell ---------------------------------------------------------------------------------

    def begins(self, guard: Any) -> None:
        """A test begins."""
        if self.is_off or _is_inside_a_test(guard):
            return
        if self._journal is None:  # a forked child that goes on with a class that its parent has begun
            self.begin(os.environ.get(VARIABLE, ""), str(guard.subject.id))
            guard.parent.clean = None  # the new file is open now
        guard.began = _compat.clock()
        self._is_resting = False
        if self._journal is not None:
            self._journal.starts(str(guard.subject.id))

    def ends(self, guard: Any) -> None:
        """A test has ended."""
        if self._journal is None or not guard.began or guard.is_foreign:
            return
        now = _compat.clock()
        has_raised = str(guard.subject.id) in self._raised
        self._raised.discard(str(guard.subject.id))
        outcome, details = _compat.outcome_of(guard.test, guard.result, guard.has_succeeded and not has_raised)
        if outcome == "unknown" and has_raised:
            outcome = "failed"
        live = self._live.count(now, fully=guard.waited > 0)
        self._tests += 1
        otherwise = guard.otherwise
        leaked = has_raised and bool(guard.has_succeeded or otherwise) and outcome in ("failed", "error")
        name, kinds = str(guard.subject.id), recording.kinds_checked(guard)
        course = (name, outcome, now - guard.began, guard.waited, live, details, kinds, leaked, otherwise if leaked else "")
        self._journal.ends(TestRecord(*course))
        if guard.parent is not None and guard.parent.is_foreign:  # nobody else here will say so
            self.rests()

    def report(self, report: Any) -> None:
        """A check has found something."""
        if self._journal is not None and not self.is_off:
            self._journal.reports(report)
            if report.scope == "test" and not report.note and any(leak.counted for leak in report.leaks):
                self._raised.add(report.owner)

    def rests(self) -> None:
        """Nothing is guarded any more, or the process ends."""
        if self._journal is not None and not self.is_off and not self._is_resting:
            self._is_resting = True
            self._journal.rests(_compat.clock() - self._start, self._tests)

    def forget(self) -> None:
        """In a forked child: the file is the parent's."""
        self._journal, self._is_resting, self.is_off = None, True, False


def _is_inside_a_test(guard: Any) -> bool:
    """Whether a test runs this one: it is that test's own affair."""
    outer = guard.parent
    while outer is not None and (outer.scope != "test" or outer.is_foreign):
        outer = outer.parent
    return outer is not None


def _say(message: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"leakguard: {message}\n")


here = ProcessReport()


def begin_run(recorder: Optional[Recorder]) -> Optional[Recorder]:
    """The runner begins: it puts the tests of this process on record, into its own file, too, if there is to be one.

    A run inside of a test of another run has only the reports that it asks for.
    """
    value = "" if here.is_off else os.environ.get(VARIABLE, "")
    wants_folder = value != "" and is_folder(value)
    if recorder is None and not wants_folder:
        return None
    recorder = recorder or Recorder()
    if wants_folder:
        recorder.journals.append(journal_in(value, recorder.environment))
    recorder.begin()
    recorder.was_off, here.is_off = here.is_off, True
    check.listeners.append(recorder.report)
    return recorder


def end_run(recorder: Recorder, fixed: Iterable[str] = (), problems: Iterable[str] = ()) -> None:
    """The runner has ended, with the known leaks that are fixed, and what is incomplete."""
    recorder.end(fixed, problems)
    check.listeners.remove(recorder.report)
    here.is_off = recorder.was_off


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=here.forget)
