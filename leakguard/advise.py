"""``--leak-advise``: choose key tests from what one run has shown, and the patch that marks them.

Nothing here runs a test or reads a file: tests as plain data come in, choices and text come out.
"""

from __future__ import annotations

import ast
import difflib
import re
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from leakguard.report.text import count_of

LINES_SHOWN = 3
"""Creating lines that one reason names; how many more there are is said."""

_CATEGORIES = {"thread": "threads", "task": "tasks", "process": "processes"}


class Definition(NamedTuple):
    """Where a test method is written."""

    path: str
    """The file, as the patch names it; "" if it cannot be changed."""
    scope: str
    """The qualified name of the class that defines it, which may be a base of the test's."""
    method: str
    line: int = 0
    """The first line of the function that runs, to tell two definitions apart; 0 if unknown."""
    problem: str = ""
    """Why the file cannot be changed."""


class Line(NamedTuple):
    """A line that creates something, and the kind of what it creates."""

    kind: str
    place: str

    def __str__(self) -> str:
        return f"{self.kind} {self.place}"


class Test(NamedTuple):
    """One test, as it ran."""

    id: str
    seconds: float
    load: int
    """The most threads and tasks that were alive at once, beyond those that were when it began."""
    lines: FrozenSet[Line]
    definition: Definition
    is_key: bool = False
    is_inherited: bool = False


class Role(NamedTuple):
    """Why a test is proposed, in a word for its category and in full."""

    category: str
    reason: str


class Proposal(NamedTuple):
    """A test that should be a key test."""

    test: Test
    roles: Sequence[Role]

    @property
    def category(self) -> str:
        """The text of its decorator."""
        return ", ".join(dict.fromkeys(role.category for role in self.roles))


# -- which tests ---------------------------------------------------------------------------------


def propose(tests: Sequence[Test], unmarkable: FrozenSet[str] = frozenset()) -> List[Proposal]:
    """Propose the first test, the slowest, the one with the highest load, then a cover of all creating lines.

    What these three and the present key tests reach need not be covered again, unless no decorator can be added to
    the test: the ids in `unmarkable`. Such a test covers only lines that no other reaches.
    """
    if not tests:
        return []
    tests = list({test.id: test for test in tests}.values())
    roles: Dict[str, List[Role]] = {}
    slowest, heaviest = max(tests, key=lambda test: test.seconds), max(tests, key=lambda test: test.load)
    roles[tests[0].id] = [Role("first", "first of the suite")]
    roles.setdefault(slowest.id, []).append(Role("slowest", f"slowest: {slowest.seconds:.3f} s"))
    if heaviest.load:
        reason = f"highest load, threads and tasks at once: {heaviest.load}"
        roles.setdefault(heaviest.id, []).append(Role("highest load", reason))
    markable = [test for test in tests if test.is_key or test.id not in unmarkable]
    reached = _lines_of(test for test in markable if test.is_key or test.id in roles)
    for candidates in (markable, tests):
        for test in cover(candidates, reached):
            new = sorted(test.lines - reached)
            reached |= test.lines
            roles.setdefault(test.id, []).append(Role(_kinds(new), f"creates {_shown(new)}"))
    return [Proposal(test, roles[test.id]) for test in tests if test.id in roles]


def cover(tests: Sequence[Test], reached: FrozenSet[Line] = frozenset()) -> List[Test]:
    """Return few tests that together reach every line that is not in `reached`: a greedy set cover.

    Each time the test with the most missing lines, of several the quickest; in the end those that later ones have
    made superfluous are dropped. Greedy is at most ``ln(n) + 1`` times the smallest for lines of n (Chvatal, 1979).
    """
    wanted = _lines_of(tests) - reached
    missing, picked = wanted, []
    while missing:
        best = max(tests, key=lambda test: (len(test.lines & missing), -test.seconds))
        picked.append(best)
        missing -= best.lines
    for test in picked[:]:
        if wanted & test.lines <= _lines_of(other for other in picked if other is not test):
            picked.remove(test)
    return picked


def _lines_of(tests: Iterable[Test]) -> FrozenSet[Line]:
    return frozenset().union(*(test.lines for test in tests))


