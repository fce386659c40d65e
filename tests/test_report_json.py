"""`leakguard.report.json`: one object, written whole or not at all."""

import json
import os
import stat
import sys
import tempfile
import unittest
from unittest import mock

from leakguard.model import Leak, LeakReport
from leakguard.record import RunRecord, TestRecord
from leakguard.report import files
from leakguard.report import json as json_report

LEAK = Leak("thread", "naïve \\n", "alive", "a.test", "a.py:1 in f", ("b.py:2 in g", "a.py:3 in h"))
LATE = LEAK._replace(verdict="ended late", counted=False)
REPORTS = [
    LeakReport("test", "a.test", "a title", (LEAK, LEAK), 0.5, "", (("thread:a*", "ab"), ("thread:a*", "ac"))),
    LeakReport("test", "b.test", "b title", (), 0.1, "", (("task:x", "x"),), (LATE,)),
    LeakReport("run", "unattributed", "the run", (Leak("task", "t", "pending", "unattributed", counted=False),)),
]

OTHER = RunRecord(seconds=3.0)
RECORD = RunRecord(
    environment={"python": "3.13.0", "host": "bücher"},
    tests=(
        TestRecord("a.test", "failed", 1.25, 0.5, (6, 0, 0, 238), 'a "text"\n'),
        TestRecord("b.test", "passed", 0.000001, 0.0, (6, -1, -1, -1)),
        TestRecord("setUpClass (c.Case)", "error"),
    ),
    reports=tuple(REPORTS),
    before=(1, 0, 0, 5),
    seconds=2.5,
    fixed=("a line",),
    problems=("a file is cut",),
)


class ShapeTests(unittest.TestCase):
    maxDiff = None

    def test_the_object(self):
        """Everything that is on record, the leaks in order, each test's own number of them, and the rules that matched."""
        a_test = {"id": "a.test", "outcome": "failed", "seconds": 1.25, "waited": 0.5, "live": [6, 0, 0, 238]}
        b_test = {"id": "b.test", "outcome": "passed", "seconds": 1e-06, "waited": 0.0, "live": [6, -1, -1, -1]}
        fixture = {"id": "setUpClass (c.Case)", "outcome": "error", "seconds": 0.0, "waited": 0.0, "live": []}
        self.assertEqual(
            json_report.as_dict(RECORD),
            {
                "version": 1,
                "tests_run": 2,
                "seconds": 2.5,
                "environment": {"python": "3.13.0", "host": "bücher"},
                "leaks": [LEAK.as_dict(), LEAK.as_dict(), REPORTS[2].leaks[0].as_dict()],
                "ended_late": [LATE.as_dict()],
                "tests": [
                    {**a_test, "details": 'a "text"\n', "leaks": 2},
                    {**b_test, "details": "", "leaks": 0},
                    {**fixture, "details": "", "leaks": 0},
                ],
                "before": [1, 0, 0, 5],
                "checks": [
                    {**one.as_dict(), "leaks": leaks, "ended_late": late}
                    for one, leaks, late in zip(RECORD.reports, (2, 0, 1), (0, 1, 0))
                ],
                "ignored": [{"rule": "task:x", "matches": 1}, {"rule": "thread:a*", "matches": 2}],
                "fixed": ["a line"],
                "problems": ["a file is cut"],
            },
        )

    def test_a_line_for_each(self):
        """Each test and each leak has a line of its own, so that two reports can be compared."""
        lines = "".join(json_report.lines(RECORD)).splitlines()
        self.assertEqual(sum(line.startswith('    {"id": ') for line in lines), 3)
        self.assertEqual(sum(line.startswith('    {"kind": ') for line in lines), 4)

    def test_a_leak_has_what_a_reader_may_rely_on(self):
        """Each leak is an object with at least these keys."""
        for leak in json_report.as_dict(RECORD)["leaks"]:
            self.assertLessEqual({"test", "kind", "name", "state", "origin", "now_at", "counted"}, set(leak))

    def test_an_empty_run(self):
        """A run that found nothing has the same keys."""
        empty = json_report.as_dict(RunRecord())
        self.assertEqual(set(empty), set(json_report.as_dict(RECORD)))
        self.assertEqual((empty["tests_run"], empty["leaks"], empty["tests"], empty["ignored"]), (0, [], [], []))


class WriteTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.path = os.path.join(folder.name, "leaks.json")

    def read(self):
        """Return what the file has."""
        with open(self.path, encoding="utf-8") as file:
            return json.load(file)

    def test_what_is_written_can_be_read(self):
        """The file is the object, as UTF-8, and ends with a line end; nothing else is left in its folder."""
        json_report.write(self.path, RECORD)
        self.assertEqual(self.read(), json_report.as_dict(RECORD))
        with open(self.path, "rb") as file:
            self.assertTrue(file.read().endswith(b"}\n"))
        self.assertEqual(os.listdir(self.folder), ["leaks.json"])

    def test_an_old_file_is_replaced(self):
        """A report takes the place of the one before."""
        json_report.write(self.path, RECORD)
        json_report.write(self.path, OTHER)
        self.assertEqual(self.read(), json_report.as_dict(OTHER))

    def test_a_path_without_a_folder_is_in_the_current_one(self):
        """``FILE.json`` alone is written where the run was started."""
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        json_report.write("leaks.json", OTHER)
        self.assertEqual(self.read(), json_report.as_dict(OTHER))

    @unittest.skipIf(sys.platform == "win32", "Windows has no such modes")
    def test_the_mode_is_that_of_any_new_file(self):
        """Others may read the report if the umask lets them, which is left as it was."""
        old = os.umask(0o027)
        try:
            json_report.write(self.path, OTHER)
            self.assertEqual(os.umask(0o027), 0o027)
        finally:
            os.umask(old)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o640)

    def test_a_failing_write_leaves_the_old_file(self):
        """If the last step fails, the old report is whole and no temporary file is left."""
        json_report.write(self.path, RECORD)
        for error in (OSError("disk full"), KeyboardInterrupt()):
            with self.subTest(error=error):
                with mock.patch.object(os, "replace", side_effect=error), self.assertRaises(type(error)):
                    json_report.write(self.path, OTHER)
                self.assertEqual(self.read(), json_report.as_dict(RECORD))
                self.assertEqual(os.listdir(self.folder), ["leaks.json"])

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs a device that is always full")
    def test_a_full_disk_leaves_the_old_file(self):
        """A disk that is full while the text is written leaves the old report and no temporary file."""
        json_report.write(self.path, RECORD)

        def on_a_full_disk(descriptor, *args, **kwargs):
            os.close(descriptor)
            return open("/dev/full", *args, **kwargs)

        with mock.patch.object(files, "open", on_a_full_disk, create=True), self.assertRaises(OSError):
            json_report.write(self.path, OTHER)
        self.assertEqual(self.read(), json_report.as_dict(RECORD))
        self.assertEqual(os.listdir(self.folder), ["leaks.json"])

    def test_a_folder_that_is_not_there_is_an_os_error(self):
        """Nothing is made where the report cannot be."""
        with self.assertRaises(OSError):
            json_report.write(os.path.join(self.folder, "none", "leaks.json"), OTHER)
        self.assertEqual(os.listdir(self.folder), [])


if __name__ == "__main__":
    unittest.main()
