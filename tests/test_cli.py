"""The command line: unittest's own arguments, the leak options, and the exit status."""

import json
import os
import re
import stat
import sys
import tempfile
import unittest

from leakguard.runner import STOPPED
from tests.suites import run_python
from tests.test_runner import PLANTED, run_planted

FLAGS = (
    "--leak-action, --leak-threshold, --leak-grace, --leak-kinds, --leak-ignore, --leak-scope, --leak-stacks, "
    "--leak-verdicts, --leak-report, --leak-merge, --leak-known, --leak-learn, --leak-advise, --leak-trace, --leak-selftest"
)


class StatusTests(unittest.TestCase):
    """0 passed, 1 failed or leaked, 2 usage, 5 no test ran: the same on every Python."""

    def test_status(self):
        """Every way a run can end has its exit status."""
        for arguments, status in [
            (["planted_clean"], 0),
            (["planted_skips"], 0),
            (["--leak-action", "log", "planted_leaks"], 0),
            (["--leak-action", "off", "planted_leaks"], 0),
            (["--leak-threshold", "1", "planted_leaks"], 0),
            (["--leak-kinds", "process", "planted_leaks"], 0),
            (["--leak-scope", "key", "planted_leaks"], 0),
            (["planted_leaks"], 1),
            (["planted_fails"], 1),
            (["planted_run"], 1),
            (["--leak-action", "log", "planted_run"], 0),
            (["planted_is_missing"], 1),
            (["planted_empty"], 5),
            (["planted_clean", "-k", "nothing_like_that"], 5),
            (["--no-such-option"], 2),
            (["-h"], 0),
        ]:
            with self.subTest(arguments=arguments):
                process = run_planted(*arguments)
                self.assertEqual(process.returncode, status, process.stderr)

    def test_usage_errors(self):
        """A bad leak option is one line that says what was wanted and what came, and status 2, before any test."""
        for arguments, message in [
            (["--leak-grase", "3"], f"unknown leak option --leak-grase; known ones: {FLAGS}"),
            (["--leak-grace", "-1"], "--leak-grace: leak_grace must be a number of seconds >= 0 (got -1)"),
            (["--leak-grace=soon"], "--leak-grace: leak_grace must be a number of seconds >= 0 (got 'soon')"),
            (["--leak-action", "warn"], "--leak-action: leak_action must be one of fail, log, off (got 'warn')"),
            (["--leak-scope", "some"], "--leak-scope: leak_scope must be one of all, key (got 'some')"),
            (
                ["--leak-kinds", "thread,socket"],
                '--leak-kinds: leak_kinds must be "all" or kinds of environ, exception, file, native, process, task, tempfile, thread, timer '
                "(got ('thread', 'socket'))",
            ),
            (
                ["--leak-ignore", "tick"],
                '--leak-ignore: leak_ignore must be rules of the form "kind:glob" or "kind:glob@origin-glob" '
                "(got 'tick')",
            ),
            (["--leak-report", "leaks.txt"], "--leak-report: FILE must have the suffix of, or be, one of .json, .jsonl, .html, .xml, github (got 'leaks.txt')"),
            (
                ["--leak-report", "nowhere/leaks.json"],
                "--leak-report: FILE must be in a folder that exists (got 'nowhere/leaks.json')",
            ),
            (["--leak-grace"], "argument --leak-grace: expected one argument"),
        ]:
            with self.subTest(arguments=arguments):
                process = run_planted(*arguments, "planted_clean")
                if arguments == ["--leak-grace"]:
                    process = run_planted("planted_clean", *arguments)
                self.assertEqual(process.stderr, f"python -m leakguard: error: {message}\n")
                self.assertEqual((process.returncode, process.stdout), (2, ""))

    def test_bad_environment(self):
        """A bad environment variable is named in one line, and status 2."""
        process = run_planted("planted_clean", LEAKGUARD_GRACE="-1")
        self.assertEqual(
            process.stderr,
            "python -m leakguard: error: LEAKGUARD_GRACE: leak_grace must be a number of seconds >= 0 (got -1)\n",
        )
        self.assertEqual(process.returncode, 2)

    def test_misspelt_environment(self):
        """So is a misspelt one."""
        process = run_planted("planted_clean", LEAKGUARD_GRASE="1")
        self.assertRegex(process.stderr, "^python -m leakguard: error: LEAKGUARD_GRASE is not an option; known ones: .*\\n$")
        self.assertEqual(process.returncode, 2)

    def test_flag_wins_over_environment(self):
        """A flag wins over the environment, but LEAKGUARD_ACTION=off wins over everything."""
        self.assertEqual(run_planted("--leak-action=fail", "planted_leaks", LEAKGUARD_ACTION="log").returncode, 1)
        self.assertEqual(run_planted("--leak-action=fail", "planted_leaks", LEAKGUARD_ACTION="off").returncode, 0)


