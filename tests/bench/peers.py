"""Other tools side by side: what each adds to a clean, empty function, where it can be imported."""

import asyncio
import importlib

from leakguard import LeakGuard
from tests.bench.measure import Side, medians, run_guard


def inside(make):
    """Return what enters and leaves a context manager `number` times."""

    def prepare(number):
        def work():
            for _ in range(number):
                with make():
                    pass

        return work

    return prepare


def inside_async(make):
    """The same for an asynchronous one, in one loop."""

    def prepare(number):
        async def enter():
            for _ in range(number):
                async with make():
                    pass

        return lambda: asyncio.run(enter())

    return prepare


def peers(quick):
    """A clean block in each tool's own guard."""
    rounds = 3 if quick else 11
    sides = [
        Side("leakguard: with LeakGuard()", inside(LeakGuard), number=200, context=run_guard),
        Side("leakguard: async with LeakGuard()", inside_async(LeakGuard), number=200, context=run_guard),
    ]
    missing = []
    pyleak = imported("pyleak", missing)
    if pyleak is not None:
        sides.append(Side("pyleak: with no_thread_leaks()", inside(pyleak.no_thread_leaks), number=3))
        sides.append(Side("pyleak: async with no_task_leaks()", inside_async(pyleak.no_task_leaks), number=3))
    checks = imported("distributed.utils_test", missing)
    if checks is not None:
        sides.append(Side("distributed: with check_thread_leak()", inside(checks.check_thread_leak), number=50))
        sides.append(Side("distributed: with check_process_leak()", inside(checks.check_process_leak), number=20))
    plugin = imported("pytest_threadleak", missing)
    if plugin is not None:
        hook = around_item(plugin.pytest_runtest_call)
        sides.append(Side("pytest-threadleak: its hook around a test", hook, number=500))
    rows = [(name, taken, "us") for name, taken in medians(sides, rounds=rounds).items()]
    return rows + [(name, None, "not installed") for name in missing]


def imported(name, missing):
    """Return a module; None if it cannot be imported, which is noted."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing.append(name.partition(".")[0])
        return None


class Item:
    """As much of a pytest item as pytest-threadleak asks for, so that pytest's own time is left out."""

    def __init__(self):
        self.config = self

    def get_closest_marker(self, name):
        return None

    def getoption(self, name):
        return True

    def getini(self, name):
        return ""


def around_item(hook):
    """Return what runs a hook wrapper of pytest's `number` times around nothing."""

    def prepare(number):
        item = Item()

        def work():
            for _ in range(number):
                for _ in hook(item):
                    pass

        return work

    return prepare
