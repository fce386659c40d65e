"""Open file descriptors: files, pipes, sockets, epolls, by descriptor and inode."""

from __future__ import annotations

import os
import re
import stat
import weakref
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from leakguard import _compat, facts, origin
from leakguard.model import Leak, printable
from leakguard.probes.protocol import Probe, advice, class_name
from leakguard.temporary import without_random_parts

_POLL = 0.002
_Inode = Tuple[int, int]


class Descriptor:
    """One open file descriptor: its number, and the inode and device that it stood for when it was seen."""

    __slots__ = ("number", "inode", "_holder")

    def __init__(self, number: int, inode: _Inode) -> None:
        self.number, self.inode = number, inode
        self._holder: Any = None

    def holder(self) -> Any:
        """The Python object that has it open, looked for once, as every object there is has to be asked."""
        if self._holder is None:
            holder = _loop_of(self.number) or _compat.object_with_descriptor(self.number)
            self._holder = weakref.ref(holder) if holder is not None else _nobody
        return self._holder()


def _nobody() -> None:
    return None


class _Described(NamedTuple):
    name: str
    state: str


_GONE = _Described("?", "closed in the meantime")
"""What the last look drops."""


class FileProbe(Probe):
    """Finds descriptors that were opened in the course of a test and are open still.

    Those of the test's own loop, and the pipes of the interpreter's own helpers, are none.
    """

    kind = "file"
    carries_over = False

    def __init__(self) -> None:
        self._reported: Dict[int, _Inode] = {}
        self._suspects: Dict[Tuple[int, _Inode], Descriptor] = {}
        self._searches = 0

    def snapshot(self) -> Any:
        self._suspects = {}
        self._searches = 0
        return self._look()

    def suspects(self, baseline: Any) -> Sequence[Any]:
        now = self._look()
        if now == baseline:
            return ()
        new = {number: inode for number, inode in now.items() if baseline.get(number) != inode}
        spared = _spared() | _counted_once() | _about_to_close() | _beside_a_database(new, now) if new else set()
        kept = _compat.heap_files() if new else set()
        found = [
            self._suspects.setdefault((number, inode), Descriptor(number, inode))
            for number, inode in new.items()
            if number not in spared and inode not in kept and self._reported.get(number) != inode
        ]
        return [thing for thing in found if not any(is_kept(thing) for is_kept in _KEPT)]

    def _look(self) -> Dict[int, _Inode]:
        now = _compat.open_descriptors()  # each test pays for it twice
        if self._reported:  # those that were closed since are forgotten: the next one may be the same file
            self._reported = {number: inode for number, inode in self._reported.items() if now.get(number) == inode}
        return now

    def owner(self, thing: Any) -> Any:
        return None

    def is_noted(self, thing: Any) -> bool:
        return False

    def identity(self, thing: Any) -> Any:
        key = (thing.number, thing.inode)
        return lambda other: (other.number, other.inode) == key

    def names(self, thing: Any) -> Tuple[str, Tuple[str, ...]]:
        holder = thing.holder()
        return _describe(thing.number).name, (class_name(holder),) if holder is not None else ()

    def origin(self, thing: Any) -> Optional[str]:
        holder = thing.holder()
        made = origin.origin_of_allocation(_compat.allocated_at(holder))
        return made or origin.origin_of_birth(origin.birth_of_loop(holder))

    def settle(self, suspects: Sequence[Any], timeout: float) -> None:
        _compat.pause(min(timeout, _POLL))

    def describe(self, thing: Any) -> Leak:
        name, aliases = self.names(thing)
        created = self.origin(thing)
        described = _describe(thing.number)
        return Leak(
            kind=self.kind,
            name=name,
            state=described.state + _held_by(aliases if _loop_of(thing.number) is None else ()),
            owner="",
            origin=created,
            hint=advice(self._facts(thing)),
            aliases=aliases,
        )

    def _facts(self, thing: Any) -> facts.Facts:
        """What is known of a descriptor; who holds its holder is looked for in a few cases only."""
        number, holder = thing.number, thing.holder()
        loop = _loop_of(number)
        flags = [facts.EVENT_LOOP] * (loop is not None) + [facts.SQLITE] * _is_sqlite(number)
        known = [holder, *_served_by(number)]
        if loop is None and holder is not None and self._searches < SEARCHES:
            self._searches += 1
            known += _compat.holders_of(holder)
        names = facts.types_of(*known)
        creators, _ = facts.made(None, [(path, line, None) for path, line in _compat.allocated_at(holder)])
        return facts.Facts(self.kind, frozenset(names), (), creators, frozenset(flags))

    def mark(self, things: Sequence[Any]) -> None:
        for thing in things:
            self._reported[thing.number] = thing.inode

    def allow(self, thing: Any) -> Optional[str]:
        if isinstance(thing, int) or not hasattr(thing, "fileno"):
            return None
        try:
            number = thing.fileno()
            status = os.fstat(number)
        except (OSError, ValueError):
            return None
        self.mark([Descriptor(number, (status.st_ino, status.st_dev))])
        return _describe(number).name


