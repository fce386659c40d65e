"""Asyncio tasks of every loop, and async generators left suspended on a loop.

asyncio is never imported here: while nobody has imported it, there is no task.
"""

from __future__ import annotations

import collections
import gc
import sys
import types
import weakref
from typing import Any, Dict, FrozenSet, Generator, List, Optional, Sequence, Set, Tuple

from leakguard import _compat, facts, origin
from leakguard.model import Leak, printable
from leakguard.probes.protocol import Probe, advice, class_name

_NOTHING: FrozenSet[Any] = frozenset()
_POLL = 0.002
CANCELS = 6
"""How often a leaked task is cancelled before it is taken out of its loop."""
GENERATIONS = 3
"""How often those are cancelled that the last ones made when they were cancelled, before they are taken out, too."""
TURNS_PER_CANCEL = 4
TURN_SECONDS = 0.5
"""How long a loop of another thread is waited for at most until it has made the tasks that it was given."""

_settled = origin.settled_tasks


class TaskProbe(Probe):
    """Finds tasks that a test left pending, on its own loop or another thread's."""

    kind = "task"

    def snapshot(self) -> Any:
        return _NOTHING if _tasks is None and _MODULE not in _modules else _identities()

    def suspects(self, baseline: Any) -> Sequence[Any]:
        if _tasks is None and _MODULE not in _modules:
            return ()
        _catch_up()
        now = _identities()
        if not now:
            return ()
        things = [_thing(identity) for identity in now - baseline]
        tasks = [t for t in things if t is not None and not _is_async_generator(t) and not t.done()]
        generators = [t for t in things if _is_async_generator(t)]
        found = tasks + (_left_suspended(generators) if generators else [])
        found = [t for t in found if t not in _settled and not _only_closes_a_generator(t)] if found else []
        return _in_order(found) if len(found) > 1 else found

    def owner(self, thing: Any) -> Any:
        if _is_async_generator(thing):
            return None
        return origin.owner_of(_compat.task_context(thing), origin.birth_of_task(thing), thing.get_loop())

    def is_noted(self, thing: Any) -> bool:
        return not _is_async_generator(thing)  # its birth, its context or its loop says who made it

    def loop_of(self, thing: Any) -> Any:
        return None if _is_async_generator(thing) else thing.get_loop()

    def names(self, thing: Any) -> Tuple[str, Tuple[str, ...]]:
        if _is_async_generator(thing):
            name = f"{_module_of(thing.ag_frame)}.{thing.__qualname__}"
            return printable(thing.__qualname__), (class_name(thing), name)
        coroutine = thing.get_coro()
        target = _compat.attribute(coroutine, "__qualname__") or type(coroutine).__qualname__
        frame = _frame(coroutine)
        module = _module_of(frame) if frame is not None else type(coroutine).__module__
        return printable(thing.get_name()), (class_name(thing), f"{module}.{target}")

    def origin(self, thing: Any) -> Optional[str]:
        if _is_async_generator(thing):
            return str(origin.place_of(thing.ag_code, -1))
        birth = origin.birth_of_task(thing)
        if birth is not None:
            return origin.origin_of(birth.stack)
        noted = _compat.attribute(thing.get_coro(), "cr_origin")
        if noted:
            return origin.origin_of_traceback(noted)
        closed = _generator_closed_by(thing)
        if closed is not None:  # asyncio made the task, in whatever was going on then
            return str(origin.place_of(closed.ag_code, -1))
        return origin.origin_of_traceback(_compat.debug_stack(thing))

    def may_end(self, thing: Any) -> bool:
        return _is_async_generator(thing) or not thing.get_loop().is_closed()

    def settle(self, suspects: Sequence[Any], timeout: float) -> None:
        _compat.pause(min(timeout, _POLL))

    def describe(self, thing: Any) -> Leak:
        from leakguard import awaiting  # it and what it imports take 2 ms, which only a leak pays

        name, aliases = self.names(thing)
        is_task = not _is_async_generator(thing)
        frames = _await_frames(thing)
        now_at, place, waiting_in = awaiting.of_task(thing if is_task else None, frames)
        created = self.origin(thing)
        return Leak(
            kind=self.kind,
            name=name,
            state="suspended async generator" if _is_async_generator(thing) else "pending",
            owner="",
            origin=created,
            now_at=now_at,
            place=place,
            waiting_in=waiting_in,
            hint=advice(_facts(thing, frames, waiting_in)),
            aliases=aliases,
            awaited_by=awaiting.awaited_by(thing) if is_task else (),
            origin_stack=_origin_stack(thing) if is_task else (),
        )

    def mark(self, things: Sequence[Any]) -> None:
        _settled.update(things)

    def isolate(self, things: Sequence[Any]) -> Generator[None, None, List[Tuple[Any, int]]]:
        """Close leaked generators, cancel leaked tasks; what survives is taken out of its loop, which would wait for ever."""
        tasks = [t for t in things if not _is_async_generator(t)]
        before, owners = _pending_of_tests(), [self.owner(task) for task in tasks]
        left = [(thing, loop) for thing in things if _is_async_generator(thing) for loop in _loops_of(thing)]
        closing = [_close(generator, loop) for generator, loop in left]
        for _ in range(TURNS_PER_CANCEL if closing else 0):
            yield
        went_on = yield from _cancel_until_they_end([*tasks, *closing])
        yield from _cancel_until_they_end(_closing_tasks())  # of the generators that those tasks were using
        for _ in range(GENERATIONS if tasks else 0):  # what those tasks made when they were cancelled
            yield from _cancel_until_they_end(self._made_since(before, owners))
        for task in self._made_since(before, owners):
            _compat.unregister_task(task)
        for generator, loop in left:
            _compat.forget_async_generator(loop, generator)
        earlier = [(task, _compat.cancels_of(task) - CANCELS) for task in tasks if went_on.get(id(task)) == CANCELS]
        return [(task, CANCELS + max(cancels, 0)) for task, cancels in earlier]

    def _made_since(self, before: List[Any], owners: List[Any]) -> List[Any]:
        """The tasks of these owners that were not pending before: the loop would wait for them for ever, too."""
        known, whose = set(map(id, before)), {id(owner) for owner in owners if owner is not None}
        return [task for task in _pending_of_tests() if id(task) not in known and id(self.owner(task)) in whose]

    def allow(self, thing: Any) -> Optional[str]:
        if not (hasattr(thing, "get_coro") and hasattr(thing, "get_loop")):
            return None
        self.mark([thing])
        return self.names(thing)[0]


