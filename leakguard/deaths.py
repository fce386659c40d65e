"""The hooks that note what died in the background and nobody saw: in threads, tasks, finalizers; forgotten coroutines.

Whatever they take the place of is called all the same. What a test records itself, by a hook or a handler of its own or
by recording warnings, is not noted: somebody saw it. What a garbage collection takes may be of any test before: unless
it says itself whose it is, nobody's.
"""

from __future__ import annotations

import gc
import re
import sys
import threading
from typing import Any, List, Optional, Tuple

from leakguard import _compat, origin, temporary
from leakguard.model import printable
from leakguard.origin import Death, current_owner


def places() -> List[Tuple[Any, str, Any]]:
    """Return (place, name, wrap) of everything that is told of a death."""
    found = [(threading, "excepthook", _wrap_thread), (sys, "unraisablehook", _wrap_unraisable)]
    found += [(cls, "call_exception_handler", _wrap_loop) for cls in _compat.loop_classes()]
    unawaited, shown = _compat.warning_points()
    return [*found, (*unawaited, _wrap_unawaited), (*shown, _wrap_warning)]


_collecting = [0]
"""The thread in which garbage is being collected, 0 if none is."""


def watch_collections(on: bool) -> None:
    """Note from now on when garbage is collected, or no more."""
    if _note_collection in gc.callbacks:
        gc.callbacks.remove(_note_collection)
    if on:
        gc.callbacks.append(_note_collection)


def _note_collection(phase: str, info: Any) -> None:
    _collecting[0] = threading.get_ident() if phase == "start" else 0


def _is_collected() -> bool:
    return _collecting[0] == threading.get_ident()


def _whose() -> Any:
    """The guard that what dies here and now belongs to, None if nobody can tell."""
    return None if _is_collected() else current_owner()


def _wrap_thread(hook: Any, original: Any) -> Any:
    def excepthook(args: Any) -> Any:
        thread = args.thread
        is_silent = args.exc_type is SystemExit  # Python passes over it, too
        if hook.active and not is_silent and not _was_cancelled_by_us(args.exc_type, thread):
            birth = origin.birth_of_thread(thread)
            _note(
                f"uncaught in thread {printable(thread.name)!r}" if thread is not None else "uncaught in a thread",
                args.exc_value if args.exc_value is not None else args.exc_type,
                birth.owner if birth is not None else current_owner(),
                "catch it in the thread, or run the work in an executor and ask for its result()",
            )
        return original(args)

    excepthook.__module__ = str(_compat.attribute(original, "__module__"))  # who lists what a module is made of goes by it
    return excepthook


def _was_cancelled_by_us(exception_type: Any, thread: Any) -> bool:
    """Whether this is what becomes of ``asyncio.run()`` in a leaked thread: its task is cancelled once it is on record."""
    is_cancelled = (exception_type.__module__, exception_type.__name__) == ("asyncio.exceptions", "CancelledError")
    return is_cancelled and origin.REPORTED in getattr(thread, "__dict__", ())


def _wrap_unraisable(hook: Any, original: Any) -> Any:
    def unraisablehook(args: Any) -> Any:
        error = args.exc_value if args.exc_value is not None else args.exc_type
        if hook.active and not (_compat.is_of(error, RuntimeWarning) and str(error).endswith("was never awaited")):
            if _compat.is_of(error, ResourceWarning):
                _note_unclosed(error, None, sys._getframe(1))
            else:
                hint = "let finalizers and callbacks catch what they raise"
                _note(f"ignored in {_name_of(args)}", error, _whose(), hint)
        return original(args)

    return unraisablehook


def _wrap_loop(hook: Any, original: Any) -> Any:
    def call_exception_handler(self: Any, context: Any) -> Any:
        if hook.active and self.get_exception_handler() is None and not _compat.asyncio_log_is_recorded():
            _note_of_loop(context)
        return original(self, context)

    return call_exception_handler


def _note_of_loop(context: Any) -> None:
    message = str(context.get("message") or "unhandled exception in an event loop")
    task = context.get("task") or context.get("future")
    is_task = hasattr(task, "get_coro")
    owner, stack = None, None
    if is_task:
        if task in origin.settled_tasks:
            return  # a leak that is on record: what it raised when it was cancelled is our doing
        birth = origin.birth_of_task(task)
        owner = origin.owner_of(_compat.task_context(task), birth, task.get_loop())
        stack = birth.stack if birth is not None else None
    entries = _compat.entries(context.get("source_traceback")) or _compat.debug_stack(task)
    created = origin.origin_of(stack) or origin.origin_of_traceback(entries)
    is_callback = message.startswith("Exception in callback ")
    state = "raised in a callback of a loop" if is_callback else message[:1].lower() + message[1:].rstrip("!")
    closed = _compat.generator_to_close(task.get_coro()) if is_task else None
    if closed is not None:  # asyncio made the task, in whatever was going on then
        created = str(origin.place_of(closed.ag_code, -1))
    elif created is None and is_task:
        state += _definition_of(task.get_coro())
    error = context.get("exception")
    if error is None:
        named = closed if closed is not None else task.get_coro() if is_task else None
        error = getattr(named, "__qualname__", message)
    hint = "keep a reference to the task, and await it" if is_task else "catch it where it is raised"
    hint = "aclose() it, or iterate it inside contextlib.aclosing()" if closed is not None else hint
    _note(state, error, owner or _whose(), hint, created)


