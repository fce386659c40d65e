"""The cost of a guard on an empty test while many threads or tasks are alive."""

import asyncio
import contextlib
import threading

from tests.bench.empty import Guarded, Plain
from tests.bench.measure import Side, medians, run_guard, tests_of


@contextlib.contextmanager
def live_threads(number):
    """So many threads, all blocked."""
    release = threading.Event()
    previous = threading.stack_size(256 * 1024)
    try:
        threads = [threading.Thread(target=release.wait) for _ in range(number)]
        for thread in threads:
            thread.start()
    finally:
        threading.stack_size(previous)
    try:
        yield
    finally:
        release.set()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def live_tasks(number):
    """So many tasks, all waiting, on a loop of its own; yields the loop."""
    loop = asyncio.new_event_loop()

    async def wait():
        await asyncio.Event().wait()

    async def begin():
        tasks = [asyncio.ensure_future(wait()) for _ in range(number)]
        await asyncio.sleep(0)
        return tasks

    async def end(tasks):
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    try:
        tasks = loop.run_until_complete(begin())
        yield loop
        loop.run_until_complete(end(tasks))
    finally:
        loop.close()


def threads(quick):
    """An empty sync test with the mixin, so many threads alive before it."""
    rows = []
    for alive in (0, 10, 100) if quick else (0, 10, 100, 1000):
        with run_guard(), live_threads(alive):
            taken = both(quick)
        rows.append((f"added with {alive:,} live threads", taken["mixin"] - taken["plain"], "us"))
    return rows


def tasks(quick):
    """An empty sync test with the mixin, so many tasks alive before it, against one asyncio.all_tasks()."""
    rows = []
    for alive in (0, 100) if quick else (0, 100, 1000, 10000):
        with run_guard(), live_tasks(alive) as loop:

            def ask(number):
                def work():
                    for _ in range(number):
                        asyncio.all_tasks(loop)

                return work

            taken = both(quick, Side("all_tasks", ask, number=10 if quick else 20))
        added = taken["mixin"] - taken["plain"]
        rows.append((f"added with {alive:,} live tasks", added, "us"))
        if alive:
            rows.append((f"one asyncio.all_tasks() of {alive:,}", taken["all_tasks"], "us"))
            rows.append((f"added / asyncio.all_tasks(), {alive:,} tasks", added / taken["all_tasks"], "ratio"))
    return rows


def both(quick, *more):
    """Measure the plain and the guarded test, and perhaps more."""
    number, rounds = (20, 3) if quick else (50, 31)
    sides = [Side("plain", tests_of(Plain), number=number), Side("mixin", tests_of(Guarded), number=number)]
    return medians([*sides, *more], rounds=rounds)
