"""What a task waits in, as its user knows it, and who waits for the task.

The operation that its own code awaits, ``asyncio.Queue.get``; after a comma what is known of it: ``asyncio.gather, for
task 'reader'``. asyncio is never imported here: whoever has a task has done that.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from leakguard import _compat, origin
from leakguard.model import printable
from leakguard.waiting import Waiting, addresses_text, entry_of, operation_name, socket_text

SHOWN = 3
"""Tasks that are named in one line at most; of more, only their number is said."""


def of_task(task: Any, frames: Sequence[Any]) -> Waiting:
    """Say what a task waits in, given the frames from its coroutine to the primitive, innermost first.

    `task` is None for an async generator.
    """
    stack = [entry_of(frame) for frame in frames]
    texts = origin.stack_texts(stack)
    place, called = origin.find_place(stack)
    if place < 0:
        return Waiting(texts, None, None)
    try:
        waiting = _operation(frames, called, _compat.task_waiter(task))
    except Exception:  # variables of the user's coroutines may be anything: then the plain name has to do
        waiting = origin.operation(*stack[called]) if called >= 0 else None
    return Waiting(texts, texts[place], waiting)


def _operation(frames: Sequence[Any], called: int, future: Any) -> Optional[str]:
    if called < 0 or (called == 0 and frames[0].f_code.co_name == "__await__"):  # a future that is not written in C
        return _future_text(future) if future is not None else None
    name = operation_name(frames, called)
    if name.startswith("asyncio.TaskGroup."):  # the end of its block, by whatever private name
        name = "asyncio.TaskGroup"
    details = [*_objects(name, frames, called, future), *_addresses(frames[: called + 1])]
    return ", ".join([name, *details])


def _future_text(future: Any) -> str:
    """What code of the user's awaits itself."""
    if _is_task(future):
        return task_text(future)
    for callback in _compat.future_callbacks(future):
        inner = _compat.closed_over(callback)
        name = str(_compat.attribute(callback, "__qualname__"))
        if name.startswith("shield.") and _compat.is_future(inner.get("inner")):
            return f"asyncio.shield, for {_future_text(inner['inner'])}"
        if name.startswith("_chain_future.") and "source" in inner and not _compat.is_future(inner["source"]):
            return "concurrent.futures.Future"  # run_in_executor and wrap_future make one of asyncio's of it
    parts = _compat.future_parts(future)
    if parts:
        return f"asyncio.gather, for {_texts(parts)}"
    return "asyncio.Future"


def _objects(name: str, frames: Sequence[Any], called: int, future: Any) -> Iterator[str]:
    """The tasks that an operation of asyncio's waits for."""
    frame = frames[called]
    if name == "asyncio.TaskGroup":
        tasks = _compat.group_tasks(frame.f_locals.get("self"))
        if tasks:
            yield f"for {_texts(tasks)}"
    elif name == "asyncio.wait":
        tasks = [one for one in frames[called].f_locals.get("fs", ()) if not one.done()]
        if tasks:
            yield f"for {_texts(tasks)}"
    elif name == "asyncio.wait_for":
        inner = frame.f_locals.get("fut")
        if called > 0:
            yield f"for {operation_name(frames, called - 1)}"
        elif _compat.is_future(inner):  # a task of its own up to 3.11, or what was given
            yield f"for {_future_text(inner)}"
    elif future is not None and _is_task(future):
        yield f"for {task_text(future)}"


def _addresses(frames: Sequence[Any]) -> Iterator[str]:
    """Where the stream or socket is connected that is read from or written to."""
    for frame in frames:
        if frame.f_globals.get("__name__") == "asyncio.selector_events" and "sock" in frame.f_locals:
            yield from socket_text(frame.f_locals["sock"], frame.f_locals.get("address"))
            return
        reader = frame.f_locals.get("self") if frame.f_globals.get("__name__") == "asyncio.streams" else None
        transport = _compat.stream_transport(reader)
        if transport is not None:
            read = transport.get_extra_info
            yield from addresses_text(lambda: read("sockname"), lambda: read("peername"))
            return


def _is_task(future: Any) -> bool:
    return hasattr(future, "get_coro")


def task_text(task: Any) -> str:
    """``task 'ping'``; one that Python has numbered is called by its coroutine, as numbers differ from run to run."""
    name = printable(task.get_name())
    if not re.fullmatch(r"Task-\d+", name):
        return f"task {name!r}"
    coroutine = task.get_coro()
    frame = _compat.attribute(coroutine, "cr_frame")
    if frame is not None and origin.rank(frame.f_code.co_filename) == origin.STDLIB:
        return operation_name([frame], 0)
    return f"a task of {printable(_compat.attribute(coroutine, '__qualname__') or type(coroutine).__qualname__)}"


def _texts(futures: Sequence[Any]) -> str:
    """Some tasks and futures in words, in an order that does not depend on where they are in memory."""
    if len(futures) > SHOWN:
        return f"{len(futures)} tasks"
    return ", ".join(sorted(map(_future_text, futures)))


def awaited_by(task: Any) -> Tuple[str, ...]:
    """Return the tasks that wait for a task, directly or by way of futures: of a ``gather``, a ``shield``, a group."""
    found: List[str] = []
    seen, left = {id(task)}, [task]
    while left and len(seen) < 256:
        for awaiter in _compat.direct_awaiters(left.pop()):
            if id(awaiter) not in seen:
                seen.add(id(awaiter))
                if _is_task(awaiter):
                    found.append(task_text(awaiter))
                else:
                    left.append(awaiter)
    return tuple(sorted(found))
