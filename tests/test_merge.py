"""`leakguard.merge` and ``--leak-merge``: one record of many files, whatever became of the processes that wrote them."""

import json
import os
import tempfile
import textwrap
import unittest

from leakguard import known, merge
from leakguard.model import Leak, LeakReport
from leakguard.record import RunRecord, TestRecord
from leakguard.report import json as json_report
from leakguard.report import jsonl
from tests.suites import run_python
from tests.test_runner import PLANTED

ABOUT = {"python": "3.13.0", "implementation": "cpython", "platform": "linux", "host": "ci-1", "pid": "42"}


def leak(name="left", owner="a.test", counted=True):
    """A leak as plain data."""
    return Leak("thread", name, "alive", owner, "a.py:1 in f", ("b.py:2 in g",), aliases=("x",), counted=counted)


def a_record(process, *tests, leaks=(), **about):
    """The record of one process."""
    reports = tuple(LeakReport("test", one.owner, "a title", (one,), 0.5, "", (("thread:x", "x"),)) for one in leaks)
    tests = tuple(TestRecord(*(one if isinstance(one, tuple) else (one, "passed"))) for one in tests)
    return RunRecord({**ABOUT, "process": process, **about}, tests, reports, (1, 0, 0, 5), 1.0)


class FolderCase(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        """A path in the folder."""
        return os.path.join(self.folder, name)

    def write(self, name, record):
        """Write a record as a report; return its path."""
        (jsonl if name.endswith("l") else json_report).write(self.path(name), record)
        return self.path(name)

    def put(self, name, text):
        """Write any text; return its path."""
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)


class ReadTests(FolderCase):
    def test_what_was_written_is_read(self):
        """One file is the record that it was written from; a .json keeps the leaks of an owner together."""
        record = a_record("1", ("a.test", "failed", 0.5, 0.25, (1, 0, 0, 5), "why"), "b.test", leaks=[leak()])
        self.assertEqual(merge.read([self.write("a.jsonl", record)]), record)
        found = merge.read([self.write("b.json", record)])
        self.assertEqual(found._replace(reports=()), record._replace(reports=()))
        self.assertEqual([one for report in found.reports for one in report.leaks], [leak()])
        self.assertEqual([rule for report in found.reports for rule, _ in report.ignored], ["thread:x"])

    def test_many_files(self):
        """Tests and leaks of all are in it, sorted by path; what differs between the processes is said."""
        self.write("b.jsonl", a_record("2", "b.test", leaks=[leak(owner="b.test")], host="ci-2"))
        self.write("a.json", a_record("1", "a.test", leaks=[leak()]))
        os.makedirs(self.path("deeper"))
        self.write("deeper/c.jsonl", a_record("3", "c.test"))
        self.put("notes.txt", "no report")
        record = merge.read([self.folder])
        self.assertEqual([test.id for test in record.tests], ["a.test", "b.test", "c.test"])
        self.assertEqual([one.owner for report in record.reports for one in report.leaks], ["a.test", "b.test"])
        self.assertEqual(record.environment["host"], "ci-1, ci-2")
        self.assertEqual((record.environment["pid"], record.environment["processes"]), ("42", "3"))
        self.assertEqual((record.before, record.problems), ((), ()))

    def test_the_same_pid_on_two_machines(self):
        """Two processes are told apart by their random id, though pid, host and start are equal."""
        for number in "12":
            self.write(f"{number}.jsonl", a_record(number, f"test {number}", started="2030-01-01T00:00:00Z"))
        self.assertEqual(len(merge.read([self.folder]).tests), 2)

    def test_clocks_that_differ(self):
        """No time that a machine says has any part in the result but as what it said."""
        results = []
        early, late = "1990-01-01T00:00:00Z", "2090-01-01T00:00:00Z"
        for first, second in ((early, late), (late, early)):
            self.write("1.jsonl", a_record("1", ("t", "failed"), started=first))
            self.write("2.jsonl", a_record("2", ("t", "passed"), started=second))
            results.append(merge.read([self.folder]))
        self.assertEqual(results[0], results[1])

    def test_the_same_process_twice(self):
        """A file given twice, its copy, and both formats of one run count once; the whole one, if one was cut."""
        record = a_record("1", "a.test", "b.test", leaks=[leak()])
        path = self.write("a.jsonl", record)
        self.write("b.json", record)
        with open(path, encoding="utf-8") as file:
            self.put("0.jsonl", "".join(file.readlines()[:2]))
        found = merge.read([path, path, self.folder])
        self.assertEqual([test.id for test in found.tests], ["a.test", "b.test"])
        self.assertEqual(sum(len(report.leaks) for report in found.reports), 1)
        self.assertEqual(found.problems, ())

    def test_a_test_that_was_retried(self):
        """In one process its last run counts; among several the worst; and every leak of all of them."""
        self.write("1.jsonl", a_record("1", ("t", "failed"), ("t", "passed"), leaks=[leak("one", "t")]))
        self.assertEqual([test.outcome for test in merge.read([self.folder]).tests], ["passed"])
        self.write("2.jsonl", a_record("2", ("t", "error"), leaks=[leak("two", "t")]))
        self.write("3.jsonl", a_record("3", ("t", "passed")))
        found = merge.read([self.folder])
        self.assertEqual([test.outcome for test in found.tests], ["error"])
        self.assertEqual([one.name for report in found.reports for one in report.leaks], ["one", "two"])

    def test_a_test_on_two_pythons(self):
        """It is a test of each."""
        self.write("1.jsonl", a_record("1", ("t", "passed")))
        self.write("2.jsonl", a_record("2", ("t", "failed"), python="3.9.1"))
        found = merge.read([self.folder])
        self.assertEqual([test.outcome for test in found.tests], ["passed", "failed"])
        self.assertEqual(found.environment["python"], "3.13.0, 3.9.1")


