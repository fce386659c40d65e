"""Which C function a live frame is calling: read from its bytecode and its variables, without running any code.

A thread that blocks in C has no frame for that; its innermost Python frame stands at the instruction that made the
call. The instructions before it say how the function was looked up, and the same look-up is done again here, in plain
dicts: no property, ``__getattr__`` or other code of the user's runs. What is not certain is not said.
"""

from __future__ import annotations

import contextvars
import functools
import gc
import itertools
import re
import sys
import types
from typing import Any, Iterable, List, NamedTuple, Optional, Set, Tuple

from leakguard import _compat


class Call(NamedTuple):
    """A call of something that is not written in Python; what is not certain is None."""

    name: Optional[str]
    """What it is called by its users, if it is one of the library's that may wait: ``threading.Lock.acquire``."""
    owner: Any = None
    """The object whose method it is: a lock, a socket."""
    attribute: str = ""
    """The name by which it was looked up there."""
    argument: Any = None
    """Its only argument."""


UNKNOWN = Call(None)

_MODULES = {"_thread": "threading", "_queue": "queue", "_socket": "socket", "_io": "io", "posix": "os", "nt": "os"}
_MODULES["_signal"] = "signal"
_MODULES.update({name: name for name in ("time", "select", "socket", "io", "signal", "fcntl", "threading", "queue")})
"""Modules of C functions that may wait -> where their users find them."""

_CLASSES = {"lock": "Lock"}
_METHODS = {"__enter__": "acquire", "acquire_lock": "acquire"}


def c_call(frame: Any, *, is_blocked: bool = False) -> Optional[Call]:
    """Return what the innermost frame of a thread calls, None if it is Python code that runs there.

    Other instructions than calls may be in code of C, too: ``[*file]``. Only one that `is_blocked`, and so does not run,
    is said to be. A jump is in none, but lets other threads have their turn.
    """
    from leakguard import bytecode  # it imports `dis`, 10 ms, which only a leak pays

    instructions = bytecode.read(frame.f_code)
    index = _index(instructions, frame.f_lasti)
    if index is None:
        return None
    otherwise = UNKNOWN if is_blocked and not re.search("JUMP|RESUME", instructions[index].opname) else None
    if instructions[index].opname == "FOR_ITER":
        return _next_item(frame, instructions, index) or otherwise
    if not _is_call(instructions[index]):
        return otherwise
    try:
        where, argument_at = _callable_at(instructions, index)
        owner, attribute, function = _function(frame, instructions, where)
    except LookupError:
        return UNKNOWN
    argument = None
    if argument_at is not None:
        try:
            argument = _value(frame, instructions, argument_at)
        except LookupError:
            pass
    return _call(owner, attribute, function, argument)


def _call(owner: Any, attribute: str, function: Any, argument: Any = None) -> Optional[Call]:
    """Return the call of a function that was looked up on an object, None if it is written in Python."""
    function = _given(function)
    is_method = type(function) is types.MethodType
    if type(function.__func__ if is_method else function) is types.FunctionType:
        return None  # a frame of its own is about to be there, or was just now
    if is_method:  # of a function that Cython has compiled
        owner, attribute = function.__self__, str(_compat.attribute(function.__func__, "__name__") or "")
    return Call(_name(owner, attribute, function), _receiver(owner, function, argument), attribute, argument)


def _given(function: Any) -> Any:
    """What a partial calls in the end, in a context or not: ``asyncio.to_thread`` makes such a one."""
    for _ in range(8):  # somebody may nest them for ever
        if type(function) is not functools.partial:
            break
        inner: Any = function.func
        is_builtin = _compat.is_of(inner, types.BuiltinFunctionType)
        in_context = is_builtin and type(inner.__self__) is contextvars.Context and inner.__name__ == "run"
        function = function.args[0] if in_context and function.args else inner
    return function


def _receiver(owner: Any, function: Any, argument: Any) -> Any:
    """The object whose method it is that is called: whoever calls it by its class gives it as an argument."""
    if _compat.is_of(function, types.BuiltinFunctionType):
        return None if _compat.is_of(function.__self__, types.ModuleType) else function.__self__
    if type(function) is types.MethodDescriptorType:
        return next((one for one in (owner, argument) if _compat.is_of(one, function.__objclass__)), None)
    return owner


def _next_item(frame: Any, instructions: List[Any], index: int) -> Optional[Call]:
    """Return the call by which a ``for`` loop or a comprehension gets its next item; None if that is not certain."""
    following = instructions[index:]
    try:
        while _is_preparation(instructions[index - 1]):
            index -= 1
            if instructions[index].is_jump_target:
                raise LookupError("one of two ways to it")
        if _names_in(instructions[:index]) & _names_stored(following):
            raise LookupError("it was looked up before the loop, and may be another by now")
        return _item_of_expression(frame, instructions, index - 1)
    except LookupError:
        return None