SEARCHES = 8
"""Descriptors of one test at most for which every object is asked who holds them."""

_SQLITE = b"SQLite format 3"
_ELF = b"\x7fELF"
_MODES = {os.O_RDONLY: "r", os.O_WRONLY: "w", os.O_RDWR: "r+"}


def _spared() -> Set[int]:
    """Return the descriptors of the loops that tests run in, and of the interpreter's own helpers."""
    spared = {*_compat.helper_descriptors(), *_compat.descriptors_of_libuv()}
    for guard in list(origin.open_guards):
        spared.update(_compat.loop_descriptors(guard.loop))
    return spared


def _counted_once() -> Set[int]:
    """Return all but one of the descriptors of each loop that was not closed: they are one thing that was left."""
    return {number for loop in list(origin.loops) for number in _compat.loop_descriptors(loop)[1:]}


def _beside_a_database(numbers: Iterable[int], all_numbers: Iterable[int]) -> Set[int]:
    """Return those of SQLite's own files beside a database that is open, too: the connection is what was left, if it was."""
    named = {number: _compat.descriptor_target(number).partition(_DELETED)[0] for number in numbers}
    beside = {number: re.match(r"(.+)-(wal|shm|journal)$", name) for number, name in named.items()}
    if not any(beside.values()):
        return set()
    targets = {_compat.descriptor_target(number).partition(_DELETED)[0] for number in all_numbers}
    return {number for number, found in beside.items() if found and found[1] in targets}


def _is_kept_by_libuv(thing: Descriptor) -> bool:
    """Whether this is what a loop of uvloop's, once it has listened, keeps open until it is closed (``emfile_fd``)."""
    return (
        any(_compat.opens_unseen(loop) and not loop.is_closed() for loop in list(origin.loops))
        and _compat.descriptor_target(thing.number) == os.devnull
        and thing.holder() is None
    )


def _about_to_close() -> Set[int]:
    """Return the descriptors of closed transports on loops that have stopped a turn too early to let them go."""
    resting = [loop for loop in list(origin.loops) if not loop.is_running() and not loop.is_closed()]
    return {number for loop in resting for number in _compat.closing_descriptors(loop)}


def _describe(number: int) -> _Described:
    """What a descriptor is, in words that are the same in another run."""
    try:
        mode = os.fstat(number).st_mode
    except OSError:
        return _GONE
    target = _compat.descriptor_target(number)
    if _loop_of(number) is not None:
        return _Described("epoll and self-pipe", "event loop not closed")
    if stat.S_ISSOCK(mode):
        return _describe_socket(number)
    if target.startswith("anon_inode:"):  # inotify, [eventfd], [timerfd] ...
        what = target[len("anon_inode:") :].strip("[]")
        return _Described("epoll" if what == "eventpoll" else printable(what), "open")
    access = _MODES.get(_compat.descriptor_flags(number) & 3, "open")
    if stat.S_ISFIFO(mode):
        return _Described("pipe", "read end" if access == "r" else "write end")
    name, is_deleted = _name_of(target)
    return _Described(name, f"open, mode {access}" + ", deleted" * is_deleted)


