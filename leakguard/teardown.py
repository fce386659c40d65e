"""Hub teardown: stop, wait up to the timeout, cancel what is still at work, say what had to be forced.

Each `addHub` is one `Teardown`. Hubs that were registered one after the other, with no other cleanup between, are a
`Group`: those of them that need not wait for each other are torn down together (see `order`). Everything else keeps the
order of cleanups, last registered first.
"""

from __future__ import annotations

import inspect
import sys
import threading
from typing import Any, Callable, Dict, List, Optional, Sequence

from leakguard import _compat, alarm, hub as hubs, order, stops, turns, where
from leakguard.notices import log
from leakguard.model import printable

__unittest = True

IMMEDIATE_TURNS = 10
"""Turns of the loop before a timer is started: most hubs are closed by then."""
CANCELS = 3
"""How often a task that is still at work is cancelled; what survives is left to the leak check."""
LONGEST_PAUSE = 0.01
"""Seconds between two looks at a hub that is waited for, at most."""


class HubError(AssertionError):
    """A hub did not stop in time: its test fails."""


def register(test: Any, hub: Any, stop: Any, timeout: Any, name: Any) -> None:
    """Register the teardown of a hub among the test's cleanups. Raises TypeError or ValueError for what cannot be."""
    if stop is not None and not callable(stop):
        raise TypeError(f"addHub's stop must be callable (got {stop!r})")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < float("inf"):
        raise ValueError(f"addHub's timeout must be a number of seconds > 0 (got {timeout!r})")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"addHub's name must be a str (got {name!r})")
    is_async = hasattr(test, "addAsyncCleanup")
    stopper = stops.stopper(hub, stop, is_async)
    teardown = Teardown(hub, stop, stopper, timeout, name or hubs.name_of(hub), test)
    group = getattr(_compat.last_cleanup(test), "__self__", None)
    if isinstance(group, Group) and group.test is test:
        group.add(teardown)
        return
    group = Group(test, teardown)
    if is_async:
        test.addAsyncCleanup(group.run_async)
    else:
        test.addCleanup(group.run)


class Teardown:
    """The teardown of one hub."""

    def __init__(
        self, hub: Any, stop: Any, stopper: Callable[[List[str]], stops.Steps], timeout: float, name: str, test: Any
    ) -> None:
        self.hub, self.stop, self.timeout, self.name, self.test = hub, stop, timeout, name, test
        self.error: Optional[BaseException] = None
        self.forced: List[str] = []
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

    def steps(self, is_alone: bool = True) -> stops.Steps:
        """Stop the hub, then wait until its own threads and tasks have ended."""
        self.begun = _compat.clock()
        self._note_what_waits()
        self._note_its_own()
        try:
            yield from self._stopper(self.forced)
        except stops.errors_of_a_stop() as error:  # it is the test's error, once all hubs are torn down
            self.error = error
        self.has_stopped, self.took = True, _compat.clock() - self.begun
        if self.insides is not None:
            self.insides.is_outdated = True
            if not is_alone:
                yield None  # the other stops that end in this turn share the look
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
            inside = self.insides.of(self.hub) if self._is_held_by_others() else ()
            known = {id(task) for task in self._tasks}
            self._tasks += [task for task in hubs.tasks_of(self.hub, inside) if id(task) not in known]

    def _is_held_by_others(self) -> bool:
        """Whether somebody has a reference to the hub whom we do not know: each task that is inside one of its methods has.

        It spares a look at all tasks, of which there may be thousands that have to do with others.
        """
        count = _compat.count_of_hub(self)
        count -= sum(one is self.hub for one in getattr(self._stopper, "args", ()))
        if count > 0:
            known = (getattr(self.stop, "__self__", None), *vars(self.test).values())
            count -= sum(one is self.hub for one in known)
        return count > 0

    def left(self) -> List[Any]:
        """Return what the hub still runs: threads, then tasks."""
        return [t for t in self._threads if t.is_alive()] + [t for t in self._tasks if not t.done()]

    def give_up(self, place: str) -> List[Any]:
        """The timeout is over: say so, and return the tasks that are to be cancelled."""
        self.is_given_up = True
        tasks = [t for t in self._tasks if not t.done()]
        threads = [t for t in self._threads if t.is_alive()]
        if tasks:
            names = hubs.some([printable(task.get_name()) for task in tasks])
            self.forced.append(f"{hubs.plural(len(tasks), 'task')} cancelled: {names}")
        if not self.has_stopped or threads:
            places = [f"thread {printable(thread.name)!r} {where.of_thread(thread)}" for thread in threads]
            self.fail("; ".join(places if self.has_stopped else [place, *places]))
        return tasks

    def fail(self, why: str) -> None:
        """Make it the test's error that the hub did not stop in time."""
        late = HubError(f"hub {self.name!r} did not stop within {self.timeout:g} s: {why}")
        late.__cause__, self.error = self.error, late

    def look_for_blocks(self) -> None:
        """Fail if an alarm had to end one of the hub's tasks."""
        for task in [self.hub, *self._tasks] if hubs.is_task(self.hub) else self._tasks:
            error = task.exception() if task.done() and not task.cancelled() else None
            if isinstance(error, alarm.Overdue):
                self.fail(where.of_error(error))

    def say(self) -> None:
        """Log what had to be forced."""
        if self.forced:
            only_closed = all(text.startswith("it was closed already") for text in self.forced)
            level = "INFO" if only_closed else "WARNING"
            log(level, f"leakguard: teardown of hub {self.name!r} in {self.test.id()}: {'; '.join(self.forced)}")


