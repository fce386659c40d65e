"""Measures a suite: `growth` of threads, tasks and open files over one run, or the `outcomes` of many runs.

python docs/examples/loghub/measure.py growth after
python docs/examples/loghub/measure.py outcomes after --runs 20 --busy
"""

import argparse
import asyncio
import collections
import gc
import io
import os
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPIN = "while True: pass"
STOPPED_AFTER = 300
"""Seconds after which a run is taken for hung."""


def alive():
    """Count what is alive: threads, pending asyncio tasks of every loop, open files (sockets and pipes are files)."""
    tasks = [thing for thing in gc.get_objects() if issubclass(type(thing), asyncio.Task)]
    pending = sum(not task.done() for task in tasks)
    return {"threads": threading.active_count(), "tasks": pending, "files": len(os.listdir("/proc/self/fd")) - 1}


class SampledSuite(unittest.TestSuite):
    """A suite that takes a sample after each test, when the test's own event loop has been closed."""

    samples = []

    def __iter__(self):
        for test in super().__iter__():
            yield test
            if isinstance(test, unittest.TestCase):
                self.samples.append((test.id(), alive()))


def growth(suite, show_all):
    """Run a suite in this process, print what was alive before its first test, at most, and at its end."""
    loader = unittest.TestLoader()
    loader.suiteClass = SampledSuite
    tests = loader.discover(str(HERE / suite), top_level_dir=str(HERE))
    SampledSuite.samples.clear()  # loading looks at the tests, too
    before = alive()
    result = unittest.TextTestRunner(stream=io.StringIO()).run(tests)
    samples = list(SampledSuite.samples)
    gc.collect()
    after = alive()
    if show_all:
        for name, sample in samples:
            print("{threads:>7} threads {tasks:>5} tasks {files:>5} files  ".format(**sample) + name)
    failed = [test.id() for test, _ in [*result.failures, *result.errors]]
    print(f"{suite}: {result.testsRun} tests, {len(failed)} failed", *failed)
    for kind in before:
        most = max(sample[kind] for _, sample in samples)
        print(f"  {kind:<8}{before[kind]:>4} -> {after[kind]:>4}  (at most {most} after a test)")


def outcomes(suite, runs, busy):
    """Run a suite many times, each in a process of its own; print how often it passed, and how long it took."""
    load = os.getloadavg()[0]
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(2 if busy else 0)]
    try:
        done = [outcome(suite) for _ in range(runs)]
    finally:
        for process in spinning:
            process.kill()
            process.wait()
    seconds = sorted(taken for _, _, taken in done)
    counts = collections.Counter(status for status, _, _ in done)
    print(f"{suite}, {'both cores busy' if busy else 'idle'}: " + ", ".join(f"{counts[s]} {s}" for s in sorted(counts)))
    print(f"  seconds: least {seconds[0]:.2f}, median {seconds[len(seconds) // 2]:.2f}, most {seconds[-1]:.2f}")
    print("  load average of the machine: {:.1f} before, {:.1f} after".format(load, os.getloadavg()[0]))
    failed = collections.Counter(name for _, names, _ in done for name in names)
    for name, count in failed.most_common():
        print(f"  {count} x {name}")


def outcome(suite):
    """Run a suite once; return ``passed``, ``failed`` or ``hung``, the tests that failed, and the seconds it took."""
    command = [sys.executable, "-m", "unittest", "discover", "-s", str(HERE / suite), "-t", str(HERE)]
    start = time.perf_counter()
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=STOPPED_AFTER
        )
    except subprocess.TimeoutExpired:
        return "hung", [], time.perf_counter() - start
    taken = time.perf_counter() - start
    lines = done.stdout.decode(errors="replace").splitlines()
    failed = [line for line in lines if line.startswith(("FAIL: ", "ERROR: "))]
    return "passed" if done.returncode == 0 else "failed", failed, taken


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("growth", help="sample after each test of one run")
    one.add_argument("--all", action="store_true", help="print every sample")
    many = commands.add_parser("outcomes", help="run many times")
    many.add_argument("--runs", type=int, default=20, metavar="N", help="how often (default: 20)")
    many.add_argument("--busy", action="store_true", help="keep two cores busy meanwhile")
    for command in (one, many):
        command.add_argument("suite", choices=("before", "after"))
    arguments = parser.parse_args()
    if arguments.command == "growth":
        growth(arguments.suite, arguments.all)
    else:
        outcomes(arguments.suite, arguments.runs, arguments.busy)


if __name__ == "__main__":
    main()
