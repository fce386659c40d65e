"""What makes leaks of two runs the same one: names without their numbers, code without its lines.

The rules are those of docs/reference/known-leaks.rst. They hold for another machine, another checkout, another folder
that the run is started in, and another Python version.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from typing import Optional, Sequence

from leakguard import origin

_COMMANDS = {"process", "file", "tempfile"}
"""Kinds whose names have paths of the machine in them."""

_PACKAGES = ("site-packages", "dist-packages")

_NUMBERS = (
    (r"tmp[a-z0-9_]{8}(?![a-z0-9_])", "tmp*"),  # what tempfile makes up
    (r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z])", "*"),  # a uuid
    (r"0[xX][0-9a-fA-F]+", "*"),
    (r"(?<![0-9A-Za-z])(?:[0-9a-f]{8,}|[0-9A-F]{8,})(?![0-9A-Za-z])", "*"),  # hex digits, even without a digit
    (r"(?<![0-9A-Za-z])(?:(?=[a-f]*\d)[0-9a-f]{4,}|(?=[A-F]*\d)[0-9A-F]{4,})(?![0-9A-Za-z])", "*"),
    (r"\d+", "*"),
)

_INLINED = r"(?:(?<=\.)|^)<(?:list|set|dict)comp>(?:\.<locals>\.)?"
"""A frame of its own up to 3.11, a part of the function around it from 3.12 on."""


def fingerprint(
    kind: str,
    name: str,
    created: Optional[str],
    place: Optional[str] = None,
    aliases: Sequence[str] = (),
    owner: str = "",
    body: str = "",
) -> str:
    """Return 16 hex digits that are equal for the same leak in another run.

    `created` and `place` are ``path:line in function``, `aliases` its class and its target, `owner` the id of a test,
    as a `Leak` has them. The place counts only where nothing else says what the thing is, since it is another one
    whenever somebody looks; and the owner only where there is not even a place. `body` is the source of a lambda, which
    shares its name with others.
    """
    import hashlib

    own = [stable_alias(alias) for alias in aliases if kind not in ("file", "tempfile")]  # its holder is found by chance
    parts = [kind, "" if _is_said_by(name, aliases) else pattern_of(kind, name), stable_place(created), *own]
    if body:
        parts.append(body)
    if created is None and all(alias in ("", "_DummyThread", "NoneType") for alias in own):
        parts.append(stable_place(place) or stable_alias(owner))
    return hashlib.sha256("\n".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _is_said_by(name: str, aliases: Sequence[str]) -> bool:
    """Whether a name is that of the function: its digits are no numbers then."""
    return any(alias.endswith("." + name) for alias in aliases)


def pattern_of(kind: str, name: str) -> str:
    """A name with ``*`` for what differs from run to run: numbers, ids, folders of the machine."""
    if kind == "environ":  # the name of a variable or a module
        return name
    if kind == "exception":  # its text has data in it
        name = re.split(r": |<", name)[0].strip()
    if kind in _COMMANDS:
        name = re.sub(r"(?:(?<=^)|(?<=[\s='\":,(]))/[^\s'\",;:)]*", lambda path: _last_part(path[0]), name)
        name = re.sub(r"\b(python|pypy)w?[\d.]+[td]*(?=[\s\"']|$)", r"\1", name)
    if kind in ("file", "tempfile"):
        name = _last_part(name)
    if kind == "thread":
        name = re.sub(r"^(Thread-\d+) \(.*\)$", r"\1", name)  # the target is in the name from 3.10 on
    name = re.sub(r"^(?:Fork|Spawn|ForkServer)(Process|PoolWorker)(?=-\d)", r"\1", name)  # by the start method
    for number, star in _NUMBERS:
        name = re.sub(number, star, name)
    return name


def _last_part(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or path


def stable_place(place: Optional[str]) -> str:
    """``path in function`` without the line; of the standard library, whose places move, only the package."""
    if place is None:
        return ""
    position, _, function = place.rpartition(" in ")
    path = re.sub(r":-?\d+$", "", position)
    full = origin.find_file(path)
    if path.startswith("<frozen ") or (full and origin.rank(full) == origin.STDLIB):
        return path.partition("/")[0].partition(".")[0] + " in the standard library"
    return f"{stable_path(path)} in {stable_function(function)}"


def shown_place(place: Optional[str]) -> Optional[str]:
    """A place as people look it up: without its line, and with no folder of this machine."""
    if place is None or os.path.isabs(place):
        return stable_place(place) or None
    position, _, function = place.rpartition(" in ")
    return re.sub(r":-?\d+$", "", position) + " in " + stable_function(function)


def shown_own_place(place: Optional[str]) -> Optional[str]:
    """The same of a place in the user's own code; None of one that is anywhere else."""
    if place is None or place.startswith("<frozen "):
        return None
    path = re.sub(r":-?\d+$", "", place.rpartition(" in ")[0])
    files = [os.path.join(folder, path) for folder in sys.path if os.path.basename(folder) in _PACKAGES]
    full = origin.find_file(path) or next(filter(os.path.isfile, files), path)
    return shown_place(place) if origin.rank(full) == origin.USER else None