def _names_in(instructions: List[Any]) -> Set[str]:
    """The names and attributes in the expression that ends here."""
    parts = ("LOAD_", "CALL", "PUSH_NULL", "PRECALL", "KW_NAMES")
    expression = itertools.takewhile(lambda one: one.opname.startswith(parts), reversed(instructions))
    return _names(one for one in expression if one.opname not in ("LOAD_CONST", "LOAD_SMALL_INT"))


def _names_stored(instructions: List[Any]) -> Set[str]:
    return _names(one for one in instructions if re.search("STORE|DELETE", one.opname))


def _names(instructions: Iterable[Any]) -> Set[str]:
    values = (one.argval if isinstance(one.argval, tuple) else (one.argval,) for one in instructions)
    return {name for names in values for name in names if isinstance(name, str)}


def _is_preparation(one: Any) -> bool:
    """Whether it stands between an iterable and FOR_ITER: of a loop, a comprehension (from 3.12), a generator (3.15)."""
    is_empty = one.opname in ("BUILD_LIST", "BUILD_SET", "BUILD_MAP") and one.arg == 0
    return is_empty or one.opname in _PREPARATIONS


_PREPARATIONS = ("GET_ITER", "LOAD_FAST_AND_CLEAR", "SWAP", "MAKE_CELL", "RETURN_GENERATOR", "POP_TOP", "RESUME")


def _item_of_expression(frame: Any, instructions: List[Any], index: int) -> Optional[Call]:
    if not _is_call(instructions[index]):
        return _item_of(_value(frame, instructions, index))
    if instructions[index].opname == "CALL_FUNCTION_EX":
        raise LookupError("unknown arguments")
    end, count = _before(instructions, index - 1, ("PRECALL", "KW_NAMES")), _operands(instructions[index])
    maker = _value(frame, instructions, _before(instructions, _skip(instructions, end, count), ("PUSH_NULL",)))
    first = _skip(instructions, end, count - 1)
    if maker is iter and count == 2:
        return _call(*_function(frame, instructions, first))
    return _item_of_expression(frame, instructions, first) if maker is enumerate else None


def _item_of(iterable: Any) -> Optional[Call]:
    cls: Any = type(iterable)
    if cls is enumerate or cls is _CALLS_UNTIL:  # the collector sees what they get their items from first
        inner = gc.get_referents(iterable)[0]
        return _item_of(inner) if cls is enumerate else _call(None, "", inner)
    return Call(f"io.{cls.__qualname__}.readline", iterable, "readline") if cls.__module__ == "_io" else None


_CALLS_UNTIL = type(iter(int, 0))
"""The class of ``iter(function, sentinel)``."""


def _name(owner: Any, attribute: str, function: Any) -> Optional[str]:
    if _compat.is_of(function, types.BuiltinFunctionType):
        if function is input or function is open:
            return str(function.__name__)
        if _compat.is_of(function.__self__, types.ModuleType) or function.__self__ is None:
            module = _MODULES.get(str(function.__module__))
            return f"{module}.{function.__qualname__}" if module else None
        cls = type(owner)
        if cls.__module__ in ("multiprocessing.synchronize", "threading") and not attribute.startswith("_"):
            return f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}.{attribute}"  # the lock's own is bound there
        cls, method = type(function.__self__), function.__name__
    elif type(function) is types.MethodDescriptorType:
        cls, method = function.__objclass__, function.__name__
    else:
        return None
    module = _MODULES.get(cls.__module__)
    name = f"{_CLASSES.get(cls.__qualname__, cls.__qualname__)}.{_METHODS.get(method, method)}"
    return f"{module}.{name}" if module else None


# -- bytecode ------------------------------------------------------------------------------------


def _index(instructions: List[Any], at: int) -> Optional[int]:
    return next((i for i, one in enumerate(instructions) if at in (one.start, one.offset)), None)


def _is_call(instruction: Any) -> bool:
    name = instruction.opname
    return name.startswith("CALL") or name in ("PRECALL", "SETUP_WITH", "BEFORE_WITH")


