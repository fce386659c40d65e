"""The glue to unittest: `attach` a guard to a test, `LeakGuardMixin`, `LeakGuardTestCase`, `guard_module`."""

from __future__ import annotations

import functools
import sys
import unittest
from _thread import get_ident
from types import MethodType
from typing import Any, Callable, Dict, Optional

from leakguard import _compat, guard, hooks, origin
from leakguard.check import course_listeners
from leakguard.guard import ACTIVE, CLOSED, Guard, LeakGuard, Subject, probes_of
from leakguard.model import LeakError
from leakguard.notices import warn
from leakguard.policy import ATTRIBUTES, Policy, check_class, check_environment, has_options, key_category
from leakguard.policy import methods_with_options, resolve

__unittest = True

_RUN: Any = unittest.TestCase.run.__code__
_CLEANUPS: Any = unittest.TestCase.doCleanups.__code__

_OPTIONS = frozenset(ATTRIBUTES)

_owner, _open, _hooks, _modules = origin.OWNER, origin.open_guards, hooks.hooks, sys.modules


class Plan:
    """What is checked of a test method, and of all of its class that have no options of their own.

    Worked out once for as long as the guard around them is active: it is three times as dear as the check.
    """

    # has_plain_run: whether unittest's own run() runs the tests, and so calls doCleanups() at their end
    # is_fresh: whether a test needs a baseline of its own, also after one that has ended clean
    # names_itself: whether the class has an id() of its own
    # others: the names of methods that it is not for
    __slots__ = (
        "cls", "name", "names_itself", "others", "policy", "probes", "is_async", "is_fresh", "has_plain_run", "snapshots", "looks"
    )  # fmt: skip

    others: Any

    def __init__(self, cls: Any, method: str) -> None:
        self.cls = cls
        function = getattr(cls, method, None)
        self.policy = policy = resolve(cls, function)
        is_off = policy.action == "off" or (policy.scope == "key" and key_category(cls, function) is None)
        self.probes = () if is_off else probes_of(policy)
        if is_off or "exception" not in policy.kinds:
            origin.has_unchecked[0] = True
        self.snapshots = tuple(probe.snapshot for probe in self.probes)
        self.looks = tuple(probe.suspects for probe in self.probes)
        self.is_async = hasattr(cls, "addAsyncCleanup")
        self.is_fresh = self.is_async or not all(probe.carries_over for probe in self.probes)
        self.has_plain_run = cls.run is unittest.TestCase.run or cls.run.__module__ == "unittest.async_case"
        self.name = class_name(cls)
        self.names_itself = cls.id is not unittest.TestCase.id


