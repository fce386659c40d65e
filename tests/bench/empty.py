"""The cost of a guard on a clean, empty test: sync and async, against the plain one and the count-and-sleep pattern."""

import threading
import time
import unittest

from leakguard import LeakGuardAsyncTestCase, LeakGuardMixin
from leakguard.runner import GuardedRunner
from tests.bench.measure import Side, medians, run_by, run_guard, tests_of


class Plain(unittest.TestCase):
    def test(self):
        pass


class Guarded(LeakGuardMixin, Plain):
    pass


class CountAndSleep(unittest.TestCase):
    """The pattern that leakguard replaces: count, and when the test is over sleep 50 ms and count again."""

    def setUp(self):
        before = threading.active_count()

        def check():
            time.sleep(0.05)
            self.assertLessEqual(threading.active_count(), before + 2)

        self.addCleanup(check)

    def test(self):
        pass


class PlainAsync(unittest.IsolatedAsyncioTestCase):
    async def test(self):
        pass


class GuardedAsync(LeakGuardMixin, PlainAsync):
    pass


class OwnAsync(LeakGuardAsyncTestCase):
    test = PlainAsync.test


class GuardedAsyncPlainLoop(LeakGuardAsyncTestCase):
    loop_debug = False

    test = PlainAsync.test


def sync(quick):
    """One empty unittest.TestCase test."""
    number, rounds = (200, 3) if quick else (2000, 31)
    taken = medians(
        [
            Side("plain", tests_of(Plain), number=number),
            Side("mixin", tests_of(Guarded), number=number, context=run_guard),
            Side("plain, text result", tests_of(Plain, run_by(unittest.TextTestRunner)), number=number),
            Side("runner", tests_of(Plain, run_by(GuardedRunner)), number=number),
            Side("count and sleep", tests_of(CountAndSleep), number=2),
        ],
        rounds=rounds,
    )
    plain, text = taken["plain"], taken["plain, text result"]
    mixin_added, runner_added = taken["mixin"] - plain, taken["runner"] - text
    return [
        ("empty unittest.TestCase test", plain, "us"),
        ("the same with LeakGuardMixin", taken["mixin"], "us"),
        ("added by the mixin / the empty test", mixin_added / plain, "ratio"),
        ("empty test under unittest's runner", text, "us"),
        ("the same under leakguard's runner", taken["runner"], "us"),
        ("added by the runner / the empty test", runner_added / text, "ratio"),
        ("count, sleep 50 ms, count", taken["count and sleep"], "us"),
        ("added by count and sleep / added by the mixin", (taken["count and sleep"] - plain) / mixin_added, "ratio"),
    ]


def asynchronous(quick):
    """One empty unittest.IsolatedAsyncioTestCase test."""
    number, rounds = (10, 3) if quick else (100, 31)
    taken = medians(
        [
            Side("plain", tests_of(PlainAsync), number=number),
            Side("mixin", tests_of(GuardedAsync), number=number, context=run_guard),
            Side("own case", tests_of(OwnAsync), number=number, context=run_guard),
            Side("no debug", tests_of(GuardedAsyncPlainLoop), number=number, context=run_guard),
        ],
        rounds=rounds,
    )
    plain = taken["plain"]
    return [
        ("empty IsolatedAsyncioTestCase test", plain, "us"),
        ("the same with LeakGuardMixin", taken["mixin"], "us"),
        ("added by the mixin / the empty test", (taken["mixin"] - plain) / plain, "ratio"),
        ("the same as a LeakGuardAsyncTestCase", taken["own case"], "us"),
        ("added by that / the empty test", (taken["own case"] - plain) / plain, "ratio"),
        ("LeakGuardAsyncTestCase, loop_debug = False", taken["no debug"], "us"),
        ("that / the empty, unguarded test", taken["no debug"] / plain, "ratio"),
    ]
