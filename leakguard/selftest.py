"""``--leak-selftest``: plant one leak of each kind here, and show that the guard sees it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import Any, Callable, Dict, Iterator, TextIO

from leakguard import _compat
from leakguard.guard import LeakGuard
from leakguard.model import LeakError


@contextmanager
def _thread() -> Iterator[None]:
    release = threading.Event()
    planted = threading.Thread(target=release.wait, name="planted-thread", daemon=True)
    planted.start()
    try:
        yield
    finally:
        release.set()
        planted.join()


@contextmanager
def _native() -> Iterator[None]:
    system, semaphore, planted = ctypes.CDLL(None), ctypes.create_string_buffer(64), ctypes.c_ulong()
    system.sem_init(semaphore, 0, 0)
    if system.pthread_create(ctypes.byref(planted), None, system.sem_wait, semaphore):
        raise OSError("the system made no thread")
    try:
        yield
    finally:
        system.sem_post(semaphore)
        system.pthread_join(planted, None)


@contextmanager
def _process() -> Iterator[None]:
    planted = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        yield
    finally:
        planted.kill()
        planted.communicate()


@contextmanager
def _task() -> Iterator[None]:
    async def planted_task() -> None:
        await asyncio.Event().wait()

    async def plant() -> Any:
        return asyncio.ensure_future(planted_task())

    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(plant())
    try:
        yield
    finally:
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()


@contextmanager
def _timer() -> Iterator[None]:
    def planted_timer() -> None:
        pass

    async def plant() -> Any:
        return asyncio.get_running_loop().call_later(3600, planted_timer)

    loop = asyncio.new_event_loop()
    timer = loop.run_until_complete(plant())
    try:
        yield
    finally:
        timer.cancel()
        loop.close()


@contextmanager
def _file() -> Iterator[None]:
    planted = open(os.devnull, "rb")
    try:
        yield
    finally:
        planted.close()


@contextmanager
def _exception() -> Iterator[None]:
    def planted_exception() -> None:
        raise RuntimeError("planted")

    with redirect_stderr(StringIO()):
        thread = threading.Thread(target=planted_exception)
        thread.start()
        thread.join()
    yield


@contextmanager
def _tempfile() -> Iterator[None]:
    planted = tempfile.mkdtemp()
    try:
        yield
    finally:
        os.rmdir(planted)


@contextmanager
def _environ() -> Iterator[None]:
    os.environ["PLANTED_VARIABLE"] = "1"
    try:
        yield
    finally:
        os.environ.pop("PLANTED_VARIABLE", None)


PLANTS: Dict[str, Callable[[], Any]] = {
    "thread": _thread,
    "native": _native,
    "task": _task,
    "process": _process,
    "timer": _timer,
    "file": _file,
    "exception": _exception,
    "tempfile": _tempfile,
    "environ": _environ,
}

_REPORTED_AS = {"native": "thread"}


def run(stream: TextIO) -> bool:
    """Plant each kind in turn; print what was seen; return whether everything was."""
    all_seen = True
    for kind, plant in PLANTS.items():
        if kind == "native" and not _compat.HAS_SYSTEM_THREADS:
            stream.write(f"{kind:<9} not here: this platform does not list the threads of a process\n")
            continue
        guard = LeakGuard(name=f"the planted {kind}", grace=0.05, kinds=kind)
        planted = plant()
        try:
            with guard:
                planted.__enter__()
        except LeakError:
            pass  # as it should be
        finally:
            planted.__exit__(None, None, None)
        seen = [leak for leak in guard.leaks if leak.kind == _REPORTED_AS.get(kind, kind)]
        all_seen = all_seen and bool(seen)
        created = f", created at {seen[0].origin}" if seen and seen[0].origin else ""  # of files, --leak-trace knows it
        stream.write(f"{kind:<9} {'seen' + created if seen else 'NOT SEEN'}\n")
    return all_seen