class TestGuard(Guard):
    """The guard of one test, begun when it is made; written for speed, as every test pays for it."""

    scope = "test"
    state = ACTIVE
    is_verified = False
    has_gone_well = False
    """Whether no part of a test that has left something has failed or skipped it, where that is known for certain."""
    has_left_nothing = False
    result: Any = None
    begun_by: Any = None
    """The result that began it, of a test whose class lacks the mixin."""
    began = 0.0
    """When it began, by the guard's clock, where a report was asked for."""
    has_succeeded = False
    """Whether the test and its cleanups have, where a report was asked for."""
    otherwise = ""
    """``skipped`` or ``expected failure``, if that has come of a test that has left something."""
    plans: Dict[Any, Any] = {}
    _subject: Optional[Subject] = None

    def __init__(self, test: Any) -> None:
        self.test = test
        self.parent = parent = _owner.get()
        self.method = method = test._testMethodName
        plan = parent.plans.get(type(test)) if parent is not None else None
        if plan is None or method in plan.others:
            plan = parent.plans.get(method) if parent is not None else None
        if plan is None or plan.cls is not type(test) or _open or parent.state != ACTIVE:
            plan = self._begin_carefully(type(test), method)
        else:
            _open.add(self)
        self.plan = plan
        if course_listeners:
            for listener in course_listeners:
                listener.begins(self)
        _owner.set(self)
        if plan.is_async:
            _compat.set_in_test_context(test, _owner, self)
        clean = parent.clean if parent is not None else None
        if clean is not None and clean[0] is plan.probes:
            parent.clean = None
            self._baselines = clean[1]
        else:
            try:
                self._baselines = [snapshot() for snapshot in plan.snapshots]
            except Exception:  # a probe that breaks is named by the careful way
                self._baselines = self.take_baselines()
        if test._testMethodName in test.__dict__:
            self._look_into(_compat.async_to_sync_method(test))

    def _begin_carefully(self, cls: Any, method: str) -> Plan:
        """Begin the first run of a method, a test with nobody around it, or one that is not alone."""
        plan = self.plan = Plan(cls, method)
        self._previous = self.parent
        self.ident = get_ident()
        self.parent = parent = origin.current_owner()
        if parent is None or parent.state != ACTIVE:
            self.widen()
        else:
            if parent.scope != "test":
                parent.plans[method] = plan
            if parent.scope == "class" and not has_options(getattr(cls, method, None)):
                plan.others = methods_with_options(cls)
                parent.plans[cls] = plan
            _hooks.want(probe.kind for probe in plan.probes)
            _hooks.update()
        self.open()
        return plan

    def _look_into(self, method: Any) -> None:
        """Look for tasks before an async test of Django's returns: then they are cancelled, and nobody could see them."""
        if method is None or not any(probe.kind == "task" for probe in self.probes):
            return
        method.awaitable = functools.partial(_look_before_it_returns, self, method.awaitable)

    @property
    def probes(self) -> Any:  # type: ignore[override]
        """The probes that run."""
        return self.plan.probes

    @property
    def policy(self) -> Policy:  # type: ignore[override]
        """The policy of the test's method."""
        return self.plan.policy

    @property
    def subject(self) -> Subject:
        """How the test is named; one with an ``id()`` of its own is asked."""
        if self._subject is None and self.plan.names_itself:
            return _named_by_itself(self.test)
        if self._subject is None:
            name = self.plan.name
            self._subject = Subject(f"{name}.{self.method}", f"{self.method} ({name})")
        return self._subject

    def name(self) -> str:
        """The id of the test, without the title, which only a message needs."""
        plan = self.plan
        return self.subject.id if plan.names_itself else f"{plan.name}.{self.method}"

    def is_clean(self) -> bool:
        """Whether nothing is new, on the test's own loop neither."""
        plan = self.plan
        if plan.is_async:
            self.loop = loop = _compat.test_loop(self.test)
            if loop is not None:
                origin.note_loop(loop)
                _compat.exempt_own_task(self.test, origin.settled_tasks)
            origin.forks[0] = True
        if len(_modules) != _hooks.module_count:
            _hooks.update()
        try:
            for look, baseline in zip(plan.looks, self._baselines):
                if look(baseline):
                    return False
        except Exception:  # a probe that breaks is caught again, and reported, by the careful look
            return False
        parent = self.parent
        if parent is not None and parent.scope == "class" and not plan.is_fresh:
            parent.clean = (plan.probes, self._baselines)
        return True

    def makes_loop(self) -> bool:
        """Whether the test's own loop is being made now."""
        return self.plan.is_async and self.test is not None and _compat.test_loop(self.test) is None

    def is_own_loop(self, loop: Any) -> bool:
        """Whether the test runs in this loop."""
        return self.plan.is_async and self.test is not None and _compat.test_loop(self.test) is loop

    def verdict(self) -> None:
        """Give the verdict, as a cleanup after which no other runs. Raises LeakError."""
        __tracebackhide__ = True  # pytest's word for what unittest calls ``__unittest``
        self.is_verified = True
        self.otherwise = _compat.otherwise_of(self.test, self._has_failed)
        error = self.verify(self._has_failed)
        if error is not None:
            raise error

    def _has_failed(self) -> bool:
        """Whether the test has failed; the result may have failures of an earlier run of the same object, too."""
        return not self.has_gone_well and _compat.has_failed(self.test, self.result)

    def first_cleanup(self) -> None:
        """Give the verdict where somebody else's ``run()`` leaves no other way: registered first, so run last.

        In a test that calls ``doCleanups()`` itself this comes too early: then it is not the verdict.
        """
        frame: Any = sys._getframe(1)
        while frame is not None and frame.f_code is not _CLEANUPS:
            frame = frame.f_back
        if frame is None or _is_final_pass(frame.f_back):
            self.verdict()

    def _was_skipped(self) -> bool:
        """Whether a framework has skipped the test in its own way, and the test has left nothing."""
        return _compat.is_last(getattr(self.result, "skipped", None), self.test) and self.is_clean()

    def end(self, *, is_interrupted: bool) -> None:
        """End the course; say so if the test ran and was not checked."""
        test, plan = self.test, self.plan
        if not self.is_verified and plan.probes and not self.is_foreign:
            _compat.drop_cleanup(test, _look_at_last)
            _compat.drop_cleanup(test, self.verdict)
            if not (is_interrupted or _is_skipped(test) or self._was_skipped()):
                warn(f"leakguard: {self.subject.title} was not checked for leaks: its cleanups were cleared or not run")
        if self.begun_by is None and not _OPTIONS.isdisjoint(test.__dict__):
            names = ", ".join(sorted(_OPTIONS.intersection(test.__dict__)))
            warn(f"leakguard: {names} of {self.subject.title} itself is not taken: set it on the class, or by @leak_policy")
        if plan.names_itself:
            self._subject = _named_by_itself(test)
        if course_listeners:
            for listener in course_listeners:
                listener.ends(self)
        self.test = None
        if self.is_wide or self.is_foreign or plan.is_async:
            self.loop = self.result = None
            self.close()
        else:  # the same, for the many
            self.state = CLOSED
            self._baselines = ()
            _open.discard(self)
            _owner.set(self.parent)


