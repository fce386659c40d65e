"""Threads: those of `threading`, raw ones of `_thread`, and foreign ones that run Python code."""

from __future__ import annotations

import _thread
import sys
import threading
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from leakguard import _compat, activity, facts, origin
from leakguard.model import RUNNING, WAITING, Leak, printable
from leakguard.probes.protocol import Probe, advice, class_name, target_name, unwrapped

_live = _compat.live_threads
_count = _compat.raw_thread_count
_raw_births = origin.raw_births
_NO_RAW = -1
"""``_thread._count()`` less the known threads when every thread is known: the main thread is not counted."""

_POLL = 0.002


class Baseline:
    """The threads that were alive: known ones, and raw ones by their outermost frame, held so that it is not reused."""

    __slots__ = ("known", "raw")

    def __init__(self, known: Dict[int, Any], raw: Dict[int, Any]) -> None:
        self.known, self.raw = known, raw


class RawThread:
    """A thread that `threading` does not list: its ident, and its outermost frame as its identity.

    One that has been started and has not run its first instruction yet has no frame.
    """

    __slots__ = ("ident", "frame", "birth")

    def __init__(self, ident: int, frame: Any) -> None:
        self.ident, self.frame = ident, frame
        birth = origin.raw_births.get(ident)
        fits = birth is not None and (frame is None or birth.extra in (None, frame.f_code))
        self.birth = birth if fits else None


START_SECONDS = 0.05
"""How long a raw thread may take from its start to its first instruction: only then can it be seen."""

_settled_raw: List[Any] = []
"""Outermost frames of raw threads that were reported or allowed, while they run."""


class ThreadProbe(Probe):
    """Finds threads, daemon or not, that a test started and did not end."""

    kind = "thread"

    def snapshot(self) -> Any:
        known = _live.copy()
        if _count() - len(known) == _NO_RAW and not _raw_births:
            return known
        threads = _raw_threads(known)
        _forget_ended(sys._current_frames())
        return Baseline(_forget_dead(known), {ident: thread.frame for ident, thread in threads.items()})

    def suspects(self, baseline: Any) -> Sequence[Any]:
        if baseline == _live and _count() - len(_live) == _NO_RAW and not _raw_births:
            return ()
        return _look(baseline)

    def owner(self, thing: Any) -> Any:
        birth = _birth(thing)
        if birth is not None and _name(thing).startswith(_compat.DEFAULT_EXECUTORS):
            return origin.submitter_of(sys._current_frames().get(thing.ident)) or birth.owner  # nobody has made it
        return birth.owner if birth is not None else None

    def is_noted(self, thing: Any) -> bool:
        return _birth(thing) is not None

    def identity(self, thing: Any) -> Callable[[Any], bool]:
        if type(thing) is RawThread:
            key = (thing.ident, thing.frame)
            return lambda other: type(other) is RawThread and (other.ident, other.frame) == key
        return super().identity(thing)

    def names(self, thing: Any) -> Tuple[str, Tuple[str, ...]]:
        if type(thing) is RawThread:
            if thing.frame is None:
                return "starting", ()
            code = thing.frame.f_code
            if origin.rank(code.co_filename) == origin.OWN:  # what calls a function of C's: see hooks
                function = thing.frame.f_locals.get("function")
                return printable(getattr(function, "__name__", type(function).__name__)), (target_name(function),)
            module = thing.frame.f_globals.get("__name__", "?")
            return printable(code.co_name), (f"{module}.{_compat.qualname(code)}",)
        return _name(thing), (class_name(thing), target_name(_compat.thread_target(thing)))

    def code(self, thing: Any) -> Any:
        if type(thing) is RawThread:
            return thing.frame.f_code if thing.frame is not None else None
        return _compat.attribute(unwrapped(_compat.thread_target(thing)), "__code__")

    def origin(self, thing: Any) -> Optional[str]:
        return origin.origin_of_birth(_birth(thing))

    def settle(self, suspects: Sequence[Any], timeout: float) -> None:
        for thing in suspects:
            activity.begin(thing)
        thread = suspects[0]
        if _compat.is_of(thread, (RawThread, _compat.DummyThread)) or thread is threading.current_thread():
            _compat.pause(min(timeout, _POLL))
        else:
            try:
                _compat.join_thread(thread, timeout)
            except RuntimeError:  # between start() and its first instruction
                _compat.pause(min(timeout, _POLL))

    def describe(self, thing: Any) -> Leak:
        from leakguard import waiting  # it and what it imports take 2 ms, which only a leak pays

        name, aliases = self.names(thing)
        ident = thing.ident
        measured = activity.end(thing)
        # a thread may die between any two lines of this: it has no frame then, and the last look drops it
        top = sys._current_frames().get(ident) if ident is not None else None
        frames = origin.frames_of(top)
        now_at, place, waiting_in = waiting.of_thread(frames, ident, is_blocked=measured == WAITING)
        if measured == RUNNING:  # what it calls is another thing each time that somebody looks
            waiting_in, frames = None, _without_calls(frames)
        idle = top is not None and _compat.worker_executor(top) is not None
        created = self.origin(thing)
        return Leak(
            kind=self.kind,
            name=name,
            state=_state(thing, idle),
            owner="",
            origin=created,
            now_at=now_at,
            place=place,
            waiting_in=waiting_in,
            verdict="" if measured == WAITING and waiting_in is None else measured,
            hint=advice(_facts(thing, frames, waiting_in, idle, is_in_call=measured != RUNNING)),
            aliases=aliases,
            blocks_exit=_compat.is_of(thing, _compat.THREAD) and not thing.daemon,
            origin_stack=origin.birth_texts(_birth(thing)),
        )

    def mark(self, things: Sequence[Any]) -> None:
        for thing in things:
            if type(thing) is RawThread:
                _settled_raw.append(thing.frame)  # until it ends: see _look
            else:
                thing.__dict__[origin.REPORTED] = True

    def allow(self, thing: Any) -> Optional[str]:
        if not _compat.is_of(thing, _compat.THREAD):
            return None
        self.mark([thing])
        return self.names(thing)[0]


