"""``LEAKGUARD_REPORT=folder/``: each process that guards tests has a file of its own, however it was made or ended."""

import json
import logging
import os
import tempfile
import threading
import unittest

from leakguard import LeakGuardTestCase, merge, process_report
from tests.suites import ROOT, UNMEASURED, run_python
from tests.test_recording import WANTED, Outcomes
from tests.test_runner import PLANTED

WORKER = "planted_workers.WorkerTests"
MAIN = "__main__.WorkerTests"


class ProcessTests(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = os.path.join(folder.name, "reports", "")

    def run_workers(self, method, **environ):
        """Run the planted engine; return the finished process."""
        environ.setdefault("LEAKGUARD_REPORT", self.folder)
        return run_python("planted_workers.py", method, cwd=PLANTED, **environ)

    def events(self):
        """The events of each file, each as a short text; files with the most events first."""
        files = []
        for name in os.listdir(self.folder):
            with open(os.path.join(self.folder, name), encoding="utf-8") as file:
                files.append([short(json.loads(line)) for line in file])
        return sorted(files, key=lambda events: (-len(events), events))

    def test_workers_that_were_forked_or_spawned(self):
        """Each worker writes a file of its own, whole, with the outcome of each test; the engine's process has none."""
        for method in ("fork", "spawn"):
            with self.subTest(method=method):
                self.folder += f"{method}/"
                self.assertEqual(self.run_workers(method).stderr, "")
                module = MAIN if method == "fork" else "__mp_main__.WorkerTests"
                own = [
                    "begin",
                    f"start {module}",
                    f"start {module}.test_clean",
                    f"test {module}.test_clean passed",
                    f"start {module}.test_leak",
                    f"leaks {module}.test_leak left",
                    f"test {module}.test_leak failed",
                    "end 2",
                ]
                self.assertEqual(self.events(), [own, own])

    def test_a_worker_that_is_ended_while_it_rests(self):
        """A pool ends its workers from outside, between tests: their file is complete all the same."""
        self.assertEqual(self.run_workers("pool").stderr, "")
        (events,) = self.events()
        self.assertEqual([event for event in events if event.startswith("end")], ["end 1", "end 2"])
        self.assertEqual(events[-1], "end 2")
        self.assertEqual(merge.read([self.folder]).problems, ())

    def test_a_parent_that_guards_tests_too(self):
        """What a forked child guards is in its own file, and nothing of it in its parent's, which goes on."""
        self.assertEqual(self.run_workers("parent").stderr, "")
        clean = [f"start {MAIN}", f"start {MAIN}.test_clean", f"test {MAIN}.test_clean passed"]
        leak = [f"start {MAIN}", f"start {MAIN}.test_leak", f"leaks {MAIN}.test_leak left", f"test {MAIN}.test_leak failed"]
        self.assertEqual(
            self.events(), [["begin", *clean, "end 1", *clean, "end 2"], ["begin", *leak, "end 1"]]
        )

    def test_a_fork_in_the_middle_of_a_test(self):
        """A child that a test forks, and that guards tests itself, makes its own file in the middle of it."""
        self.assertEqual(self.run_workers("forks").stderr, "")
        parent, child = self.events()
        self.assertEqual(
            [event for event in parent if event.startswith(("test", "end"))],
            [f"test {MAIN}.test_forks passed", f"test {MAIN}.test_leak failed", "end 2"],
        )
        self.assertEqual(child[:1] + child[-2:], ["begin", f"test {MAIN}.test_clean passed", "end 1"])
        self.assertEqual(merge.read([self.folder]).problems, ())

    def test_killed_in_the_middle(self):
        """What was found before SIGKILL is in the file, and the merge names the test that it happened in."""
        self.assertEqual(self.run_workers("kill").returncode, -9)
        (name,) = os.listdir(self.folder)
        record = merge.read([self.folder])
        self.assertEqual([(test.id, test.outcome) for test in record.tests], [(f"{MAIN}.test_leak", "failed")])
        self.assertEqual([leak.name for report in record.reports for leak in report.leaks], ["left"])
        path = os.path.join(self.folder, name)
        self.assertEqual(record.problems, (f"{path} is incomplete: its process ended in {MAIN}.test_killed",))

    def test_under_unittest_and_under_our_runner(self):
        """The mixin alone and our runner write the same tests; the runner those of plain classes, and of fixtures, too."""
        for module, more in (("unittest", set()), ("leakguard", {"PlainTests.test", "tearDownModule", "tearDownClass"})):
            with self.subTest(module=module):
                self.folder += f"{module}/"
                environ = {"LEAKGUARD_REPORT": self.folder, "LEAKGUARD_GRACE": "0"}
                run_python("-m", module, "planted_mixin", cwd=PLANTED, **environ)
                (events,) = self.events()
                found = {event.split()[1].replace("planted_mixin.", "") for event in events if event.startswith("test")}
                mixin = {"MixinTests.test_clean", "MixinTests.test_ignored", "MixinTests.test_leak"}
                self.assertEqual(found, mixin | more)
                self.assertEqual(sum(event.startswith("leaks planted_mixin") and " " in event[7:] for event in events), 3)
                self.assertTrue(events[-1].startswith("end"), events[-1])

    def test_a_folder_that_takes_no_file(self):
        """It is said once on standard error; every test has the same outcome."""
        for folder in ("/proc/self/no/", "/dev/null/no/"):
            with self.subTest(folder=folder):
                process = self.run_workers("plain", LEAKGUARD_REPORT=folder)
                self.assertEqual(process.stdout, "False\n")
                (line,) = process.stderr.splitlines()
                self.assertTrue(line.startswith(f"leakguard: the report could not be written to {folder}"), line)

    @unittest.skipUnless(hasattr(os, "geteuid") and os.geteuid() != 0, "root may write everywhere")
    def test_a_folder_that_may_not_be_written_to(self):
        """A folder without the right to write is said once, and costs no test."""
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o555)
        process = self.run_workers("plain")
        self.assertEqual((process.stdout, len(process.stderr.splitlines())), ("False\n", 1))

    def test_a_full_disk(self):
        """What fits is kept, the rest is said once and counted; every test has the same outcome."""
        limit = 900
        code = (
            f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
            "import planted_workers; planted_workers.main('plain')\n"
        )
        environ = {"LEAKGUARD_REPORT": self.folder, "PYTHONDONTWRITEBYTECODE": "1", **UNMEASURED}
        process = run_python("-c", code, cwd=PLANTED, **environ)
        self.assertEqual(process.stdout, "False\n")
        (line,) = process.stderr.splitlines()
        self.assertIn("leakguard: the report could not be written to ", line)
        (name,) = os.listdir(self.folder)
        self.assertEqual(os.path.getsize(os.path.join(self.folder, name)), limit)
        record = merge.read([self.folder])
        self.assertEqual([test.id for test in record.tests], [f"{WORKER}.test_clean"])
        path = os.path.join(self.folder, name)
        self.assertEqual(
            record.problems,
            (f"{path} ends in the middle of a line", f"{path} is incomplete: its process ended in {WORKER}.test_leak"),
        )

    def test_a_file_without_our_runner(self):
        """Several processes cannot share one file: without our runner it is refused, once, and tests go on."""
        process = self.run_workers("plain", LEAKGUARD_REPORT="leaks.json")
        self.assertEqual(
            process.stderr,
            "leakguard: LEAKGUARD_REPORT must name a folder here: only python -m leakguard writes one file "
            "(got 'leaks.json')\n",
        )
        self.assertEqual(process.stdout, "False\n")

    def test_a_file_under_our_runner(self):
        """For python -m leakguard, which is one process, it is what --leak-report is."""
        path = os.path.join(os.path.dirname(os.path.dirname(self.folder)), "leaks.json")
        run_python("-m", "leakguard", "planted_clean", cwd=PLANTED, LEAKGUARD_REPORT=path)
        with open(path, encoding="utf-8") as file:
            self.assertEqual([test["outcome"] for test in json.load(file)["tests"]], ["passed", "passed"])

    def test_no_report_is_asked_for(self):
        """Without the variable nothing is imported for it, and nobody is told of a test."""
        code = (
            "import sys, planted_workers; planted_workers.main('plain')\n"
            "from leakguard import check\n"
            "print([name for name in sys.modules if name in ('json', 'leakguard.process_report')], check.course_listeners)"
        )
        self.assertEqual(run_python("-c", code, cwd=PLANTED, **UNMEASURED).stdout, "False\n[] []\n")


