"""The one table of options: default, unit, check and help; `resolve`, `@leak_policy`, `@key_test`.

Precedence, field by field: `@leak_policy` on the method, class attributes (nearest class first), command
line, environment, default. Ignore rules add up instead. ``LEAKGUARD_ACTION=off`` switches everything off.
"""

from __future__ import annotations

import os
import sys
from types import FunctionType
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Tuple

from leakguard import ignore, known
from leakguard.notices import warn

KINDS = ("process", "thread", "native", "task", "timer", "file", "exception", "tempfile", "environ")
"""What `leak_kinds` may ask for, in the order in which it is looked at; ``native`` finds threads, too."""

LINUX_ONLY = ("native",)

DEFAULT_KINDS = ("thread", "task", "process")
ACTIONS = ("fail", "log", "off")
SCOPES = ("all", "key")


def _action(value: Any) -> str:
    return _one_of("leak_action", value, ACTIONS)


def _scope(value: Any) -> str:
    return _one_of("leak_scope", value, SCOPES)


def _one_of(name: str, value: Any, known: Tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)} (got {value!r})")
    return value


def _threshold(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"leak_threshold must be a number of leaks, an int >= 0 (got {value!r})")
    return int(value)


def _grace(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= sys.float_info.max:
        raise ValueError(f"leak_grace must be a number of seconds >= 0 (got {value!r})")
    return float(value)


def _kinds(value: Any) -> Tuple[str, ...]:
    if value == "all":
        return tuple(kind for kind in KINDS if sys.platform == "linux" or kind not in LINUX_ONLY)
    names = (value,) if isinstance(value, str) else value
    wanted = f'"all" or kinds of {", ".join(sorted(KINDS))}'
    try:
        names = tuple(names)
    except TypeError:
        raise ValueError(f"leak_kinds must be {wanted} (got {value!r})") from None
    if not names or any(name not in KINDS for name in names):
        raise ValueError(f"leak_kinds must be {wanted} (got {value!r})")
    return tuple(kind for kind in KINDS if kind in names)


def _stacks(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"leak_stacks must be true or false (got {value!r})")
    return value


_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _truth(text: str) -> Any:
    return _TRUTHS.get(text.lower(), text)


def _ignore(value: Any) -> Tuple[ignore.Rule, ...]:
    return ignore.parse_rules(value, [kind for kind in KINDS if kind != "native"])


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _words(text: str) -> Any:
    return text if text == "all" else tuple(word for word in text.replace(",", " ").split())


def _verdicts(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"leak_verdicts must be True or False, yes or no as text (got {value!r})")
    return value


def _yes_or_no(text: str) -> Any:
    return {"yes": True, "no": False}.get(text.strip().lower(), text)


class Option(NamedTuple):
    """One option of the policy."""

    name: str
    default: Any
    check: Callable[[Any], Any]
    parse: Callable[[str], Any]
    metavar: str
    help: str

    def read(self, text: str, where: str) -> Any:
        """Return the value that `text`, from `where`, stands for; ValueError naming both otherwise."""
        try:
            value = self.parse(text)
        except ValueError:  # no number at all: the check says what was wanted
            value = text
        try:
            return self.check(value)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None


OPTIONS: Tuple[Option, ...] = (
    Option("action", "fail", _action, str, "{fail,log,off}", "what a leak does to its test"),
    Option("threshold", 0, _threshold, _number, "N", "leaks of one test that are tolerated"),
    Option("grace", 0.5, _grace, _number, "SECONDS", "the most seconds one check waits, only while there is a suspect"),
    Option("kinds", DEFAULT_KINDS, _kinds, _words, "KINDS", 'which probes run: names with commas between, or "all"'),
    Option("ignore", (), _ignore, str, "RULE", "what is never a leak: kind:glob or kind:glob@origin-glob (repeatable)"),
    Option("scope", "all", _scope, str, "{all,key}", "key: only key tests are checked"),
    Option("stacks", False, _stacks, _truth, "", "whether a message has the stacks in full"),
    Option("verdicts", True, _verdicts, _yes_or_no, "{yes,no}", "whether to prove that leaks are stuck, once they are certain"),
)

_BY_NAME = {option.name: option for option in OPTIONS}
_BY_VARIABLE = {f"LEAKGUARD_{option.name.upper()}": option for option in OPTIONS}
ATTRIBUTES = tuple(f"leak_{option.name}" for option in OPTIONS)


class Policy(NamedTuple):
    """What is checked of one test, and what a leak does to it."""

    action: str = "fail"
    threshold: int = 0
    grace: float = 0.5
    kinds: Tuple[str, ...] = _kinds(DEFAULT_KINDS)
    ignore: Tuple[ignore.Rule, ...] = ()
    scope: str = "all"
    stacks: bool = False
    verdicts: bool = True


command_line: Dict[str, Any] = {}
"""Checked values of the runner's flags; set by the runner for as long as it runs."""

_POLICY = "__leakguard_policy__"
_KEY = "__leakguard_key__"


def read_environment(environ: Optional[Mapping[str, str]] = None) -> Dict[str, Any]:
    """Return the checked values of ``LEAKGUARD_ACTION`` and so on; ValueError naming the variable."""
    environ = os.environ if environ is None else environ
    values = {}
    for name, option in _BY_VARIABLE.items():
        text = environ.get(name, "")
        if text.strip():
            if option.name == "ignore":
                rules = [rule.strip() for rule in text.split(";") if rule.strip()]
                values["ignore"] = tuple(rule for one in rules for rule in option.read(one, name))
            else:
                values[option.name] = option.read(text.strip(), name)
    return values


_LATER = {"LEAKGUARD_REPORT", "LEAKGUARD_KNOWN"}
"""Names that are taken, and are no options of the policy."""

_names_are_checked = False


def check_environment() -> None:
    """Raise ValueError for a variable that begins like ours and is none, naming the known ones; once in a process."""
    global _names_are_checked
    if not _names_are_checked:
        known = {*_BY_VARIABLE, *_LATER}
        unknown = [name for name in os.environ if name.startswith("LEAKGUARD_") and name not in known]
        if unknown:
            raise ValueError(f"{unknown[0]} is not an option; known ones: {', '.join(_BY_VARIABLE)}")
        _names_are_checked = True


def check_options(values: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the checked values; TypeError for a name that is no option, naming the known ones."""
    unknown = sorted(set(values) - set(_BY_NAME))
    if unknown:
        raise TypeError(f"{unknown[0]} is not an option; known ones: {', '.join(_BY_NAME)}")
    return {name: _BY_NAME[name].check(value) for name, value in values.items()}


def check_class(cls: type) -> None:
    """Check the ``leak_...`` attributes of a class: TypeError for a misspelt one, ValueError for a bad value.

    A method or property of the user's whose name starts with ``leak_`` is not an option.
    """
    for name, value in list(vars(cls).items()):
        if not name.startswith("leak_"):
            continue
        if name in ATTRIBUTES:
            if hasattr(value, "__next__"):  # it would be used up by the first look at it
                value = tuple(value)
                setattr(cls, name, value)
            _BY_NAME[name[5:]].check(value)
        elif not callable(value) and not hasattr(value, "__get__"):
            raise TypeError(f"{cls.__qualname__}.{name} is not an option; known ones: {', '.join(ATTRIBUTES)}")


def resolve(cls: Optional[type] = None, method: Any = None, given: Optional[Mapping[str, Any]] = None) -> Policy:
    """Return the policy in force for a test method of a class, or for a block with options `given`.

    Raises ValueError for a bad environment variable, and for a bad class attribute of a class that has opted in.
    A plain class may have a ``leak_threshold`` of its own that means something else: it is left alone, with a warning.
    """
    environment = read_environment()
    known.in_force()  # a file that cannot be read is said before a test runs, not when there is a leak
    values = {**environment, **command_line}
    rules: List[ignore.Rule] = [*environment.get("ignore", ()), *command_line.get("ignore", ())]
    for ancestor in reversed(cls.__mro__ if cls is not None else ()):
        own = _own_options(ancestor, hasattr(cls, "_leakguard_guard"))
        decorated = vars(ancestor).get(_POLICY, {})
        rules += [*own.get("ignore", ()), *decorated.get("ignore", ())]
        values.update({**own, **decorated})
    for more in (getattr(method, _POLICY, {}), given or {}):
        rules += more.get("ignore", ())
        values.update(more)
    if environment.get("action") == "off":
        values["action"] = "off"
    values["ignore"] = tuple(dict.fromkeys(rules))
    return Policy(**values)


def _own_options(cls: type, has_opted_in: bool) -> Dict[str, Any]:
    options = {}
    attributes = vars(cls)
    for name in ATTRIBUTES:
        if name in attributes:
            try:
                options[name[5:]] = _BY_NAME[name[5:]].check(attributes[name])
            except ValueError as error:
                if has_opted_in:
                    raise
                what = f"leakguard: {cls.__qualname__}.{name} is not taken as an option: {error}"
                warn(what)
    return options


def leak_policy(**options: Any) -> Callable[[Any], Any]:
    """Decorate a test method or a class with options: ``@leak_policy(grace=2.0, threshold=5)``.

    Args are those of the table without ``leak_``: action, threshold, grace (seconds), kinds, ignore, scope, stacks, verdicts.
    Raises TypeError for an unknown name and ValueError for a bad value, where the decorator stands.
    """
    checked = check_options(options)

    def decorate(thing: Any) -> Any:
        if not callable(thing):
            raise TypeError(f"leak_policy decorates a test method or a class (got {thing!r})")
        lower = vars(thing).get(_POLICY, {})
        rules = (*lower.get("ignore", ()), *checked.get("ignore", ()))
        setattr(thing, _POLICY, {**lower, **checked, "ignore": rules})
        return thing

    return decorate


def key_test(thing: Any = None) -> Any:
    """Mark a test method or a class as a key test: ``@key_test`` or ``@key_test("stress")``.

    With ``leak_scope = "key"`` only key tests are checked. The text names the category.
    """
    if thing is not None and not isinstance(thing, str):
        if not callable(thing):
            raise TypeError(f"key_test takes the name of a category, a str (got {thing!r})")
        setattr(thing, _KEY, "")
        return thing

    def decorate(decorated: Any) -> Any:
        if not callable(decorated):
            raise TypeError(f"key_test decorates a test method or a class (got {decorated!r})")
        setattr(decorated, _KEY, thing or "")
        return decorated

    return decorate


def has_options(method: Any) -> bool:
    """Whether a test method is decorated with options, or as a key test."""
    return hasattr(method, _POLICY) or hasattr(method, _KEY)


def methods_with_options(cls: type) -> FrozenSet[str]:
    """The names of a class's methods that have, or may have, options of their own: what is no function is not asked."""
    return frozenset(
        name
        for base in cls.__mro__
        if base.__module__ not in ("unittest.case", "unittest.async_case", "builtins")
        for name, value in vars(base).items()
        if type(value) is not FunctionType or has_options(value)
    )


def key_category(cls: Optional[type], method: Any) -> Optional[str]:
    """The category of a key test, "" for one without, None if it is no key test."""
    category = getattr(method, _KEY, None)
    return getattr(cls, _KEY, None) if category is None else category



def may_have_key_scope(cls: type) -> bool:
    """Whether a class itself may ask for the scope ``key``; quick, as every class of a run is asked."""
    decorated = any(vars(ancestor).get(_POLICY, {}).get("scope") == "key" for ancestor in cls.__mro__)
    return decorated or getattr(cls, "leak_scope", None) == "key"
