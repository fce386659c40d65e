"""Whether anything alive can reach an object: proved by counting every reference to all that leads to it.

This is the proof of the cyclic collector, taken backwards. An object of CPython knows how many references it has; the
collector shows those that are in objects. What is left is held where nobody can see: on the stack of a thread, in a
variable of C code, by the interpreter. What a blocked thread holds itself can be told (`stack`), and is claimed. An
object whose references are all seen or claimed, and whose holders are so, and theirs in turn, can be reached by nothing
but the claimants. Anything else may be in the hands of somebody who is alive.

A claim must be a reference that is surely there, and surely leads into the graph: then it does not matter which of
several objects it is booked on, for one more reference from outside makes the sum too large wherever it is.

The graph is collected while other threads run, so what it says is only where to look. The proof is made on what one
single call of C code has read, during which no other thread runs.
"""

from __future__ import annotations

import functools
import gc
import itertools
import sys
import types
import weakref
from sys import getrefcount
from typing import Any, Callable, Collection, Counter, Dict, Hashable, Iterable, List, Mapping, NamedTuple, Sequence, Set
from typing import Tuple

from leakguard import _compat

Key = Hashable
"""What a claim is for: the id of an object, or a tuple for one of several that cannot be told apart."""

BATCH = 48
"""Objects whose holders are looked for in one pass over the heap: each is compared with each reference in it."""

LARGEST = 3000
"""Objects in a graph at most: what so much leads to is not forgotten by all."""

IMMORTAL = 1 << 28
"""More references than there can be: from 3.12 an object with such a count is not counted at all."""

_OWN = next(map(getrefcount, [object()]))
"""References to an object that are our own while its references are counted: a list's, and the call's."""


class Candidate(NamedTuple):
    """Something that may be stuck, by ids: it is unless one of its targets can be reached, or what it needs is not."""

    targets: Sequence[int] = ()
    """What could wake it."""
    claims: Mapping[Key, int] = {}
    """References that it holds itself, where the collector does not see them."""
    needs: Collection[int] = ()
    """Candidates, by their places in the list, any of which wakes it when it ends."""


class Node(NamedTuple):
    """One object that leads to a target, by ids."""

    excess: int
    """References that no object holds."""
    sources: Collection[int]
    """Who leads to it."""
    group: Key = None
    """What claims it fits beside those for itself."""


class GaveUp(Exception):
    """There is no time left, or too much leads to the targets: nothing is proved."""


def stuck(
    targets: List[Any],
    candidates: Sequence[Candidate],
    *,
    ours: Sequence[Any],
    links: Mapping[int, Collection[int]],
    has_time: Callable[[], bool],
) -> Set[int]:
    """Return which candidates are stuck, by their places. Raises GaveUp.

    `links` adds holders that the collector does not know, by the id of what they lead to; they must be among the
    targets. References from what is in `ours` are counted, and lead nowhere. No variable may refer to one of the
    targets, or to what leads to them, but those that `ours` has.
    """
    ends = [*ours, targets]
    things, alive = explore(targets, _sum_of_claims(candidates), ends=ends, links=links, has_time=has_time)
    return unreachable(prove(things, alive, ends=ends, links=links), candidates)


def explore(
    targets: Sequence[Any],
    claims: Mapping[Key, int],
    *,
    ends: Sequence[Any],
    links: Mapping[int, Collection[int]],
    has_time: Callable[[], bool],
) -> Tuple[List[Any], Set[int]]:
    """Return all that leads to the targets, up to what is alive for sure, and the ids of what is. Raises GaveUp."""
    things: List[Any] = []
    alive: Set[int] = set()
    known = {id(things), id(targets), *map(id, ends), *map(id, targets)}
    waiting = list({id(target): target for target in targets}.values())
    unlisted = [*ends, *_untracked(targets)]
    known |= {id(waiting), id(unlisted)}
    while waiting:
        if len(things) > LARGEST or not has_time():
            raise GaveUp
        batch = tuple(waiting[:BATCH])  # a tuple is handed on as it is, a list as a new tuple that would be found
        del waiting[:BATCH]
        things += batch
        more = _holders(batch, unlisted, claims, alive, has_time)
        new = [ident for ident in map(id, more) if ident not in known]
        wanted = set(new)
        waiting += [one for one in more if id(one) in wanted]
        known |= wanted
        del more  # it would be found among the holders of what is in it
    return things, alive


