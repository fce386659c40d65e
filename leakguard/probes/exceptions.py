"""What died in the background and nobody saw: exceptions in threads, tasks and finalizers, forgotten coroutines."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

from leakguard import _compat, facts, origin
from leakguard.model import Leak
from leakguard.probes.protocol import Probe, advice

_deaths = origin.deaths


class ExceptionProbe(Probe):
    """Finds the deaths that were noted in the course of a test; they do not end, so nobody waits for them."""

    kind = "exception"

    def snapshot(self) -> Any:
        return origin.Death.count

    def suspects(self, baseline: Any) -> Sequence[Any]:
        return [death for death in _deaths if death.number >= baseline] if _deaths else ()

    def owner(self, thing: Any) -> Any:
        return thing.owner

    def is_noted(self, thing: Any) -> bool:
        return True

    def names(self, thing: Any) -> Tuple[str, Tuple[str, ...]]:
        return thing.name, (thing.cls,)

    def origin(self, thing: Any) -> Optional[str]:
        if thing.created is not None:
            return str(thing.created)
        now_at, place, _ = origin.describe_stack(thing.stack)
        return place or (now_at[0] if now_at else None)

    def may_end(self, thing: Any) -> bool:
        return False

    def settle(self, suspects: Sequence[Any], timeout: float) -> None:
        _compat.pause(min(timeout, 0.002))

    def describe(self, thing: Any) -> Leak:
        now_at, place, _ = origin.describe_stack(thing.stack)
        created = self.origin(thing)
        return Leak(
            kind=self.kind,
            name=thing.name,
            state=thing.state,
            owner="",
            origin=created,
            now_at=now_at,
            place=place if place != created else None,
            hint=advice(facts.Facts(self.kind, frozenset([thing.name, thing.cls])), thing.hint),
            aliases=(thing.cls,),
        )

    def mark(self, things: Sequence[Any]) -> None:
        for thing in things:
            if thing in _deaths:
                _deaths.remove(thing)
