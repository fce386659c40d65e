"""Who created a thing and where: the owner in force, the hooks that note births, and places as text.

While a guard is active, `Thread.start`, `_thread.start_new_thread` and the functions that make child
processes note a `Birth`: the owner and the raw frames, nothing formatted. When the last guard ends, they
are put back; a hook that somebody else has wrapped meanwhile stays in their chain and does nothing.
"""

from __future__ import annotations

import _thread
import functools
import os
import sys
import threading
import weakref
from contextvars import ContextVar
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from leakguard import _compat
from leakguard.model import Place

OWNER: "ContextVar[Any]" = ContextVar("leakguard_owner", default=None)
"""The guard in whose course the current context runs; copied into every task and callback."""

FRAMES = 24
"""Frames kept of a creating stack at most: enough to get from a library's depth to the user's line."""

_BIRTH, _NOTED = "_leakguard_birth", "_leakguard_noted"

open_guards: Set[Any] = set()
"""Guards of tests and blocks that are active now, in any thread."""

wide_guards: Set[Any] = set()
"""Guards of classes, modules and runs that are active now."""


class Birth:
    """Where and in whose course a thing was created; `extra` is a raw thread's code or a child's Popen."""

    __slots__ = ("owner", "stack", "extra", "time")

    time: float
    """When a raw thread was started, in seconds of the guard's clock; not set for anything else."""

    def __init__(self, owner: Any, stack: List[Any], extra: Any = None) -> None:
        self.owner = owner
        self.stack = stack
        self.extra = extra


def current_owner() -> Any:
    """The guard in whose course the calling code runs, else None.

    Order: the context, a test that runs in this thread, the owner of this thread's creation.
    """
    owner = OWNER.get()
    if owner is None:
        ident = _thread.get_ident()
        owner = next((guard for guard in list(open_guards) if guard.ident == ident), None)
        if owner is None:
            birth = birth_of_thread(_compat.live_threads.get(ident)) or raw_births.get(ident)
            owner = birth.owner if birth is not None else None
    return owner


loops: "weakref.WeakSet[Any]" = weakref.WeakSet()
"""Every event loop that has run while a guard was active."""

settled_tasks: "weakref.WeakSet[Any]" = weakref.WeakSet()
"""Tasks and async generators that were reported or allowed, and unittest's own task."""

task_births: "weakref.WeakKeyDictionary[Any, Birth]" = weakref.WeakKeyDictionary()
"""Coroutine -> where it was given to a loop; in debug mode Python itself keeps where it was made."""


def birth_of_thread(thread: Any) -> Optional[Birth]:
    """What is known of a thread's creation; None if no guard was active then."""
    return getattr(thread, "__dict__", {}).get(_BIRTH)


raw_births: Dict[int, Birth] = {}
"""ident -> creation of a raw thread; overwritten when the system hands the ident out again."""

process_births: Dict[int, Birth] = {}
"""pid -> creation of a child process, until a look finds it gone."""

forks = [False]
"""Whether this process has forked since the last look: what ``from os import fork`` gave to somebody is no hook's."""


def raw_stack(frame: Any) -> List[Any]:
    """Return code objects and instruction offsets from `frame` out to the first that is the user's own.

    No frame is kept and no line is computed: this is paid by every start of a thread.
    """
    stack: List[Any] = []
    while frame is not None and len(stack) < FRAMES:
        code = frame.f_code
        stack.append((code, frame.f_lasti))
        if rank(code.co_filename) == USER:
            break
        frame = frame.f_back
    return stack


def note_coroutine(coroutine: Any, frame: Any) -> None:
    """Note where a coroutine was given to a loop, unless that is known already."""
    try:
        if coroutine not in task_births:
            task_births[coroutine] = Birth(OWNER.get() or current_owner(), raw_stack(frame))
    except TypeError:
        pass  # an awaitable that nobody can refer to weakly


def birth_of_task(task: Any) -> Optional[Birth]:
    """What is known of a task's creation."""
    try:
        return task_births.get(task.get_coro())
    except TypeError:
        return None


# -- hooks ---------------------------------------------------------------------------------------


