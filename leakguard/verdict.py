"""Why a leak is still alive: `running`, `waiting`, `stuck`, `ignores cancellation`, `unknown`.

`stuck` is proved or not said: nothing that is alive can reach what the thread or task waits on, so it can never end.
The idea is that of Go's goroutine-leak profile: what the collector would take, were it not for the waiting itself,
waits for nobody. `reach` has the proof and `stack` what a thread's frames hold; here is who is asked about what.
"""

from __future__ import annotations

import sys
from itertools import zip_longest
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Sequence, Set, Tuple

from leakguard import _compat, origin, reach, stack
from leakguard.model import IGNORES_CANCELLATION, RUNNING, STUCK, UNKNOWN, WAITING
from leakguard.probes.tasks import awaited_chain

Verdict = Tuple[str, int]
"""A verdict, and how many cancellations the thing went on after."""

SECONDS = 1.5
"""What one check may spend on proofs; the last pass over the heap may go beyond it."""

SECONDS_IN_ALL = 30.0
"""The most that a process may spend on them, however many of its tests leak."""

_spent = [0.0]


class Thing(NamedTuple):
    """A leaked thing and its kind."""

    kind: str
    thing: Any


def judge(
    things: List[Thing], *, measured: Sequence[str] = (), sames: Sequence[Any] = (), may_prove: bool = True
) -> List[Verdict]:
    """Return the verdict of each thing, "" for what is no activity; `measured` are those that are known by now, or "".

    `sames` are the functions by which a check knows the things again. Nobody else may hold what the things wait on: a
    variable of the caller's that does makes it look as if it could be woken.
    """
    verdicts = [_at_first_sight(kind, thing) for kind, thing in things]
    verdicts = [(known, 0) if known else seen for known, seen in zip_longest(measured, verdicts)]
    if may_prove and _compat.COUNTS_ARE_EXACT and (WAITING, 0) in verdicts and _spent[0] < SECONDS_IN_ALL:
        start = _compat.clock()
        for number in _stuck(things, _held_by(sames), lambda: _compat.clock() - start < SECONDS):
            verdicts[number] = STUCK, 0
        _spent[0] += _compat.clock() - start
    return verdicts


def _held_by(sames: Iterable[Any]) -> List[Any]:
    """What holds a thing, weakly or not, in the functions by which it is known again."""
    cells = [cell for same in sames for cell in same.__closure__ or ()]
    return [*cells, *(cell.cell_contents for cell in cells if type(cell.cell_contents) is tuple)]


def _at_first_sight(kind: str, thing: Any) -> Verdict:
    if kind == "thread":
        return _of_thread(thing), 0
    if kind == "task":
        return _of_task(thing)
    return {"process": RUNNING, "timer": WAITING, "native": UNKNOWN}.get(kind, ""), 0


def _of_task(task: Any) -> Verdict:
    if _is_async_generator(task):
        return WAITING, 0
    cancels = _compat.cancels_of(task)
    if cancels and not _compat.is_being_cancelled(task):
        return IGNORES_CANCELLATION, cancels
    return RUNNING if _compat.awaited_future(task) is None else WAITING, 0


def _of_thread(thing: Any) -> str:
    top = sys._current_frames().get(thing.ident)
    if top is None:
        return UNKNOWN
    return WAITING if stack.is_in_call(top) else RUNNING


def _is_async_generator(thing: Any) -> bool:
    return hasattr(thing, "ag_frame")


class _Case:
    """What is to be proved of several things at once; holds no thing but in `targets`."""

    def __init__(self) -> None:
        self.targets: List[Any] = []
        self.links: Dict[int, Set[int]] = {}
        self.candidates: List[reach.Candidate] = []
        self.places: List[int] = []
        """Of the candidates, among the things."""


def _stuck(things: List[Thing], ours: Sequence[Any], has_time: Callable[[], bool]) -> List[int]:
    """Return the places of the things that are proved to be stuck."""
    case = _state(things)
    raw = [thing for kind, thing in things if kind == "thread" and not _compat.is_of(thing, _compat.THREAD)]
    ends = [*ours, things, *things, *raw, *_registries()]
    del raw
    try:
        found = reach.stuck(case.targets, case.candidates, ours=ends, links=case.links, has_time=has_time)
    except reach.GaveUp:
        return []
    again = _state(things)  # whoever has moved meanwhile was not stuck, and held other things than was thought
    same = [number for number in found if case.candidates[number] in again.candidates]
    return [case.places[number] for number in same]


def _state(things: Sequence[Thing]) -> _Case:
    """What each thing waits on now, and holds."""
    case = _Case()
    idents = {id(thing): number for number, (_, thing) in enumerate(things)}
    frames = sys._current_frames()
    for number, (kind, thing) in enumerate(things):
        if kind == "task" and not _is_async_generator(thing):
            _add_task(case, number, thing)
        elif kind == "thread" and thing.ident in frames:
            _add_thread(case, number, thing, frames[thing.ident], idents)
    places = {place: index for index, place in enumerate(case.places)}
    case.candidates = [
        one._replace(needs=tuple(places.get(place, -1) for place in one.needs)) for one in case.candidates
    ]
    return case


def _add_task(case: _Case, number: int, task: Any) -> None:
    future = _compat.awaited_future(task)
    if future is None or future.done():
        return
    targets = [task, future, *awaited_chain(task.get_coro())]
    case.targets += targets
    case.candidates.append(reach.Candidate(tuple(map(id, targets))))
    case.places.append(number)


def _add_thread(case: _Case, number: int, thread: Any, top: Any, places: Dict[int, int]) -> None:
    frames = stack.read(top)
    lock, other = stack.lock_of(frames), stack.joined(frames)
    if lock is None and id(other) not in places:
        return
    targets = [lock] if lock is not None else []
    case.candidates.append(
        reach.Candidate(
            targets=tuple(map(id, targets)),
            claims=stack.claims(thread, frames),
            needs=() if other is None else (places[id(other)],),
        )
    )
    case.places.append(number)
    case.targets += [*targets, *(frame.frame for frame in frames)]
    for outer, frame in zip([*frames[1:], None], frames):
        for thing in [*frame.variables.values(), *([outer.frame] if outer is not None else [])]:
            case.links.setdefault(id(thing), set()).add(id(frame.frame))


def _registries() -> Iterator[Any]:
    """What lists every thread or task for whoever asks: nobody is about to wake one because it is there."""
    yield _compat.live_threads
    yield _compat.dangling_threads
    tasks = _compat.asyncio_tasks()
    if tasks is not None:
        yield _compat.global_task_references(tasks)
        yield _compat.eager_tasks(tasks)
    yield from origin.registries()
