"""Who created a thing and where: the owner in force, the births that the hooks have noted, and places as text."""

from __future__ import annotations

import _thread
import functools
import os
import sys
import weakref
from contextvars import ContextVar
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from leakguard import _compat
from leakguard.model import Place

OWNER: "ContextVar[Any]" = ContextVar("leakguard_owner", default=None)
"""The guard in whose course the current context runs; copied into every task and callback."""

FRAMES = 24
"""Frames kept of a creating stack at most: enough to get from a library's depth to the user's line."""

BIRTH, _NOTED = "_leakguard_birth", "_leakguard_noted"

LATE = "started when there was work"
"""What is noted beside the birth of a thread of an executor or a queue."""

REPORTED = "_leakguard_reported"
"""Entered in a thread once it is on record, or is no test's."""

open_guards: Set[Any] = set()
"""Guards of tests and blocks that are active now, in any thread."""

wide_guards: Dict[Any, Any] = {}
"""Guards of classes, modules and runs that are active now, in the order in which they began -> the thread of each."""


class Birth:
    """Where and in whose course a thing was created; `extra` says more of some.

    That is a raw thread's code, a child's Popen, or how a task was made.
    """

    __slots__ = ("owner", "stack", "extra", "time")

    time: float
    """When a raw thread was started, in seconds of the guard's clock; not set for anything else."""

    def __init__(self, owner: Any, stack: List[Any], extra: Any = None) -> None:
        self.owner = owner
        self.stack = stack
        self.extra = extra


def current_owner() -> Any:
    """The guard in whose course the calling code runs, else None.

    Order: the context, a test that runs in this thread, the owner of this thread's creation. A context that a test has
    kept for the next one names a test that is over; what still turns on a loop is of that test all the same.
    """
    if starting_for and _thread.get_ident() in starting_for:
        return starting_for[_thread.get_ident()][0]
    owner = OWNER.get()
    if owner is None or (owner.is_over() and _compat.running_loop() is None):
        here = _open_in(_thread.get_ident())
        if here is not None:
            return here
    if owner is None:
        birth = birth_of_this_thread()
        owner = birth.owner if birth is not None else None
        if birth is not None and birth.extra is LATE:
            owner = submitter_of(sys._getframe(1)) or owner
        owner = owner if owner is not BEFORE else None  # its jobs are not old
    return owner


def submitter_of(frame: Any) -> Any:
    """The owner of whoever has submitted the job that an executor's worker is at, by a frame of its thread; else None."""
    job = _compat.running_job(frame)
    return jobs.get(job) if job is not None else None


starting_for: Dict[int, Tuple[Any, Any]] = {}
"""Ident of a thread -> the owner of what it is starting right now for an executor or a queue, and its own owner."""

jobs: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()
"""The future of a job -> the owner of whoever has submitted it to an executor."""


def is_importing(frame: Any) -> bool:
    """Whether a module is being imported in the course of what unittest runs, as far as a frame's stack shows."""
    while frame is not None and not _is_unittest_run(frame.f_code):
        if frame.f_code.co_filename == _compat.IMPORTS:
            return True
        frame = frame.f_back
    return False


def _is_unittest_run(code: Any) -> bool:
    return bool(code.co_name == "run" and code.co_filename.startswith(_UNITTEST))


def _open_in(ident: int) -> Any:
    """The innermost guard at work in a thread; a test has the ident of its class, if none of its own.

    Where ``TestSuite.debug()`` has raised out of a class, its guard is there still: of two such the last counts.
    """
    thread = _compat.live_threads.get(ident)
    guards = [guard for guard, its in list(wide_guards.items()) if guard.ident == ident and its is thread]
    guards += [guard for guard in list(open_guards) if (guard.ident or guard.parent.ident) == ident]
    innermost = [one for one in guards if not any(two is not one and two.is_within(one) for two in guards)]
    return innermost[-1] if innermost else None


