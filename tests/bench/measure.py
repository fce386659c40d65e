"""Measure sides against each other in one run: alternating, medians, the collector off and frozen on all alike."""

import contextlib
import gc
import io
import statistics
import time
import unittest

from leakguard.guard import Guard, Subject
from leakguard.policy import resolve


class Side:
    """One way to do a thing: `run` does it `number` times, inside `context`."""

    def __init__(self, name, run, *, number, context=contextlib.nullcontext):
        self.name, self.run, self.number, self.context = name, run, number, context


def medians(sides, *, rounds):
    """Return name -> median microseconds of one time, each side measured once a round, after one round for nothing."""
    taken = {side.name: [] for side in sides}
    for number in range(rounds + 1):
        for side in sides:
            with side.context():
                seconds = timed(side.run, side.number)
            if number:
                taken[side.name].append(seconds / side.number * 1e6)
    return {name: statistics.median(values) for name, values in taken.items()}


clock = [time.perf_counter]
"""What is measured by; ``--cpu`` takes the time of the processor, which other work on the machine disturbs less."""


def timed(run, number):
    """Return the seconds that `run` takes; what it needs is made before, by the call that returns the work."""
    work = run(number)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        start = clock[0]()
        work()
        return clock[0]() - start
    finally:
        gc.enable()
        gc.unfreeze()


@contextlib.contextmanager
def run_guard():
    """The guard of a whole run, as the runner has it around every test."""
    guard = Guard("run", Subject("unattributed", "the run"), resolve())
    guard.begin()
    try:
        yield
    finally:
        guard.close()


def run_plainly(suite):
    """Run a suite with a result that prints nothing."""
    return suite.run(unittest.TestResult())


def run_by(runner):
    """Return what runs a suite by a runner of this class, which prints nothing."""
    return lambda suite: runner(stream=io.StringIO(), verbosity=0).run(suite)


def tests_of(case, run=run_plainly):
    """Return what runs a class of `number` tests, each an instance of its own, class fixtures included."""

    def prepare(number):
        suite = unittest.TestSuite(case("test") for _ in range(number))

        def work():
            result = run(suite)
            if result.testsRun != number or not result.wasSuccessful():
                raise AssertionError(f"the tests of {case.__name__} must pass (got {result})")

        return work

    return prepare
