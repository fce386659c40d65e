"""The end of a run in a terminal: colours, growth, known leaks, slow checks, and that it fits a screen."""

import io
import os
import sys
import tempfile
import types
import unittest
from unittest import mock

from leakguard.model import Leak, LeakReport
from leakguard.record import TestRecord
from leakguard.report import terminal, text
from leakguard.report.terminal import can_show, courses, fixed, known, painted, slowest, sparkline, wants_colour
from tests.suites import ROOT, run_python


class Terminal(io.StringIO):
    """A stream that is a terminal, or says what else it is."""

    def __init__(self, answer=True):
        super().__init__()
        self.answer = answer

    def isatty(self):
        """As the script says."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class ColourTests(unittest.TestCase):
    def test_who_gets_colours(self):
        """A terminal does; PYTHON_COLORS, NO_COLOR, FORCE_COLOR and TERM=dumb change that, in this order."""
        table = [
            (True, {}, True),
            (False, {}, False),
            (ValueError("closed"), {}, False),
            (True, {"NO_COLOR": "1"}, False),
            (True, {"NO_COLOR": ""}, True),
            (False, {"FORCE_COLOR": "1"}, True),
            (True, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
            (True, {"TERM": "dumb"}, False),
            (False, {"TERM": "dumb", "FORCE_COLOR": "1"}, True),
            (True, {"PYTHON_COLORS": "0", "FORCE_COLOR": "1"}, False),
            (False, {"PYTHON_COLORS": "1", "NO_COLOR": "1"}, True),
            (True, {"PYTHON_COLORS": "yes"}, True),
        ]
        with mock.patch.object(sys, "platform", "linux"):
            for answer, environ, expected in table:
                with self.subTest(answer=answer, environ=environ):
                    self.assertEqual(wants_colour(Terminal(answer), environ), expected)

    def test_windows(self):
        """There a terminal shows colours if it is Windows Terminal."""
        with mock.patch.object(sys, "platform", "win32"):
            self.assertFalse(wants_colour(Terminal(), {}))
            self.assertTrue(wants_colour(Terminal(), {"WT_SESSION": "x"}))

    def test_without_the_environment(self):
        """Under -E Python itself does not read PYTHON_COLORS."""
        with mock.patch.object(sys, "flags", types.SimpleNamespace(ignore_environment=1)):
            self.assertFalse(wants_colour(Terminal(False), {"PYTHON_COLORS": "1"}))

    def test_the_python_agrees(self):
        """From 3.13 on unittest decides the same."""
        try:
            from _colorize import can_colorize
        except ImportError:
            self.skipTest("Python decides about colours from 3.13 on")
        for environ in ({"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}, {"PYTHON_COLORS": "0", "FORCE_COLOR": "1"}):
            with self.subTest(environ), mock.patch.dict("os.environ", environ, clear=True):
                self.assertEqual(wants_colour(sys.__stdout__, environ), can_colorize())

    def test_what_is_coloured(self):
        """The heading of a line, no more; a line without one stays as it is."""
        lines = ["Leaks: 1 in 1 test", "     1 x thread   a.py:1 in f", "Fixed: thread 'a'"]
        self.assertEqual(
            painted(lines),
            ["\x1b[1;31mLeaks:\x1b[0m 1 in 1 test", "     1 x thread   a.py:1 in f", "\x1b[32mFixed:\x1b[0m thread 'a'"],
        )


class SparklineTests(unittest.TestCase):
    def test_lines(self):
        """The lowest value is the lowest bar, the highest the highest."""
        table = [
            ([], 40, ""),
            ([1], 40, ""),
            ([1, 2], 0, ""),
            ([0, 7], 40, "▁█"),
            ([6, 6, 6], 40, "▁▁▁"),
            ([1, 2, 3, 4, 5, 6, 7, 8], 40, "▁▂▃▄▅▆▇█"),
            ([-1, 1, -1, 2], 40, "▁█"),
            ([6, 100, 238], 40, "▁▃█"),
        ]
        for values, width, line in table:
            with self.subTest(values=values, width=width):
                self.assertEqual(sparkline(values, width), line)

    def test_many_values(self):
        """A long run is cut into parts, each shown by its highest value, so that no peak is lost."""
        values = [0] * 10000
        values[4321] = 7
        line = sparkline(values, 40)
        self.assertEqual((len(line), line.count("█"), line[17]), (40, 1, "█"))

    def test_who_can_show_it(self):
        """An encoding without bars gets none; a stream without one takes any text."""
        table = [("utf-8", True), ("ascii", False), ("latin-1", False), ("nonsense", False), (None, True), (3, False)]
        for encoding, expected in table:
            with self.subTest(encoding):
                self.assertEqual(can_show(types.SimpleNamespace(encoding=encoding)), expected)

    def test_of_a_run(self):
        """Each kind that was counted after the tests has its line; one that never was has none."""
        tests = [TestRecord("a", live=(6, 0, -1)), TestRecord("b"), TestRecord("c", live=(238, 0, -1))]
        self.assertEqual(courses(tests), {"threads": "▁█", "tasks": "▁▁", "processes": "", "files": ""})

    def test_in_the_growth(self):
        """The course of a kind comes after its two counts, where it is known."""
        counts = {"threads": 6, "tasks": 0}, {"threads": 238, "tasks": 0}
        self.assertEqual(
            text.growth(*counts, {"threads": "▁▃█"}), ["Growth over the run: threads 6 -> 238 ▁▃█, tasks 0 -> 0"]
        )


class LineTests(unittest.TestCase):
    def test_slowest(self):
        """The five that waited longest, several checks of one test added up; a wait of a moment is none."""
        waits = [("a", 0.75), ("b", 0.05), ("a", 0.75), *[(f"t{n}", 0.25 * n) for n in range(1, 8)]]
        self.assertEqual(
            slowest(waits),
            [
                "Slowest to settle: 8 tests waited 8.50 s",
                "    1.75 s  t7",
                "    1.50 s  a",
                "    1.50 s  t6",
                "    1.25 s  t5",
                "    1.00 s  t4",
            ],
        )
        self.assertEqual(slowest([("a", 0.09)]), [])

    def test_known(self):
        """How many leaks, of how many entries, in which file; nothing if none was there."""
        one = Leak("thread", "a", "alive", "t", fingerprint="1", known=True, counted=False)
        reports = [LeakReport("test", "t", "t", (one, one._replace(fingerprint="2"), one._replace(known=False)))]
        self.assertEqual(known(reports, "known.json"), ["Known: 2 leaks of 2 entries, in known.json"])
        self.assertEqual(known(reports[:0], "known.json"), [])

    def test_fixed(self):
        """Three are named and the others counted; the last line says how they are removed."""
        how = "(to remove: --leak-known k.json --leak-learn k.json)"
        self.assertEqual(fixed([], "k.json"), [])
        self.assertEqual(fixed(["thread 'a'"], "k.json"), [f"Fixed: thread 'a' {how}"])
        self.assertEqual(
            fixed(list("abcde"), "k.json"), ["Fixed: a", "Fixed: b", "Fixed: c", f"Fixed: 2 more {how}"]
        )

    def test_it_fits_a_screen(self):
        """However much leaks, the end of a run has at most 24 lines, and says what it leaves out."""
        leaks = [
            Leak("thread", "a", "alive", f"t{n}", f"a.py:{n % 50} in f", fingerprint="1", known=n % 2 == 0)
            for n in range(500)
        ]
        reports = [LeakReport("test", leak.owner, "t", (leak,), waited=0.5) for leak in leaks]
        rest = text.growth({"threads": 1}, {"threads": 2})
        rest += known(reports, "known.json") + fixed(list("abcde"), "known.json")
        rest += slowest((report.owner, report.waited) for report in reports)
        lines = text.summary(reports, terminal.SCREEN - len(rest))
        self.assertEqual(lines[-1], "  and 20 more lines with 200 leaks, see --leak-report")
        self.assertEqual(len(lines) + len(rest), terminal.SCREEN)
        self.assertEqual(len(text.summary(reports)), 51)

    def test_room(self):
        """Lines are left out only where they do not fit; three are shown however little room there is."""
        reports = [
            LeakReport("test", "t", "t", tuple(Leak("thread", "a", "alive", "t", f"a.py:{n} in f") for n in range(8)))
        ]
        for room, length in [(18, 17), (17, 17), (16, 16), (9, 8), (8, 8), (0, 8)]:
            with self.subTest(room):
                self.assertEqual(len(text.summary(reports, room)), length)


SUITE = """\
import threading, unittest
released = threading.Event()