def birth_of_this_thread() -> Optional[Birth]:
    """What is known of the creation of the thread that calls."""
    ident = _thread.get_ident()
    return birth_of_thread(_compat.live_threads.get(ident)) or raw_births.get(ident)


class _Before:
    """The owner of what was there before any guard: it is never over, so no guard reports what is its own."""

    ident = parent = subject = None
    scope = state = ""

    def is_over(self) -> bool:
        return False

    def makes_loop(self) -> bool:
        return False

    def is_own_loop(self, loop: Any) -> bool:
        return False


BEFORE = _Before()

loops: "weakref.WeakSet[Any]" = weakref.WeakSet()
"""Every event loop that has run while a guard was active."""

submitted: Dict[Any, Any] = {}
"""Weak reference to a loop -> one to the last future that ``run_coroutine_threadsafe`` gave out since the last look.

Its task is made by the loop's own thread, a moment later: until then nobody can see it.
"""

settled_tasks: "weakref.WeakSet[Any]" = weakref.WeakSet()
"""Tasks and async generators that were reported or allowed, and unittest's own task."""

task_births: Dict[Any, Birth] = {}
"""Weak reference to a coroutine -> where it was given to a loop; in debug mode Python keeps where it was made.

Not a WeakKeyDictionary: the same in twice the time.
"""


birth_listeners: List[Callable[[str, Birth], None]] = []
"""Called with kind and birth of each thread and task right before it is created, of a process right after.

Empty unless key tests are being proposed.
"""


def tell(kind: str, birth: Birth) -> None:
    """Tell the listeners of a birth."""
    for listener in list(birth_listeners):
        listener(kind, birth)


def note_loop(loop: Any, birth: Any = True) -> None:
    """Remember an event loop, of whatever class: it has run, so it may have tasks. `birth` is what was seen of its making."""
    if getattr(loop, _NOTED, None) is None:
        if notes_timers[0] and loop not in loops:
            for handle in _compat.loop_handles(loop):
                if _compat.handle_context(handle).get(OWNER) is None:  # from before, when nobody looked
                    settle_timer(handle)
        loops.add(loop)
        try:
            setattr(loop, _NOTED, birth)
        except AttributeError:
            pass  # a loop with slots is looked up in the set each time


def birth_of_loop(loop: Any) -> Optional[Birth]:
    """What is known of a loop's creation; nothing of the test's own, and no line of one that was made before."""
    birth = getattr(loop, _NOTED, None)
    return birth if isinstance(birth, Birth) else None


def birth_of_thread(thread: Any) -> Optional[Birth]:
    """What is known of a thread's creation; None if no guard was active then."""
    return getattr(thread, "__dict__", {}).get(BIRTH)


raw_births: Dict[int, Birth] = {}
"""ident -> creation of a raw thread; overwritten when the system hands the ident out again."""

process_births: Dict[int, Birth] = {}
"""pid -> creation of a child process, until a look finds it gone."""

class Death:
    """Something that died in the background, as plain data but for its owner; see `deaths`."""

    __slots__ = ("name", "cls", "state", "hint", "owner", "created", "stack", "number", "__weakref__")

    count = 0
    """How many there were: a baseline."""

    def __init__(
        self, name: str, cls: str, state: str, hint: str, owner: Any, created: Optional[str], stack: List[Any]
    ) -> None:
        self.name, self.cls, self.state, self.hint = name, cls, state, hint
        self.owner, self.created, self.stack = owner, created, stack
        self.number = Death.count
        Death.count += 1


deaths: List[Death] = []
"""Every death that no check has reported yet."""

has_unchecked = [False]
"""Whether a test ran whose deaths nobody looks for: what a collection takes later may be of that one."""

forks = [False]
"""Whether this process has forked since the last look: what ``from os import fork`` gave to somebody is no hook's."""


