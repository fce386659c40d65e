"""The guard: baseline, verify, close; and `LeakGuard`, the same for a block of code.

`Guard` watches one course: a test, a class, a module, a block or the whole run. Its clean path is what every test
pays, so it is written for speed; whatever is seen is handed to a `Check`.
"""

from __future__ import annotations

import functools
import os
import sys
from _thread import get_ident
from typing import Any, Callable, Dict, Iterable, NamedTuple, Optional, Sequence, Tuple

from leakguard import _compat, hooks, origin
from leakguard.check import Check, Steps, course_listeners, rules_in_force
from leakguard.model import Leak, LeakError, printable
from leakguard.notices import log, warn
from leakguard.policy import Policy, check_options, resolve
from leakguard.probes import ALL
from leakguard.probes.protocol import Probe

__unittest = True

NEW, ACTIVE, CLOSED = range(3)

_owner, _open, _hooks = origin.OWNER, origin.open_guards, hooks.hooks


class Subject(NamedTuple):
    """How a guarded course is named: its id, and its title in the first line of a message."""

    id: str
    title: str


class Guard:
    """One course that is watched. Holds nothing alive once it is closed, as contexts may keep it for ever."""

    # Defaults are on the class: an empty test pays for every attribute that is set on its guard.
    scope = ""
    subject: Any = None
    state = NEW
    shared = False
    """Whether another test ran at the same time, so that what nobody noted is not surely its own."""
    failed = False
    is_foreign = False
    """Whether this is a forked child's copy, which has nothing to check here."""
    is_wide = False
    """Whether the hooks are held by this guard, because none is active around it or it is more than a test's."""
    loop: Any = None
    """The test's own loop, for as long as the verdict lets it turn."""
    leaks: Tuple[Leak, ...] = ()
    error = ""
    """The text of what its check had to raise."""
    waited = 0.0
    """Seconds that its check waited for suspects to end, also where they did."""
    clean: Any = None
    """Probes and baselines of the test that has just ended clean: the next test of the class begins with them."""
    parent: Any = None
    ident = 0
    _previous: Any = None
    _baselines: Sequence[Any] = ()

    def __init__(self, scope: str, subject: Any, policy: Policy) -> None:
        self.scope, self.subject, self.policy = scope, subject, policy
        self.probes = probes_of(policy) if policy.action != "off" else ()
        self.plans: Dict[Any, Any] = {}
        """What is checked of the tests in its course, by method: options are read anew for each wide guard."""

    def __reduce__(self) -> Any:
        """A test that is copied or pickled while it runs, as Django does for each subTest that fails, takes no guard along."""
        return type(None), ()

    def begin(self) -> None:
        """Take the baseline, and own from now on what this thread and its contexts create."""
        self.ident = get_ident()
        self._previous = _owner.get()
        self.parent = origin.current_owner()
        self.widen()
        if self.scope in ("test", "block"):
            self.open()
        else:
            origin.wide_guards[self] = _compat.live_threads.get(self.ident)
        _owner.set(self)
        self.state = ACTIVE
        self._baselines = self.take_baselines()

    def take_baselines(self) -> Sequence[Any]:
        """Take every baseline; a probe that breaks leaves none, says so, and costs the test nothing else."""
        baselines = []
        for probe in self.probes:
            try:
                baselines.append(probe.snapshot())
            except Exception as error:  # any: it is a bug of ours or of the platform's, not of the test
                self._say_broken(probe, error)
                baselines.append(None)
        return baselines

    def _say_broken(self, probe: Probe, error: Exception) -> None:
        what = f"{type(error).__name__}: {printable(error)}"
        title = self.subject.title
        warn(f"leakguard: the {probe.kind} probe broke ({what}): {title} was not fully checked for that kind")

    def widen(self) -> None:
        """Hold the hooks, and look anew at what probes remember."""
        self.is_wide = True
        _begin_own_report(self)
        _hooks.acquire()
        _hooks.want(probe.kind for probe in self.probes)
        self.refresh()

    def open(self) -> None:
        """Enter the guards that are active now; two at the same time know of each other."""
        for other in list(_open):
            if not self.is_within(other):
                for guard in (self, other):
                    while guard is not None and not guard.shared:
                        guard.shared = True
                        guard = guard.parent
        _open.add(self)
        rules_in_force.update(dict.fromkeys(self.policy.ignore))

    def refresh(self) -> None:
        """Let the probes look anew at what they remember from test to test: a fixture may have run since."""
        for probe in ALL:
            try:
                probe.refresh()
            except Exception as error:  # the same as for a baseline
                self._say_broken(probe, error)

    def is_clean(self) -> bool:
        """Whether nothing at all is new: no wait, no stack, no collection."""
        _hooks.update()
        try:
            for probe, baseline in zip(self.probes, self._baselines):
                if probe.suspects(baseline):
                    return False
        except Exception:  # a probe that breaks is caught again, and reported, by the careful look
            return False
        return True

    def verify(self, has_failed: Callable[[], bool] = lambda: False) -> Optional[LeakError]:
        """Give the verdict, letting `loop`, if there is one, turn meanwhile; return the error to raise, if any."""
        if self.is_foreign:
            return None
        if self.is_wide or self.loop is not None:
            origin.forks[0] = True  # look for children that no hook has seen, too: it is cheap here
        if self.is_clean():
            return None
        return self._drive(Check(self).verdict(has_failed))

    def look_now(self, is_exempt: Callable[[Any], bool]) -> Optional[LeakError]:
        """Check in the middle of the course: wait as the end would, put nothing on record, isolate nothing."""
        return None if self.is_clean() else self._drive(Check(self, is_exempt).interim())

    def close(self) -> None:
        """Give back what `begin` took. Safe to call twice."""
        if self.state != ACTIVE:
            return
        self.state = CLOSED
        self._baselines = ()
        self.clean = None
        if not self.is_foreign:
            _open.discard(self)
            if self.is_wide:
                _owner.set(self._previous)
                origin.wide_guards.pop(self, None)
                _hooks.release()
                if course_listeners and not (_open or origin.wide_guards):
                    for listener in course_listeners:
                        listener.rests()
            else:
                _owner.set(self.parent)

    def close_all_within(self) -> None:
        """Close the guards of courses that were cut short, by Ctrl-C or a broken suite: this one judges them."""
        for guard in [*_open, *origin.wide_guards]:
            if guard is not self and guard.is_within(self):
                guard.close()

    def makes_loop(self) -> bool:
        """Whether this is an async test whose own loop is being made: it has no task yet, nor has debug mode begun."""
        return False

    def is_own_loop(self, loop: Any) -> bool:
        """Whether a loop is the one that an async test runs in."""
        return False

    # -- what a check asks ---------------------------------------------------------------------------

    def baselines(self) -> Iterable[Tuple[Probe, Any]]:
        """Return each probe with its baseline, in the order in which they are looked at."""
        return zip(self.probes, self._baselines)

    def is_over(self) -> bool:
        """Whether the course has ended, so that a thing of its own must be somebody else's to report."""
        return self.state == CLOSED

    def is_outermost(self) -> bool:
        """Whether no active guard is around this one."""
        parent = self.parent
        while parent is not None and parent.state != ACTIVE:
            parent = parent.parent
        return parent is None

    def is_within(self, outer: "Guard") -> bool:
        """Whether this course is, or is a part of, another one."""
        guard: Optional[Guard] = self
        while guard is not None and guard is not outer:
            guard = guard.parent
        return guard is outer

    def _drive(self, steps: Steps) -> Optional[LeakError]:
        """Run a check to its end, turning the test's own loop between its steps."""
        with _RoomToWork():
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return]
                loop = self.loop
                if loop is not None and not loop.is_closed() and not loop.is_running():
                    _turn(loop)