class Group:
    """Hubs that were registered one after the other: torn down in waves, the last registered first."""

    def __init__(self, test: Any, first: Teardown) -> None:
        self.test = test
        self.teardowns = [first]

    def add(self, teardown: Teardown) -> None:
        """Add one more hub; the same once more, with the same stop and no other class between, is torn down once."""
        for other in reversed(self.teardowns):
            if type(other.hub) is not type(teardown.hub):
                break
            if other.hub is teardown.hub and other.stop == teardown.stop:
                return
        self.teardowns.append(teardown)

    def _waves(self) -> List[List[Teardown]]:
        teardowns, self.teardowns = self.teardowns, self.teardowns[:1]  # the test's context may keep these for ever
        if len(teardowns) == 1:
            return [teardowns]
        waves = order.in_waves([teardown.hub for teardown in teardowns])
        return [[teardowns[position] for position in wave] for wave in waves]

    def _finish(self, waves: Sequence[Sequence[Teardown]]) -> None:
        """Say what was forced, and have each error raised by a cleanup of its own, the first one first.

        A SystemExit must not come out of a task: it would end the loop, and on 3.9 and 3.10 every cleanup after it.
        """
        errors: List[BaseException] = []
        for wave in waves:
            for teardown in wave:
                teardown.say()
            if all(teardown.error is None for teardown in wave):  # else one that blocked has held up the others
                for teardown in wave:
                    if teardown.took > teardown.timeout:
                        teardown.fail(f"it took {teardown.took:.1f} s")
            errors += [teardown.error for teardown in wave if teardown.error is not None]
        for error in errors[::-1]:
            self.test.addCleanup(_raise, error)

    # -- hubs that live in threads ------------------------------------------------------------------

    def run(self) -> None:
        """Tear down from a sync test, wave by wave."""
        waves = self._waves()
        for wave in waves:
            _run_wave(wave)
        self._finish(waves)

    # -- hubs on the test's loop ----------------------------------------------------------------------

    async def run_async(self) -> None:
        """Tear down from an async test, wave by wave, on its loop."""
        waves = self._waves()
        for wave in waves:
            if len(wave) == 1 and alarm.can_interrupt():
                await _run_alone(wave[0])
            else:
                await _run_together(wave)
        self._finish(waves)


def _run_wave(wave: Sequence[Teardown]) -> None:
    """Tear down in threads: one hub here, several that have threads of their own in threads of ours."""
    can_be_interrupted = alarm.can_interrupt()
    helpers = []
    for teardown in wave:
        if can_be_interrupted and (len(wave) == 1 or not hubs.threads_of(teardown.hub)):
            with alarm.limit(teardown.timeout, teardown.name) as limited:
                _drive(teardown)
            if limited:
                teardown.give_up(limited[0])
        else:
            helper = threading.Thread(target=_drive, args=(teardown,), name=f"teardown of {teardown.name}", daemon=True)
            helper.start()
            helpers.append((helper, teardown, _compat.clock() + teardown.timeout + LONGEST_PAUSE))
    for helper, teardown, end in helpers:
        helper.join(max(0.0, end - _compat.clock()))
        if helper.is_alive():
            teardown.give_up(where.of_thread(helper))


