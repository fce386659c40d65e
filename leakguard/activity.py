"""Whether a leaked thread runs or is blocked: by the time that it was on a processor while a check waited for it.

What it waits for a processor is not its own time, nor is what the check itself works. Where that leaves it open, and
where the system keeps no such times (Linux does), the instruction that it stands at has to do.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

from leakguard import _compat
from leakguard.model import RUNNING, WAITING

BUSY = 0.8
"""The part of its time that a running thread is on a processor at least: one that polls and sleeps in between is not."""

IDLE = 0.01
"""The part that one that is blocked is less."""

SHORTEST_MEASURE = 0.01
"""Seconds below which nothing is measured."""

LOOK, LOOKS = 0.005, 10
"""Seconds of one more look at a thread that was busy, and how many looks it gets to run again on a loaded machine."""

_TIMES = "_leakguard_times"
"""Entered in a thread while a check waits for it: its times when that began."""


def begin(thread: Any) -> None:
    """Begin to measure a thread, unless that has begun."""
    if _compat.attribute(thread, "native_id") is not None and _TIMES not in thread.__dict__:
        thread.__dict__[_TIMES] = _times_of(thread)


def end(thread: Any) -> str:
    """`RUNNING` or `WAITING`, as measured since `begin`; "" if that is not certain."""
    before = thread.__dict__.pop(_TIMES, None) if _compat.is_of(thread, _compat.THREAD) else None
    now = _times_of(thread) if before is not None else None
    if before is None or now is None or now.slept - before.slept < SHORTEST_MEASURE:
        return ""
    if _is_idle(before, now):
        return WAITING
    for _ in range(LOOKS if _is_busy(before, now) else 0):
        _compat.pause(LOOK)  # it may have blocked since
        before, now = now, _times_of(thread)
        if now is None:
            break
        if _is_busy(before, now):
            return RUNNING
    return ""


def _times_of(thread: Any) -> Optional[_compat.ThreadTimes]:
    return _compat.thread_times(_compat.attribute(thread, "native_id"))


def _is_busy(before: _compat.ThreadTimes, now: _compat.ThreadTimes) -> bool:
    used, own = _spent(before, now)
    return used > 0 and used >= BUSY * own


def _is_idle(before: _compat.ThreadTimes, now: _compat.ThreadTimes) -> bool:
    used, own = _spent(before, now)
    return own >= SHORTEST_MEASURE and used < IDLE * own


def _spent(before: _compat.ThreadTimes, now: _compat.ThreadTimes) -> Tuple[float, float]:
    """The seconds that a thread was on a processor, and those that it could have been."""
    used = now.running - before.running
    return used, max(used, now.slept - before.slept - (now.queued - before.queued))