def _begin_own_report(guard: Guard) -> None:
    """Let this process have its own report, where the environment asks for it; the import is paid only then."""
    wanted = os.environ.get("LEAKGUARD_REPORT")
    if wanted:
        from leakguard import process_report

        process_report.here.begin(wanted, str(guard.subject.id))


def _turn(loop: Any) -> None:
    """Let a loop that does not run take one turn: no task, no timer, so a frozen clock cannot hold it."""
    try:
        loop.call_soon(loop.stop)
        loop.run_forever()
    except SystemExit as error:
        log("WARNING", f"leakguard: a leaked task called sys.exit({error.code!r}) while it was waited for")


class _RoomToWork:
    """Room on the stack while the guard works, in case a test left a low recursion limit behind."""

    def __enter__(self) -> None:
        self._limit = sys.getrecursionlimit()
        sys.setrecursionlimit(self._limit + 1000)

    def __exit__(self, *_: Any) -> None:
        sys.setrecursionlimit(self._limit)


def probes_of(policy: Policy) -> Tuple[Probe, ...]:
    """Return the probes of a policy, in the order in which they are looked at."""
    is_blind = "thread" in policy.kinds and _compat.gevent_owns_threading()
    if is_blind:
        _say_gevent()
    if "native" in policy.kinds and not _compat.HAS_SYSTEM_THREADS:
        _say_native()
    return _probes_of(policy.kinds, is_blind)


@functools.lru_cache(maxsize=64)
def _probes_of(kinds: Tuple[str, ...], is_blind: bool) -> Tuple[Probe, ...]:
    chosen = [probe for probe in ALL if (probe.choice or probe.kind) in kinds]
    return tuple(probe for probe in chosen if not (is_blind and probe.kind == "thread" and not probe.choice))


@functools.lru_cache(maxsize=None)
def _say_gevent() -> None:
    """Say once in a process that threads are not checked: gevent's are greenlets, of which Python keeps no record."""
    warn("leakguard: gevent has replaced threading, whose threads are greenlets now: leaked threads are not looked for")


@functools.lru_cache(maxsize=None)
def _say_native() -> None:
    """Say once in a process that native threads are not looked for: only Linux lists the threads of a process."""
    warn("leakguard: this platform does not list the threads of a process: native threads are not looked for")