def _untracked(targets: Sequence[Any]) -> List[Any]:
    """Return what the collector does not list among holders, and that is found near the targets all the same.

    Those are the frames that run, and tuples and dicts (up to 3.13) of nothing that could be in a cycle.
    """
    found = [thing for thing in targets if type(thing) is types.FrameType and not gc.is_tracked(thing)]
    known, level = set(map(id, targets)), list(targets)
    for _ in range(4):
        level = [one for one in gc.get_referents(*level) if not _is_alive(one)]
        level = [one for ident, one in {id(one): one for one in level}.items() if ident not in known][:1000]
        known.update(map(id, level))
        found += [one for one in level if type(one) in (tuple, dict) and not gc.is_tracked(one)]
    return found


def _holders(
    batch: Tuple[Any, ...],
    unlisted: List[Any],
    claims: Mapping[Key, int],
    alive: Set[int],
    has_time: Callable[[], bool],
) -> List[Any]:
    """Return, each once, what holds the objects of a batch that are not alive for sure; note those that are.

    One batch may be held by whatever there is, and a holder may be of any size: the time is looked at on the way.
    """
    counts = list(map(getrefcount, batch))
    found = gc.get_referrers(*batch)
    found = [one for one in {id(one): one for one in [*found, *unlisted]}.values() if not _is_module(one)]
    index = {ident: number for number, ident in enumerate(map(id, batch))}
    seen = [_OWN] * len(batch)
    holds: List[List[int]] = [[] for _ in batch]
    for place, holder in enumerate(found):
        if not has_time():
            raise GaveUp
        for ident in map(id, gc.get_referents(holder)):
            number = index.get(ident)
            if number is not None and id(holder) != id(batch):
                seen[number] += 1
                holds[number].append(place)
    places: Set[int] = set()
    indirect: List[Any] = []
    for number, thing in enumerate(batch):
        if _is_alive(thing):
            alive.add(id(thing))
        elif counts[number] - seen[number] <= _most_unseen(thing, claims):
            places.update(holds[number])
            indirect += _indirect_holders(thing)
    unique = {id(one): one for one in [*(found[place] for place in sorted(places)), *indirect]}
    unique.pop(id(batch), None)
    return list(unique.values())


def _most_unseen(thing: Any, claims: Mapping[Key, int]) -> int:
    """How many references that nobody shows an object may have, and yet be held by nobody alive."""
    is_within = _VALUES_ARE_WITHIN and type(thing) is dict and not gc.get_referents(thing)
    return claims.get(id(thing), 0) + claims.get(_group(thing), 0) + is_within


def _indirect_holders(thing: Any) -> List[Any]:
    """What leads to an object without a counted reference: weak references; the frame of a generator, to its owner.

    And an object's ``__dict__``, to what is in the object; and what a weak reference with a callback is to.
    """
    frames = [getattr(thing, name) for name in _FRAMES.get(type(thing), ())]
    dicts = [_dict_of(thing, "__dict__")] if _has_values(thing) else []
    return [*weakref.getweakrefs(thing), *(frame for frame in frames if frame is not None), *dicts, *_mourned(thing)]


_dict_of = object.__getattribute__


def _is_reference(thing: Any) -> bool:
    """Whether an object is a weak reference, of a subclass too, and no proxy."""
    return issubclass(type(thing), weakref.ref)


def _mourned(thing: Any) -> List[Any]:
    """What a weak reference is to, if it has a callback: whoever lets go of that makes the callback run."""
    if not _is_reference(thing) or _callback_of.__get__(thing) is None:
        return []
    referent = _referent_of(thing)
    return [referent] if referent is not None else []  # a callback that has run may be there still


_referent_of: Callable[[Any], Any] = weakref.ref.__call__
_callback_of: Any = weakref.ref.__dict__["__callback__"]
"""C's own: a subclass may have others, of the user's."""


