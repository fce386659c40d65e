"""`leakguard.journal`: lines that are on disk as soon as they are written, and a disk that does not take them."""

import contextlib
import io
import json
import os
import tempfile
import threading
import unittest
import warnings
from unittest import mock

from leakguard import journal
from leakguard.journal import Journal


class JournalTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "report.jsonl")

    def open(self, path=None, flags=0):
        """An open journal."""
        made = Journal(path or self.path, flags)
        made.open()
        self.addCleanup(made.close)
        return made

    def text(self):
        """What the file has now."""
        with open(self.path, encoding="ascii") as file:
            return file.read()

    def test_each_line_is_there_at_once(self):
        """A line is in the file before the call returns: nothing is held back for a flush that may never come."""
        made = self.open()
        for number in range(3):
            made.starts(f"test {number}")
            self.assertEqual(self.text().count("\n"), number + 1)
            self.assertEqual(json.loads(self.text().splitlines()[-1]), {"event": "start", "id": f"test {number}"})

    def test_an_old_file(self):
        """It is emptied, refused or gone on with, as the flags say."""
        with open(self.path, "w", encoding="ascii") as file:
            file.write("old\n")
        self.open().write("new\n")
        self.assertEqual(self.text(), "old\nnew\n")
        with contextlib.redirect_stderr(io.StringIO()) as said:
            refused = self.open(flags=os.O_EXCL)
            refused.write("lost\n")
        self.assertIn("File exists", said.getvalue())
        self.open(flags=os.O_TRUNC)
        self.assertEqual(self.text(), "")

    def test_lines_of_many_threads_do_not_mix(self):
        """Every line is one call of the system, at the end of the file."""
        made = self.open()
        lines = [f"{letter * 500}\n" for letter in "abcdefgh"]

        def write(line):
            for _ in range(50):
                made.write(line)

        threads = [threading.Thread(target=write, args=(line,)) for line in lines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(self.text().splitlines(True)), sorted(lines * 50))

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs a device that is always full")
    def test_a_full_disk(self):
        """It is said once, whatever is written after, and raises nothing."""
        with contextlib.redirect_stderr(io.StringIO()) as said:
            made = self.open("/dev/full")
            for _ in range(3):
                made.write("a line\n")
        self.assertEqual(
            said.getvalue(),
            "leakguard: the report could not be written to /dev/full: [Errno 28] No space left on device\n",
        )
        self.assertEqual(made.problem, "[Errno 28] No space left on device")

    def test_a_disk_that_was_full_for_a_while(self):
        """A line that was cut is ended before the next one, and the end says how many were lost."""
        made = self.open()
        write = os.write
        with contextlib.redirect_stderr(io.StringIO()):
            with mock.patch.object(journal, "_write", lambda descriptor, data: write(descriptor, data[:5])):
                made.write("a long line\n")
            with mock.patch.object(journal, "_write", side_effect=OSError("no space")):
                made.write("another line\n")
        made.starts("next")
        made.rests(1.0, 2)
        cut, start, end = self.text().splitlines()
        self.assertEqual((cut, json.loads(start)), ("a lon", {"event": "start", "id": "next"}))
        self.assertEqual(
            json.loads(end)["problems"], ["2 events could not be written: only 5 of 12 bytes fit"]
        )

    def test_a_disk_that_was_full_at_first(self):
        """The first line is written before the next one that fits, and is not counted as lost."""
        made = self.open()
        with contextlib.redirect_stderr(io.StringIO()):
            with mock.patch.object(journal, "_write", side_effect=OSError("no space")):
                made.begins({"process": "1"}, (1,))
        made.starts("next")
        made.rests(1.0, 2)
        begin, start, end = map(json.loads, self.text().splitlines())
        self.assertEqual((begin["event"], begin["before"], start["id"], end["problems"]), ("begin", [1], "next", []))

    def test_tests_that_replace_the_system(self):
        """What a test has put in the place of os.write and open does not reach the report."""
        made = self.open()
        with mock.patch("os.write", side_effect=AssertionError), mock.patch("builtins.open", side_effect=AssertionError):
            made.write("a line\n")
        self.assertEqual(self.text(), "a line\n")

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_writes_nothing(self):
        """In a child the journal is closed, and its parent's goes on."""
        made = self.open()
        made.write("before\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a thread of before may not be gone for the system yet
            pid = os.fork()
        if pid == 0:
            made.write("of the child\n")
            os._exit(0 if made._descriptor == -1 else 1)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        made.write("after\n")
        self.assertEqual(self.text(), "before\nafter\n")

    def test_closed_by_a_test(self):
        """A test that closes every descriptor costs the rest of the report, which is said, and nothing else."""
        made = self.open()
        os.close(made._descriptor)
        with contextlib.redirect_stderr(io.StringIO()) as said:
            made.write("a line\n")
            made.close()
            made.close()
        self.assertIn("Bad file descriptor", said.getvalue())
        self.assertEqual(said.getvalue().count("\n"), 1)


if __name__ == "__main__":
    unittest.main()
