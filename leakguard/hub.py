"""What can be seen of a hub: who is connected to it, what it has not delivered, its threads and its tasks."""

from __future__ import annotations

import collections
import threading
import types
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple

from leakguard import _compat
from leakguard.model import printable
from leakguard.probes.tasks import frames_of_task

_CLIENTS = ("clients", "connections", "websockets", "sessions", "subscribers", "peers")
_COLLECTIONS = (*_CLIENTS, *(f"_{name}" for name in _CLIENTS))

_DEQUES = ("queue", "outbox", "outgoing", "backlog", "unsent")
"""What a deque of messages that are still to be sent is called."""


def has(thing: Any, *names: str) -> bool:
    """Whether an object, no class, has all of these attributes."""
    for name in names:
        if not hasattr(thing, name):
            return False
    return not isinstance(thing, type)


def _attributes(thing: Any) -> Iterable[Tuple[str, Any]]:
    """Return the names and values of an object's attributes, those in slots too."""
    plain = list(getattr(thing, "__dict__", {}).items())
    return plain if getattr(type(thing), "__slots__", None) is None else [*plain, *_in_slots(thing)]


def _in_slots(thing: Any) -> Iterable[Tuple[str, Any]]:
    for cls in type(thing).__mro__:
        for name, descriptor in list(vars(cls).items()):
            if isinstance(descriptor, types.MemberDescriptorType):
                try:
                    yield name, descriptor.__get__(thing)
                except AttributeError:
                    pass  # never set


def members(thing: Any) -> List[Any]:
    """Return the values of an object's attributes, and what is in those that are collections."""
    found: List[Any] = []
    for _, value in _attributes(thing):
        found.append(value)
        if isinstance(value, dict):
            found += list(value.values())
        elif isinstance(value, (list, tuple, set, frozenset, collections.deque)):
            found += list(value)
    return found


def clients_of(hub: Any) -> List[Any]:
    """Return who is connected, as far as the hub says: what it has under the usual names.

    Of a dict the keys, unless they say nothing and the values do.
    """
    transports = _compat.server_transports(hub)
    if transports:
        return transports
    for place in (hub, getattr(hub, "server_state", None), getattr(hub, "server", None)):
        for name in _COLLECTIONS if place is not None else ():
            try:
                found = getattr(place, name, None)
                if found and not isinstance(found, (str, bytes)) and not callable(found):
                    return [_telling(*pair) for pair in found.items()] if isinstance(found, dict) else list(found)
            except Exception:  # a property of the user's may raise anything: then it says nothing
                continue
    return []


def _telling(key: Any, value: Any) -> Any:
    return key if _known_name(key) or not _known_name(value) else value


def client_name(client: Any) -> str:
    """A client as people know it: its address, its name, its key, else its class."""
    return _known_name(client) or type(client).__name__


def _known_name(client: Any) -> str:
    if isinstance(client, (str, bytes, int)) or type(client).__module__ == "uuid":
        return printable(client)
    try:
        transport = client if hasattr(client, "get_extra_info") else getattr(client, "transport", None)
        found = transport.get_extra_info("peername") if transport is not None else None
        found = found or getattr(client, "remote_address", None) or getattr(client, "name", None)
    except Exception:  # a closed connection may say so in any way
        found = None
    found = client if type(client) is tuple and _is_address(client) else found
    if isinstance(found, tuple) and len(found) >= 2:
        found = f"{found[0]}:{found[1]}"
    return printable(found) if found else ""


def _is_address(pair: Any) -> bool:
    return len(pair) in (2, 4) and isinstance(pair[0], str) and isinstance(pair[1], int)


def undelivered(hub: Any) -> int:
    """How many messages wait in the queues that the hub and its clients have as attributes.

    A deque is one if it is called so: most are histories.
    """
    messages = {}
    for place in (hub, *members(hub)):
        if not isinstance(place, _NO_PLACES) and not _is_others(place):
            messages.update({id(value): value for name, value in _attributes(place) if _is_outbox(name, value)})
            messages.update({id(member): member for member in members(place) if _is_queue(member)})
    return sum(map(_size, messages.values()))


_NO_PLACES = (
    *(int, float, str, bytes, type(None), list, tuple, dict, set, frozenset, collections.deque, type),
    *(types.FunctionType, types.MethodType, types.ModuleType, threading.Thread),
)
"""Values, collections, functions: what has no queues of its own."""


def _is_queue(thing: Any) -> bool:
    return hasattr(thing, "qsize") and has(thing, "get")


def _is_outbox(name: str, value: Any) -> bool:
    return isinstance(value, collections.deque) and name.lstrip("_") in _DEQUES


def is_task(thing: Any) -> bool:
    """Whether it is a task of asyncio's, or of another loop's that is made like one."""
    return hasattr(thing, "get_coro") and has(thing, "done", "exception")


def _is_others(thing: Any) -> bool:
    """Whether it is an event loop, whose attributes belong to all that run on it; an executor, whose queue has work; a queue."""
    is_executor = hasattr(thing, "submit") and has(thing, "shutdown", "map")
    return is_executor or hasattr(thing, "call_soon_threadsafe") or _is_queue(thing)


def _size(queue: Any) -> int:
    try:
        return len(queue) if isinstance(queue, collections.deque) else int(queue.qsize())
    except Exception:  # NotImplementedError on macOS, or whatever a look-alike raises
        return 0


def threads_of(hub: Any) -> List[threading.Thread]:
    """Return the live threads of a hub: itself, its attributes, and those that run a method of it."""
    here = threading.current_thread()
    found = [thread for thread in (hub, *members(hub)) if isinstance(thread, threading.Thread)]
    for thread in list(_compat.live_threads.values()):
        if thread is not here and getattr(_compat.thread_target(thread), "__self__", None) is hub:
            found.append(thread)
    return [t for t in {id(thread): thread for thread in found}.values() if t is not here and t.is_alive()]


class Insides:
    """What the tasks of a loop are inside of, kept for many hubs: each task is looked at once, when it is asked for."""

    def __init__(self, tasks: Callable[[], Iterable[Any]]) -> None:
        self._tasks = tasks
        self._seen: Dict[int, Any] = {}  # the tasks themselves, lest another gets the id of one that has gone
        self._found: Dict[int, List[Any]] = {}
        self.is_outdated = True

    def of(self, hub: Any) -> Sequence[Any]:
        """Return the tasks that are inside a method of the hub; new ones are looked for if there may be any."""
        if self.is_outdated:
            self._refresh()
        return self._found.get(id(hub), ())

    def _refresh(self) -> None:
        self.is_outdated = False
        for task in [task for task in self._tasks() if id(task) not in self._seen]:
            self._seen[id(task)] = task
            for owner in {id(frame.f_locals.get("self")) for frame in frames_of_task(task)}:
                self._found.setdefault(owner, []).append(task)


def tasks_of(hub: Any, inside: Iterable[Any]) -> List[Any]:
    """Return the pending tasks of a hub: its attributes, and those that are inside a method of it."""
    own = [member for member in members(hub) if is_task(member)]
    unique = {id(task): task for task in (*own, *inside)}
    return [task for task in unique.values() if task is not hub and not task.done()]


def name_of(hub: Any) -> str:
    """How messages name a hub that was given no name: its own, else its class."""
    name = getattr(hub, "name", None)
    return printable(name) if isinstance(name, str) and name else type(hub).__name__


def plural(number: int, what: str) -> str:
    """``1 client``, ``2 clients``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few of many names."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


