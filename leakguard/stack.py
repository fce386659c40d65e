"""What a blocked thread waits for, and what its frames surely hold, read from its frames and their bytecode.

The collector does not see what is on the evaluation stack of a running frame, nor, from 3.11, its variables. They are
worked out here from the instruction that the frame stands at. Only what is sure to be there is told: what cannot be
worked out is left out, and then looks as if it was held by somebody unknown, which proves nothing and is never wrong.

Stated for CPython 3.9 to 3.15 by the sources of its interpreter: up to 3.10 a call keeps its arguments on the caller's
stack; from 3.11 a call of a Python function hands them over; from 3.14 a variable may be lent without being counted.
"""

from __future__ import annotations

import sys
import types
from typing import Any, Counter, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from leakguard import _compat, bytecode
from leakguard.reach import Key, function_key, method_key

FRAMES_ARE_SEEN = sys.version_info < (3, 11)
"""The collector sees the variables of running frames, not their stacks."""

LENDS = sys.version_info >= (3, 14)
"""A variable may be on the stack, or an argument, without being counted there."""

RUN_IS_INLINED = sys.version_info >= (3, 12)
"""``f(*args)`` hands a Python function over to its frame, and keeps no tuple."""

_SUPPORTED = (3, 9) <= sys.version_info < (3, 16)


class Value(NamedTuple):
    """What an expression has pushed."""

    thing: Any
    key: Key
    is_counted: bool
    """Whether the stack's reference to it is one that counts."""
    start: int
    """Where the expression begins, as an index of instructions."""
    is_sure: bool = False
    """Whether it is still what the path meant: surely a variable of the frame's own, others may have changed since."""


class Call(NamedTuple):
    """A call that a frame stands in."""

    name: str
    receiver: Optional[Value]
    """What the method was looked up on, None for a plain function."""
    function: Optional[Value]
    """What is called, if it is on the stack itself."""
    arguments: Sequence[Value]
    method: Any
    """The function or method descriptor that the class of the receiver has."""

    @property
    def is_c(self) -> bool:
        """Whether it is a function of C."""
        called = self.method if self.function is None else self.function.thing
        return _compat.is_of(called, _FUNCTIONS_OF_C)

    @property
    def is_sure(self) -> bool:
        """Whether it is surely this function that was called, by whatever path."""
        if self.function is not None:
            return self.function.is_sure
        receiver = self.receiver
        return receiver is not None and receiver.is_sure and _compat.is_immutable(type(receiver.thing))

    @property
    def given(self) -> List[Value]:
        """What a function is called with, and what a method is."""
        return [*([self.receiver] if self.receiver is not None else []), *self.arguments]

    def received(self, callee: Optional[Frame]) -> List[bool]:
        """Which of these the frame that runs the function has surely got."""
        called = self.method if self.function is None else self.function.thing
        if callee is None or getattr(called, "__code__", None) is not callee.code:
            return [False for _ in self.given]
        got = [*callee.parameters(), *([_compat.MISSING] * len(self.given))]
        return [value.key is not None and value.thing is thing for value, thing in zip(self.given, got)]


_FUNCTIONS_OF_C = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)


