"""Records of runs that never were, for the tests and the bench of the reports."""

import random

from leakguard.model import Leak, LeakReport
from leakguard.record import RunRecord, TestRecord

KINDS = (
    ("thread", "daemon, alive", "queue.Queue.get", "stop the thread's loop and join() it in a cleanup"),
    ("task", "pending", "asyncio.sleep", "cancel() it and await it, or own it with asyncio.TaskGroup"),
    ("process", "running", None, "terminate() it and wait() for it in a cleanup"),
    ("file", "open", None, "close() it, or open it in a with statement"),
)
ENVIRONMENT = {"python": "3.13.0", "implementation": "cpython", "platform": "linux"}


def large(tests=10_000, leaks=5_000, lines=400, seed=1):
    """A run of many tests, of which some leave threads, tasks, processes and files that stay."""
    chance = random.Random(seed)
    names = [f"tests.area_{n % 40}.test_module_{n % 400}.Case{n % 800}Tests.test_behaviour_{n}" for n in range(tests)]
    left = {}
    for number in range(leaks):
        # a few lines leak often, most seldom; some tests leave many at once
        line = min(int(chance.paretovariate(0.6)), lines)
        owner = names[chance.randrange(tests) if number % 5 else tests // 3]
        left.setdefault(owner, []).append(leak_of(line, number, owner))
    alive = [2, 0, 0, 9]
    ended, reports = [], []
    for name in names:
        found = left.get(name, ())
        for leak in found:
            if leak.kind == "thread":
                alive[0] += 1
            elif leak.kind == "file":
                alive[3] += chance.random() < 0.3
        spikes = chance.random() < 0.003
        live = (
            alive[0] + spikes * 60,
            chance.randrange(3) + spikes * 200,
            int(chance.random() < 0.05),
            alive[3] + spikes,
        )
        outcome = "failed" if found else "skipped" if chance.random() < 0.01 else "passed"
        details = (
            f"Traceback (most recent call last):\nleakguard.LeakError: {len(found)} leaks after {name}\n"
            if found
            else ""
        )
        ended.append(TestRecord(name, outcome, chance.expovariate(20), 0.5 if found else 0.0, live, details))
        if found:
            reports.append(LeakReport("test", name, name, tuple(found), 0.5))
    return RunRecord(ENVIRONMENT, tuple(ended), tuple(reports), (2, 0, 0, 9), 812.4)


def leak_of(line, number, owner):
    """One leak of the given line of code."""
    kind, state, waiting, hint = KINDS[(line - 1) % 4]
    path = f"service/part_{line % 23}/component_{line}.py"
    stack = tuple(f"{path}:{60 + 10 * depth + number % 7} in Component{line}.step_{depth}" for depth in range(8))
    return Leak(
        kind,
        f"worker-{line}-{number}",
        state,
        owner,
        f"{path}:{line + 20} in Component{line}.start",
        stack,
        stack[-1],
        waiting,
        "waiting",
        hint,
        counted=line % 11 != 0,
        known=line % 22 == 0,
    )
