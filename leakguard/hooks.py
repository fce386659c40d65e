"""The hooks that note where things are created: what is replaced while a guard is active, and put back after.

`Thread.start`, `_thread.start_new_thread`, the functions that make child processes, and the loops of asyncio.
Each notes a `Birth`: the owner and the raw frames, nothing formatted. When the last guard ends, they are put back; a
hook that somebody else has wrapped meanwhile stays in their chain and does nothing.
"""

from __future__ import annotations

import _thread
import functools
import os
import sys
import threading
import types
import weakref
from typing import Any, Callable, Iterable, List, Set, Tuple

from leakguard import _compat, changes, deaths, origin, temporary
from leakguard.origin import BIRTH, LATE, OWNER, Birth, birth_listeners, current_owner, note_coroutine, note_loop, note_timer
from leakguard.origin import process_births, raw_births, raw_stack, tell


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
                    _watch_tasks(loop)
            frame = frame.f_back


def _note_all(classes: List[Any], note: Callable[[Any], None]) -> None:
    """Note every loop, executor or queue there is: once in a process, when its class was first imported inside a test."""
    import gc

    for thing in gc.get_objects():
        if issubclass(type(thing), tuple(classes)):
            note(thing)


class _Hook:
    """One function of a module or class, replaced while a guard is active."""

    def __init__(self, place: Any, name: str, wrap: Callable[["_Hook", Any], Any]) -> None:
        self.place, self.name, self.wrap = place, name, wrap
        self.active = True
        self.original = getattr(place, name)
        self.wrapper = wrap(self, self.original)
        setattr(place, name, self.wrapper)

    def is_in_place(self) -> bool:
        """Whether nobody has replaced it since."""
        return self.place.__dict__.get(self.name) is self.wrapper

    def put_again(self) -> bool:
        """Replace the function once more; False if it is another one by now."""
        if self.place.__dict__.get(self.name) is not self.original:
            return False
        self.active = True
        setattr(self.place, self.name, self.wrapper)
        return True

    def remove(self) -> bool:
        """Put the original back; False if somebody has wrapped us, so that we can only fall silent."""
        self.active = False
        if self.is_in_place():
            setattr(self.place, self.name, self.original)
            return True
        return False


def _wrap_start(hook: _Hook, original: Any) -> Any:
    def start(self: Any, *args: Any, **kwargs: Any) -> Any:
        if hook.active and BIRTH not in self.__dict__:
            extra = LATE if _thread.get_ident() in origin.starting_for else None
            birth = self.__dict__[BIRTH] = Birth(current_owner(), raw_stack(sys._getframe(1)), extra)
            if birth_listeners:
                tell("thread", birth)
        return original(self, *args, **kwargs)

    start.__doc__, start.__qualname__ = original.__doc__, "Thread.start"
    return start


def _wrap_start_raw(hook: _Hook, original: Any) -> Any:
    def start_new_thread(function: Any, *args: Any, **kwargs: Any) -> Any:  # C's parameters have no names
        if not hook.active:
            return original(function, *args, **kwargs)
        plain = function.__func__ if type(function) is types.MethodType else function
        code = plain.__code__ if type(plain) is types.FunctionType else None
        if code is None and _compat.attribute(type(function).__call__, "__code__") is None:
            function = _in_a_frame(function)
            code = function.__code__
        birth = Birth(current_owner(), raw_stack(sys._getframe(1)), code)
        if birth_listeners:
            tell("thread", birth)
        birth.time = _compat.clock()
        ident = original(function, *args, **kwargs)
        raw_births[ident] = birth
        return ident

    return start_new_thread


def _in_a_frame(function: Any) -> Any:
    """Return what calls a function of C's, such as ``time.sleep``: without a frame of Python's nobody could see it run."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


def _wrap_spawn(hook: _Hook, original: Any) -> Any:
    def spawn(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        if hook.active:
            pid = made if isinstance(made, int) else made[2] if len(made) > 2 else made[0]
            if pid:  # 0: this is the child
                caller = sys._getframe(1)
                birth = Birth(current_owner(), raw_stack(caller), _reference(caller.f_locals.get("self")))
                process_births[pid] = birth
                if birth_listeners:
                    tell("process", birth)
        return made

    spawn.__name__, spawn.__doc__ = getattr(original, "__name__", "spawn"), original.__doc__
    return spawn


def _wrap_process_start(hook: _Hook, original: Any) -> Any:
    def start(self: Any) -> Any:
        original(self)
        if hook.active and self.pid not in process_births:  # made by the forkserver: no function here returned its pid
            birth = process_births[self.pid] = Birth(current_owner(), raw_stack(sys._getframe(1)))
            if birth_listeners:
                tell("process", birth)

    start.__doc__, start.__qualname__ = original.__doc__, original.__qualname__
    return start


def _note_late_starter(thing: Any) -> None:
    """Note who made an executor or queue; one that a module makes when it is imported is the process's, whoever imports it."""
    owner = current_owner()
    if owner is not None and owner.scope != "block" and origin.is_importing(sys._getframe(1)):
        owner = origin.BEFORE
    thing.__dict__.setdefault(BIRTH, Birth(owner, []))


