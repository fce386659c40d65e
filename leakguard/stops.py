"""How a hub is stopped: the steps for each kind of object.

Steps are a generator, so that sync and async tests share them: it yields an awaitable to have it awaited, and None to
wait a little.
"""

from __future__ import annotations

import errno
import functools
import inspect
import sys
import threading
import types
from typing import Any, Callable, Generator, Iterable, List, Optional, Sequence, Tuple, Type

from leakguard import _compat
from leakguard.hub import has, plural, threads_of
from leakguard.model import printable

Steps = Generator[Any, Any, None]

FIRST = ("aclose", "cleanup", "stop", "close", "shutdown", "server_close")
"""The verbs that stop something, best first: of an object that has several, one is the whole and the rest are its parts.

``aclose`` is the async one where ``close`` is deprecated (redis, httpx); ``cleanup`` includes ``shutdown`` (aiohttp).
In an async test what must be awaited comes before what need not be: it is the whole (aiosqlite's ``close``, not ``stop``).
"""

THEN = ("close_all_connections", "server_close", "wait_closed", "join")
"""What is called after the first: tornado's, socketserver's, asyncio's and websockets', a pool's."""

OF_THREADS = ("stop", "shutdown", "close", "cancel", "quit")
"""The verbs of a thread, best first; it is joined in any case."""

WANTED = (
    f"{', '.join(name + '()' for name in FIRST)}, or a task or future, a thread with {', '.join(OF_THREADS)}, "
    "a process, an executor, a server, an event loop, an entered context manager"
)

CLOSED_ALREADY = (
    *("already closed", "already been closed", "already stopped", "already shut down", "already been shut down"),
    *("is closed", "is not registered", "not running", "not started", "is not entered"),
)
"""Parts of what libraries say when something is closed a second time."""

USED_TOO_LATE = ("event loop is closed",)
"""Parts of what is said where a stop used something that had been closed before the hub was."""

CANCEL_AGAIN = 1.0
"""Seconds that a cancelled task has for its own cleaning up before it is cancelled once more."""


def stopper(hub: Any, stop: Optional[Callable[[], Any]], is_async: bool) -> Callable[[List[str]], Steps]:
    """Return what makes the steps that stop `hub`; they append to a list what they had to force.

    Raises TypeError if nothing is known that stops it, or if that must be awaited and `is_async` is false.
    """
    if stop is not None:
        if _is_generator(stop):
            raise TypeError("addHub's stop must be a function, sync or async (got a generator function)")
        return functools.partial(_by_calls, [stop], is_users=True)
    if has(hub, "cancel", "done", "result"):
        return functools.partial(_by_cancelling, hub)
    if has(hub, "terminate", "kill", "pid"):
        return functools.partial(_by_ending, hub)
    if has(hub, "run_forever", "call_soon_threadsafe", "is_closed"):
        return functools.partial(_by_stopping, hub)
    if has(hub, "submit", "shutdown", "map"):
        return functools.partial(_by_releasing, hub)
    if has(hub, "close", "is_serving", "wait_closed", "start_serving") and not hasattr(hub, "connections"):
        return functools.partial(_by_closing, hub)
    if hasattr(hub, "should_exit") and has(hub, "serve"):  # uvicorn: whoever serves looks at it
        return functools.partial(_by_calls, [functools.partial(setattr, hub, "should_exit", True)])
    calls = _verbs(hub, is_async)
    kind = type(hub).__qualname__
    if not calls:
        raise TypeError(f"addHub cannot stop a {kind}: it has none of {WANTED}; pass stop=")
    for call in calls:
        if _is_generator(call):
            what = f"{kind}.{call.__name__}()"
            raise TypeError(f"addHub cannot stop a {kind}: {what} is a generator, and a call of it does nothing; pass stop=")
    awaited = [] if is_async else [call for call in calls if _is_coroutine(call)]
    if awaited:
        what = getattr(awaited[0], "__qualname__", "its stop")
        raise TypeError(f"addHub cannot await {what}() here: use LeakGuardAsyncTestCase, or pass a stop= that is not async")
    return functools.partial(_by_verbs, hub, is_async)