def _wrap_unawaited(hook: Any, original: Any) -> Any:
    def warn_unawaited_coroutine(coroutine: Any) -> Any:  # pragma: no cover - coverage does not know its frame either
        if hook.active and not _compat.warnings_are_recorded():
            _note_unawaited(coroutine, sys._getframe(1))
        return original(coroutine)

    _compat.hide_from_warnings(warn_unawaited_coroutine)  # the warning is of the line that dropped the coroutine
    return warn_unawaited_coroutine


def _note_unawaited(coroutine: Any, frame: Any) -> None:
    name = printable(_compat.attribute(coroutine, "__qualname__") or type(coroutine).__qualname__)
    created = origin.origin_of_traceback(getattr(coroutine, "cr_origin", None)) or _allocation_of(coroutine)
    state = "never awaited"
    if created is None:
        created = _dropped_at(frame)
        state += _definition_of(coroutine) if created is None else _LET_GO
    _note(state, f"coroutine {name!r} was never awaited", _whose(), "await it, or close() it", created)


def _wrap_warning(hook: Any, original: Any) -> Any:
    def showwarnmsg(message: Any) -> Any:
        is_resource = isinstance(message.category, type) and issubclass(message.category, ResourceWarning)
        if hook.active and is_resource and not _compat.warnings_are_recorded():
            _note_unclosed(message.message, message.source, sys._getframe(1))
        return original(message)

    return showwarnmsg


def _note_unclosed(error: Any, source: Any, frame: Any) -> None:
    birth = origin.birth_of_loop(source)
    created = _allocation_of(source) or origin.origin_of_birth(birth)
    birth = birth or origin.birth_of_loop(_compat.attribute(source, "_loop"))  # a transport is its loop's
    owner = birth.owner if birth is not None and birth.owner is not None else _whose()
    dropped_at = _dropped_at(frame) if created is None else None
    state = "resource not closed" + (_LET_GO if dropped_at is not None else "")
    hint = _WAIT if str(error).startswith("subprocess ") else _CLOSE
    _note(state, error, owner, hint, created or dropped_at)


def _definition_of(coroutine: Any) -> str:
    """All that is left of where a coroutine came from, after a collection."""
    code = getattr(coroutine, "cr_code", None)
    return f", defined at {origin.place_of(code, -1)}" if code is not None else ""


def _allocation_of(thing: Any) -> Optional[str]:
    return origin.origin_of_allocation(_compat.allocated_at(thing))


_CLOSE = "close() it in a cleanup, or use it in a with block"
_WAIT = "wait() for it in a cleanup, or use it in a with block"


_LET_GO = ", let go at this line"


def _dropped_at(frame: Any) -> Optional[str]:
    """The user's line that let the last reference to a thing go.

    There is none for what a collection or a library let go, nor for what a function of the user's had when it ended.
    """
    while frame is not None and frame.f_code.co_name == "__del__":  # it is called by who let go
        frame = frame.f_back
    if frame is None or _is_collected() or origin.rank(frame.f_code.co_filename) != origin.USER:
        return None
    return str(origin.place_of(frame.f_code, frame.f_lasti))


def _note(state: str, error: Any, owner: Any, hint: str, created: Optional[str] = None) -> None:
    """Put a death on record, as plain data: no exception, frame or task is kept."""
    stack: List[Any] = []
    traceback = _compat.attribute(error, "__traceback__")
    while traceback is not None and len(stack) < 256:
        frame = traceback.tb_frame
        stack.append((frame.f_code, traceback.tb_lasti, frame.f_globals.get("__name__", "?")))
        traceback = traceback.tb_next
    cls: Any = error if _compat.is_of(error, type) else type(error)
    if _compat.is_of(error, BaseException):
        text = f"{cls.__name__}: {printable(error)}".rstrip(": ")
    else:
        text = error.__name__ if _compat.is_of(error, type) else str(error)
    for differs, same in _IN_EVERY_RUN:
        text = re.sub(differs, same, text)
    text = printable(temporary.without_random_parts(text))
    kind = f"{cls.__module__}.{cls.__qualname__}" if cls is not str else "str"
    origin.deaths.append(Death(text, kind, printable(state), hint, owner, created, stack[::-1]))


_IN_EVERY_RUN = (
    (r" at 0x[0-9A-Fa-f]+", ""),
    (r"\b(fd|name)=\d+", r"\1=*"),
    (r"\bsubprocess \d+ is still", "subprocess * is still"),
    (r"\b([lr]addr=\('[^']*', )\d+", r"\1*"),
)
"""What differs from run to run in the texts of exceptions and warnings, and what is said instead."""


def _name_of(args: Any) -> str:
    """The function that Python could not raise an exception from; from 3.14 on only its traceback has it."""
    if args.exc_traceback is not None:
        return _compat.qualname(args.exc_traceback.tb_frame.f_code)
    name = getattr(args.object, "__qualname__", None)
    return printable(name if isinstance(name, str) else type(args.object).__qualname__)