class Frame:
    """A frame that runs, with its variables as they are now: forget it before references are counted."""

    def __init__(self, frame: Any, caller: Optional[Frame] = None) -> None:
        self.frame, self.code = frame, frame.f_code
        self.is_function = bool(self.code.co_flags & 0x1)
        self.variables = _compat.read_variables(frame) if self.is_function else {}
        self.instructions = bytecode.instructions(self.code)
        self.at = max((i for i, one in enumerate(self.instructions) if one.start <= frame.f_lasti), default=0)
        self.is_generator = bool(self.code.co_flags & _GENERATORS)
        self.uncounted: Any = _uncounted(self, caller) if LENDS else ()
        """The variables whose references may not be counted."""
        self.call = self._call()

    def evaluate(self, end: int) -> Optional[Value]:
        """What the expression that ends at an instruction has pushed; None if that is not a plain path of names."""
        if end < 0:
            return None
        one = self.instructions[end]
        name, argument = one.opname, one.argval
        if name in ("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK", "LOAD_DEREF"):
            if argument not in self.variables:
                return None
            thing = self.variables[argument]
            is_counted = name != "LOAD_FAST_BORROW" and argument not in self.uncounted
            return Value(thing, id(thing), is_counted, end, name != "LOAD_DEREF")
        if name == "LOAD_GLOBAL":
            thing = self.frame.f_globals.get(argument, self.frame.f_builtins.get(argument))
            return Value(thing, id(thing), True, end)
        if name in _CONSTANTS:
            return Value(None, None, False, end, True)
        if name == "LOAD_ATTR" and not one.is_method:
            return self._attribute(self.evaluate(end - 1), argument)
        return None

    def _attribute(self, owner: Optional[Value], name: str) -> Optional[Value]:
        if owner is None or owner.key is None:
            return None
        found = _compat.plain_attribute(owner.thing, name)
        if found is _compat.MISSING:
            return None
        is_sure = owner.is_sure and self.code is _compat.BOOTSTRAP_INNER_CODE
        if type(found) is types.FunctionType and _compat.class_attribute(owner.thing, name) is found:
            return Value(None, method_key(owner.thing, found.__name__), True, owner.start, is_sure)
        return Value(found, id(found), True, owner.start, is_sure)

    def _call(self) -> Optional[Call]:
        one = self.instructions[self.at]
        if one.opname not in ("CALL", "CALL_METHOD", "CALL_FUNCTION"):
            return None
        before = self.at - 1
        arguments: List[Value] = []
        if before >= 0 and self.instructions[before].opname == "LOAD_SPECIAL":  # pragma: no cover - Python 3.14, run there
            return None
        for _ in range(one.arg):
            value = self.evaluate(before)
            if value is None:
                return None
            arguments.insert(0, value)
            before = value.start - 1
        if before < 0:
            return None
        called = self.instructions[before]
        if not called.is_method:
            function = self.evaluate(before)
            return Call("", None, function, arguments, None) if function is not None else None
        receiver = self.evaluate(before - 1)
        if receiver is None or receiver.thing is None:
            return None
        method = _compat.class_attribute(receiver.thing, called.argval)
        if _compat.plain_attribute(receiver.thing, called.argval) is method:
            return Call(called.argval, receiver, None, arguments, method)
        function = self._attribute(receiver, called.argval)
        return Call(called.argval, None, function, arguments, None) if function is not None else None

    def parameters(self) -> List[Any]:
        """What it was called with by position, `MISSING` where that is not sure."""
        names = self.code.co_varnames[: self.code.co_argcount]
        unsure = {*self.code.co_cellvars, *(name for name in names if self.is_assigned(name))}
        return [_compat.MISSING if name in unsure else self.variables.get(name, _compat.MISSING) for name in names]

    def is_assigned(self, name: str, start: int = 0) -> bool:
        """Whether a variable is assigned by an instruction from `start` on."""
        return any(
            one.opname.startswith(_ASSIGNS) and name in (one.argval if type(one.argval) is tuple else (one.argval,))
            for one in self.instructions[start:]
        )

    def _managing(self, at: int) -> Optional[Value]:
        """The manager of a block that was entered, which is sure if the variable was not assigned since."""
        manager = self._managed(at)
        if manager is not None and manager.is_sure:
            return manager._replace(is_sure=not self.is_assigned(self.instructions[manager.start].argval, at))
        return manager

    def _leaves(self) -> bool:  # pragma: no cover - Python 3.9 and 3.10, run there
        """Whether the frame may be leaving a block (up to 3.10): then its ``__exit__`` may have been used up."""
        for one in self.instructions[self.at :: -1]:
            if one.opname == "POP_BLOCK":
                return True
            if one.opname.startswith(("SETUP_", "JUMP", "POP_JUMP", "RETURN", "RAISE", "RERAISE", "POP_EXCEPT", "FOR_ITER")):
                return False
        return False

    def entered(self) -> Optional[Value]:
        """What a ``with`` that the frame is about to enter calls ``__enter__`` of."""
        return self._managed(self.at)

    def _managed(self, at: int) -> Optional[Value]:
        """The context manager that the instruction which enters a ``with`` block has taken."""
        name = self.instructions[at].opname
        if name in ("SETUP_WITH", "BEFORE_WITH"):
            return self.evaluate(at - 1)
        if name == "CALL" and at >= 6 and self.instructions[at - 1].opname == "LOAD_SPECIAL":  # pragma: no cover - 3.14
            return self.evaluate(at - 6)
        return None

    def blocks(self) -> Iterator[Value]:
        """Yield the managers of the ``with`` blocks that the frame is inside of, where they can be told."""
        if sys.version_info < (3, 11):  # pragma: no cover - run there
            here = self.frame.f_lasti
            for at, one in enumerate(self.instructions if not self._leaves() else ()):
                if one.opname == "SETUP_WITH" and one.offset < here < one.argval:
                    manager = self._managing(at)
                    if manager is not None:
                        yield manager
            return
        offsets = {one.offset: i for i, one in enumerate(self.instructions)}
        table = bytecode.exception_table(self.code)
        offset, seen = self.frame.f_lasti, set()
        while True:
            handler = next((entry.target for entry in table if entry.start <= offset < entry.end), None)
            if handler is None or handler in seen:
                return
            seen.add(handler)
            first = offsets.get(handler, -1)
            if [one.opname for one in self.instructions[first : first + 2]] == ["PUSH_EXC_INFO", "WITH_EXCEPT_START"]:
                begin = min(entry.start for entry in table if entry.target == handler)
                before = [i for i, one in enumerate(self.instructions) if one.offset < begin]
                manager = self._managing(before[-1]) if before else None
                if manager is not None:
                    yield manager
            offset = handler


