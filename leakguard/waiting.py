"""What a thread waits in, as its user knows it: the operation, and what can be said for certain of its object.

The operation alone, where there is no more to say: ``queue.Queue.get``. Else what is known follows after a comma:
``threading.RLock.acquire, held by thread 'writer'``. The text is the same in every run: a port that the system has
chosen is ``*``, and a thread that has no name of its own is called by its function.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from leakguard import _compat, origin
from leakguard.calls import Call, c_call
from leakguard.holders import holder_of
from leakguard.model import printable

FIRST_EPHEMERAL_PORT = 32768
"""Ports from here on are handed out by the system, so that they differ from run to run (Linux; elsewhere 49152)."""

C_CODE = "C code called at this line"


class Waiting(NamedTuple):
    """Where a thread or a task is."""

    now_at: Tuple[str, ...]
    """Innermost first."""
    place: Optional[str]
    """The one line that is the user's own."""
    waiting_in: Optional[str]


def of_thread(frames: Sequence[Any], ident: int, *, is_blocked: bool = False) -> Waiting:
    """Say what a thread waits in, given its live frames, innermost first and without our own, and its ident.

    One that `is_blocked` surely does not run, whatever instruction it stands at.
    """
    stack = [entry_of(frame) for frame in frames]
    texts = origin.stack_texts(stack)
    place, called = origin.find_place(stack)
    if place < 0:
        return Waiting(texts, None, None)
    try:
        waiting = _operation(frames, called, ident, is_blocked)
    except Exception:  # variables of a thread that runs on may be anything: then the plain name has to do
        waiting = origin.operation(*stack[called]) if called >= 0 else None
    return Waiting(texts, texts[place], waiting)


def entry_of(frame: Any) -> Tuple[Any, int, str]:
    """A live frame as (code, instruction, module)."""
    return frame.f_code, frame.f_lasti, str(frame.f_globals.get("__name__", "?"))


def _operation(frames: Sequence[Any], called: int, ident: int, is_blocked: bool) -> Optional[str]:
    executor = _compat.worker_executor(frames[0])
    if executor is not None:
        return _idle_worker(executor)
    call = c_call(frames[0], is_blocked=is_blocked)
    loop = _waiting_loop(frames[: called + 1], call)
    if loop is not None:
        return _event_loop(loop)
    if called < 0 or (called == 0 and _only_calls(frames[0])):
        name = (call.name or C_CODE) if call is not None else None
        called = 0
    else:
        name = operation_name(frames, called)
    details = [detail for read in _DETAILS for detail in read(frames[: called + 1], call, ident)]
    return ", ".join([name, *details]) if name is not None else None


def operation_name(frames: Sequence[Any], called: int) -> str:
    """The operation of a library's frame; what only stands for ``with`` or ``async for`` gives way to what it calls."""
    while called > 0 and re.fullmatch(r"__\w+__|enter_(async_)?context", frames[called].f_code.co_name):
        called -= 1
    frame = frames[called]
    if frame.f_code.co_name == "__enter__":
        cls = type(frame.f_locals.get("self"))
        return f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}.acquire"  # a lock in C is below
    name = origin.operation(*entry_of(frame))
    if name.startswith("importlib._bootstrap"):
        return "import"
    return _ALIASES.get(name, re.sub(r"^asyncio\.\w*EventLoop\.", "asyncio.loop.", name))


_ALIASES = {
    "multiprocessing.BaseProcess.join": "multiprocessing.Process.join",
    "asyncio.Process.wait": "asyncio.subprocess.Process.wait",
    "asyncio.Process.communicate": "asyncio.subprocess.Process.communicate",
    "asyncio.Process._feed_stdin": "asyncio.subprocess.Process.communicate",
    "asyncio.Process._read_stream": "asyncio.subprocess.Process.communicate",
    "asyncio._AsCompletedIterator._wait_for_one": "asyncio.as_completed",
    "asyncio.as_completed.<locals>._wait_for_one": "asyncio.as_completed",
    "concurrent.futures.Executor.map.<locals>.result_iterator": "concurrent.futures.Executor.map",
    "multiprocessing.Client": "multiprocessing.connection.Client",
    "multiprocessing.Listener.accept": "multiprocessing.connection.Listener.accept",
    "multiprocessing._ConnectionBase.recv": "multiprocessing.connection.Connection.recv",
    "multiprocessing._ConnectionBase.recv_bytes": "multiprocessing.connection.Connection.recv_bytes",
    "multiprocessing._ConnectionBase.poll": "multiprocessing.connection.Connection.poll",
    "socket.SocketIO.readinto": "socket.socket.recv_into",  # for a makefile()
    "socket.SocketIO.write": "socket.socket.send",
    "multiprocessing.wait": "multiprocessing.connection.wait",
    "selectors._PollLikeSelector.select": "selectors.PollSelector.select",
}


def _only_calls(frame: Any) -> bool:
    """Whether a frame is only how the library calls what it was given: then that is what is waited in."""
    return (frame.f_globals.get("__name__"), frame.f_code.co_name) in _CALLERS


_CALLERS = (("threading", "run"), ("concurrent.futures.thread", "run"), ("contextlib", "enter_context"))


# -- executors and loops -------------------------------------------------------------------------


def _idle_worker(executor: Any) -> str:
    text = "concurrent.futures.ThreadPoolExecutor's queue (idle worker)"
    prefix = _compat.executor_prefix(executor)
    return text if re.fullmatch(r"(ThreadPoolExecutor-\d+)?", prefix) else f"{text}, executor {printable(prefix)!r}"


