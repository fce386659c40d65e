"""`leakguard.verdict`: why a leak is still alive; ``stuck`` is proved, and never said of what can be woken."""

import asyncio
import atexit
import concurrent.futures
import contextlib
import contextvars
import ctypes
import functools
import gc
import importlib.util
import itertools
import os
import queue
import signal
import sys
import threading
import types
import unittest
import weakref
from unittest import mock

from leakguard import _compat, check, reach, verdict
from leakguard.verdict import Thing, judge
from tests.doubles import JOIN_SECONDS, BlockedThread
from tests.forgotten import start, wait_on_event, wake
from tests.guarded import place, run_inner, run_inner_async
from tests.required import need

STUCK, WAITING, RUNNING = ("stuck", 0), ("waiting", 0), ("running", 0)
kept = []
"""Where a test keeps something, so that it is alive."""


proves = unittest.skipUnless(_compat.COUNTS_ARE_EXACT, "of this build, without the GIL or with the JIT, nothing is proved")


class VerdictTestCase(unittest.TestCase):
    def setUp(self):
        self.addCleanup(kept.clear)
        for name, value in (("_spent", [0.0]), ("SECONDS", 3600.0), ("SECONDS_IN_ALL", 3600.0)):  # however loaded the machine is
            patch = mock.patch.object(verdict, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def forgotten(self, make):
        """Start the threads that `make` returns; return them as things, which a cleanup ends."""
        things = []
        for thread in make():
            things += start(thread)
            self.addCleanup(wake, thread.ident)
        return things


def thread_on(make):
    """A thread that waits on what `make` returns."""
    return lambda: [threading.Thread(target=wait_on_event, args=(make(),))]


class Reader(threading.Thread):
    """A thread that has its own queue, and reads from it for ever."""

    def __init__(self):
        super().__init__()
        self.queue = queue.Queue()

    def run(self):
        """Read."""
        while self.queue.get() is not None:
            pass


class Service:
    """An object whose method is a thread's target."""

    def __init__(self):
        self.stop = threading.Event()

    def loop(self):
        """Wait to be stopped."""
        self.stop.wait()


def held_lock(kind=threading.Lock):
    """A lock that its owner will not release."""
    lock = kind()
    lock.acquire()
    return lock


def full_queue():
    """A queue that is full."""
    full = queue.Queue(1)
    full.put(None)
    return full


def closure():
    """A thread whose target has what it waits for in a cell."""
    event = threading.Event()

    def body():
        event.wait()

    return threading.Thread(target=body)


def with_block():
    """A thread that waits at a ``with``."""

    def body(lock):
        with lock:
            pass

    return threading.Thread(target=body, args=(held_lock(),))


class Worker:
    """An object whose attribute its methods wait for."""

    def __init__(self, thing):
        self.thing = thing

    def get(self):
        """Wait for a simple queue."""
        self.thing.get()

    def acquire(self):
        """Wait for a lock."""
        self.thing.acquire()

    def enter(self):
        """Wait for a lock at a ``with``."""
        with self.thing:
            pass

    def within(self):
        """Wait for a condition."""
        with self.thing:
            self.thing.wait()


def free_variable():
    """A thread that waits for a lock in a cell, and what gives the cell another."""
    lock = held_lock()

    def body():
        lock.acquire()

    def change(thing):
        nonlocal lock
        lock = thing

    return body, change


def within_block():
    """A thread that waits inside of a ``with``."""
    condition = threading.Condition()

    def body():
        with condition:
            condition.wait()

    return threading.Thread(target=body)


def helper(things):
    """One more frame between a thread and its wait."""
    return things.get()


STUCK_THREADS = {
    "queue.Queue.get": lambda: threading.Thread(target=helper, args=(queue.Queue(),)),
    "queue.Queue.get as target": lambda: threading.Thread(target=queue.Queue().get),
    "queue.Queue.put": lambda: threading.Thread(target=full_queue().put, args=(None,)),
    "queue.Queue.join": lambda: threading.Thread(target=full_queue().join),
    "queue.SimpleQueue.get": lambda: threading.Thread(target=queue.SimpleQueue().get),
    "Event.wait": lambda: threading.Thread(target=wait_on_event, args=(threading.Event(),)),
    "Event.wait of a service": lambda: threading.Thread(target=Service().loop),
    "Event.wait in a closure": closure,
    "Lock.acquire": lambda: threading.Thread(target=held_lock().acquire),
    "Lock in a with": with_block,
    "Condition.wait": within_block,
    "Condition.wait of an attribute": lambda: threading.Thread(target=Worker(threading.Condition()).within),
    "Semaphore.acquire": lambda: threading.Thread(target=threading.Semaphore(0).acquire),
    "Future.result": lambda: threading.Thread(target=concurrent.futures.Future().result),
    "a thread that reads its own queue": Reader,
}


@proves
class StuckThreadTests(VerdictTestCase):
    def test_each_wait(self):
        """A thread that waits without a timeout for what nobody has is stuck."""
        for name, make in STUCK_THREADS.items():
            with self.subTest(name):
                self.assertEqual(judge(self.forgotten(lambda make=make: [make()])), [STUCK])

    def test_each_wait_of_what_is_kept(self):
        """The same thread is waiting while somebody has the thread itself, and by it all that it waits for."""
        for name, make in STUCK_THREADS.items():
            with self.subTest(name):
                things = self.forgotten(lambda make=make: [make()])
                kept.append(things[0].thing)
                self.assertEqual(judge(things), [WAITING])
                kept.clear()
                self.assertEqual(judge(things), [STUCK])

    def test_in_a_call_that_is_specialized(self):
        """A thread that has made a call often waits in it all the same: on 3.11 it stands at another instruction."""
        here, there = os.pipe()
        self.addCleanup(os.close, here)
        times = 100

        def body():
            for _ in range(times + 1):
                os.read(here, 1)

        thread = threading.Thread(target=body, daemon=True)
        self.addCleanup(thread.join)
        self.addCleanup(os.close, there)
        os.write(there, b"x" * times)
        self.assertEqual(judge(start(thread)), [WAITING])

    def test_with_a_timeout(self):
        """A wait that ends by itself is not stuck, however long it is."""
        timed, by_name = {"args": (True, 1000.0)}, {"kwargs": {"timeout": 1000.0}}
        for name, make, given in (
            ("Event", lambda: threading.Event().wait, {"args": (1000.0,)}),
            ("Queue", lambda: queue.Queue().get, timed),
            ("Lock", lambda: held_lock().acquire, timed),
            ("Event", lambda: threading.Event().wait, by_name),
            ("Queue", lambda: queue.Queue().get, by_name),
            ("SimpleQueue", lambda: queue.SimpleQueue().get, by_name),
            ("Lock", lambda: held_lock().acquire, by_name),
        ):
            with self.subTest(name, **given):
                things = self.forgotten(lambda make=make, given=given: [threading.Thread(target=make(), **given)])
                self.assertEqual(judge(things), [WAITING])
            with self.subTest(name):
                self.assertEqual(judge(self.forgotten(lambda make=make: [threading.Thread(target=make())])), [STUCK])

    def test_what_a_path_means_now(self):
        """What a thread waits for in C is not what its path means now, if that is replaced while somebody has both."""
        for name, make in {
            "get": queue.SimpleQueue, "acquire": held_lock, "enter": held_lock, "a cell": held_lock,
        }.items():  # fmt: skip
            with self.subTest(name):
                if name == "a cell":
                    body, change = free_variable()
                    old = body.__closure__[0].cell_contents
                else:
                    worker = Worker(make())
                    body, change, old = getattr(worker, name), functools.partial(setattr, worker, "thing"), worker.thing
                    del worker
                things = start(threading.Thread(target=body))
                new = make()
                change(new)
                new = (new.__enter__, new.__exit__) if name == "enter" and sys.version_info < (3, 14) else new
                del body, change
                try:
                    self.assertEqual(judge(things), [WAITING])
                finally:
                    old.put(None) if name == "get" else old.release()
                    things[0].thing.join()
                    del new

    def test_a_claim_by_a_path(self):
        """What an attribute means now is not what the stack holds: whoever has the new one may wake by it."""
        for name in ("call", "argument", "block"):
            with self.subTest(name):
                things = self.forgotten(lambda name=name: [threading.Thread(target=getattr(Relay(), name))])
                relay = things[0].thing._target.__self__
                new = Inner(relay.inner.event)
                relay.inner.event, relay.inner = None, new
                del relay
                has = new.__exit__ if name == "block" and sys.version_info < (3, 14) else new
                del new
                self.assertEqual(judge(things), [WAITING])
                del has

    def test_a_block_whose_variable_is_assigned(self):
        """What a block's variable is now is not its manager, if it was assigned within."""
        things = self.forgotten(lambda: [threading.Thread(target=reassigns, args=(Inner(threading.Event()),))])
        other = sys._current_frames()[things[0].thing.ident].f_back.f_back.f_back.f_locals["manager"]
        has = other.__exit__ if sys.version_info < (3, 14) else other
        del other
        self.assertEqual(judge(things), [WAITING])
        del has

    def test_other_names_of_what_is_lent(self):
        """From 3.14 what a function was called with may not be counted, nor what it calls by another name: who has it wakes it."""

        def by_name(event):
            mine = event
            mine.wait()

        def by_choice(event):
            mine = event or None
            del event
            mine.wait()

        def by_block(event):
            condition = event._cond
            with condition:
                condition.wait()

        for wait in (by_name, by_choice, by_block):
            with self.subTest(wait.__name__):
                event = threading.Event()
                thread = threading.Thread(target=lambda event, wait: wait(event), args=(event, wait), daemon=True)
                things = start(thread)
                del thread
                gc.collect()
                self.assertEqual(judge(things), [WAITING])
                event.set()
                things[0].thing.join(JOIN_SECONDS)
                self.assertFalse(things[0].thing.is_alive())

    def test_frame_of_a_generator(self):
        """What a thread runs of a generator is held by the generator: who has its frame reaches what is in that."""

        def reads(things):
            while (yield things.get()) != "end":
                pass

        generator = reads(queue.SimpleQueue())
        frame = generator.gi_frame
        things = start(threading.Thread(target=generator.__next__, daemon=True))
        del generator
        gc.collect()
        self.assertEqual(judge(things), [WAITING])
        frame.f_locals["things"].put("end")
        things[0].thing.join(JOIN_SECONDS)

    def test_those_that_wait_for_each_other(self):
        """Threads of which each has what would wake the next are stuck together, and waiting if one may go on."""

        def pair():
            one, two = queue.Queue(), queue.Queue()
            return [threading.Thread(target=forward, args=pair) for pair in ((one, two), (two, one))]

        things = self.forgotten(pair)
        self.assertEqual(judge(things), [STUCK, STUCK])
        self.assertEqual(judge(things[:1]), [WAITING])

    def test_join(self):
        """A thread that joins a stuck one is stuck, and one that joins a waiting one is waiting."""
        things = self.forgotten(thread_on(threading.Event))
        joiner = threading.Thread(target=things[0].thing.join)
        things += start(joiner)
        for ident in (joiner.ident, things[0].thing.ident):
            self.addCleanup(wake, ident)
        del joiner
        self.assertEqual(judge(things), [STUCK, STUCK])
        kept.append(things[0].thing)
        self.assertEqual(judge(things), [WAITING, WAITING])

    def test_it_can_be_switched_off(self):
        """Without proofs a stuck thread is waiting."""
        things = self.forgotten(closure_only)
        self.assertEqual(judge(things, may_prove=False), [WAITING])

    def test_out_of_time(self):
        """Without time for a proof there is none: neither in a check that takes too long, nor once all is spent."""
        things = self.forgotten(closure_only)
        with mock.patch.object(verdict, "SECONDS", -1.0):
            self.assertEqual(judge(things), [WAITING])
        with mock.patch.object(verdict, "SECONDS_IN_ALL", 0.0):
            self.assertEqual(judge(things), [WAITING])
        with mock.patch.object(reach, "LARGEST", 3):
            self.assertEqual(judge(things), [WAITING])
        self.assertEqual(judge(things), [STUCK])

    def test_modules(self):
        """No module is asked what it refers to: that of asyncio's would break 3.12's (CPython's gh-122695)."""
        asked = []
        get_referents = gc.get_referents

        def spy(*things):
            asked.extend(type(thing) for thing in things)
            return get_referents(*things)

        things = self.forgotten(closure_only)
        with mock.patch.object(gc, "get_referents", spy):
            self.assertEqual(judge(things), [STUCK])
            kept.append(SlottedModule("module"))
            kept[0].thing = things[0].thing
            self.assertEqual(judge(things), [WAITING])
        self.assertTrue(asked)
        self.assertEqual([kind for kind in asked if issubclass(kind, types.ModuleType)], [])

    def test_where_counts_are_not_exact(self):
        """Where references are not counted one by one nothing is proved."""
        things = self.forgotten(closure_only)
        with mock.patch.object(verdict._compat, "COUNTS_ARE_EXACT", False):
            self.assertEqual(judge(things), [WAITING])


class SlottedModule(types.ModuleType):
    """A module that holds something beside its namespace, as one written in C does."""

    __slots__ = ("thing",)


class Inner:
    """An object that has an event, and may manage a block."""

    def __init__(self, event):
        self.event = event

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def wait(self):
        """Wait for the event."""
        wait_on_event(self.event)


class Relay:
    """An object that waits for its attribute's event, by several paths."""

    def __init__(self):
        self.inner = Inner(threading.Event())

    def call(self):
        """In a method."""
        self.inner.wait()

    def argument(self):
        """In a function."""
        wait_inner(self.inner)

    def block(self):
        """In a block."""
        with self.inner:
            wait_on_event(self.inner.event)


def wait_inner(inner):
    """Wait for an event."""
    inner.event.wait()


def reassigns(manager):
    """Assign the variable in its block."""
    with manager:
        old, manager = manager, Inner(manager.event)
        old.event = None
        del old
        wait_on_event(manager.event)


def closure_only():
    """One thread that is stuck."""
    return [closure()]


def forward(source, target):
    """Pass on what comes."""
    thing = source.get()
    target.put(thing)


@contextlib.contextmanager
def in_a_thread(function, *arguments):
    """Run a function in a thread that ends with the block: it gets what tells that it runs, and what ends it."""
    begun, end = threading.Event(), threading.Event()
    thread = threading.Thread(target=function, args=(*arguments, begun, end))
    del arguments
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        end.set()
        thread.join()


def has_local(box, begun, end):
    """Take what is in a box into a variable."""
    mine = box.pop()
    begun.set()
    end.wait()
    return mine


def has_temporary(box, begun, end):
    """Take what is in a box onto the stack."""
    return [box.pop(), begun.set(), end.wait()]


@contextlib.contextmanager
def kept_as(make):
    """Keep what `make` makes of an event."""
    kept.append(make())
    try:
        yield
    finally:
        kept.clear()


@contextlib.contextmanager
def from_c(event):
    """One more reference, of which only C knows."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(event))
    address = id(event)
    del event
    try:
        yield
    finally:
        ctypes.pythonapi.Py_DecRef(ctypes.cast(address, ctypes.py_object))


def generator(event):
    """A generator that has an argument."""
    yield
    event.set()


def started(things):
    """A generator that has begun."""
    next(things)
    return things


async def coroutine(event):
    """A coroutine that has an argument."""
    event.set()


def failed(event):
    """An exception whose traceback has a frame that has an argument."""
    try:
        raise ValueError
    except ValueError as error:
        return error


def cached(event):
    """A cache that has a result."""
    function = functools.lru_cache(maxsize=None)(lambda thing: None)
    function(event)
    return function


def on_loop(event, schedule):
    """A loop that will call an event's set()."""
    loop = asyncio.new_event_loop()
    schedule(loop, event)
    return loop


def with_default(event):
    """A function that has a default."""

    def function(thing=event):
        thing.set()

    return function


class HasSlot:
    """An object without a dict."""

    __slots__ = ("event",)

    def __init__(self, event):
        self.event = event


def fill(local, event):
    """Put an event into an object's attribute."""
    local.event = event
    return local


@contextlib.contextmanager
def by_atexit(event):
    """An event is set when the interpreter exits."""
    function = functools.partial(event.set)
    del event
    atexit.register(function)
    reference = weakref.ref(function)
    del function
    try:
        yield
    finally:
        atexit.unregister(reference())


@contextlib.contextmanager
def by_signal(event):
    """An event is set by a signal."""
    saved = signal.signal(signal.SIGUSR1, lambda *_, event=event: event.set())
    del event
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, saved)


