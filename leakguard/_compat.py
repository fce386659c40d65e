"""Every private or version-dependent name of the standard library, one function each.

Each docstring names the versions. Nothing else in the package may touch a private name.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
import warnings
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

try:
    import _locale
except ImportError:  # pragma: no cover - a Python without locales
    _locale = None  # type: ignore[assignment]

# -- time: out of reach of tests that freeze or replace it ---------------------------------------


def clock(_read: Callable[[], float] = time.perf_counter) -> float:
    """Return seconds of a clock that tests cannot freeze.

    freezegun replaces every module attribute that is a clock, and mocks replace the attribute of
    ``time``: a default argument is out of their reach. time-machine changes the functions themselves, in C:
    2.19 ``time.monotonic`` too, 3.6 not; neither touches ``perf_counter``.
    """
    return _read()


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
    except RuntimeError:
        return  # it was closed just now
    lock.acquire(True, seconds)


# -- threading -----------------------------------------------------------------------------------

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
    return isinstance(thread, DummyThread)


join_thread: Callable[..., None] = threading.Thread.join
"""The plain join: a subclass may override it to stop the thread, and so hide the leak."""


def is_thread_alive(thread: threading.Thread, _is_alive: Callable[..., bool] = threading.Thread.is_alive) -> bool:
    """Whether a thread has not ended; for a `_DummyThread`, whether its system thread still runs Python.

    Up to 3.12 a `_DummyThread` says that it is alive for ever: the table of current frames tells.
    """
    if isinstance(thread, DummyThread):
        return thread.ident in sys._current_frames()
    try:
        return _is_alive(thread)
    except (AssertionError, RuntimeError, AttributeError):
        return False  # __init__ was never called, or a fork has just reset it


def thread_target(thread: threading.Thread) -> Any:
    """The function that a thread runs: its ``_target``, else its own ``run`` (3.9 to 3.15)."""
    target = getattr(thread, "_target", None)
    return target if target is not None else getattr(type(thread), "run", None)


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


def is_asyncio_executor(executor: Any) -> bool:
    """Whether an event loop made this executor for itself: asyncio names it so (3.9 to 3.15), and uvloop."""
    return getattr(executor, "_thread_name_prefix", None) in ("asyncio", "uvloop")


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
    import gc

    return next((r for r in gc.get_referents(task) if isinstance(r, contextvars.Context)), None)


def debug_stack(thing: Any) -> List[Tuple[str, int, str]]:
    """The entries that a loop in debug mode keeps of the creation of a task or a timer."""
    return entries(getattr(thing, "_source_traceback", None))


def entries(summary: Any) -> List[Tuple[str, int, str]]:
    """The (filename, line, function) entries of a stack summary, innermost first."""
    return [(f.filename, f.lineno, f.name) for f in reversed(summary or ())]


_show_warning = getattr(warnings, "_showwarnmsg_impl", None)


def warning_points() -> Tuple[Tuple[Any, str], Tuple[Any, str]]:
    """Where Python is told of a coroutine that was never awaited, and of a warning to show (3.9 to 3.15)."""
    return (warnings, "_warn_unawaited_coroutine"), (warnings, "_showwarnmsg")


def warnings_are_recorded() -> bool:
    """Whether somebody records warnings, as ``catch_warnings(record=True)`` and ``assertWarns`` do (3.9 to 3.15)."""
    if getattr(warnings, "_showwarnmsg_impl", None) is not _show_warning:
        return True
    context = getattr(warnings, "_get_context", None) or getattr(sys.modules.get("_py_warnings"), "_get_context", None)
    return context is not None and getattr(context(), "log", None) is not None


def runs_test(test: Any, task: Any) -> bool:
    """Whether a task is the one that runs now, waits for it, or runs a method of the test (3.9 to 3.15)."""
    tasks = sys.modules.get("asyncio.tasks")
    if tasks is None or not hasattr(task, "get_coro"):
        return False
    current = tasks.current_task() if running_loop() is not None else None
    waiter: Any = task
    for _ in range(64):
        if waiter is None:
            break
        if waiter is current:
            return True
        waiter = getattr(waiter, "_fut_waiter", None)
    frame: Any = getattr(task.get_coro(), "cr_frame", None)
    is_method = frame is not None and frame.f_locals.get("self") is test
    return is_method and frame.f_code.co_name in (test._testMethodName, "asyncSetUp", "asyncTearDown")


def live_task_count() -> int:
    """How many tasks are pending, without asking every loop: from 3.14 only those that are not implemented in C."""
    tasks = asyncio_tasks()
    things = [reference() for reference in global_task_references(tasks).copy()] if tasks is not None else []
    return sum(1 for task in things if task is not None and not task.done())


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


def has_cleanup(test: Any, function: Any) -> bool:
    """Whether `function` is still among the test's cleanups (3.9 to 3.15)."""
    return any(entry[0] == function for entry in getattr(test, "_cleanups", ()))