class PartTests(FolderCase):
    """Where the tests of each process begin, which its growth is judged by."""

    def parts(self, *paths):
        """(ids of the tests of each process, what was alive before them)."""
        record = merge.read(list(paths))
        ends = [start for start, _ in record.parts[1:]] + [len(record.tests)]
        return [([test.id for test in record.tests[a:b]], before) for (a, before), b in zip(record.parts, ends)]

    def test_of_each_process(self):
        """A test that ran in two is among those of the one in which it went worse; a merged report keeps what it knows."""
        first = self.write("1.jsonl", a_record("1", "a", "both", "b")._replace(before=(1,)))
        second = self.write("2.jsonl", a_record("2", ("both", "failed"), "c")._replace(before=(7,)))
        third = self.write("3.jsonl", a_record("3", "d")._replace(before=(9,)))
        wanted = [(["a", "b"], (1,)), (["both", "c"], (7,))]
        self.assertEqual(self.parts(first, second), wanted)
        merged = self.write("merged.json", merge.read([first, second]))
        self.assertEqual(self.parts(merged), wanted)
        self.assertEqual(self.parts(merged, third), [*wanted, (["d"], (9,))])
        lines = self.write("merged.jsonl", merge.read([first, second]))
        self.assertEqual(self.parts(lines), wanted)

    def test_of_one(self):
        """One process has no parts."""
        self.assertEqual(self.parts(self.write("1.json", a_record("1", "a"))), [])