def _insides(here: Any, teardowns: Sequence[Teardown]) -> hubs.Insides:
    """What the tasks of the running loop are inside of, but for those that tear down."""
    asyncio: Any = sys.modules["asyncio"]

    def tasks() -> List[Any]:
        own = {here, *(teardown.task for teardown in teardowns)}
        return [task for task in asyncio.all_tasks() if task not in own]

    return hubs.Insides(tasks)


async def _run_alone(teardown: Teardown) -> None:
    """Tear one hub down from the task of the cleanup itself; only what outlives its timeout gets one of its own."""
    asyncio: Any = sys.modules["asyncio"]
    here = asyncio.current_task()
    teardown.insides = _insides(here, [teardown])
    coroutine = _drive_async(teardown)
    leftover: List[Any] = []

    def give_up() -> None:
        """Called by the loop when the time is over."""
        if teardown.task is here and not teardown.is_given_up:
            task = teardown.hub if hubs.is_task(teardown.hub) else None
            leftover.extend(teardown.give_up(where.of_task(task) if task else where.of_coroutine(coroutine)))
            here.cancel()

    with alarm.watch([teardown], give_up):
        is_broken_off = False
        rest = None
        try:
            rest = await turns.take(coroutine, here, lambda: teardown.is_given_up)
        except asyncio.CancelledError:
            is_broken_off = not teardown.is_given_up
        teardown.task = None
        if teardown.is_given_up:
            _compat.settle_cancellation(here)
        elif rest is not None:
            is_broken_off = teardown.is_given_up = True
        if rest is not None:
            teardown.task = _compat.start_task(rest.run(), asyncio)
            await asyncio.sleep(0)  # up to 3.11 it begins now; cancelled before that it would never see it
            leftover.append(teardown.task)
        if leftover:
            await _cancel(leftover)
    teardown.look_for_blocks()
    if is_broken_off:
        raise asyncio.CancelledError
    if _compat.is_to_be_cancelled(here):
        await _take_cancellation(teardown, asyncio)


async def _take_cancellation(teardown: Teardown, asyncio: Any) -> None:
    """Let a stop that has cancelled the task of the cleanup fail its test, and no cleanup after it."""
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError as error:
        teardown.error = teardown.error or error


async def _run_together(wave: Sequence[Teardown]) -> None:
    """Tear several hubs down: all stops begin at once, in order."""
    asyncio: Any = sys.modules["asyncio"]
    insides = _insides(asyncio.current_task(), wave)
    for teardown in wave:
        teardown.insides = insides
    with alarm.watch(wave):
        tasks = {_compat.start_task(_drive_async(teardown, is_alone=False), asyncio): teardown for teardown in wave}
        for task, teardown in tasks.items():
            teardown.task = task
        await _wait_for(tasks)
    for task, teardown in tasks.items():
        teardown.look_for_blocks()
        if task.done() and not task.cancelled() and task.exception() is not None:
            teardown.error = teardown.error or task.exception()


async def _wait_for(stopping: Dict[Any, Teardown]) -> None:
    """Wait for each stop up to its timeout, then cancel what has not ended."""
    begun = _compat.clock()
    stubborn: List[Any] = []
    try:
        for timeout in sorted({teardown.timeout for teardown in stopping.values()}):
            await _wait([task for task in stopping if task not in stubborn], begun + timeout - _compat.clock())
            for task, teardown in stopping.items():
                if not task.done() and teardown.timeout <= timeout and task not in stubborn:
                    is_task = hubs.is_task(teardown.hub)
                    stubborn += [task, *teardown.give_up(where.of_task(teardown.hub if is_task else task))]
    finally:
        for teardown in stopping.values():
            teardown.is_given_up = True
        await _cancel([task for task in (*stopping, *stubborn) if not task.done()])


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


async def _drive_async(teardown: Teardown, is_alone: bool = True) -> None:
    """Take the steps on the loop, until the group's watch ends them."""
    asyncio: Any = sys.modules["asyncio"]
    teardown.task = asyncio.current_task()
    try:
        await _take_steps(teardown, is_alone, asyncio)
    except alarm.Overdue as error:
        teardown.give_up(where.of_error(error))


async def _take_steps(teardown: Teardown, is_alone: bool, asyncio: Any) -> None:
    steps, waits = teardown.steps(is_alone), 0
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
                waits += 1
                await asyncio.sleep(0 if waits <= IMMEDIATE_TURNS else min(LONGEST_PAUSE, 0.0005 * (waits - IMMEDIATE_TURNS)))
        except stops.errors_of_a_stop() as raised:
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