def add_first_cleanup(test: Any, function: Any) -> None:
    """Register a cleanup that runs after all others, even those that were registered in ``__init__`` (3.9 to 3.15)."""
    test._cleanups.insert(0, (function, (), {}))


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


def exempt_own_task(test: Any, settled: Any) -> None:
    """Add the one task that runs all of an async test on 3.9 and 3.10 to a set; later versions have none."""
    task = getattr(test, "_asyncioCallsTask", None)
    if task is not None:  # pragma: no cover - Python 3.9 and 3.10, run there
        settled.add(task)


def runner_code() -> Any:
    """The code of ``asyncio.Runner.run``, with which an async test runs its parts from 3.11 on."""
    runner = getattr(sys.modules.get("asyncio.runners"), "Runner", None)
    return runner.run.__code__ if runner is not None else None


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


HAS_WAITID = hasattr(os, "waitid") and hasattr(os, "WNOWAIT")


def has_children() -> bool:
    """Whether this process has any child, running or not yet waited for; one system call, nothing is reaped."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def is_child_running(pid: int) -> bool:
    """Whether a child has not ended; one that has ended and was not waited for is not running, and is not reaped.

    macOS has ``os.waitid`` from 3.13 only, Windows never.
    """
    if HAS_WAITID:
        try:
            return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
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


_DESCRIPTORS = next((path for path in ("/proc/self/fd", "/dev/fd") if os.path.isdir(path)), None)


def descriptor_numbers() -> List[int]:
    """The numbers of the open descriptors, and of the one that reads them; without such a list the first 256."""
    if _DESCRIPTORS is None:  # pragma: no cover - Windows
        return list(range(256))
    return [int(name) for name in os.listdir(_DESCRIPTORS)]


def descriptor_target(number: int) -> str:
    """What a descriptor stands for, as Linux says it: a path, ``socket:[1]``, ``anon_inode:[eventpoll]``; else ""."""
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:  # pragma: no cover - macOS and Windows, or a race
        return ""


def descriptor_flags(number: int) -> int:
    """The flags that a descriptor was opened with; those of reading where the platform does not say."""
    try:
        import fcntl

        return fcntl.fcntl(number, fcntl.F_GETFL)
    except (ImportError, OSError):  # pragma: no cover - Windows, or a race
        return os.O_RDONLY


def loop_descriptors(loop: Any) -> List[int]:
    """The descriptors that a loop of asyncio's own opens for itself: its selector and its self-pipe (3.9 to 3.15)."""
    things = [getattr(loop, "_selector", None), getattr(loop, "_ssock", None), getattr(loop, "_csock", None)]
    found = []
    for thing in things:
        try:
            found.append(thing.fileno())  # type: ignore[union-attr]
        except (AttributeError, OSError, ValueError):
            pass  # not of this kind of loop, or closed
    return [number for number in found if number >= 0]


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
    import gc
    import types

    passed = (dict, list, tuple, set, frozenset, types.MethodType, types.CellType)
    left_out = (types.FrameType, types.ModuleType, types.FunctionType, type)
    found: List[Any] = []
    seen, edge = {id(thing)}, [thing]
    for _ in range(2):  # up to 3.12 an instance refers to what it holds through its dict
        ours = {id(edge), id(found), id(sys._getframe())}
        new = [r for r in gc.get_referrers(*edge) if id(r) not in seen and id(r) not in ours]
        new = [r for r in new if not isinstance(r, left_out) and not (type(r) is dict and "__name__" in r)]
        edge = new[:most]
        if not edge:
            break
        seen.update(map(id, edge))
        found += [r for r in edge if not isinstance(r, passed)]
    return found[:most]