@contextlib.contextmanager
def by_context(event):
    """A context variable has an event."""
    variable = contextvars.ContextVar("variable", default=None)
    token = variable.set(event)
    del event
    try:
        yield
    finally:
        variable.reset(token)
        del token


@contextlib.contextmanager
def by_timer(event):
    """A timer will set an event."""
    timer = threading.Timer(1000.0, event.set)
    del event
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextlib.contextmanager
def by_frozen(event):
    """The collector does not look at what is frozen."""
    holder = [[event]]
    del event
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        del holder


def close_all():
    """Close what can be closed."""
    for thing in kept:
        if hasattr(thing, "close"):
            thing.close()


def by(make):
    """The way that is to keep what `make` makes of an event."""
    return lambda event: kept_as(functools.partial(make, event))


CALLBACK = ctypes.CFUNCTYPE(None)

WAYS = {
    "a global variable": by(lambda e: e),
    "a global list": by(lambda e: [[[e]]]),
    "a tuple": by(lambda e: (e,)),
    "a dict": by(lambda e: {"a": e}),
    "a key of a dict": by(lambda e: {e: None}),
    "a set": by(lambda e: {e}),
    "an attribute": by(lambda e: fill(Service(), e)),
    "the attributes of an object": by(lambda e: vars(fill(Service(), e))),
    "its own attributes": by(vars),
    "the attributes of an inner object": by(lambda e: vars(e._cond)),
    "a view of its attributes": by(lambda e: vars(e).values()),
    "a slot": by(HasSlot),
    "a closure": by(lambda e: lambda: e),
    "a default argument": by(with_default),
    "a bound method": by(lambda e: e.set),
    "a partial": by(lambda e: functools.partial(e.set)),
    "a class attribute": by(lambda e: type("Holder", (), {"event": e})),
    "an inner object alone": by(lambda e: e._cond._waiters),
    "its lock alone": by(lambda e: e._cond._waiters[0] if e._cond._waiters else e),
    "a deque": by(lambda e: __import__("collections").deque([e])),
    "a simple queue": by(lambda e: fill_queue(queue.SimpleQueue(), e)),
    "an iterator": by(lambda e: iter([e])),
    "itertools.repeat": by(itertools.repeat),
    "itertools.chain": by(lambda e: itertools.chain([e])),
    "a map": by(lambda e: map(lambda x: x, [e])),
    "a generator": by(lambda e: started(generator(e))),
    "a generator's frame": by(lambda e: started(generator(e)).gi_frame),
    "a generator that has not begun": by(generator),
    "a coroutine": by(coroutine),
    "a traceback": by(failed),
    "a cache": by(cached),
    "a weak reference": by(weakref.ref),
    "a weak proxy": by(weakref.proxy),
    "a weak set": by(lambda e: weakref.WeakSet([e])),
    "a weak value": by(lambda e: weakref.WeakValueDictionary({1: e})),
    "a weak key": by(lambda e: weakref.WeakKeyDictionary({e: 1})),
    "a weak method": by(lambda e: weakref.WeakMethod(e.set)),
    "a thread-local": by(lambda e: fill(threading.local(), e)),
    "a callback of ctypes": by(lambda e: CALLBACK(e.set)),
    "an object of ctypes": by(ctypes.py_object),
    "a context": by(lambda e: fill_context(e)),
    "a loop's call_later": by(lambda e: on_loop(e, lambda loop, e: loop.call_later(1000, e.set))),
    "a loop's call_soon": by(lambda e: on_loop(e, lambda loop, e: loop.call_soon(e.set))),
    "a future's callback": by(lambda e: fill_future(e)),
    "another thread that is not started": by(lambda e: threading.Thread(target=e.set)),
    "another thread's local": lambda e: in_a_thread(has_local, [e]),
    "another thread's temporary": lambda e: in_a_thread(has_temporary, [e]),
    "a timer": by_timer,
    "atexit": by_atexit,
    "a signal handler": by_signal,
    "a context variable": by_context,
    "a reference of C": from_c,
    "an object that is frozen": by_frozen,
}