def _kinds(lines: Iterable[Line]) -> str:
    return " and ".join(sorted({_CATEGORIES[line.kind] for line in lines}))


def _shown(lines: Sequence[Line]) -> str:
    more = f" and {len(lines) - LINES_SHOWN} more" if len(lines) > LINES_SHOWN else ""
    return "; ".join(str(line) for line in lines[:LINES_SHOWN]) + more


# -- what is said --------------------------------------------------------------------------------


def advice(
    tests: Sequence[Test], seconds: float, sources: Mapping[str, bytes], fixture_lines: Iterable[Line] = ()
) -> str:
    """Return the proposal with its reasons, and after it the patch: `git apply` skips what stands before a patch.

    `seconds` is what the run took; `sources` has the files by the paths of the definitions; `fixture_lines` were
    reached in the course of no test.
    """
    proposals = propose(tests, unmarkable(tests, sources))
    if not proposals:
        return "No test ran, so there are no key tests to propose\n"
    marks, problems = _marks(proposals)
    patches = []
    for path, wanted in sorted(marks.items()):
        text, unmarked = patch(path, sources[path], wanted)
        patches.append(text)
        problems += [f"{one.scope}.{one.method}: {why}" for one, why in unmarked]
    lines = _head(proposals, len(tests), seconds)
    only_fixtures = sorted(set(fixture_lines) - _lines_of(tests))
    if only_fixtures:
        lines += ["Only fixtures reach these lines, and with scope key no fixture is checked:"]
        lines += [f"  {line}" for line in only_fixtures]
    if problems:
        lines += ["No decorator can be added, mark these by other means:", *(f"  {problem}" for problem in problems)]
    end = "The patch, for git apply in the root of the repository:" if any(patches) else "There is nothing to add."
    lines += [end, ""]
    return "\n".join(lines) + "".join(patches)


def _head(proposals: Sequence[Proposal], number: int, seconds: float) -> List[str]:
    spent = sum(proposal.test.seconds for proposal in proposals)
    lines = [
        f"Key tests proposed: {len(proposals)} of {count_of(number, 'test')}, "
        f"{spent:.3f} s of the run's {seconds:.3f} s ({_share(spent, seconds)})"
    ]
    for test, roles in proposals:
        known = " (a key test already)" if test.is_key else ""
        lines.append(f"  {test.id}: {_share(test.seconds, seconds)} of the run time{known}")
        lines += [f"      {role.reason}" for role in roles]
        if test.is_inherited and not test.is_key:
            lines.append(f"      defined in {test.definition.scope}, so marked in every class that inherits it")
    return lines


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole if whole else 0:.1f} %"


def _marks(proposals: Iterable[Proposal]) -> Tuple[Dict[str, Dict[Definition, str]], List[str]]:
    """Return path -> definition -> category of what is not marked yet, and why other tests cannot be."""
    marks: Dict[str, Dict[Definition, str]] = {}
    problems = []
    for proposal in proposals:
        definition = proposal.test.definition
        if proposal.test.is_key:
            continue
        if definition.problem:
            problems.append(f"{proposal.test.id}: {definition.problem}")
            continue
        wanted = marks.setdefault(definition.path, {})
        words = [word for text in (wanted.get(definition), proposal.category) if text for word in text.split(", ")]
        wanted[definition] = ", ".join(dict.fromkeys(words))
    return marks, problems


# -- the patch -----------------------------------------------------------------------------------


def unmarkable(tests: Sequence[Test], sources: Mapping[str, bytes]) -> FrozenSet[str]:
    """Return the ids of the tests that a patch of these files cannot mark."""
    trees: Dict[str, Optional[ast.Module]] = {}
    found = set()
    for test in tests:
        definition = test.definition
        if test.is_key:
            continue
        if not definition.problem and definition.path not in trees:
            trees[definition.path] = _parsed(sources[definition.path])
        tree = trees.get(definition.path)
        if definition.problem or tree is None or _line_of_definition(tree, definition) is None:
            found.add(test.id)
    return frozenset(found)