def _identities() -> Set[Any]:
    """Return an identity of every task, and of the async generators of loops that do not run elsewhere.

    That is a weak reference where Python keeps one. From 3.14 it is the task: ten thousand references cost ten times
    as much as asking for the tasks, and a baseline lasts no longer than its test, class or run.
    """
    global _tasks
    if _tasks is None:
        _tasks = _compat.asyncio_tasks()
        if _tasks is None:
            return _NOTHING  # type: ignore[return-value]
    found: Set[Any] = _compat.global_task_references(_tasks)
    eager = _compat.eager_tasks(_tasks)
    if not found and not eager and not _loops:
        return _NOTHING  # type: ignore[return-value]
    found = found.copy()
    found.update(weakref.ref(task) for task in list(eager))
    for reference in tuple(_loops):
        loop = reference()
        tasks = _tasks.all_tasks(loop) if _compat.TASKS_PER_LOOP and loop is not None else None
        if loop is None or (not tasks and loop.is_closed()):
            _loops.discard(reference)
            continue
        if tasks:
            found |= tasks
        if not loop.is_running() or _runs_here(loop):
            found.update(map(weakref.ref, _compat.loop_async_generators(loop)))
    return found


def _catch_up() -> None:
    """Let loops that run in other threads make the tasks that they were given last."""
    for reference in tuple(_loops):
        loop = reference()
        if loop is not None and loop.is_running() and not _runs_here(loop):
            last = _submitted.pop(weakref.ref(loop), _nothing)()
            if (last is not None and not last.done()) or _compat.has_ready_handles(loop):
                _compat.wait_for_turn(loop, TURN_SECONDS)


def _nothing() -> None:
    return None


def _origin_stack(task: Any) -> Tuple[str, ...]:
    """The stack that made a task, as it was noted: by a hook, or by Python itself in debug mode."""
    noted = origin.birth_texts(origin.birth_of_task(task))
    return noted or origin.traceback_texts(_compat.attribute(task.get_coro(), "cr_origin") or _compat.debug_stack(task))