class ArgumentTests(unittest.TestCase):
    """Every argument of python -m unittest works."""

    def test_stacks(self):
        """``--leak-stacks`` has no argument, and shows the stacks in full."""
        line = "                  threading.py:"
        self.assertIn(line, run_planted("--leak-stacks", "planted_leaks").stderr)
        self.assertNotIn(line, run_planted("planted_leaks").stderr)

    def test_verbose(self):
        """-v names every test."""
        process = run_planted("planted_leaks", "-v")
        self.assertIn("test_a (planted_leaks.LeakTests", process.stderr)
        self.assertIn("... FAIL", process.stderr)
        self.assertIn("... ok", process.stderr)

    def test_pattern(self):
        """-k selects tests, before and after the names."""
        for arguments in (["-k", "test_d", "planted_leaks"], ["planted_leaks", "-k", "test_d", "--leak-grace=0"]):
            process = run_planted(*arguments)
            self.assertEqual(process.returncode, 0, process.stderr)
            self.assertIn("Ran 1 test in", process.stderr)

    def test_failfast(self):
        """-f stops after the first leak."""
        process = run_planted("-f", "planted_leaks")
        self.assertIn("Ran 1 test in", process.stderr)
        self.assertEqual(process.returncode, 1)

    def test_buffer(self):
        """-b keeps what a passing test prints."""
        self.assertEqual(run_planted("-b", "planted_clean").stdout, "")
        self.assertEqual(run_planted("planted_clean").stdout, "printed by test_two\n")

    def test_locals(self):
        """--locals shows the variables of a failing test."""
        self.assertIn("number = 42", run_planted("--locals", "planted_fails").stderr)

    def test_discover(self):
        """discover finds tests by pattern; without arguments there is nothing to find, and that is status 5."""
        process = run_planted("discover", "-s", PLANTED, "-p", "planted_clean*.py")
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertIn("Ran 2 tests in", process.stderr)
        self.assertEqual(run_planted().returncode, 5)

    def test_discovery_ignores_planted(self):
        """Discovery of the suite does not pick up what is planted."""
        self.assertEqual([name for name in os.listdir(PLANTED) if name.startswith("test")], [])

    @unittest.skipIf(sys.version_info < (3, 12), "--durations is new in 3.12")
    def test_durations(self):
        """--durations works where the Python has it."""
        process = run_planted("--durations", "2", "planted_clean")
        self.assertEqual(process.returncode, 0)
        self.assertIn("Slowest test durations", process.stderr)

    def test_help(self):
        """-h shows the leak options, then unittest's own help."""
        process = run_planted("-h")
        self.assertEqual(process.returncode, 0)
        own, _, host = process.stdout.partition("All other arguments are those of python -m unittest:")
        for flag in FLAGS.split(", "):
            self.assertIn(flag, own)
        for flag in ("--failfast", "--locals", "discover"):
            self.assertIn(flag, host)

    def test_selftest(self):
        """--leak-selftest plants a leak of each kind, sees each, and ends with status 0."""
        process = run_planted("--leak-selftest")
        kinds = ["thread", "native", "task", "process", "timer", "file", "exception", "tempfile", "environ"]
        found = [line.split(",")[0].split() for line in process.stdout.splitlines()]
        self.assertEqual(found, [[kind, "seen"] for kind in kinds])
        self.assertEqual((process.returncode, process.stderr), (0, ""))


