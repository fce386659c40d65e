"""State of the process that a test changed and left: what makes the next test behave differently."""

from __future__ import annotations

import os
import re
import signal
import sys
import warnings
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from leakguard import _compat, changes, origin
from leakguard.model import Leak, printable
from leakguard.probes.protocol import Probe
from leakguard.temporary import without_random_parts


class Change:
    """One thing that is not as it was: its name, in a word what became of it, how to put it back, the value it has."""

    __slots__ = ("name", "state", "restore", "value")

    def __init__(self, name: str, state: str, restore: Callable[[], None], value: Any = None) -> None:
        self.name, self.state, self.restore, self.value = name, state, restore, value


class EnvironProbe(Probe):
    """Finds changes left in the environment, the current folder, the import path and the process's other state.

    They do not go away by themselves, so nobody waits for them; once reported they are undone.
    """

    kind = "environ"
    carries_over = False

    def snapshot(self) -> Any:
        return [copy(read()) for read, copy, _ in _STATE]

    def suspects(self, baseline: Any) -> Sequence[Any]:
        found: List[Change] = []
        for before, (read, _, changes_of) in zip(baseline, _STATE):
            now = read()
            if not _is_equal(before, now):
                found += changes_of(before, now)
        return found

    def owner(self, thing: Any) -> Any:
        return None

    def is_noted(self, thing: Any) -> bool:
        return False

    def identity(self, thing: Any) -> Callable[[Any], bool]:
        key = (thing.name, thing.state)
        return lambda other: (other.name, other.state) == key

    def names(self, thing: Any) -> Tuple[str, Tuple[str, ...]]:
        return thing.name, ()

    def origin(self, thing: Any) -> Optional[str]:
        return origin.origin_of_birth(changes.birth_of(thing.name, thing.value))

    def may_end(self, thing: Any) -> bool:
        return False

    def settle(self, suspects: Sequence[Any], timeout: float) -> None:
        _compat.pause(min(timeout, 0.002))

    def describe(self, thing: Any) -> Leak:
        return Leak(
            kind=self.kind,
            name=thing.name,
            state=thing.state,
            owner="",
            origin=self.origin(thing),
            hint="put it back in a cleanup, or change it with unittest.mock.patch",
        )

    def mark(self, things: Sequence[Any]) -> None:
        pass  # what was reported is undone: it cannot be found again

    def isolate(self, things: Sequence[Any]) -> Iterator[None]:
        for thing in things:
            noted = changes.births.get(thing.name, {})
            try:
                thing.restore()
            except (OSError, ValueError):
                pass  # a folder that is gone, a signal of another thread: it is on record
            changes.births[thing.name] = noted  # without ours
            yield


# -- what is looked at: how to read it, and the changes between two readings ----------------------


