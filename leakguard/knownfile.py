"""The file of known leaks: JSON, sorted, one leak a block, made to be reviewed. Its format is in docs/reference."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from leakguard import _compat

VERSION = 1


class Entry(NamedTuple):
    """One known leak: what it is, which tests show it, since when, and what people have written of it."""

    fingerprint: str
    kind: str
    name: str
    """With ``*`` for numbers and ids."""
    origin: Optional[str] = None
    """``path in function`` that created it; None if that is not known."""
    place: Optional[str] = None
    """``path in function`` where it was when it was learnt."""
    waiting_in: Optional[str] = None
    tests: Tuple[str, ...] = ()
    """Ids of the tests, classes or modules that left it."""
    more_tests: int = 0
    """How many more there are, in a list that somebody has shortened: it is never called fixed."""
    since: str = ""
    """The day it was learnt."""
    reason: Optional[str] = None
    owner: Optional[str] = None
    expires: Optional[str] = None
    """The last day on which it is excused."""

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'" + (f" of {self.origin}" if self.origin else "")


def today() -> str:
    """The day in UTC, which tests cannot change."""
    return _compat.today()


def as_text(entries: Iterable[Entry]) -> str:
    """Return what the file says: sorted by the code that leaks, so that a diff shows what has changed."""
    import json

    ordered = sorted(entries, key=lambda e: (e.origin or "", e.kind, e.name, e.fingerprint))
    leaks = [
        {name: value for name, value in entry._asdict().items() if value or name in _REQUIRED} for entry in ordered
    ]
    return json.dumps({"version": VERSION, "leaks": leaks}, indent=2) + "\n"


def read(path: str) -> List[Entry]:
    """Return the entries of a file. Raises ValueError, whose text goes on from the path: the line, and what is wrong."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ValueError(f" cannot be read: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _error(data.count(b"\n", 0, error.start) + 1, "is not UTF-8") from None
    return _Reader(text).entries()