class T(unittest.TestCase):
    def test_a(self):
        threading.Thread(target=released.wait, name="reader", daemon=True).start()
"""


class RunTests(unittest.TestCase):
    """In a process of its own."""

    def run_suite(self, *arguments, **environ):
        """Run a suite with a leak; return what was printed."""
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "test_one.py"), "w") as file:
                file.write(SUITE)
            arguments = ["-B", "-m", "leakguard", *arguments, "test_one"]
            return run_python(*arguments, cwd=folder, PYTHONPATH=ROOT, **environ).stderr

    def test_a_long_wait(self):
        """While a check waits for more than a second the terminal says for what, and for whom."""
        errors = self.run_suite("-b", "--leak-grace", "1.1")
        line = "leakguard: waiting for thread 'reader' of test_one.T.test_a (up to 1.1 s)"
        self.assertEqual(errors.splitlines().count(line), 1, errors)
        self.assertLess(errors.index(line), errors.index("FAIL: test_a"))
        self.assertRegex(errors, r"\nSlowest to settle: 1 test waited 1\.\d\d s\n    1\.\d\d s  test_one\.T\.test_a\n")
        self.assertNotIn("waiting for", self.run_suite("--leak-grace", "0.2").replace("waiting in", ""))

    def test_colours(self):
        """The summary's headings are coloured where colours are wanted; the message of the error never is."""
        with_colours = self.run_suite("--leak-grace", "0", FORCE_COLOR="1", NO_COLOR="")
        self.assertIn("\n\x1b[1;31mLeaks:\x1b[0m 1 in 1 test, by the line that created them\n", with_colours)
        self.assertIn("\n  thread 'reader' (daemon, alive)\n    created at  test_one.py:6 in T.test_a\n", with_colours)
        without = self.run_suite("--leak-grace", "0", FORCE_COLOR="1", NO_COLOR="1")
        self.assertNotIn("\x1b", without)


if __name__ == "__main__":
    unittest.main()