def _waiting_loop(frames: Sequence[Any], call: Optional[Call]) -> Any:
    """The event loop that waits for what comes next, if that is all that a thread does."""
    if call is not None and call.attribute in ("run_forever", "run_until_complete"):
        return call.owner if _compat.is_event_loop(call.owner) else None  # one in C: uvloop
    for frame in frames:
        if frame.f_globals.get("__name__") not in ("selectors", "asyncio.base_events", "asyncio.windows_events"):
            return None  # it runs a callback
        if frame.f_code.co_name == "run_forever":
            return frame.f_locals.get("self")
    return None


def _event_loop(loop: Any) -> str:
    number = _compat.pending_tasks(loop)
    if number is None:
        return "asyncio event loop"
    return f"asyncio event loop, {number or 'no'} pending task{'' if number == 1 else 's'}"


# -- details -------------------------------------------------------------------------------------


def _lock(frames: Sequence[Any], call: Optional[Call], ident: int) -> Iterator[str]:
    if call is not None and isinstance(call.name, str) and call.name.endswith(".acquire"):
        holder = holder_of(call.owner, ident)
        if holder is not None:
            yield f"held by {thread_text(holder)}"


def _self(frames: Sequence[Any], function: str, module: str) -> Any:
    """The object whose method is running, by the names of the method and its module."""
    for frame in frames:
        if frame.f_code.co_name == function and frame.f_globals.get("__name__") == module:
            return frame.f_locals.get("self")
    return None


def _joined(frames: Sequence[Any], call: Optional[Call], ident: int) -> Iterator[str]:
    thread = _self(frames, "join", "threading")
    if thread is not None:
        yield f"for {thread_text(thread)}"
    process = _self(frames, "join", "multiprocessing.process")
    if process is not None:
        name = re.sub(r"^(\w*Process)-[\d:]+$", r"\1-*", printable(process.name))  # numbered by Python
        yield f"for process {name!r}"
    queue = _self(frames, "join", "queue")
    if queue is not None:
        yield f"{queue.unfinished_tasks} unfinished task{'' if queue.unfinished_tasks == 1 else 's'}"


def _barrier(frames: Sequence[Any], call: Optional[Call], ident: int) -> Iterator[str]:
    for frame in frames:
        barrier: Any = frame.f_locals.get("self") if frame.f_globals.get("__name__") == "threading" else None
        if _compat.is_of(barrier, threading.Barrier):
            yield f"{barrier.n_waiting} of {barrier.parties} there"
            return


def _child(frames: Sequence[Any], call: Optional[Call], ident: int) -> Iterator[str]:
    cls = getattr(sys.modules.get("subprocess"), "Popen", ())
    for frame in reversed(frames):
        popen: Any = frame.f_locals.get("self") if frame.f_globals.get("__name__") == "subprocess" else None
        if _compat.is_of(popen, cls):
            yield f"for {command_text(popen.args)}"
            return


def _socket(frames: Sequence[Any], call: Optional[Call], ident: int) -> Iterator[str]:
    candidates = [call.owner if call is not None else None, *(f.f_locals.get("self") for f in reversed(frames))]
    cls: Any = getattr(sys.modules.get("socket"), "SocketType", ())
    sock = next((thing for thing in candidates if _compat.is_of(thing, cls)), None)
    is_connecting = call is not None and call.attribute == "connect"
    yield from socket_text(sock, call.argument if is_connecting and call is not None else None)


_DETAILS: Tuple[Callable[[Sequence[Any], Optional[Call], int], Iterator[str]], ...] = (
    _lock, _joined, _barrier, _child, _socket
)  # fmt: skip


# -- words ---------------------------------------------------------------------------------------


def thread_text(thread: Any) -> str:
    """``thread 'reader'``; one that Python has numbered is called by its function: numbers differ from run to run."""
    name = printable(thread.name)
    if not re.fullmatch(r"Thread-\d+( \(.*\))?|ThreadPoolExecutor-\d+_\d+", name):
        return f"thread {name!r}"
    target = _compat.thread_target(thread)
    return f"a thread of {printable(_compat.attribute(target, '__qualname__') or type(target).__qualname__)}"


def command_text(command: Any) -> str:
    """A command in quotes, as one line."""
    is_one = isinstance(command, (str, bytes)) or hasattr(command, "__fspath__")
    words: List[Any] = [command] if is_one else list(command)
    return repr(printable(" ".join(w.decode("utf-8", "replace") if isinstance(w, bytes) else str(w) for w in words)))


def addresses_text(read_here: Callable[[], Any], read_peer: Callable[[], Any], peer: Any = None) -> Iterator[str]:
    """``from 127.0.0.1:* to 127.0.0.1:8000`` of a connection, ``on 127.0.0.1:8000`` of what has no peer."""
    here, there = address_text(read_here), address_text(read_peer) or address_text(lambda: peer)
    if here and there:
        yield f"from {here} to {there}"
    elif here:
        yield f"on {here}"
    elif there:
        yield f"to {there}"


def socket_text(sock: Any, peer: Any = None) -> Iterator[str]:
    """The same of a socket, whatever a subclass makes of its methods; nothing of what is none."""
    cls: Any = getattr(sys.modules.get("socket"), "SocketType", ())
    if _compat.is_of(sock, cls):
        yield from addresses_text(lambda: cls.getsockname(sock), lambda: cls.getpeername(sock), peer)


def address_text(read: Callable[[], Any]) -> str:
    """The address that a socket says it has, ``127.0.0.1:8000`` or a path, "" for none."""
    try:
        address = read()
    except OSError:
        return ""  # not connected, or closed in the meantime
    if isinstance(address, tuple) and len(address) > 1 and isinstance(address[1], int):
        return f"{address[0]}:{'*' if address[1] >= FIRST_EPHEMERAL_PORT else address[1]}"
    return printable(os.fsdecode(address)) if isinstance(address, (str, bytes)) else ""