def _look_at_last(guard: Optional[TestGuard]) -> None:
    __tracebackhide__ = True
    if guard is not None:  # else this is a copy of the test
        guard.first_cleanup()


async def _look_before_it_returns(guard: Optional[TestGuard], awaitable: Any, *args: Any, **kwargs: Any) -> Any:
    if guard is None:  # in a copy of the test
        return await awaitable(*args, **kwargs)
    has_returned = False
    try:
        async with LeakGuard.around_tasks_of(guard):
            await awaitable(*args, **kwargs)
            has_returned = True
    except LeakError as error:
        if not has_returned:
            raise
        raises = functools.partial(_raise, error.with_traceback(None))  # asgiref's frames hold a thread
        _compat.add_first_cleanup(guard.test, raises)


def _raise(error: BaseException) -> None:
    __tracebackhide__ = True
    raise error


def _is_skipped(test: Any) -> bool:
    """Whether the test's class or method was skipped by decorator, so that nothing of it ran."""
    method = getattr(test, test._testMethodName, None)
    return bool(getattr(type(test), "__unittest_skip__", False) or getattr(method, "__unittest_skip__", False))


def _named_by_itself(test: Any) -> Subject:
    name, method = str(test.id()), test._testMethodName
    what = name if method == "runTest" else method  # a doctest, or a function: all of a class have this one method
    return Subject(name, f"{what} ({class_name(type(test))})")


_PARTS = {"_callSetUp", "_callTestMethod", "_callTearDown", "_callCleanup"}
"""unittest's functions that call what is the user's (3.9 to 3.15)."""


def _is_final_pass(caller: Any) -> bool:
    """Whether a call of ``doCleanups()`` is the one by ``TestCase.run()``; `caller` is the frame of the call.

    An override, a decorator or a helper may be between the two, but no part of the test.
    """
    while caller is not None and caller.f_code is not _RUN and caller.f_code.co_name not in _PARTS:
        caller = caller.f_back
    return caller is not None and caller.f_code is _RUN


