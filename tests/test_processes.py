"""Child processes, however they were made."""

import asyncio
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import signal
import subprocess
import sys
import threading
import unittest
from os import fork as fork_unseen  # bound before any guard is active: no hook sees it
from unittest import mock

from leakguard._compat import pause
from leakguard.probes import processes
from tests.doubles import JOIN_SECONDS
from tests.test_runner import run_planted
from tests.guarded import PATIENT, place, run_inner, run_inner_async, while_waiting

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); input()"


def child_of(test, command=("cat",)):
    """A child that waits for its standard input to end, and a cleanup that ends it."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # spawns
    test.addCleanup(end, child)
    return child


def end(child):
    """End a child and wait for it."""
    child.kill()
    child.wait(JOIN_SECONDS)
    child.stdin.close()
    child.stdout.close()


def fork_blocked(test, fork):
    """A forked child that waits until a pipe is closed, and a cleanup that closes it."""
    reader, writer = os.pipe()
    pid = fork()  # forks
    if pid == 0:
        try:
            os.close(writer)
            os.read(reader, 1)
        finally:
            os._exit(0)
    os.close(reader)
    test.addCleanup(wait_for, pid)
    test.addCleanup(os.close, writer)
    return pid


def wait_for(pid):
    """Wait for a child unless somebody has."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass


def is_reaped(pid):
    """Whether there is no such child any more, not even a zombie."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def receive(connection):
    """The target of a child process."""
    connection.recv()


def stop_helpers():
    """End multiprocessing's own helpers, so that this test leaves no process."""
    multiprocessing.forkserver._forkserver._stop()
    if hasattr(multiprocessing.resource_tracker._resource_tracker, "_stop"):
        multiprocessing.resource_tracker._resource_tracker._stop()