class HostTests(unittest.TestCase):
    """Without our runner: what is known of a test by the result of whoever runs it."""

    maxDiff = None

    def outcomes(self, result):
        """Method -> outcome of the tests of every outcome, run with the mixin and a result, by a process of its own."""
        with tempfile.TemporaryDirectory() as folder:
            code = f"from tests import test_process_report as t; t.run_all_outcomes(t.{result}())"
            process = run_python("-c", code, cwd=ROOT, LEAKGUARD_REPORT=folder)
            self.assertEqual(process.stderr, "")
            record = merge.read([folder])
        self.assertEqual(record.problems, ())
        return {test.id.rpartition(".")[2]: test.outcome for test in record.tests}

    def test_a_result_of_unittest(self):
        """The lists of the result say all."""
        self.assertEqual(self.outcomes("unittest.TestResult"), {**WANTED, "test_leaks": "failed"})

    def test_a_foreign_result(self):
        """One that keeps no lists: what has succeeded has passed, and the rest is unknown, never taken for well."""
        wanted = {name: "passed" if outcome == "passed" else "unknown" for name, outcome in WANTED.items()}
        self.assertEqual(self.outcomes("Foreign"), {**wanted, "test_is_skipped": "skipped", "test_leaks": "failed"})

    def test_a_result_with_entries_of_its_own(self):
        """Lists of objects that have the id of their test say as much as unittest's own (subunit's, xmlrunner's)."""
        for result in ("Listing", "Around"):
            self.assertEqual(self.outcomes(result), {**WANTED, "test_leaks": "failed"})


