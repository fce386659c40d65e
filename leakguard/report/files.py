"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from typing import Iterable


def replace_file(path: str, text: Iterable[str]) -> None:
    """Give a file a new text, all of it or nothing. Raises OSError if it cannot be written."""
    folder = os.path.dirname(os.path.abspath(path))
    partial = os.path.join(folder, f".leakguard-{os.urandom(8).hex()}.tmp")  # tempfile is 5 ms to import
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.writelines(text)
        _rename(partial, path)
    except BaseException:  # Ctrl-C as well as a full disk: nothing half written stays
        os.unlink(partial)
        raise


def _rename(partial: str, path: str) -> None:
    try:
        os.replace(partial, path)
    except OSError as error:  # it names the partial file, too, which is called otherwise in every run
        raise OSError(error.errno, error.strerror, path) from None
