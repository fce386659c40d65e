"""Hub teardown: stop, wait up to the timeout, cancel what is still at work, say what had to be forced.

Each `addHub` is one `Teardown`. Hubs of one class that were registered one after the other, with no other cleanup
between, are a `Group` and are torn down together; everything else keeps the order of cleanups, last registered first.
"""

from __future__ import annotations

import contextlib
import inspect
import signal
import sys
import threading
import traceback
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Set

from leakguard import _compat, hub as hubs, origin
from leakguard.check import log
from leakguard.model import printable
from leakguard.probes.tasks import TaskProbe
from leakguard.probes.threads import ThreadProbe

__unittest = True

IMMEDIATE_TURNS = 10
"""Turns of the loop before a timer is started: most hubs are closed by then."""
CANCELS = 3
"""How often a task that is still at work is cancelled; what survives is left to the leak check."""
LONGEST_PAUSE = 0.01
"""Seconds between two looks at a hub that is waited for, at most."""

AGAIN = 0.1
"""Seconds after which an alarm rings again: somebody may have swallowed what it raised."""


class HubError(AssertionError):
    """A hub did not stop in time: its test fails."""


class _Overdue(BaseException):
    """Raised inside a call that blocks for longer than the hub's timeout."""


def register(test: Any, hub: Any, stop: Any, timeout: Any, name: Any) -> None:
    """Register the teardown of a hub among the test's cleanups. Raises TypeError or ValueError for what cannot be."""
    if stop is not None and not callable(stop):
        raise TypeError(f"addHub's stop must be callable (got {stop!r})")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < float("inf"):
        raise ValueError(f"addHub's timeout must be a number of seconds > 0 (got {timeout!r})")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"addHub's name must be a str (got {name!r})")
    is_async = hasattr(test, "addAsyncCleanup")
    steps = hubs.stopper(hub, stop, is_async)
    teardown = Teardown(hub, steps, timeout, name or hubs.name_of(hub), test.id())
    teardown.stop = stop
    group = getattr(_compat.last_cleanup(test), "__self__", None)
    if isinstance(group, Group) and type(group.teardowns[-1].hub) is type(hub) and group.test is test:
        group.add(teardown)
        return
    group = Group(test, teardown)
    if is_async:
        test.addAsyncCleanup(group.run_async)
    else:
        test.addCleanup(group.run)


