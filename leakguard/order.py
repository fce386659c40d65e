"""In which order the hubs of a test are torn down: in waves, each of hubs that need not wait for each other."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from leakguard.hub import members


def in_waves(hubs: Sequence[Any]) -> List[List[int]]:
    """Return the positions of hubs, given as they were registered, in waves: what comes first is torn down first.

    A hub waits for the hubs registered between it and the next one of its class: a server for its clients, and not
    for the server after it nor for that one's clients. One that holds another, or is held by it, as an attribute waits
    for it wherever that was registered later. In a wave the last registered comes first.
    """
    depths = [0] * len(hubs)
    followers = _followers(hubs)
    for position in range(len(hubs) - 1, -1, -1):
        depths[position] = max((depths[later] + 1 for later in followers[position]), default=0)
    waves: List[List[int]] = [[] for _ in range(max(depths, default=-1) + 1)]
    for position in range(len(hubs) - 1, -1, -1):
        waves[depths[position]].append(position)
    return waves


def _followers(hubs: Sequence[Any]) -> List[List[int]]:
    """For each hub the positions of the later ones that it waits for."""
    followers: List[List[int]] = [[] for _ in hubs]
    open_ones: Dict[type, int] = {}  # class -> position of those that wait for what comes next, in their order
    for position, hub in enumerate(hubs):
        kind = type(hub)
        if kind in open_ones:
            for later in list(open_ones)[list(open_ones).index(kind) :]:
                del open_ones[later]
        for earlier in open_ones.values():
            followers[earlier].append(position)
        open_ones[kind] = position
    if len(hubs) > 1:
        _add_what_is_held(hubs, followers)
    return followers


def _add_what_is_held(hubs: Sequence[Any], followers: List[List[int]]) -> None:
    positions = {id(hub): position for position, hub in enumerate(hubs)}
    for position, hub in enumerate(hubs):
        for member in members(hub):
            other = positions.get(id(member), position)
            if other != position:
                followers[min(position, other)].append(max(position, other))
