"""Random graphs of objects, threads and tasks of which the truth is known: nothing is said to be stuck that is not.

``python -m tests.random_graphs 10000 [seed]`` makes that many graphs and prints how many threads and tasks were in
them, how many of those nobody can wake, how many of these are said to be stuck, and how many are so wrongly. It ends
with status 1 if there is one.

A graph has locks and futures, boxes of many kinds that hold each other and these, themselves or in the
callback of a weak reference, threads and tasks that wait for one of them and have some boxes in their variables, and roots
of many kinds that hold some. The truth comes from the plan of the graph, not from Python's heap: a waiter can be woken if a
root, or a waiter that can be woken, leads to what it waits for. Whoever has what a weak reference is to may let it die, and
so leads to what is in the callback."""

import asyncio
import collections
import contextvars
import ctypes
import functools
import gc
import random
import sys
import threading
import types
import weakref
from unittest import mock

from leakguard import verdict
from leakguard._compat import pause
from leakguard.bytecode import instructions
from leakguard.verdict import Thing, judge


class Box:
    """An object with attributes."""


class Slots:
    """An object with one slot."""

    __slots__ = ("content", "__weakref__")


def _attribute(things):
    box = Box()
    box.content = things
    return box


def _slot(things):
    box = Slots()
    box.content = things
    return box


def _cell(things):
    return lambda: things


def _default(things):
    def function(content=things):
        return content

    return function


def _generator(things):
    def generate(content):
        yield
        content.clear()

    generator = generate(things)
    next(generator)
    return generator


def _coroutine(things):
    @types.coroutine
    def stop():
        yield

    async def wait(content):
        await stop()
        content.clear()

    coroutine = wait(things)
    coroutine.send(None)
    return coroutine


def _traceback(things):
    def fail(content):
        raise ValueError

    try:
        fail(things)
    except ValueError as error:
        return error.with_traceback(error.__traceback__.tb_next)


def _context(things):
    context = contextvars.Context()
    context.run(contextvars.ContextVar("content").set, things)
    return context


KINDS = (
    lambda things: things,
    lambda things: {"content": things},
    lambda things: collections.deque([things]),
    lambda things: functools.partial(print, things),
    lambda things: things.append,
    lambda things: iter([things]),
    lambda things: map(print, [things]),
    lambda things: types.SimpleNamespace(content=things),
    ctypes.py_object,
    _attribute, _slot, _cell, _default, _generator, _coroutine, _traceback, _context,
)  # fmt: skip
"""How a box may hold a list of things."""

WEAKLY = (9, 10, 11, 12, 13)
"""The places of those to which there may be a weak reference."""

ALIVE = -1
"""The place of what is always alive."""

_alive = Box()


def _mourn(thing, reference):
    """The callback of a weak reference."""


