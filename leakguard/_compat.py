"""Every private or version-dependent name of the standard library, one function each.

Each docstring names the versions. Nothing else in the package may touch a private name.
"""

from __future__ import annotations

import _thread
import contextlib
import functools
import gc
import itertools
import os
import signal
import stat
import sys
import threading
import time
import types
import warnings
import weakref
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

try:
    import _locale
except ImportError:  # pragma: no cover - a Python without locales
    _locale = None  # type: ignore[assignment]

__unittest = True

# -- time: out of reach of tests that freeze or replace it ---------------------------------------


def clock(_read: Callable[[], float] = time.perf_counter) -> float:
    """Return seconds of a clock that tests cannot freeze.

    freezegun replaces every module attribute that is a clock, and mocks replace the attribute of
    ``time``: a default argument is out of their reach. time-machine changes the functions themselves, in C:
    2.19 ``time.monotonic`` too, 3.6 not; neither touches ``perf_counter``.
    """
    return _read()


def today(_read: Callable[[], float] = time.time, _split: Callable[[float], Any] = time.gmtime) -> str:
    """The day in UTC, ``2026-11-24``, out of reach of tests that freeze time as `clock` is."""
    now = _split(_read())
    return f"{now.tm_year:04d}-{now.tm_mon:02d}-{now.tm_mday:02d}"


def pause(seconds: float, _allocate: Callable[[], Any] = _thread.allocate_lock) -> None:
    """Sleep for real: a lock's own timeout, since tests replace ``time.sleep`` and ``select.select``."""
    if seconds > 0:
        lock = _allocate()
        lock.acquire()
        lock.acquire(True, seconds)


def wait_for_turn(loop: Any, seconds: float, _allocate: Callable[[], Any] = _thread.allocate_lock) -> None:
    """Wait until a loop that runs in another thread has called all that it was given before, so many seconds at most."""
    lock = _allocate()
    lock.acquire()
    try:
        loop.call_soon_threadsafe(lock.release)
    except RuntimeError:  # pragma: no cover - a race
        return  # it was closed just now
    lock.acquire(True, seconds)


# -- the system: out of reach of tests that replace its functions --------------------------------

_fstat, _listdir, _readlink, _stat = os.fstat, os.listdir, os.readlink, os.stat
open_file, kill, collect = open, os.kill, gc.collect
_waitid: Any = getattr(os, "waitid", None)

# -- threading -----------------------------------------------------------------------------------

THREAD, TIMER_THREAD = threading.Thread, threading.Timer
"""The classes themselves, whatever a test has put in their place."""

live_threads: Dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]
"""ident -> Thread of all threads that `threading` knows; ``threading.enumerate()`` without its lock.

The dict is never replaced, not even after a fork (3.9 to 3.15).
"""

starting_threads: Dict[Any, threading.Thread] = threading._limbo  # type: ignore[attr-defined]
"""Threads between ``start()`` and their first instruction (3.9 to 3.15)."""

raw_thread_count: Callable[[], int] = _thread._count
"""How many threads Python itself started and are running, raw ones included (3.9 to 3.15)."""

DummyThread: type = threading._DummyThread
"""The class of entries for threads that Python did not start (3.9 to 3.15)."""


def is_dummy(thread: Any) -> bool:
    """Whether this is the entry of a thread that Python did not start."""
    return is_of(thread, DummyThread)


def is_only_thread() -> bool:
    """Whether no other thread runs Python code, one that is unknown to `threading` included."""
    return len(sys._current_frames()) == 1


def join_thread(thread: Any, timeout: float, _join: Callable[..., None] = threading.Thread.join) -> None:
    """Wait for a thread to end. The plain join: a subclass may override it to stop the thread, and so hide the leak.

    Up to 3.12 a Ctrl-C in the middle of ``join()`` makes it take the thread for ended, so its lock is waited for instead.
    """
    lock = getattr(thread, "_tstate_lock", None)
    if lock is None:
        _join(thread, timeout)
    elif lock.acquire(timeout=timeout):
        lock.release()
        thread.is_alive()  # as join() does: it is noted as ended


def is_thread_alive(thread: threading.Thread, _is_alive: Callable[..., bool] = threading.Thread.is_alive) -> bool:
    """Whether a thread has not ended; for a `_DummyThread`, whether its system thread still runs Python.

    Up to 3.12 a `_DummyThread` says that it is alive for ever: the table of current frames tells.
    """
    if is_dummy(thread):
        return thread.ident in sys._current_frames()
    try:
        return _is_alive(thread)
    except (AssertionError, RuntimeError, AttributeError):
        return False  # __init__ was never called, or a fork has just reset it


def thread_target(thread: threading.Thread) -> Any:
    """The function that a thread runs: its ``_target``, else its own ``run`` (3.9 to 3.15)."""
    target = getattr(thread, "_target", None)
    return target if target is not None else getattr(type(thread), "run", None)


_RLock: Any = getattr(_thread, "RLock", ())

PLAIN_LOCK: type = _thread.LockType
"""The class of ``threading.Lock()`` (3.9 to 3.15)."""


def is_rlock(lock: Any) -> bool:
    """Whether a lock knows its owner: implemented in C, or in Python (3.9 to 3.15)."""
    return is_of(lock, (_RLock, threading._PyRLock))  # type: ignore[attr-defined]


def rlock_owner(lock: Any) -> Optional[int]:
    """The ident of the thread that holds an RLock, else None; the one in C says it in its repr only (3.9 to 3.15)."""
    if isinstance(lock, threading._PyRLock):  # type: ignore[attr-defined]
        owner = getattr(lock, "_owner", None)
        return int(owner) if owner else None
    words = str(_RLock.__repr__(lock)).split("owner=")
    return int(words[-1].split()[0]) or None if len(words) > 1 else None


def condition_lock(condition: Any) -> Any:
    """The lock below a ``threading.Condition``, which its ``wait`` lets go (3.9 to 3.15)."""
    return getattr(condition, "_lock", None)


def at_threading_exit(function: Callable[[], None]) -> None:
    """Call `function` when the interpreter is about to wait for non-daemon threads.

    ``threading._register_atexit`` (3.9 to 3.15) runs before that wait, ``atexit`` after it. The callbacks
    run last registered first, so one registered after ``concurrent.futures`` was imported comes before
    its wait for workers. Too late, at interpreter shutdown: nothing is registered.
    """
    try:
        threading._register_atexit(function)  # type: ignore[attr-defined]
    except RuntimeError:
        pass


_TASKS = "/proc/self/task"

HAS_SYSTEM_THREADS = os.path.isdir(_TASKS)
"""Whether the system lists the threads of a process, those that Python does not know among them: Linux does."""


def system_threads() -> List[int]:
    """The system's ids of all threads of the process but the main one."""
    main = os.getpid()
    return [number for number in map(int, _listdir(_TASKS)) if number != main] if HAS_SYSTEM_THREADS else []


def system_thread_start(number: int) -> str:
    """When a thread was started, in ticks since the system was; "" if it has ended: dead ones are still listed."""
    try:
        with open_file(f"{_TASKS}/{number}/stat", "rb", buffering=0) as file:
            fields = file.read(4096).rpartition(b") ")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def system_thread_name(number: int) -> str:
    """The name of a thread as the system has it: that of the process, unless it was given one; "" if it has ended."""
    try:
        with open_file(f"{_TASKS}/{number}/comm", "rb", buffering=0) as file:
            return file.read(4096).decode("utf-8", "backslashreplace").rstrip("\n")
    except OSError:
        return ""


class ThreadTimes(NamedTuple):
    """What a thread has done until now, in seconds."""

    slept: float
    """The clock, less what whoever asks has run and waited to run: he may keep others from running while he does."""
    running: float
    """How long the thread has been on a processor."""
    queued: float
    """How long it was ready to run, and waited for one."""


def thread_times(number: Any) -> Optional[ThreadTimes]:
    """The times of the thread that the system knows by a number; None where they are not to be had: Linux keeps them."""
    own, its = _schedule_of(_thread.get_native_id()), _schedule_of(number)
    return ThreadTimes(clock() - sum(own), *its) if own and its else None


def _schedule_of(number: Any) -> Sequence[float]:
    """The seconds that a thread was on a processor and waited for one; some kernels have the file and do not count."""
    try:
        with open_file(f"{_TASKS}/{number}/schedstat", "rb", buffering=0) as file:
            running, queued, _ = map(int, file.read(4096).split())
    except (OSError, ValueError):
        return ()
    return (running / 1e9, queued / 1e9) if running else ()


def raw_native_ids() -> List[int]:
    """The system's ids of threads that run Python code and that `threading` does not list.

    Python keeps no such id of a raw thread. Linux encodes it in the number of the thread's CPU clock:
    ``time.pthread_getcpuclockid`` (3.9 to 3.15, glibc and musl). That must not be asked of a thread that has ended, so
    all of it is one call in C, in which no other thread gets its turn: what is in the table of frames is alive.
    """
    ask = getattr(time, "pthread_getcpuclockid", None)
    if ask is None or sys._current_frames().keys() <= live_threads.keys():
        return []
    table = itertools.islice(iter(sys._current_frames, None), 1)
    clocks = list(map(ask, itertools.chain.from_iterable(table)))
    return [~(clock >> 3) for clock in clocks]


