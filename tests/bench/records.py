"""What a report costs: each test that is put on record, a whole run against unittest's, and the merge of many files."""

import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile

from leakguard.model import Leak, LeakReport
from leakguard.record import RunRecord, TestRecord
from leakguard.report import jsonl
from leakguard.runner import GuardedRunner, Record
from tests.bench.empty import Plain
from tests.bench.measure import Side, medians, run_by, tests_of

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

SUITE = """
import unittest

def empty(self):
    pass

for number in range({classes}):
    name = f"Case{{number:04}}"
    tests = {{f"test_{{one:04}}": empty for one in range({tests})}}
    globals()[name] = type(name, (unittest.TestCase,), {{**tests, "__module__": __name__}})
"""

MERGE = """
import sys, time
from leakguard import cli
sys.argv[0] = "leakguard"
start = time.perf_counter()
cli.main(sys.argv[1:])
print(time.perf_counter() - start, resident())
"""

RESIDENT = """
def resident():
    with open("/proc/self/status") as file:
        return next(line.split()[1] for line in file if line.startswith("VmHWM"))
"""


def recorded(make_journals):
    """Return what runs a suite by the runner, with a report asked for."""

    def run(suite):
        from leakguard.recording import Recorder

        record = Record()
        record.recorder = Recorder(make_journals())
        runner = type("Runner", (GuardedRunner,), {"record": record})
        return runner(stream=io.StringIO(), verbosity=0).run(suite)

    return run


def per_test(quick):
    """What recording adds to an empty test under the runner: for .json, and for lines as they happen."""
    from leakguard.journal import Journal

    number, rounds = (200, 3) if quick else (2000, 31)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "report.jsonl")
        taken = medians(
            [
                Side("runner", tests_of(Plain, run_by(GuardedRunner)), number=number),
                Side("recorded", tests_of(Plain, recorded(list)), number=number),
                Side("lines", tests_of(Plain, recorded(lambda: [Journal(path, os.O_TRUNC)])), number=number),
            ],
            rounds=rounds,
        )
    return [
        ("added to an empty test by its record", taken["recorded"] - taken["runner"], "us"),
        ("added by its record and its lines in a .jsonl", taken["lines"] - taken["runner"], "us"),
    ]


def whole_runs(quick):
    """Processor time of whole processes, alternately: empty tests under unittest, and under the runner with reports."""
    classes, tests, rounds = (2, 10, 1) if quick else (100, 100, 11)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "empty_suite.py"), "w", encoding="utf-8") as file:
            file.write(SUITE.format(classes=classes, tests=tests))
        sides = {"unittest": ["unittest"], "no report": ["leakguard"]}
        for name in (".json", ".jsonl", ".json and .html"):
            files = [os.path.join(folder, f"report{suffix}") for suffix in name.split(" and ")]
            sides[name] = ["leakguard", *(word for file in files for word in ("--leak-report", file))]
        environment = {**os.environ, "PYTHONPATH": ROOT, "PYTHONPYCACHEPREFIX": os.path.join(folder, "cache")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        taken = {name: [] for name in sides}
        for number in range(rounds + 1):
            for name, words in sides.items():
                command = [sys.executable, "-m", words[0], *words[1:], "empty_suite"]
                before = cpu_seconds()
                subprocess.run(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL, check=True)
                if number:
                    taken[name].append(cpu_seconds() - before)
    plain = statistics.median(taken["unittest"])
    rows = [(f"python -m unittest, {classes * tests} empty tests", plain * 1e3, "ms")]
    for name in list(sides)[1:]:
        rows.append((f"python -m leakguard, {name} / that", statistics.median(taken[name]) / plain, "ratio"))
    return rows


def cpu_seconds():
    """What the children that have ended have taken of a processor: other work on the machine hardly disturbs it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def merging(quick):
    """The merge of 50 files, in a process of its own: 10,000 tests and 5,000 leaks in all, and 10,000 tests in each."""
    rows = []
    for files, tests, leaks in [(5, 20, 10)] if quick else [(50, 200, 100), (50, 10000, 100)]:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(files):
                jsonl.write(os.path.join(folder, f"{number}.jsonl"), a_record(number, tests, leaks))
            words = ["--leak-merge", folder, "--leak-report", os.path.join(folder, "all.json")]
            done = subprocess.run(
                [sys.executable, "-c", RESIDENT + MERGE, *words], cwd=ROOT, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, check=True,
            )  # fmt: skip
            seconds, kilobytes = done.stdout.split()
            what = f"merge {files} files, {files * tests} tests, {files * leaks} leaks"
            rows += [(what, float(seconds), "s"), (f"{what}: memory at most", int(kilobytes) / 1024, "MB")]
    return rows


def a_record(number, tests, leaks):
    """The record of one process of many, with tests and leaks of its own."""
    ids = [f"package.tests.module_{number:02}.SomeCase.test_{one:05}" for one in range(tests)]
    frames = tuple(f"package/module_{number:02}.py:{line} in Some.function_{line}" for line in range(8))
    found = [
        Leak(
            "thread", f"worker-{one}", "daemon, alive", ids[one % tests], f"package/made.py:{one} in make", frames, frames[-1],
            "queue.Queue.get", "waiting", "stop the thread's loop and join() it in a cleanup", f"{number * leaks + one:016x}",
        )
        for one in range(leaks)
    ]  # fmt: skip
    return RunRecord(
        environment={"python": "3.13.0", "host": f"ci-{number}", "pid": "42", "process": f"{number:016x}"},
        tests=tuple(TestRecord(one, "passed", 0.001234, 0.0, (6, 0, -1, -1)) for one in ids),
        reports=tuple(LeakReport("test", leak.owner, "a title", (leak,), 0.5) for leak in found),
    )


def records(quick):
    """What a report costs: a test that is put on record, whole runs, and the merge of many files."""
    return per_test(quick) + whole_runs(quick) + merging(quick)
