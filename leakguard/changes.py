"""The hooks that note which line gave the process's state which value: in place for the kind ``environ`` only.

The line to name is the first that gave the value that is left: what came later was put back. What has no function to change it, as ``sys.path`` and ``sys.modules``, or was imported by name before, leaves no note.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import warnings
from typing import Any, Callable, Dict, List, Optional, Tuple

from leakguard import _compat
from leakguard.model import printable
from leakguard.origin import Birth, current_owner, raw_stack

births: Dict[str, Dict[Tuple[Any, Any], Birth]] = {}
"""What was changed, as `probes.environ` names it -> (owner, value) -> where that owner first gave it that value."""

VALUES = 64
"""Values of one thing that are remembered at most."""


def birth_of(name: str, value: Any) -> Optional[Birth]:
    """Where something was given the value that it has now, as far as a guard that is still open can have seen that."""
    known = births.get(name, {})
    found = [(one, birth) for (owner, one), birth in known.items() if owner is None or not owner.is_over()]
    if not found:
        return None
    last = found[-1][1]
    same = [birth for one, birth in found if one == value]
    return next((birth for birth in same if birth.owner is last.owner), same[0] if same else last)


def _note(name: str, value: Any, frame: Any) -> None:
    birth = Birth(current_owner(), raw_stack(frame))
    known = births.setdefault(name, {})
    if known and next(reversed(known))[0] is not birth.owner:
        for key in [key for key in known if key[0] is not None and key[0].is_over()]:
            del known[key]
    known.setdefault((birth.owner, value), birth)
    if len(known) > VALUES:
        del known[next(iter(known))]


def variable(key: Any) -> str:
    """How a variable of the environment is named."""
    return printable(f"os.environ[{os.fsdecode(key)!r}]")


def handler(number: int) -> str:
    """How the handler of a signal is named."""
    try:
        return f"handler of {signal.Signals(number).name}"
    except ValueError:
        return f"handler of signal {number}"


def filters() -> Tuple[int, ...]:
    """The filters of warnings, as a value that keeps none of them alive."""
    return tuple(map(id, warnings.filters))


def handler_now(number: int) -> int:
    """The handler of a signal, likewise."""
    return id(_compat.get_handler(number))


def places() -> List[Tuple[Any, str, Any]]:
    """Return (place, name, wrap) of what changes something."""
    found: List[Tuple[Any, str, Any]] = [
        (os, "putenv", _wrap(variable, lambda key, value: value if os.name == "nt" else os.fsencode(value))),
        (os, "unsetenv", _wrap(variable, lambda key: None)),
        (signal, "signal", _wrap(handler, lambda number, _: handler_now(number))),
        (os, "umask", _wrap(lambda *_: "umask", lambda mask: mask)),
    ]
    found += [(*point, _wrap(lambda *_: "warnings.filters", lambda *_: filters())) for point in _compat.filter_points()]
    if "locale" in sys.modules:
        found.append((sys.modules["locale"], "setlocale", _wrap(lambda *_: "locale", lambda *_: _compat.current_locale())))
    return found


def _wrap(name: Callable[..., str], value: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    def wrap(hook: Any, original: Any) -> Any:
        @functools.wraps(original)  # a hooked function looks as before: its module, its name, its signature
        def changes(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if hook.active:
                given = (*args, *kwargs.values())
                _note(name(*given[:1]), value(*given), sys._getframe(1))
            return result

        return changes

    return wrap