def fill_queue(things, event):
    """Put an event into a queue."""
    things.put(event)
    return things


def fill_context(event):
    """A context in which a variable has an event."""
    context = contextvars.Context()
    context.run(contextvars.ContextVar("variable").set, event)
    return context


def fill_future(event):
    """A future that sets an event."""
    future = concurrent.futures.Future()
    future.add_done_callback(lambda _: event.set())
    return future


@proves
class WakeTests(VerdictTestCase):
    maxDiff = None

    @classmethod
    def tearDownClass(cls):
        gc.collect()
        gc.freeze()  # again, as tests/__init__.py does: one of the ways has undone it

    def test_each_way(self):
        """Whoever can get at what a thread waits for, by whatever way, keeps it from being stuck; when he lets go it is."""
        for name, way in WAYS.items():
            with self.subTest(name), contextlib.ExitStack() as stack:
                things = self.forgotten(thread_on(threading.Event))
                stack.enter_context(way(*event_of(things)))
                self.assertEqual(judge(things), [WAITING])
                close_all()
                stack.close()
                kept.clear()
                gc.collect()  # a class is a cycle
                self.assertEqual(judge(things), [STUCK])

    def test_the_attributes_of_what_waits(self):
        """Whoever has the attributes of the object that a thread works for can wake it, and so can he of the thread's own."""
        for name, make in {
            "thread": Reader,
            "target": lambda: threading.Thread(target=Service().loop),
        }.items():
            with self.subTest(name):
                things = self.forgotten(lambda make=make: [make()])
                thread = things[0].thing
                kept.append(vars(thread if name == "thread" else thread._target.__self__))
                del thread
                self.assertEqual(judge(things), [WAITING])
                kept.clear()
                self.assertEqual(judge(things), [STUCK])

    def test_this_frame(self):
        """A variable of the code that runs is a way to wake, too."""
        things = self.forgotten(thread_on(threading.Event))
        (event,) = event_of(things)
        self.assertEqual(judge(things), [WAITING])
        del event
        self.assertEqual(judge(things), [STUCK])

    def test_a_leak_that_is_not_stuck(self):
        """What another leaked thread has is alive as long as that thread may go on."""

        def make():
            event = threading.Event()
            busy = BlockedThread()
            busy.event = event
            kept.append(busy._released)
            return [threading.Thread(target=wait_on_event, args=(event,)), busy]

        things = self.forgotten(make)
        self.assertEqual(judge(things), [WAITING, WAITING])
        kept.clear()
        self.assertEqual(judge(things), [STUCK, STUCK])


