"""`leakguard.report.github`: an annotation on each line that leaks."""

import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from leakguard import report
from leakguard.model import Leak, LeakReport
from leakguard.record import RunRecord
from leakguard.report import github
from tests.suites import run_python

HERE = "tests/test_report_github.py"
LEAK = Leak("thread", "reader-1", "daemon, alive", "m.T.test_a", f"{HERE}:7 in start", hint="join() it")


def record(*leaks):
    """A run of which one check found these leaks."""
    return RunRecord(reports=(LeakReport("test", "m.T.test_a", "title", leaks),))


class GithubTests(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name).resolve()
        self.place(self.root, HERE)

    def place(self, folder, *paths):
        """Make files in a folder, as if the run had begun there, in a repository that begins at the root."""
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).touch()
        for patch in (
            mock.patch.object(report, "START_FOLDER", str(folder)),
            mock.patch.dict(os.environ, {"GITHUB_WORKSPACE": str(self.root)}),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def lines(self, *leaks):
        """Return the lines of the report, which begins and ends its own."""
        text = github.text(record(*leaks))
        self.assertTrue(text.startswith("\n") and text.endswith("\n"), text)
        return text[1:-1].split("\n")

    def test_nothing_leaked(self):
        """A run without leaks prints nothing."""
        self.assertEqual(github.text(record()), "")
        self.assertEqual(github.text(RunRecord()), "")

    def test_one_leak(self):
        """The command names file and line of the creating line; what it says is what the message of a test says."""
        self.assertEqual(
            self.lines(LEAK),
            [
                f"::error file={HERE},line=7,title=leaked 1 thread::thread 'reader-1' (daemon, alive)"
                f"%0Acreated at  {HERE}:7 in start%0Afix         join() it%0Aleft by     m.T.test_a"
            ],
        )

    def test_leaks_of_one_line_are_one(self):
        """A line that leaks often has one annotation with the number; the most frequent line is first."""
        other = LEAK._replace(kind="task", origin=f"{HERE}:9 in open", name="ping")
        again = LEAK._replace(name="reader-2", owner="m.T.test_b")
        self.assertEqual(
            self.lines(other, LEAK, again),
            [
                f"::error file={HERE},line=7,title=leaked 2 threads::2 threads 'reader-1..2' (daemon, alive)"
                f"%0Acreated at  {HERE}:7 in start%0Afix         join() it%0Aleft by     2 tests, e.g. m.T.test_a",
                f"::error file={HERE},line=9,title=leaked 1 task::task 'ping' (daemon, alive)"
                f"%0Acreated at  {HERE}:9 in open%0Afix         join() it%0Aleft by     m.T.test_a",
            ],
        )

    def test_what_does_not_count_is_no_error(self):
        """A known leak is a notice, one that is tolerated or only logged a warning; errors come first."""
        logged, known = LEAK._replace(counted=False), LEAK._replace(counted=False, known=True)
        lines = self.lines(known, known, known, logged, logged, LEAK)
        self.assertEqual([line.split(" ")[0] for line in lines], ["::error", "::warning", "::notice"])
        self.assertEqual([line.partition("leaked ")[2][0] for line in lines], ["1", "2", "3"])

    def test_more_lines_than_github_shows(self):
        """Of thirteen lines ten are annotated, the last of them says how many more, and the log has those."""
        leaks = [LEAK._replace(origin=f"{HERE}:{10 + n} in start") for n in range(13) for _ in range(13 - n)]
        lines = self.lines(*leaks)
        self.assertEqual(sum(line.startswith("::error") for line in lines), 10)
        self.assertTrue(lines[0].startswith(f"::error file={HERE},line=10,title=leaked 13 threads::"), lines[0])
        self.assertTrue(
            lines[9].endswith("%0A%0Aand 3 more lines with 6 leaks, listed in the log of this step"), lines[9]
        )
        self.assertEqual(
            lines[10:],
            [
                f"  error: leaked 3 threads, {HERE}:20 in start",
                f"  error: leaked 2 threads, {HERE}:21 in start",
                f"  error: leaked 1 thread, {HERE}:22 in start",
            ],
        )

    def test_escapes(self):
        """Per cent and line ends are escaped everywhere, colons and commas in properties; there is one command."""
        self.place(self.root, "a:b,c%/d e.py")
        hostile = "100%\r\n::error::x,y:z\x1b[31m\u202e\ud800"
        leak = Leak("thread", hostile, "alive", hostile, "a:b,c%/d e.py:3 in f", hint=hostile)
        [line] = self.lines(leak)
        self.assertTrue(line.startswith("::error file=a%3Ab%2Cc%25/d e.py,line=3,title=leaked 1 thread::"), line)
        self.assertTrue(line.endswith("left by     100%25%0D%0A::error::x,y:z\\x1b[31m\\u202e\\ud800"), line)
        self.assertNotIn("\r", line)
        line.encode("ascii")

    def test_a_folder_of_the_repository(self):
        """Where the tests run in a folder below the root, paths are those of the repository all the same."""
        self.place(self.root / "backend", "app/hub.py")
        [line] = self.lines(LEAK._replace(origin="app/hub.py:3 in f"))
        self.assertTrue(line.startswith("::error file=backend/app/hub.py,line=3,title="), line)

    def test_an_absolute_path_of_the_repository(self):
        """A path that is absolute is made relative."""
        [line] = self.lines(LEAK._replace(origin=f"{self.root / HERE}:3 in f"))
        self.assertTrue(line.startswith(f"::error file={HERE},line=3,title="), line)

    def test_tests_that_go_elsewhere(self):
        """Where a test leaves the process in another folder, the lines have their files all the same."""
        Path(self.root, "test_moves.py").write_text(
            "import os, threading, unittest\n\n\nclass Tests(unittest.TestCase):\n    def test(self):\n"
            "        threading.Thread(target=threading.Event().wait, daemon=True).start()\n        os.chdir('/')\n"
        )
        arguments = ("-m", "leakguard", "--leak-grace", "0", "--leak-report", "github", "test_moves")
        process = run_python(*arguments, cwd=str(self.root), GITHUB_WORKSPACE=str(self.root))
        self.assertIn("\n::error file=test_moves.py,line=6,title=leaked 1 thread::", process.stdout)

    def test_without_github(self):
        """Outside of GitHub the folder of the run is the root."""
        os.environ.pop("GITHUB_WORKSPACE")
        [line] = self.lines(LEAK)
        self.assertTrue(line.startswith(f"::error file={HERE},line=7,title="), line)

    def test_lines_that_are_not_in_the_repository(self):
        """A line of an installed package, of a folder elsewhere or of nothing known has no file, but is named."""
        Path(self.root, "outside.py").touch()
        self.place(self.root / "repository", "inside.py")
        os.environ["GITHUB_WORKSPACE"] = str(self.root / "repository")
        for origin in ("websockets/server.py:3 in f", "../outside.py:3 in f", None, "no place"):
            with self.subTest(origin):
                [line] = self.lines(LEAK._replace(origin=origin))
                created = origin or "unknown: made where nothing could be noted"
                self.assertTrue(line.startswith("::error title=leaked 1 thread::"), line)
                self.assertIn(f"created at  {created}%0A", line)


if __name__ == "__main__":
    unittest.main()
