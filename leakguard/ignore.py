"""Ignore rules: ``kind:glob`` or ``kind:glob@origin-glob``, each with its reason.

The glob is held against the name of a thing, its class and its target function. The built-in
rules name a module and a function or class, never a bare name: a rule such as ``readLoop``
would swallow users' own code.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Iterable, List, Mapping, NamedTuple, Optional, Tuple

FORM = 'rules of the form "kind:glob" or "kind:glob@origin-glob"'


class Rule(NamedTuple):
    """One rule: which kind, which names, made where, and why that is no leak."""

    kind: str
    glob: str
    origin: str = ""
    reason: str = ""
    built_in: bool = False

    def __str__(self) -> str:
        return f"{self.kind}:{self.glob}" + (f"@{self.origin}" if self.origin else "")

    def matches_names(self, kind: str, names: Iterable[str]) -> bool:
        """Whether the kind and one of the names fit; the origin is not looked at."""
        return self.kind in (kind, "*") and any(fnmatchcase(name, self.glob) for name in names)

    def matches_origin(self, origin: Optional[str]) -> bool:
        """Whether the origin, ``path:line in function``, fits: the whole of it, its path, or its path and line."""
        if not self.origin:
            return True
        if origin is None:
            return False
        place, _, _ = origin.rpartition(" in ")
        path, _, _ = place.rpartition(":")
        return any(fnmatchcase(text, self.origin) for text in (origin, place, path))


def parse_rule(text: Any, kinds: Iterable[str], reason: str = "") -> Rule:
    """Return the rule that `text` says; ValueError with what was wanted and what came otherwise."""
    kind, colon, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
    glob, at, origin = rest.partition("@")
    if not colon or not glob or (at and not origin):
        raise ValueError(f"leak_ignore must be {FORM} (got {text!r})")
    known = ["*", *kinds]
    if kind not in known:
        raise ValueError(f"leak_ignore must name a kind of {', '.join(known)} (got {text!r})")
    return Rule(kind, glob, origin, reason)


def parse_rules(value: Any, kinds: Iterable[str]) -> Tuple[Rule, ...]:
    """Return the rules of a string, an iterable of strings, or a mapping rule -> reason."""
    if isinstance(value, str):
        value = (value,)
    reasons = value if isinstance(value, Mapping) else {}
    try:
        texts: List[Any] = list(value)
    except TypeError:
        raise ValueError(f"leak_ignore must be {FORM} (got {value!r})") from None
    for reason in reasons.values():
        if not isinstance(reason, str):
            raise ValueError(f"leak_ignore must map a rule to its reason, a str (got {reason!r})")
    return tuple(parse_rule(text, kinds, reasons[text] if reasons else "") for text in texts)


def _built_in(kind: str, glob: str, reason: str) -> Rule:
    return Rule(kind, glob, "", reason, built_in=True)


BUILT_IN: Tuple[Rule, ...] = (
    _built_in("thread", "tqdm._monitor.TMonitor", "tqdm's monitor: one for the process, made by the first bar"),
    _built_in("thread", "_pydevd_bundle.*", "pydevd, the debugger of PyCharm and VS Code, serves its front end"),
    _built_in("thread", "_pydev_bundle.*", "pydevd's console and its monkey patches"),
    _built_in("thread", "pydevd.*", "pydevd's own checkers"),
    _built_in("thread", "debugpy.*", "debugpy's adapter threads"),
    _built_in("thread", "IPython.core.history.HistorySavingThread", "IPython saves its history for as long as it runs"),
    _built_in(
        "thread",
        "multiprocessing.resource_sharer._ResourceSharer._serve",
        "multiprocessing serves descriptors that were sent to other processes: one for the process, made by the first",
    ),
    _built_in(
        "thread",
        "asyncio.unix_events.ThreadedChildWatcher._do_waitpid",
        "asyncio before 3.12 waits for a child in a thread: the child itself is what may leak, and is checked",
    ),
)
"""What is never a leak, for everybody, with the reason."""


def find_rule(rules: Iterable[Rule], kind: str, name: str, aliases: Iterable[str], origin: Any) -> Optional[Rule]:
    """Return the first rule that matches; `origin` is a function, called only for a rule that looks at it.

    Built-in rules are held against class and target only: what a user named is the user's.
    """
    aliases = tuple(aliases)
    for rule in rules:
        names = aliases if rule.built_in else (name, *aliases)
        if rule.matches_names(kind, names) and (not rule.origin or rule.matches_origin(origin())):
            return rule
    return None