_GENERATORS = 0x20 | 0x80 | 0x200
"""Flags of the code of generators, coroutines and async generators (see `inspect`)."""

_ASSIGNS = ("STORE_FAST", "DELETE_FAST", "LOAD_FAST_AND_CLEAR")
_CONSTANTS = ("LOAD_CONST", "LOAD_SMALL_INT", "LOAD_CONST_IMMORTAL", "LOAD_COMMON_CONSTANT")


def read(top: Any) -> List[Frame]:
    """The frames of a blocked thread, innermost first; empty if they cannot be read on this Python."""
    raw: List[Any] = []
    while _SUPPORTED and top is not None and len(raw) < 200:
        raw.append(top)
        top = top.f_back
    frames: List[Frame] = []
    for frame in reversed(raw if top is None else []):
        frames.insert(0, Frame(frame, frames[0] if frames else None))
    return frames


def is_in_call(top: Any) -> bool:
    """Whether a frame stands in a call, or where a ``with`` block is entered or left: else it runs."""
    if bytecode.is_precall(top.f_code, top.f_lasti):
        return True
    at = [one for one in bytecode.instructions(top.f_code) if one.start <= top.f_lasti]
    return bool(at) and at[-1].opname.startswith(("CALL", "SETUP_WITH", "BEFORE_WITH", "FOR_ITER"))


# -- what it waits for ---------------------------------------------------------------------------


def lock_of(frames: Sequence[Frame]) -> Any:
    """What the thread waits for without a timeout: a lock, or a simple queue; None if that is not sure."""
    if not frames:
        return None
    frame = frames[0]
    call, manager = frame.call, frame.entered()
    if manager is not None:
        return _unless_free(manager.thing) if manager.is_sure else None
    if _is_run(frame):
        target, arguments, keywords = _compat.thread_call(frame.variables["self"])
        has_none = type(arguments) is tuple and not arguments and type(keywords) is dict and not keywords
        return _waited_for(target) if has_none else None
    if call is None or call.arguments or not call.is_c or not call.is_sure:
        return None
    if call.function is not None:
        return _waited_for(call.function.thing)
    thing = call.receiver.thing if call.receiver is not None else None
    return _unless_free(thing) if call.name in _WAITS else None


_WAITS = ("acquire", "__enter__", "get")


def _waited_for(function: Any) -> Any:
    """What a bound method of C waits for: a Condition has its lock's own ``acquire``."""
    is_wait = _compat.is_of(function, types.BuiltinMethodType) and function.__name__ in _WAITS
    return _unless_free(function.__self__) if is_wait else None


def _unless_free(thing: Any) -> Any:
    """A lock that is held, or a simple queue; None for anything else, or a lock that somebody has just released."""
    if _compat.is_of(thing, _compat.LOCKS):
        return thing if _compat.is_locked(thing) else None
    return thing if _compat.is_simple_queue(thing) else None


def joined(frames: Sequence[Frame]) -> Any:
    """The thread whose end it waits for without a timeout, else None."""
    for frame in frames[:2]:
        variables = frame.variables
        if frame.code is _compat.JOIN_CODE and variables.get("timeout", 0) is None:
            return variables.get("self")
        if frame.code is _compat.OLD_JOIN_CODE and variables.get("block") is True and variables.get("timeout") == -1:
            return variables.get("self")
    return None


# -- what it holds -------------------------------------------------------------------------------


def claims(thread: Any, frames: Sequence[Frame]) -> Counter[Key]:
    """The references that the thread's frames surely hold and the collector does not see, by what they are for.

    A generator's frame is held by the generator, as are its variables: the collector sees that, or some of it, so nothing
    of them is claimed.
    """
    found: Counter[Key] = Counter()
    waits = bool(frames) and frames[0].code is _compat.CONDITION_WAIT_CODE
    condition = frames[0].variables.get("self") if waits else None
    for number, frame in enumerate(frames):
        caller = frames[number + 1] if number + 1 < len(frames) else None
        callee = frames[number - 1] if number else None
        if frame.is_generator:
            continue
        found[id(frame.frame)] += 1  # the interpreter's
        if not FRAMES_ARE_SEEN:
            _claim_variables(found, frame)
            _claim_function(found, frame, caller)
        _claim_stack(found, frame, callee)
        _claim_blocks(found, frame, callee, condition)
        if _is_run(frame):
            _claim_run(found, frame)
    if frames and frames[-1].code is _compat.BOOTSTRAP_CODE:
        found[method_key(thread, "_bootstrap")] += 1
    del found[None]
    return found