def event_of(things):
    """What a forgotten thread waits for, in a list."""
    return list(things[0].thing._args)


def owner_of():
    """An object of a class that goes with it."""

    class Owner:
        def method(self):
            """Do nothing."""

    return Owner()


class OtherReference(weakref.ref):
    """A weak reference that says of itself what is not so."""

    __callback__ = None

    def __call__(self):
        return None


class Labelled(weakref.ref):
    """A weak reference with an attribute."""


class Dropped:
    """An object that calls a function when it dies."""

    def __init__(self, function):
        self.function = function

    def __del__(self):
        self.function()


def labelled(owner, label):
    """A weak reference without a callback that has an attribute."""
    reference = Labelled(owner)
    reference.label = label
    return reference


def weak_key(owner, value):
    """A dict that has a value as long as somebody has its key."""
    return filled(weakref.WeakKeyDictionary(), owner, value)


def filled(things, key, value):
    """A dict with one more entry."""
    things[key] = value
    return things


MOURNERS = {
    "a weak reference": weakref.ref,
    "a weak reference of another class": OtherReference,
    "a weak proxy": weakref.proxy,
    "a weak method": lambda owner, function: weakref.WeakMethod(owner.method, function),
    "a finalizer": weakref.finalize,
    "a weak key": lambda owner, function: weak_key(owner, Dropped(function)),
    "a weak value": lambda owner, function: filled(weakref.WeakValueDictionary(), Dropped(function), owner),
}
"""What may call a function when an object dies."""