class MergedAgainTests(FolderCase):
    """A merged report among others: every process counts once, and nothing is lost."""

    def merge(self, name, *sources):
        """Write the merged report of some files; return its path."""
        return self.write(name, merge.read(list(sources)))

    def one(self, number, *tests, **about):
        """Write the report of one process that leaks in each of its tests; return its path."""
        tests = tests or (f"test_{number}",)
        leaks = [leak(f"of {number}", test) for test in tests]
        return self.write(f"{number}.jsonl", a_record(f"id{number}", *tests, leaks=leaks, **about))

    def found(self, *paths):
        """(ids of tests, names of leaks, ids of processes, their number, problems) of what is read."""
        record = merge.read(list(paths) or [self.folder])
        tests = sorted(test.id for test in record.tests)
        names = sorted(one.name for report in record.reports for one in report.leaks)
        return tests, names, record.environment["process"], record.environment.get("processes"), record.problems

    def test_beside_its_sources(self):
        """In both formats, and merged again and again, it changes nothing."""
        paths = [self.one(number) for number in range(6)]
        alone = self.found(*paths)
        self.assertEqual(alone[1:], ([f"of {n}" for n in range(6)], ", ".join(f"id{n}" for n in range(6)), "6", ()))
        for name in ("0all.json", "all.jsonl", "more.json", "more.jsonl"):
            self.merge(name, self.folder)
            self.assertEqual(self.found(), alone)
        self.assertEqual(self.found(self.path("0all.json")), alone)

    def test_without_some_of_its_sources(self):
        """It stands for those that are gone, and for those that are there; others are merged with it."""
        paths = [self.one(number) for number in range(3)]
        alone = self.found(*paths)
        self.merge("all.json", *paths[:2])
        os.remove(paths[0])
        self.assertEqual(self.found(), alone)

    def test_of_parts(self):
        """Merged reports of some, beside one of all, are in it."""
        paths = [self.one(number, host=f"ci-{number}") for number in range(4)]
        alone = self.found(*paths)
        self.merge("a.json", *paths[:2])
        self.merge("b.json", *paths[2:])
        self.merge("c.json", self.path("a.json"), self.path("b.json"))
        for path in paths:
            os.remove(path)
        self.assertEqual(self.found(), alone)
        self.assertEqual(merge.read([self.folder]).environment["host"], "ci-0, ci-1, ci-2, ci-3")

    def test_older_than_a_source(self):
        """What a process has found since it was merged is there; where that counts twice, it is said."""
        paths = [self.one(number) for number in range(2)]
        merged = self.merge("all.json", *paths)
        self.one(0, "test_0", "test_new")
        self.assertEqual(self.found()[:2], (["test_0", "test_1", "test_new"], ["of 0", "of 0", "of 1"]))
        os.remove(paths[1])
        tests, names, _, number, problems = self.found()
        self.assertEqual((tests, names), (["test_0", "test_1", "test_new"], ["of 0", "of 0", "of 0", "of 1"]))
        about = "is of processes that other reports are of, too: what these found may be counted twice"
        self.assertEqual((number, problems), ("2", (f"{merged} {about}",)))

    def test_a_number_of_processes_that_is_none(self):
        """It is named, as any other damage."""
        path = self.write("a.json", a_record("1", "a.test", processes="some"))
        (problem,) = merge.read([path]).problems
        self.assertIn(f"{path} cannot be read: ", problem)


class IncompleteTests(FolderCase):
    def lines(self):
        """The lines of a whole file, and the path that parts of them are written to."""
        return list(jsonl.lines(a_record("1", "a.test", "b.test", leaks=[leak()])))

    def problems_of(self, text, name="a.jsonl"):
        """The problems of a file with a text, without the path, and how many tests and leaks were read."""
        path = self.put(name, text)
        record = merge.read([path])
        for problem in record.problems:
            self.assertEqual(problem[: len(path) + 1], path + " ")
        leaks = sum(len(report.leaks) for report in record.reports)
        return [problem[len(path) + 1 :] for problem in record.problems], len(record.tests), leaks

    def test_cut_at_any_byte(self):
        """A file that ends anywhere is read up to there, and never said to be whole."""
        text = "".join(self.lines())
        first = text.index("\n") + 1
        for length in range(first, len(text) - 1, 7):
            problems, tests, leaks = self.problems_of(text[:length])
            with self.subTest(length=length):
                whole = [json.loads(line)["event"] for line in text[:length].splitlines(True) if line.endswith("\n")]
                self.assertNotEqual(problems, [])
                self.assertGreaterEqual((tests, leaks), (whole.count("test"), whole.count("leaks")))
        self.assertEqual(self.problems_of(text), ([], 2, 1))

    def test_where_it_ended(self):
        """The last thing that is known to have begun or ended is named."""
        begin, test, *_ = self.lines()
        start = jsonl.start_line("c.test")
        for text, problem in (
            (begin, "is incomplete: its process ended before its first test"),
            (begin + test, "is incomplete: its process ended after a.test"),
            (begin + test + start, "is incomplete: its process ended in c.test"),
        ):
            self.assertEqual(self.problems_of(text)[0], [problem])

    def test_a_line_in_the_middle(self):
        """One that cannot be read is named, and hides no other."""
        begin, test, *rest = self.lines()
        for broken in ('{"event": "te\n', "\0\0\0\n", "[]\n", '{"event": "test"}\n', "null\n"):
            with self.subTest(broken=broken):
                found = self.problems_of("".join([begin, broken, test, *rest]))
                self.assertEqual(found, (["has a line 2 that cannot be read"], 2, 1))

    def test_what_is_no_report(self):
        """Anything else is named, and hides no report beside it."""
        newer = {"version": 2, "environment": {}, "leaks": []}
        for name, text, problem in (
            ("a.jsonl", "", "is empty: its process ended at once"),
            ("a.jsonl", "{}\n", "is no report of leakguard"),
            ("a.jsonl", "text\n", "is no report of leakguard"),
            ("a.jsonl", jsonl.begin_line(ABOUT, ()).replace('"version": 1', '"version": 2'),
             "is of version 2: this leakguard reads version 1"),
            ("a.json", json.dumps(newer), "is of version 2: this leakguard reads version 1"),
            ("a.json", "[1]", "is no report of leakguard"),
            ("a.json", '{"version": 1, "leaks', "cannot be read: Unterminated string starting at: line 1 column 16 (char 15)"),
        ):  # fmt: skip
            with self.subTest(text=text):
                self.assertEqual(self.problems_of(text, name), ([problem], 0, 0))

    def test_events_that_a_later_version_adds(self):
        """What is not known is passed over: only another version number says that a meaning has changed."""
        begin, *rest = self.lines()
        text = "".join([begin, '{"event": "weather", "is": "fine"}\n', *rest]).replace('"known"', '"more": 1, "known"')
        self.assertEqual(self.problems_of(text), ([], 2, 1))

    def test_lines_that_the_disk_did_not_take(self):
        """What a process knows to have lost is said."""
        begin, test, *_ = self.lines()
        end = jsonl.end_line(1.0, 1, (), ["3 events could not be written: no space"])
        self.assertEqual(self.problems_of(begin + test + end)[0], ["3 events could not be written: no space"])


