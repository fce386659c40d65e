"""`leakguard.report.jsonl`: one object a line, and what every format shares."""

import json
import unittest

from leakguard.record import DEFAULT_KINDS, RunRecord, TestRecord
from leakguard.report import jsonl, protocol
from tests.test_report_json import RECORD


class LineTests(unittest.TestCase):
    maxDiff = None

    def test_the_lines_of_a_record(self):
        """The first line says what the process is, the last that it has ended; between are its tests and its leaks."""
        events = [json.loads(line) for line in jsonl.lines(RECORD)]
        self.assertEqual([event["event"] for event in events], ["begin", *["test"] * 3, *["leaks"] * 3, "end"])
        self.assertEqual(
            events[0],
            {"event": "begin", "version": 1, "environment": {"python": "3.13.0", "host": "bücher"}, "before": [1, 0, 0, 5]},
        )
        report = RECORD.reports[0]
        self.assertEqual(
            events[4],
            {
                "event": "leaks",
                "scope": "test",
                "owner": "a.test",
                "title": "a title",
                "leaks": [leak.as_dict() for leak in report.leaks],
                "waited": 0.5,
                "note": "",
                "ignored": [["thread:a*", "ab"], ["thread:a*", "ac"]],
                "ended_late": [],
            },
        )
        self.assertEqual(
            events[-1],
            {"event": "end", "seconds": 2.5, "tests_run": 2, "fixed": ["a line"], "problems": ["a file is cut"]},
        )

    def test_every_line_is_whole(self):
        """Whatever a name or a text has in it, an event is one line of ASCII that any reader takes."""
        for text in ("a\nb", "\u2028", '"\\', "\udc80", "\0", "naïve"):
            with self.subTest(text=text):
                lines = [jsonl.start_line(text), jsonl.test_line(TestRecord(text, details=text))]
                for line in lines:
                    self.assertEqual((line.count("\n"), line[-1], line.isascii()), (1, "\n", True))
                    self.assertEqual(json.loads(line)["id"], text)
                self.assertEqual(json.loads(lines[1])["details"], text)

    def test_an_empty_run(self):
        """A run without tests has a first line and a last one."""
        self.assertEqual([json.loads(line)["event"] for line in jsonl.lines(RunRecord())], ["begin", "end"])


class FieldTests(unittest.TestCase):
    def test_the_fields_of_a_test_are_all_there_is(self):
        """What is put together by hand is what the encoder of the library says of the same data."""
        unchecked = TestRecord("x", "skipped", 12345.678901, 1e-6, (1, 2, 3), "why", ())
        for test in (*RECORD.tests, unchecked, unchecked._replace(kinds=("file",), leaked=True, otherwise="skipped")):
            wanted = {**test._asdict(), "live": list(test.live), "kinds": list(test.kinds)}
            if test.kinds == DEFAULT_KINDS:
                del wanted["kinds"]
            for name in ("leaked", "otherwise"):
                if not wanted[name]:
                    del wanted[name]
            self.assertEqual(json.loads(f"{{{protocol.test_fields(test)}}}"), wanted)


if __name__ == "__main__":
    unittest.main()
