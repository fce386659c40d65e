"""The glue to unittest: `attach` a guard to a test, `LeakGuardMixin`, `LeakGuardTestCase`, `guard_module`."""

from __future__ import annotations

import functools
import sys
import unittest
from typing import Any, Callable, Dict, Optional, Tuple

from leakguard import _compat, guard, origin
from leakguard.check import warn
from leakguard.guard import Guard, Subject, probes_of
from leakguard.model import LeakError
from leakguard.policy import Policy, check_class, key_category, resolve

__unittest = True

_PLAIN_CLEANUPS: Any = unittest.TestCase.doCleanups.__code__  # type: ignore[attr-defined]
_PLAIN_RUN: Any = unittest.TestCase.run.__code__  # type: ignore[attr-defined]
_PLAIN_ID: Any = unittest.TestCase.id

Plan = Tuple[Optional[Policy], Any]
"""What is checked of a test method: its policy and probes; no policy where it is not checked at all."""

_plans: Tuple[Any, Any, Dict[str, Plan]] = (None, None, {})
"""The class whose tests run, the environment it was planned under, and the plan of each method."""


class TestSubject:
    """How a guarded test is named, worked out only when somebody asks. Keeps no test alive once `forget` was called."""

    __slots__ = ("_test", "_names")

    def __init__(self, test: Any) -> None:
        self._test = test
        self._names: Any = None

    @property
    def id(self) -> str:
        """The test's id."""
        return self._names[0] if self._test is None else str(self._test.id())

    @property
    def title(self) -> str:
        """``test_x (module.Class)``."""
        if self._test is None:
            return str(self._names[1])
        return _title(type(self._test), getattr(self._test, "_testMethodName", ""), str(self._test))

    def forget(self) -> None:
        """Keep the names only."""
        self._names, self._test = (self.id, self.title), None


def _title(cls: type, method: str, plain: str) -> str:
    name = f"{cls.__module__}.{cls.__qualname__}"
    return f"{method} ({name})" if method else plain


def plan_for(test: Any) -> Plan:
    """Return what is checked of a test, worked out once for each method of a class."""
    global _plans
    cls, method = type(test), test._testMethodName
    state = _compat.environment_state()
    known, planned_under, plans = _plans
    if known is not cls or planned_under != state:
        plans = {}
        _plans = (cls, state, plans)
    plan = plans.get(method)
    if plan is None:
        function = getattr(test, method, None)
        policy = resolve(cls, function)
        is_off = policy.action == "off" or (policy.scope == "key" and key_category(cls, function) is None)
        plan = (None, ()) if is_off else (policy, probes_of(policy))
        if not is_off:  # what switches off is read anew each time
            plans[method] = plan
    return plan


def forget_plans() -> None:
    """Read options anew: the command line's have changed."""
    global _plans
    _plans = (None, None, {})