class CommandTests(FolderCase):
    def merge(self, *arguments):
        """Run ``--leak-merge``."""
        return run_python("-m", "leakguard", "--leak-merge", *arguments)

    def test_status(self):
        """0 if all is well, 1 for a leak that counts or a test that failed, 5 if there is no test in it."""
        for record, status in (
            (a_record("1", "a"), 0),
            (a_record("1", ("a", "skipped"), ("b", "expected failure"), ("c", "unknown")), 0),
            (a_record("1", "a", leaks=[leak(counted=False)]), 0),
            (a_record("1", "a", leaks=[leak()]), 1),
            (a_record("1", ("a", "failed")), 1),
            (a_record("1", ("a", "error")), 1),
            (a_record("1", ("a", "unexpected success")), 1),
            (a_record("1"), 5),
        ):
            with self.subTest(record=record):
                process = self.merge(self.write("a.jsonl", record))
                self.assertEqual((process.returncode, process.stdout), (status, ""), process.stderr)

    def test_usage(self):
        """A path that does not exist, and arguments of unittest, are wrong usage: nothing runs."""
        path = self.write("a.jsonl", a_record("1", "a"))
        for arguments, message in (
            (["nowhere"], "--leak-merge: PATH must be a report or a folder that exists (got 'nowhere')"),
            ([path, "-v"], "--leak-merge runs nothing, and takes no arguments of unittest (got '-v')"),
            ([path, "--leak-report", "a.txt"], "--leak-report: FILE must have the suffix of, or be, one of .json, .jsonl, .html, .xml, github (got 'a.txt')"),
        ):
            process = self.merge(*arguments)
            self.assertEqual((process.returncode, process.stderr), (2, f"python -m leakguard: error: {message}\n"))

    def test_what_is_printed(self):
        """The summary of a run over all of them, and what is incomplete."""
        self.write("a.jsonl", a_record("1", "a.test", leaks=[leak("worker-1"), leak("worker-2", "b.test")]))
        cut = self.put("b.jsonl", jsonl.begin_line({**ABOUT, "process": "2"}, ()))
        process = self.merge(self.folder)
        self.assertEqual(
            process.stderr.splitlines(),
            [
                "Merged 1 test of 2 processes",
                "Leaks: 2 in 2 tests, by the line that created them",
                "     2 x thread   a.py:1 in f",
                "                  2 tests, e.g. a.test",
                f"Incomplete: {cut} is incomplete: its process ended before its first test",
            ],
        )
        self.assertEqual(process.returncode, 1)

    def test_reports(self):
        """The whole is written in any format, and may be merged again."""
        self.write("a.jsonl", a_record("1", "a.test", leaks=[leak()]))
        self.write("b.jsonl", a_record("2", ("b.test", "failed", 0.1, 0.0, (), "why")))
        all_of = [os.path.join(self.folder, name) for name in ("all.json", "all.jsonl")]
        self.merge(self.folder, "--leak-report", all_of[0], "--leak-report", all_of[1])
        for path in all_of:
            record = merge.read([path])
            self.assertEqual([(t.id, t.outcome, t.details) for t in record.tests],
                             [("a.test", "passed", ""), ("b.test", "failed", "why")])  # fmt: skip
            self.assertEqual([one for report in record.reports for one in report.leaks], [leak()])

    def test_a_folder_with_nothing_in_it(self):
        """It is said, and no success."""
        process = self.merge(self.folder)
        self.assertEqual(
            process.stderr, f"Merged 0 tests of 0 processes\nIncomplete: {self.folder} has no report in it\n"
        )
        self.assertEqual(process.returncode, 5)


