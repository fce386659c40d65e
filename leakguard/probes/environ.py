"""State of the process that a test changed and left: what makes the next test behave differently."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from leakguard import _compat
from leakguard.model import Leak, printable
from leakguard.probes.protocol import Probe


class Change:
    """One thing that is not as it was: its name, in a word what became of it, and how to put it back."""

    __slots__ = ("name", "state", "restore")

    def __init__(self, name: str, state: str, restore: Callable[[], None]) -> None:
        self.name, self.state, self.restore = name, state, restore


class EnvironProbe(Probe):
    """Finds changes left in the environment, the current folder, the import path and the process's other state.

    They do not go away by themselves, so nobody waits for them; once reported they are undone.
    """

    kind = "environ"
    ends = False

    def snapshot(self) -> Any:
        return [read() for read, _ in _STATE]

    def suspects(self, baseline: Any) -> Sequence[Any]:
        found: List[Change] = []
        for before, (read, changes) in zip(baseline, _STATE):
            now = read()
            if now != before:
                found += changes(before, now)
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
        return None

    def settle(self, suspects: Sequence[Any], timeout: float) -> None:
        _compat.pause(min(timeout, 0.002))

    def describe(self, thing: Any) -> Leak:
        return Leak(
            kind=self.kind,
            name=thing.name,
            state=thing.state,
            owner="",
            hint="put it back in a cleanup, or change it with unittest.mock.patch",
        )

    def mark(self, things: Sequence[Any]) -> None:
        pass  # what was reported is undone: it cannot be found again

    def isolate(self, things: Sequence[Any]) -> Iterator[None]:
        for thing in things:
            try:
                thing.restore()
            except (OSError, ValueError):
                pass  # a folder that is gone, a signal of another thread: it is on record
            yield


# -- what is looked at: how to read it, and the changes between two readings ----------------------


def _variables() -> Dict[Any, Any]:
    return _compat.raw_environment()


def _changed_variables(before: Dict[Any, Any], now: Dict[Any, Any]) -> List[Change]:
    found = []
    for key in sorted({*before, *now}, key=str):
        if before.get(key) != now.get(key):
            name = os.fsdecode(key)
            state = "added" if key not in before else "removed" if key not in now else "changed"
            found.append(Change(printable(f"os.environ[{name!r}]"), state, _restorer(name, before.get(key))))
    return found


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
    return sys.path.copy()


def _changed_path(before: List[str], now: List[str]) -> List[Change]:
    return [Change("sys.path", "changed", lambda: sys.path.__setitem__(slice(None), before))]


def _modules() -> Dict[str, Any]:
    return sys.modules.copy()


def _changed_modules(before: Dict[str, Any], now: Dict[str, Any]) -> List[Change]:
    """Modules that are another object by now; a new one, or one that was taken out, is no change of what is there."""
    replaced = sorted(name for name, module in before.items() if name in now and now[name] is not module)
    return [Change(f"sys.modules[{n!r}]", "replaced", _module_restorer(n, before[n])) for n in replaced]


def _module_restorer(name: str, module: Any) -> Callable[[], None]:
    return lambda: sys.modules.__setitem__(name, module)


def _changed_handlers(before: Sequence[Any], now: Sequence[Any]) -> List[Change]:
    """One that an event loop has put there is the loop's: the kind ``timer`` knows it."""
    changed = [(n, new) for n, old, new in zip(_compat.SIGNALS, before, now) if old is not new and old != new]
    numbers = [n for n, new in changed if not str(getattr(new, "__module__", "")).startswith("asyncio.")]
    handlers = dict(zip(_compat.SIGNALS, before))
    names = [signal.Signals(n).name for n in numbers]
    return [Change(f"handler of {name}", "changed", _restore_handler(n, handlers[n])) for n, name in zip(numbers, names)]


def _restore_handler(number: int, handler: Any) -> Callable[[], None]:
    return lambda: None if handler is None else _ignore(signal.signal(number, handler))


def _changed_locale(before: str, now: str) -> List[Change]:
    return [Change("locale", "changed", lambda: _compat.set_locale(before))]


def _filters() -> List[Any]:
    return list(warnings.filters)


def _changed_filters(before: List[Any], now: List[Any]) -> List[Change]:
    def restore() -> None:
        _compat.set_warning_filters(before)

    return [Change("warnings.filters", "changed", restore)]


def _changed_umask(before: Optional[int], now: Optional[int]) -> List[Change]:
    if before is None or now is None:
        return []
    mask: int = before
    return [Change("umask", f"changed from {before:03o} to {now:03o}", lambda: _ignore(os.umask(mask)))]


def _ignore(result: Any) -> None:
    """What a setter returns is of no use."""


_STATE: Tuple[Tuple[Callable[[], Any], Callable[[Any, Any], List[Change]]], ...] = (
    (_variables, _changed_variables),
    (_folder, _changed_folder),
    (_path, _changed_path),
    (_modules, _changed_modules),
    (_compat.signal_handlers, _changed_handlers),
    (_compat.current_locale, _changed_locale),
    (_filters, _changed_filters),
    (_compat.current_umask, _changed_umask),
)
