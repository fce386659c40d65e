"""The case study's two suites: what one forgets is found and named by line; the other passes and leaves nothing."""

import collections
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from tests import required, suites

SHOWN = "docs/examples/loghub"

HANG_SECONDS = 240.0
"""How long a run of a suite may take: a guard against hanging, not a measure."""
LOGHUB = Path(suites.ROOT) / SHOWN
CATEGORIES = ["authentication", "filter", "first", "heartbeat", "high frequency"]


def setUpModule():
    """The suites need websockets."""
    required.need("websockets.asyncio.server")


def run(*arguments):
    """Run this Python in the project's folder; return the finished process, all that it printed as text."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=suites.ROOT,
        env=suites.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        timeout=HANG_SECONDS,
    )


def run_guarded(suite, *flags):
    """Run a suite under the runner; return the finished process and the report."""
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        guarded = ["-m", "leakguard", "--leak-report", report, *flags]
        done = run(*guarded, "discover", "-s", f"{SHOWN}/{suite}", "-t", SHOWN)
        with open(report, encoding="utf-8") as file:
            return done, json.load(file)


def place(what, file):
    """The ``path:line`` of the one line of a file that begins something."""
    lines = (LOGHUB / file).read_text(encoding="utf-8").splitlines()
    [number] = [number for number, line in enumerate(lines, 1) if line.endswith(f"# begins: {what}")]
    return f"{SHOWN}/{file}:{number}"


def planted():
    """Count every planted leak: (test, kind, path:line)."""
    spec = importlib.util.spec_from_file_location("planted", LOGHUB / "before" / "planted.py")
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    begun = {what: (kind, place(what, file)) for what, (kind, file) in table.BEGUN.items()}
    leaks = collections.Counter()
    for cls, tests in table.FORGOTTEN.items():
        for test, forgotten in tests.items():
            owner = ".".join(["before.test_loghub", cls, *([test] if test else [])])
            for thing, count in forgotten.items():
                for what in table.LEFT[thing]:
                    leaks[(owner, *begun[what])] += count
    return leaks


def tests_of(suite):
    """Class -> test -> source, without the decorators of key tests."""
    text = (LOGHUB / suite / "test_loghub.py").read_text(encoding="utf-8")
    classes = re.split(r"^class (\w+)\(.*\n", text, flags=re.M)[1:]
    found = {}
    for name, body in zip(classes[::2], classes[1::2]):
        body = re.sub(r"^    @key_test.*\n", "", body, flags=re.M)
        methods = re.split(r"^    async def (test_\w+)\(self\):\n", body, flags=re.M)[1:]
        found[name] = dict(zip(methods[::2], methods[1::2]))
    return found


class BeforeTests(unittest.TestCase):
    """The suite that forgets."""

    maxDiff = None

    def test_every_planted_leak_is_found_and_nothing_else(self):
        """Each leak is reported with its test, its kind and the line that began it, as often as it was planted."""
        done, report = run_guarded("before", "--leak-grace", "0.25")
        found = collections.Counter(
            (leak["test"], leak["kind"], leak["origin"].partition(" in ")[0]) for leak in report["leaks"]
        )
        wanted = planted()
        self.assertEqual({}, dict(wanted - found), f"not found\n{done.stdout}")
        self.assertEqual({}, dict(found - wanted), f"not planted\n{done.stdout}")
        self.assertEqual(1, done.returncode, done.stdout)

    def test_the_case_study_shows_them(self):
        """The summary on the page has every line, with as many leaks as are planted there, and the page no other."""
        page = (Path(suites.ROOT) / "docs" / "case-study.rst").read_text(encoding="utf-8")
        shown = {(kind, line): int(count) for count, kind, line in re.findall(r"(\d+) x (\w+) +(\S+:\d+) in ", page)}
        by_line = collections.Counter()
        for (_, kind, line), count in planted().items():
            by_line[kind, line] += count
        self.assertEqual(by_line, shown)
        self.assertEqual({line for _, line in by_line}, set(re.findall(rf"{SHOWN}/\S+:\d+", page)))
        self.assertIn(f"Leaks: {sum(by_line.values())} in {len({test for test, _, _ in planted()})} tests,", page)


class AfterTests(unittest.TestCase):
    """The suite that tears down."""

    def test_it_passes_and_leaves_nothing(self):
        """Every test passes under guard, and no leak is on record."""
        done, report = run_guarded("after")
        self.assertEqual((0, []), (done.returncode, report["leaks"]), done.stdout)
        self.assertGreaterEqual(report["tests_run"], 40)

    def test_nothing_grows(self):
        """At the end there are as many threads, tasks and open files as before the first test."""
        done = run(f"{SHOWN}/measure.py", "growth", "after")
        grown = re.findall(r"^  (\w+) +(\d+) -> +(\d+) ", done.stdout, re.M)
        self.assertEqual(["threads", "tasks", "files"], [kind for kind, _, _ in grown], done.stdout)
        self.assertEqual([], [kind for kind, before, after in grown if before != after], done.stdout)
        self.assertIn("tests, 0 failed\n", done.stdout)

    def test_it_has_the_same_tests(self):
        """Test for test the two suites are the same: what was edited is how things are opened, not what is tested."""
        before, after = tests_of("before"), tests_of("after")
        self.assertEqual(before, after)
        self.assertGreaterEqual(sum(map(len, after.values())), 40)

    def test_it_has_a_key_test_of_each_category(self):
        """The five categories have one key test each, and the first is the first that runs."""
        text = (LOGHUB / "after" / "test_loghub.py").read_text(encoding="utf-8")
        self.assertEqual(CATEGORIES, sorted(re.findall(r'^    @key_test\("(.*)"\)$', text, re.M)))
        tests = tests_of("after")
        first_class = min(tests)
        first_test = min(tests[first_class])
        self.assertIn(f'    @key_test("first")\n    async def {first_test}(self)', text)


if __name__ == "__main__":
    unittest.main()
