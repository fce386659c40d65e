"""What will keep the interpreter from exiting is said before it hangs."""

import concurrent.futures
import subprocess
import sys
import threading
import unittest
from unittest import mock

from leakguard import exit
from tests.doubles import BlockedThread
from tests.guarded import place, run_inner
from tests.planting import PLANTED, environment

SCRIPT = PLANTED / "blocks_exit.py"
PATIENCE = 120.0
"""Seconds until a child that says nothing is ended, so that its test fails and does not hang."""


class WarningTests(unittest.TestCase):
    """The lines of the warning."""

    def test_nothing(self):
        """Nothing is said of daemons, of idle workers and of threads that have ended."""
        BlockedThread(daemon=True).start_in(self)
        BlockedThread(daemon=False).start_blocked().end()
        executor = concurrent.futures.ThreadPoolExecutor(1)
        self.addCleanup(executor.shutdown)
        executor.submit(int).result()
        self.assertEqual([line for line in exit.warning() if "Blocked" in line or "Pool" in line], [])

    def test_leaked_thread(self):
        """A thread that is no daemon is named, with its line and the test that started it."""

        def leaks(test):
            thread = BlockedThread(name="reader", daemon=False)
            self.addCleanup(thread.end)
            thread.start()  # starts

        run_inner(leaks)
        lines = exit.warning()
        self.assertEqual(lines[0], "Will keep the process from exiting:")
        self.assertIn(
            f"  thread 'reader' created at {place(leaks, 'starts')}, started by inner.Inner.test_0", lines
        )

    def test_unknown_line(self):
        """One that was started while no guard was active is named without a line."""
        from leakguard.hooks import hooks

        if hooks._users:
            self.skipTest("a guard is active around this test")
        BlockedThread(name="early", daemon=False).start_in(self)
        self.assertIn("  thread 'early' created at an unknown line", exit.warning())

    def test_a_thread_that_cannot_be_described(self):
        """A class whose property raises hides no other thread."""

        class Broken(BlockedThread):
            @property
            def daemon(self):
                if is_broken:
                    raise OSError("broken")
                return False

        is_broken = []
        Broken().start_in(self)
        BlockedThread(name="other", daemon=False).start_in(self)
        is_broken.append(True)
        lines = exit.warning()
        is_broken.clear()
        self.assertIn("  a thread that cannot be described: OSError: broken", lines)
        self.assertTrue(any("'other'" in line for line in lines), lines)

    def test_not_said_twice(self):
        """What the runner has printed is not printed again at the exit."""
        BlockedThread(name="reader", daemon=False).start_in(self)
        lines = exit.warning()
        with mock.patch.object(exit, "_said", []), mock.patch("sys.stderr") as stderr:
            exit._announce()
            exit.remember(lines)
            exit._announce()
        self.assertEqual(stderr.write.call_count, 1)
        (text,) = stderr.write.call_args[0]
        self.assertEqual(text, "leakguard: " + "\n".join(lines) + "\n")


class ExitTests(unittest.TestCase):
    """The end of a process."""

    def run_script(self, *arguments):
        """Run the planted script to the point where it waits for its standard input; then end that."""
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *arguments],
            env=environment(),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        try:
            lines = [] if arguments else [process.stderr.readline(), process.stderr.readline()]
            process.stdin.close()
            lines.append(process.stderr.read())
            process.stderr.close()
            return lines, process.wait()
        finally:
            watchdog.cancel()
            watchdog.join()

    def test_said_before_it_hangs(self):
        """The warning is there while the interpreter waits, without the runner too."""
        lines, code = self.run_script()
        line = next(n for n, text in enumerate(SCRIPT.read_text().splitlines(), 1) if "threading.Thread" in text)
        self.assertEqual(lines[0], "leakguard: Will keep the process from exiting:\n")
        self.assertRegex(
            lines[1],
            rf"^  thread 'reader' created at .*planted_hostile/blocks_exit\.py:{line} in ExitTests\.test_leak, "
            r"started by __main__\.ExitTests\.test_leak$",
        )
        self.assertEqual((lines[2], code), ("", 0))

    def test_no_stderr(self):
        """Without a standard error nothing is said, and nothing breaks."""
        self.assertEqual(self.run_script("no-stderr"), ([""], 0))


if __name__ == "__main__":
    unittest.main()
