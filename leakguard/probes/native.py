"""Native threads: those of the process that Python does not know, which C code started and which run no Python."""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Sequence, Set, Tuple

from leakguard import _compat
from leakguard.model import Leak, printable
from leakguard.probes.protocol import Probe, fingerprint

_POLL = 0.002
_SECOND_LOOK_AFTER = 0.005
"""Seconds: a thread of Python's that begins or ends is one that nobody knows for less than that, as a rule."""

_HINT = "stop the library that started it, in a cleanup: it runs no Python code, and no line of Python is known"

_Key = Tuple[int, str]


class NativeThread:
    """A thread of the system's: its id, and the time of its start, since ids are handed out again."""

    __slots__ = ("key", "name")

    def __init__(self, key: _Key) -> None:
        self.key = key
        self.name = printable(_compat.system_thread_name(key[0]) or "?")


class NativeProbe(Probe):
    """Finds threads that a library started outside of Python; asked for by ``native``, and reported as threads."""

    kind = "thread"
    choice = "native"
    carries_over = False

    def __init__(self) -> None:
        self._reported: Set[_Key] = set()
        self._seen_twice: FrozenSet[_Key] = frozenset()

    def snapshot(self) -> Any:
        return _threads()

    def suspects(self, baseline: Any) -> Sequence[Any]:
        now = _threads()
        if now == baseline:
            return ()
        new = self._unknown(now, baseline)
        if not new <= self._seen_twice:  # the second look
            _compat.pause(_SECOND_LOOK_AFTER)
            new &= self._unknown(_threads(), baseline)
        self._seen_twice = frozenset(new)
        return [NativeThread(key) for key in sorted(new)]

    def _unknown(self, now: Dict[int, str], baseline: Dict[int, str]) -> Set[_Key]:
        self._reported &= now.items()  # those that have ended are forgotten
        new = now.items() - baseline.items() - self._reported
        known = _known() if new else ()
        return {key for key in new if key[0] not in known}

    def owner(self, thing: Any) -> Any:
        return None

    def is_noted(self, thing: Any) -> bool:
        return False

    def identity(self, thing: Any) -> Callable[[Any], bool]:
        key = thing.key
        return lambda other: bool(other.key == key)

    def names(self, thing: Any) -> Tuple[str, Tuple[str, ...]]:
        return thing.name, ()

    def origin(self, thing: Any) -> Optional[str]:
        return None

    def settle(self, suspects: Sequence[Any], timeout: float) -> None:
        _compat.pause(min(timeout, _POLL))

    def describe(self, thing: Any) -> Leak:
        return Leak(
            kind=self.kind,
            name=thing.name,
            state="native, alive",
            owner="",
            hint=_HINT,
            fingerprint=fingerprint(self.kind, thing.name, None, self.choice),
        )

    def mark(self, things: Sequence[Any]) -> None:
        self._reported.update(thing.key for thing in things)


def _threads() -> Dict[int, str]:
    """Return id -> time of start of every thread of the process but the main one, which is always there."""
    found = {}
    for number in _compat.system_threads():
        start = _compat.system_thread_start(number)
        if start:
            found[number] = start
    return found


def _known() -> List[int]:
    """Return the ids of the threads that Python knows: of `threading`, and raw ones."""
    known = [thread.native_id for thread in list(_compat.live_threads.values()) if thread.native_id is not None]
    known.append(threading.get_native_id())
    return known + _compat.raw_native_ids()
