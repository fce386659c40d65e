"""The cost of a proof that a leak is stuck: paid once a check, after a leak is certain."""

import gc
import statistics
import threading
import time
from unittest import mock

from leakguard import verdict
from leakguard.verdict import judge
from tests.forgotten import start, wait_on_event, wake


def verdicts(quick):
    """A proof in heaps of some size: of a thread that is stuck, and of one that somebody can still wake."""
    rows = []
    for objects in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000):
        heap = [[number, []] for number in range(objects // 2)]
        gc.collect()
        for name, keeps in (("stuck", False), ("waiting", True)):
            rows.append((f"{objects:,} more objects, {name}", _milliseconds(name, keeps, 3 if quick else 9), "ms"))
        del heap
    return rows


def _milliseconds(expected, keeps, rounds):
    event = threading.Event()
    thread = threading.Thread(target=wait_on_event, args=(event,))
    things = start(thread)
    ident, kept = thread.ident, [event] if keeps else []
    del thread, event
    taken = []
    try:
        with mock.patch.object(verdict, "_spent", [0.0]):
            for _ in range(rounds):
                begun = time.perf_counter()
                found = judge(things)
                taken.append((time.perf_counter() - begun) * 1e3)
                assert found == [(expected, 0)], found
    finally:
        wake(ident)
        kept.clear()
    return statistics.median(taken)