def _note_running_loops() -> None:
    """Note the loops that run already, in whatever thread: their frames have them."""
    if not _compat.loop_classes():
        return
    frame: Any
    for frame in sys._current_frames().values():
        while frame is not None:
            if frame.f_code.co_name == "run_forever":
                loop = frame.f_locals.get("self")
                if isinstance(loop, tuple(_compat.loop_classes())):
                    note_loop(loop)
            frame = frame.f_back


def _note_all_loops() -> None:
    """Note every loop there is: once in a process, when asyncio was first imported inside a test."""
    import gc

    classes = tuple(_compat.loop_classes())
    for thing in gc.get_objects():
        if issubclass(type(thing), classes):
            note_loop(thing)


def note_loop(loop: Any) -> None:
    """Remember an event loop, of whatever class: it has run, so it may have tasks."""
    if getattr(loop, _NOTED, None) is None:
        loops.add(loop)
        try:
            setattr(loop, _NOTED, True)
        except AttributeError:
            pass  # a loop with slots is looked up in the set each time


class _Hook:
    """One function of a module or class, replaced while a guard is active."""

    def __init__(self, place: Any, name: str, wrap: Callable[["_Hook", Any], Any]) -> None:
        self.place, self.name = place, name
        self.active = True
        self.original = getattr(place, name)
        self.wrapper = wrap(self, self.original)
        setattr(place, name, self.wrapper)

    def is_in_place(self) -> bool:
        """Whether nobody has replaced it since."""
        return vars(self.place).get(self.name) is self.wrapper

    def remove(self) -> bool:
        """Put the original back; False if somebody has wrapped us, so that we can only fall silent."""
        self.active = False
        if self.is_in_place():
            setattr(self.place, self.name, self.original)
            return True
        return False


def _wrap_start(hook: _Hook, original: Any) -> Any:
    def start(self: Any, *args: Any, **kwargs: Any) -> Any:
        if hook.active and _BIRTH not in self.__dict__:
            self.__dict__[_BIRTH] = Birth(OWNER.get() or current_owner(), raw_stack(sys._getframe(1)))
        return original(self, *args, **kwargs)

    start.__doc__, start.__qualname__ = original.__doc__, "Thread.start"
    return start


def _wrap_start_raw(hook: _Hook, original: Any) -> Any:
    def start_new_thread(function: Any, *args: Any, **kwargs: Any) -> Any:
        if not hook.active:
            return original(function, *args, **kwargs)
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        birth = Birth(current_owner(), raw_stack(sys._getframe(1)), code)
        birth.time = _compat.clock()
        ident = original(function, *args, **kwargs)
        raw_births[ident] = birth
        return ident

    return start_new_thread