class FixedTests(FolderCase):
    def test_only_what_was_checked_is_fixed(self):
        """A known leak of a kind that no run of its test looked for is not called fixed, and stays on record."""
        entry = {"fingerprint": "0" * 16, "kind": "thread", "name": "left", "tests": ["a.test"], "since": "2026-01-01"}
        known = self.put("known", json.dumps({"version": 1, "leaks": [entry]}))
        for name in ("a.jsonl", "a.json"):
            for kinds, is_fixed in ((("process", "thread", "task"), True), (("task",), False), ((), False)):
                with self.subTest(name=name, kinds=kinds):
                    record = a_record("1", ("a.test", "passed", 0.0, 0.0, (), "", kinds))
                    process = run_python("-m", "leakguard", "--leak-merge", self.write(name, record), "--leak-known", known)
                    self.assertEqual("Fixed: thread 'left'" in process.stderr, is_fixed, process.stderr)

    def test_what_was_checked_is_on_record(self):
        """A run says of a test what it was checked for where that is not the default, and nothing otherwise."""
        for options, kinds in (((), None), (("--leak-kinds", "task"), ["task"]), (("--leak-action", "off"), [])):
            with self.subTest(options=options):
                path = self.path("a.json")
                run_python("-m", "leakguard", *options, "--leak-report", path, "planted_clean", cwd=PLANTED)
                with open(path, encoding="utf-8") as file:
                    self.assertEqual({str(test.get("kinds")) for test in json.load(file)["tests"]}, {str(kinds)})

    def test_without_our_runner(self):
        """The mixin alone says it, too."""
        for environ, kinds in (({"LEAKGUARD_KINDS": "task"}, ("task",)), ({"LEAKGUARD_ACTION": "off"}, ())):
            with tempfile.TemporaryDirectory() as folder:
                run_python("-m", "unittest", "planted_mixin", cwd=PLANTED, LEAKGUARD_REPORT=folder, **environ)
                self.assertEqual({test.kinds for test in merge.read([folder]).tests}, {kinds})

    def test_two_runs_of_one_test(self):
        """What only one of two runs looked for is not known to be gone."""
        self.write("1.jsonl", a_record("1", ("t", "passed", 0.0, 0.0, (), "", ("thread", "task"))))
        self.write("2.jsonl", a_record("2", ("t", "passed", 0.0, 0.0, (), "", ("thread",))))
        self.assertEqual(merge.read([self.folder]).kinds_checked(), {"t": {"thread"}})


