"""From what a run has put on record to a proposal of key tests: what `advise` takes of tests, lines and sources.

Imported only where a proposal is asked for.
"""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any, Iterable

from leakguard import advise, origin
from leakguard.runner import Record
from leakguard.timing import Course, Creation

__unittest = True


def advice_of(record: Record, folder: str) -> str:
    """Propose key tests from what a run, begun in `folder`, has put on record; skipped tests are left out."""
    root = _repository(os.path.realpath(folder))
    tests = [_as_test(course, root) for course in record.courses if course.id not in record.skipped]
    sources = {}
    for path in {test.definition.path for test in tests if test.definition.path}:
        with open(os.path.join(root, path), "rb") as file:
            sources[path] = file.read()
    return advise.advice(tests, record.seconds, sources, _lines(record.fixture_births))


def _as_test(course: Course, root: str) -> advise.Test:
    owner = next((cls for cls in course.cls.__mro__ if course.method in vars(cls)), course.cls)
    return advise.Test(
        id=course.id,
        seconds=course.seconds,
        load=course.load,
        lines=_lines(course.births),
        definition=_definition(owner, course.method, root),
        is_key=course.category is not None,
        is_inherited=owner is not course.cls,
    )


def _lines(creations: Iterable[Creation]) -> "frozenset[advise.Line]":
    return frozenset(advise.Line(kind, str(origin.place_of(code, at))) for kind, code, at in creations)


def _definition(cls: Any, method: str, root: str) -> advise.Definition:
    """Where a class's own method is written, as a path below the root of the repository."""
    path = os.path.realpath(getattr(sys.modules.get(cls.__module__), "__file__", None) or "")
    inside = os.path.join(root, "")
    problem = ""
    if not (path.endswith(".py") and os.path.isfile(path)):
        problem = f"module {cls.__module__} has no source file"
    elif not path.startswith(inside) or origin.rank(path) != origin.USER:
        problem = f"{origin.show_path(path)} is not a file of this repository"
    code = getattr(inspect.unwrap(vars(cls).get(method)), "__code__", None)
    line = getattr(code, "co_firstlineno", 0)
    shown = "" if problem else path[len(inside) :].replace(os.sep, "/")
    return advise.Definition(shown, cls.__qualname__, method, line, problem)


def _repository(folder: str) -> str:
    """The root of the repository that a folder is in: the nearest one with ``.git``, else the folder itself."""
    root = folder
    while not os.path.exists(os.path.join(root, ".git")):
        root, below = os.path.dirname(root), root
        if root == below:
            return folder
    return root
