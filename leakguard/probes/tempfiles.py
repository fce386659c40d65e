"""Temporary files and directories: what was made through `tempfile` and is still on disk."""

from __future__ import annotations

import os
import stat
from typing import Any, Optional, Sequence, Tuple

from leakguard import _compat, origin
from leakguard.model import Leak
from leakguard.probes.protocol import Probe, fingerprint
from leakguard.temporary import Temporary, made

_POLL = 0.002
_FORGET_AFTER = 1.0
"""Seconds after which a name under which there is nothing is forgotten: it may have been given out just now."""


class TempfileProbe(Probe):
    """Finds files and directories that a test made through `tempfile` and did not remove; it removes none itself.

    What is inside of a temporary directory goes with it, and is not looked at by itself.
    """

    kind = "tempfile"

    def snapshot(self) -> Any:
        return Temporary.count

    def suspects(self, baseline: Any) -> Sequence[Any]:
        if not made:
            return ()
        new = [one for one in list(made) if one.number >= baseline and not one.is_settled and _is_there(one)]
        if not new:
            return ()
        folders = [one.path + os.sep for one in made if os.path.isdir(one.path) and not os.path.islink(one.path)]
        return [one for one in new if not one.path.startswith(tuple(folders)) and not _is_helper(one)]

    def owner(self, thing: Any) -> Any:
        return thing.birth.owner

    def is_noted(self, thing: Any) -> bool:
        return True

    def names(self, thing: Any) -> Tuple[str, Tuple[str, ...]]:
        return thing.shown, (thing.path,)

    def origin(self, thing: Any) -> Optional[str]:
        return origin.origin_of(thing.birth.stack)

    def settle(self, suspects: Sequence[Any], timeout: float) -> None:
        _compat.pause(min(timeout, _POLL))

    def describe(self, thing: Any) -> Leak:
        created = self.origin(thing)
        state, is_folder = _describe(thing.path)
        stable = os.path.basename(thing.shown) if thing.is_default else thing.shown
        return Leak(
            kind=self.kind,
            name=thing.shown,
            state=state,
            owner="",
            origin=created,
            hint=_FOLDER_HINT if is_folder else _FILE_HINT,
            fingerprint=fingerprint(self.kind, stable, created, None),
        )

    def mark(self, things: Sequence[Any]) -> None:
        for thing in things:
            thing.is_settled = True

    def allow(self, thing: Any) -> Optional[str]:
        path = getattr(thing, "name", thing)
        if not isinstance(path, (str, bytes, os.PathLike)):
            return None
        full = os.path.abspath(os.fsdecode(path))
        found = [one for one in made if one.path == full]
        self.mark(found)
        return found[0].shown if found else None


_FOLDER_HINT = "remove it in a cleanup, or use tempfile.TemporaryDirectory in a with block"
_FILE_HINT = "remove it in a cleanup, or use tempfile.NamedTemporaryFile in a with block"


def _is_there(one: Temporary) -> bool:
    if os.path.lexists(one.path):
        return True
    if _compat.clock() - one.time > _FORGET_AFTER and one in made:
        made.remove(one)
    return False


def _is_helper(one: Temporary) -> bool:
    """Whether it is the folder that multiprocessing keeps for itself, or in it."""
    folder = _compat.helper_folder()
    return folder is not None and (one.path + os.sep).startswith(os.path.join(os.path.abspath(folder), ""))


def _describe(path: str) -> Tuple[str, bool]:
    """What is there, in words, and whether it is a directory."""
    try:
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            return f"directory, {_counted(len(os.listdir(path)), 'entry', 'entries')}", True
    except FileNotFoundError:
        return "removed in the meantime", False
    except OSError as error:
        return f"directory, not to be read: {error.strerror}", True
    if stat.S_ISREG(status.st_mode):
        return f"file, {_counted(status.st_size, 'byte', 'bytes')}", False
    return next((word for is_it, word in _OTHERS if is_it(status.st_mode)), "file"), False


_OTHERS = ((stat.S_ISSOCK, "socket"), (stat.S_ISFIFO, "named pipe"), (stat.S_ISLNK, "symbolic link"))


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