class _Same:
    """One object, which is equal to itself alone: a dict may be equal to what it has taken the place of."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.thing is other.thing


def _environment() -> _Same:
    return _Same(os.environ)


def _changed_environment(before: _Same, now: _Same) -> List[Change]:
    state = f"replaced by a {printable(type(now.thing).__qualname__)}"
    return [Change("os.environ", state, lambda: setattr(os, "environ", before.thing))]


def _changed_variables(before: Dict[Any, Any], now: Dict[Any, Any]) -> List[Change]:
    found = []
    for key in sorted({*before, *now}, key=str):
        name = os.fsdecode(key)
        if before.get(key) != now.get(key) and name not in _RUNNERS_OWN:
            state = "added" if key not in before else "removed" if key not in now else "changed"
            found.append(Change(changes.variable(key), state, _restorer(name, before.get(key)), now.get(key)))
    return found


_RUNNERS_OWN = frozenset({"PYTEST_CURRENT_TEST"})
"""Variables that a runner changes while a class or module is at work."""


def _restorer(name: str, value: Any) -> Callable[[], None]:
    def restore() -> None:
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = os.fsdecode(value)

    return restore


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""  # it was removed


def _changed_folder(before: str, now: str) -> List[Change]:
    return [Change("current folder", "changed" if now else "removed", lambda: os.chdir(before))]


def _path() -> List[str]:
    return sys.path


def _changed_path(before: List[str], now: List[str]) -> List[Change]:
    state = _difference(before, now, lambda entry: printable(without_random_parts(origin.show_path(str(entry)))))
    return [Change("sys.path", state, lambda: sys.path.__setitem__(slice(None), before))]


def _difference(before: List[Any], now: List[Any], show: Callable[[Any], str]) -> str:
    """What was added to a list and what was removed from it: the first of each, and how many more."""
    words = []
    for word, more, less in (("added", now, before), ("removed", before, now)):
        found = _without(more, less)
        if found:
            others = f" and {len(found) - 1} more" if len(found) > 1 else ""
            words.append(f"{word} {show(found[0])!r}{others}")
    return ", ".join(words) or "reordered"


def _without(more: List[Any], less: List[Any]) -> List[Any]:
    """What is in one list and not, or not as often, in another one."""
    left, found = list(less), []
    for one in more:
        if one in left:
            left.remove(one)
        else:
            found.append(one)
    return found


def _modules() -> Dict[str, Any]:
    return sys.modules


def _changed_modules(before: Dict[str, Any], now: Dict[str, Any]) -> List[Change]:
    """Modules that are another object by now; a new one, or one that was taken out, is no change of what is there."""
    replaced = sorted(name for name, module in before.items() if name in now and now[name] is not module)
    return [Change(f"sys.modules[{n!r}]", "replaced", _module_restorer(n, before[n])) for n in replaced]


def _module_restorer(name: str, module: Any) -> Callable[[], None]:
    return lambda: sys.modules.__setitem__(name, module)


def _is_equal(one: Any, other: Any) -> bool:
    """Whether two readings are the same; what a handler or module of the user's says to that may be anything."""
    try:
        return bool(one is other or one == other)
    except Exception:  # an __eq__ or __bool__ of the user's may raise anything: then the two are not the same
        return False


def _changed_handlers(before: Sequence[Any], now: Sequence[Any]) -> List[Change]:
    """One that an event loop has put there is the loop's: the kind ``timer`` knows it."""
    changed = [(n, old, new) for n, old, new in zip(_compat.SIGNALS, before, now) if not _is_equal(old, new)]
    return [
        Change(changes.handler_name(n), "changed", _restore_handler(n, old), changes.handler_value(n))
        for n, old, new in changed
        if not str(_compat.attribute(new, "__module__")).startswith("asyncio.")
    ]


def _restore_handler(number: int, handler: Any) -> Callable[[], None]:
    return lambda: None if handler is None else _ignore(signal.signal(number, handler))


def _changed_locale(before: str, now: str) -> List[Change]:
    return [Change("locale", "changed", lambda: _compat.set_locale(before), now)]


def _filters() -> Sequence[Any]:
    return warnings.filters


def _show_filter(entry: Any) -> str:
    """A filter as ``-W`` takes it: action, message, category, module."""
    action, message, category, module, line = entry
    parts = [action, getattr(message, "pattern", message), category.__name__, getattr(module, "pattern", module)]
    text = re.sub(r" at 0x[0-9A-Fa-f]+", "", ":".join(str(part or "") for part in [*parts, line]))
    return printable(text.rstrip(":"))


def _changed_filters(before: List[Any], now: List[Any]) -> List[Change]:
    def restore() -> None:
        _compat.set_warning_filters(before)

    return [Change("warnings.filters", _difference(before, now, _show_filter), restore, changes.filters())]


def _changed_umask(before: Optional[int], now: Optional[int]) -> List[Change]:
    if before is None or now is None:
        return []
    mask: int = before
    return [Change("umask", f"changed from {before:03o} to {now:03o}", lambda: _ignore(os.umask(mask)), now)]


def _ignore(result: Any) -> None:
    """What a setter returns is of no use."""


def _as_it_is(value: Any) -> Any:
    return value


_STATE: Tuple[Tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Any, Any], List[Change]]], ...] = (
    (_environment, _as_it_is, _changed_environment),
    (_compat.raw_environment, dict, _changed_variables),
    (_folder, _as_it_is, _changed_folder),
    (_path, list, _changed_path),
    (_modules, dict, _changed_modules),
    (_compat.signal_handlers, _as_it_is, _changed_handlers),
    (_compat.current_locale, _as_it_is, _changed_locale),
    (_filters, list, _changed_filters),
    (_compat.current_umask, _as_it_is, _changed_umask),
)
"""How each is read, how it is copied where that is the live thing, and the changes between two readings."""
