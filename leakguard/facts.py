"""What is known of a leak that its cause can be told from: names of classes, functions and modules, no live object.

Third-party things are known by the names of their types and functions: nothing is imported, no ``repr`` or property of
theirs is called. It is gathered for leaks that are certain, never on the way of a clean test.
"""

from __future__ import annotations

import functools
from typing import Any, FrozenSet, List, NamedTuple, Optional, Sequence, Set, Tuple

from leakguard import _compat, origin

FRAMES = 32
"""Frames that are looked at of a stack, innermost first."""

IN_INIT = "made in __init__"
DISCARDED = "result of the creating call is thrown away"
SUBMITTED = "by run_coroutine_threadsafe"
IDLE = "idle worker"
DAEMON = "daemon"
RAW = "raw"
ASYNC_GENERATOR = "async generator"
SIGNAL_HANDLER = "signal handler"
CANCELLED = "cancelled on a loop that does not turn"
UNSTARTED = "not begun on a loop that does not turn"
SHELL = "shell"
EVENT_LOOP = "event loop"
SQLITE = "sqlite"

HELD = ".held"
"""Among the frames of what waits for a lock: a thread that lives has it."""


class Facts(NamedTuple):
    """One leak, as the table of causes sees it; every name is ``module.qualname``."""

    kind: str
    names: FrozenSet[str] = frozenset()
    """What it is: its class and the classes that that is made of, its target, what that is bound to, who holds it."""
    frames: Tuple[str, ...] = ()
    """The functions that it is in, innermost first; before them ``.recv`` if a function of C is being called, and after
    them what it waits in, as its user knows that: see `operations_of`."""
    creators: Tuple[str, ...] = ()
    """The functions of libraries on the stack that created it, innermost first."""
    flags: FrozenSet[str] = frozenset()
    """What is true of it: the constants above, and words of its kind."""


def types_of(*things: Any) -> List[str]:
    """The classes of objects and all that those inherit from."""
    classes = [cls for thing in things if thing is not None for cls in type(thing).__mro__ if cls is not object]
    return [f"{cls.__module__}.{cls.__qualname__}" for cls in classes]


def bound_to(function: Any) -> Any:
    """The object whose method something is; None for a module's, a class's or a plain function."""
    owner = _compat.attribute(function, "__self__")
    return None if _compat.is_of(owner, (type, type(functools))) else owner


def functions_of(frames: Sequence[Any], *, calls: bool = False) -> Tuple[str, ...]:
    """The functions of frames, innermost first.

    With `calls`, the function of C comes first that code outside of the standard library is calling: inside of it, what
    is called says less than who calls.
    """
    found = [f"{frame.f_globals.get('__name__', '?')}.{_compat.qualname(frame.f_code)}" for frame in frames[:FRAMES]]
    if calls and frames and origin.rank(frames[0].f_code.co_filename) != origin.STDLIB:
        from leakguard import bytecode

        called = bytecode.blocking_call(frames[0].f_code, frames[0].f_lasti)
        return (f".{called}", *found) if called else tuple(found)
    return tuple(found)


def operations_of(waiting_in: Optional[str]) -> Tuple[str, ...]:
    """The operations in the text of what a thing waits in: ``asyncio.wait_for, for asyncio.Event.wait`` has two.

    What its frames do not show is there: a function of C, the future of an executor, the task that ``wait_for`` has
    made up to 3.11.
    """
    name, _, inner = (waiting_in or "").partition(", for ")
    held = (HELD,) if ", held by " in name else ()
    return (*held, *(one for one in (name.partition(", ")[0], inner) if one and "," not in one))


def made(
    birth: Optional[origin.Birth], entries: Sequence[Tuple[str, int, Optional[str]]] = ()
) -> Tuple[Tuple[str, ...], List[str]]:
    """Return the libraries' functions that created a thing, and the flags that its creating line gives.

    `entries` are (filename, line, function), innermost first: what Python has kept where no birth was noted.
    """
    if birth is not None:
        calls = [(c.co_filename, _compat.line_of(c, i), _compat.qualname(c)) for c, i in birth.stack]
    else:
        calls = [(path, line, _compat.qualname_at(path, line, name)) for path, line, name in entries[:FRAMES]]
    if not calls:
        return (), []
    first = next((i for i, (path, _, _) in enumerate(calls) if origin.rank(path) == origin.USER), len(calls))
    calls = calls[: first + 1]  # what is further out has called the user's code, and made nothing
    libraries = [(path, name) for path, _, name in calls if origin.rank(path) in (origin.LIBRARY, origin.STDLIB)]
    path, line, name = min(calls, key=lambda call: origin.rank(call[0]))
    flags = [IN_INIT] if name.rpartition(".")[2] == "__init__" else []
    if line in _discarding_lines(path):
        flags.append(DISCARDED)
    return tuple(f"{_module_at(path)}.{name}" for path, name in libraries), flags


def _module_at(filename: str) -> str:
    """The module that a library's file is."""
    path = origin.show_path(filename)
    for end in (".py", "/__init__"):
        path = path[: -len(end)] if path.endswith(end) else path
    return path.replace("/", ".")


_MAKERS = ("create_task", "ensure_future")


@functools.lru_cache(maxsize=64)
def _discarding_lines(filename: str) -> FrozenSet[int]:
    """The lines of a file on which a task is made by a statement that does nothing else: nobody is given the task.

    A task group holds its own tasks: what is called on a name that ends in ``group`` or is ``tg`` does not count.
    """
    import ast

    tree = _compat.syntax_tree(filename)
    lines: Set[int] = set()
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called: Any = node.value.func
            owner: Any = getattr(called, "value", None)
            holder = str(getattr(owner, "id", getattr(owner, "attr", "")))
            if getattr(called, "attr", getattr(called, "id", "")) in _MAKERS and not _is_group(holder):
                lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return frozenset(lines)


def _is_group(name: str) -> bool:
    return name.lower() == "tg" or name.lower().endswith(("group", "nursery"))