def _wrap_spawn(hook: _Hook, original: Any) -> Any:
    def spawn(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        if hook.active:
            pid = made if isinstance(made, int) else made[2] if len(made) > 2 else made[0]
            if pid:  # 0: this is the child
                caller = sys._getframe(1)
                process_births[pid] = Birth(current_owner(), raw_stack(caller), _reference(caller.f_locals.get("self")))
        return made

    spawn.__name__, spawn.__doc__ = getattr(original, "__name__", "spawn"), original.__doc__
    return spawn


def _wrap_process_start(hook: _Hook, original: Any) -> Any:
    def start(self: Any) -> Any:
        original(self)
        if hook.active and self.pid not in process_births:  # made by the forkserver: no function here returned its pid
            process_births[self.pid] = Birth(current_owner(), raw_stack(sys._getframe(1)))

    start.__doc__, start.__qualname__ = original.__doc__, original.__qualname__
    return start


def _wrap_loop_init(hook: _Hook, original: Any) -> Any:
    @functools.wraps(original)
    def loop_is_made(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if hook.active:
            note_loop(self)
            _watch_tasks(self, hook)

    return loop_is_made


def _wrap_loop_start(hook: _Hook, original: Any) -> Any:
    @functools.wraps(original)
    def loop_starts(self: Any, *args: Any) -> Any:
        if hook.active:
            note_loop(self)
            _watch_tasks(self, hook)
        return original(self, *args)

    return loop_starts


def _watch_tasks(loop: Any, hook: _Hook) -> None:
    """Note where a loop is given its coroutines: on the loop itself, and not in debug mode.

    In debug mode a frame of ours would be on every stack that asyncio keeps, and Python keeps the origin of coroutines
    anyway. The loop is referred to weakly: a cycle would keep it alive until the next collection.
    """
    own = getattr(loop, "__dict__", None)
    if own is None:
        return
    if loop.get_debug():
        if getattr(own.get("create_task"), "is_leakguards", False):
            del own["create_task"]
        return
    if "create_task" in own:
        return
    reference, cls = weakref.ref(loop), type(loop)

    def create_task(coroutine: Any, **kwargs: Any) -> Any:
        if hook.active:
            note_coroutine(coroutine, sys._getframe(1))
        return cls.create_task(reference(), coroutine, **kwargs)

    create_task.is_leakguards = True  # type: ignore[attr-defined]
    own["create_task"] = create_task


def _wrap_submit(hook: _Hook, original: Any) -> Any:
    @functools.wraps(original)
    def run_coroutine_threadsafe(coroutine: Any, *args: Any, **kwargs: Any) -> Any:
        if hook.active:
            note_coroutine(coroutine, sys._getframe(1))
        return original(coroutine, *args, **kwargs)

    return run_coroutine_threadsafe


def _reference(popen: Any) -> Any:
    """A weak reference to the Popen whose method made a child: it is told when the guard ends that child."""
    try:
        return weakref.ref(popen) if hasattr(popen, "poll") else None
    except TypeError:
        return None


class Hooks:
    """All hooks together: installed by the first guard that becomes active, removed by the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._hooks: List[_Hook] = []
        self._buried: List[_Hook] = []
        self.knows_loops = False
        """Whether the loops of asyncio are hooked: not before somebody imports it."""

    def acquire(self) -> None:
        """One more guard is active."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self.install()

    def release(self) -> None:
        """One guard less is active."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._buried += [hook for hook in reversed(self._hooks) if not hook.remove()]
                self._hooks = []
                raw_births.clear()
                process_births.clear()

    def install(self) -> None:
        """Hook every place that is not hooked yet: modules may have been imported since."""
        places: List[Tuple[Any, str, Any]] = [
            (threading.Thread, "start", _wrap_start),
            (_thread, "start_new_thread", _wrap_start_raw),
            (_thread, "start_new", _wrap_start_raw),
        ]
        places += [(place, name, _wrap_spawn) for place, name in _compat.spawn_points()]
        if _compat.process_class() is not None:
            places.append((_compat.process_class(), "start", _wrap_process_start))
        for cls in _compat.loop_classes():
            places += [(cls, _compat.loop_start(cls), _wrap_loop_start), (cls, "__init__", _wrap_loop_init)]
        places += [(module, "run_coroutine_threadsafe", _wrap_submit) for module in _compat.submit_modules()]
        for hook in [hook for hook in self._buried if hook.is_in_place()]:
            hook.active = True
            self._buried.remove(hook)
            self._hooks.append(hook)
        self.knows_loops = bool(_compat.loop_classes())
        _note_running_loops()
        hooked = {(id(hook.place), hook.name) for hook in self._hooks}
        for place, name, wrap in places:
            if (id(place), name) not in hooked and hasattr(place, name):
                self._hooks.append(_Hook(place, name, wrap))

    def update(self) -> None:
        """Hook asyncio's loops if it was imported since the last look, and find those that were made before that."""
        with self._lock:
            if self._users and not self.knows_loops and "asyncio.base_events" in sys.modules:
                self.install()
                _note_all_loops()


hooks = Hooks()


def _forget_after_fork() -> None:
    """In a forked child, no guard of the parent is active: its threads and children are not ours."""
    for guard in (*open_guards, *wide_guards):
        guard.is_foreign = True
    open_guards.clear()
    wide_guards.clear()
    process_births.clear()
    raw_births.clear()
    hooks._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork, after_in_parent=functools.partial(forks.__setitem__, 0, True))

# -- places as text ------------------------------------------------------------------------------

_STDLIB = os.path.dirname(os.__file__) + os.sep
_STDLIB_TESTS = os.path.join(_STDLIB, "test") + os.sep
_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
_PLANTS = _OWN + "selftest.py"
_PACKAGES = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)
_START_FOLDER = os.getcwd()