def calls(function, thing):
    """What calls a function with a thing."""
    return lambda *_: function(thing)


def wait_with(event, has):
    """The body of a thread: wait for an event, with what is in `has` in a variable."""
    event.wait()


async def await_with(make):
    """Wait for a future, with what `make` makes of a function that has it in a variable."""
    future = asyncio.get_running_loop().create_future()
    has = make(calls(nothing, future))
    del make
    await future
    return has


def thread_with(make, function=threading.Event.set):
    """A thread that has in a variable what `make` makes of a function that calls one with what it waits for."""
    event = threading.Event()
    return [threading.Thread(target=wait_with, args=(event, [make(calls(function, event))]))]


def nothing(thing):
    """Do nothing."""


@proves
class CallbackTests(VerdictTestCase):
    """What nobody but the thread itself has, and is called all the same."""

    def test_when_something_dies(self):
        """Who has what a weak reference with a callback is to may wake whom the callback does: he only has to let it die."""
        for name, make in MOURNERS.items():
            with self.subTest(name):
                owner = owner_of()
                things = self.forgotten(lambda: thread_with(functools.partial(make, owner)))
                self.assertEqual(judge(things), [WAITING])
                del owner
                things[0].thing.join(JOIN_SECONDS)
                self.assertFalse(things[0].thing.is_alive())

    def test_when_it_has_died(self):
        """A callback that has been called is not called again."""
        for name, make in MOURNERS.items():
            with self.subTest(name):
                owner = owner_of()
                things = self.forgotten(lambda: thread_with(functools.partial(make, owner), nothing))
                self.assertEqual(judge(things), [WAITING])
                del owner
                gc.collect()  # its class is a cycle
                self.assertEqual(judge(things), [STUCK])

    def test_when_it_was_collected(self):
        """The same where the collector has taken it: then the reference keeps its callback."""
        owner = owner_of()
        owner.itself = owner
        things = self.forgotten(lambda: thread_with(functools.partial(weakref.ref, owner), nothing))
        self.assertEqual(judge(things), [WAITING])
        del owner
        gc.collect()
        self.assertEqual(judge(things), [STUCK])

    def test_when_nobody_can_let_it_die(self):
        """A callback at the death of what the thread alone has is called by nobody, and a reference may have none."""
        owner = owner_of()
        for name, make in {
            "its own": lambda function: [mine := owner_of(), weakref.ref(mine, function)],
            "a weak set": lambda function: weakref.WeakSet([function]),
            "no callback": lambda function: labelled(owner, function),
        }.items():
            with self.subTest(name):
                self.assertEqual(judge(self.forgotten(lambda make=make: thread_with(make))), [STUCK])
        del make

    def test_by_its_address(self):
        """C may have the address of a callback of ctypes, and call it, whoever keeps it."""
        things = self.forgotten(lambda: thread_with(CALLBACK))
        self.assertEqual(judge(things), [WAITING])
        callback = sys._current_frames()[things[0].thing.ident]
        while callback.f_code is not wait_with.__code__:
            callback = callback.f_back
        callback = ctypes.cast(callback.f_locals["has"][0], ctypes.c_void_p)
        CALLBACK(callback.value)()
        things[0].thing.join(JOIN_SECONDS)
        self.assertFalse(things[0].thing.is_alive())

    def test_by_another_address(self):
        """A callback that leads to something else is no way to wake, nor what a function of C hands its results to."""
        for name, make in {
            "another callback": lambda function: (CALLBACK(print), function),
            "a function of C": lambda function: fill_errcheck(CALLBACK(0), function),
        }.items():
            with self.subTest(name):
                self.assertEqual(judge(self.forgotten(lambda make=make: thread_with(make))), [STUCK])

    @unittest.skipUnless(importlib.util.find_spec("cffi"), "cffi is not installed: it comes with other packages only")
    def test_by_cffi(self):
        """The same of a callback and a handle of cffi."""
        ffi = need("cffi").FFI()
        for name, make, expected in (
            ("a callback", functools.partial(ffi.callback, "void()"), WAITING),
            ("a handle", ffi.new_handle, WAITING),
            ("another callback", lambda function: (ffi.callback("void()", print), function), STUCK),
        ):
            with self.subTest(name):
                self.assertEqual(judge(self.forgotten(lambda make=make: thread_with(make))), [expected])