def _has_values(thing: Any) -> bool:
    """Whether an object keeps the values of its ``__dict__`` itself, on 3.13: its dict leads to them, and shows none.

    Nor does the object show that it holds the dict. Whoever has the dict is taken to have the object.
    """
    if not _VALUES_ARE_WITHIN or _is_alive(thing) or not type(thing).__flags__ & _INLINE_VALUES:
        return False
    found = next((cls.__dict__["__dict__"] for cls in type(thing).__mro__ if "__dict__" in cls.__dict__), None)
    return type(found) is types.GetSetDescriptorType


_VALUES_ARE_WITHIN = sys.version_info[:2] == (3, 13)
_INLINE_VALUES = 1 << 2
"""The flag of a class whose objects do so (3.13)."""


_FRAMES = {
    types.GeneratorType: ("gi_frame",),
    types.CoroutineType: ("cr_frame",),
    types.AsyncGeneratorType: ("ag_frame",),
}


def _is_alive(thing: Any) -> bool:
    """Whether an object is taken to be alive without a look at its holders: they would be thousands, or do not matter."""
    if issubclass(type(thing), type) or _is_module(thing):  # isinstance() would ask a class of the user's
        return True
    if issubclass(type(thing), weakref.ProxyTypes):  # it does not say to what it is, and holds nothing but its callback
        return bool(gc.get_referents(thing))
    return _compat.is_known_to_c(thing) or (type(thing) is dict and "__builtins__" in thing)


def _is_module(thing: Any) -> bool:
    """Whether an object is a module: what one holds is in the hands of somebody whom nobody sees, and so alive.

    None is ever asked for its referents. Of asyncio's they are, on 3.12 before 3.12.6 and on 3.13.0rc1, freed iterators
    on their list for reuse: to have held one makes a ring of that list, in which the next collection never ends
    (https://github.com/python/cpython/issues/122695).
    """
    return issubclass(type(thing), types.ModuleType)


def _group(thing: Any) -> Key:
    """What an object has in common with those that a claim cannot tell from it."""
    kind = type(thing)
    if kind is types.CellType:
        return cell_key(thing)
    if kind is types.BuiltinMethodType:
        return method_key(thing.__self__, thing.__name__)
    if kind is types.MethodType and type(thing.__func__) is types.FunctionType:
        return method_key(thing.__self__, thing.__func__.__name__)
    if kind is types.FunctionType and thing.__closure__:
        return function_key(thing.__code__, map(cell_key, thing.__closure__))
    return None


def cell_key(cell: Any) -> Key:
    """The key of a cell: what is in it."""
    try:
        return ("cell", id(cell.cell_contents))
    except ValueError:
        return ("cell", None)


def method_key(owner: Any, name: str) -> Key:
    """The key of a bound method."""
    return ("method", id(owner), name)


def function_key(code: Any, cells: Iterable[Key]) -> Key:
    """The key of a function that is a closure: its code, and what is in its cells."""
    return ("function", id(code), tuple(cells))


def prove(
    things: List[Any], alive: Collection[int], *, ends: Sequence[Any], links: Mapping[int, Collection[int]]
) -> Dict[int, Node]:
    """Return the graph of some objects as it is at one instant; who is not among them is somebody alive."""
    with_values, are_references = list(map(_has_values, things)), list(map(_is_reference, things))
    counts, weak, held, ours, dicts, _still_mourned = _at_once(  # the last is kept, so that it is read again as it was
        functools.partial(list, map(getrefcount, things)),
        functools.partial(list, map(weakref.getweakrefs, things)),
        functools.partial(list, map(gc.get_referents, things)),
        functools.partial(list, map(gc.get_referents, ends)),
        functools.partial(list, map(_dict_of, itertools.compress(things, with_values), itertools.repeat("__dict__"))),
        functools.partial(list, map(_referent_of, itertools.compress(things, are_references))),
    )
    index = {ident: number for number, ident in enumerate(map(id, things))}
    excess = [count - _OWN for count in counts]
    sources: List[Set[int]] = [set(links.get(ident, ())) for ident in index]
    for number, references in enumerate(weak):
        sources[number].update(map(id, references))
    for number, frames in enumerate(map(_indirect_holders, things)):
        sources[number].update(map(id, frames))
    for source, references in [*zip(index, held), *((0, references) for references in ours)]:
        for ident in map(id, references):
            if ident in index:
                excess[index[ident]] -= 1
                sources[index[ident]].add(source)
    for owner, ident in zip(itertools.compress(index, with_values), map(id, dicts)):
        sources[index[owner]].add(ident)  # whoever is not in the graph is alive
        if ident in index and owner not in sources[index[ident]]:
            excess[index[ident]] -= 1  # the owner's, which it does not show
            sources[index[ident]].add(owner)
    graph = {}
    for ident, rest, leading, group in zip(index, excess, sources, map(_group, things)):
        leading.discard(0)
        is_alive = ident in alive or not leading <= index.keys()
        graph[ident] = Node(IMMORTAL if is_alive else rest, leading, group)
    return graph


