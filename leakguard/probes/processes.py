"""Child processes: of `multiprocessing`, `subprocess`, asyncio and plain `os.fork`."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from leakguard import _compat, facts, origin
from leakguard.model import Leak, printable
from leakguard.probes.protocol import Probe, advice, class_name, fingerprint
from leakguard.temporary import without_random_parts

_POLL = 0.005
_EXEC_SECONDS = 0.1
"""How long a process has an empty command line at most, while it replaces its program; its starter may be back by then."""
TERMINATE_SECONDS = 1.0
"""How long a leaked child has to end after SIGTERM before it is killed."""


class Child:
    """A child process by a pair that is never reused: its pid and the time it started, in clock ticks since boot."""

    __slots__ = ("pid", "started")

    def __init__(self, pid: int, started: int) -> None:
        self.pid, self.started = pid, started

    def is_alive(self) -> bool:
        """Whether it runs: one that has ended and was not waited for does not."""
        return _compat.is_child_running(self.pid) and _start_time(self.pid) == self.started


class ProcessProbe(Probe):
    """Finds child processes that a test started and that still run; the interpreter's own helpers are none."""

    kind = "process"

    def __init__(self) -> None:
        self._known: Dict[int, int] = {}
        self._reported: Dict[int, int] = {}
        self._unnoted: Dict[Tuple[int, int], Any] = {}
        """What the thread of a child tells that no hook has seen being made."""

    def refresh(self) -> None:
        """Look at the children anew, noted or not: what C code spawned is seen here, if not by the test itself."""
        self._known = _children() if _has_children() else {}
        self._unnoted.clear()
        origin.forks[0] = True

    def snapshot(self) -> Any:
        return self._known

    def suspects(self, baseline: Any) -> Sequence[Any]:
        if not (baseline or _births or _forks[0]):
            return ()  # the system call would cost a tenth of an empty test
        if not _has_children():
            _births.clear()
            _forks[0] = False
            self._known = {}
            return ()
        now = self._known = _children()
        new = [Child(pid, started) for pid, started in now.items() if baseline.get(pid) != started]
        if not new:
            return ()
        helpers = _compat.interpreter_helpers()
        return [
            child
            for child in new
            if child.pid not in helpers
            and self._reported.get(child.pid) != child.started
            and _compat.is_child_running(child.pid)
        ]

    def owner(self, thing: Any) -> Any:
        birth = origin.process_births.get(thing.pid)
        if birth is None:
            key = thing.pid, thing.started
            if key not in self._unnoted:
                self._unnoted[key] = _birth_of_its_thread(thing.pid)
            birth = self._unnoted[key]
        return birth.owner if birth is not None else None

    def is_noted(self, thing: Any) -> bool:
        return thing.pid in origin.process_births

    def identity(self, thing: Any) -> Callable[[Any], bool]:
        key = (thing.pid, thing.started)
        return lambda other: (other.pid, other.started) == key

    def names(self, thing: Any) -> Tuple[str, Tuple[str, ...]]:
        name, aliases = self._full_names(thing)
        return printable(name), aliases

    def _full_names(self, thing: Any) -> Tuple[str, Tuple[str, ...]]:
        for pid, process in _compat.known_child_objects():
            if pid == thing.pid:
                return process.name, (class_name(process),)
        command = _command_line(thing.pid)
        deadline = _compat.clock() + _EXEC_SECONDS
        while not command and thing.is_alive() and _compat.clock() < deadline:
            _compat.pause(_POLL)
            command = _command_line(thing.pid)
        if not command or command == _command_line(os.getpid()):
            return "forked child", ("os.fork",)
        return without_random_parts(command), ("subprocess.Popen",)

    def origin(self, thing: Any) -> Optional[str]:
        return origin.origin_of_birth(origin.process_births.get(thing.pid))

    def settle(self, suspects: Sequence[Any], timeout: float) -> None:
        _compat.pause(min(timeout, _POLL))

    def describe(self, thing: Any) -> Leak:
        full, aliases = self._full_names(thing)
        created = self.origin(thing)
        return Leak(
            kind=self.kind,
            name=printable(full),
            state="running",
            owner="",
            origin=created,
            hint=advice(_facts(thing, full, aliases)),
            fingerprint=fingerprint(self.kind, full, created, None, aliases),  # a command may be longer than a name
            aliases=aliases,
            origin_stack=origin.birth_texts(origin.process_births.get(thing.pid)),
        )

    def mark(self, things: Sequence[Any]) -> None:
        for thing in things:
            self._reported[thing.pid] = thing.started

    def isolate(self, things: Sequence[Any]) -> Iterator[None]:
        """End reported children: terminate all, kill those that stay, and let whoever started them know.

        A pool's workers are ended by the pool: one that is killed holds a lock, for which the pool would wait for ever.
        """
        yield from _end_pools(_compat.pools_of([thing.pid for thing in things]))
        for number, seconds in ((signal.SIGTERM, TERMINATE_SECONDS), (_KILL, TERMINATE_SECONDS)):
            left = [thing for thing in things if thing.is_alive()]
            for thing in left:
                _send(thing.pid, number)
            deadline = _compat.clock() + seconds
            while any(thing.is_alive() for thing in left) and _compat.clock() < deadline:
                _compat.pause(_POLL)
                yield
        for thing in things:
            _reap(thing.pid)

    def allow(self, thing: Any) -> Optional[str]:
        pid = thing if isinstance(thing, int) and not isinstance(thing, bool) else getattr(thing, "pid", None)
        if not isinstance(pid, int) or not _compat.is_child_running(pid):
            return None
        child = Child(pid, _start_time(pid))
        self.mark([child])
        return self.names(child)[0]