def _name(thread: Any) -> str:
    try:
        return printable(thread.name)
    except Exception as error:  # a user's property may raise anything; the leak must not be lost for it
        return f"<{class_name(thread)}: {type(error).__name__} in name>"


def _state(thing: Any, idle: bool) -> str:
    if type(thing) is RawThread:
        return "raw, alive"
    if _compat.is_dummy(thing):
        return "foreign, alive"
    state = "idle" if idle else "timer, alive" if _compat.is_of(thing, _compat.TIMER_THREAD) else "alive"
    return f"daemon, {state}" if thing.daemon else state


def _without_calls(frames: List[Any]) -> List[Any]:
    """The frames from the innermost on that is not the standard library's; all of them if there is none."""
    places = [number for number, frame in enumerate(frames) if origin.rank(frame.f_code.co_filename) != origin.STDLIB]
    return frames[places[0] :] if places else frames


def _facts(
    thing: Any, frames: Sequence[Any], waiting_in: Optional[str], idle: bool, *, is_in_call: bool = True
) -> facts.Facts:
    creators, flags = facts.made(_birth(thing))
    names: List[str] = []
    if _compat.is_of(thing, (RawThread, _compat.DummyThread)):
        flags.append(facts.RAW)
    else:
        target = unwrapped(_compat.thread_target(thing))
        names = [*facts.types_of(thing, facts.bound_to(target)), target_name(target)]
    flags += [facts.IDLE] * idle
    functions = facts.functions_of(frames, calls=is_in_call) + facts.operations_of(waiting_in)
    return facts.Facts("thread", frozenset(names), functions, creators, frozenset(flags))


def _birth(thing: Any) -> Optional[origin.Birth]:
    if type(thing) is RawThread:
        return thing.birth
    birth = origin.birth_of_thread(thing)
    if birth is None and _compat.is_dummy(thing):  # a raw thread that has asked for its `current_thread()` since
        frame = _frame_of(thing)
        return RawThread(thing.ident, frame).birth if frame is not None else None
    return birth


def _look(baseline: Any) -> List[Any]:
    """Return the new threads: the careful way, taken only when something differs from the baseline."""
    plain = not isinstance(baseline, Baseline)
    known, raw = (baseline, {}) if plain else (_forget_dead(baseline.known), baseline.raw)
    now = _live.copy()
    new: List[Any] = [t for ident, t in now.items() if known.get(ident) is not t]
    listed = set(map(id, now.values()))  # a user's class may say of any two threads that they are equal, or raise
    new += [t for t in list(_compat.starting_threads.values()) if id(t) not in listed]
    found: List[Any] = [t for t in new if origin.REPORTED not in t.__dict__ and _compat.is_thread_alive(t)]
    found = [t for t in found if not _is_shared_idle_worker(t) and not _was_raw(t, raw) and not _runs_tests(t)]
    if not plain or _count() - len(now) != _NO_RAW or origin.raw_births:
        threads = _raw_threads(now)
        found += [t for ident, t in threads.items() if raw.get(ident) is not t.frame and t.frame not in _settled_raw]
        found += _starting()
    return found