class Teardown:
    """The teardown of one hub."""

    def __init__(self, hub: Any, stopper: Callable[[List[str]], hubs.Steps], timeout: float, name: str, test: str) -> None:
        self.hub, self.timeout, self.name, self.test = hub, timeout, name, test
        self.error: Optional[BaseException] = None
        self.forced: List[str] = []
        self.stop: Any = None
        """The user's own, else None."""
        self.has_stopped = False
        self.is_given_up = False
        self.begun, self.took = float("inf"), 0.0
        self.task: Any = None
        """The task that takes the steps, in an async test."""
        self.insides: Optional[hubs.Insides] = None
        """What the tasks of the test's loop are inside of; an async test's group sets it."""
        self._stopper = stopper
        self._threads: List[threading.Thread] = []
        self._tasks: List[Any] = []

    def steps(self) -> hubs.Steps:
        """Stop the hub, then wait until its own threads and tasks have ended."""
        self.begun = _compat.clock()
        self._note_what_waits()
        self._note_its_own()
        try:
            yield from self._stopper(self.forced)
        except hubs.errors_of_a_stop() as error:  # it is the test's error, once all hubs are torn down
            self.error = error
        self.has_stopped, self.took = True, _compat.clock() - self.begun
        if self.insides is not None:
            self.insides.is_outdated = True
            yield None  # the other stops that end in this turn share the look
            self.insides.refresh()
        self._note_its_own()  # what the stop itself has begun is waited for, too
        self.insides = None
        while self.left():
            yield None

    def _note_what_waits(self) -> None:
        connected, messages = hubs.clients_of(self.hub), hubs.undelivered(self.hub)
        if connected:
            names = hubs.some([hubs.client_name(client) for client in connected])
            self.forced.append(f"{hubs.plural(len(connected), 'client')} still connected: {names}")
        if messages:
            self.forced.append(f"{hubs.plural(messages, 'message')} undelivered")

    def _note_its_own(self) -> None:
        """Add the hub's threads and tasks of this moment to those that it had."""
        self._threads += [thread for thread in hubs.threads_of(self.hub) if thread not in self._threads]
        if self.insides is not None:
            known = {id(task) for task in self._tasks}
            self._tasks += [task for task in hubs.tasks_of(self.hub, self.insides) if id(task) not in known]

    def left(self) -> List[Any]:
        """Return what the hub still runs: threads, then tasks."""
        return [t for t in self._threads if t.is_alive()] + [t for t in self._tasks if not t.done()]

    def give_up(self, where: str) -> List[Any]:
        """The timeout is over: say so, and return the tasks that are to be cancelled."""
        self.is_given_up = True
        tasks = [t for t in self._tasks if not t.done()]
        threads = [t for t in self._threads if t.is_alive()]
        if tasks:
            names = hubs.some([printable(task.get_name()) for task in tasks])
            self.forced.append(f"{hubs.plural(len(tasks), 'task')} cancelled: {names}")
        if not self.has_stopped or threads:
            places = [f"thread {printable(thread.name)!r} {_where_thread(thread)}" for thread in threads]
            self.fail("; ".join(places if self.has_stopped else [where, *places]))
        return tasks

    def fail(self, why: str) -> None:
        """Make it the test's error that the hub did not stop in time."""
        late = HubError(f"hub {self.name!r} did not stop within {self.timeout:g} s: {why}")
        late.__cause__, self.error = self.error, late

    def look_for_blocks(self) -> None:
        """Fail if an alarm had to end one of the hub's tasks."""
        for task in [self.hub, *self._tasks] if hubs.is_task(self.hub) else self._tasks:
            error = task.exception() if task.done() and not task.cancelled() else None
            if isinstance(error, _Overdue):
                self.fail(_where_raised(error))

    def say(self) -> None:
        """Log what had to be forced."""
        if self.forced:
            only_closed = all(text.startswith("it was closed already") for text in self.forced)
            level = "INFO" if only_closed else "WARNING"
            log(level, f"leakguard: teardown of hub {self.name!r} in {self.test}: {'; '.join(self.forced)}")


class Group:
    """Hubs of one class, registered one after the other: torn down together, the last registered first."""

    def __init__(self, test: Any, first: Teardown) -> None:
        self.test = test
        self.teardowns = [first]

    def add(self, teardown: Teardown) -> None:
        """Add one more hub; one that is there already, with the same stop, is torn down once."""
        if (id(teardown.hub), teardown.stop) not in [(id(other.hub), other.stop) for other in self.teardowns]:
            self.teardowns.append(teardown)

    def _finish(self) -> None:
        """Say what was forced, and have each error raised by a cleanup of its own, the first one first.

        A SystemExit must not come out of a task: it would end the loop, and on 3.9 and 3.10 every cleanup after it.
        """
        teardowns = self.teardowns[::-1]
        self.teardowns = teardowns[:1]  # what the test's context may keep for ever
        for teardown in teardowns:
            teardown.say()
        if all(teardown.error is None for teardown in teardowns):  # else one that blocked has held up the others
            for teardown in teardowns:
                if teardown.took > teardown.timeout:
                    teardown.fail(f"it took {teardown.took:.1f} s")
        errors = [teardown.error for teardown in teardowns if teardown.error is not None]
        for error in errors[::-1]:
            self.test.addCleanup(_raise, error)

    # -- hubs that live in threads ------------------------------------------------------------------

    def run(self) -> None:
        """Tear down from a sync test: one hub here, several that have threads of their own in threads of ours."""
        teardowns = self.teardowns[::-1]
        can_be_interrupted = _can_interrupt()
        helpers = []
        for teardown in teardowns:
            if can_be_interrupted and (len(teardowns) == 1 or not hubs.threads_of(teardown.hub)):
                with _limit(teardown.timeout) as limited:
                    _drive(teardown)
                if limited:
                    teardown.give_up(limited[0])
            else:
                helper = threading.Thread(
                    target=_drive, args=(teardown,), name=f"teardown of {teardown.name}", daemon=True
                )
                helper.start()
                helpers.append((helper, teardown, _compat.clock() + teardown.timeout + LONGEST_PAUSE))
        for helper, teardown, end in helpers:
            helper.join(max(0.0, end - _compat.clock()))
            if helper.is_alive():
                teardown.give_up(_where_thread(helper))
        self._finish()

    # -- hubs on the test's loop ----------------------------------------------------------------------

    async def run_async(self) -> None:
        """Tear down from an async test: all stops begin at once, in order, on its loop."""
        asyncio: Any = sys.modules["asyncio"]
        here = asyncio.current_task()

        def tasks() -> List[Any]:
            own = {here, *(teardown.task for teardown in self.teardowns)}
            return [task for task in asyncio.all_tasks() if task not in own]

        insides = hubs.Insides(tasks)
        for teardown in self.teardowns:
            teardown.insides = insides
        with _watch(self.teardowns):
            stops = {_compat.start_task(_drive_async(teardown), asyncio): teardown for teardown in self.teardowns[::-1]}
            await self._wait_for(stops)
        for task, teardown in stops.items():
            teardown.look_for_blocks()
            if task.done() and not task.cancelled() and task.exception() is not None:
                teardown.error = teardown.error or task.exception()
        self._finish()

    async def _wait_for(self, stops: Dict[Any, Teardown]) -> None:
        """Wait for each stop up to its timeout, then cancel what has not ended."""
        begun = _compat.clock()
        stubborn: List[Any] = []
        try:
            for timeout in sorted({teardown.timeout for teardown in stops.values()}):
                await _wait([task for task in stops if task not in stubborn], begun + timeout - _compat.clock())
                for task, teardown in stops.items():
                    if not task.done() and teardown.timeout <= timeout and task not in stubborn:
                        is_task = hubs.is_task(teardown.hub)
                        stubborn += [task, *teardown.give_up(_where_task(teardown.hub if is_task else task))]
        finally:
            for teardown in self.teardowns:
                teardown.is_given_up = True
            await _cancel([task for task in (*stops, *stubborn) if not task.done()])


