"""A limit to what blocks: an alarm of the system, which ends even a call that never returns.

It works in the main thread of systems that have ``signal.setitimer``. Elsewhere nothing here limits anything.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from typing import Any, Callable, Iterator, List, Optional, Sequence

from leakguard import _compat, where
from leakguard.notices import log

AGAIN = 0.1
"""Seconds after which an alarm rings again: somebody may have swallowed what it raised."""
IN_VAIN = 5
"""After so many rings for the same call it is said that it cannot be ended."""
TOLERANCE = 0.001
"""Seconds that a ring may come early by another clock."""


class Overdue(BaseException):
    """Raised inside a call that blocks for longer than the hub's timeout."""


def can_interrupt() -> bool:
    """Whether a call that blocks can be ended: by a signal, so in the main thread of a system that has alarms."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and hasattr(signal, "setitimer") and _compat.signal_handler(signal.SIGALRM) is not None


@contextlib.contextmanager
def limit(seconds: float, name: str) -> Iterator[List[str]]:
    """End what blocks inside after so many seconds; then the list has where it was. Elsewhere there is no limit."""
    said: List[str] = []
    if not can_interrupt():
        yield said
        return
    rings = 0

    def ring(number: int, frame: Any) -> None:
        nonlocal rings
        rings += 1
        _say_in_vain(rings, name, frame)
        raise Overdue

    try:
        with _alarm(ring, seconds, AGAIN):
            yield said
    except Overdue as error:
        said.append(where.of_error(error))


@contextlib.contextmanager
def watch(teardowns: Sequence[Any], over: Optional[Callable[[], None]] = None) -> Iterator[None]:
    """End a task's step that blocks the loop when the hubs' time is over, and call `over` if nothing blocks it then.

    A ring that finds a task at work says nothing yet: only if the loop has not turned since the ring before is it
    blocked. A stop has its own timeout; any other task, the longest of the group. Elsewhere there is no limit.
    """
    if not can_interrupt():
        yield
        return
    asyncio: Any = sys.modules["asyncio"]
    loop, here, begun = asyncio.get_running_loop(), asyncio.current_task(), _compat.clock()
    timeouts = [teardown.timeout for teardown in teardowns]
    has_turned, rings = True, 0

    def turn() -> None:
        nonlocal has_turned, rings
        has_turned, rings = True, 0

    def is_overdue(task: Any) -> bool:
        ends = [teardown.begun + teardown.timeout for teardown in teardowns if teardown.task is task]
        return bool(_compat.clock() + TOLERANCE >= (ends[0] if ends else begun + max(timeouts)))

    def ring(number: int, frame: Any) -> None:
        nonlocal has_turned, rings
        if not loop.is_running():  # something has broken it off, and the group with it
            signal.setitimer(signal.ITIMER_REAL, 0)
            return
        task = asyncio.current_task(loop)
        is_at_work = task is not None and (task is not here or teardowns[0].task is here)
        if not has_turned and is_at_work and is_overdue(task):
            has_turned = True  # what was held up by this one has time of its own
            rings += 1
            _say_in_vain(rings, teardowns[0].name, frame)
            raise Overdue
        has_turned = False
        loop.call_soon_threadsafe(turn)
        if over is not None and is_overdue(here):
            loop.call_soon_threadsafe(over)

    with _alarm(ring, min(timeouts) / 4, min(timeouts) / 4):
        yield


def _say_in_vain(rings: int, name: str, frame: Any) -> None:
    """Say once why the run stands still: what swallows every exception cannot be ended, from outside neither."""
    if rings == IN_VAIN:
        place = where.of_frame(frame)
        log("ERROR", f"leakguard: teardown of hub {name!r} swallows what is to end it, and the run waits for it: {place}")


@contextlib.contextmanager
def _alarm(ring: Callable[[int, Any], None], seconds: float, interval: float) -> Iterator[None]:
    """Have `ring` called after so many seconds and then again and again; an alarm that was set goes on after it."""
    handler = _compat.set_signal_handler(signal.SIGALRM, ring)
    begun = _compat.clock()
    delay, old_interval = signal.setitimer(signal.ITIMER_REAL, seconds, interval)
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        _compat.set_signal_handler(signal.SIGALRM, handler)
        if delay:
            signal.setitimer(signal.ITIMER_REAL, max(delay - (_compat.clock() - begun), 1e-6), old_interval)