USER, LIBRARY, STDLIB, OWN = range(4)


@functools.lru_cache(maxsize=4096)
def rank(filename: str) -> int:
    """Whose code a file is: the user's, an installed package's, the standard library's, or our own."""
    if filename == _PLANTS:
        return USER
    if filename.startswith(_OWN):
        return OWN
    if any(part in filename for part in _PACKAGES):
        return LIBRARY
    if filename.startswith("<frozen ") or (filename.startswith(_STDLIB) and not filename.startswith(_STDLIB_TESTS)):
        return STDLIB
    return USER


def show_path(filename: str) -> str:
    """A path as reports show it: relative to the folder the run began in, else to where packages are installed."""
    for part in _PACKAGES:
        if part in filename:
            return filename.split(part)[-1].replace(os.sep, "/")
    if filename.startswith(_START_FOLDER + os.sep):
        filename = filename[len(_START_FOLDER) + 1 :]
    elif filename.startswith(_STDLIB):
        filename = filename[len(_STDLIB) :]
    return filename.replace(os.sep, "/")


def place_of(code: Any, instruction: int) -> Place:
    """The place of an instruction of a code object."""
    return Place(show_path(code.co_filename), _compat.line_of(code, instruction), _compat.qualname(code))


def origin_of(stack: Optional[Sequence[Any]]) -> Optional[str]:
    """The line that created a thing: the innermost one that is the user's own, as text; None if nothing is known.

    Installed packages count only where no frame is the user's, the standard library only where nothing else is.
    """
    if not stack:
        return None
    best = min(range(len(stack)), key=lambda i: (rank(stack[i][0].co_filename), i))
    return str(place_of(*stack[best]))


def origin_of_traceback(frames: Optional[Sequence[Tuple[str, int, str]]]) -> Optional[str]:
    """The same for (filename, line, function) entries, innermost first, as Python keeps of a coroutine."""
    if not frames:
        return None
    best = min(range(len(frames)), key=lambda i: (rank(frames[i][0]), i))
    filename, line, function = frames[best]
    return str(Place(show_path(filename), line, _compat.qualname_at(filename, line, function)))


def frames_of(frame: Any, limit: int = 64) -> List[Any]:
    """The live frames of a stack, innermost first, leaving out our own."""
    frames: List[Any] = []
    while frame is not None and len(frames) < limit:
        if rank(frame.f_code.co_filename) != OWN:
            frames.append(frame)
        frame = frame.f_back
    return frames


def describe_stack(stack: Sequence[Any]) -> Tuple[Tuple[str, ...], Optional[str], Optional[str]]:
    """Return a stack as text, its one line that is the user's own, and the operation called from there.

    `stack` is (code, instruction, module) innermost first.
    """
    texts = tuple(str(place_of(code, instruction)) for code, instruction, _ in stack)
    for wanted in (USER, LIBRARY):
        for i, (code, _, _) in enumerate(stack):
            if rank(code.co_filename) == wanted:
                return texts, texts[i], operation(*stack[i - 1]) if i else None
    outermost = len(stack) - 1
    while outermost > 0 and _is_machinery(*stack[outermost]):
        outermost -= 1
    if outermost < 0:
        return texts, None, None
    return texts, texts[outermost], operation(*stack[outermost])


def _is_machinery(code: Any, instruction: int, module: str) -> bool:
    """Whether a frame is only how a thread or an executor calls what it was given."""
    if module == "threading":
        return code.co_name in ("_bootstrap", "_bootstrap_inner", "run")
    return module == "concurrent.futures.thread" and code.co_name in ("_worker", "run")


_PUBLIC = {"asyncio", "concurrent.futures", "multiprocessing", "unittest", "socketserver"}


def operation(code: Any, instruction: int, module: str) -> str:
    """A library function as its user knows it: ``queue.Queue.get``, ``asyncio.sleep``."""
    package = module.rpartition(".")[0]
    while package:
        if package in _PUBLIC:
            module = package
            break
        package = package.rpartition(".")[0]
    return f"{module}.{_compat.qualname(code)}"