class TestGuard(Guard):
    """The guard of one test."""

    __slots__ = ("test", "_is_verified", "_ran_early", "_marks")

    def __init__(self, test: Any, plan: Plan) -> None:
        policy, probes = plan
        Guard.__init__(self, "test", None, policy or _OFF, probes)
        self.test = test
        self._is_verified = self._ran_early = False

    def cleanup(self) -> None:
        """Give the verdict: the first cleanup registered, so the last to run.

        A test that calls ``doCleanups()`` itself runs this too early: it is not the verdict then.
        """
        frame: Any = sys._getframe(1)
        while frame is not None and frame.f_code is not _PLAIN_CLEANUPS:
            frame = frame.f_back
        if frame is not None and frame.f_back.f_code is not _PLAIN_RUN and not _is_run_above(frame.f_back):
            self._ran_early = True
            return
        self._is_verified = True
        if self._process is not origin.process or self.is_clean_with_loop():
            return
        error = self.verify(self.has_failed)
        if error is not None:
            raise error

    def is_clean_with_loop(self) -> bool:
        """Whether nothing is new, on the test's own loop neither."""
        self.loop = loop = _compat.test_loop(self.test)
        if loop is not None:
            origin.loops.add(loop)
        return self.is_clean()

    def has_failed(self) -> bool:
        """Whether the test has failed already, so that a leak must not hide that."""
        return _compat.has_failed(self.test, self._marks)

    def begin_test(self, result: Any) -> None:
        """Begin the course of the test, and register the verdict."""
        test = self.test
        self.subject = TestSubject(test)
        self._marks = _compat.result_marks(result)
        self.begin()
        if hasattr(test, "_asyncioTestContext") or hasattr(test, "_asyncioCallsTask"):
            _compat.set_in_test_context(test, origin.OWNER, self)
        if self.probes:
            cleanups = test._cleanups
            cleanups.insert(0, (self.cleanup, (), {}))

    def end_test(self) -> None:
        """End the course; say so if the test was not checked though it ran."""
        test = self.test
        if self.probes and not self._is_verified and self._process is origin.process:
            if _compat.has_cleanup(test, self.cleanup):  # skipped before setUp, or interrupted
                _compat.drop_cleanup(test, self.cleanup)
            else:
                how = "were run by the test itself" if self._ran_early else "were cleared"
                warn(f"leakguard: {self.subject.title} was not checked for leaks: its cleanups {how}")
        self.subject.forget()
        self.close()
        self.test = None


_OFF = Policy(action="off")


def _is_run_above(frame: Any) -> bool:
    """Whether an overridden doCleanups() was called by the plain run()."""
    while frame is not None and frame.f_code.co_name == "doCleanups":
        frame = frame.f_back
    return frame is not None and frame.f_code is _PLAIN_RUN


def attach(test: Any, result: Any) -> Optional[TestGuard]:
    """Begin to guard a test that is about to run; None if it is guarded already.

    A test that is not checked gets an owner all the same: its leaks would become its class's otherwise.
    """
    guarded = test.__dict__
    if guarded.get("_leakguard_guard") is not None:
        return None
    test_guard = TestGuard(test, plan_for(test))
    guarded["_leakguard_guard"] = test_guard
    test_guard.begin_test(result)
    return test_guard


def detach(test: Any, test_guard: TestGuard) -> None:
    """End what `attach` began."""
    test.__dict__.pop("_leakguard_guard", None)
    test_guard.end_test()


class FixtureGuard(Guard):
    """The guard of a class or a module: what its fixtures start must be gone after its teardown."""

    __slots__ = ()

    def end(self, failed: bool) -> Optional[LeakError]:
        """Give the verdict and close; return the error to raise."""
        try:
            self.failed = self.failed or failed
            return self.verify()
        finally:
            self.close()


def fixture_guard(scope: str, name: str, cls: Optional[type]) -> Optional[FixtureGuard]:
    """Begin to guard a class or module; None where the policy switches it off."""
    policy = resolve(cls)
    probes = () if policy.action == "off" or policy.scope == "key" else probes_of(policy)
    if policy.action == "off" and cls is None:
        return None
    fixture = FixtureGuard(scope, Subject(name, f"{scope} {name}"), policy, probes)
    fixture.begin()
    return fixture


def class_name(cls: type) -> str:
    """``module.Class``, as unittest names it."""
    return f"{cls.__module__}.{cls.__qualname__}"