def judge(guard: TestGuard, do_cleanups: Callable[[], Any], caller: Any, outcome: Any) -> Any:
    """Give the verdict on a test that has left something, by a last cleanup of its own.

    A test may call ``doCleanups()`` itself: only the call by ``TestCase.run()`` is the end. `caller` is its frame.
    """
    guard.is_verified = guard.is_foreign  # else the verdict says so itself: an override may run no cleanups at all
    if guard.is_foreign or not _is_final_pass(caller):
        return outcome
    guard.has_gone_well = _compat.has_gone_well(guard.test)
    return _compat.run_last_cleanup(guard.test, do_cleanups, guard.verdict)


def attach(test: Any, result: Any) -> None:
    """Begin to guard a test whose class lacks the mixin, from ``startTest``, unless it is guarded already."""
    own = test.__dict__
    if own.get("_leakguard_guard") is None:
        guard = own["_leakguard_guard"] = TestGuard(test)
        guard.result = guard.begun_by = result
        if guard.plan.has_plain_run:
            own["doCleanups"] = functools.partial(_do_cleanups, guard, test.doCleanups)
        else:
            _compat.add_first_cleanup(test, _look_at_last, guard)


def _do_cleanups(guard: Optional[TestGuard], do_cleanups: Callable[[], Any]) -> Any:
    """What the mixin's ``doCleanups()`` does, for a test without it."""
    outcome = do_cleanups()
    if guard is None:  # in a copy of the test
        return outcome
    guard.is_verified = True
    return outcome if guard.is_clean() else judge(guard, do_cleanups, sys._getframe(1), outcome)


def detach(test: Any, result: Any) -> None:
    """End what `attach` began for the same result, if it did."""
    own = test.__dict__
    guard = own.get("_leakguard_guard")
    if guard is not None and guard.begun_by is result:
        own.pop("doCleanups", None)
        own["_leakguard_guard"] = None
        guard.end(is_interrupted=isinstance(sys.exc_info()[1], KeyboardInterrupt))


class FixtureGuard(Guard):
    """The guard of a class or a module: what its fixtures start must be gone after its teardown."""

    def end(self, failed: bool) -> Optional[LeakError]:
        """Give the verdict and close; return the error to raise."""
        try:
            self.failed = self.failed or failed
            return self.verify()
        finally:
            self.close()


def fixture_guard(scope: str, name: str, cls: Optional[type]) -> FixtureGuard:
    """Begin to guard a class or module; where the policy switches the check off, it is an owner only."""
    policy = resolve(cls)
    fixture = FixtureGuard(scope, Subject(name, f"{scope} {name}"), policy)
    if policy.scope == "key":
        fixture.probes = ()
    fixture.begin()
    return fixture


def class_name(cls: type) -> str:
    """``module.Class``, as unittest names it."""
    return f"{cls.__module__}.{cls.__qualname__}"


class _AskedBeforeSetUp:
    """Says that a class is not skipped, and wraps its ``setUpClass()``: a class decorator may have given it another one.

    unittest and pytest ask a class right before they ask for that. What ``@skip`` says to it comes before this.
    """

    def __get__(self, test: Any, cls: Any) -> bool:
        if test is None and "_leakguard_class_guard" not in cls.__dict__:  # else a test of the class asks, each one
            _guard_set_up(cls)
        return False


