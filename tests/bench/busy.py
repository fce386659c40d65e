"""The cost where a test does start something: starting threads, and reporting a thousand leaked tasks."""

import asyncio
import statistics
import threading
import unittest

from leakguard import LeakGuardAsyncTestCase
from tests.bench.measure import Side, medians, run_guard, timed


def start_all(number):
    """Return what starts so many threads that end at once, and joins each."""
    threads = [threading.Thread(target=int) for _ in range(number)]

    def work():
        for thread in threads:
            thread.start()
            thread.join()

    return work


def no_thread(self):
    """Stand in for Thread.start, so that the hook alone is measured."""


def starts(quick):
    """Starting 1,000 threads, with and without a guard that is active."""
    number, rounds = (100, 3) if quick else (1000, 21)
    taken = medians(
        [
            Side("bare", start_all, number=number),
            Side("hooked", start_all, number=number, context=run_guard),
        ],
        rounds=rounds,
    )
    return [
        ("start and join one thread", taken["bare"], "us"),
        ("the same with a guard active", taken["hooked"], "us"),
        ("added to one start, the hook alone", hook_alone(number, rounds), "us"),
    ]


def hook_alone(number, rounds):
    """The microseconds that the hook adds to one start, with a start that does nothing."""

    def prepare(count):
        threads = [threading.Thread(target=int) for _ in range(count)]

        def work():
            for thread in threads:
                thread.start()

        return work

    original = threading.Thread.start
    threading.Thread.start = no_thread
    try:
        sides = [
            Side("bare", prepare, number=number),
            Side("hooked", prepare, number=number, context=run_guard),
        ]
        taken = medians(sides, rounds=rounds)
    finally:
        threading.Thread.start = original
    return taken["hooked"] - taken["bare"]


class Leaking(LeakGuardAsyncTestCase):
    """A test that leaves 1,000 tasks behind."""

    leak_grace = 0.5

    async def test(self):
        asyncio.get_running_loop().slow_callback_duration = 60.0  # seconds: debug mode's log is not what is measured
        self.tasks = [asyncio.ensure_future(asyncio.Event().wait()) for _ in range(1000)]


def leaks(quick):
    """One async test that leaks 1,000 tasks."""
    taken = []
    with run_guard():
        for _ in range(1 if quick else 5):
            result = unittest.TestResult()
            taken.append(timed(lambda number: lambda: Leaking("test").run(result), 1))
            if not (len(result.failures) == 1 and "1000 leaks after test" in result.failures[0][1]):
                raise AssertionError(f"1,000 leaks must be reported (got {result.failures or result.errors})")
    return [
        ("a test that leaks 1,000 tasks, from run to report", statistics.median(taken), "s"),
        ("beyond the grace", statistics.median(taken) - Leaking.leak_grace, "s"),
    ]
