"""The cost of ``addHub`` beside the hub's own close: against the same close as a cleanup."""

import asyncio
import statistics
import time
import unittest

from leakguard import LeakGuardAsyncTestCase, LeakGuardMixin
from tests.bench.measure import Side, medians, run_guard, tests_of


class Hub:
    def close(self):
        pass


class AsyncHub:
    async def close(self):
        pass


class Cleanup(LeakGuardMixin, unittest.TestCase):
    def test(self):
        self.addCleanup(Hub().close)


class Added(LeakGuardMixin, unittest.TestCase):
    def test(self):
        self.addHub(Hub())


class Turning:
    async def close(self):
        await asyncio.sleep(0)


class Timed(LeakGuardAsyncTestCase):
    """Measures one way to have a hub closed: what it takes to say so, and its cleanup."""

    seconds = []
    kind, unrelated = AsyncHub, 0

    def add(self, hub):
        raise NotImplementedError

    async def test(self):
        over = asyncio.Event()
        others = [asyncio.ensure_future(over.wait()) for _ in range(self.unrelated)]
        await asyncio.sleep(0)
        self.addCleanup(over.set)
        self.addCleanup(self.end)
        hub = self.kind()
        start = time.perf_counter()
        self.add(hub)
        self.taken = time.perf_counter() - start
        del hub, others
        self.addCleanup(self.begin)

    def begin(self):
        self.begun = time.perf_counter()

    def end(self):
        self.seconds.append(self.taken + time.perf_counter() - self.begun)


class AsyncCleanup(Timed):
    def add(self, hub):
        self.addAsyncCleanup(hub.close)


class AsyncAdded(Timed):
    def add(self, hub):
        self.addHub(hub)


def added(rounds, number, **attributes):
    """Return how many microseconds `addHub` adds to the same close as a cleanup, by the medians of single tests."""
    cases = [type(base.__name__, (base,), {"seconds": [], **attributes}) for base in (AsyncCleanup, AsyncAdded)]
    medians([Side(case.__name__, tests_of(case), number=number, context=run_guard) for case in cases], rounds=rounds)
    cleanup, hub = (statistics.median(case.seconds) for case in cases)
    return (hub - cleanup) * 1e6


class Hundred(LeakGuardAsyncTestCase):
    async def test(self):
        for _ in range(100):
            self.addHub(AsyncHub())


class HundredCleanups(LeakGuardAsyncTestCase):
    async def test(self):
        for _ in range(100):
            self.addAsyncCleanup(AsyncHub().close)


def hubs(quick):
    """One hub with a trivial close: as a cleanup, and by addHub."""
    rounds, number = (3, 10) if quick else (31, 100)
    cases = {case.__name__: case for case in (Cleanup, Added, HundredCleanups, Hundred)}
    taken = medians(
        [Side(name, tests_of(case), number=number, context=run_guard) for name, case in cases.items()], rounds=rounds
    )
    rows = [("added by addHub to a close as a cleanup, sync", taken["Added"] - taken["Cleanup"], "us")]
    for debug in (True, False):
        mode = "debug mode" if debug else "loop_debug = False"
        for title, attributes in (
            (f"the same async, {mode}", {}),
            (f"the same async, {mode}, close takes a turn", {"kind": Turning}),
            (f"the same async, {mode}, 500 unrelated tasks", {"unrelated": 500}),
        ):
            times = (rounds, 2) if "unrelated" in attributes else (rounds, number // 5)
            rows.append((title, added(*times, loop_debug=debug, **attributes), "us"))
    return rows + [("added a hub, 100 in one async test", (taken["Hundred"] - taken["HundredCleanups"]) / 100, "us")]