def _parsed(source: bytes) -> Optional[ast.Module]:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def patch(path: str, source: bytes, marks: Mapping[Definition, str]) -> Tuple[str, List[Tuple[Definition, str]]]:
    """Return a patch of one file that marks definitions as key tests, and those that it cannot mark, each with why.

    Bytes that are not UTF-8 are in the text as lone surrogates: encode it with ``surrogateescape``.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        return "", [(definition, f"{path} cannot be parsed: {error}") for definition in marks]
    old = re.findall("[^\n]*\n|[^\n]+", source.decode("utf-8", "surrogateescape"))
    decorator, import_line = _decorator_in(tree)
    additions: Dict[int, str] = {}
    unmarked = []
    for definition, category in marks.items():
        index = _line_of_definition(tree, definition)
        start = re.match(r"([ \t\f]*)(@|def\b|async\b)", old[index]) if index is not None and index < len(old) else None
        if index is None or start is None:
            unmarked.append((definition, f"no def of that name in {path}: made by a loop, a decorator or a call"))
        else:
            additions[index] = f'{start[1]}@{decorator}("{category}")'
    if additions and import_line:
        additions[_place_for_import(tree)] = import_line
    new = list(old)
    for index in sorted(additions, reverse=True):
        end = "\r\n" if old[max(index - 1, 0)].endswith("\r\n") else "\n"
        mark = "\ufeff" if index == 0 and old[0].startswith("\ufeff") else ""
        new[index : index + 1] = [mark + additions[index] + end, old[index][len(mark) :]]
    return _diff(path, old, new), unmarked


def _line_of_definition(tree: ast.Module, definition: Definition) -> Optional[int]:
    """The index of the line above which a decorator goes: over all others, which may hide what is set on a function."""
    found = [node for scope, node in _definitions(tree, "") if (scope, node.name) == definition[1:3]]
    exact = [node for node in found if _first_line(node) <= definition.line <= node.end_lineno]
    return _first_line((exact or found)[-1]) - 1 if found else None


def _definitions(node: ast.AST, scope: str) -> Iterator[Tuple[str, Any]]:
    """Yield every function with the qualified name of the class or function around it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield scope, child
            yield from _definitions(child, f"{scope}.{child.name}.<locals>".lstrip("."))
        elif isinstance(child, ast.ClassDef):
            yield from _definitions(child, f"{scope}.{child.name}".lstrip("."))
        else:
            yield from _definitions(child, scope)


def _first_line(node: Any) -> int:
    return min(int(one.lineno) for one in (node, *getattr(node, "decorator_list", ())))


def _decorator_in(tree: ast.Module) -> Tuple[str, str]:
    """The name of the decorator in a module, and the import that has to be added for it, if any."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "leakguard":
            for alias in node.names:
                if alias.name == "key_test":
                    return alias.asname or alias.name, ""
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "leakguard":
                    return f"{alias.asname or alias.name}.key_test", ""
    names = {getattr(node, "name", getattr(node, "id", None)) for node in ast.walk(tree)}
    if "key_test" in names:  # theirs, and something else
        return "leakguard.key_test", "import leakguard"
    return "key_test", "from leakguard import key_test"


def _place_for_import(tree: ast.Module) -> int:
    """The index of the line before which an import goes: after the imports at the top, or the docstring."""
    after = 0
    for number, node in enumerate(tree.body):
        if any(isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for inner in ast.walk(node)):
            break
        is_docstring = number == 0 and ast.get_docstring(tree, clean=False) is not None
        if is_docstring or isinstance(node, (ast.Import, ast.ImportFrom)):
            after = node.end_lineno or 0
    if not after:
        return _first_line(tree.body[0]) - 1
    return max(node.end_lineno or 0 for node in tree.body if node.lineno <= after)  # others may share the line


def _diff(path: str, old: Sequence[str], new: Sequence[str]) -> str:
    hunks = list(difflib.unified_diff(old, new))[2:]
    if not hunks:
        return ""
    end = "\t" if " " in path else ""  # as git writes it: else a name would end at its first space
    lines = [f"diff --git a/{path} b/{path}\n", f"--- a/{path}{end}\n", f"+++ b/{path}{end}\n", *hunks]
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)