# -- concurrent.futures --------------------------------------------------------------------------


def worker_executor(frame: Any) -> Any:
    """The executor whose idle worker's top frame this is, else None (3.9 to 3.15).

    An idle worker of a ThreadPoolExecutor waits in C below ``concurrent.futures.thread._worker``,
    which holds a weak reference to its executor.
    """
    code = frame.f_code
    if code.co_name != "_worker" or frame.f_globals.get("__name__") != "concurrent.futures.thread":
        return None
    reference = frame.f_locals.get("executor_reference")
    return reference() if reference is not None else None


def job_classes() -> List[Any]:
    """The class of the jobs of a ThreadPoolExecutor, made with a future first of all, in a list: empty before the import."""
    cls = getattr(sys.modules.get("concurrent.futures.thread"), "_WorkItem", None)
    return [cls] if cls is not None else []


def running_job(frame: Any) -> Any:
    """The future of the job that a worker of a ThreadPoolExecutor is at, by a frame of its thread; else None (3.9 to 3.15)."""
    code = next((cls.run.__code__ for cls in job_classes()), None)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return getattr(frame.f_locals.get("self"), "future", None) if frame is not None else None


def cancel_work(executor: Any) -> List[Any]:
    """Cancel what a thread pool has not begun, as its ``shutdown(cancel_futures=True)`` will; return all such futures.

    Of a process pool those that it has not finished: its own shutdown decides which it can cancel (3.9 to 3.15).
    """
    futures = [item.future for item in list(getattr(executor, "_pending_work_items", {}).values())]
    queue: Any = getattr(executor, "_work_queue", None)
    wakes_up = False
    while hasattr(queue, "get_nowait") and not queue.empty():
        try:
            item = queue.get_nowait()
        except Exception:  # pragma: no cover - a race: `queue.Empty`, a worker was quicker
            break
        if item is None:  # wakes a worker of one that is shut down
            wakes_up = True
        else:
            item.future.cancel()
            futures.append(item.future)
    if wakes_up:
        queue.put(None)
    return futures
def executor_prefix(executor: Any) -> str:
    """The ``thread_name_prefix`` of an executor; the library's own, with a number, if none was given (3.9 to 3.15)."""
    return str(getattr(executor, "_thread_name_prefix", ""))


def is_asyncio_executor(executor: Any) -> bool:
    """Whether an event loop made this executor for itself: asyncio names it so (3.9 to 3.15), and uvloop."""
    return getattr(executor, "_thread_name_prefix", None) in DEFAULT_EXECUTORS


DEFAULT_EXECUTORS = ("asyncio", "uvloop")
"""What the names of the workers of a loop's default executor begin with."""


def default_executor(loop: Any) -> Any:
    """The default executor of an event loop, or None (3.9 to 3.15; uvloop does not show its own)."""
    return getattr(loop, "_default_executor", None)


def detach_default_executor(loop: Any) -> None:
    """Keep the loop's close from waiting for a default executor that is stuck (3.9 to 3.15)."""
    if getattr(loop, "_default_executor", None) is not None:
        loop._default_executor = None


# -- asyncio: only ever through a module that somebody else has imported -----------------------------


def asyncio_tasks() -> Any:
    """The module ``asyncio.tasks`` if somebody has imported all of it, else None."""
    tasks = sys.modules.get("asyncio.tasks")
    return tasks if tasks is not None and hasattr(tasks, "_unregister_task") else None


TASKS_PER_LOOP = sys.version_info >= (3, 14)
"""From 3.14 there is no global set of C tasks: each loop has to be asked."""


def global_task_references(tasks: Any) -> Any:
    """The live set of weak references to tasks of all loops, done ones perhaps among them.

    ``_all_tasks`` up to 3.11, ``_scheduled_tasks`` from 3.12; from 3.14 the latter has only tasks that are
    not implemented in C.
    """
    return (tasks._scheduled_tasks if sys.version_info >= (3, 12) else tasks._all_tasks).data


_NO_TASKS: "set[Any]" = set()


def eager_tasks(tasks: Any) -> "set[Any]":
    """The live set of tasks that are in their first, eager step (3.12 and 3.13; else empty, see `all_tasks`)."""
    return getattr(tasks, "_eager_tasks", _NO_TASKS)


def task_context(task: Any) -> Any:
    """The contextvars context of a task: public from 3.12, before that found among its referents."""
    get_context = getattr(task, "get_context", None)
    if get_context is not None:
        return get_context()
    context = getattr(task, "_context", None)
    return context if context is not None else _context_among_referents(task)


def _context_among_referents(task: Any) -> Any:  # pragma: no cover - Python 3.9 to 3.11, run there
    import contextvars

    return next((r for r in gc.get_referents(task) if isinstance(r, contextvars.Context)), None)


def task_waiter(task: Any) -> Any:
    """The future that a task waits for, else None (3.9 to 3.15, in C and in Python)."""
    return getattr(task, "_fut_waiter", None)


def is_future(thing: Any) -> bool:
    """Whether this is a future or task of asyncio's, by the mark that asyncio itself goes by (3.9 to 3.15)."""
    return getattr(type(thing), "_asyncio_future_blocking", None) is not None


def future_callbacks(future: Any) -> List[Any]:
    """The functions that a future will call when it is done (3.9 to 3.15, in C and in Python)."""
    return [entry[0] for entry in getattr(future, "_callbacks", None) or ()]


def is_of(thing: Any, kinds: Any) -> bool:
    """Whether an object is of a class, or one of several: isinstance() would ask a proxy's ``__class__``, user's code."""
    return issubclass(type(thing), kinds)


def attribute(thing: Any, name: str) -> Any:
    """An attribute of an object of whatever class; None if it has none, or raises anything at all."""
    try:
        return getattr(thing, name, None)
    except Exception:  # a proxy's target may be missing, a property broken
        return None


def future_parts(future: Any) -> List[Any]:
    """The futures that a ``gather`` waits for (3.9 to 3.15)."""
    return [part for part in getattr(future, "_children", ()) if not part.done()]


def group_tasks(group: Any) -> List[Any]:
    """The tasks of an ``asyncio.TaskGroup`` that are not done (3.11 to 3.15)."""
    return [task for task in list(getattr(group, "_tasks", ())) if not task.done()]


def direct_awaiters(future: Any) -> List[Any]:
    """The futures and tasks that wait for a future: as asyncio keeps them from 3.14, before that by its callbacks.

    A callback leads to them as the task whose step it is, the group whose task it watches, or what it closes over.
    """
    kept = getattr(future, "_asyncio_awaited_by", None)
    if kept is not None:
        return list(kept) if isinstance(kept, (set, frozenset)) else [kept]
    found: List[Any] = []
    for callback in future_callbacks(future):
        owner, arguments = attribute(callback, "__self__"), attribute(callback, "args")
        found += (owner, attribute(owner, "_parent_task"), *(arguments if type(arguments) is tuple else ()))
        found += closed_over(callback).values()
        if type(callback).__name__ == "TaskWakeupMethWrapper":  # up to 3.11 it shows its task to the collector only
            import gc

            found += gc.get_referents(callback)
    return [thing for thing in found if thing is not future and is_future(thing) and not thing.done()]


def closed_over(function: Any) -> Dict[str, Any]:
    """The variables that a function closes over, by name."""
    code, found = attribute(function, "__code__"), {}
    names = code.co_freevars if type(code) is types.CodeType else ()
    for name, cell in zip(names, attribute(function, "__closure__") or ()):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            pass  # not bound yet
    return found


def stream_transport(reader: Any) -> Any:
    """The transport of an ``asyncio.StreamReader`` (3.9 to 3.15)."""
    return getattr(reader, "_transport", None)


def pending_tasks(loop: Any) -> Optional[int]:
    """How many tasks of a loop are pending; None while they cannot be counted, since its thread changes them."""
    tasks = asyncio_tasks()
    try:
        return len(tasks.all_tasks(loop)) if tasks is not None else None
    except RuntimeError:
        return None


def is_event_loop(thing: Any) -> bool:
    """Whether this is an event loop of any class."""
    cls = getattr(sys.modules.get("asyncio.events"), "AbstractEventLoop", None)
    return cls is not None and is_of(thing, cls)


def debug_stack(thing: Any) -> List[Tuple[str, int, str]]:
    """The entries that a loop in debug mode keeps of the creation of a task or a timer."""
    return entries(getattr(thing, "_source_traceback", None))


def drop_entries(thing: Any, filename: str) -> None:
    """Take the frames of a file out of what a loop in debug mode keeps of a timer's creation: asyncio counts them."""
    summary = getattr(thing, "_source_traceback", None)
    if summary:
        summary[:] = [frame for frame in summary if frame.filename != filename]


def entries(summary: Any) -> List[Tuple[str, int, str]]:
    """The (filename, line, function) entries of a stack summary, innermost first."""
    return [(f.filename, f.lineno, f.name) for f in reversed(summary or ())]


