"""Doubles that start blocked and are released: nothing here sleeps.

A test starts one, looks, and lets its cleanups release and join it::

    thread = BlockedThread(name="hub-reader-3").start_in(self)   # released and joined by a cleanup
    task = BlockedTask(name="ping-7")                            # inside a running loop
    ...
    await task.end()
"""

import asyncio
import threading

JOIN_SECONDS = 60.0
"""How long a released thread may take to end before its test fails: a guard against hanging, not a measure."""


class BlockedThread(threading.Thread):
    """A thread that does nothing until it is released; `is_blocked` is set as soon as its own code runs."""

    def __init__(self, *, name=None, daemon=True):
        super().__init__(name=name, daemon=daemon)
        self.is_blocked = threading.Event()
        self._released = threading.Event()

    def run(self):
        """Say that it runs, then wait."""
        self.is_blocked.set()
        self._released.wait()

    def start_blocked(self):
        """Start, return itself once its own code runs."""
        self.start()
        self.is_blocked.wait(JOIN_SECONDS)
        return self

    def start_in(self, test):
        """Start it for a test, whose cleanups end it."""
        test.addCleanup(self.end)
        return self.start_blocked()

    def release(self):
        """Let it end."""
        self._released.set()

    def end(self):
        """Let it end, and wait until it has."""
        self.release()
        if self.ident is not None:
            self.join(JOIN_SECONDS)
            assert not self.is_alive(), f"{self.name} was released and did not end"


class BlockedTask:
    """An asyncio task that does nothing until it is released, made on a running loop.

    With `ignores` it swallows that many cancellations before it gives in; `task` is the task itself.
    """

    def __init__(self, *, name=None, ignores=0):
        self.loop = asyncio.get_running_loop()
        self.ignores = ignores
        self.cancels = 0
        self._released = self.loop.create_future()
        self.task = self.loop.create_task(self._wait(), name=name)

    async def _wait(self):
        while not self._released.done():
            try:
                await asyncio.shield(self._released)
            except asyncio.CancelledError:
                self.cancels += 1
                if self.cancels > self.ignores:
                    raise

    def release(self):
        """Let it end: from the loop's own thread."""
        if not self._released.done():
            self._released.set_result(None)

    async def end(self):
        """Let it end, and wait until it has."""
        self.release()
        await asyncio.gather(self.task, return_exceptions=True)

    def end_from_outside(self):
        """The same where the loop does not run any more, but is not closed."""
        self.release()
        self.loop.run_until_complete(asyncio.gather(self.task, return_exceptions=True))