class LeakGuardMixin:
    """Put it before any TestCase class: each test, and the class's fixtures, must end what they start.

    Class attributes are the policy: ``leak_action``, ``leak_threshold``, ``leak_grace`` (seconds), ``leak_kinds``,
    ``leak_ignore``, ``leak_scope``, ``leak_verdicts``. A misspelt one is a TypeError, a bad value a ValueError, when
    the class is defined.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith("leakguard."):  # ours are made at the import, which must not fail
            check_environment()
        for base in cls.__mro__:
            if base is cls or not issubclass(base, LeakGuardMixin):  # else it was checked when it was defined
                check_class(base)
        _guard_set_up(cls)
        _check_order(cls)
        if "run" not in vars(cls):
            _choose_run(cls)

    __unittest_skip__ = _AskedBeforeSetUp()

    _leakguard_guard: Optional[TestGuard] = None
    _leakguard_begins_with_loop = False

    def run(self, result: Any = None) -> Any:
        """Run the test under guard."""
        if self._leakguard_guard is not None:
            return super().run(result)  # type: ignore[misc]
        self._leakguard_guard = guard = TestGuard(self)
        is_interrupted = True
        try:
            outcome = super().run(result)  # type: ignore[misc]
            is_interrupted = False
            return outcome
        finally:
            self._leakguard_guard = None
            guard.end(is_interrupted=is_interrupted)

    def doCleanups(self) -> Any:
        """Run the cleanups, then look; only for a suspect is the verdict given."""
        outcome = super().doCleanups()  # type: ignore[misc]
        guard = self._leakguard_guard
        if guard is None:
            return outcome
        if course_listeners:
            guard.result, guard.has_succeeded = _compat.result_of(self)
        guard.is_verified = True
        guard.has_left_nothing = guard.is_clean()
        if guard.has_left_nothing:
            return outcome
        return judge(guard, super().doCleanups, sys._getframe(1), outcome)  # type: ignore[misc]

    # A frame of ours around run() would be on every stack that asyncio's debug mode keeps, which costs 8 % of an empty
    # test: the guard of an IsolatedAsyncioTestCase begins where its loop is set up, and ends where it is torn down. Of a
    # test that has left nothing it ends right before that, as the frame would be on two more stacks.

    def _leakguard_set_up_loop(self) -> None:
        if self._leakguard_guard is None:  # debug() has one
            self._leakguard_guard = TestGuard(self)
            self._leakguard_begins_with_loop = True
        try:
            self._leakguard_make_loop(getattr(super(), _compat.LOOP_SET_UP))
        except BaseException:  # unittest tears nothing down then
            self._leakguard_end_with_loop(is_interrupted=True)
            raise

    def _leakguard_make_loop(self, set_up: Callable[[], None]) -> None:
        set_up()

    @property
    def _leakguard_tear_down(self) -> Callable[[], None]:
        """What tears the loop down: unittest asks for it after the cleanups, and once more when it forgets the test."""
        tear_down: Callable[[], None] = getattr(super(), _compat.LOOP_TEAR_DOWN)
        guard = self._leakguard_guard
        if guard is None:
            return tear_down
        if not guard.has_left_nothing:
            return functools.partial(self._leakguard_tear_down_loop, tear_down)
        self._leakguard_let_loop_go()
        self._leakguard_end_with_loop(is_interrupted=False)
        return tear_down

    def _leakguard_let_loop_go(self) -> None:
        loop = _compat.test_loop(self)
        if loop is not None:
            hooks.let_go(loop)

    def _leakguard_tear_down_loop(self, tear_down: Callable[[], None]) -> None:
        self._leakguard_let_loop_go()
        try:
            tear_down()
        finally:
            self._leakguard_end_with_loop(is_interrupted=isinstance(sys.exc_info()[1], KeyboardInterrupt))

    def _leakguard_end_with_loop(self, *, is_interrupted: bool) -> None:
        guard = self._leakguard_guard
        if guard is not None and self._leakguard_begins_with_loop:
            self._leakguard_guard, self._leakguard_begins_with_loop = None, False
            guard.end(is_interrupted=is_interrupted)

    def debug(self) -> None:
        """Run the test under guard, letting errors through: a leak raises LeakError."""
        self._leakguard_guard = guard = TestGuard(self)
        _compat.add_first_cleanup(self, _look_at_last, guard)
        is_interrupted = True
        try:
            super().debug()  # type: ignore[misc]
            is_interrupted = False
        finally:
            self._leakguard_guard = None
            guard.end(is_interrupted=is_interrupted)

    @classmethod
    def setUpClass(cls) -> None:
        """Begin to guard the class."""
        begin_class(cls, sys._getframe(1))
        super().setUpClass()  # type: ignore[misc]
        _class_is_set_up(cls, failed=False)

    @classmethod
    def doClassCleanups(cls) -> None:
        """Run the class cleanups, then give the verdict on the class."""
        super().doClassCleanups()  # type: ignore[misc]
        error = end_class(cls, failed=bool(cls.tearDown_exceptions))  # type: ignore[attr-defined]
        if error is not None:
            cls.tearDown_exceptions.append((type(error), error, None))  # type: ignore[attr-defined]

    def assertNoLeaks(self) -> None:
        """Fail if the test has left anything running so far; waits up to the grace for it to end.

        Inside an async test nothing can be awaited here: let tasks end first. Raises LeakError.
        """
        test_guard = self._leakguard_guard
        if test_guard is None or not test_guard.probes:
            return
        running = _compat.running_loop()
        test_guard.loop = None if running is not None else _compat.test_loop(self)
        try:
            error = test_guard.look_now(functools.partial(_compat.runs_test, self))
        finally:
            test_guard.loop = None
        if error is not None:
            raise error

    def addHub(self, hub: Any, *, stop: Any = None, timeout: float = 5.0, name: Optional[str] = None) -> Any:
        """Return `hub`, and tear it down with the test's other cleanups, last registered first, before the leak check.

        `stop`: what to call, sync or async; by default what the hub has of the usual verbs. `timeout`: seconds for the
        stop and for the hub's own threads and tasks to end; tasks are cancelled then, and the log says what was forced.
        A hub that hangs fails the test. Raises TypeError for an object that it does not know how to stop.
        """
        from leakguard import teardown  # only a test that has a hub pays for the import

        teardown.register(self, hub, stop, timeout, name)
        return hub

    def allowLeak(self, thing: Any, reason: str) -> None:
        """Declare one thread, task or child process as shared on purpose: no check will report it.

        `reason` is logged. Raises TypeError for anything else, ValueError without a reason.
        """
        guard.allow(thing, reason)


setattr(LeakGuardMixin, _compat.LOOP_SET_UP, LeakGuardMixin._leakguard_set_up_loop)
setattr(LeakGuardMixin, _compat.LOOP_TEAR_DOWN, LeakGuardMixin._leakguard_tear_down)


def _check_order(cls: Any) -> None:
    """Raise TypeError where a TestCase comes before the mixin, which would never be asked then."""
    order = [base for base in cls.__mro__ if base in (LeakGuardMixin, unittest.TestCase)]
    if order[0] is not LeakGuardMixin:
        wanted = "class T(LeakGuardMixin, TestCase)"
        raise TypeError(f"{cls.__qualname__} must have LeakGuardMixin before its TestCase: {wanted}")


def _choose_run(cls: Any) -> None:
    """Leave our ``run()`` out where the next one is an ``IsolatedAsyncioTestCase``'s: see `_leakguard_set_up_loop`.

    Decided for each class anew: its bases may bring a ``run()`` of their own.
    """
    bases = [base for base in cls.__mro__ if "run" in vars(base) and "_leakguard_run" not in vars(base)]
    runs = [(base, vars(base)["run"]) for base in bases]
    (first, run), following = runs[0], runs[1][1] if len(runs) > 1 else None
    if first is LeakGuardMixin and getattr(following, "__module__", "") == "unittest.async_case":
        run = following
    if cls.run is not run:
        cls.run = run
        cls._leakguard_run = True


_being_set_up: Dict[int, Any] = {}
"""Ident of a thread -> the class whose ``setUpClass()`` it runs."""


def begin_class(cls: Any, caller: Any = None) -> None:
    """Begin to guard a class with the mixin, unless it is guarded already, or the frame that calls is another class's."""
    if "_leakguard_class_guard" not in vars(cls) and (caller is None or _is_set_up_for_itself(caller)):
        cls._leakguard_class_guard = fixture_guard("class", class_name(cls), cls)


