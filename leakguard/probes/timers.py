"""Timers of event loops, and the signal handlers that were left on a loop.

A `threading.Timer` is a thread. Loops that do not list their timers, uvloop's, cannot be looked into.
"""

from __future__ import annotations

import signal
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

from leakguard import _compat, facts, origin
from leakguard.model import Leak, printable
from leakguard.probes.protocol import Probe, advice, class_name, target_name, unwrapped

_POLL = 0.002
_NOTHING: Dict[int, Any] = {}


class TimerProbe(Probe):
    """Finds ``call_later`` and ``call_at`` handles that a test left pending, and ``add_signal_handler`` ones.

    What asyncio schedules for itself is left out: a sleep or a timeout is its task's.
    """

    kind = "timer"

    def snapshot(self) -> Any:
        return _handles() if _loops else _NOTHING

    def suspects(self, baseline: Any) -> Sequence[Any]:
        if not _loops:
            return ()
        settled = origin.settled_timers
        return [handle for ident, handle in _handles().items() if ident not in baseline and ident not in settled]

    def owner(self, thing: Any) -> Any:
        return origin.owner_of(_compat.handle_context(thing), origin.birth_of_timer(thing), self.loop_of(thing))

    def is_noted(self, thing: Any) -> bool:
        return True  # its birth, its context or its loop says who made it

    def loop_of(self, thing: Any) -> Any:
        return _compat.handle_loop(thing)

    def names(self, thing: Any) -> Tuple[str, Tuple[str, ...]]:
        callback, number = _compat.handle_callback(thing), _signal_of(thing)
        target = unwrapped(callback)
        name = _compat.attribute(target, "__qualname__") or type(target).__qualname__
        shown = name if number is None else signal.Signals(number).name
        return printable(shown), (class_name(thing), target_name(callback))

    def code(self, thing: Any) -> Any:
        return _compat.attribute(unwrapped(_compat.handle_callback(thing)), "__code__")

    def origin(self, thing: Any) -> Optional[str]:
        birth = origin.birth_of_timer(thing)
        if birth is not None:
            return origin.origin_of(birth.stack)
        return origin.origin_of_traceback(_compat.debug_stack(thing))

    def settle(self, suspects: Sequence[Any], timeout: float) -> None:
        _compat.pause(min(timeout, _POLL))

    def describe(self, thing: Any) -> Leak:
        name, aliases = self.names(thing)
        created = self.origin(thing)
        is_signal = _signal_of(thing) is not None
        return Leak(
            kind=self.kind,
            name=name,
            state="signal handler" if is_signal else "pending",
            owner="",
            origin=created,
            hint=advice(_facts(thing, is_signal)),
            aliases=aliases,
        )

    def mark(self, things: Sequence[Any]) -> None:
        for thing in things:
            origin.settle_timer(thing)

    def isolate(self, things: Sequence[Any]) -> Iterator[None]:
        """Cancel reported timers and remove reported signal handlers, so that none fires in another test."""
        for thing in things:
            number, loop = _signal_of(thing), _compat.handle_loop(thing)
            call, arguments = (thing.cancel, ()) if number is None else (loop.remove_signal_handler, (number,))
            try:
                if loop.is_running() and _compat.running_loop() is not loop:
                    loop.call_soon_threadsafe(call, *arguments)
                else:
                    call(*arguments)
            except (RuntimeError, ValueError):
                pass  # the loop was closed in the meantime, or its signals belong to the main thread
            yield

    def allow(self, thing: Any) -> Optional[str]:
        if id(thing) not in _handles():
            return None
        self.mark([thing])
        return self.names(thing)[0]


_loops = origin.loops.data  # type: ignore[attr-defined]


def _handles() -> Dict[int, Any]:
    """Return id -> handle of every pending timer and signal handler of the loops that are known."""
    found: Dict[int, Any] = {}
    for reference in tuple(_loops):
        loop = reference()
        if loop is not None and not loop.is_closed():
            for handle in _compat.loop_handles(loop):
                if not handle.cancelled() and not _is_asyncios(handle):
                    found[id(handle)] = handle
    return found


def _is_asyncios(handle: Any) -> bool:
    """Whether asyncio scheduled it for itself: a sleep, a timeout, a transport's."""
    callback = _compat.handle_callback(handle)
    return str(_compat.attribute(callback, "__module__") or type(callback).__module__).startswith("asyncio.")


def _facts(handle: Any, is_signal: bool) -> facts.Facts:
    callback = _compat.handle_callback(handle)
    target = unwrapped(callback)
    creators, flags = facts.made(origin.birth_of_timer(handle), _compat.debug_stack(handle))
    flags += [facts.SIGNAL_HANDLER] * is_signal
    names = [*facts.types_of(facts.bound_to(target)), target_name(callback)]
    return facts.Facts("timer", frozenset(names), (), creators, frozenset(flags))


def _signal_of(handle: Any) -> Optional[int]:
    handlers = _compat.loop_signal_handlers(_compat.handle_loop(handle))
    return next((number for number, one in handlers.items() if one is handle), None)
