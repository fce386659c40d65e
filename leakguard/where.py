"""Where a hub's thread, coroutine or call is, in the words of a teardown's error."""

from __future__ import annotations

import os
import traceback
from typing import Any, Optional, Sequence

from leakguard import awaiting, origin
from leakguard.probes.tasks import TaskProbe, frames_of_coroutine
from leakguard.probes.threads import ThreadProbe

_OWN = tuple(os.path.join(os.path.dirname(__file__), f"{name}.py") for name in ("alarm", "stops", "teardown", "turns"))


def of_thread(thread: Any) -> str:
    """Where a thread is."""
    leak = ThreadProbe().describe(thread)
    return _said(leak.place, leak.waiting_in, leak.now_at)


def of_task(task: Any) -> str:
    """Where a task is suspended."""
    leak = TaskProbe().describe(task)
    return _said(leak.place, leak.waiting_in, leak.now_at)


def of_coroutine(coroutine: Any) -> str:
    """Where a coroutine is suspended."""
    now_at, place, waiting_in = awaiting.of_task(None, frames_of_coroutine(coroutine))
    return _said(place, waiting_in, now_at)


def of_error(error: BaseException) -> str:
    """Where an error was raised, without the frames of hub teardown."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][::-1]
    return _of_frames([frame for frame in frames if frame.f_code.co_filename not in _OWN])


def of_frame(frame: Any) -> str:
    """Where the code of a frame that runs is."""
    return _of_frames([one for one, _ in traceback.walk_stack(frame)])


def _of_frames(frames: Sequence[Any]) -> str:
    stack = [(frame.f_code, frame.f_lasti, frame.f_globals.get("__name__", "?")) for frame in frames]
    now_at, place, waiting_in = origin.describe_stack(stack)
    return _said(place, waiting_in, now_at)


def _said(place: Optional[str], waiting_in: Optional[str], now_at: Sequence[str]) -> str:
    at = place or (now_at[0] if now_at else "an unknown line")
    return f"it is at {at}" + (f", waiting in {waiting_in}" if waiting_in else "")
