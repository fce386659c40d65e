"""What a probe is: the code that knows one kind."""

from __future__ import annotations

import weakref
from typing import Any, Callable, Optional, Sequence, Tuple

from leakguard import _compat
from leakguard.facts import Facts
from leakguard.fingerprint import fingerprint as fingerprint
from leakguard.model import Leak


class Probe:
    """One kind of thing that a test may leave behind.

    The guard calls `snapshot` before a test and `suspects` after it: both must cost next to nothing while
    nothing is new. Everything else is called for suspects only. A probe keeps no state of a guard; things are
    the live objects themselves, never their addresses or recycled ids.
    """

    kind = ""
    choice = ""
    """The word that `leak_kinds` asks for it by, where that is not its kind."""
    carries_over = True
    """Whether the baseline of a test that has ended clean does for the next: where it is known who made a thing.

    Else what the runner does between two tests would be the second one's: pytest changes ``PYTEST_CURRENT_TEST``.
    """

    def snapshot(self) -> Any:
        """Return the identities of all that is alive: the baseline."""
        raise NotImplementedError

    def suspects(self, baseline: Any) -> Sequence[Any]:
        """Return the things that are alive, not in the baseline, and not reported or allowed before."""
        raise NotImplementedError

    def owner(self, thing: Any) -> Any:
        """The guard in whose course the thing was created, None if nobody knows."""
        raise NotImplementedError

    def names(self, thing: Any) -> Tuple[str, Tuple[str, ...]]:
        """Return the thing's name and its aliases (class, target function), for ignore rules."""
        raise NotImplementedError

    def code(self, thing: Any) -> Any:
        """The code object of the function that a thing runs, None if it has none: lambdas share their names."""
        return None

    def origin(self, thing: Any) -> Optional[str]:
        """The line that created the thing, if it is known."""
        raise NotImplementedError

    def may_end(self, thing: Any) -> bool:
        """Whether a thing may end while it is waited for."""
        return True

    def settle(self, suspects: Sequence[Any], timeout: float) -> None:
        """Wait up to `timeout` seconds, by the kind's own wake-up, for one of the suspects to end."""
        raise NotImplementedError

    def describe(self, thing: Any) -> Leak:
        """Return what can be said of a live thing, as plain data without an owner."""
        raise NotImplementedError

    def mark(self, things: Sequence[Any]) -> None:
        """Remember that these were reported: no later check reports them again."""
        raise NotImplementedError

    def isolate(self, things: Sequence[Any]) -> Any:
        """Make leaked things harmless for the next test, as far as their kind allows, in a generator of steps.

        Loops turn at each step. It may return those that went on although they were cancelled, each with the number of times.
        """
        return iter(())

    def refresh(self) -> None:
        """Forget what was remembered between tests: a wider scope begins, or its set-up has ended."""

    def is_noted(self, thing: Any) -> bool:
        """Whether the thing's creation was seen: if so and it has no owner, no guard made it."""
        raise NotImplementedError

    def loop_of(self, thing: Any) -> Any:
        """The event loop that the thing lives on, if any."""
        return None

    def identity(self, thing: Any) -> Callable[[Any], bool]:
        """Return a test for being the same thing, which does not keep the thing alive."""
        reference = weakref.ref(thing)
        return lambda other: reference() is other

    def allow(self, thing: Any) -> Optional[str]:
        """Declare one thing as shared on purpose; return its name, or None if it is not of this kind."""
        return None


def advice(known: Facts, otherwise: str = "") -> str:
    """One line of advice by the cause of a leak; `otherwise` for what no cause fits."""
    from leakguard import causes  # its table takes a millisecond, which only a leak pays

    return causes.advice(known, otherwise)


def unwrapped(target: Any) -> Any:
    """What a partial, or something that was decorated, calls in the end."""
    for _ in range(8):  # partial of partial: somebody may nest them for ever
        inner = _compat.attribute(target, "func")
        inner = inner if inner is not None else _compat.attribute(target, "__wrapped__")
        if inner is None:
            break
        target = inner
    return target


def target_name(target: Any) -> str:
    """``module.qualname`` of a function, method or partial."""
    target = unwrapped(target)
    owner = _compat.attribute(target, "__self__")
    name = _compat.attribute(target, "__qualname__") or type(target).__qualname__
    module = _compat.attribute(target, "__module__") or type(owner).__module__
    return f"{module}.{name}"


def class_name(thing: Any) -> str:
    """``module.qualname`` of an object's class."""
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