class Plan:
    """A graph as numbers: who holds whom, what is waited for by whom, and whom the roots hold."""

    def __init__(self, chance, waiters):
        boxes, waits = chance.randint(1, 12), chance.randint(1, waiters)
        self.kinds = [chance.randrange(len(KINDS)) for _ in range(boxes)]
        self.is_task = [chance.random() < 0.5 for _ in range(waits)]
        nodes = boxes + waits
        """Boxes, then what is waited for, by numbers."""
        self.holds = [[t for t in range(nodes) if chance.random() < 1.3 / nodes] for _ in range(boxes)]
        self.weakly = [[t for t in range(boxes) if chance.random() < 0.04] for _ in range(boxes)]
        self.weakly = [[t for t in weak if self.kinds[t] in WEAKLY] for weak in self.weakly]
        self.has = [[b for b in range(boxes) if chance.random() < 0.8 / boxes] for _ in range(waits)]
        self.roots = [t for t in range(nodes) if chance.random() < chance.choice((0.0, 0.05, 0.25))]
        self.root_kinds = [chance.randrange(len(ROOTS)) for _ in self.roots]
        for place, node in enumerate(self.roots):
            if self.root_kinds[place] == WEAK and (node >= boxes or self.kinds[node] not in WEAKLY):
                self.root_kinds[place] = 0
        self.ways = [chance.randrange(len(WAYS)) for _ in range(waits)]
        """How a thread comes to its wait."""
        owners = [ALIVE, *(box for box in range(boxes) if self.kinds[box] in WEAKLY)]
        pairs = [(box, target) for box in range(boxes) for target in range(nodes) if chance.random() < 0.015]
        self.mourns = [(box, chance.choice(owners), target) for box, target in pairs]
        """Who holds a weak reference, to whom, and what its callback holds."""
        self.boxes, self.waits = boxes, waits
        for _ in pairs:  # whom nobody holds may be there all the same: a traceback leads to the frame of whoever made it
            held = {*self._held(), ALIVE}
            self.mourns = [one for one in self.mourns if {*one[:2]} <= held]

    def stuck(self):
        """The waiters that nobody can wake."""
        strong = self._held()
        roots = [node for node, kind in zip(self.roots, self.root_kinds) if kind != WEAK or node in strong]
        roots += [target for _, owner, target in self.mourns if owner == ALIVE]
        _, woken = self._reached(roots, strong)
        return {number for number in range(self.waits) if number not in woken}

    def _held(self):
        """The nodes that somebody holds, be it a waiter."""
        roots = [node for node, kind in zip(self.roots, self.root_kinds) if kind != WEAK]
        return self._reached([*roots, *range(self.boxes, self.boxes + self.waits)], range(0))[0]

    def _reached(self, roots, weak):
        """The nodes and the waiters that roots lead to, over weak references to the nodes that are in `weak` only."""
        alive, woken = set(), set()
        waiting = list(roots)
        while waiting:
            node = waiting.pop()
            if node in alive:
                continue
            alive.add(node)
            if node < self.boxes:
                waiting += [*self.holds[node], *(target for target in self.weakly[node] if target in weak)]
                waiting += [target for box, owner, target in self.mourns if box == node or owner == node in weak]
                waiting += [owner for box, owner, _ in self.mourns if box == node and owner in weak]
            else:
                woken.add(node - self.boxes)
                waiting += self.has[node - self.boxes]
        return alive, woken


def _in_c(thing):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    address = id(thing)
    return lambda: ctypes.pythonapi.Py_DecRef(ctypes.cast(address, ctypes.py_object))


class _Holder(threading.Thread):
    """A thread that is alive and holds something: in a variable, or on its stack alone."""

    def __init__(self, thing, on_stack):
        super().__init__(daemon=True)
        self.box, self.begun, self.end, self.on_stack = [thing], threading.Event(), threading.Event(), on_stack

    def run(self):
        """Take it out of the box."""
        if self.on_stack:
            [self.box.pop(), self.begun.set(), self.end.wait()]
        else:
            mine = self.box.pop()
            self.begun.set()
            self.end.wait()
            del mine

    def __call__(self):
        self.end.set()
        self.join()


def _by_thread(thing, on_stack):
    holder = _Holder(thing, on_stack)
    del thing
    holder.start()
    holder.begun.wait()
    return holder


kept = {}


def _kept(thing):
    kept[id(thing)] = thing
    return functools.partial(kept.pop, id(thing))


ROOTS = (
    _kept,
    _kept,
    _in_c,
    lambda thing: _kept(weakref.ref(thing)),
    lambda thing: _by_thread(thing, False),
    lambda thing: _by_thread(thing, True),
    lambda thing: _kept(functools.partial(print, thing)),
    lambda thing: _kept(type("Class", (), {"content": thing})),
)
"""How something may be held by somebody alive; each returns what lets go of it."""

WEAK = 3


def _wait_once(lock, has):
    """The body of a thread: wait for a lock, with what is in `has` in a variable."""
    lock.acquire()


def _wait_inside(lock, has):
    _wait_once(lock, has)


def _wait_by_another_name(lock, has):
    def wait(lock):  # what a call lends to it, from 3.14
        mine = lock
        _wait_once(mine, None)

    wait(lock)


def _wait_by_a_choice(lock, has):
    def wait(lock, has):
        mine, other = (lock, has) if lock else (None, None)
        del lock
        _wait_once(mine, other)

    wait(lock, has)


def _generate(lock, has):
    yield _wait_once(lock, has)


def _wait_in_a_generator(lock, has):
    for _ in _generate(lock, has):
        pass


WAYS = (_wait_once, _wait_once, _wait_once, _wait_inside, _wait_by_another_name, _wait_by_a_choice, _wait_in_a_generator, None)
"""The bodies of threads; None for one whose body is a generator's ``__next__``."""


def _until_blocked(thread):
    """Wait until a thread has come to its wait."""
    while True:
        top = sys._current_frames().get(thread.ident)
        if top is not None and top.f_code is _wait_once.__code__ and top.f_lasti in _CALLS:
            return
        del top
        pause(0.0001)


