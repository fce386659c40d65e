"""Other tools side by side: what each adds to a clean, empty function, where it can be imported."""

import asyncio
import importlib
import os
import statistics
import subprocess
import sys
import tempfile
import time

from leakguard import LeakGuard
from tests.bench.measure import Side, medians, run_guard

TESTS = 500


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
    rows = [(name, taken, "us") for name, taken in medians(sides, rounds=rounds).items()]
    if imported("pytest", missing) is not None and imported("pytest_threadleak", missing) is not None:
        rows.append(("pytest-threadleak: one clean test, added", by_pytest(1 if quick else 5), "us"))
    return rows + [(name, None, "not installed") for name in missing]


def imported(name, missing):
    """Return a module; None if it cannot be imported, which is noted."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing.append(name.partition(".")[0])
        return None


def by_pytest(rounds):
    """What pytest-threadleak adds to one test, by runs of pytest with and without it."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "test_empty.py"), "w", encoding="utf-8") as file:
            file.writelines(f"def test_{number}(): pass\n" for number in range(TESTS))
        taken = {"true": [], "false": []}
        for _ in range(rounds):
            for wanted, seconds in taken.items():
                start = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", f"threadleak={wanted}", folder],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd=folder,
                    check=True,
                )
                seconds.append(time.perf_counter() - start)
    return (statistics.median(taken["true"]) - statistics.median(taken["false"])) / TESTS * 1e6
