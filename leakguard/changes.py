"""The hooks that note which line gave the process's state which value: in place for the kind ``environ`` only.

The line to name is the first that gave the value that is left: what came later was put back. What has no function to
change it, as ``sys.path`` and ``sys.modules``, or was imported by name before, leaves no note.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import types
import warnings
import weakref
from typing import Any, Callable, Dict, List, Optional, Tuple

from leakguard import _compat
from leakguard.model import printable
from leakguard.origin import Birth, current_owner, raw_stack

births: Dict[str, Dict[Tuple[Any, Any], Birth]] = {}
"""What was changed, as `probes.environ` names it -> (owner, value) -> where that owner first gave it that value."""

VALUES = 64
"""Values of one thing that are remembered at most."""


def birth_of(name: str, value: Any) -> Optional[Birth]:
    """Where something was given the value that it has now, None if no function that is hooked has given it that."""
    known = [(owner, birth) for (owner, one), birth in births.get(name, {}).items() if one == value]
    found = [birth for owner, birth in known if owner is None or not owner.is_over()]
    last = next(reversed(births.get(name, {})), (None, None))[0]
    return next((birth for birth in found if birth.owner is last), found[0] if found else None)


def _note(name: str, value: Any, frame: Any) -> None:
    """Note a change. What is known is replaced as a whole, since another thread may be reading or changing it."""
    birth = Birth(current_owner(), raw_stack(frame))
    known = births.get(name, {}).copy()
    if known and next(reversed(known))[0] is not birth.owner:
        known = {key: one for key, one in known.items() if key[0] is None or not key[0].is_over()}
    known.setdefault((birth.owner, value), birth)
    if len(known) > VALUES:
        del known[next(iter(known))]
    births[name] = known


def variable(key: Any, value: Any = None) -> str:
    """How a variable of the environment is named."""
    return printable(f"os.environ[{os.fsdecode(key)!r}]")


def handler_name(signalnum: int, handler: Any = None) -> str:
    """How the handler of a signal is named."""
    try:
        return f"handler of {signal.Signals(signalnum).name}"
    except ValueError:
        return f"handler of signal {signalnum}"


def handler_value(signalnum: int, handler: Any = None) -> Any:
    """The handler of a signal as a value that can be kept: it refers weakly to what is the user's."""
    now = _compat.signal_handler(signalnum)
    try:
        if type(now) is types.MethodType:
            return weakref.ref(now.__self__), now.__func__
        return now if isinstance(now, int) or now is None else weakref.ref(now)
    except TypeError:
        return id(now)  # of a class that has no weak references


def filters(*item: Any, append: bool = False) -> Tuple[Any, ...]:
    """The filters of warnings."""
    return tuple(warnings.filters)


def _current_locale(category: int, locale: Any = None) -> str:
    return _compat.current_locale()


def places() -> List[Tuple[Any, str, Any]]:
    """Return (place, name, wrap) of what changes something."""
    found: List[Tuple[Any, str, Any]] = [
        (os, "putenv", _wrap(variable, lambda key, value: value if os.name == "nt" else os.fsencode(value))),
        (os, "unsetenv", _wrap(variable, lambda key: None)),
        (signal, "signal", _wrap(handler_name, handler_value)),
        (os, "umask", _wrap(lambda *_: "umask", lambda mask: mask)),
    ]
    found += [(*point, _wrap(lambda *_, **__: "warnings.filters", filters)) for point in _compat.filter_points()]
    if "locale" in sys.modules:
        found.append((sys.modules["locale"], "setlocale", _wrap(lambda *_, **__: "locale", _current_locale)))
    return found


def _wrap(name: Callable[..., str], value: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    def wrap(hook: Any, original: Any) -> Any:
        @functools.wraps(original)  # a hooked function looks as before: its module, its name, its signature
        def changes(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if hook.active:
                _note(name(*args, **kwargs), value(*args, **kwargs), sys._getframe(1))
            return result

        return changes

    return wrap