def object_with_descriptor(number: int) -> Any:
    """The Python object that has a descriptor open; the outermost of those that wrap each other."""
    import gc
    import io
    import socket

    best: Any = None
    for thing in gc.get_objects():
        if isinstance(thing, (io.IOBase, socket.socket)):
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
        inner = getattr(thing, "buffer", None) or getattr(thing, "raw", None)
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


def known_child_objects() -> Iterator[Tuple[int, Any]]:
    """Yield (pid, object) of the children that multiprocessing keeps on record (3.9 to 3.15)."""
    children = getattr(sys.modules.get("multiprocessing.process"), "_children", ())
    for child in list(children):
        popen = getattr(child, "_popen", None)
        if popen is not None:
            yield popen.pid, child


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


_BLOCKING = frozenset(
    ("accept", "acquire", "get", "recv", "recv_into", "recvfrom", "run_forever", "run_until_complete", "sleep")
)
_CALL_SPAN = 24


def blocking_call(code: Any, instruction: int) -> str:
    """The function of C that an instruction calls, if it is one that blocks; ``with`` for entering a with block.

    It is the name of that kind that was loaded last before the call: the function, unless an argument has such a name.
    A with block is entered by SETUP_WITH up to 3.10, BEFORE_WITH up to 3.13, LOAD_SPECIAL and CALL from 3.14.
    """
    import dis

    before: List[Any] = [i for i in dis.get_instructions(code) if i.offset <= instruction and i.opname != "CACHE"]
    if not before:
        return ""
    if before[-1].opname in ("SETUP_WITH", "BEFORE_WITH") or "LOAD_SPECIAL" in [i.opname for i in before[-2:-1]]:
        return "with"
    names = [i.argval for i in before[-_CALL_SPAN:] if i.opname.startswith("LOAD_")]
    return next((name for name in reversed(names) if isinstance(name, str) and name in _BLOCKING), "")


_Span = Tuple[int, int, str]
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
    around = [full for first, last, full in spans if first <= line <= last and name in (None, full.rpartition(".")[2])]
    return around[-1] if around else name or "<module>"


def _read_spans(filename: str) -> List[_Span]:
    import ast
    import linecache

    spans: List[_Span] = []

    def walk(node: Any, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = prefix
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first: Sequence[Any] = child.decorator_list or [child]
                spans.append((first[0].lineno, child.end_lineno or child.lineno, prefix + child.name))
                inner = prefix + child.name + ".<locals>."
            elif isinstance(child, ast.ClassDef):
                inner = prefix + child.name + "."
            walk(child, inner)

    try:
        walk(ast.parse("".join(linecache.getlines(filename))), "")
    except (SyntaxError, ValueError, RecursionError):
        pass  # no source, or not Python's: the plain name has to do
    return spans


# -- the process's own state ----------------------------------------------------------------------


def raw_environment() -> Dict[Any, Any]:
    """A copy of the environment as the system has it: a tenth of what decoding it costs (3.9 to 3.15)."""
    return dict(os.environ._data)  # type: ignore[attr-defined]


SIGNALS = tuple(int(number) for number in sorted(signal.valid_signals()))

_get_handler: Callable[[int], Any] = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)


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


def current_umask() -> Optional[int]:
    """The umask, which can be read only by setting it: None while another thread might make a file meanwhile."""
    if _thread._count() > 0 or not hasattr(os, "umask"):
        return None
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


# -- monkey patching -----------------------------------------------------------------------------


def gevent_owns_threading() -> bool:
    """Whether gevent has replaced `threading`, so that its threads are greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