def fill_errcheck(function, check):
    """A function of C whose results are checked."""
    function.errcheck = check
    return function


class FirstSightTests(VerdictTestCase):
    def test_a_thread_that_runs(self):
        """A thread in the middle of its own code is running."""
        begun, end = threading.Event(), []

        def spin():
            begun.set()
            while not end:
                pass

        thread = threading.Thread(target=spin)
        thread.start()
        begun.wait()
        while sys._current_frames()[thread.ident].f_code is not spin.__code__:
            pass  # until it has left begun.set()
        verdicts = judge([Thing("thread", thread)])
        end.append(True)
        thread.join()
        self.assertEqual(verdicts, [RUNNING])

    def test_a_thread_that_sleeps(self):
        """A thread in a call of C is waiting."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        thread = threading.Thread(target=lambda: os.read(read, 1))
        things = start(thread)
        verdicts = judge(things)
        os.write(write, b"x")
        thread.join()
        os.close(write)
        self.assertEqual(verdicts, [WAITING])

    def test_a_thread_without_a_frame(self):
        """Of a thread that cannot be seen nothing is known."""
        self.assertEqual(judge([Thing("thread", threading.Thread())]), [("unknown", 0)])

    def test_other_kinds(self):
        """A process is running, a timer waiting; what is no activity has no verdict."""
        things = [Thing(kind, object()) for kind in ("process", "timer", "file", "exception", "environ")]
        self.assertEqual(judge(things), [RUNNING, WAITING, ("", 0), ("", 0), ("", 0)])


async def wait_for(awaitable):
    """Wait."""
    return await awaitable


async def forgets_future():
    """Wait for a future that nobody has."""
    await asyncio.get_running_loop().create_future()


async def forgets_event():
    """Wait for an event that nobody has."""
    await asyncio.Event().wait()


async def forgets_queue():
    """Wait for a queue that nobody has."""
    await asyncio.Queue().get()


async def forgets_lock():
    """Wait for a lock that it holds itself."""
    lock = asyncio.Lock()
    async with lock:
        await lock.acquire()


async def forgets_condition():
    """Wait for a condition that nobody has."""
    condition = asyncio.Condition()
    async with condition:
        await condition.wait()


async def forgets_task():
    """Wait for a task that is stuck."""
    await asyncio.ensure_future(forgets_event())


async def forgets_shielded():
    """Wait for a future that nobody has, behind a shield and a gather."""
    await asyncio.gather(asyncio.shield(asyncio.get_running_loop().create_future()))


async def forgets_stream():
    """Wait for the end of a stream that nobody feeds."""
    await asyncio.StreamReader().read()


STUCK_TASKS = (
    forgets_future, forgets_event, forgets_queue, forgets_lock, forgets_condition, forgets_task, forgets_shielded,
    forgets_stream,
)  # fmt: skip


async def swallows_once():
    """Swallow one cancellation."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(1000)
    await asyncio.sleep(1000)