def raw_stack(frame: Any) -> List[Any]:
    """Return code objects and instruction offsets from `frame` out to the first that is the user's own.

    No frame is kept and no line is computed: this is paid by every start of a thread. What runs the tests is no
    user's: the stack ends at a ``run()`` of unittest's. In a thread of a library's there
    is none: there the line that created the thread comes last.
    """
    stack: List[Any] = []
    while frame is not None and len(stack) < FRAMES:
        code = frame.f_code
        stack.append((code, frame.f_lasti))
        if rank(code.co_filename) == USER:
            return stack
        if _is_unittest_run(code):
            break
        frame = frame.f_back
    birth = birth_of_this_thread()
    return stack + birth.stack[-1:] if birth is not None else stack


def _stack_of_giver(frame: Any) -> List[Any]:
    """The same of what is given to a loop; empty where a loop was told to do it by somebody who is on no stack."""
    stack = raw_stack(frame)
    return [] if _is_told_to_loop(code.co_filename for code, _ in stack) else stack


def _is_told_to_loop(paths: Iterable[str]) -> bool:
    """Whether a loop has called a method of its own, ``call_soon(loop.call_later, ...)``, by a stack, innermost first."""
    return next((path for path in paths if path not in _SCHEDULING), None) == _CALLING


def note_coroutine(coroutine: Any, frame: Any, extra: Any = None) -> None:
    """Note where a coroutine was given to a loop, unless that is known already."""
    try:
        key = weakref.ref(coroutine, _forget_coroutine)
        if key not in task_births:
            birth = task_births[key] = Birth(current_owner(), _stack_of_giver(frame), extra)
            if birth_listeners:
                tell("task", birth)
    except TypeError:
        pass  # an awaitable that nobody can refer to weakly


timer_births: Dict[int, Tuple[Any, Birth]] = {}
"""id of a timer's handle -> a weak reference to it, and where it was scheduled; handles are compared by their time."""

notes_timers = [False]
"""Whether anybody looks for timers, so that it is worth noting where they are scheduled."""


settled_timers: Dict[int, Any] = {}
"""id -> weak reference to a handle that was reported, allowed, or there before anybody looked."""


def registries() -> Sequence[Any]:
    """What holds weak references to tasks, coroutines, timers and loops here, so that they are known again."""
    weak: Any = (loops, settled_tasks)
    return [*(one.data for one in weak), task_births, *timer_births.values(), settled_timers]


def settle_timer(handle: Any) -> None:
    """Remember that a timer is no leak any more."""
    ident = id(handle)
    settled_timers[ident] = weakref.ref(handle, lambda _: settled_timers.pop(ident, None))


def note_timer(handle: Any, frame: Any) -> None:
    """Note where a timer was scheduled."""
    ident = id(handle)
    reference = weakref.ref(handle, lambda _: timer_births.pop(ident, None))
    timer_births[ident] = reference, Birth(current_owner(), _stack_of_giver(frame))


def birth_of_timer(handle: Any) -> Optional[Birth]:
    """What is known of a timer's creation."""
    reference, birth = timer_births.get(id(handle), (None, None))
    return birth if reference is not None and reference() is handle else None


def _forget_coroutine(reference: Any) -> None:
    task_births.pop(reference, None)


def owner_of(context: Any, birth: Optional[Birth], loop: Any) -> Any:
    """The guard that a thing's birth was noted for, else the one that its context names, or that of its loop.

    A thread begins with an empty context, and in debug mode no birth is noted of what it gives to its loop.
    """
    if birth is not None and birth.owner is not None:
        return birth.owner
    owner = context.get(OWNER) if context is not None else None
    if owner is None:
        birth = birth_of_loop(loop)
        owner = birth.owner if birth is not None else None
    return owner


def birth_of_task(task: Any) -> Optional[Birth]:
    """What is known of a task's creation."""
    return task_births.get(coroutine_key(task))


def coroutine_key(task: Any) -> Any:
    """The key of a task in `task_births`, None if its awaitable cannot be referred to weakly."""
    try:
        return weakref.ref(task.get_coro())
    except TypeError:
        return None


