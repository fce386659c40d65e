"""What the guard finds, as frozen plain data: `Leak`, `LeakReport`, `LeakError`.

Nothing in this module holds a live thread, task, process or frame, so keeping a
finding never keeps the leaked thing alive.
"""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Tuple

UNATTRIBUTED = "unattributed"
"""The owner of a leak that no test, class or module can be shown to have made."""

NAME_LIMIT = 120

RUNNING, WAITING, STUCK, UNKNOWN = "running", "waiting", "stuck", "unknown"
IGNORES_CANCELLATION, ENDED_LATE = "ignores cancellation", "ended late"
"""The verdicts; see `leakguard.verdict`."""


class Place(NamedTuple):
    """One line of code: a path as it is shown, a line number and the function around it."""

    path: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} in {self.function}"


class Leak(NamedTuple):
    """One thing that outlived the grace of its test, class, module or run."""

    kind: str
    """The probe that found it: ``thread``, ``task``, ``process`` or ``timer``."""
    name: str
    """The name its creator gave it, made printable and cut at 120 characters."""
    state: str
    """What it was doing in a word or two: ``daemon, alive``, ``pending``, ``running``."""
    owner: str
    """The id of the test, class or module in whose course it was created, or ``unattributed``."""
    origin: Optional[str] = None
    """``path:line in function`` of the line that created it; None if nobody saw it being created."""
    now_at: Tuple[str, ...] = ()
    """Where it is suspended or blocked, innermost frame first."""
    place: Optional[str] = None
    """The one line of `now_at` that is the user's own, if any is."""
    waiting_in: Optional[str] = None
    """The operation that it waits in, as the user knows it: ``queue.Queue.get``."""
    verdict: str = ""
    """Why it is still alive: ``running``, ``waiting``, ``stuck``, ``ignores cancellation``, ``unknown``.

    ``ended late`` if it is not: it ended after the grace and before the report.
    """
    hint: str = ""
    """One line of advice."""
    fingerprint: str = ""
    """Equal for the same leak in another run, by the rules of docs/reference/known-leaks.rst; set by the check."""
    aliases: Tuple[str, ...] = ()
    """Its class and target function: what ignore rules are held against beside the name."""
    blocks_exit: bool = False
    """Whether the interpreter will wait for it when it exits."""
    counted: bool = True
    """Whether it makes something fail; false if it is tolerated, known or only logged."""
    known: bool = False
    """Whether it is on record in the file of known leaks."""
    awaited_by: Tuple[str, ...] = ()
    """The tasks that wait for it: ``task 'main'``."""
    origin_stack: Tuple[str, ...] = ()
    """The stack that created it, innermost frame first, as far as it was noted: to the first line of the user's."""
    cancels: int = 0
    """How many cancellations it went on after, where that is known."""

    def as_dict(self) -> Dict[str, Any]:
        """Return what a report says of it: plain JSON types, ``test`` for the owner."""
        data = self._asdict()
        data["test"] = data.pop("owner")
        for name in ("now_at", "aliases", "awaited_by", "origin_stack"):
            data[name] = list(data[name])
        return data


class LeakReport(NamedTuple):
    """What one check found: the leaks of one test, class, module, block or run."""

    scope: str
    """``test``, ``class``, ``module``, ``block`` or ``run``."""
    owner: str
    """The id of what was checked."""
    title: str
    """How the first line of the message names it: ``test_x (module.Class)``."""
    leaks: Tuple[Leak, ...] = ()
    waited: float = 0.0
    """Seconds that the check waited for suspects to end."""
    note: str = ""
    """Why the leaks were not raised, where they were not."""
    ignored: Tuple[Tuple[str, str], ...] = ()
    """The ignore rules that matched here, each with the name of what it matched."""
    ended_late: Tuple[Leak, ...] = ()
    """What outlived the grace and ended before the report: no leaks, but slow."""

    def as_dict(self) -> Dict[str, Any]:
        """Return it as plain JSON types."""
        data = self._asdict()
        data["ignored"] = [list(match) for match in self.ignored]
        for name in ("leaks", "ended_late"):
            data[name] = [leak.as_dict() for leak in data[name]]
        return data


class LeakError(AssertionError):
    """A leak is a failure: raised by a check that found one; ``.leaks`` has them as data."""

    __module__ = "leakguard"  # the name that tracebacks show, and users import

    def __init__(self, message: str = "", leaks: Tuple[Leak, ...] = ()) -> None:
        super().__init__(message)
        self.leaks = tuple(leaks)

    def __reduce__(self) -> Any:
        """Survive pickling, since parallel runners send failures between processes."""
        return (type(self), (str(self), self.leaks))


def printable(text: Any, limit: int = NAME_LIMIT) -> str:
    """Return any object as one printable line of at most `limit` characters.

    A thread's name may be a million characters, hold control characters or not be a
    string at all, and its ``__str__`` may raise.
    """
    if not issubclass(type(text), str):  # isinstance() would ask a proxy's class, which may raise
        try:
            text = str(text)
        except Exception as error:  # a user's __str__ may raise anything; the report must not die of it
            text = f"<{type(text).__name__}: {type(error).__name__} in __str__>"
    cut = text[: limit + 1]
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return line if len(line) <= limit else line[: limit - 3] + "..."