def _is_set_up_for_itself(caller: Any) -> bool:
    """Whether no other ``setUpClass()`` calls this one, ``Base.setUpClass()``: then what it starts is that class's.

    A suite that a fixture runs sets its classes up for themselves.
    """
    return get_ident() not in _being_set_up or caller.f_globals.get("__name__") == "unittest.suite"


def _class_is_set_up(cls: Any, failed: bool) -> None:
    fixture = vars(cls).get("_leakguard_class_guard")
    if fixture is not None:
        fixture.failed = failed
        fixture.refresh()


def end_class(cls: Any, failed: bool) -> Optional[LeakError]:
    """Give the verdict on a class with the mixin, unless that has been done; return the error to raise."""
    fixture = vars(cls).get("_leakguard_class_guard")
    if "_leakguard_class_guard" in vars(cls):
        del cls._leakguard_class_guard
    return fixture.end(failed) if fixture is not None else None


def _guard_set_up(cls: Any) -> None:
    """Begin the class's guard before its own ``setUpClass()``, or that of a base before the mixin: it need not call ours."""
    set_up = next(vars(base)["setUpClass"] for base in cls.__mro__ if "setUpClass" in vars(base))
    function = set_up.__func__ if isinstance(set_up, classmethod) else None
    is_ours = function is not None and getattr(function, "itself", None) is function  # @wraps copies what a function has
    if not is_ours:
        setattr(cls, "setUpClass", classmethod(_guarded_set_up(set_up)))