# -- places as text ------------------------------------------------------------------------------

_STDLIB = os.path.dirname(os.__file__) + os.sep
_STDLIB_TESTS = os.path.join(_STDLIB, "test") + os.sep
_UNITTEST = os.path.join(_STDLIB, "unittest") + os.sep
_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
_PLANTS = _OWN + "selftest.py"
_SCHEDULING = [os.path.join(_STDLIB, "asyncio", name) for name in ("base_events.py", "tasks.py")]
_CALLING = os.path.join(_STDLIB, "asyncio", "events.py")
"""Where a loop is given something, and where it calls what it was given: ``Handle._run()``."""
_PACKAGES = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)
START_FOLDER = os.getcwd()

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
    if filename.startswith(START_FOLDER + os.sep):
        filename = filename[len(START_FOLDER) + 1 :]
    elif filename.startswith(_STDLIB):
        filename = filename[len(_STDLIB) :]
    return filename.replace(os.sep, "/")


def find_file(shown: str) -> str:
    """The file that `show_path` shows so, "" if it is none of those below the start folder or the standard library."""
    for folder in (START_FOLDER, _STDLIB):
        full = os.path.join(folder, shown)
        if os.path.isfile(full):
            return full
    return ""


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


def origin_of_birth(birth: Optional[Birth]) -> Optional[str]:
    """The same of a birth that may not have been noted."""
    return origin_of(birth.stack) if birth is not None else None


def birth_texts(birth: Optional[Birth]) -> Tuple[str, ...]:
    """The stack that created a thing, innermost first and without our own frames, as far as it was noted."""
    stack = birth.stack if birth is not None else ()
    return stack_texts([entry for entry in stack if rank(entry[0].co_filename) != OWN])


def origin_of_traceback(frames: Optional[Sequence[Tuple[str, int, Optional[str]]]]) -> Optional[str]:
    """The same for (filename, line, function) entries, innermost first, as Python keeps of a coroutine."""
    if not frames or _is_told_to_loop(path for path, _, _ in frames):
        return None
    best = min(range(len(frames)), key=lambda i: (rank(frames[i][0]), i))
    filename, line, function = frames[best]
    return str(Place(show_path(filename), line, _compat.qualname_at(filename, line, function)))


def traceback_texts(frames: Sequence[Tuple[str, int, Optional[str]]]) -> Tuple[str, ...]:
    """Such entries as text, without our own, to the first line of the user's."""
    texts: List[str] = []
    for filename, line, function in frames:
        if rank(filename) != OWN:
            texts.append(str(Place(show_path(filename), line, _compat.qualname_at(filename, line, function))))
        if rank(filename) == USER:
            break
    return tuple(texts)


def origin_of_allocation(lines: Sequence[Tuple[str, int]]) -> Optional[str]:
    """The same for (filename, line) entries, innermost first, as tracemalloc keeps them."""
    return origin_of_traceback([(filename, line, None) for filename, line in lines])


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
    texts = stack_texts(stack)
    place, called = find_place(stack)
    return texts, texts[place] if place >= 0 else None, operation(*stack[called]) if called >= 0 else None


def stack_texts(stack: Sequence[Any]) -> Tuple[str, ...]:
    """A stack as text, from entries that begin with (code, instruction)."""
    return tuple(str(place_of(entry[0], entry[1])) for entry in stack)


def find_place(stack: Sequence[Any]) -> Tuple[int, int]:
    """Return the index of a stack's one line that is the user's own, and of the operation called from there.

    Each is -1 if there is none: the operation where the user's line is the innermost.
    """
    for wanted in (USER, LIBRARY):
        for i, (code, _, _) in enumerate(stack):
            if rank(code.co_filename) == wanted:
                return i, i - 1
    outermost = len(stack) - 1
    while outermost > 0 and _is_machinery(*stack[outermost]):
        outermost -= 1
    return outermost, outermost


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