_CALLS = [one.offset for one in instructions(_wait_once.__code__) if one.opname.startswith("CALL")]


async def _await(future, has):
    """Wait for a future, with what is in `has` in a variable."""
    await future


def build(plan, loop):
    """Make the objects, threads and tasks of a plan; return the waiters as things, and what ends it all."""
    contents = [[] for _ in range(plan.boxes)]
    made = [KINDS[kind](content) for kind, content in zip(plan.kinds, contents)]
    waited = [loop.create_future() if is_task else threading.Lock() for is_task in plan.is_task]
    for lock, is_task in zip(waited, plan.is_task):
        if not is_task:
            lock.acquire()
    everything = made + waited
    for number, content in enumerate(contents):
        content += [everything[target] for target in plan.holds[number]]
        content += [weakref.ref(everything[target]) for target in plan.weakly[number]]
    for box, owner, target in plan.mourns:
        mourned = everything[owner] if owner != ALIVE else _alive
        contents[box].append(weakref.ref(mourned, functools.partial(_mourn, everything[target])))
    things = []
    for number, (thing, is_task) in enumerate(zip(waited, plan.is_task)):
        has = [made[box] for box in plan.has[number]]
        if is_task:
            things.append(Thing("task", loop.create_task(_await(thing, has))))
        else:
            way = WAYS[plan.ways[number]]
            target, given = (way, (thing, has)) if way is not None else (_generate(thing, has).__next__, ())
            thread = threading.Thread(target=target, args=given, daemon=True)
            del target, given
            thread.start()
            things.append(Thing("thread", thread))
    roots = [ROOTS[kind](everything[node]) for node, kind in zip(plan.roots, plan.root_kinds)]
    return things, roots


def end(things, roots, loop):
    """Let go of everything, and end all waiters."""
    for root in roots:
        root()
    for kind, thing in things:
        if kind == "task":
            thing.cancel()
        else:
            lock = sys._current_frames()[thing.ident].f_locals["lock"]
            lock.release()
            del lock
            thing.join()
    _turn(loop)
    _turn(loop)


def _turn(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


class Tally:
    """What came of some graphs."""

    def __init__(self):
        self.graphs = self.waiters = self.stuck = self.found = 0
        self.wrong = []
        self.missed = collections.Counter()

    def __str__(self):
        return (
            f"{self.graphs} graphs, {self.waiters} threads and tasks, {self.stuck} of them stuck: "
            f"{self.found} found ({100 * self.found / max(self.stuck, 1):.1f} %), {len(self.wrong)} wrongly"
        )


def run(number, seed, waiters=4):
    """Judge a number of graphs: one in ten with all of the heap, the others with what was there before frozen.

    The collector does not look at what is frozen, which makes it as quick as the graph is small; to the proof it is
    somebody unknown.
    """
    tally, loop = Tally(), asyncio.new_event_loop()
    freezes = gc.get_freeze_count() == 0  # else somebody has, and wants it to stay so
    no_limit = mock.patch.multiple(verdict, SECONDS=3600.0, SECONDS_IN_ALL=float("inf"), _spent=[0.0])
    try:
        with no_limit:
            for graph in range(number):
                if freezes and graph % 10:
                    gc.freeze()
                _one(tally, loop, f"{seed}/{graph}", waiters)
                if freezes:
                    gc.unfreeze()
    finally:
        loop.close()
    return tally


def _one(tally, loop, seed, waiters):
    plan = Plan(random.Random(seed), waiters)
    things, roots = build(plan, loop)
    _turn(loop)
    for kind, thing in things:
        if kind == "thread":
            _until_blocked(thing)
    kind = thing = None
    gc.collect()  # as a check does: what is garbage is held by nobody
    said = {place for place, (name, _) in enumerate(judge(things)) if name == "stuck"}
    truth = plan.stuck()
    tally.graphs += 1
    tally.waiters += plan.waits
    tally.stuck += len(truth)
    tally.found += len(truth & said)
    tally.wrong += [(seed, place) for place in said - truth]
    end(things, roots, loop)


if __name__ == "__main__":
    TALLY = run(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "0")
    print(f"Python {sys.version.split()[0]}: {TALLY}")
    for seed_of_graph, place_of_waiter in TALLY.wrong:
        print(f"  graph {seed_of_graph}, waiter {place_of_waiter}: said to be stuck")
    sys.exit(bool(TALLY.wrong))