_show_warning = getattr(warnings, "_showwarnmsg_impl", None)


def warning_points() -> Tuple[Tuple[Any, str], Tuple[Any, str]]:
    """Where Python is told of a coroutine that was never awaited, and of a warning to show (3.9 to 3.15)."""
    return (warnings, "_warn_unawaited_coroutine"), (warnings, "_showwarnmsg")


def hide_from_warnings(function: Any) -> None:
    """Let a warning that a function leads to be of the line that called it, as if the function were not there.

    The frames of an import are passed over when the levels of a stack are counted, by the name of their file (3.9 to
    3.15): a filter for a module would miss its warnings otherwise.
    """
    function.__code__ = function.__code__.replace(co_filename="<frozen importlib._bootstrap>")


def asyncio_log_is_recorded() -> bool:
    """Whether somebody records what asyncio logs: ``assertLogs`` does (3.9 to 3.15), or a mock of asyncio's logger."""
    logger = getattr(sys.modules.get("asyncio.base_events"), "logger", None)
    if type(logger).__module__ != "logging" or "error" in vars(logger):
        return logger is not None
    while logger is not None:
        if any(type(handler).__name__ == "_CapturingHandler" for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def warnings_are_recorded() -> bool:
    """Whether somebody records warnings, as ``catch_warnings(record=True)`` and ``assertWarns`` do (3.9 to 3.15)."""
    if getattr(warnings, "_showwarnmsg_impl", None) is not _show_warning:
        return True
    context = getattr(warnings, "_get_context", None) or getattr(sys.modules.get("_py_warnings"), "_get_context", None)
    return context is not None and getattr(context(), "log", None) is not None


def runs_test(test: Any, task: Any) -> bool:
    """Whether a task is the one that runs now, waits for it, or runs a method of the test (3.9 to 3.15).

    Or whether it is no task but the thread that asks.
    """
    if task is live_threads.get(_thread.get_ident()) or is_at_work_here(task):
        return True
    if not hasattr(task, "get_coro"):
        return False
    frame: Any = getattr(task.get_coro(), "cr_frame", None)
    is_method = frame is not None and frame.f_locals.get("self") is test
    return is_method and frame.f_code.co_name in (test._testMethodName, "asyncSetUp", "asyncTearDown")


def is_at_work_here(task: Any) -> bool:
    """Whether this is the task that runs now, or one that waits for it (3.9 to 3.15)."""
    tasks = sys.modules.get("asyncio.tasks")
    current = tasks.current_task() if tasks is not None and running_loop() is not None else None
    waiter: Any = task
    for _ in range(64):
        if waiter is None or current is None:
            break
        if waiter is current:
            return True
        waiter = getattr(waiter, "_fut_waiter", None)
    return False


def live_task_count() -> int:
    """How many tasks are pending, without asking every loop: from 3.14 only those that are not implemented in C."""
    tasks = asyncio_tasks()
    things = [reference() for reference in global_task_references(tasks).copy()] if tasks is not None else []
    return sum(1 for task in things if task is not None and not task.done())


def tasks_of_loop(loop: Any) -> Any:
    """The pending tasks of a loop, in whatever thread it runs (from 3.14; before that only in the loop's own)."""
    tasks = asyncio_tasks()
    return tasks.all_tasks(loop) if tasks is not None else ()


def unregister_task(task: Any) -> None:
    """Take a task out of every set that ``asyncio.all_tasks`` reads, and silence its destructor (3.9 to 3.15)."""
    tasks = sys.modules["asyncio.tasks"]
    task._log_destroy_pending = False
    tasks._unregister_task(task)
    if hasattr(tasks, "_unregister_eager_task"):
        tasks._unregister_eager_task(task)


def loop_async_generators(loop: Any) -> List[Any]:
    """The async generators that were started on a loop and not finished (3.9 to 3.15)."""
    return list(getattr(loop, "_asyncgens", ()))


def forget_async_generator(loop: Any, generator: Any) -> None:
    """Keep a loop's close from closing an async generator, which may wait for ever in its ``finally`` (3.9 to 3.15)."""
    getattr(loop, "_asyncgens", set()).discard(generator)


def loop_timers(loop: Any) -> List[Any]:
    """The handles of ``call_later`` and ``call_at`` that a loop has yet to call (3.9 to 3.15, not uvloop)."""
    return list(getattr(loop, "_scheduled", ()))


def loop_signal_handlers(loop: Any) -> Dict[int, Any]:
    """Signal number -> handle of ``add_signal_handler`` (3.9 to 3.15, POSIX, not uvloop)."""
    return dict(getattr(loop, "_signal_handlers", ()))


def loop_handles(loop: Any) -> List[Any]:
    """The handles of a loop's timers and signal handlers."""
    return [*loop_timers(loop), *loop_signal_handlers(loop).values()]


def has_ready_handles(loop: Any) -> bool:
    """Whether a loop has yet to call something that it was given (3.9 to 3.15; uvloop does not say)."""
    return bool(getattr(loop, "_ready", None))


def handle_loop(handle: Any) -> Any:
    """The loop of a handle (3.9 to 3.15)."""
    return handle._loop


def handle_callback(handle: Any) -> Any:
    """What a handle will call; None once it is cancelled (3.9 to 3.15)."""
    return handle._callback


def handle_context(handle: Any) -> Any:
    """The context that a handle will run in (3.9 to 3.15)."""
    return getattr(handle, "_context", None)


def running_loop() -> Any:
    """The loop that runs in this thread, or None; asyncio's own function, public in all versions."""
    events = sys.modules.get("asyncio.events")
    return events._get_running_loop() if events is not None else None


def loop_classes() -> List[Any]:
    """The classes of event loops that are known by now: asyncio's own and uvloop's."""
    found = [getattr(sys.modules.get("asyncio.base_events"), "BaseEventLoop", None)]
    found.append(getattr(sys.modules.get("uvloop"), "Loop", None))
    return [cls for cls in found if cls is not None]


def server_transports(server: Any) -> List[Any]:
    """The transports of the clients of an ``asyncio.Server``: it keeps them from 3.13; before, the loop's have it."""
    clients = getattr(server, "_clients", None)
    if clients is not None and hasattr(server, "close_clients"):
        return list(clients)
    if not hasattr(server, "_active_count"):
        return []
    return [t for t in list(getattr(server.get_loop(), "_transports", {}).values()) if getattr(t, "_server", 0) is server]


def async_to_sync_method(test: Any) -> Any:
    """The ``async_to_sync(method)`` that Django has put in place of an async test's method; None for other tests.

    It runs the coroutine in a loop of its own, which it cancels all tasks of as soon as the coroutine returns.
    """
    method = test.__dict__.get(test._testMethodName)
    return method if hasattr(method, "awaitable") else None


def last_cleanup(test: Any) -> Any:
    """The function that was registered last among the test's cleanups, or None (3.9 to 3.15)."""
    cleanups = getattr(test, "_cleanups", None)
    return cleanups[-1][0] if cleanups else None


def submit_modules() -> List[Any]:
    """The modules that have ``run_coroutine_threadsafe``: the one that defines it, and asyncio itself."""
    return [sys.modules[name] for name in ("asyncio.tasks", "asyncio") if name in sys.modules]


def start_task(coroutine: Any, asyncio: Any) -> Any:
    """Make a task on the running loop that has taken its first step, from 3.12; in debug mode a turn is dear."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), eager_start=True)
    return asyncio.ensure_future(coroutine)  # pragma: no cover - up to Python 3.11, run there


def is_to_be_cancelled(task: Any) -> bool:
    """Whether a task has been cancelled in its present step, so that its next one raises (3.9 to 3.15)."""
    return bool(getattr(task, "_must_cancel", False))


def cancellations(task: Any) -> int:
    """How often a task has been cancelled from outside and not been told that this is settled; 0 up to 3.10."""
    return int(task.cancelling()) if hasattr(task, "cancelling") else 0


def settle_cancellation(task: Any) -> None:
    """Take one cancellation of a task back once its `CancelledError` has been dealt with (from 3.11)."""
    if hasattr(task, "uncancel"):
        task.uncancel()


class _Holder:
    hub: Any = object()


def _count_of_hub(holder: Any) -> int:
    return sys.getrefcount(holder.hub)


_OWN_COUNT = _count_of_hub(_Holder)


def count_of_hub(holder: Any) -> int:
    """How many references there are to ``holder.hub`` beside the one in `holder` (3.9 to 3.15).

    What the call itself adds depends on the version: it is counted on an object that nobody else has.
    """
    return _count_of_hub(holder) - _OWN_COUNT


def loop_start(cls: Any) -> str:
    """The method of a loop class that is called whenever a loop begins to run.

    asyncio's loops call ``_set_coroutine_origin_tracking`` first of all (3.9 to 3.15). It is better to hook than
    ``run_forever``, which would put one more frame on every stack that asyncio's debug mode keeps.
    """
    return "_set_coroutine_origin_tracking" if hasattr(cls, "_set_coroutine_origin_tracking") else "run_forever"


# -- unittest: objects are handed in, the module is not imported here ---------------------------------


def test_loop(test: Any) -> Any:
    """The event loop of an ``IsolatedAsyncioTestCase`` that runs, else None.

    3.9 and 3.10 have ``_asyncioTestLoop``, from 3.11 it is inside ``_asyncioRunner``, made on first use.
    """
    runner = getattr(test, "_asyncioRunner", None)
    if runner is not None:
        return getattr(runner, "_loop", None)
    return getattr(test, "_asyncioTestLoop", None)


def set_in_test_context(test: Any, variable: Any, value: Any) -> None:
    """Set a context variable where the test's own coroutines will see it.

    From 3.11 they run in a context that was copied in ``__init__``. On 3.9 and 3.10 they run inside one task:
    its context exists already if the loop does.
    """
    context = getattr(test, "_asyncioTestContext", None)
    if context is None:  # pragma: no cover - Python 3.9 and 3.10, run there
        task = getattr(test, "_asyncioCallsTask", None)
        if task is None or task.done():
            return
        context = task_context(task)
    if context is not None:
        context.run(variable.set, value)


def add_first_cleanup(test: Any, function: Any, *arguments: Any) -> None:
    """Register a cleanup that runs after all others, even those that were registered in ``__init__`` (3.9 to 3.15)."""
    test._cleanups.insert(0, (function, arguments, {}))


def run_last_cleanup(test: Any, do_cleanups: Callable[[], Any], function: Callable[[], Any]) -> Any:
    """Run one more cleanup as a test's last, by its ``doCleanups()``, so that what it raises is the test's (3.9 to 3.15).

    Without unittest's async way to it, whose frames are not hidden from tracebacks as its others are; so not in the context
    of an async test, which has one of its own from 3.11.
    """
    call_cleanup = test._callCleanup

    def call(cleanup: Any, *args: Any, **kwargs: Any) -> Any:
        return cleanup() if cleanup is function else call_cleanup(cleanup, *args, **kwargs)

    add_first_cleanup(test, function)
    test._callCleanup = call
    try:
        return do_cleanups()
    finally:
        del test._callCleanup


def drop_cleanup(test: Any, function: Any) -> None:
    """Take `function` out of the test's cleanups (3.9 to 3.15)."""
    cleanups = getattr(test, "_cleanups", None)
    if cleanups:
        cleanups[:] = [entry for entry in cleanups if entry[0] != function]


def pytest_finalizer() -> Any:
    """What registers a call after the teardown of the module that is being set up by pytest; None without pytest.

    pytest runs ``setUpModule()`` in a fixture whose request is on the stack, and no module cleanups of unittest's. What
    is registered while the fixture is set up runs after the fixture's own teardown, which is registered next.
    """
    frame: Any = sys._getframe(1) if "_pytest.fixtures" in sys.modules else None
    while frame is not None:
        request: Any = frame.f_locals.get("request") if frame.f_globals.get("__name__") == "_pytest.fixtures" else None
        if hasattr(request, "addfinalizer"):
            return request.addfinalizer
        frame = frame.f_back
    return None


def module_set_up() -> Any:
    """The name of the module that unittest or pytest is setting up, else None: modules may share a ``setUpModule()``."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "_handleModuleFixture":
            return frame.f_locals.get("currentModule")
        if frame.f_globals.get("__name__") == "_pytest.fixtures" and "request" in frame.f_locals:
            return getattr(getattr(frame.f_locals["request"], "module", None), "__name__", None)
        frame = frame.f_back
    return None


_OF_A_CLASS = {
    ("unittest.case", "run"), ("unittest.case", "debug"),
    ("unittest.suite", "_handleClassSetUp"), ("unittest.suite", "_tearDownPreviousClass"),
}  # fmt: skip


def is_within_class() -> bool:
    """Whether unittest or pytest runs a test or a fixture of its class; a suite that a test runs has its own modules (3.9 to 3.15)."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name, module = frame.f_code.co_name, frame.f_globals.get("__name__")
        if (module, name) in _OF_A_CLASS or module == "_pytest.unittest":
            return True
        if name == "_handleModuleFixture" or module == "_pytest.fixtures":
            return False
        frame = frame.f_back
    return False


def module_cleanup_has_failed() -> bool:
    """Whether ``doModuleCleanups`` is running and already holds an exception (up to 3.14 it raises only its first)."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "doModuleCleanups":
            return bool(frame.f_locals.get("exceptions"))
        frame = frame.f_back
    return False


def has_failed(test: Any, result: Any) -> bool:
    """Whether the running test has already failed, seen from inside a cleanup; a skip is no failure.

    ``_outcome.success`` is true again inside every cleanup. 3.9 and 3.10 keep the errors in ``_outcome.errors``;
    from 3.11 they go to the result at once. A foreign result without lists keeps exceptions in ``_excinfo`` (pytest's) or
    sends on what it was told as ``events`` (that of Django's parallel workers).
    """
    outcome = getattr(test, "_outcome", None)
    errors = getattr(outcome, "errors", None)
    if errors is not None:  # pragma: no cover - Python 3.9 and 3.10, run there
        return any(exc_info is not None for _, exc_info in errors)
    result = getattr(outcome, "result", None) or result
    lists = [getattr(result, name, None) for name in ("failures", "errors")]
    entries = [entry for one in lists if isinstance(one, list) for entry in one]
    if any(entry[0] is test or getattr(entry[0], "test_case", None) is test for entry in entries):
        return True
    events = [e for e in getattr(result, "events", ()) if e[1:2] == (getattr(result, "test_index", None),)]
    if any(event[0] in ("addFailure", "addError", "addSubTest") for event in events):
        return True
    foreign = getattr(result, "_excinfo", None) or ()
    return any(not getattr(info, "typename", "Skipped").startswith("Skip") for info in foreign)


def result_of(test: Any) -> Tuple[Any, bool]:
    """The result that a running test reports to, and whether all has gone well so far, parts too (3.9 to 3.15)."""
    outcome = getattr(test, "_outcome", None)
    return getattr(outcome, "result", None), has_gone_well(test) and not _is_expected_to_fail(test)


def has_gone_well(test: Any) -> bool:
    """Whether all parts of a running test have succeeded, asked outside of any part of it (3.9 to 3.15)."""
    return bool(getattr(getattr(test, "_outcome", None), "success", False))


def otherwise_of(test: Any, has_failed: Callable[[], bool]) -> str:
    """``skipped`` or ``expected failure``, if that has come of a running test and it has not failed; else "" (3.9 to 3.15)."""
    outcome = getattr(test, "_outcome", None)
    result = getattr(outcome, "result", None)
    found = ""
    if _is_expected_to_fail(test) and getattr(outcome, "expectedFailure", None) is not None:
        found = "expected failure"
    elif any(is_last(getattr(one, "skipped", None), test) for one in (outcome, result)):
        found = "skipped"
    return found if found and not has_failed() else ""


def _is_expected_to_fail(test: Any) -> bool:
    return any(getattr(thing, "__unittest_expecting_failure__", False) for thing in (test, _method(test)))


def is_last(entries: Any, test: Any) -> bool:
    """Whether the last entry of a list of a result's is of a test; a foreign result may have anything there."""
    last = entries[-1] if isinstance(entries, list) and entries else None
    return isinstance(last, tuple) and bool(last) and last[0] is test


def _method(test: Any) -> Any:
    return getattr(test, test._testMethodName, None)


_LISTS = (("errors", "error"), ("failures", "failed"), ("expectedFailures", "expected failure"), ("skipped", "skipped"))

_EXCEPTIONS = {"Skipped": "skipped", "SkipTest": "skipped", "XFailed": "expected failure"}
"""The exceptions of pytest that are no failures."""

_EVENTS = {
    "addError": "error",
    "addFailure": "failed",
    "addSubTest": "failed",
    "addUnexpectedSuccess": "unexpected success",
    "addExpectedFailure": "expected failure",
    "addSkip": "skipped",
}
"""What Django's parallel workers send on, the worst first."""


@contextlib.contextmanager
def buffered_output(result: Any) -> Iterator[None]:
    """Have a result take output as it does while a fixture runs: with ``-b`` it can take an error only then (3.9 to 3.15)."""
    if hasattr(result, "_setupStdout"):
        result._setupStdout()
    try:
        yield
    finally:
        if hasattr(result, "_restoreStdout"):
            result._restoreStdout()


def outcome_of(test: Any, result: Any, has_succeeded: bool) -> Tuple[str, str]:
    """What came of a test that has just ended, and the text of it: the last entries of the result's lists.

    A foreign result without those lists keeps exceptions in ``_excinfo``, but those of a subTest (pytest's), or sends on
    ``events`` (that of Django's parallel workers). Of any other only a test that has succeeded is known.
    """
    if result is None:
        skipped = any(getattr(thing, "__unittest_skip__", False) for thing in (test, _method(test)))
        return ("skipped" if skipped else "unknown"), ""
    for name, outcome in _LISTS:
        entries: Any = getattr(result, name, None)
        last = entries[-1][0] if entries and isinstance(entries, list) else None
        if last is test or getattr(last, "test_case", None) is test:
            return outcome, str(entries[-1][1])
    surprises = getattr(result, "unexpectedSuccesses", None)
    if isinstance(surprises, list) and surprises[-1:] and surprises[-1] is test:
        return "unexpected success", ""
    foreign = _foreign_outcome(result)
    if foreign or has_succeeded:
        return foreign or "passed", ""
    return _outcome_by_id(test, result)


def _outcome_by_id(test: Any, result: Any) -> Tuple[str, str]:
    """What a foreign result says of a test in lists of objects of its own that have the test's id (subunit's, xmlrunner's).

    Asked only of a test that has not succeeded: the entry may be of an earlier run of it, which nothing else tells.
    """
    name = test.id()
    while getattr(result, "decorated", None) is not None:  # subunit's results are around each other
        result = result.decorated
    for attribute, outcome in (*_LISTS, ("unexpectedSuccesses", "unexpected success")):
        entries: Any = getattr(result, attribute, None)
        last = entries[-1] if isinstance(entries, list) and entries else None
        entry = last[0] if isinstance(last, tuple) and last else last
        own = getattr(entry, "id", None)
        found = str(own()) if callable(own) else ""
        if found == name or found.startswith(f"{name} "):  # a part of it
            text = last[1] if isinstance(last, tuple) and len(last) > 1 else ""
            return outcome, str(text)
    return "unknown", ""


def _foreign_outcome(result: Any) -> str:
    """The worst that a foreign result keeps of its last test, "" if it keeps nothing that is bad."""
    index = getattr(result, "test_index", None)
    told = {_EVENTS.get(event[0], "") for event in getattr(result, "events", ()) if event[1:2] == (index,)}
    infos = getattr(result, "_excinfo", None)
    told |= {_EXCEPTIONS.get(getattr(info, "typename", ""), "failed") for info in infos or ()}
    return next((outcome for outcome in _EVENTS.values() if outcome in told), "")


def exempt_own_task(test: Any, settled: Any) -> None:
    """Add the one task that runs all of an async test on 3.9 and 3.10 to a set; later versions have none."""
    task = getattr(test, "_asyncioCallsTask", None)
    if task is not None:  # pragma: no cover - Python 3.9 and 3.10, run there
        settled.add(task)


def runner_code() -> Any:
    """The code of ``asyncio.Runner.run``, with which an async test runs its parts from 3.11 on."""
    runner = getattr(sys.modules.get("asyncio.runners"), "Runner", None)
    return getattr(getattr(runner, "run", None), "__code__", None)


def run_by_runner(frame: Any, variable: Any, value: Any) -> None:
    """Set a context variable in the context that an ``asyncio.Runner`` keeps, if that is about to run its loop.

    `frame` is the loop's own (``run_forever`` and what it calls, 3.11 to 3.15). A context that was given is left alone.
    """
    code = runner_code()
    for _ in range(5):
        if frame is None or frame.f_code is code:
            break
        frame = frame.f_back
    if frame is None or frame.f_code is not code:
        return
    context = frame.f_locals.get("context")
    if context is not None and context is getattr(frame.f_locals.get("self"), "_context", None):
        try:
            context.run(variable.set, value)
        except RuntimeError:
            pass  # somebody is inside of it


LOOP_SET_UP, LOOP_TEAR_DOWN = "_setupAsyncioRunner", "_tearDownAsyncioRunner"
if sys.version_info < (3, 11):  # pragma: no cover - Python 3.9 and 3.10, run there
    LOOP_SET_UP, LOOP_TEAR_DOWN = "_setupAsyncioLoop", "_tearDownAsyncioLoop"
"""What an ``IsolatedAsyncioTestCase`` calls first and last in its ``run()``: the guard begins and ends there."""


def set_up_plain_loop(test: Any, asyncio: Any) -> None:
    """Give an async test what it runs in, as unittest does, but without debug mode (3.9 to 3.15).

    On 3.9 and 3.10 that is a loop and a task. unittest's own set-up switches debug mode on before it starts that task,
    and that start is half of the cost.
    """
    if sys.version_info >= (3, 11):
        factory = getattr(test, "loop_factory", None)
        test._asyncioRunner = asyncio.Runner(debug=False, **({"loop_factory": factory} if factory else {}))
    else:  # pragma: no cover - Python 3.9 and 3.10, run there
        loop = test._asyncioTestLoop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.set_debug(False)
        is_ready = loop.create_future()
        test._asyncioCallsTask = loop.create_task(test._asyncioLoopRunner(is_ready))
        loop.run_until_complete(is_ready)


class SuiteHooks:
    """Say when a TestSuite begins and ends a class or a module for the listener's result (3.9 to 3.15).

    The four methods of ``unittest.TestSuite`` that do so are private, and the same in all versions. They are
    replaced on the class until `remove()`, since suites made by ``load_tests`` are plain ones. All but the last
    are called before every test, and look first whether its class is that of the test before: so do ours.
    """

    def __init__(self, suite_class: type, listener: Any) -> None:
        self._class: Any = suite_class
        self._listener = listener
        self._saved = {
            name: suite_class.__dict__[name]
            for name in ("_handleClassSetUp", "_tearDownPreviousClass", "_handleModuleFixture", "_handleModuleTearDown")
        }
        for name in self._saved:
            setattr(suite_class, name, self._wrap(name))

    def remove(self) -> None:
        """Put the suite's own methods back."""
        for name, function in self._saved.items():
            setattr(self._class, name, function)

    def _wrap(self, name: str) -> Callable[..., Any]:
        original, listener = self._saved[name], self._listener

        def set_up_class(suite: Any, test: Any, result: Any) -> Any:
            cls, previous = test.__class__, getattr(result, "_previousTestClass", None)
            if cls is previous:
                return None
            if result is not listener.result:  # a suite that a test runs inside
                return original(suite, test, result)
            if cls != previous and not getattr(result, "_moduleSetUpFailed", False):
                listener.class_begins(cls)
                errors = len(result.errors)
                try:
                    return original(suite, test, result)
                finally:
                    listener.class_is_set_up()
                    if getattr(cls, "_classSetupFailed", False):  # or was skipped: there is no teardown
                        listener.class_ends(cls, result, len(result.errors) > errors)
            return original(suite, test, result)

        def tear_down_class(suite: Any, test: Any, result: Any) -> Any:
            previous = getattr(result, "_previousTestClass", None)
            if test.__class__ is previous:
                return None
            if result is not listener.result:
                return original(suite, test, result)
            errors = len(result.errors)
            original(suite, test, result)
            if previous is not None and previous != test.__class__:
                listener.class_ends(previous, result, len(result.errors) > errors)

        def set_up_module(suite: Any, test: Any, result: Any) -> Any:
            previous = getattr(result, "_previousTestClass", None)
            if test.__class__ is previous:
                return None
            if result is not listener.result:
                return original(suite, test, result)
            if previous is None or previous.__module__ != test.__class__.__module__:
                listener.next_module = test.__class__.__module__
            skipped = len(result.skipped)
            try:
                return original(suite, test, result)
            finally:
                listener.module_is_skipped = len(result.skipped) > skipped

        def tear_down_module(suite: Any, result: Any) -> Any:
            if result is not listener.result:
                return original(suite, result)
            errors = len(result.errors)
            original(suite, result)
            listener.module_ends(result, len(result.errors) > errors)

        wrapped: Tuple[Callable[..., Any], ...] = (set_up_class, tear_down_class, set_up_module, tear_down_module)
        return dict(zip(self._saved, wrapped))[name]


# -- processes -----------------------------------------------------------------------------------


def spawn_points() -> Iterator[Tuple[Any, str]]:
    """Yield (module, name) of every function that makes a child process and returns its pid.

    ``subprocess`` and ``multiprocessing`` end in ``_posixsubprocess.fork_exec`` (from 3.11 ``subprocess`` has it under
    a name of its own), ``os.posix_spawn`` or ``os.fork``; on Windows in ``_winapi.CreateProcess``.
    """
    for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp"):
        if hasattr(os, name):
            yield os, name
    try:
        import _posixsubprocess
    except ImportError:  # pragma: no cover - Windows
        pass
    else:
        yield _posixsubprocess, "fork_exec"
    if hasattr(sys.modules.get("subprocess"), "_fork_exec"):
        yield sys.modules["subprocess"], "_fork_exec"
    winapi = sys.modules.get("_winapi")
    if winapi is not None:  # pragma: no cover - Windows
        yield winapi, "CreateProcess"


HAS_WAITID = _waitid is not None and hasattr(os, "WNOWAIT")


def has_children() -> bool:
    """Whether this process has any child, running or not yet waited for; one system call, nothing is reaped."""
    try:
        _waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def is_child_running(pid: int) -> bool:
    """Whether a child has not ended; one that has ended and was not waited for is not running, and is not reaped.

    macOS has ``os.waitid`` from 3.13 only, Windows never.
    """
    if HAS_WAITID:
        try:
            return _waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return pid in forkserver_children()
    if sys.platform == "win32":
        import _winapi

        try:
            handle = _winapi.OpenProcess(0x00100000, False, pid)  # SYNCHRONIZE
        except OSError:
            return False
        try:
            return bool(_winapi.WaitForSingleObject(handle, 0) == 0x102)  # WAIT_TIMEOUT
        finally:
            _winapi.CloseHandle(handle)
    return _is_running_by_ps(pid)


def _is_running_by_ps(pid: int) -> bool:  # pragma: no cover - macOS before Python 3.13
    import subprocess

    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], stdout=subprocess.PIPE, check=False).stdout.strip()
    return bool(state) and not state.startswith(b"Z")


def interpreter_helpers() -> "set[int]":
    """The pids of multiprocessing's resource tracker and forkserver (3.9 to 3.15)."""
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    pids = (getattr(tracker, "_pid", None), getattr(server, "_forkserver_pid", None))
    return {pid for pid in pids if pid is not None}


def forkserver_children() -> "set[int]":
    """The pids of running processes that multiprocessing's forkserver made: the system's children of that, not ours.

    The forkserver is the default start method on Linux from 3.14. A process of it has ended when its sentinel can be
    read (3.9 to 3.15); it is not read here, since the exit status in it can be read only once.
    """
    popens = [process._popen for _, process in known_child_objects()]
    popens = [popen for popen in popens if getattr(popen, "method", None) == "forkserver" and popen.returncode is None]
    connection = sys.modules.get("multiprocessing.connection")
    if not popens or connection is None:
        return set()
    ended = connection.wait([popen.sentinel for popen in popens], 0)
    return {popen.pid for popen in popens if popen.sentinel not in ended}


def helper_descriptors() -> "set[int]":
    """The descriptors by which the process talks to multiprocessing's resource tracker and forkserver (3.9 to 3.15)."""
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    numbers = (getattr(tracker, "_fd", None), getattr(server, "_forkserver_alive_fd", None))
    return {number for number in numbers if number is not None}


def heap_files() -> "set[Tuple[int, int]]":
    """(inode, device) of the shared memory that multiprocessing's heap keeps until the process ends (3.9 to 3.15).

    A ``Value`` or ``Array`` is a block of it. Each file is open twice: ``mmap`` has a copy of the descriptor.
    """
    wrapper = getattr(sys.modules.get("multiprocessing.heap"), "BufferWrapper", None)
    found = set()
    for arena in list(getattr(getattr(wrapper, "_heap", None), "_arenas", ())):
        try:
            found.add(_fstat(arena.fd)[1:3])
        except (AttributeError, OSError):  # Windows, or one that was let go meanwhile
            pass
    return found


def helper_folder() -> Optional[str]:
    """The folder that multiprocessing keeps for its sockets until the process ends, if it has made it (3.9 to 3.15)."""
    process = getattr(sys.modules.get("multiprocessing.process"), "_current_process", None)
    folder = getattr(process, "_config", {}).get("tempdir")
    return os.fsdecode(folder) if folder else None


# -- temporary files -----------------------------------------------------------------------------


def temporary_points() -> Iterator[Tuple[Any, str]]:
    """Yield (module, name) of the functions by which all of ``tempfile`` gets its random names (3.9 to 3.15).

    ``_mkstemp_inner``, ``mkdtemp`` and ``mktemp`` look it up when they are called, so that it does not matter who has
    imported them before; a ``TemporaryFile`` without a name does not ask for one.
    """
    import tempfile

    yield tempfile, "_get_candidate_names"


def random_name_points() -> Iterator[Tuple[Any, str]]:
    """Yield (class, name) of the function that makes up the random part of those names (3.9 to 3.15)."""
    import tempfile

    yield tempfile._RandomNameSequence, "__next__"  # type: ignore[attr-defined]


def temporary_name_of(frame: Any) -> Optional[Tuple[str, str, str]]:
    """(folder, prefix, suffix) of what a function of ``tempfile`` is about to make, by its variables (3.9 to 3.15)."""
    names = frame.f_locals
    prefix, suffix = names.get("pre", names.get("prefix")), names.get("suf", names.get("suffix"))
    if names.get("dir") is None or prefix is None or suffix is None:
        return None
    return os.fsdecode(names["dir"]), os.fsdecode(prefix), os.fsdecode(suffix)


def temporary_folder() -> str:
    """The folder that ``tempfile`` has chosen."""
    return str(getattr(sys.modules.get("tempfile"), "tempdir", None) or "")


_DESCRIPTORS = next((path for path in ("/proc/self/fd", "/dev/fd") if os.path.isdir(path)), None)


def descriptor_numbers() -> List[int]:
    """The numbers of the open descriptors, and of the one that reads them; without such a list the first 256."""
    if _DESCRIPTORS is None:  # pragma: no cover - Windows
        return list(range(256))
    return [int(name) for name in _listdir(_DESCRIPTORS)]


def open_descriptors() -> Dict[int, Tuple[int, int]]:
    """Number -> (inode, device) of every open descriptor."""
    found = {}
    for number in descriptor_numbers():
        try:
            found[number] = _fstat(number)[1:3]  # a third less than by their names
        except OSError:
            pass  # the one that the list was read by, or closed in the meantime
    return found


def descriptor_count() -> int:
    """How many descriptors are open; -1 where that is too dear. Linux from 6.2 says it as the size of the list."""
    try:
        if sys.platform == "linux":
            size = _stat("/proc/self/fd").st_size
            if size:
                return size
        return len(_listdir(_DESCRIPTORS)) - 1 if _DESCRIPTORS is not None else -1
    except OSError:  # none left to read the list with
        return -1


def descriptor_target(number: int) -> str:
    """What a descriptor stands for, as Linux says it: a path, ``socket:[1]``, ``anon_inode:[eventpoll]``; else ""."""
    try:
        return _readlink(f"/proc/self/fd/{number}")
    except OSError:  # pragma: no cover - macOS and Windows, or a race
        return ""


def process_of_descriptor(number: int) -> int:
    """The pid of the process that a pidfd stands for; 0 for any other descriptor, for an ended one, and but on Linux."""
    try:
        with open_file(f"/proc/self/fdinfo/{number}", encoding="ascii") as lines:
            found = [int(line[4:]) for line in lines if line.startswith("Pid:")]
    except (OSError, ValueError):  # pragma: no cover - macOS and Windows, or a race
        return 0
    return max(0, *found) if found else 0


def mapped_code() -> "set[str]":
    """The paths of the programs and shared libraries that are loaded into the process; none but on Linux."""
    try:
        with open_file("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as lines:
            parts = [line.rstrip("\n").split(None, 5) for line in lines]
    except OSError:  # pragma: no cover - macOS and Windows
        return set()
    return {part[5] for part in parts if len(part) == 6 and "x" in part[1]}


def descriptor_flags(number: int) -> int:
    """The flags that a descriptor was opened with; those of reading where the platform does not say."""
    try:
        import fcntl

        return fcntl.fcntl(number, fcntl.F_GETFL)
    except (ImportError, OSError):  # pragma: no cover - Windows, or a race
        return os.O_RDONLY


_opened_by_loops: Dict[int, Tuple[Tuple[int, int], "weakref.ref[Any]"]] = {}
"""Descriptor -> its inode and device, and the loop that opened it, of loops that do not say what they open: uvloop's."""


def opens_unseen(loop_class: Any) -> bool:
    """Whether loops of a class do not say what they have open for themselves (uvloop 0.22)."""
    return hasattr(loop_class, "_get_backend_id")


def note_loop_descriptors(loop: Any, before: Dict[int, Tuple[int, int]]) -> None:
    """Remember what was opened while a loop was made."""
    for number, inode in open_descriptors().items():
        if before.get(number) != inode:
            _opened_by_loops[number] = (inode, weakref.ref(loop))


def descriptors_of_libuv() -> List[int]:
    """What the first of uvloop's loops has opened for all of the process: a pipe, which outlives the loop."""
    found = []
    for number, (inode, reference) in list(_opened_by_loops.items()):
        loop = reference()
        if loop is not None and not loop.is_closed():
            continue
        try:
            status = _fstat(number)
            is_left = stat.S_ISFIFO(status.st_mode) and status[1:3] == inode
        except OSError:
            is_left = False
        if is_left:
            found.append(number)
        else:
            del _opened_by_loops[number]
    return found


def loop_descriptors(loop: Any) -> List[int]:
    """The descriptors that a loop opens for itself: its selector and its self-pipe (3.9 to 3.15), what was noted of uvloop's."""
    if opens_unseen(loop):
        return sorted(number for number, (_, made_by) in list(_opened_by_loops.items()) if made_by() is loop)
    things = [getattr(loop, "_selector", None), getattr(loop, "_ssock", None), getattr(loop, "_csock", None)]
    found = []
    for thing in things:
        try:
            found.append(thing.fileno())  # type: ignore[union-attr]
        except (AttributeError, OSError, ValueError):
            pass  # not of this kind of loop, or closed
    return [number for number in found if number >= 0]


def closing_descriptors(loop: Any) -> List[int]:
    """The descriptors of transports that are closed, and that a loop lets go at its next turn (3.9 to 3.15, not uvloop)."""
    found = []
    for handle in list(getattr(loop, "_ready", None) or ()):
        transport = attribute(handle_callback(handle), "__self__")
        if attribute(transport, "_closing") is True:
            thing = attribute(transport, "_sock") or attribute(transport, "_pipe")
            try:
                found.append(thing.fileno())
            except (AttributeError, OSError, ValueError):
                pass  # it is gone already
    return found


def generator_to_close(coroutine: Any) -> Any:
    """The async generator that an ``aclose()`` is for, None for anything else (3.9 to 3.15)."""
    if type(coroutine).__name__ != "async_generator_athrow":
        return None
    return next((one for one in gc.get_referents(coroutine) if type(one) is types.AsyncGeneratorType), None)


def loop_callback(loop: Any, number: int) -> Tuple[Any, ...]:
    """What a loop calls when a descriptor can be read: the function, and its arguments (3.9 to 3.15, not uvloop)."""
    try:
        reader = loop._selector.get_key(number).data[0]
        return (reader._callback, *reader._args)
    except (AttributeError, KeyError, TypeError, RuntimeError):
        return ()  # not of this loop, or closed


def holders_of(thing: Any, *, most: int = 32) -> List[Any]:
    """The objects that refer to a thing, by themselves or by their dict, nearest first; instances, not containers.

    Each step asks every object there is, tens of milliseconds for a million: for few things, and leaks only.
    """
    passed = (dict, list, tuple, set, frozenset, types.MethodType, types.CellType)
    left_out = (types.FrameType, types.ModuleType, types.FunctionType, type)
    found: List[Any] = []
    seen, edge = {id(thing)}, [thing]
    for _ in range(2):  # up to 3.12 an instance refers to what it holds through its dict
        ours = {id(edge), id(found), id(sys._getframe())}
        new = [r for r in gc.get_referrers(*edge) if id(r) not in seen and id(r) not in ours]
        new = [r for r in new if not issubclass(type(r), left_out) and not (type(r) is dict and "__name__" in r)]
        edge = new[:most]
        if not edge:
            break
        seen.update(map(id, edge))
        found += [r for r in edge if not issubclass(type(r), passed)]
    return found[:most]


def object_with_descriptor(number: int) -> Any:
    """The Python object that has a descriptor open; the outermost of those that wrap each other."""
    import _io
    import socket

    best: Any = None
    for thing in gc.get_objects():
        if is_of(thing, (_io._IOBase, socket.socket)):
            try:
                is_it = not getattr(thing, "closed", False) and thing.fileno() == number
            except Exception:  # a user's fileno() may raise anything
                continue
            if is_it and (best is None or _depth(thing) > _depth(best)):
                best = thing
    return best


def _depth(thing: Any) -> int:
    depth = 0
    while depth < 4:
        buffer = attribute(thing, "buffer")
        inner = buffer if buffer is not None else attribute(thing, "raw")
        if inner is None:
            break
        thing, depth = inner, depth + 1
    return depth


def allocated_at(thing: Any) -> List[Tuple[str, int]]:
    """(filename, line) of where an object was made, innermost first; empty unless tracemalloc traces."""
    tracemalloc = sys.modules.get("tracemalloc")
    traceback = tracemalloc.get_object_traceback(thing) if tracemalloc is not None and thing is not None else None
    return [(frame.filename, frame.lineno) for frame in reversed(traceback or ())]


def process_classes() -> List[Any]:
    """The class of multiprocessing's processes, in a list: empty while nobody has imported it (3.9 to 3.15)."""
    cls = getattr(sys.modules.get("multiprocessing.process"), "BaseProcess", None)
    return [cls] if cls is not None else []


_LATE_STARTERS = (
    ("concurrent.futures.thread", "ThreadPoolExecutor", "submit"),
    ("concurrent.futures.process", "ProcessPoolExecutor", "submit"),
    ("multiprocessing.queues", "Queue", "_start_thread"),  # by its first put()
)


def late_starters() -> Dict[Any, str]:
    """Classes that somebody has imported -> the method by which they start threads of their own when there is work."""
    found = {getattr(sys.modules.get(module), name, None): method for module, name, method in _LATE_STARTERS}
    found.pop(None, None)
    return found


IMPORTS = "<frozen importlib._bootstrap>"
"""The file of the functions that import modules (3.9 to 3.15)."""


def known_child_objects() -> Iterator[Tuple[int, Any]]:
    """Yield (pid, object) of the children that multiprocessing keeps on record (3.9 to 3.15)."""
    children = getattr(sys.modules.get("multiprocessing.process"), "_children", ())
    for child in list(children):
        popen = getattr(child, "_popen", None)
        if popen is not None:
            yield popen.pid, child


def has_not_begun(generator: Any) -> bool:
    """Whether a generator has never run; of an async one 3.11 does not say."""
    import inspect

    if inspect.isgenerator(generator):
        return inspect.getgeneratorstate(generator) == "GEN_CREATED"
    if hasattr(inspect, "getasyncgenstate"):
        return bool(inspect.getasyncgenstate(generator) == "AGEN_CREATED")
    return generator.ag_frame is not None and generator.ag_frame.f_lasti == -1  # pragma: no cover - up to 3.11


def pools_of(pids: Sequence[int]) -> List[Any]:
    """multiprocessing's pools that some of these processes work for (3.9 to 3.15); their names tell that there is one."""
    module = sys.modules.get("multiprocessing.pool")
    workers = {pid for pid, process in known_child_objects() if pid in pids and "PoolWorker" in str(process.name)}
    if module is None or not workers:
        return []
    pools = [thing for thing in gc.get_objects() if issubclass(type(thing), module.Pool)]
    return [pool for pool in pools if any(worker.pid in workers for worker in getattr(pool, "_pool", None) or ())]


def forget_at_exit(pool: Any) -> None:
    """Keep the interpreter's end from terminating a pool: it would wait for what a killed worker held (3.9 to 3.15)."""
    finalizer: Any = getattr(pool, "_terminate", None)
    if hasattr(finalizer, "cancel"):
        finalizer.cancel()


# -- code objects --------------------------------------------------------------------------------


def line_of(code: Any, instruction: int) -> int:
    """The line of an instruction of `code`: ``co_lines`` from 3.10, the line table before."""
    if instruction < 0:
        return int(code.co_firstlineno)
    if hasattr(code, "co_lines"):
        for start, end, line in code.co_lines():
            if start <= instruction < end and line is not None:
                return int(line)
        return int(code.co_firstlineno)
    return _line_in_table(code, instruction)


def _line_in_table(code: Any, instruction: int) -> int:  # pragma: no cover - Python 3.9, run there
    import dis

    line = code.co_firstlineno
    for start, number in dis.findlinestarts(code):
        if start > instruction:
            break
        line = number
    return int(line)


class _Span(NamedTuple):
    """The lines of a function, class, lambda or comprehension, and its qualified name."""

    first: int
    last: int
    name: str
    is_named: bool


_spans: Dict[str, List[_Span]] = {}


def qualname(code: Any) -> str:
    """The qualified name of a function: ``co_qualname`` from 3.11, before that read from its source."""
    name = getattr(code, "co_qualname", None)
    return str(name) if name is not None else qualname_at(code.co_filename, code.co_firstlineno, code.co_name)


def qualname_at(filename: str, line: int, name: Optional[str]) -> str:
    """The qualified name of the function called `name` around a line of a file; `name` itself without its source.

    Without a name, the innermost function around the line.
    """
    spans = _spans.get(filename)
    if spans is None:
        spans = _spans[filename] = _read_spans(filename)
    around = [span for span in spans if span.first <= line <= span.last]
    if name is None:
        fitting = [span.name for span in around if span.is_named]
    else:
        fitting = [span.name for span in around if span.name.rpartition(".")[2] == name]
    return fitting[-1] if fitting else name or "<module>"


PARSES = 5
"""Times that a file is parsed at most, where two threads do that at the same time."""


def syntax_tree(filename: str) -> Any:
    """The syntax tree of a source file; None if there is no such file, or it is not Python's.

    Up to 3.12 threads that parse at the same time share a count, which then may not add up: a SystemError (gh-106905).
    """
    import ast
    import linecache

    for _ in range(PARSES):
        try:
            return ast.parse("".join(linecache.getlines(filename)))
        except SystemError:
            pass
        except (SyntaxError, ValueError, RecursionError):
            break
    return None


def lambda_text(code: Any) -> str:
    """The source of a lambda without its white space; "" of anything else, without the source, or of two on one line."""
    return _lambda_at(code.co_filename, code.co_firstlineno) if getattr(code, "co_name", "") == "<lambda>" else ""


@functools.lru_cache(maxsize=256)  # a thousand leaks of one line do not parse its file a thousand times
def _lambda_at(filename: str, line: int) -> str:
    import ast
    import linecache

    tree, source = syntax_tree(filename), "".join(linecache.getlines(filename))
    nodes = ast.walk(tree) if tree is not None else ()
    here = [node for node in nodes if isinstance(node, ast.Lambda) and node.lineno == line]
    texts = {"".join((ast.get_source_segment(source, node) or "").split()) for node in here}
    return texts.pop() if len(texts) == 1 else ""


def _read_spans(filename: str) -> List[_Span]:
    import ast

    spans: List[_Span] = []
    unnamed: Dict[Any, str] = {
        ast.Lambda: "<lambda>",
        ast.ListComp: "<listcomp>",
        ast.SetComp: "<setcomp>",
        ast.DictComp: "<dictcomp>",
        ast.GeneratorExp: "<genexpr>",
    }

    def walk(node: Any, prefix: str) -> None:
        child: Any
        for child in ast.iter_child_nodes(node):
            inner = prefix
            name = unnamed.get(type(child)) or str(getattr(child, "name", ""))
            is_named = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
            if is_named or type(child) in unnamed or isinstance(child, ast.ClassDef):
                first: Any = (getattr(child, "decorator_list", None) or [child])[0]
                spans.append(_Span(first.lineno, child.end_lineno or first.lineno, prefix + name, is_named))
                inner = prefix + name + ("." if isinstance(child, ast.ClassDef) else ".<locals>.")
            walk(child, inner)

    tree = syntax_tree(filename)
    try:
        if tree is not None:  # else the plain name has to do
            walk(tree, "")
    except RecursionError:
        pass
    return spans


# -- the process's own state ----------------------------------------------------------------------


def raw_environment() -> Dict[Any, Any]:
    """The environment as the system has it: a tenth of what decoding it costs (3.9 to 3.15).

    Also where somebody has put a plain dict in its place, which changes nothing for the system.
    """
    data: Dict[Any, Any] = _environment._data
    return data


_environment: Any = getattr(os, "environb", os.environ)


SIGNALS = tuple(int(number) for number in sorted(signal.valid_signals()))

_get_handler: Callable[[int], Any] = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)
_set_handler: Callable[[int, Any], Any] = getattr(sys.modules.get("_signal"), "signal", signal.signal)


def signal_handler(number: int) -> Any:
    """The handler of a signal as C has it, None for one that Python did not set (3.9 to 3.15)."""
    return _get_handler(number)


def set_signal_handler(number: int, handler: Any) -> Any:
    """Set the handler of a signal and return the one before: a fifth of what ``signal.signal`` costs (3.9 to 3.15)."""
    return _set_handler(number, handler)


def signal_handlers() -> List[Any]:
    """The handler of every signal, as C has it: without an enumeration for each (3.9 to 3.15)."""
    return list(map(_get_handler, SIGNALS))


def current_locale() -> str:
    """The locale of all categories."""
    return str(_locale.setlocale(_locale.LC_ALL, None)) if _locale is not None else ""


def set_locale(name: str) -> None:
    """Set the locale of all categories, as `current_locale` has named it."""
    if _locale is not None:
        _locale.setlocale(_locale.LC_ALL, name)


def set_warning_filters(filters: List[Any]) -> None:
    """Put the filters of warnings back, and let Python forget what it has worked out by others (3.9 to 3.15)."""
    warnings.filters[:] = filters  # type: ignore[index]
    mutated = getattr(warnings, "_filters_mutated", None) or getattr(warnings, "_filters_mutated_lock_held", None)
    if mutated is not None:
        try:
            mutated()
        except RuntimeError:  # pragma: no cover - a version that wants its lock held
            pass


def filter_points() -> Tuple[Tuple[Any, str], Tuple[Any, str]]:
    """The functions by which all functions of ``warnings`` add filters or remove them (3.9 to 3.15)."""
    return (warnings, "_add_filter"), (warnings, "resetwarnings")


_set_umask = getattr(os, "umask", None)


def current_umask() -> Optional[int]:
    """The umask, which can be read only by setting it: None while another thread might make a file meanwhile."""
    if _thread._count() > 0 or _set_umask is None:
        return None
    mask: int = _set_umask(0o077)
    _set_umask(mask)
    return mask


# -- monkey patching -----------------------------------------------------------------------------


def gevent_owns_threading() -> bool:
    """Whether gevent has replaced `threading`, so that its threads are greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


# -- what a blocked frame holds --------------------------------------------------------------------


def read_variables(frame: Any) -> Dict[str, Any]:
    """The variables of a function's frame; the copy that Python makes of them up to 3.12 is emptied if nobody uses it."""
    seen = frame.f_locals
    variables = dict(seen)
    if sys.version_info < (3, 13) and sys.getrefcount(seen) <= 3:
        code = frame.f_code
        if set(seen) <= {*code.co_varnames, *code.co_cellvars, *code.co_freevars}:
            seen.clear()
    return variables


MISSING = object()


def is_immutable(cls: Any) -> bool:
    """Whether nobody can change the attributes of a class: one of C's (3.9 to 3.15)."""
    is_heap_type, is_immutable_type = 1 << 9, 1 << 8
    return not cls.__flags__ & is_heap_type or bool(cls.__flags__ & is_immutable_type)


def class_attribute(thing: Any, name: str) -> Any:
    """What the class of a thing has under a name, as it is there."""
    for cls in type(thing).__mro__:
        if name in cls.__dict__:
            return cls.__dict__[name]
    return MISSING


def plain_attribute(thing: Any, name: str) -> Any:
    """An attribute, if reading it runs no code of the user's, else `MISSING`; a method as its function."""
    if class_attribute(thing, "__getattribute__") is not object.__dict__["__getattribute__"]:
        return MISSING
    found = class_attribute(thing, name)
    kind = type(found)
    if kind is types.MemberDescriptorType or found is MISSING:
        try:
            return object.__getattribute__(thing, name)
        except AttributeError:
            return MISSING
    if hasattr(kind, "__set__"):
        return MISSING
    try:
        own = object.__getattribute__(thing, "__dict__").get(name, MISSING)
    except AttributeError:
        own = MISSING
    if own is not MISSING:
        return own
    plain = (types.FunctionType, types.MethodDescriptorType)
    return found if kind in plain or not hasattr(kind, "__get__") else MISSING


LOCKS = (_thread.LockType, _thread.RLock)


def is_simple_queue(thing: Any) -> bool:
    """Whether it is a ``queue.SimpleQueue`` of C."""
    return type(thing) is getattr(sys.modules.get("_queue"), "SimpleQueue", None)


def is_known_to_c(thing: Any) -> bool:
    """Whether C may call what a thing holds by an address: the thunk of a callback of ctypes (3.9 to 3.15), all of cffi."""
    kind = type(thing)
    module = kind.__module__ if type(kind) is type else None  # a metaclass of the user's may answer with code of his
    if type(module) is not str:
        return False
    return module == "_cffi_backend" or (module, kind.__name__) == ("_ctypes", "CThunkObject")


def is_locked(lock: Any) -> bool:
    """Whether a lock is held; an RLock does not say so up to 3.13, and is taken to be."""
    return bool(getattr(lock, "locked", lambda: True)())


BOOTSTRAP_CODE = threading.Thread._bootstrap.__code__  # type: ignore[attr-defined]
BOOTSTRAP_INNER_CODE = threading.Thread._bootstrap_inner.__code__  # type: ignore[attr-defined]
"""What calls a thread's ``run``, from 3.14 by a function of C and by attributes that are set once."""
RUN_CODE = threading.Thread.run.__code__
CONDITION_WAIT_CODE = threading.Condition.wait.__code__
_old_join = getattr(threading.Thread, "_wait_for_tstate_lock", None)
OLD_JOIN_CODE = getattr(_old_join, "__code__", None)
"""What ``Thread.join`` waits in up to 3.12; from 3.13 it is a call of C in itself."""
JOIN_CODE = threading.Thread.join.__code__ if OLD_JOIN_CODE is None else None


def thread_call(thread: Any) -> Tuple[Any, Any, Any]:
    """The target of a thread, its arguments and its keyword arguments, while it runs (3.9 to 3.15)."""
    attributes = thread.__dict__
    return attributes.get("_target"), attributes.get("_args"), attributes.get("_kwargs")


def _counts_are_exact() -> bool:
    compiles = getattr(getattr(sys, "_jit", None), "is_enabled", lambda: False)()
    return sys.implementation.name == "cpython" and "t" not in getattr(sys, "abiflags", "") and not compiles


COUNTS_ARE_EXACT = _counts_are_exact()
"""Whether an object says how many references it has, and a frame what it holds.

A build without the GIL counts some references later, or never; what the JIT of 3.13 and later leaves on a stack is not
what the bytecode says.
"""

dangling_threads: Any = threading._dangling.data  # type: ignore[attr-defined]
"""The weak references to all threads by which `threading` forgets them after a fork (3.9 to 3.15)."""


def cancels_of(task: Any) -> int:
    """How often a task was asked to cancel and has not withdrawn it: from 3.11; 0 before, where nobody counts."""
    return int(getattr(task, "cancelling", lambda: 0)())


def is_being_cancelled(task: Any) -> bool:
    """Whether a task that was cancelled has yet to be told, by its loop (3.9 to 3.15)."""
    is_cancelled = attribute(awaited_future(task), "cancelled")  # what libraries have tasks wait for may lack it
    return bool(getattr(task, "_must_cancel", False)) or (is_cancelled is not None and bool(is_cancelled()))


def awaited_future(task: Any) -> Any:
    """The future that a task waits for; None while it runs, or is about to (3.9 to 3.15)."""
    return getattr(task, "_fut_waiter", None)