def _in_order(things: Sequence[Any]) -> List[Any]:
    """Sort tasks as they were made, then those that nobody saw being made by name: a set is in no order."""
    noted = {reference: number for number, reference in enumerate(list(origin.task_births))}

    def key(thing: Any) -> Tuple[int, int, str]:
        if _is_async_generator(thing):
            return len(noted) + 1, 0, str(thing.__qualname__)
        name = str(thing.get_name())  # ``Task-10`` comes after ``Task-9``
        return noted.get(origin.coroutine_key(thing), len(noted)), len(name), name

    return sorted(things, key=key)


def _thing(identity: Any) -> Any:
    return identity() if type(identity) is weakref.ref else identity


_modules, _MODULE = sys.modules, "asyncio.tasks"
_tasks: Any = None
"""The module ``asyncio.tasks``, once somebody has imported it."""

_loops: Set[Any] = origin.loops.data  # type: ignore[attr-defined]
_submitted = origin.submitted


def _runs_here(loop: Any) -> bool:
    return _compat.running_loop() is loop


def _is_async_generator(thing: Any) -> bool:
    return isinstance(thing, types.AsyncGeneratorType)


def _left_suspended(generators: Sequence[Any]) -> List[Any]:
    """Return the generators that no pending task is using: one in use is that task's affair."""
    in_use: Set[int] = set()
    for identity in _identities():
        task = _thing(identity)
        if task is not None and not _is_async_generator(task) and not task.done():
            for coroutine in awaited_chain(task.get_coro()):
                held = gc.get_referents(coroutine, _frame(coroutine))
                in_use.update(map(id, held))
                held = [one for one in held if isinstance(one, types.MethodType) or _is_of_a_context(one)]
                for _ in range(CONTEXTS):
                    held = gc.get_referents(*held)
                    in_use.update(map(id, held))
                    held = [one for one in held if isinstance(one, _CONTAINERS) or _is_of_a_context(one)]
    return [g for g in generators if g.ag_frame is not None and not g.ag_running and id(g) not in in_use]


CONTEXTS = 10
"""How many objects deep a generator may be in the context manager that a frame is inside of."""


def _is_of_a_context(thing: Any) -> bool:
    """Whether this leads to the generator of an ``@asynccontextmanager``, or to those of an ``AsyncExitStack``."""
    maker = thing if isinstance(thing, types.FunctionType) else type(thing)
    return maker.__module__ == "contextlib"


_CONTAINERS = (types.MethodType, types.CellType, tuple, dict, collections.deque)


def _generator_closed_by(task: Any) -> Any:
    """The async generator that a task is to close, None if it does something else."""
    return None if _is_async_generator(task) else _compat.generator_to_close(task.get_coro())


def _only_closes_a_generator(task: Any) -> bool:
    """Whether a task is asyncio's own, made when an async generator that was not exhausted was thrown away, and has yet to begin.

    No ``asyncio.run()`` and no async test leaves one behind; a loop of the test's own may have stopped one turn too early for
    it. Once it waits for something in the generator's ``finally`` it is a task like any other.
    """
    generator = _generator_closed_by(task)
    if generator is None or generator.ag_await is not None:
        return False
    loop = task.get_loop()
    return not loop.is_running() and not loop.is_closed()


def _loops_of_tests() -> Set[Any]:
    """The loops that are tests' own: a check can let them turn."""
    return {guard.loop for guard in list(origin.open_guards) if guard.loop is not None}


def _loops_of(generator: Any) -> List[Any]:
    """The loop that an async generator was left on, in a list, if that is a test's own."""
    return [loop for loop in _loops_of_tests() if generator in _compat.loop_async_generators(loop)]


def _close(generator: Any, loop: Any) -> Any:
    """Return a task of the loop that closes an async generator, whatever its ``finally`` raises."""
    task = loop.create_task(generator.aclose())
    _settled.add(task)
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    return task


def _closing_tasks() -> List[Any]:
    """The pending tasks of tests' own loops that close an async generator: asyncio makes one where one was dropped."""
    return [task for task in _pending_of_tests() if _generator_closed_by(task) is not None]


def _pending_of_tests() -> List[Any]:
    """The pending tasks of tests' own loops."""
    return [task for loop in _loops_of_tests() for task in _compat.tasks_of_loop(loop) if not task.done()]