def allow(thing: Any, reason: str) -> None:
    """Declare one thread, task or process as shared on purpose: it is never a leak, and the log says why.

    Raises TypeError if it is none of these, ValueError without a reason.
    """
    if not isinstance(reason, str) or not reason.strip():
        raise ValueError(f"allowLeak must be given a reason, a str that is not empty (got {reason!r})")
    is_known = False
    for probe in ALL:  # an open temporary file is a thing of two kinds
        name = probe.allow(thing)
        if name is not None:
            log("INFO", f"leakguard: {probe.kind} {name!r} is allowed: {reason}")
            is_known = True
    if not is_known:
        what = type(thing).__qualname__
        raise TypeError(f"allowLeak takes a thread, a task or a running child process (got {what})")


class LeakGuard:
    """The same check for a block of code: ``with``, ``async with``, or a decorator of ``def`` and ``async def``.

    Options are those of the policy without ``leak_``: action, threshold, grace (seconds), kinds, ignore, scope,
    verdicts.
    Inside a running event loop use ``async with``: a plain ``with`` cannot wait for the loop's tasks.

    After the block ``.leaks`` has what was found. Raises LeakError at the end of the block, unless the block raises
    itself; TypeError for an unknown option, ValueError for a bad value, both at once.
    """

    def __init__(self, *, name: str = "block", **options: Any) -> None:
        self._name = name
        self._subject = Subject(name, name)
        self._options = check_options(options)
        self._guard: Optional[Guard] = None
        self.leaks: Tuple[Leak, ...] = ()

    def __enter__(self) -> "LeakGuard":
        if self._guard is not None:
            raise RuntimeError("LeakGuard is already active: one object guards one block at a time")
        policy = resolve(given=self._options)
        if policy.action != "off":
            self._guard = Guard("block", self._subject, policy)
            self._guard.begin()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        guard, self._guard = self._guard, None
        if guard is None:
            return
        try:
            guard.failed = kind is not None
            self._finish(guard, guard.verify())
        finally:
            guard.close()

    async def __aenter__(self) -> "LeakGuard":
        return self.__enter__()

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        guard, self._guard = self._guard, None
        if guard is None:
            return
        try:
            guard.failed = kind is not None
            guard.loop = _compat.running_loop()
            found = None
            try:
                if not guard.is_clean():
                    found = await _Turns(Check(guard, _compat.is_at_work_here).verdict(lambda: False))
            except BaseException as error:  # cancelled, or interrupted: what there is now is said, and nobody waits for it
                self._give_up(guard, error)
                raise
            self._finish(guard, found)
        finally:
            guard.close()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Guard every call of a function or coroutine function, each with a guard of its own.

        A function that returns a coroutine, as a decorated ``async def`` may, is guarded until that has ended.
        """
        import inspect  # a third of our import, unless somebody has imported it

        is_generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
        if not callable(function) or isinstance(function, type) or is_generator:
            what = "a generator function" if is_generator else repr(function)
            raise TypeError(f"LeakGuard decorates a function or a coroutine function (got {what})")

        name = getattr(function, "__qualname__", self._name)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def guarded_coroutine(*args: Any, **kwargs: Any) -> Any:
                async with LeakGuard(name=name, **self._options):
                    return await function(*args, **kwargs)

            return guarded_coroutine

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            with LeakGuard(name=name, **self._options):
                made = function(*args, **kwargs)
            return guarded_to_its_end(made) if inspect.iscoroutine(made) else made

        async def guarded_to_its_end(coroutine: Any) -> Any:
            async with LeakGuard(name=name, **self._options):
                return await coroutine

        return guarded

    @classmethod
    def around_tasks_of(cls, guard: Guard) -> "LeakGuard":
        """Return what checks a coroutine that is a whole test for tasks, by the name and the policy of that test."""
        policy = guard.policy
        block = cls(action=policy.action, threshold=policy.threshold, grace=policy.grace, kinds="task")
        block._options["ignore"] = policy.ignore
        block._subject = guard.subject
        return block

    def _give_up(self, guard: Guard, error: BaseException) -> None:
        """Say what there is, which is left to the guard around this one; what is on record by now is said once more."""
        self.leaks, text = guard.leaks, guard.error
        if not text:
            guard.policy = guard.policy._replace(grace=0.0)
            guard.loop = None if isinstance(error, GeneratorExit) else guard.loop  # no loop may turn in a close()
            found = guard.look_now(_compat.is_at_work_here)
            self.leaks, text = (found.leaks, str(found)) if found is not None else ((), "")
        if text:
            log("WARNING", f"{text}\n(logged: the check was cut short)")

    def _finish(self, guard: Guard, error: Optional[LeakError]) -> None:
        self.leaks = guard.leaks
        if error is not None:
            raise error


class _Turns:
    """Awaiting it runs a check to its end, one turn of the running loop a step, as ``asyncio.sleep(0)`` would."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def __await__(self) -> Any:
        return (yield from self._steps)