def _callable_at(instructions: List[Any], index: int) -> Tuple[int, Optional[int]]:
    """Return the indexes of the instructions that have loaded what is called, and its only argument.

    A context manager stands for its ``__enter__``. Raises LookupError where the way there is not straight.
    """
    call = instructions[index]
    if call.opname in ("SETUP_WITH", "BEFORE_WITH"):
        return index - 1, None
    if call.opname == "CALL" and instructions[index - 1].opname == "LOAD_SPECIAL":  # a with statement, from 3.14
        return _before(instructions, index - 1, ("SWAP", "LOAD_SPECIAL", "COPY")), None
    end = _before(instructions, index - 1, ("PRECALL", "KW_NAMES"))
    start = _skip(instructions, end, _operands(call))
    has_one = call.opname in ("CALL", "CALL_FUNCTION", "CALL_METHOD", "PRECALL") and call.arg == 1
    return _before(instructions, start, ("PUSH_NULL",)), end if has_one else None


def _before(instructions: List[Any], index: int, names: Tuple[str, ...]) -> int:
    while index >= 0 and instructions[index].opname in names:
        index -= 1
    return index


def _operands(call: Any) -> int:
    """How many values a call takes that were loaded after what it calls."""
    if call.opname == "CALL_FUNCTION_EX":
        return 2 if sys.version_info >= (3, 14) else 1 + (call.arg & 1)
    return int(call.arg) + int(call.opname.endswith("_KW"))  # the names of keyword arguments, as a tuple


def _skip(instructions: List[Any], index: int, values: int) -> int:
    """Return the index of the last instruction before those that have loaded `values` values."""
    import dis

    while values > 0:
        one = instructions[index] if index >= 0 else None
        if one is None or one.opcode in dis.hasjrel or one.opcode in dis.hasjabs:
            raise LookupError("a conditional argument")
        values -= dis.stack_effect(one.opcode, one.arg if one.opcode >= dis.HAVE_ARGUMENT else None)
        index -= 1
    if values < 0:
        raise LookupError("one instruction has loaded an argument, and more")
    return index


# -- variables -----------------------------------------------------------------------------------


def _function(frame: Any, instructions: List[Any], index: int) -> Tuple[Any, str, Any]:
    """Return the object that a function was looked up on, if any, by which name, and the function."""
    one = instructions[index]
    following = instructions[index + 1].opname
    if instructions[index + 1].is_jump_target:
        raise LookupError("one of two ways to it")
    if following in ("SETUP_WITH", "BEFORE_WITH", "COPY"):
        manager = _value(frame, instructions, index)
        return manager, "__enter__", look_up(manager, "__enter__")
    if one.opname in ("LOAD_ATTR", "LOAD_METHOD") and not one.is_jump_target:
        owner = _value(frame, instructions, index - 1)
        function = look_up(owner, one.argval)
        if _compat.is_of(owner, types.ModuleType):
            owner = None
        return owner, one.argval, function
    return None, "", _value(frame, instructions, index)


def _value(frame: Any, instructions: List[Any], index: int) -> Any:
    """Return what a chain of names and attributes that ends at an instruction stands for; LookupError if unknown."""
    if index < 0:
        raise LookupError("the beginning")
    one = instructions[index]
    name = one.argval[-1] if isinstance(one.argval, tuple) and one.opname != "LOAD_CONST" else one.argval
    if one.opname == "LOAD_CONST":
        return name
    if one.opname == "LOAD_ATTR" and not one.is_jump_target:  # else this is one of two ways to it
        return look_up(_value(frame, instructions, index - 1), name)
    if "LOAD_FAST" in one.opname or one.opname in ("LOAD_DEREF", "LOAD_CLASSDEREF"):
        return frame.f_locals[name]
    if one.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
        return variable(frame, name, is_local=one.opname == "LOAD_NAME")
    raise LookupError(one.opname)


def variable(frame: Any, name: str, *, is_local: bool = True) -> Any:
    """Return the value of a name in a frame; LookupError if it has none."""
    if is_local and name in frame.f_locals:
        return frame.f_locals[name]
    return frame.f_globals[name] if name in frame.f_globals else frame.f_builtins[name]


def look_up(thing: Any, name: str) -> Any:
    """Return an attribute from plain dicts and slots: unbound, and without running any code; LookupError if unknown."""
    found = next((vars(cls)[name] for cls in type(thing).__mro__ if name in vars(cls)), None)
    if type(found) is types.MemberDescriptorType:
        try:
            return found.__get__(thing, type(thing))
        except AttributeError:
            raise LookupError(name) from None
    if _compat.is_of(found, (property, types.GetSetDescriptorType)):
        raise LookupError(name)
    if _compat.is_of(thing, type):
        own = next((vars(cls)[name] for cls in thing.__mro__ if name in vars(cls)), None)
        return own if own is not None else _found(found, name)
    try:
        attributes = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        attributes = {}
    return attributes[name] if name in attributes else _found(found, name)


def _found(value: Any, name: str) -> Any:
    if value is None:
        raise LookupError(name)
    return value