def _guarded_set_up(set_up: Any) -> Callable[[Any], None]:
    """A class's own setUpClass, of whatever sort, need not call super(): the guard begins before it all the same."""

    @functools.wraps(getattr(set_up, "__func__", set_up))
    def setUpClass(cls: Any) -> None:
        is_bound = isinstance(set_up, MethodType) or not hasattr(set_up, "__get__")
        bound = set_up if is_bound else set_up.__get__(None, cls)
        if not _is_set_up_for_itself(sys._getframe(1)):
            return bound()  # type: ignore[no-any-return]
        begin_class(cls)
        ident, failed = get_ident(), True
        outer, _being_set_up[ident] = _being_set_up.get(ident), cls
        try:
            bound()
            failed = False
        except unittest.SkipTest:
            failed = False
            raise
        finally:
            _being_set_up[ident] = outer
            if outer is None:
                del _being_set_up[ident]
            _class_is_set_up(cls, failed)

    setUpClass.itself = setUpClass  # type: ignore[attr-defined]
    return setUpClass


_MIXIN_SET_UP: Any = vars(LeakGuardMixin)["setUpClass"].__func__
_MIXIN_SET_UP.itself = _MIXIN_SET_UP


_module_guards: Dict[str, Any] = {}
"""Module name -> its guard, while it is guarded by either the module itself or the runner."""


def begin_module(name: str) -> Optional[FixtureGuard]:
    """Begin to guard a module; None if it is guarded already or switched off."""
    if _module_guards.get(name) is not None:
        return None
    fixture = _module_guards[name] = fixture_guard("module", name, None)
    return fixture


def end_module(name: str, failed: bool = False) -> Optional[LeakError]:
    """Give the verdict on a module; return the error to raise."""
    fixture = _module_guards.pop(name, None)
    return fixture.end(failed) if fixture is not None else None


def guard_module() -> None:
    """Call it first in ``setUpModule()``: what the module's fixtures leave running is a leak of the module.

    The check runs after ``tearDownModule()`` and the module's other cleanups. Raises LeakError there, RuntimeError at once
    if it is called in a test or in the fixture of a class.
    """
    if _compat.is_within_class():
        raise RuntimeError("guard_module must be called in setUpModule() (got a call in a test or the fixture of a class)")
    name = _compat.module_set_up() or sys._getframe(1).f_globals.get("__name__", "?")
    if begin_module(name) is not None:
        add_last = _compat.pytest_finalizer()
        if add_last is not None:
            add_last(functools.partial(_verify_module, name))
        else:
            unittest.addModuleCleanup(_verify_module, name)


def _verify_module(name: str) -> None:
    __tracebackhide__ = True
    error = end_module(name)
    if error is not None:
        raise error


class LeakGuardTestCase(LeakGuardMixin, unittest.TestCase):
    """A `unittest.TestCase` under guard."""