def _error(line: int, what: str) -> ValueError:
    return ValueError(f", line {line}: {what}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_any_text(value: Any) -> bool:
    """A name or an id that a program gave may be empty, or blank."""
    return isinstance(value, str)


def _is_day(value: Any) -> bool:
    import datetime

    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return False
    try:
        datetime.date(*map(int, value.split("-")))
    except ValueError:
        return False
    return True


def _are_tests(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_any_text, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_fingerprint(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{16}", value) is not None


_TEXT = (_is_text, "a text that is not empty")
_DAY = (_is_day, "a day such as 2027-01-31")
_FIELDS: Dict[str, Tuple[Callable[[Any], bool], str]] = {
    "fingerprint": (_is_fingerprint, "16 hex digits"),
    "kind": _TEXT,
    "name": (_is_any_text, "a text"),
    "origin": _TEXT,
    "place": _TEXT,
    "waiting_in": _TEXT,
    "tests": (_are_tests, "a list of ids of tests that is not empty"),
    "more_tests": (_is_number, "a number of tests > 0"),
    "since": _DAY,
    "reason": _TEXT,
    "owner": _TEXT,
    "expires": _DAY,
}
_REQUIRED = ("fingerprint", "kind", "name", "tests", "since")


DIGITS = 100
"""A number with more of them is not read: Python refuses 4,301 of them, some versions, and none is of use here."""


class _Object(Dict[str, Any]):
    """An object of JSON that remembers a name that was in it twice, as after a merge of two branches."""

    twice: Optional[str] = None

    @classmethod
    def of(cls, pairs: List[Tuple[str, Any]]) -> _Object:
        self = cls(pairs)
        if len(self) < len(pairs):
            names = [name for name, _ in pairs]
            self.twice = next(name for name in names if names.count(name) > 1)
        return self


class _Reader:
    """Reads the text of one file, and finds the line of what is wrong with it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def entries(self) -> List[Entry]:
        """Return the entries. Raises ValueError with a line."""
        import json

        try:
            data = json.loads(
                self.text, parse_int=self._number, parse_constant=self._constant, object_pairs_hook=_Object.of
            )
        except json.JSONDecodeError as error:
            raise _error(error.lineno, f"is not JSON: {error.msg}") from None
        except RecursionError:
            raise _error(1, "is not JSON that can be read: it is nested too deeply") from None
        version = data.get("version") if isinstance(data, _Object) else None
        if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
            what = f"version must be {VERSION}, or leakguard must be newer (got {version})"
            raise _error(self._line_of("version", 0), what)
        if version != VERSION or isinstance(version, bool) or not isinstance(data.get("leaks"), list):
            what = f'must be an object with "version": {VERSION} and "leaks": [...], as --leak-learn writes it'
            raise _error(1, what)
        unknown = sorted(set(data) - {"version", "leaks"})
        if unknown:
            raise _error(self._line_of(unknown[0], 0), f"{unknown[0]} is not a field; known ones: version, leaks")
        if data.twice:
            raise _error(1, f"{data.twice} is there twice")
        return self._checked(data["leaks"])

    def _checked(self, leaks: List[Any]) -> List[Entry]:
        entries: Dict[str, Entry] = {}
        for number, leak in enumerate(leaks):
            if not isinstance(leak, _Object):
                raise _error(self._line_at(self._start_of(number)), f"a leak must be an object (got {leak!r:.60})")
            if leak.twice:
                what = f"{leak.twice} is there twice in one leak: delete one of the two"
                raise _error(self._line_of(leak.twice, self._start_of(number)), what)
            for name in leak:
                if name not in _FIELDS:
                    what = f"{name} is not a field of a known leak; known ones: {', '.join(_FIELDS)}"
                    raise _error(self._line_of(name, self._start_of(number)), what)
                is_right, wanted = _FIELDS[name]
                if not is_right(leak[name]):
                    what = f"{name} must be {wanted} (got {leak[name]!r:.60})"
                    raise _error(self._line_of(name, self._start_of(number)), what)
            missing = [name for name in _REQUIRED if name not in leak]
            if missing:
                raise _error(self._line_at(self._start_of(number)), f"a leak must have {missing[0]}")
            entry = Entry(**{**leak, "tests": tuple(leak["tests"])})
            if entry.fingerprint in entries:
                what = f"fingerprint {entry.fingerprint} is there twice: delete one of the two"
                raise _error(self._line_of("fingerprint", self._start_of(number)), what)
            entries[entry.fingerprint] = entry
        return list(entries.values())

    def _number(self, digits: str) -> int:
        if len(digits) > DIGITS:
            raise _error(self._line_of_word(digits), f"is not JSON that can be read: a number has {len(digits)} digits")
        return int(digits)

    def _constant(self, name: str) -> Any:
        raise _error(self._line_of_word(name), f"is not JSON: {name}")

    # json says no positions: they are looked for again, once something is wrong

    def _line_at(self, position: int) -> int:
        return self.text.count("\n", 0, position) + 1

    def _line_of_word(self, word: str) -> int:
        """The first line with a word that is no part of a text."""
        tokens = re.compile(r'"(?:\\.|[^"\\])*"|[^\s"{}\[\],:]+').finditer(self.text)
        return self._line_at(next((token.start() for token in tokens if token[0] == word), 0))

    def _line_of(self, field: str, start: int) -> int:
        import json

        found = re.compile(re.escape(json.dumps(field)) + r"\s*:").search(self.text, start)
        return self._line_at(found.start() if found else start)

    def _start_of(self, number: int) -> int:
        """Where the item with a number begins in the list of leaks."""
        list_at = re.search(r'"leaks"\s*:\s*\[', self.text)
        depth, position = 0, list_at.end() if list_at else 0
        is_new = True
        for token in re.compile(r'"(?:\\.|[^"\\])*"|[{}\[\],]|[^\s"{}\[\],]+').finditer(self.text, position):
            if depth == 0 and is_new:
                if number == 0:
                    return token.start()
                is_new = False
            if token[0] in ("{", "["):
                depth += 1
            elif token[0] in ("}", "]"):
                depth -= 1
            elif token[0] == "," and depth == 0:
                number, is_new = number - 1, True
        return position