def _held_by(aliases: Sequence[str]) -> str:
    """The class of the Python object that has it open, as its user knows it; nothing for a bare descriptor."""
    return f", held by {aliases[0].lstrip('_')}" if aliases else ""


_DELETED = " (deleted)"


def _name_of(target: str) -> Tuple[str, bool]:
    """A path as it is shown, without what `tempfile` and the system choose anew in each run; whether it is gone."""
    is_deleted = target.endswith(_DELETED)
    path = target[: -len(_DELETED)] if is_deleted else target
    if path.startswith("/memfd:"):
        return printable(path[1:]), False
    path = without_random_parts(origin.show_path(path))
    if path.startswith("/dev/shm/"):
        path = re.sub(rf"(?<!\d){os.getpid()}(?!\d)", "*", path)
    if is_deleted:
        path = re.sub(r"(?<=/)#[0-9]+$", "#*", path)
    return printable(path or "?"), is_deleted


def _is_loaded(thing: Descriptor) -> bool:
    """Whether this is a shared library that is loaded, kept open by itself or its loader (libffi on 3.14), by no object."""
    return (
        _begins_with(thing.number, _ELF)
        and _compat.descriptor_target(thing.number) in _compat.mapped_code()
        and thing.holder() is None
    )


def _is_of_a_child(thing: Descriptor) -> bool:
    """Whether this is a pidfd of a child that runs: a part of that process, by which asyncio waits for it."""
    if "pidfd" not in _compat.descriptor_target(thing.number):
        return False
    pid = _compat.process_of_descriptor(thing.number)
    return pid > 0 and _compat.is_child_running(pid)


_KEPT = (_is_kept_by_libuv, _is_loaded, _is_of_a_child)
"""What is nobody's to close, or a part of something else."""


def _is_sqlite(number: int) -> bool:
    """Whether a file is SQLite's, by its first bytes; read by this descriptor: another's close would drop its locks."""
    return _begins_with(number, _SQLITE)


def _begins_with(number: int, expected: bytes) -> bool:
    try:
        return stat.S_ISREG(os.fstat(number).st_mode) and os.pread(number, len(expected), 0) == expected
    except (OSError, AttributeError):
        return False  # opened for writing, closed in the meantime, or a platform without pread


def _served_by(number: int) -> List[Any]:
    """What a loop has been given to serve a descriptor by: its server, its transport and protocol."""
    found: List[Any] = []
    for loop in list(origin.loops):
        callback = _compat.loop_callback(loop, number)
        if callback:
            transport = facts.bound_to(callback[0])
            protocol = transport.get_protocol() if hasattr(transport, "get_protocol") else None
            found += [transport, protocol, *callback[1:]]
    return found


def _loop_of(number: int) -> Any:
    return next((loop for loop in list(origin.loops) if number in _compat.loop_descriptors(loop)), None)


def _describe_socket(number: int) -> _Described:
    import socket  # 3 ms, which only a leak pays; a collection may close it meanwhile

    from leakguard.waiting import address_text

    try:
        copy = os.dup(number)
    except OSError:
        return _GONE
    try:
        sock = socket.socket(fileno=copy)
    except OSError as error:  # pragma: no cover - a race, or a family that Python does not know
        os.close(copy)
        return _Described("socket", f"open, {error.strerror}")
    with sock:
        family = getattr(sock.family, "name", str(sock.family))
        kind = getattr(sock.type, "name", str(sock.type))
        here, peer = (without_random_parts(address_text(name)) for name in (sock.getsockname, sock.getpeername))
        try:
            is_listening = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        except OSError:  # pragma: no cover - a family that does not know the option
            is_listening = False
    words: List[str] = [f"{family} {kind}".replace("AF_", "").replace("SOCK_", "")]
    if is_listening:
        return _Described("listening socket", f"{words[0]}, listening on {here}")
    words += [f"from {here}"] * bool(here) + [f"to {peer}"] * bool(peer)
    return _Described("socket", ", ".join(words) if len(words) > 1 else f"{words[0]}, open")