class TaskTests(VerdictTestCase):
    def setUp(self):
        super().setUp()
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.close)

    def close(self):
        """End all tasks of the loop."""
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.turn(3)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True)) if tasks else None
        self.loop.close()

    def turn(self, number=5):
        """Let the loop take turns."""
        for _ in range(number):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def pending(self, coroutine):
        """Make a task that waits; return all tasks of the loop as things."""
        self.loop.create_task(coroutine)
        del coroutine
        self.turn()
        return [Thing("task", task) for task in asyncio.all_tasks(self.loop)]

    @proves
    def test_each_wait(self):
        """A task that waits for what nobody has is stuck, in debug mode or not."""
        for function in STUCK_TASKS:
            for debug in (False, True):
                with self.subTest(function.__name__, debug=debug):
                    self.loop.set_debug(debug)
                    things = self.pending(function())
                    self.assertEqual({*judge(things)}, {STUCK})
                    for _, task in things:
                        task.cancel()
                    del task
                    self.turn()

    def test_a_sleep(self):
        """A task that sleeps is waiting, and so is one that waits for it."""
        things = self.pending(wait_for(self.loop.create_task(asyncio.sleep(1000))))
        self.assertEqual(judge(things), [WAITING, WAITING])

    def test_a_task_that_is_about_to_run(self):
        """A task that has yet to take its next step is running."""
        self.loop.create_task(asyncio.sleep(0))
        self.assertEqual(judge([Thing("task", task) for task in asyncio.all_tasks(self.loop)]), [RUNNING])

    @proves
    def test_what_somebody_has(self):
        """Whoever has the future, the task, its coroutine or an inner one may wake it; when he lets go it is stuck."""
        for name, keep in {
            "future": lambda task: task._fut_waiter,
            "a callback": lambda task: task._fut_waiter.set_result,
            "task": lambda task: task,
            "weakly": weakref.ref,
            "coroutine": lambda task: task.get_coro(),
            "frame": lambda task: task.get_coro().cr_frame,
            "inner coroutine": lambda task: task.get_coro().cr_await,
            "handle": lambda task: self.loop.call_later(1000, task._fut_waiter.cancel),
            "another task": lambda task: self.loop.create_task(wait_for(asyncio.sleep(1000, task))),
        }.items():
            with self.subTest(name):
                things = self.pending(forgets_event())
                kept.append(keep(things[0].thing))
                self.turn()
                self.assertEqual(judge(things), [WAITING])
                for thing in kept:
                    if isinstance(thing, asyncio.Handle) or (isinstance(thing, asyncio.Task) and name != "task"):
                        thing.cancel()
                self.turn()
                self.loop._scheduled.clear()
                thing = None
                kept.clear()
                self.assertEqual(judge(things), [STUCK])
                things[0].thing.cancel()
                self.turn()

    @proves
    def test_a_task_and_a_thread(self):
        """A thread that waits for a task's future, and a task that waits for the thread, are stuck together."""
        future = concurrent.futures.Future()
        things = self.pending(wait_for(asyncio.wrap_future(future, loop=self.loop)))
        kept.append(future)
        self.assertEqual(judge(things), [WAITING])
        kept.clear()
        del future
        self.assertEqual(judge(things), [STUCK])

    @proves
    def test_a_callback(self):
        """What is called when something dies may wake a task, until it has died, and so may what C has the address of."""
        for name, make in MOURNERS.items():
            with self.subTest(name):
                owner = owner_of()
                things = self.pending(await_with(functools.partial(make, owner)))
                self.assertEqual(judge(things), [WAITING])
                del owner
                gc.collect()
                self.assertEqual(judge(things), [STUCK])
                things.pop().thing.cancel()
                self.turn()
        self.assertEqual(judge(self.pending(await_with(CALLBACK))), [WAITING])

    def test_cancelled_by_the_test(self):
        """A task that swallowed a cancellation ignores it, where Python counts them: from 3.11."""
        things = self.pending(swallows_once())
        things[0].thing.cancel()
        self.assertEqual(judge(things), [WAITING])  # it has not been told
        self.turn()
        self.assertEqual(judge(things), [("ignores cancellation", 1) if sys.version_info >= (3, 11) else WAITING])