def _raise(error: BaseException) -> None:
    raise error


def _drive(teardown: Teardown) -> None:
    """Take the steps in this thread, until the hub is torn down or its timeout is over."""
    end, seconds = _compat.clock() + teardown.timeout, 0.0001
    for step in teardown.steps():
        if step is not None:
            if inspect.iscoroutine(step):
                step.close()
            teardown.error = TypeError(f"hub {teardown.name!r}: its stop must be awaited: use LeakGuardAsyncTestCase")
            return
        if _compat.clock() >= end:
            teardown.give_up("it has not ended")
            return
        _compat.pause(seconds)
        seconds = min(seconds * 2, LONGEST_PAUSE)


async def _drive_async(teardown: Teardown) -> None:
    """Take the steps on the loop, until the group's watch ends them."""
    asyncio: Any = sys.modules["asyncio"]
    teardown.task = asyncio.current_task()
    try:
        await _take_steps(teardown, asyncio)
    except _Overdue as error:
        teardown.give_up(_where_raised(error))


async def _take_steps(teardown: Teardown, asyncio: Any) -> None:
    steps, turns = teardown.steps(), 0
    value: Any = None
    error: Optional[BaseException] = None
    while True:
        try:
            step = steps.throw(error) if error is not None else steps.send(value)
        except StopIteration:
            return
        value = error = None
        try:
            if step is not None:
                value = await step
            else:
                turns += 1
                await asyncio.sleep(0 if turns <= IMMEDIATE_TURNS else min(LONGEST_PAUSE, 0.0005 * (turns - IMMEDIATE_TURNS)))
        except hubs.errors_of_a_stop() as raised:
            if teardown.is_given_up:
                raise
            if step is not None:
                error = raised  # what a stop raised: the steps go on with the next verb
            else:
                teardown.error = teardown.error or raised  # somebody cancelled the teardown: it goes on


