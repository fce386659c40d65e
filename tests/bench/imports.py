"""The time of ``import leakguard`` in a process that has imported unittest."""

import os
import statistics
import subprocess
import sys
import tempfile

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
    """The median over fresh processes, bytecode cached; fails if asyncio is imported on the way."""
    taken = []
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for number in range(3 if quick else 22):
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, check=True
            )
            if number:
                taken.append(float(done.stdout))
    return [("import leakguard on top of import unittest", statistics.median(taken) * 1e3, "ms")]