def _runs_tests(thread: Any) -> bool:
    """Whether a thread that no guard has made is running tests or their fixtures: it is a runner's, as the one that looks is."""
    birth = _birth(thread)
    if birth is not None and birth.owner is not None:
        return False
    frames = origin.frames_of(sys._current_frames().get(thread.ident))
    return any(f.f_code.co_name == "run" and f.f_globals.get("__name__") in _RUNNERS for f in frames)


_RUNNERS = ("unittest.case", "unittest.suite")


def _was_raw(thread: Any, raw: Dict[int, Any]) -> bool:
    """Whether a foreign thread is a raw one of before, by another name: `current_thread()` has made it an object."""
    if not _compat.is_dummy(thread):
        return False
    frame = _frame_of(thread)
    return frame is not None and (raw.get(thread.ident) is frame or frame in _settled_raw)


def _frame_of(thread: Any) -> Any:
    """The outermost frame of a thread, None if it runs no Python code."""
    top = sys._current_frames().get(thread.ident)
    return _outermost(top) if top is not None else None


def _forget_dead(known: Dict[int, Any]) -> Dict[int, Any]:
    """Drop foreign threads that have ended from a baseline, and that they were reported.

    Up to 3.12 `threading` keeps their entry for ever, and gives it to the next foreign thread with the same ident.
    """
    for ident, thread in list(known.items()):
        if _compat.is_dummy(thread) and not _compat.is_thread_alive(thread):
            del known[ident]
            thread.__dict__.pop(origin.REPORTED, None)
    return known


def _starting() -> List[RawThread]:
    """Return the raw threads that were started just now and cannot be seen yet."""
    running = sys._current_frames()
    _forget_ended(running)
    return [RawThread(ident, None) for ident in list(_raw_births) if ident not in running]


def _forget_ended(running: Mapping[int, Any]) -> None:
    """Forget the raw threads that have ended: the next one with the same ident may not be noted."""
    for ident, birth in list(_raw_births.items()):
        if ident not in running and _compat.clock() - birth.time >= START_SECONDS:
            _raw_births.pop(ident, None)
    if _settled_raw:
        alive = [_outermost(frame) for frame in running.values()]
        _settled_raw[:] = [frame for frame in _settled_raw if frame in alive]


def _raw_threads(known: Dict[int, Any]) -> Dict[int, RawThread]:
    """Return the threads that run Python code and that `threading` does not list."""
    frames = sys._current_frames()
    me = _thread.get_ident()
    raw = {
        ident: RawThread(ident, _outermost(top))
        for ident, top in frames.items()
        if ident not in known and ident not in _live and ident != me and not _is_threading_frame(_outermost(top))
    }
    return raw


def _is_threading_frame(frame: Any) -> bool:
    """Whether a thread of `threading` is about to enter itself in its list, or has just left it."""
    return bool(frame.f_globals.get("__name__") == "threading" and frame.f_code.co_name.startswith("_bootstrap"))


def _outermost(frame: Any) -> Any:
    while frame.f_back is not None:
        frame = frame.f_back
    return frame


_IDLE_AT = {("trio._core._thread_cache", "_work")}
"""(module, function) where idle workers of a cache wait that the whole process shares: trio's for 10 s, then they end."""


def _is_shared_idle_worker(thread: Any) -> bool:
    """Whether a thread is an idle worker, which is no leak: of trio's cache, an event loop's default executor, or asgiref's."""
    top = sys._current_frames().get(thread.ident)
    if top is None:
        return False
    if (top.f_globals.get("__name__"), top.f_code.co_name) in _IDLE_AT:
        return True
    executor = _compat.worker_executor(top)
    if executor is None:
        return False
    is_of_loop = _compat.is_asyncio_executor(executor) or executor in _default_executors()
    return is_of_loop or _is_of_one_call(thread, executor)


def _is_of_one_call(thread: Any, executor: Any) -> bool:
    """Whether asgiref has made an executor for a single ``async_to_sync()`` call, so that nobody can give it more work.

    Its worker ends with what keeps the frame of that call, often an exception. One that asgiref keeps for a whole
    context (``context_to_thread_executor``, from 3.9 on) gets more work. What the call runs may make pools of its own, in
    the same thread: there are more frames between.
    """
    bridge = getattr(sys.modules.get("asgiref.sync"), "AsyncToSync", None)
    birth = _birth(thread)
    if bridge is None or birth is None:
        return False
    callers = [code for code, _ in birth.stack if origin.rank(code.co_filename) not in (origin.STDLIB, origin.OWN)]
    is_made_by_it = bool(callers) and callers[0] is _compat.attribute(bridge.__call__, "__code__")
    return is_made_by_it and executor not in list(getattr(bridge, "context_to_thread_executor", {}).values())


def _default_executors() -> List[Any]:
    return [_compat.default_executor(loop) for loop in list(origin.loops)]