def _verbs(hub: Any, is_async: bool) -> List[Callable[[], Any]]:
    """Return what is to be called, in order; a method that wants arguments is none of the verbs."""
    if isinstance(hub, threading.Thread):
        return _verbs_of_thread(hub, is_async)
    usable = {name: method for name, method in _methods(hub, FIRST) if _takes_nothing(method)}
    if not usable:
        return _exits(hub)
    awaited = [name for name in usable if _is_coroutine(usable[name])] if is_async and len(usable) > 1 else []
    first = awaited[0] if awaited else next(iter(usable))
    if first == "shutdown" and has(hub, "serve_forever", "server_close") and not (threads_of(hub) or _is_serving(hub)):
        first = "server_close"  # socketserver's shutdown() waits for ever for a serve_forever() that nobody called
    more = [method for name, method in _methods(hub, THEN) if name != first and _takes_nothing(method)]
    return [usable[first], *more]


def _verbs_of_thread(thread: Any, is_async: bool) -> List[Callable[[], Any]]:
    usable = [method for _, method in _methods(thread, FIRST) if _takes_nothing(method)]
    awaited = [method for method in usable if _is_coroutine(method)]
    if awaited:
        return (awaited if is_async else usable)[:1]
    return [method for _, method in _methods(thread, OF_THREADS) if _takes_nothing(method)][:1]


def _methods(hub: Any, names: Iterable[str]) -> Iterable[Tuple[str, Any]]:
    for name in names:
        method = getattr(hub, name, None)
        if method is not None:
            yield name, method


def _is_coroutine(function: Any) -> bool:
    code = getattr(function, "__code__", None)  # as `inspect` says, but fast
    return inspect.iscoroutinefunction(function) if code is None else bool(code.co_flags & inspect.CO_COROUTINE)


def _is_generator(function: Any) -> bool:
    """Whether calling a function only makes a generator; a decorated coroutine of ``types.coroutine`` is none."""
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & _GENERATORS) and not code.co_flags & inspect.CO_ITERABLE_COROUTINE


_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def _takes_nothing(method: Any) -> bool:
    if not callable(method):
        return False
    function = getattr(method, "__func__", None)
    if isinstance(method, types.MethodType) and isinstance(function, types.FunctionType):  # as `inspect` says, but fast
        wanted = function.__code__.co_argcount - 1 - len(function.__defaults__ or ())
        return wanted <= 0 and function.__code__.co_kwonlyargcount <= len(function.__kwdefaults__ or ())
    try:
        inspect.signature(method).bind()
    except TypeError:
        return False
    except ValueError:
        pass  # C code without a signature
    return True


def _exits(hub: Any) -> List[Callable[[], Any]]:
    """The way out of an entered context manager, async before sync."""
    leave = getattr(hub, "__aexit__", None) or getattr(hub, "__exit__", None)
    return [functools.partial(_leave, hub, leave)] if leave is not None and not isinstance(hub, type) else []


def _leave(hub: Any, leave: Callable[..., Any]) -> Any:
    """Leave a context manager; what contextlib makes of a generator says whether it was entered."""
    generator: Any = getattr(hub, "gen", None)
    is_one = inspect.isgenerator(generator) or inspect.isasyncgen(generator)
    if is_one and _compat.has_not_begun(generator):
        raise TypeError(f"{generator.__qualname__}() was given to addHub, and never entered")
    return leave(None, None, None)


def _is_serving(server: Any) -> bool:
    """Whether some thread is inside the server's ``serve_forever()``."""
    return any(
        frame.f_code.co_name == "serve_forever" and frame.f_locals.get("self") is server
        for top in sys._current_frames().values()
        for frame in _stack(top)
    )


def _stack(frame: Any) -> Iterable[Any]:
    while frame is not None:
        yield frame
        frame = frame.f_back


# -- steps ---------------------------------------------------------------------------------------


def _by_verbs(hub: Any, is_async: bool, forced: List[str]) -> Steps:
    """Call the hub's verbs: those that fit now, since it may have begun to serve since it was registered."""
    yield from _by_calls(_verbs(hub, is_async), forced)


def _by_calls(calls: Sequence[Callable[[], Any]], forced: List[str], is_users: bool = False) -> Steps:
    """Call one after the other; an error of one does not keep the next from being called, the first error is raised."""
    errors = []
    for call in calls:
        try:
            made = call()
            if made is not None and inspect.isawaitable(made):
                yield made
        except errors_of_a_stop() as error:  # it is raised below, or said
            if is_closed_already(error) and not is_users:
                forced.append(f"it was closed already ({printable(error)})")
            else:
                errors.append(error)
    for other in errors[1:]:
        forced.append(f"another error on the way: {type(other).__name__}: {printable(other)}")
    if errors:
        raise errors[0]


