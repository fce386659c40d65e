"""A coroutine that is driven from the task of who awaits it, as long as that goes well: a task of its own is dear.

In asyncio's debug mode a task costs two stacks or more, which is most of what the teardown of one hub would cost.
"""

from __future__ import annotations

import types
from typing import Any, Callable, Generator, Optional, cast

from leakguard import _compat


class Rest:
    """The rest of a coroutine that `take` has left, to be awaited in a task of its own: first what it waits for."""

    def __init__(self, coroutine: Any, waits_for: Any) -> None:
        self.cr_await = coroutine  # whoever looks at the task sees what is inside
        self._first = [waits_for]

    async def run(self) -> None:
        """Go on with it."""
        await self

    def __await__(self) -> Generator[Any, Any, None]:
        return cast("Generator[Any, Any, None]", self)

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """What the coroutine waits for next."""
        return self._first.pop() if self._first else self.cr_await.send(value)

    def throw(self, *error: Any) -> Any:
        """The same, where it waits for something that raises."""
        self._first.clear()
        return self.cr_await.throw(*error)


@types.coroutine
def take(coroutine: Any, task: Any, is_over: Callable[[], bool]) -> Generator[Any, Any, Optional[Rest]]:
    """Take the steps of a coroutine in `task`, the current one, until its time is over or somebody cancels the task.

    Return None once it has ended, else its `Rest`. A cancellation is the coroutine's to answer first: it may be a timeout
    of its own. One that it asks for itself breaks nothing off.
    """
    error: Optional[BaseException] = None
    allowed = _compat.cancellations(task)
    while True:
        try:
            waits_for = coroutine.send(None) if error is None else coroutine.throw(error)
        except StopIteration:
            return None
        if _compat.is_to_be_cancelled(task):
            allowed = _compat.cancellations(task)
        if is_over() or _compat.cancellations(task) > allowed:
            return Rest(coroutine, waits_for)
        try:
            yield waits_for
            error = None
        except BaseException as raised:  # whatever is thrown in is the coroutine's: it says what comes of it
            error = raised