def stable_function(name: str) -> str:
    """A qualified name as it would be if comprehensions were no functions."""
    name = re.sub(r"\.<locals>\.?$", "", re.sub(_INLINED, "", name))
    return name.rstrip(".") or "<module>"


@functools.lru_cache(maxsize=4096)
def stable_path(path: str) -> str:
    """A path from the outermost package around it on, so that it does not matter where a run begins or the checkout is.

    A folder without ``__init__.py`` is one, too, if the module was imported by its name; the folder of the checkout
    never is. That of an installed package is such a path already.
    """
    full = origin.find_file(path)
    if not full or origin.rank(full) != origin.USER:
        return path.rpartition("/")[2] if os.path.isabs(path) else path
    parts = os.path.normpath(full).split(os.sep)
    imported = _import_depth(parts)
    checkout = _checkout(parts)
    start = origin.START_FOLDER.split(os.sep)
    if checkout:
        end = checkout
    elif parts[: len(start)] == start:
        end = len(start)
    else:
        end = len(parts) - max(imported, 1)
    first = len(parts) - 1
    while first > end and os.path.isfile(os.sep.join([*parts[:first], "__init__.py"])):
        first -= 1
    return "/".join(parts[max(min(first, len(parts) - imported), checkout) :])


_CHECKOUT = (".git", ".hg", "pyproject.toml")
"""What marks the folder of a checkout."""


def _checkout(parts: Sequence[str]) -> int:
    """How many parts of a path the next folder has that is marked as a checkout's, 0 if none is."""
    for end in range(len(parts) - 1, 1, -1):
        if any(os.path.exists(os.sep.join([*parts[:end], mark])) for mark in _CHECKOUT):
            return end
    return 0


def _import_depth(parts: Sequence[str]) -> int:
    """How many parts at the end of a path are the name that its module was imported by, 0 if it was not."""
    full, depth = os.sep.join(parts), 0
    for module in list(sys.modules.values()):
        known = getattr(module, "__dict__", {})
        file = known.get("__file__")
        if isinstance(file, str) and file.endswith(parts[-1]) and _absolute(file) == full:
            name = known.get("__name__")
            if name == "__main__":
                name = getattr(known.get("__spec__"), "name", None)
            words = str(name).split(".")
            for tail in (words[:-1] + [words[-1] + ".py"], words + ["__init__.py"]):
                if list(parts[-len(tail) :]) == tail:
                    depth = max(depth, len(tail))
    return depth


def _absolute(file: str) -> str:
    return os.path.normpath(os.path.join(origin.START_FOLDER, file))


def stable_alias(alias: str) -> str:
    """``path:qualname`` of a user's class or function, the qualname alone of one of the standard library's.

    A module has another name when it is run as a script or found from another folder.
    """
    parts = alias.split(".")
    for end in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:end]))
        if module is not None:
            name = stable_function(".".join(parts[end:]))
            file = getattr(module, "__dict__", {}).get("__file__")
            if not isinstance(file, str) or origin.rank(file) == origin.STDLIB:
                return re.sub(r"^(?:Fork|Spawn|ForkServer)Process$", "Process", name)
            return f"{stable_path(origin.show_path(file)).partition('.')[0]}:{name}"  # .so files name the Python
    return alias