def _wrap_late_starter_init(hook: _Hook, original: Any) -> Any:
    @functools.wraps(original)
    def late_starter_is_made(self: Any, /, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if hook.active:
            _note_late_starter(self)

    return late_starter_is_made


def _wrap_late_start(hook: _Hook, original: Any) -> Any:
    """Threads that are started when there is work are their executor's, and end with it: the owner is whoever made that.

    What a job starts is of whoever has submitted the job.
    """

    @functools.wraps(original)
    def start_late(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if not hook.active:
            return original(self, *args, **kwargs)
        birth, ident, starting = self.__dict__.get(BIRTH), _thread.get_ident(), origin.starting_for
        outer = starting.get(ident)
        starts = (birth.owner if birth is not None else origin.BEFORE, current_owner())
        before, starting[ident] = OWNER.set(None), starts  # a thread may begin with a copy of the context
        try:
            return original(self, *args, **kwargs)
        finally:
            OWNER.reset(before)
            if outer is None:
                starting.pop(ident, None)
            else:
                starting[ident] = outer

    return start_late


def _wrap_job_init(hook: _Hook, original: Any) -> Any:
    @functools.wraps(original)
    def job_is_made(self: Any, /, future: Any, *args: Any, **kwargs: Any) -> None:
        original(self, future, *args, **kwargs)
        _, submitter = origin.starting_for.get(_thread.get_ident(), (None, None))
        if hook.active and submitter is not None:
            origin.jobs[future] = submitter

    return job_is_made


def _wrap_loop_init(hook: _Hook, original: Any) -> Any:
    @functools.wraps(original)
    def loop_is_made(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if hook.active:
            owner = OWNER.get()
            if owner is not None and owner.makes_loop():
                note_loop(self, Birth(owner, []))
            else:
                note_loop(self, Birth(current_owner(), raw_stack(sys._getframe(1))))
                _watch_tasks(self)

    return loop_is_made


def _wrap_loop_new(hook: _Hook, original: Any) -> Any:
    @functools.wraps(original)
    def loop_opens(cls: Any, /, *args: Any, **kwargs: Any) -> Any:
        if not hook.active:
            return original(cls, *args, **kwargs)
        before = _compat.open_descriptors()
        loop = original(cls, *args, **kwargs)
        _compat.note_loop_descriptors(loop, before)
        return loop

    return loop_opens


def _wrap_loop_start(hook: _Hook, original: Any) -> Any:
    @functools.wraps(original)
    def loop_starts(self: Any, *args: Any) -> Any:
        if hook.active and getattr(self, _WATCHED, None) is not (not birth_listeners and self.get_debug()):
            note_loop(self)
            _watch_tasks(self)
        if hook.active and _HAS_RUNNERS:
            owner = OWNER.get()
            if owner is None or not owner.is_own_loop(self):
                owner = current_owner()
                if owner is not None:
                    _compat.run_by_runner(sys._getframe(1), OWNER, owner)
        return original(self, *args)

    return loop_starts


_HAS_RUNNERS = sys.version_info >= (3, 11)


_WATCHED = "_leakguard_is_left_to_python"


def _watch_tasks(loop: Any) -> None:
    """Note where a loop is given its coroutines: on the loop itself, unless that is left to Python.

    In debug mode a frame of ours would be on every stack that asyncio keeps, and Python keeps the origin of coroutines
    anyway: there it is done only for listeners. The loop is referred to weakly: a cycle would keep it alive until the
    next collection.
    """
    is_left = not birth_listeners and loop.get_debug()
    own = getattr(loop, "__dict__", {})  # what is in it is ours already, or somebody else's
    try:
        setattr(loop, _WATCHED, is_left)
        if is_left and getattr(own.get("create_task"), "is_leakguards", False):
            del loop.create_task
        elif "create_task" not in own and not is_left:
            owner = OWNER.get()
            is_own = owner is not None and owner.is_own_loop(loop)
            loop.create_task = _create_task(type(loop), weakref.ref(loop), _compat.runner_code() if is_own else None)
        for name in TIMER_METHODS if origin.notes_timers[0] and not is_left else ():
            if name not in own and hasattr(loop, name):
                setattr(loop, name, _schedules(getattr(type(loop), name), weakref.ref(loop)))
    except AttributeError:
        pass  # a loop with slots: the origin of its tasks stays unknown


def let_go(loop: Any) -> None:
    """Note no more tasks of a loop: it is about to be closed, or no guard is active any more."""
    own = getattr(loop, "__dict__", {})
    for name in ("create_task", *TIMER_METHODS):
        if getattr(own.get(name), "is_leakguards", False):
            delattr(loop, name)
    own.pop(_WATCHED, None)


def _create_task(cls: Any, loop: Any, runner: Any) -> Any:
    """Return what notes the coroutines that a loop is given, but for those by `runner`: the test itself."""

    def create_task(coro: Any, **kwargs: Any) -> Any:  # the parameter's name is asyncio's
        frame = sys._getframe(1)
        if frame.f_code is not runner and hooks.active:
            note_coroutine(coro, frame)
        return cls.create_task(loop(), coro, **kwargs)

    create_task.is_leakguards = True  # type: ignore[attr-defined]
    return create_task


TIMER_METHODS = ("call_at", "add_signal_handler")


def _schedules(original: Any, loop: Any) -> Any:
    """Return what notes the timers that a loop is given; a signal handler's handle is not returned, but found."""

    @functools.wraps(original)
    def schedules(*args: Any, **kwargs: Any) -> Any:
        made = original(loop(), *args, **kwargs)
        number: Any = kwargs.get("sig", args[0] if args else None)
        handle = made if made is not None else _compat.loop_signal_handlers(loop()).get(number)
        if handle is not None:
            _compat.drop_entries(handle, __file__)
        if hooks.active and handle is not None:
            note_timer(handle, sys._getframe(1))
        return made

    schedules.is_leakguards = True  # type: ignore[attr-defined]
    return schedules


def _wrap_submit(hook: _Hook, original: Any) -> Any:
    @functools.wraps(original)
    def run_coroutine_threadsafe(coro: Any, loop: Any) -> Any:  # the parameters' names are asyncio's
        if not hook.active:
            return original(coro, loop)
        note_coroutine(coro, sys._getframe(1), "run_coroutine_threadsafe")
        before = OWNER.set(current_owner())  # a thread of a test has none in its context, of which the loop gets a copy
        try:
            future = original(coro, loop)
        finally:
            OWNER.reset(before)
        origin.submitted[weakref.ref(loop)] = weakref.ref(future)
        return future

    return run_coroutine_threadsafe


def _reference(popen: Any) -> Any:
    """A weak reference to the Popen whose method made a child: it is told when the guard ends that child."""
    try:
        return weakref.ref(popen) if hasattr(popen, "poll") else None
    except TypeError:
        return None


OPTIONAL = frozenset({"timer", "exception", "tempfile", "environ", "file"})
"""Kinds that need hooks which the others do without."""


SHOW_PATHS = frozenset({"file", "exception", "environ"})
"""Of these, those in whose texts a path may be that `tempfile` has made up."""


class Hooks:
    """All hooks together: installed by the first guard that becomes active, removed by the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._hooks: List[_Hook] = []
        self._removed: List[_Hook] = []
        self._buried: List[_Hook] = []
        self._installed_at = -1
        self._late: List[Any] = []
        """Classes that are hooked and that may be imported at any time: those of loops, child processes and what starts threads late."""
        self._wanted: Set[str] = set()
        self.active = False
        """Whether any guard is: for what outlives the hook that made it."""
        self.module_count = 0
        """``len(sys.modules)`` at the last look at them: as long as it stays, there is nothing new to hook."""

    def want(self, kinds: Iterable[str]) -> None:
        """Put in place, until the last guard ends, what only some kinds ask for."""
        new = OPTIONAL.intersection(kinds) - self._wanted
        if new:
            with self._lock:
                self._wanted |= new
                if "exception" in new:
                    deaths.watch_collections(True)
                origin.notes_timers[0] = "timer" in self._wanted
                self.install()

    def acquire(self) -> None:
        """One more guard is active."""
        with self._lock:
            self._users += 1
            self.active = True
            if self._users == 1:
                if not self._install_again():
                    self.install()
        self.update()

    def release(self) -> None:
        """One guard less is active."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self.active = False
                for hook in reversed(self._hooks):
                    (self._removed if hook.remove() else self._buried).append(hook)
                self._hooks = []
                for loop in list(origin.loops):
                    let_go(loop)
                raw_births.clear()
                process_births.clear()
                origin.submitted.clear()
                origin.jobs.clear()
                if self._wanted:
                    self._wanted, self._installed_at, origin.notes_timers[0] = set(), -1, False
                    deaths.watch_collections(False)
                    origin.deaths.clear()
                    origin.has_unchecked[0] = False
                    temporary.made.clear()
                    temporary.issued.clear()
                    changes.births.clear()

    def _install_again(self) -> bool:
        """Put the hooks of the guard before in place, where all is as it was: a tenth of what `install` costs."""
        removed, self._removed = self._removed[::-1], []
        if self._buried or self._installed_at != len(sys.modules):
            return False
        self._hooks = [hook for hook in removed if hook.put_again()]
        _note_running_loops()
        return len(self._hooks) == len(removed)

    def install(self) -> None:
        """Hook every place that is not hooked yet: modules may have been imported since."""
        places: List[Tuple[Any, str, Any]] = [
            (_compat.THREAD, "start", _wrap_start),
            (_thread, "start_new_thread", _wrap_start_raw),
            (_thread, "start_new", _wrap_start_raw),
        ]
        places += [(place, name, _wrap_spawn) for place, name in _compat.spawn_points()]
        places += [(cls, "start", _wrap_process_start) for cls in _compat.process_classes()]
        for cls in _compat.loop_classes():
            places += [(cls, _compat.loop_start(cls), _wrap_loop_start), (cls, "__init__", _wrap_loop_init)]
        for cls, method in _compat.late_starters().items():
            places += [(cls, "__init__", _wrap_late_starter_init), (cls, method, _wrap_late_start)]
        places += [(cls, "__init__", _wrap_job_init) for cls in _compat.job_classes()]
        places += [(module, "run_coroutine_threadsafe", _wrap_submit) for module in _compat.submit_modules()]
        if "file" in self._wanted:
            places += [(cls, "__new__", _wrap_loop_new) for cls in _compat.loop_classes() if _compat.opens_unseen(cls)]
        if "exception" in self._wanted:
            places += deaths.places()
        if "environ" in self._wanted:
            places += changes.places()
        if "tempfile" in self._wanted:
            places += temporary.places()
        if self._wanted & SHOW_PATHS:
            places += temporary.random_places()
        for hook in [hook for hook in self._buried if hook.is_in_place()]:
            hook.active = True
            self._buried.remove(hook)
            self._hooks.append(hook)
        self._late = _late_classes()
        self.module_count = self._installed_at = len(sys.modules)
        _note_running_loops()
        hooked = {(id(hook.place), hook.name) for hook in self._hooks}
        for place, name, wrap in places:
            if (id(place), name) not in hooked and hasattr(place, name):
                self._hooks.append(_Hook(place, name, wrap))

    def update(self) -> None:
        """Hook what was imported since the last look, and find the loops that were made before that."""
        if self.module_count == len(sys.modules):
            return
        with self._lock:
            self.module_count = len(sys.modules)
            known = self._late
            if self._users and len(_late_classes()) > len(known):
                self.install()
                for classes, note in ((_compat.loop_classes(), note_loop), (list(_compat.late_starters()), _note_late_starter)):
                    if any(cls not in known for cls in classes):
                        _note_all(classes, note)


def _late_classes() -> List[Any]:
    return [*_compat.loop_classes(), *_compat.process_classes(), *_compat.late_starters()]


hooks = Hooks()


def _forget_after_fork() -> None:
    """In a forked child, no guard of the parent is active: its threads and children are not ours."""
    for guard in (*origin.open_guards, *origin.wide_guards):
        guard.is_foreign = True
    origin.open_guards.clear()
    origin.wide_guards.clear()
    origin.starting_for.clear()
    process_births.clear()
    raw_births.clear()
    hooks._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    _note_fork = functools.partial(origin.forks.__setitem__, 0, True)
    os.register_at_fork(after_in_child=_forget_after_fork, after_in_parent=_note_fork)
