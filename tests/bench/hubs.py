"""The cost of ``addHub`` beside the hub's own close: against the same close as a cleanup."""

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


class AsyncCleanup(LeakGuardAsyncTestCase):
    async def test(self):
        self.addAsyncCleanup(AsyncHub().close)


class AsyncAdded(LeakGuardAsyncTestCase):
    async def test(self):
        self.addHub(AsyncHub())


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
    cases = {case.__name__: case for case in (Cleanup, Added, AsyncCleanup, AsyncAdded, HundredCleanups, Hundred)}
    taken = medians(
        [Side(name, tests_of(case), number=number, context=run_guard) for name, case in cases.items()], rounds=rounds
    )
    return [
        ("added by addHub to a close as a cleanup, sync", taken["Added"] - taken["Cleanup"], "us"),
        ("added by addHub to a close as a cleanup, async", taken["AsyncAdded"] - taken["AsyncCleanup"], "us"),
        ("added a hub, 100 in one async test", (taken["Hundred"] - taken["HundredCleanups"]) / 100, "us"),
    ]
