"""What will keep the interpreter from exiting: said before it hangs, by the runner or at interpreter exit."""

from __future__ import annotations

import sys
import threading
from typing import Any, List

from leakguard import _compat, origin
from leakguard.model import printable
from leakguard.probes import ALL

_is_registered = False
_said: List[str] = []


def warning() -> List[str]:
    """Name the threads that the interpreter will wait for, with the line and the test that started each."""
    lines = []
    for thread in list(_compat.live_threads.values()):
        try:
            if thread is threading.current_thread() or thread is threading.main_thread() or thread.daemon:
                continue
            if _compat.is_thread_alive(thread) and not _is_idle_worker(thread):
                lines.append("  " + _describe(thread))
        except Exception as error:  # a class of the user's may raise anything; the others must not be lost for it
            lines.append(f"  a thread that cannot be described: {type(error).__name__}: {printable(error)}")
    return ["Will keep the process from exiting:", *sorted(lines)] if lines else []


def announce_at_exit() -> None:
    """Print the warning when the interpreter is about to wait, unless the runner has printed the same."""
    global _is_registered
    if not _is_registered:
        _is_registered = True
        _compat.at_threading_exit(_announce)


def remember(lines: List[str]) -> None:
    """Note what was printed already."""
    _said[:] = lines


def _announce() -> None:
    lines = warning()
    if lines and lines != _said and sys.stderr is not None:
        sys.stderr.write("\n".join(["leakguard: " + lines[0], *lines[1:], ""]))
        sys.stderr.flush()


def _is_idle_worker(thread: Any) -> bool:
    """Whether a thread is an executor's idle worker: at exit it is told to end, and does."""
    top = sys._current_frames().get(thread.ident)
    return top is not None and _compat.worker_executor(top) is not None


def _describe(thread: Any) -> str:
    probe: Any = next(probe for probe in ALL if probe.kind == "thread")
    birth = origin.birth_of_thread(thread)
    subject = getattr(birth.owner, "subject", None) if birth is not None else None
    owner = f", started by {subject.id}" if subject is not None else ""
    return f"thread {probe.names(thread)[0]!r} created at {probe.origin(thread) or 'an unknown line'}{owner}"