_births, _forks = origin.process_births, origin.forks
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def _end_pools(pools: Sequence[Any]) -> Iterator[None]:
    for pool in pools:
        helper = threading.Thread(target=pool.terminate, name="leakguard ends a pool", daemon=True)
        helper.__dict__[origin.REPORTED] = True  # ours: no check asks for it
        helper.start()
        deadline = _compat.clock() + TERMINATE_SECONDS
        while helper.is_alive() and _compat.clock() < deadline:
            _compat.pause(_POLL)
            yield
        if helper.is_alive():
            _compat.forget_at_exit(pool)


def _send(pid: int, number: int) -> None:
    try:
        _compat.kill(pid, number)
    except (ProcessLookupError, PermissionError):  # pragma: no cover - a race
        pass  # it has ended by itself, or has become another user's


def _reap(pid: int) -> None:
    """Leave no zombie: by the object that started the child, so that it knows, else directly."""
    birth = origin.process_births.get(pid)
    popen = birth.extra() if birth is not None and birth.extra is not None else None
    for known, process in _compat.known_child_objects():
        if known == pid:
            popen = process
    try:
        if popen is None:
            os.waitpid(pid, os.WNOHANG)
        elif hasattr(popen, "poll"):
            popen.poll()
        else:
            popen.is_alive()
    except (OSError, ValueError, AssertionError):  # pragma: no cover - a race
        pass  # somebody else has waited for it, or closed the object, in the meantime


def _facts(thing: Any, name: str, aliases: Sequence[str]) -> facts.Facts:
    creators, flags = facts.made(origin.process_births.get(thing.pid))
    process = next((process for pid, process in _compat.known_child_objects() if pid == thing.pid), None)
    if getattr(process, "daemon", False):
        flags.append(facts.DAEMON)
    if name.partition(" -c ")[0] in ("/bin/sh", "sh", "bash", "/bin/bash") and " -c " in name:
        flags.append(facts.SHELL)
    return facts.Facts("process", frozenset([*facts.types_of(process), *aliases]), (), creators, frozenset(flags))


def _has_children() -> bool:
    return _compat.has_children() if _compat.HAS_WAITID else bool(origin.process_births)


def child_count() -> int:
    """How many child processes run, the interpreter's own helpers left out."""
    if not _has_children():
        return 0
    helpers = _compat.interpreter_helpers()
    return sum(1 for pid in _children() if pid not in helpers and _compat.is_child_running(pid))


def _children() -> Dict[int, int]:
    """Return pid -> start time of every child that has not been waited for.

    Linux lists them for each thread; a child may be missing there while another one ends, so those whose birth was
    noted are added. Without /proc only noted ones are known.
    """
    pids = {pid for pid in list(_births) if _compat.is_child_running(pid)}
    pids |= _compat.forkserver_children()
    try:
        for task in os.listdir("/proc/self/task"):
            pids.update(_listed_children(task))
    except OSError:  # pragma: no cover - macOS and Windows
        pass  # no /proc on this platform
    return {pid: _start_time(pid) for pid in sorted(pids)}


def _birth_of_its_thread(pid: int) -> Optional[origin.Birth]:
    """What is known of the thread that made a child which no hook has seen, the shell of ``os.system()``: Linux tells."""
    for thread in list(_compat.live_threads.values()):
        if pid in _listed_children(str(getattr(thread, "native_id", ""))):
            return origin.birth_of_thread(thread)
    return None


def _listed_children(task: str) -> List[int]:
    try:
        with _compat.open_file(f"/proc/self/task/{task}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except OSError:  # pragma: no cover - a race
        return []  # that thread has ended since, or the kernel does not list children


def _start_time(pid: int) -> int:
    """Clock ticks from boot to the process's start, 0 where the platform does not say (field 22, man 5 proc)."""
    try:
        with _compat.open_file(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):  # pragma: no cover - a race, or no /proc
        return 0


def _command_line(pid: int) -> str:
    try:
        with _compat.open_file(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read(4096).replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:  # pragma: no cover - a race, or no /proc
        return ""
