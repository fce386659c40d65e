"""The hooks that note which line changed the process's state last: in place for the kind ``environ`` only.

What has no function to change it, as ``sys.path`` and ``sys.modules``, or was imported by name before, leaves no note.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from typing import Any, Callable, Dict, List, Tuple

from leakguard import _compat
from leakguard.model import printable
from leakguard.origin import Birth, current_owner, raw_stack

births: Dict[str, Birth] = {}
"""What was changed, as `probes.environ` names it -> where that was done last."""


def variable(key: Any) -> str:
    """How a variable of the environment is named."""
    return printable(f"os.environ[{os.fsdecode(key)!r}]")


def handler(number: int) -> str:
    """How the handler of a signal is named."""
    try:
        return f"handler of {signal.Signals(number).name}"
    except ValueError:
        return f"handler of signal {number}"


def places() -> List[Tuple[Any, str, Any]]:
    """Return (place, name, wrap) of what changes something."""
    found: List[Tuple[Any, str, Any]] = [
        (os, "putenv", _wrap(variable)),
        (os, "unsetenv", _wrap(variable)),
        (signal, "signal", _wrap(handler)),
        (os, "umask", _wrap(lambda *_: "umask")),
        (*_compat.filter_point(), _wrap(lambda *_: "warnings.filters")),
    ]
    if "locale" in sys.modules:
        found.append((sys.modules["locale"], "setlocale", _wrap(lambda *_: "locale")))
    return found


def _wrap(name: Callable[..., str]) -> Callable[[Any, Any], Any]:
    def wrap(hook: Any, original: Any) -> Any:
        @functools.wraps(original)  # a hooked function looks as before: its module, its name, its signature
        def changes(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if hook.active:
                birth = Birth(current_owner(), raw_stack(sys._getframe(1)))
                births[name(*args[:1] or tuple(kwargs.values())[:1])] = birth
            return result

        return changes

    return wrap
