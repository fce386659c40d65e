"""Which thread holds a lock, where that is certain."""

from __future__ import annotations

import sys
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from leakguard import _compat
from leakguard.calls import look_up, variable

MOST_THREADS = 100
"""More stacks than these are not searched for one lock: a thousand threads may wait for it."""


class _Body(NamedTuple):
    """An item of a ``with`` statement that is a name or an attribute, ``with self.lock:``, and the statement's body."""

    function: Tuple[int, str]
    line: int
    """The line of the lock itself."""
    number: int
    """Which of the items of that line it is."""
    items: int
    """How many there are."""
    first: int
    last: int
    chain: Tuple[str, ...]


def holder_of(lock: Any, waiting: int) -> Any:
    """Return the thread that holds a lock for which another waits, given by its ident; None if that is not certain.

    An RLock knows the ident of its owner. That may be handed out again after its thread has ended, but then the new
    thread is the owner by Python's own rule: it can release the lock. A plain lock knows none: it is held by the one
    thread that is inside of ``with lock:``, if there is just one, and it cannot have let the lock go in between.
    """
    if _compat.is_rlock(lock):
        return _compat.live_threads.get(_compat.rlock_owner(lock) or 0)
    if type(lock) is not _compat.PLAIN_LOCK:
        return None
    plain: Any = lock
    tops = sys._current_frames()
    if len(tops) > MOST_THREADS:
        return None
    inside = [ident for ident, top in tops.items() if ident != waiting and _is_inside(top, lock)]
    return _compat.live_threads.get(inside[0]) if len(inside) == 1 and plain.locked() else None


def _is_inside(frame: Any, lock: Any) -> bool:
    for _ in range(64):
        if frame is None:
            return False
        code = frame.f_code
        if code.co_name == "wait" and frame.f_globals.get("__name__") == "threading":
            if _compat.condition_lock(frame.f_locals.get("self")) is lock:
                return False  # it lets the lock go while it waits
        if "release" not in code.co_names and any(_value(frame, chain) is lock for chain in _chains(frame)):
            return True
        frame = frame.f_back
    return False


def _value(frame: Any, chain: Tuple[str, ...]) -> Any:
    try:
        value = variable(frame, chain[0])
        for name in chain[1:]:
            value = look_up(value, name)
    except LookupError:
        return None
    return value


def _chains(frame: Any) -> List[Tuple[str, ...]]:
    """What the ``with`` statements that a frame is inside of were given."""
    code, line = frame.f_code, frame.f_lineno or 0
    function = (code.co_firstlineno, code.co_name)
    bodies = [body for body in _bodies_in(code.co_filename) if body.function == function]
    return [body.chain for body in bodies if _has_entered(body, line, code, frame.f_lasti)]


def _has_entered(body: _Body, line: int, code: Any, instruction: int) -> bool:
    from leakguard import bytecode

    if not (line == body.line or body.first <= line <= body.last) or bytecode.is_leaving(code, instruction):
        return False
    if line != body.line:
        return True
    all_there, entered = bytecode.entered(code, instruction, lambda at: _compat.line_of(code, at) == line)
    return all_there == body.items and entered > body.number  # else the compiler has made two copies of the statement


_bodies: Dict[str, List[_Body]] = {}


def _bodies_in(filename: str) -> List[_Body]:
    if filename not in _bodies:
        _bodies[filename] = _read_bodies(filename)
    return _bodies[filename]


def _read_bodies(filename: str) -> List[_Body]:
    import ast

    bodies: List[_Body] = []

    def walk(node: Any, function: Tuple[int, str]) -> None:
        for child in ast.iter_child_nodes(node):
            inner = function
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                outermost: List[Any] = [*child.decorator_list, child]
                inner = outermost[0].lineno, child.name
            elif isinstance(child, ast.With):
                first, lines = child.body[0].lineno, [item.context_expr.lineno for item in child.items]
                for at, item in enumerate(child.items):
                    chain = _chain(item.context_expr)
                    if chain:
                        number, items = lines[:at].count(lines[at]), lines.count(lines[at])
                        bodies.append(_Body(function, lines[at], number, items, first, child.end_lineno or first, chain))
            walk(child, inner)

    tree = _compat.syntax_tree(filename)
    try:
        if tree is not None:
            walk(tree, (1, "<module>"))
    except RecursionError:
        pass
    return bodies


def _chain(expression: Any) -> Optional[Tuple[str, ...]]:
    names: List[str] = []
    while hasattr(expression, "attr"):
        names.insert(0, expression.attr)
        expression = expression.value
    return (expression.id, *names) if hasattr(expression, "id") else None