def _at_once(*parts: Callable[[], Any]) -> List[Any]:
    """Call partial functions of C in one call of C: no other thread runs before the last of them has returned."""
    was_enabled = gc.isenabled()
    gc.disable()  # up to 3.11 a collection may begin at any allocation, and run code of the user's
    try:
        call: Any = functools.partial.__call__
        return list(map(call, parts))
    finally:
        if was_enabled:
            gc.enable()


def _sum_of_claims(candidates: Iterable[Candidate]) -> Counter[Key]:
    claims: Counter[Key] = Counter()
    for candidate in candidates:
        claims.update(candidate.claims)
    return claims


def unreachable(graph: Mapping[int, Node], candidates: Sequence[Candidate]) -> Set[int]:
    """Return which candidates are stuck, by their places: the largest set that nothing outside of it can wake.

    Each round takes for alive what has a reference that no object holds and no candidate that is left claims, and all
    that can be reached from there. A candidate that can be woken by that is alive, too, and claims nothing any more.
    """
    leads_to: Dict[int, List[int]] = {}
    for ident, node in graph.items():
        for source in node.sources:
            leads_to.setdefault(source, []).append(ident)
    left = set(range(len(candidates)))
    woken = left
    while woken:
        roots, wrong = _settle_accounts(graph, _sum_of_claims(candidates[number] for number in left))
        alive = _reached(roots, leads_to)
        woken = {
            number
            for number in left
            if any(target in alive or target not in graph for target in candidates[number].targets)
            or not wrong.isdisjoint(candidates[number].claims)
            or not left.issuperset(candidates[number].needs)
        }
        left -= woken
    return left


def _settle_accounts(graph: Mapping[int, Node], claims: Mapping[Key, int]) -> Tuple[Set[int], Set[Key]]:
    """Return the objects that somebody outside holds, and the claims for which there is no reference: they are wrong."""
    roots: Set[int] = set()
    wrong: Set[Key] = set()
    groups: Dict[Key, Dict[int, int]] = {}
    for ident, node in graph.items():
        rest = node.excess - claims.get(ident, 0)
        if rest < 0:
            wrong.add(ident)
        if rest < 0 or (rest > 0 and not _may_be_claimed(node.group, graph)):
            roots.add(ident)
        elif node.group is not None:
            groups.setdefault(node.group, {})[ident] = rest
    for group, rests in groups.items():
        over = sum(rests.values()) - claims.get(group, 0)
        if over < 0:
            wrong.add(group)
        if over > 0:
            roots.update(rests)
    return roots, wrong


def _may_be_claimed(group: Key, graph: Mapping[int, Node]) -> bool:
    """Whether every member of a group leads into the graph: a closure may be in it for the sake of its defaults."""
    if isinstance(group, tuple) and group[0] == "function":
        return any(ident in graph for _, ident in group[2])
    return group is not None


def _reached(roots: Iterable[int], leads_to: Mapping[int, Sequence[int]]) -> Set[int]:
    """Return the roots, and all that they lead to."""
    alive = set(roots)
    waiting = list(alive)
    while waiting:
        for ident in leads_to.get(waiting.pop(), ()):
            if ident not in alive:
                alive.add(ident)
                waiting.append(ident)
    return alive