class ReportTests(unittest.TestCase):
    """--leak-report FILE.json"""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_content(self):
        """The report has every leak with its test, kind, name, state, origin, place and whether it counts."""
        paths = [os.path.join(self.folder, name) for name in ("one.json", "two.json")]
        arguments = [word for path in paths for word in ("--leak-report", path)]
        process = run_planted(*arguments, "--leak-ignore", "thread:often-1", "planted_leaks")
        self.assertEqual(process.returncode, 1, process.stderr)
        reports = []
        for path in paths:
            with open(path, encoding="utf-8") as file:
                reports.append(json.load(file))
        self.assertEqual(reports[0], reports[1])
        report = reports[0]
        self.assertEqual((report["version"], report["tests_run"]), (1, 4))
        self.assertEqual([entry["rule"] for entry in report["ignored"]], ["thread:often-1"])
        keys = ("test", "kind", "name", "state", "origin", "counted")
        self.assertEqual(
            [[leak[key] for key in keys] for leak in report["leaks"]],
            [
                ["planted_leaks.LeakTests.test_a", "thread", "seldom", "daemon, alive",
                 "planted_leaks.py:15 in LeakTests.test_a", True],
                ["planted_leaks.LeakTests.test_c", "thread", "often-2", "daemon, alive",
                 "planted_leaks.py:10 in start", True],
            ],
        )  # fmt: skip
        for leak in report["leaks"]:
            innermost = leak["now_at"][0]
            self.assertRegex(innermost, r"^threading\.py:\d+ in (Condition|Event)\.wait$")

    def test_not_counted(self):
        """What is only logged, or tolerated, is in the report as not counted."""
        for flags in (["--leak-action=log"], ["--leak-threshold=1"]):
            path = os.path.join(self.folder, "leaks.json")
            self.assertEqual(run_planted(*flags, "--leak-report", path, "planted_leaks").returncode, 0)
            with open(path, encoding="utf-8") as file:
                self.assertEqual([leak["counted"] for leak in json.load(file)["leaks"]], [False] * 3)

    def test_clean_run(self):
        """A clean run writes a report without leaks."""
        path = os.path.join(self.folder, "leaks.json")
        self.assertEqual(run_planted("--leak-report", path, "planted_clean").returncode, 0)
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
        self.assertEqual((report["leaks"], report["tests_run"]), ([], 2))
        self.assertEqual(os.listdir(self.folder), ["leaks.json"])
        self.assertTrue(os.stat(path).st_mode & stat.S_IRUSR)

    def test_nothing_ran(self):
        """Wrong usage, or a question for help, leaves the report of an earlier run."""
        path = os.path.join(self.folder, "leaks.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write("good")
        for words, status in ((["--bogus"], 2), (["-h"], 0), (["discover", "-s", "nowhere"], 1)):
            process = run_planted("--leak-report", path, *words)
            with open(path, encoding="utf-8") as file:
                self.assertEqual((process.returncode, file.read()), (status, "good"), words)

    def test_named_twice(self):
        """A report that is asked for twice, by whatever path, is written once."""
        path = os.path.join(self.folder, "leaks.jsonl")
        again = os.path.join(self.folder, ".", "leaks.jsonl")
        run_planted("--leak-report", path, "--leak-report", again, "planted_clean", LEAKGUARD_REPORT=path)
        with open(path, encoding="utf-8") as file:
            self.assertEqual([json.loads(line)["event"] for line in file].count("begin"), 1)

    def test_stopped(self):
        """After ``-f`` or Ctrl-C the reports say that tests may be missing, so that a merge calls nothing fixed."""
        paths = [os.path.join(self.folder, name) for name in ("leaks.json", "leaks.jsonl")]
        reports = [word for path in paths for word in ("--leak-report", path)]
        run_planted(*reports, "-f", "planted_leaks")
        for path in paths:
            with open(path, encoding="utf-8") as file:
                last = json.loads(file.read() if path.endswith(".json") else file.readlines()[-1])
            self.assertEqual(last["problems"], [STOPPED])

    def test_annotations_in_any_encoding(self):
        """What standard output cannot show of a name is escaped; without one, no other report is lost."""
        path = os.path.join(self.folder, "leaks.json")
        write = "import sys; from leakguard.cli import write_reports; from leakguard.model import *; from leakguard.record import *; "
        write += "found = Leak('thread', '\\xe9\\u2192', 'alive', 't', 'a.py:1 in f'); "
        write += "run = RunRecord(reports=(LeakReport('test', 't', 't', (found,)),)); "
        for before, shows in (("", True), ("sys.stdout = None; ", False)):
            code = write + before + f"write_reports(['github', {path!r}], run)"
            process = run_python("-c", code, PYTHONIOENCODING="ascii")
            self.assertEqual("\\u2192" in process.stdout, shows, process)
            self.assertNotIn("Traceback", process.stderr)
            self.assertEqual("there is no standard output" in process.stderr, not shows)
            os.remove(path)

    def test_no_file(self):
        """A file of known leaks without a name, from a variable that is not set, is wrong usage."""
        for flag in ("--leak-known", "--leak-learn"):
            process = run_planted(flag, "", "planted_clean")
            self.assertEqual(process.returncode, 2)
            self.assertIn(f"error: {flag} must name a file (got '')", process.stderr)

    def test_cannot_be_written(self):
        """A report that cannot be written is said, fails the run, and loses neither the result nor another report."""
        target = os.path.join(self.folder, "is-a-folder.json")
        os.makedirs(os.path.join(target, "not-empty"))
        other = os.path.join(self.folder, "other.json")
        process = run_planted("--leak-report", target, "--leak-report", other, "planted_clean")
        self.assertEqual(process.returncode, 1)
        self.assertIn("\nOK\n", process.stderr)
        lines = process.stderr.splitlines()
        said = f"python -m leakguard: error: the report could not be written to {target}: "
        self.assertRegex(lines[-1], f"^{re.escape(said)}\\[Errno [0-9]+\\] [A-Za-z ]+: {re.escape(repr(target))}$")
        self.assertEqual(sorted(os.listdir(self.folder)), ["is-a-folder.json", "other.json"])

    @unittest.skipUnless(os.path.isdir("/proc/self"), "needs a folder that even root cannot write to")
    def test_read_only_folder(self):
        """A folder that takes no file costs the report and nothing else."""
        process = run_planted("--leak-report", "/proc/self/leaks.json", "planted_leaks")
        self.assertEqual(process.returncode, 1)
        self.assertIn("Leaks: 3 in 3 tests, by the line that created them", process.stderr)
        self.assertIn("error: the report could not be written to /proc/self/leaks.json: ", process.stderr)

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs a device that is always full")
    def test_full_disk(self):
        """A full disk is said in one line, and no half-written report is left."""
        code = (
            "import os, sys, tempfile, io\n"
            "from leakguard import cli\n"
            "real = open\n"
            "def full(file, *args, **kwargs):\n"
            "    if isinstance(file, int):\n"
            "        os.close(file)\n"
            "        return real('/dev/full', *args, **kwargs)\n"
            "    return real(file, *args, **kwargs)\n"
            "import leakguard.report.files as report\n"
            "report.open = full\n"
            "sys.exit(cli.main(sys.argv[1:]))\n"
        )
        script = os.path.join(self.folder, "full.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write(code)
        path = os.path.join(self.folder, "leaks.json")
        process = run_python(script, "--leak-report", path, "planted_empty", cwd=PLANTED)
        self.assertIn(f"error: the report could not be written to {path}: ", process.stderr)
        self.assertIn("No space left on device", process.stderr)
        self.assertEqual(os.listdir(self.folder), ["full.py"])

    def events(self, path):
        """The events of a report of lines: kind, and what it is about."""
        with open(path, encoding="utf-8") as file:
            return [(event["event"], event.get("id") or event.get("owner")) for event in map(json.loads, file)]

    def test_lines(self):
        """A .jsonl has each event in the order in which it happened, and takes the place of an old one."""
        path = os.path.join(self.folder, "leaks.jsonl")
        for _ in range(2):
            self.assertEqual(run_planted("--leak-report", path, "planted_leaks").returncode, 1)
            a, b, c, d = (f"planted_leaks.LeakTests.test_{letter}" for letter in "abcd")
            self.assertEqual(
                self.events(path),
                [
                    ("begin", None),
                    *[(event, test) for test in (a, b, c) for event in ("start", "leaks", "test")],
                    ("start", d), ("test", d),
                    ("end", None),
                ],
            )  # fmt: skip

    def test_a_run_that_is_killed(self):
        """A .jsonl has what was found until then, and no end."""
        path = os.path.join(self.folder, "leaks.jsonl")
        names = ["planted_workers.WorkerTests.test_leak", "planted_workers.KilledTests"]
        process = run_planted("--leak-report", path, *names)
        self.assertEqual(process.returncode, -9)
        leaking, killed = "planted_workers.WorkerTests.test_leak", "planted_workers.KilledTests.test"
        self.assertEqual(
            self.events(path),
            [("begin", None), ("start", leaking), ("leaks", leaking), ("test", leaking), ("start", killed)],
        )

    def test_a_test_that_forks(self):
        """A child that comes back from its test's fork writes neither into a .jsonl nor a .json of its own."""
        paths = [os.path.join(self.folder, name) for name in ("leaks.jsonl", "leaks.json")]
        run_planted("--leak-report", paths[0], "--leak-report", paths[1], "planted_workers.ForkedTests")
        test = "planted_workers.ForkedTests.test"
        self.assertEqual(self.events(paths[0]), [("begin", None), ("start", test), ("test", test), ("end", None)])
        with open(paths[1], encoding="utf-8") as file:
            self.assertEqual([test["outcome"] for test in json.load(file)["tests"]], ["passed"])

    def test_a_file_of_lines_that_cannot_be_written(self):
        """It is said once, fails the run, and loses neither the result nor another report."""
        other = os.path.join(self.folder, "other.json")
        process = run_planted("--leak-report", "/proc/self/leaks.jsonl", "--leak-report", other, "planted_clean")
        said = [line for line in process.stderr.splitlines() if "could not be written" in line]
        self.assertEqual((process.returncode, len(said)), (1, 1), process.stderr)
        self.assertIn("\nOK\n", process.stderr)
        self.assertTrue(os.path.exists(other))