class LeakGuardMixin:
    """Put it before any TestCase class: each test, and the class's fixtures, must end what they start.

    Class attributes are the policy: ``leak_action``, ``leak_threshold``, ``leak_grace`` (seconds), ``leak_kinds``,
    ``leak_ignore``, ``leak_scope``. A misspelt one is a TypeError, a bad value a ValueError, when the class is defined.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_class(cls)
        own = vars(cls).get("setUpClass")
        if isinstance(own, classmethod):
            setattr(cls, "setUpClass", classmethod(_guarded_set_up(own.__func__)))

    def run(self, result: Any = None) -> Any:
        """Run the test under guard."""
        test_guard = attach(self, result)
        if test_guard is None:
            return super().run(result)  # type: ignore[misc]
        try:
            return super().run(result)  # type: ignore[misc]
        finally:
            detach(self, test_guard)

    def debug(self) -> None:
        """Run the test under guard, letting errors through: a leak raises LeakError."""
        test_guard = attach(self, None)
        try:
            super().debug()  # type: ignore[misc]
        finally:
            if test_guard is not None:
                detach(self, test_guard)

    @classmethod
    def setUpClass(cls) -> None:
        """Begin to guard the class."""
        _begin_class(cls)
        super().setUpClass()  # type: ignore[misc]
        _class_is_set_up(cls, failed=False)

    @classmethod
    def doClassCleanups(cls) -> None:
        """Run the class cleanups, then give the verdict on the class."""
        super().doClassCleanups()  # type: ignore[misc]
        error = _end_class(cls, failed=bool(cls.tearDown_exceptions))  # type: ignore[attr-defined]
        if error is not None:
            cls.tearDown_exceptions.append((type(error), error, None))  # type: ignore[attr-defined]

    def assertNoLeaks(self) -> None:
        """Fail if the test has left anything running so far; waits up to the grace for it to end.

        Inside an async test nothing can be awaited here: let tasks end first. Raises LeakError.
        """
        test_guard = self.__dict__.get("_leakguard_guard")
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

    def allowLeak(self, thing: Any, reason: str) -> None:
        """Declare one thread, task or child process as shared on purpose: no check will report it.

        `reason` is logged. Raises TypeError for anything else, ValueError without a reason.
        """
        guard.allow(thing, reason)


def _begin_class(cls: Any) -> None:
    if "_leakguard_class_guard" not in vars(cls):
        cls._leakguard_class_guard = fixture_guard("class", class_name(cls), cls)


def _class_is_set_up(cls: Any, failed: bool) -> None:
    fixture = vars(cls).get("_leakguard_class_guard")
    if fixture is not None:
        fixture.failed = failed
        fixture.refresh()


def _end_class(cls: Any, failed: bool) -> Optional[LeakError]:
    fixture = vars(cls).get("_leakguard_class_guard")
    if "_leakguard_class_guard" in vars(cls):
        del cls._leakguard_class_guard
    return fixture.end(failed) if fixture is not None else None


def _guarded_set_up(set_up: Callable[[Any], None]) -> Callable[[Any], None]:
    """A class's own setUpClass need not call super(): the guard begins before it all the same."""

    @functools.wraps(set_up)
    def setUpClass(cls: Any) -> None:
        _begin_class(cls)
        failed = True
        try:
            set_up(cls)
            failed = False
        finally:
            _class_is_set_up(cls, failed)

    return setUpClass


_modules: Dict[str, Any] = {}
"""Module name -> its guard, while it is guarded by either the module itself or the runner."""


def begin_module(name: str) -> Optional[FixtureGuard]:
    """Begin to guard a module; None if it is guarded already or switched off."""
    if _modules.get(name) is not None:
        return None
    fixture = _modules[name] = fixture_guard("module", name, None)
    return fixture


def end_module(name: str, failed: bool = False) -> Optional[LeakError]:
    """Give the verdict on a module; return the error to raise."""
    fixture = _modules.pop(name, None)
    return fixture.end(failed) if fixture is not None else None


def guard_module() -> None:
    """Call it first in ``setUpModule()``: what the module's fixtures leave running is a leak of the module.

    The check runs after ``tearDownModule()`` and the module's other cleanups. Raises LeakError there.
    """
    name = sys._getframe(1).f_globals.get("__name__", "?")
    if begin_module(name) is not None:
        unittest.addModuleCleanup(_verify_module, name)


def _verify_module(name: str) -> None:
    error = end_module(name)
    if error is not None:
        raise error


class LeakGuardTestCase(LeakGuardMixin, unittest.TestCase):
    """A `unittest.TestCase` under guard."""
