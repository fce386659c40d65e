"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import stat
from typing import Iterable, Optional


def replace_file(path: str, text: Iterable[str]) -> None:
    """Give a file a new text, all of it or nothing. Raises OSError if it cannot be written.

    A link stays one: the file that it leads to gets the text. A file that is there keeps its mode.
    """
    target = os.path.realpath(path)
    folder, mode = os.path.dirname(target), _mode_of(target)
    partial = os.path.join(folder, f".leakguard-{os.urandom(8).hex()}.tmp")  # tempfile is 5 ms to import
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    handle = os.open(partial, flags, 0o666 if mode is None else mode)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.writelines(text)
        if mode is not None:
            os.chmod(partial, mode)  # the umask has taken its part
        _rename(partial, target, path)
    except BaseException:  # Ctrl-C as well as a full disk: nothing half written stays
        os.unlink(partial)
        raise


def _mode_of(path: str) -> Optional[int]:
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return None  # there is none yet


def _rename(partial: str, target: str, path: str) -> None:
    try:
        os.replace(partial, target)
    except OSError as error:  # it names the partial file, too, which is called otherwise in every run
        raise OSError(error.errno, error.strerror, path) from None
