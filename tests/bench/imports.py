"""The time of ``import leakguard`` in a process that has imported unittest."""

import statistics
import subprocess
import sys

PROGRAM = """
import sys, time, unittest
before = set(sys.modules)
start = time.perf_counter()
import leakguard
print(time.perf_counter() - start)
new = set(sys.modules) - before
if "asyncio" in new:
    sys.exit("import leakguard must not import asyncio")
"""


def imports(quick):
    """The median over fresh processes; fails if asyncio is imported on the way."""
    taken = []
    for number in range(3 if quick else 22):
        done = subprocess.run([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, check=True)
        if number:
            taken.append(float(done.stdout))
    return [("import leakguard on top of import unittest", statistics.median(taken) * 1e3, "ms")]