def _claim_variables(found: Counter[Key], frame: Frame) -> None:
    code, variables = frame.code, frame.variables
    cells = {*code.co_cellvars, *code.co_freevars}
    for name in code.co_varnames:
        if name in variables and name not in cells and name not in frame.uncounted:
            found[id(variables[name])] += 1
    for name in cells:
        if name in variables:
            found["cell", id(variables[name])] += 1


def _uncounted(frame: Frame, caller: Optional[Frame]) -> Sequence[str]:  # pragma: no cover - Python 3.14 and later, run there
    """The variables of a frame whose references may not be counted: what the caller has lent to it, and what got its value.

    Where an argument was assigned or deleted since, any of the variables may have got what it was.
    """
    lent = _lent(frame, caller)
    arguments = [name for name in lent if name not in frame.code.co_cellvars]
    if any(name not in frame.variables or frame.is_assigned(name) for name in arguments):
        return tuple(frame.code.co_varnames)
    values = [frame.variables[name] for name in arguments]
    others = (name for name in frame.code.co_varnames if any(frame.variables.get(name) is value for value in values))
    return (*lent, *others)


def _lent(frame: Frame, caller: Optional[Frame]) -> Sequence[str]:  # pragma: no cover - Python 3.14 and later, run there
    """The arguments of a frame that the caller may only have lent to it."""
    code = frame.code
    collected = bool(code.co_flags & 0x4) + bool(code.co_flags & 0x8)
    names: Tuple[str, ...] = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + collected]
    if caller is None or _is_run(caller):
        return ()
    call = caller.call
    if call is None:
        return names
    if call.is_c:
        return () if call.is_sure else names
    given = call.given
    is_method = call.method is not None and call.received(frame)[0]
    if not is_method or len(given) > code.co_argcount or code.co_flags & 0xC:
        return names
    return names[len(given) :] + tuple(name for name, value in zip(names, given) if not value.is_counted)


def _claim_function(found: Counter[Key], frame: Frame, caller: Optional[Frame]) -> None:
    """A frame holds the function that it runs, from 3.11; which one it is can be told of a closure only."""
    code, variables = frame.code, frame.variables
    if LENDS or (caller is not None and _is_run(caller) and RUN_IS_INLINED):
        return
    if code.co_freevars and all(name in variables for name in code.co_freevars):
        cells = [("cell", id(variables[name])) for name in code.co_freevars]
        found[function_key(code, cells)] += 1


def _claim_stack(found: Counter[Key], frame: Frame, callee: Optional[Frame]) -> None:
    """What a call keeps on the caller's stack: up to 3.10 always, later where a function of C is called."""
    call = frame.call
    if call is None or not (FRAMES_ARE_SEEN or (call.is_c and call.is_sure)):
        return
    for number, (value, is_received) in enumerate(zip(call.given, call.received(callee))):
        is_receiver = number == 0 and call.receiver is not None
        if value.is_counted and (is_received or (call.is_sure if is_receiver else value.is_sure)):
            found[value.key] += 1
    if call.function is not None and call.function.is_counted and call.function.is_sure:
        found[call.function.key] += 1


def _claim_blocks(found: Counter[Key], frame: Frame, callee: Optional[Frame], condition: Any) -> None:
    """A ``with`` block keeps the bound ``__exit__`` of its manager, from 3.14 the manager itself.

    A manager that is no variable is sure if it is the condition that the thread waits in: it has been acquired before.
    """
    for manager in frame.blocks():
        if not manager.is_sure and (condition is None or manager.thing is not condition):
            continue
        if LENDS:
            found[manager.key] += manager.is_counted
        else:
            found[method_key(manager.thing, "__exit__")] += 1
    entered = frame.entered()
    if entered is None:
        return
    if entered.is_sure or (callee is not None and any(got is entered.thing for got in callee.parameters()[:1])):
        if LENDS:
            found[entered.key] += 2 * entered.is_counted
        else:
            found[method_key(entered.thing, "__exit__")] += 1
            found[method_key(entered.thing, "__enter__")] += 1


def _is_run(frame: Frame) -> bool:
    """Whether it is the one in which a thread calls its target."""
    return frame.code is _compat.RUN_CODE and frame.instructions[frame.at].opname == "CALL_FUNCTION_EX"


def _claim_run(found: Counter[Key], frame: Frame) -> None:
    target, arguments, _ = _compat.thread_call(frame.variables["self"])
    is_inlined = RUN_IS_INLINED and type(target) is types.FunctionType
    found[id(target)] += 1  # on the stack, or as the function that the next frame runs
    if type(arguments) is tuple and arguments and not is_inlined:
        found[id(arguments)] += 1