async def _wait(tasks: Sequence[Any], seconds: float) -> None:
    """Wait until all are done or so many real seconds are over, whatever the clock of the loop says."""
    asyncio: Any = sys.modules["asyncio"]
    for _ in range(IMMEDIATE_TURNS):
        if all(task.done() for task in tasks):
            return
        await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    timer = threading.Timer(max(0.0, seconds), loop.call_soon_threadsafe, (_set, over))
    timer.daemon = True
    timer.start()
    all_done = asyncio.ensure_future(asyncio.wait(tasks))
    try:
        await asyncio.wait({all_done, over}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
        timer.join()
        over.cancel()
        await _cancel([all_done])


def _set(future: Any) -> None:
    if not future.done():
        future.set_result(None)


async def _cancel(tasks: Sequence[Any]) -> None:
    """Cancel tasks and let them end; one that ignores it is left to the leak check."""
    asyncio: Any = sys.modules["asyncio"]
    for _ in range(CANCELS):
        tasks = [task for task in tasks if not task.done()]
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        for _ in range(IMMEDIATE_TURNS):
            await asyncio.sleep(0)


# -- a limit to calls that block ----------------------------------------------------------------------


def _can_interrupt() -> bool:
    """Whether a call that blocks can be ended: by a signal, so in the main thread of a system that has alarms."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) is not None


@contextlib.contextmanager
def _limit(seconds: float) -> Iterator[List[str]]:
    """End what blocks inside after so many seconds; then the list has where it was. Elsewhere there is no limit."""
    where: List[str] = []
    if not _can_interrupt():
        yield where
        return

    def ring(number: int, frame: Any) -> None:
        raise _Overdue

    try:
        with _alarm(ring, seconds, AGAIN):
            yield where
    except _Overdue as error:
        where.append(_where_raised(error))


@contextlib.contextmanager
def _watch(teardowns: Sequence[Teardown]) -> Iterator[None]:
    """End a task's step that blocks the loop when the hubs' time is over. Elsewhere there is no limit.

    A ring that finds a task at work says nothing yet: only if the loop has not turned since the ring before is it
    blocked. A stop has its own timeout; any other task, the longest of the group.
    """
    if not _can_interrupt():
        yield
        return
    asyncio: Any = sys.modules["asyncio"]
    loop, here, begun = asyncio.get_running_loop(), asyncio.current_task(), _compat.clock()
    timeouts = [teardown.timeout for teardown in teardowns]
    turned = threading.Event()
    turned.set()

    def is_overdue(task: Any) -> bool:
        ends = [teardown.begun + teardown.timeout for teardown in teardowns if teardown.task is task]
        return _compat.clock() >= (ends[0] if ends else begun + max(timeouts))

    def ring(number: int, frame: Any) -> None:
        if not loop.is_running():  # something has broken it off, and the group with it
            signal.setitimer(signal.ITIMER_REAL, 0)
            return
        task = asyncio.current_task(loop)
        if not turned.is_set() and task is not None and task is not here and is_overdue(task):
            turned.set()  # what was held up by this one has time of its own
            raise _Overdue
        turned.clear()
        loop.call_soon_threadsafe(turned.set)

    with _alarm(ring, min(timeouts) / 4, min(timeouts) / 4):
        yield


@contextlib.contextmanager
def _alarm(ring: Callable[[int, Any], None], seconds: float, interval: float) -> Iterator[None]:
    """Have `ring` called after so many seconds and then again and again; an alarm that was set goes on after it."""
    handler = signal.signal(signal.SIGALRM, ring)
    begun = _compat.clock()
    delay, old_interval = signal.setitimer(signal.ITIMER_REAL, seconds, interval)
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, handler)
        if delay:
            signal.setitimer(signal.ITIMER_REAL, max(delay - (_compat.clock() - begun), 1e-6), old_interval)


# -- where something is ---------------------------------------------------------------------------


def _where_thread(thread: Any) -> str:
    leak = ThreadProbe().describe(thread)
    return _where(leak.place, leak.waiting_in, leak.now_at)


def _where_task(task: Any) -> str:
    leak = TaskProbe().describe(task)
    return _where(leak.place, leak.waiting_in, leak.now_at)


def _where_raised(error: BaseException) -> str:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][::-1]
    own: Set[str] = {__file__, hubs.__file__}
    stack = [(f.f_code, f.f_lasti, f.f_globals.get("__name__", "?")) for f in frames if f.f_code.co_filename not in own]
    now_at, place, waiting_in = origin.describe_stack(stack)
    return _where(place, waiting_in, now_at)


def _where(place: Optional[str], waiting_in: Optional[str], now_at: Sequence[str]) -> str:
    at = place or (now_at[0] if now_at else "an unknown line")
    return f"it is at {at}" + (f", waiting in {waiting_in}" if waiting_in else "")
