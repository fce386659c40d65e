"""What the bytecode of a function says: its instructions, its exception table, the call that it is in.

Only a leak has it read: `dis` takes 10 ms to import.
"""

from __future__ import annotations

import dis
import functools
import sys
from typing import Any, Callable, Iterator, List, NamedTuple, Tuple


class Read(NamedTuple):
    """One instruction as `dis` shows it, and the EXTENDED_ARGs before it are a part of it: for whoever reads names off it."""

    start: int
    """The first byte of all of them: up to 3.10 a frame stands there, from 3.11 at `offset`."""
    offset: int
    opname: str
    opcode: int
    arg: Any
    argval: Any
    is_jump_target: bool
    """Whether a jump leads here: it lands on the first of them."""


@functools.lru_cache(maxsize=256)
def read(code: Any) -> List[Read]:
    """The instructions of a function as this version has them; `instructions` are the same in every version."""
    found: List[Read] = []
    first = None
    for one in dis.get_instructions(code):
        first = first or one
        if one.opname != "EXTENDED_ARG":
            is_target = bool(first.is_jump_target)
            found.append(Read(first.offset, one.offset, one.opname, one.opcode, one.arg, one.argval, is_target))
            first = None
    return found


_BLOCKING = frozenset(
    ("accept", "acquire", "get", "recv", "recv_into", "recvfrom", "run_forever", "run_until_complete", "sleep")
)
_CALL_SPAN = 24


def blocking_call(code: Any, instruction: int) -> str:
    """The function of C that an instruction calls, if it is one that blocks; ``with`` for entering a with block.

    It is the name of that kind that was loaded last before the call: the function, unless an argument has such a name.
    A with block is entered by SETUP_WITH up to 3.10, BEFORE_WITH up to 3.13, LOAD_SPECIAL and CALL from 3.14.
    """
    before = [i for i in read(code) if i.start <= instruction and i.opname != "CACHE"]
    if not before:
        return ""
    if before[-1].opname in ("SETUP_WITH", "BEFORE_WITH") or "LOAD_SPECIAL" in [i.opname for i in before[-2:-1]]:
        return "with"
    loads = [i for i in before[-_CALL_SPAN:] if i.opname.startswith("LOAD_") and i.opname != "LOAD_CONST"]
    names = [i.argval for i in loads]
    return next((name for name in reversed(names) if isinstance(name, str) and name in _BLOCKING), "")


class Instruction(NamedTuple):
    """One instruction, the same in every version: those that do two things are two, those that do none are left out."""

    start: int
    offset: int
    opname: str
    arg: int
    argval: Any
    is_method: bool
    """Whether it looks a method up, to be called at once."""


_NOTHING_DONE = ("CACHE", "NOP", "PUSH_NULL", "PRECALL", "RESUME", "NOT_TAKEN")


@functools.lru_cache(maxsize=256)
def instructions(code: Any) -> List[Instruction]:
    """The instructions of a function as far as `stack` knows them (3.9 to 3.15)."""
    found = []
    for one in read(code):
        name, arg, at = one.opname, one.arg or 0, (one.start, one.offset)
        if name in _NOTHING_DONE:
            continue
        first, _, second = name.partition("_FAST_")
        if second in ("LOAD_FAST", "LOAD_FAST_BORROW", "BORROW_LOAD_FAST_BORROW"):  # 3.13: two in one
            borrowed = "_BORROW" if second.endswith("BORROW") else ""
            found.append(Instruction(*at, f"{first}_FAST{borrowed}", 0, one.argval[0], False))
            found.append(Instruction(*at, f"LOAD_FAST{borrowed}", 0, one.argval[1], False))
            continue
        is_method = name == "LOAD_METHOD" or (name == "LOAD_ATTR" and sys.version_info >= (3, 12) and bool(arg & 1))
        found.append(Instruction(*at, name, arg, one.argval, is_method))
    return found


def is_precall(code: Any, instruction: int) -> bool:
    """Whether an instruction is the PRECALL of 3.11, which makes the call itself once it is specialized."""
    if sys.version_info[:2] != (3, 11):
        return False
    return dis.opname[code.co_code[instruction]] == "PRECALL"


def is_leaving(code: Any, instruction: int) -> bool:
    """Whether a ``with`` item is being left at an instruction, or was a moment ago.

    That is a call with three times None (DUP_TOP up to 3.10), or WITH_EXCEPT_START; or a jump, back to the loop around it.
    """
    nones = 0
    for one in instructions(code):
        if one.start <= instruction <= one.offset:
            return nones >= 3 or one.opname == "WITH_EXCEPT_START" or "JUMP" in one.opname
        is_none = one.opname in ("LOAD_CONST", "LOAD_COMMON_CONSTANT") and one.argval is None
        nones = nones + 1 if is_none or one.opname == "DUP_TOP" else 0
    return False


def entered(code: Any, instruction: int, among: Callable[[int], bool]) -> Tuple[int, int]:
    """How many ``with`` items begin among some instructions, and how many of these before an instruction."""
    listed = instructions(code)
    enters = [
        one.offset
        for before, one in zip([None, *listed], listed)
        if one.opname in ("SETUP_WITH", "BEFORE_WITH")
        or (one.opname == "CALL" and before is not None and before.opname == "LOAD_SPECIAL")
    ]
    there = [offset for offset in enters if among(offset)]
    return len(there), sum(offset < instruction for offset in there)


class Handler(NamedTuple):
    """An entry of a code object's exception table, in bytes."""

    start: int
    end: int
    target: int


def exception_table(code: Any) -> List[Handler]:
    """The exception table of a code object (3.11 to 3.15), as CPython's exception_handling_notes describe it."""
    numbers = iter(_variable_length(code.co_exceptiontable))
    return [
        Handler(start * 2, (start + length) * 2, target * 2)
        for start, length, target, _ in zip(numbers, numbers, numbers, numbers)
    ]


def _variable_length(data: bytes) -> Iterator[int]:
    value = 0
    for byte in data:
        value = value << 6 | byte & 63
        if not byte & 64:
            yield value
            value = 0