class MalformedTests(FolderCase):
    def test_what_is_malformed_hides_no_other(self):
        """A file with one test or leak that lacks a field, has a wrong type or is nested too deeply is named."""
        self.write("good.jsonl", a_record("1", "a.test", leaks=[leak()]))
        whole = json.loads("".join(json_report.lines(a_record("2", "b.test", leaks=[leak()]))))
        for where, name, value in (
            ("leaks", "test", None), ("leaks", "kind", 5), ("leaks", "now_at", 5), ("leaks", "origin", []),
            ("leaks", "counted", "x"), ("tests", "id", None), ("tests", "seconds", "x"), ("tests", "outcome", "fine"),
            ("tests", "live", ["x"]), ("tests", "details", 5), ("tests", "live", [True]), ("tests", "seconds", float("nan")),
            ("tests", "waited", 10**400), ("tests", "otherwise", "fine"), ("leaks", "now_at", [5]),
        ):  # fmt: skip
            broken = json.loads(json.dumps(whole))
            broken[where][0][name] = value
            if value is None:
                del broken[where][0][name]
            self.put("bad.json", json.dumps(broken))
            with self.subTest(where=where, name=name):
                record = merge.read([self.folder])
                (problem,) = record.problems
                self.assertIn(f"{self.path('bad.json')} cannot be read: ", problem)
                self.assertEqual([test.id for test in record.tests], ["a.test"])

    def test_nested_too_deeply(self):
        """Neither format ends the merge by it."""
        deep = "[" * 100_000 + "]" * 100_000
        self.put("bad.json", deep)
        begin, *rest = jsonl.lines(a_record("1", "a.test"))
        self.put("bad.jsonl", "".join([begin, f"{deep}\n", *rest]))
        record = merge.read([self.folder])
        self.assertEqual(([test.id for test in record.tests], len(record.problems)), (["a.test"], 2))

    @unittest.skipUnless(hasattr(os, "mkfifo"), "FIFOs are of POSIX")
    def test_no_regular_file(self):
        """A FIFO is named, and not waited for."""
        self.write("a.jsonl", a_record("1", "a.test"))
        os.mkfifo(self.path("b.json"))
        record = merge.read([self.folder])
        self.assertEqual(record.problems, (f"{self.path('b.json')} is no regular file",))
        self.assertEqual(len(record.tests), 1)

    def test_the_first_line_is_missing(self):
        """What is there is taken, and that something is missing is said."""
        path = self.put("a.jsonl", "".join(list(jsonl.lines(a_record("1", "a.test", leaks=[leak()])))[1:]))
        record = merge.read([path])
        self.assertEqual((len(record.tests), len(record.reports)), (1, 1))
        self.assertEqual(record.problems, (f"{path} lacks its first line: which process wrote it is not known",))


class KnownAtMergeTests(FolderCase):
    def merged(self, test, note="", *, fingerprint="1" * 16):
        """Merge one test that left a known leak, reported with a note; return the status, the outcomes and what was said."""
        entry = {"fingerprint": "1" * 16, "kind": "thread", "name": "left", "tests": ["a.test"], "since": "2026-01-01"}
        known_file = self.put("known", json.dumps({"version": 1, "leaks": [entry]}))
        found = leak()._replace(fingerprint=fingerprint)
        record = a_record("1", test)._replace(reports=(LeakReport("test", "a.test", "t", (found,), note=note),))
        path, out = self.write("a.jsonl", record), self.path("out.json")
        process = run_python("-m", "leakguard", "--leak-merge", path, "--leak-known", known_file, "--leak-report", out)
        with open(out, encoding="utf-8") as file:
            return process.returncode, [test["outcome"] for test in json.load(file)["tests"]], process.stderr

    def failed(self, leaked):
        """A test that failed, for its leak alone or not."""
        return ("a.test", "failed", 0.0, 0.0, (), "why", ("process", "thread", "task"), leaked)

    def test_a_test_that_failed_for_known_leaks_alone(self):
        """It has not failed; a new leak, or a failure of its own, is one as before."""
        self.assertEqual(self.merged(self.failed(True))[:2], (0, ["passed"]))
        self.assertEqual(self.merged(self.failed(True), fingerprint="2" * 16)[:2], (1, ["failed"]))
        self.assertEqual(self.merged(self.failed(False))[:2], (1, ["failed"]))
        self.assertEqual(self.merged(self.failed(True), "logged: the test had already failed")[:2], (1, ["failed"]))

    def test_what_would_have_come_of_it(self):
        """What was skipped, or was to fail, is that again: a skipped test shows nothing to be gone."""
        for outcome in ("skipped", "expected failure"):
            self.assertEqual(self.merged((*self.failed(True), outcome))[:2], (0, [outcome]))

    def test_what_is_recorded_of_others(self):
        """A test that is skipped, or expected to fail, and leaks is on record as that but for its leak."""
        self.put("test_other.py", textwrap.dedent("""
            import threading, unittest
            from leakguard import LeakGuardTestCase

            class Tests(LeakGuardTestCase):
                leak_grace = 0

                def setUp(self):
                    threading.Thread(target=threading.Event().wait, daemon=True).start()

                def test_skipped(self):
                    self.skipTest("why")

                @unittest.expectedFailure
                def test_expected(self):
                    self.fail()

                def test_failed(self):
                    self.fail()
        """))
        for module in ("leakguard", "unittest"):
            with self.subTest(module), tempfile.TemporaryDirectory() as folder:
                run_python("-m", module, "test_other", cwd=self.folder, LEAKGUARD_REPORT=folder)
                tests = {test.id.rpartition("_")[2]: (test.leaked, test.otherwise) for test in merge.read([folder]).tests}
                wanted = {"skipped": (True, "skipped"), "expected": (True, "expected failure"), "failed": (False, "")}
                self.assertEqual(tests, wanted)

    def test_known_and_fixed(self):
        """What one process calls fixed and another one shows is not fixed."""
        found = leak()._replace(known=True, counted=False, fingerprint="1" * 16)
        line = str(known._entry(found, ""))
        self.write("1.jsonl", a_record("1", "a.test")._replace(fixed=(line, "other")))
        self.write("2.jsonl", a_record("2", "a.test", leaks=[found]))
        record, _ = known.applied(merge.read([self.folder]), known.NONE)
        self.assertEqual(record.fixed, ("other",))

    def test_what_is_recorded(self):
        """Both our runner and the mixin alone say of a test, class or module that it failed for a leak alone."""
        for module in ("leakguard", "unittest"):
            with tempfile.TemporaryDirectory() as folder:
                run_python("-m", module, "planted_mixin", cwd=PLANTED, LEAKGUARD_REPORT=folder, LEAKGUARD_GRACE="0")
                tests = {test.id.rpartition(".")[2]: test.leaked for test in merge.read([folder]).tests}
                self.assertEqual((tests["test_leak"], tests["test_clean"]), (True, False))

    def test_where_leaks_are_known(self):
        """The summary names the file of the merge for its own entries only."""
        self.write("a.json", a_record("1", "a.test", leaks=[leak(counted=False)._replace(known=True, fingerprint="3")]))
        process = run_python("-m", "leakguard", "--leak-merge", self.folder)
        self.assertIn("Known: 1 leak of 1 entry where they were found\n", process.stderr)
        self.assertNotIn("to remove", process.stderr)