def errors_of_a_stop() -> Tuple[Type[BaseException], ...]:
    """What a stop may raise that keeps no other from being called; a KeyboardInterrupt is none, it ends the run."""
    asyncio = sys.modules.get("asyncio")
    return (Exception, SystemExit) if asyncio is None else (Exception, SystemExit, asyncio.CancelledError)


def is_closed_already(error: BaseException) -> bool:
    """Whether an error only says that what is to be closed is closed."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.EBADF, errno.ENOTCONN)
    text = printable(error).lower()
    says_so = any(part in text for part in CLOSED_ALREADY) and not any(part in text for part in USED_TOO_LATE)
    return isinstance(error, (RuntimeError, ValueError, OSError)) and says_so


def _by_cancelling(future: Any, forced: List[str]) -> Steps:
    """Cancel, and again for each second that it goes on: libraries swallow a cancellation now and then."""
    times = 0
    while not future.done():
        future.cancel()
        times += 1
        end = _compat.clock() + CANCEL_AGAIN
        while not future.done() and _compat.clock() < end:
            yield None
    if times > 1:
        forced.append(f"it went on after {plural(times - 1, 'cancellation')}")


def _by_ending(process: Any, forced: List[str]) -> Steps:
    """Terminate a process, and kill it if it has not ended half a second later."""
    yield from _end(process.terminate, process, patience=0.5)
    if _is_running(process):
        forced.append(f"process {process.pid} ignored terminate() and was killed")
        yield from _end(process.kill, process, patience=float("inf"))
    if hasattr(process, "wait"):
        made = process.wait()  # it has ended: this only puts its status away
        if inspect.isawaitable(made):
            yield made
    elif hasattr(process, "join"):
        process.join()
    for name in ("stdin", "stdout", "stderr"):
        pipe: Any = getattr(process, name, None)
        if hasattr(pipe, "close") and hasattr(pipe, "fileno"):
            try:
                pipe.close()
            except OSError:
                pass  # what was still to be written to it is of no use to a process that has ended


def _end(how: Callable[[], None], process: Any, patience: float) -> Steps:
    if _is_running(process):
        try:
            how()
        except ProcessLookupError:
            pass  # it ended just now
    end = _compat.clock() + patience
    while _is_running(process) and _compat.clock() < end:
        yield None


def _is_running(process: Any) -> bool:
    if hasattr(process, "is_alive"):
        return process.pid is not None and bool(process.is_alive())
    if hasattr(process, "poll"):
        return process.poll() is None
    return getattr(process, "returncode", 0) is None


def _by_releasing(executor: Any, forced: List[str]) -> Steps:
    """Let an executor's workers go without waiting in it, which nothing could end; its threads are waited for after."""
    workers = threads_of(executor)
    given = _compat.cancel_work(executor)
    try:
        inspect.signature(executor.shutdown).bind(wait=False, cancel_futures=True)
    except TypeError:  # a subclass with the arguments of Python 3.8
        executor.shutdown(False)
    else:
        executor.shutdown(wait=False, cancel_futures=True)
    while any(thread.is_alive() for thread in workers):
        yield None
    not_run = sum(future.cancelled() for future in given)
    if not_run:
        forced.append(f"{plural(not_run, 'call')} not run")


def _by_stopping(loop: Any, forced: List[str]) -> Steps:
    """Stop an event loop that runs in another thread, then close it; its tasks are left to the leak check."""
    runners = threads_of(loop)  # one that is about to run it, too
    if runners or loop.is_running():
        loop.call_soon_threadsafe(loop.stop)
    while loop.is_running() or any(thread.is_alive() for thread in runners):
        yield None
    loop.close()


def _by_closing(server: Any, forced: List[str]) -> Steps:
    """Close an asyncio server and the connections of its clients: nobody else will, and from 3.12 it waits for them."""
    server.close()
    transports = _compat.server_transports(server)
    for transport in transports:
        transport.close()
    end = _compat.clock() + 0.5
    while any(t in transports for t in _compat.server_transports(server)) and _compat.clock() < end:
        yield None
    for transport in _compat.server_transports(server):
        transport.abort()  # a client that does not read what is still to be sent to it
    yield server.wait_closed()