@unittest.skipIf(sys.platform == "win32", "needs a POSIX system")
class ProcessTests(unittest.TestCase):
    """Children of a sync test."""

    maxDiff = None

    def test_leak(self):
        """A child that outlives its test fails it, with the line that made it, and is ended and waited for."""
        children = []

        def leaks(test):
            children.append(child_of(self))

        outcome = run_inner(leaks)
        self.assertEqual(
            outcome.messages,
            [
                "1 leak after test_0 (inner.Inner), waited N s\n"
                "\n"
                "  process 'cat' (running)\n"
                f"    created at  {place(child_of, 'spawns')}\n"
                "    fix         terminate() it and wait() for it in a cleanup, or use it in a with block\n"
                "\n"
                "To allow one: leak_ignore = {\"process:cat\": \"why\"}"
            ],
        )
        self.assertEqual((outcome.counts(), children[0].returncode), ((1, 0), -signal.SIGTERM))
        self.assertTrue(is_reaped(children[0].pid))

    def test_command_that_differs_from_run_to_run(self):
        """The random part of a temporary path in a command is no part of its name, nor of its fingerprint."""
        one, other = (
            run_inner(lambda test: child_of(self, ("sh", "-c", "read line", path))).leaks[0]
            for path in ("/tmp/tmpab12cd_3/socket", "/tmp/tmpzz12cd_4/socket")
        )
        self.assertEqual(one.name, "sh -c read line /tmp/tmp*/socket")
        self.assertEqual((one.name, one.fingerprint), (other.name, other.fingerprint))

    @unittest.skipUnless(os.path.exists("/proc/self/task"), "the system does not say which thread made a child")
    def test_shell_of_an_earlier_test_s_thread(self):
        """A child that only C code knows of, of a thread that an earlier test has left, is no leak of the test that sees it."""
        may_begin = threading.Event()

        def run_shell():
            may_begin.wait(JOIN_SECONDS)
            os.system("exec sleep 60")

        def leaves_a_thread(test):
            thread = threading.Thread(target=run_shell, name="runs a shell")
            thread.start()
            self.addCleanup(thread.join, JOIN_SECONDS)

        def looks(test):
            before = set(processes._children())  # helpers of the interpreter's, perhaps
            may_begin.set()
            while set(processes._children()) <= before:
                pause(0.001)
            subprocess.run(["true"], check=True)

        outcome = run_inner(leaves_a_thread, looks, lambda test: None)
        owners = {leak.owner for leak in outcome.leaks if leak.kind == "process"}
        self.assertEqual(owners, {"inner.Inner.test_0"}, outcome.leaks)

    def test_stubborn(self):
        """One that ignores SIGTERM is killed."""
        children = []

        def leaks(test):
            children.append(child_of(self, (sys.executable, "-c", STUBBORN)))
            children[0].stdout.readline()

        with mock.patch.object(processes, "TERMINATE_SECONDS", 0.05):
            outcome = run_inner(leaks, leak_ignore=())
        self.assertEqual((outcome.counts(), children[0].returncode), ((1, 0), -signal.SIGKILL))
        self.assertTrue(is_reaped(children[0].pid))

    def test_clean(self):
        """A child that has ended is no leak, waited for or not."""

        def waits(test):
            subprocess.run(["true"], check=True)

        def leaves_a_zombie(test):
            child = child_of(self, ("true",))
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        self.assertEqual(run_inner(waits, leaves_a_zombie).leaks, [])

    def test_ends_in_time(self):
        """A child that ends within the grace is no leak, and is left for its owner to wait for."""
        children = []

        def just_ends(test):
            children.append(child_of(self))

        with while_waiting("process", lambda: children[0].stdin.close()):
            self.assertEqual(run_inner(just_ends, grace=PATIENT).leaks, [])
        self.assertIsNone(children[0].returncode)
        self.assertEqual(children[0].wait(JOIN_SECONDS), 0)

    def test_ignored(self):
        """A rule is held against the command line, the kind of child and the line."""
        for rule in ("process:cat", "process:subprocess.Popen", "process:*@tests/test_processes.py"):
            with self.subTest(rule=rule):
                self.assertEqual(run_inner(lambda test: child_of(self), leak_ignore={rule: "why"}).leaks, [])

    def test_reported_once(self):
        """A child is reported once, though it outlives its end for good."""
        with mock.patch.object(processes, "_send"), mock.patch.object(processes, "TERMINATE_SECONDS", 0):
            outcome = run_inner(lambda test: child_of(self), lambda test: None, lambda test: None)
        self.assertEqual([leak.owner for leak in outcome.leaks], ["inner.Inner.test_0"])

    def test_baseline(self):
        """A child that was there before is none of the test's, and lives on."""
        child = child_of(self)
        outcome = run_inner(lambda test: child_of(self), lambda test: None)
        self.assertEqual([leak.owner for leak in outcome.leaks], ["inner.Inner.test_0"])
        self.assertIsNone(child.poll())

    def test_allowed(self):
        """A test may allow a child by its pid or by the object that made it."""

        def by_pid(test):
            test.allowLeak(child_of(self).pid, "shared")

        def by_object(test):
            test.allowLeak(child_of(self), "shared")

        def by_process(test):
            test.allowLeak(self.start("fork"), "shared")

        outcome = run_inner(by_pid, by_object, by_process)
        self.assertEqual((outcome.leaks, outcome.counts()), ([], (0, 0)))
        names = [text.split("'")[1] for _, text in outcome.logged]
        self.assertEqual(names, ["cat", "cat", "blocked"])

    def test_allow_what_has_ended(self):
        """A child that has ended cannot be allowed."""
        child = child_of(self, ("true",))
        child.communicate()

        def allows(test):
            with test.assertRaisesRegex(TypeError, "^allowLeak takes a thread, a task or a running child process"):
                test.allowLeak(child, "why")

        self.assertEqual(run_inner(allows).counts(), (0, 0))

    def test_replacing_its_program(self):
        """A child that is just executing its program, and has no command line for that moment, is named by it."""
        command_line, texts = processes._command_line, [""] * 9
        with mock.patch.object(processes, "_command_line", lambda pid: texts.pop() if texts else command_line(pid)):
            outcome = run_inner(lambda test: child_of(self))
        self.assertEqual((outcome.named(), texts), ([("process", "cat", "running")], []))

    def test_fork(self):
        """A forked child is a leak, seen by a hook or not; only the hook knows its line."""
        for fork, is_seen in ((lambda: os.fork(), True), (fork_unseen, False)):
            pids = []

            def leaks(test):
                pids.append(fork_blocked(self, fork))

            with self.subTest(is_seen=is_seen):
                outcome = run_inner(leaks, lambda test: None)
                (leak,) = outcome.leaks
                self.assertEqual((leak.name, leak.owner), ("forked child", "inner.Inner.test_0"))
                self.assertEqual(leak.origin is not None, is_seen)
                self.assertEqual(leak.hint, "let the child end with os._exit() and os.waitpid() for it")
                self.assertTrue(is_reaped(pids[0]))

    def test_posix_spawn(self):
        """What os.posix_spawn makes is a leak with its line."""

        def leaks(test):
            reader, writer = os.pipe()
            actions = [(os.POSIX_SPAWN_DUP2, reader, 0)]
            pid = os.posix_spawn("/bin/cat", ["cat"], os.environ, file_actions=actions)  # spawns
            os.close(reader)
            self.addCleanup(wait_for, pid)
            self.addCleanup(os.close, writer)

        (leak,) = run_inner(leaks).leaks
        self.assertEqual((leak.name, leak.origin), ("cat", place(leaks, "spawns")))

    def start(self, method):
        """Start a child process of `multiprocessing` that waits, and a cleanup that ends it."""
        context = multiprocessing.get_context(method)
        here, there = context.Pipe()
        process = context.Process(target=receive, args=(there,), name="blocked")
        process.start()  # starts
        there.close()
        self.addCleanup(self.end_process, process, here)
        return process

    def end_process(self, process, connection):
        """End it, wait, and close everything."""
        process.kill()
        process.join(JOIN_SECONDS)
        process.close()
        connection.close()

    def test_multiprocessing(self):
        """A child process of every start method is one leak: the interpreter's helpers are none."""
        self.addCleanup(stop_helpers)
        for method in multiprocessing.get_all_start_methods():
            started = []

            def leaks(test):
                started.append(self.start(method))

            with self.subTest(method=method):
                outcome = run_inner(leaks, lambda test: None)
                (leak,) = outcome.leaks
                self.assertEqual((leak.name, leak.owner), ("blocked", "inner.Inner.test_0"))
                self.assertEqual(leak.hint, "terminate() and join() it in a cleanup")
                self.assertEqual(leak.origin, place(ProcessTests.start, "starts"))
                started[0].join(JOIN_SECONDS)
                self.assertIsNotNone(started[0].exitcode)

    def test_multiprocessing_clean(self):
        """A child process that was joined is no leak, and its helpers stay."""
        self.addCleanup(stop_helpers)

        def joins(test):
            process = self.start(method)
            process.terminate()
            process.join(JOIN_SECONDS)

        for method in multiprocessing.get_all_start_methods():
            with self.subTest(method=method):
                outcome = run_inner(joins, lambda test: None)
                self.assertEqual((outcome.leaks, outcome.counts()), ([], (0, 0)))

    def test_asyncio(self):
        """A child of asyncio is a leak; one that was waited for is none."""

        async def is_clean(test):
            child = await asyncio.create_subprocess_exec("true")
            await child.wait()

        async def leaks(test):
            child = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE)  # spawns
            self.addCleanup(wait_for, child.pid)
            kept.append(child)

        kept = []
        outcome = run_inner_async(is_clean, leaks)
        self.assertEqual(outcome.named(), [("process", "cat", "running")])
        self.assertEqual(outcome.leaks[0].owner, "inner.Inner.test_1")
        kept.clear()


if __name__ == "__main__":
    unittest.main()


@unittest.skipUnless(hasattr(os, "fork"), "the pool is forked")
class PoolTests(unittest.TestCase):
    """A pool of multiprocessing's that was left."""

    def test_it_is_ended_as_a_whole(self):
        """Its worker is killed by nobody who leaves the queue's lock behind: no test after it is blamed, and the run ends."""
        process = run_planted("planted_pool")
        self.assertEqual(process.returncode, 1, process.stderr)
        self.assertIn("\nFAILED (failures=1)\n", process.stderr)
        self.assertIn("Leaks: 4 in 1 test, by the line that created them", process.stderr)
        self.assertNotIn("Will keep the process from exiting", process.stderr)