class CheckTests(FolderCase):
    def test_both_formats_say_the_same(self):
        """Scope, title, note and ignored matches of every check are read from a .json as they are from a .jsonl."""
        late = (leak("late", counted=False),)
        reports = (
            LeakReport("block", "block", "block", (leak("a", "block"),), 0.5),
            LeakReport("test", "a.test", "t", (leak("b"), leak("c")), 0.5, "tolerated: the threshold is 2", (("thread:x", "x"),)),
            LeakReport("module", "m", "module m", (leak("d", "m"),), 0.25, ended_late=late),
        )
        record = a_record("1", "a.test")._replace(reports=reports)
        for name in ("a.json", "a.jsonl"):
            self.assertEqual(merge.read([self.write(name, record)]), record)

    def test_a_report_without_checks(self):
        """One that was written before, or of which leaks were taken out, is read as well as can be."""
        record = a_record("1", "a.test", leaks=[leak(), leak("other")])
        data = json.loads("".join(json_report.lines(record)))
        del data["leaks"][0]
        for text in (json.dumps(data), json.dumps({name: data[name] for name in data if name != "checks"})):
            found = merge.read([self.put("a.json", text)])
            self.assertEqual([one.name for report in found.reports for one in report.leaks], ["other"])

    def test_fixed_leaks_are_in_the_lines(self):
        """The last line of a run's .jsonl names them, as its .json does."""
        fixed = "thread 'gone'"
        entry = {"fingerprint": "1" * 16, "kind": "thread", "name": "gone", "since": "2026-01-01"}
        entry["tests"] = ["planted_clean"]
        known = self.put("known", json.dumps({"version": 1, "leaks": [entry]}))
        paths = [self.path("a.json"), self.path("a.jsonl")]
        reports = [word for path in paths for word in ("--leak-report", path)]
        run_python("-m", "leakguard", "--leak-known", known, *reports, "planted_clean", cwd=PLANTED)
        found = [merge.read([path]).fixed for path in paths]
        self.assertEqual(found[0], found[1])
        self.assertIn(fixed, found[1][0])


if __name__ == "__main__":
    unittest.main()