class Foreign:
    """A result that only passes events on, as that of subunit does."""

    shouldStop = False

    def addSubTest(self, test, subtest, error):
        pass

    def __getattr__(self, name):
        if name.startswith(("add", "start", "stop")):
            return lambda *args: None
        raise AttributeError(name)


class Entry:
    """What a foreign result keeps of a test."""

    def __init__(self, test):
        self._id = test.id()

    def id(self):
        """The id of the test."""
        return self._id


class Listing(unittest.TestResult):
    """A result that keeps no test: entries of its own stand in its lists."""

    def addUnexpectedSuccess(self, test):
        """Keep an entry, as all others do."""
        self.unexpectedSuccesses.append((Entry(test), ""))


for _name in ("addError", "addFailure", "addSubTest", "addSkip", "addExpectedFailure"):
    def _add(self, *args, _name=_name):
        getattr(unittest.TestResult, _name)(self, *args)
        for lists in (self.errors, self.failures, self.skipped, self.expectedFailures):
            lists[:] = [(one if isinstance(one, Entry) else Entry(one), text) for one, text in lists]

    setattr(Listing, _name, _add)


class Around(Foreign):
    """A result that passes all on to another one, as subunit's do."""

    failfast = False

    def __init__(self):
        self.decorated = Listing()

    def addSubTest(self, test, subtest, error):
        self.decorated.addSubTest(test, subtest, error)

    def __getattr__(self, name):
        if name.startswith(("add", "start", "stop")):
            return getattr(self.decorated, name)
        raise AttributeError(name)


def run_all_outcomes(result):
    """Run the tests of every outcome, and one that leaks, with the mixin."""

    class Case(Outcomes, LeakGuardTestCase):
        leak_grace = 0

        def test_leaks(self):
            threading.Thread(target=threading.Event().wait, name="left", daemon=True).start()

    logging.disable()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)


class NameTests(unittest.TestCase):
    def test_a_name_of_its_own(self):
        """The name has host, pid and start; the random id tells two of the same pid and second on machines of one name."""
        about = {"host": "ci 7/ü", "pid": "42", "started": "2030-01-02T03:04:05Z", "process": "00ff"}
        self.assertEqual(process_report.file_in("dir", about), os.path.join("dir", "ci-7-ü-42-20300102T030405Z-00ff.jsonl"))
        names = {process_report.file_in("dir", process_report.recording.environment()) for _ in range(100)}
        self.assertEqual(len(names), 100)

    def test_the_environment_tells_no_secret(self):
        """Of the command line only the program is on record."""
        code = "from leakguard import recording; print(recording.environment())"
        process = run_python("-c", code, "--token=secret")
        self.assertNotIn("secret", process.stdout)
        self.assertRegex(process.stdout, r"'started': '\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ'")


def short(event):
    """An event as a short text."""
    kind = event["event"]
    if kind == "leaks":
        return " ".join(["leaks", event["owner"], *(leak["name"] for leak in event["leaks"])])
    more = {"start": ("id",), "test": ("id", "outcome"), "end": ("tests_run",)}.get(kind, ())
    return " ".join([kind, *(str(event[name]) for name in more)])


if __name__ == "__main__":
    unittest.main()