class MessageTests(VerdictTestCase):
    """What a reader sees."""

    maxDiff = None

    @proves
    def test_stuck(self):
        """The message of a stuck leak says so in one line, and its data too."""

        def leaks(test):
            thread = threading.Thread(target=wait_on_event, args=(threading.Event(),), name="reader", daemon=True)
            thread.start()  # starts
            self.addCleanup(wake, thread.ident)

        outcome = run_inner(leaks)
        self.assertEqual([leak.verdict for leak in outcome.leaks], ["stuck"])
        self.assertEqual(
            outcome.messages,
            [
                "1 leak after test_0 (inner.Inner), waited N s\n"
                "\n"
                "  thread 'reader' (daemon, alive)\n"
                f"    created at  {place(leaks, 'starts')}\n"
                f"    now at      {place(wait_on_event, 'waits')}, waiting in threading.Event.wait\n"
                "    verdict     stuck: nothing alive can reach what it waits on\n"
                "    fix         stop the thread's loop and join() it in a cleanup: set() the Event that it waits for\n"
                "\n"
                "To allow one: leak_ignore = {\"thread:reader\": \"why\"}"
            ],
        )

    def test_switched_off(self):
        """With leak_verdicts = False nothing is proved."""

        def leaks(test):
            thread = threading.Thread(target=wait_on_event, args=(threading.Event(),), daemon=True)
            thread.start()
            self.addCleanup(wake, thread.ident)

        self.assertEqual([leak.verdict for leak in run_inner(leaks, leak_verdicts=False).leaks], ["waiting"])

    def test_kept_by_the_test(self):
        """What the test itself still has is waiting, of which the message says nothing."""

        def leaks(test):
            test.event = threading.Event()
            thread = threading.Thread(target=wait_on_event, args=(test.event,), daemon=True)
            thread.start()
            self.addCleanup(wake, thread.ident)

        outcome = run_inner(leaks)
        self.assertEqual([leak.verdict for leak in outcome.leaks], ["waiting"])
        self.assertNotIn("    verdict ", outcome.messages[0])

    @proves
    def test_a_task(self):
        """A forgotten task is stuck, a sleeping one waiting, and one that cannot be cancelled says how often it was."""

        async def leaks(test):
            tasks = [asyncio.ensure_future(f()) for f in (forgets_event, swallows_once, ignores_all)]
            for task, name in zip(tasks, "abc"):
                task.set_name(name)
            test.kept = tasks[1:]
            await asyncio.sleep(0)

        gc.disable()  # to Python a task that nobody can wake is garbage, until the check has seen it
        self.addCleanup(gc.enable)
        outcome = run_inner_async(leaks)
        verdicts = {leak.name: (leak.verdict, leak.cancels) for leak in outcome.leaks}
        self.assertEqual(verdicts, {"a": STUCK, "b": WAITING, "c": ("ignores cancellation", 6)})
        self.assertIn("    verdict     ignores cancellation: went on after 6 cancels\n", outcome.messages[0])

    def test_ended_late(self):
        """What ends between the grace and the report is no leak; the report has it as slow."""
        threads = []

        def leaks(test):
            threads.append(BlockedThread(name="slow").start_in(self))

        collect = gc.collect

        def end():
            while threads:
                threads.pop().end()
            return collect()

        with mock.patch.object(_compat, "collect", end):
            outcome = run_inner(leaks, grace=0)
        self.assertEqual((outcome.leaks, outcome.counts()), ([], (0, 0)))
        late = [(leak.name, leak.verdict, leak.counted) for report in outcome.reports for leak in report.ended_late]
        self.assertEqual(late, [("slow", "ended late", False)])


async def ignores_all():
    """Swallow every cancellation."""
    ends = 50
    while ends:
        ends -= 1
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)


if __name__ == "__main__":
    unittest.main()
