"""The examples that ship do what their pages say: the leaking one is told so by line, its fixed twin is clean."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHAT = ROOT / "docs" / "examples" / "chat"


def line_of(marker, file=CHAT / "hub.py"):
    """The number of the one line of a file that has a marker comment."""
    numbers = [n for n, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1) if f"# {marker}" in line]
    if len(numbers) != 1:
        raise LookupError(f"{file} must have one line marked {marker!r} (got {numbers})")
    return numbers[0]


def place(marker, function):
    """The line with a marker comment, as reports show it."""
    return f"docs/examples/chat/hub.py:{line_of(marker)} in {function}"


def run(pattern, *flags):
    """Run the example's tests under the runner; return exit status, output and report."""
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        done = subprocess.run(
            [sys.executable, "-m", "leakguard", "--leak-report", report, *flags]
            + ["discover", "-s", "docs/examples/chat", "-p", pattern],
            cwd=ROOT,
            env={**clean_environment(), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        with open(report, encoding="utf-8") as file:
            return done.returncode, done.stdout.decode(), json.load(file)


def clean_environment():
    """The environment without options of leakguard's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LEAKGUARD_")}


class ChatTests(unittest.TestCase):
    """docs/examples/chat."""

    def test_the_report_names_the_leaking_lines(self):
        """Each test leaks the thread and the task that the hub made, at the lines that made them and where they wait."""
        status, output, report = run("test_leaking.py")
        self.assertEqual((1, 2), (status, report["tests_run"]), output)
        thread = (
            "thread",
            "chat-archive",
            place("the thread begins here", "Hub.open"),
            place("the thread waits here", "Hub._archive"),
        )
        task = (
            "task",
            "chat-heartbeat",
            place("the task begins here", "Hub.open"),
            place("the task waits here", "Hub._beat"),
        )
        found = [(leak["test"], leak["kind"], leak["name"], leak["origin"], leak["place"]) for leak in report["leaks"]]
        tests = ["test_broadcast_reaches_every_client", "test_messages_come_in_order"]
        self.assertEqual(
            [(f"test_leaking.HubTests.{test}", *leak) for test in tests for leak in (thread, task)], found
        )
        for _, _, origin, where in (thread, task):
            self.assertIn(f"    created at  {origin}\n", output)
            self.assertIn(f"    now at      {where}, waiting in ", output)

    def test_the_fixed_twin_is_clean(self):
        """The same tests with a cleanup leave nothing."""
        status, output, report = run("test_fixed.py")
        self.assertEqual((0, 2, []), (status, report["tests_run"], report["leaks"]), output)

    def test_the_twin_differs_by_one_line(self):
        """The fix is one line: the twins have nothing else that differs, but for what they say of themselves."""
        leaking, fixed = (
            (CHAT / name).read_text(encoding="utf-8").splitlines()[1:] for name in ("test_leaking.py", "test_fixed.py")
        )
        self.assertEqual(["        self.addAsyncCleanup(self.hub.close)"], [x for x in fixed if x not in leaking])
        self.assertEqual(leaking, [x for x in fixed if x in leaking])


if __name__ == "__main__":
    unittest.main()
