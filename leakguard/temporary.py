"""The hook that notes what is made through `tempfile`: the name that each file and directory gets, its owner and line.

All of `tempfile` asks one function for candidates of names (see `_compat.temporary_points`), also what was imported by
``from tempfile import mkdtemp`` long before. A candidate is noted when it is given out; whether anything was made under
that name is seen when somebody looks.
"""

from __future__ import annotations

import os
import re
import sys
from collections import deque
from typing import Any, Deque, List, Tuple

from leakguard import _compat
from leakguard.model import printable
from leakguard.origin import Birth, current_owner, raw_stack, show_path

made: List["Temporary"] = []
"""What was made through `tempfile`, in that order, until it is found gone or the last guard ends."""


issued: Deque[str] = deque(maxlen=100_000)
"""The random parts of names that `tempfile` has made up since the first guard that asks for them."""


def without_random_parts(text: str) -> str:
    """A text with ``*`` for each random part in it that was seen being made up, or that looks like one in a path."""
    known = set(issued.copy())
    position = 0
    while known and position + _LENGTH <= len(text):
        if text[position : position + _LENGTH] in known:
            text = f"{text[:position]}*{text[position + _LENGTH :]}"
        position += 1
    return _DEFAULT.sub("tmp*", text)


_LENGTH = 8
"""Of a random part (3.9 to 3.15)."""

_DEFAULT = re.compile(r"(?<=[/\\])tmp[a-z0-9_]{8}(?![A-Za-z0-9_])")
"""A part of a path with the prefix that `tempfile` takes where it is given none."""


class Temporary:
    """One name that `tempfile` has given out, the name without its random part, and where it was asked for."""

    __slots__ = ("path", "shown", "is_default", "birth", "number", "time", "is_settled", "__weakref__")

    count = 0
    """How many there were: a baseline."""

    def __init__(self, path: str, shown: str, is_default: bool, birth: Birth) -> None:
        self.path, self.shown, self.birth = path, shown, birth
        self.is_default = is_default
        """Whether it is in the folder that `tempfile` chose: which that is may differ from run to run."""
        self.is_settled = False
        """Whether it was reported or allowed."""
        self.number = Temporary.count
        self.time = _compat.clock()
        Temporary.count += 1


def places() -> List[Tuple[Any, str, Any]]:
    """Return (place, name, wrap) of what gives out the names."""
    return [(place, name, _wrap_names) for place, name in _compat.temporary_points()]


def random_places() -> List[Tuple[Any, str, Any]]:
    """Return (place, name, wrap) of what makes up the random parts."""
    return [(place, name, _wrap_next) for place, name in _compat.random_name_points()]


def _wrap_next(hook: Any, original: Any) -> Any:
    def make_up(names: Any) -> Any:
        name = original(names)
        if hook.active:
            issued.append(name)
        return name

    return make_up


def _wrap_names(hook: Any, original: Any) -> Any:
    def get_candidate_names() -> Any:
        names = original()
        asked = _compat.temporary_name_of(sys._getframe(1)) if hook.active else None
        if asked is None:
            return names
        return _NotedNames(names, asked, Birth(current_owner(), raw_stack(sys._getframe(1))))

    return get_candidate_names


class _NotedNames:
    """The candidates of one call: the last that it took is the one that it made."""

    def __init__(self, names: Any, asked: Tuple[str, str, str], birth: Birth) -> None:
        self._names, self._asked, self._birth = names, asked, birth
        self._noted: Any = None

    def __iter__(self) -> "_NotedNames":
        return self

    def __next__(self) -> Any:
        name = next(self._names)
        folder, prefix, suffix = self._asked
        path = os.path.abspath(os.path.join(folder, f"{prefix}{os.fsdecode(name)}{suffix}"))
        if self._noted is not None:
            self._noted.path = path
        else:
            shown = os.path.join(show_path(os.path.abspath(folder)), f"{prefix}*{suffix}").replace(os.sep, "/")
            self._noted = Temporary(path, printable(shown), folder == _compat.temporary_folder(), self._birth)
            made.append(self._noted)
        return name