def _cancel_until_they_end(tasks: Sequence[Any]) -> Generator[None, None, Dict[int, int]]:
    """Cancel tasks a few times, and take out of their loops what goes on; return by id how often each one did."""
    tasks = [task for task in tasks if not task.done()]
    went_on = {id(task): 0 for task in tasks}
    asked = went_on.copy()
    for _ in range(CANCELS if tasks else 0):
        before = asked.copy()
        for task in tasks:
            _cancel(task, asked)
        for _ in range(TURNS_PER_CANCEL if tasks else 0):
            yield
        tasks = [task for task in tasks if not task.done()]
        for task in tasks:  # on a loop that is closed or does not turn here, it may not have been told yet
            is_asked = asked[id(task)] > before[id(task)]
            went_on[id(task)] += is_asked and not _compat.is_being_cancelled(task)
    for task in tasks:
        _compat.unregister_task(task)
    return went_on


def _cancel(task: Any, asked: Dict[int, int]) -> None:
    """Cancel a task, and count it by its id as soon as that is done: another thread's loop may be busy."""

    def cancel() -> None:
        task.cancel()
        asked[id(task)] += 1

    loop = task.get_loop()
    if loop.is_closed():
        return
    try:
        if loop.is_running() and not _runs_here(loop):
            loop.call_soon_threadsafe(cancel)
        else:
            cancel()
    except RuntimeError:
        pass  # the loop was closed in the meantime


def awaited_chain(awaitable: Any) -> List[Any]:
    """The awaitables from a task's coroutine down to the primitive that it waits for, outermost first."""
    chain: List[Any] = []
    while awaitable is not None and len(chain) < 256:
        chain.append(awaitable)
        for name in ("cr_await", "gi_yieldfrom", "ag_await"):
            try:
                awaitable = getattr(awaitable, name)
            except Exception:  # it has none, or is of a class that raises anything else
                continue
            break
        else:
            inner = gc.get_referents(awaitable) if type(awaitable).__name__ in _DRIVERS else ()
            awaitable = next((one for one in inner if _is_awaitable(one)), None)
    return chain


_DRIVERS = ("coroutine_wrapper", "async_generator_asend", "async_generator_athrow", "anext_awaitable")
"""Types of C objects that drive a coroutine or an async generator, which they show to the collector only."""


def _is_awaitable(thing: Any) -> bool:
    is_known = isinstance(thing, (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType))
    return is_known or type(thing).__name__ in _DRIVERS


def _frame(awaitable: Any) -> Any:
    for name in ("cr_frame", "gi_frame", "ag_frame"):
        frame = _compat.attribute(awaitable, name)
        if frame is not None:
            return frame
    return None


def frames_of_task(task: Any) -> List[Any]:
    """Return the frames of a task's coroutine and of what it awaits, outermost first."""
    return [frame for frame in map(_frame, awaited_chain(task.get_coro())) if frame is not None]


def _await_frames(thing: Any) -> List[Any]:
    """Return the frames of where a task or an async generator is suspended, innermost first."""
    return frames_of_coroutine(thing if _is_async_generator(thing) else thing.get_coro())


def frames_of_coroutine(outer: Any) -> List[Any]:
    """Return the frames of where a coroutine is suspended, innermost first."""
    return [frame for frame in map(_frame, awaited_chain(outer)) if frame is not None][::-1]


def _module_of(frame: Any) -> str:
    return str(frame.f_globals.get("__name__", "?")) if frame is not None else "?"


def _is_unstarted(task: Any) -> bool:
    import inspect  # some versions import it with unittest anyway, the others only for a leak

    coroutine = task.get_coro()
    return isinstance(coroutine, types.CoroutineType) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED


def _facts(thing: Any, frames: Sequence[Any], waiting_in: Optional[str]) -> facts.Facts:
    if _is_async_generator(thing) or _generator_closed_by(thing) is not None:
        return facts.Facts("task", flags=frozenset([facts.ASYNC_GENERATOR]))
    birth = origin.birth_of_task(thing)
    entries = _compat.debug_stack(thing) or _compat.attribute(thing.get_coro(), "cr_origin") or ()
    creators, flags = facts.made(birth, entries)
    if birth is not None and birth.extra is not None:
        flags.append(facts.SUBMITTED)
    if not thing.get_loop().is_running():
        flags += [facts.CANCELLED] * _compat.is_being_cancelled(thing) + [facts.UNSTARTED] * _is_unstarted(thing)
    names = frozenset(facts.types_of(thing, thing.get_coro()))
    functions = facts.functions_of(frames) + facts.operations_of(waiting_in)
    return facts.Facts("task", names, functions, creators, frozenset(flags))
