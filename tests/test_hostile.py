"""What a hostile test does to the guard: its own outcome stays, the leak is found, the run goes on."""

import _thread
import asyncio
import collections.abc
import concurrent.futures
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings
from unittest import mock

from leakguard import _compat, origin
from tests.doubles import JOIN_SECONDS, BlockedThread
from tests.guarded import PATIENT, place, probe_of, run_inner, run_inner_async, while_waiting
from tests.planting import run_planted


def hostile_thread(test, **members):
    """A blocked thread of a class that gets hostile members once it runs, for as long as it is blocked."""
    cls = type("HostileThread", (BlockedThread,), {})
    thread = cls(name="hostile").start_in(test)
    for name, value in members.items():
        setattr(cls, name, value)
        test.addCleanup(delattr, cls, name)
    return thread


def broken(*_):
    """Raise."""
    raise RuntimeError("broken on purpose")


class NameTests(unittest.TestCase):
    """Threads whose names, texts and comparisons are broken."""

    def leak_of(self, prepare=lambda thread: None, **members):
        """The one leak of a test that leaves a hostile thread; the next test must be clean."""
        outcome = run_inner(lambda test: prepare(hostile_thread(self, **members)), lambda test: None)
        self.assertEqual(outcome.counts(), (1, 0), outcome.errors)
        self.assertEqual(outcome.warned, [])
        (leak,) = outcome.leaks
        return leak

    def rename(self, name):
        """A function that renames a thread for good, as only hostile code does."""
        return lambda thread: setattr(thread, "_name", name)

    def test_control_characters(self):
        """A name with control characters is shown on one line."""
        leak = self.leak_of(self.rename("a\n\x1b[31mb\x00\u2028"))
        self.assertEqual(leak.name, "a\\n\\x1b[31mb\\x00\\u2028")

    def test_long(self):
        """A name of a million characters is cut."""
        self.assertEqual(self.leak_of(self.rename("x" * 10**6)).name, "x" * 117 + "...")

    def test_surrogate(self):
        """A name that cannot be encoded is shown escaped."""
        self.assertEqual(self.leak_of(self.rename("a\udc80")).name, "a\\udc80")

    def test_not_a_str(self):
        """A name that is no str is shown as one, and one that cannot be is said to be so."""

        class Unprintable:
            __str__ = __repr__ = broken

        self.assertEqual(self.leak_of(self.rename(17)).name, "17")
        self.assertEqual(self.leak_of(self.rename(Unprintable())).name, "<Unprintable: RuntimeError in __str__>")

    def test_property_that_raises(self):
        """A thread whose name raises when it is read is a leak all the same."""
        self.assertEqual(
            self.leak_of(name=property(broken)).name, "<tests.test_hostile.HostileThread: RuntimeError in name>"
        )

    def test_repr_that_raises(self):
        """No text of a thread but its name is asked for."""
        self.assertEqual(self.leak_of(self.rename("x"), __repr__=broken, __str__=broken).name, "x")

    def test_broken_comparisons(self):
        """A thread that cannot be compared, or cannot be hashed, is a leak as any other."""
        self.assertEqual(self.leak_of(self.rename("x"), __eq__=broken, __hash__=broken).name, "x")
        self.assertEqual(self.leak_of(self.rename("x"), __eq__=lambda a, b: True, __hash__=None).name, "x")

    def test_getattr_that_raises(self):
        """A class that answers no question about unknown attributes cannot hide its thread."""
        self.assertEqual(self.leak_of(self.rename("x"), __getattr__=lambda thread, name: broken()).name, "x")

    def test_task_with_a_broken_name(self):
        """The same holds for a task's coroutine and name."""

        class Unprintable:
            __str__ = __repr__ = broken

        async def wait():
            await asyncio.Event().wait()

        class OwnTask(asyncio.tasks._PyTask):
            def get_name(self):
                return Unprintable()

        async def leaks(test):
            kept.append(OwnTask(wait(), loop=asyncio.get_running_loop()))
            await asyncio.sleep(0)

        kept = []
        outcome = run_inner_async(leaks)
        self.assertEqual([leak.name for leak in outcome.leaks], ["<Unprintable: RuntimeError in __str__>"])
        kept.clear()


class DyingThreadTests(unittest.TestCase):
    """Threads that end while the guard is busy with them."""

    def test_dies_while_described(self):
        """One that ends while it is described is not reported."""
        probe, threads = probe_of("thread"), []

        for method in ("origin", "describe", "names"):
            original = getattr(probe, method)

            def end_and_go_on(thing):
                result = original(thing) if method == "describe" else None
                threads[-1].end()
                return original(thing) if method != "describe" else result

            with self.subTest(method=method), mock.patch.object(probe, method, end_and_go_on):
                outcome = run_inner(lambda test: threads.append(BlockedThread().start_in(self)))
                self.assertEqual((outcome.leaks, outcome.counts(), outcome.warned), ([], (0, 0), []))

    def test_without_frames(self):
        """One whose frame is gone already is described without."""
        with mock.patch.object(sys, "_current_frames", lambda: {}):
            outcome = run_inner(lambda test: BlockedThread(name="x").start_in(self))
        self.assertEqual([(leak.name, leak.now_at) for leak in outcome.leaks], [("x", ())])

    def test_many_that_end(self):
        """Two hundred threads that end together, with another thread busy, are no leak."""
        threads, stop = [], threading.Event()

        def spin():
            while not stop.is_set():
                pass

        busy = threading.Thread(target=spin)
        busy.start()
        self.addCleanup(busy.join, JOIN_SECONDS)
        self.addCleanup(stop.set)

        def starts_many(test):
            threads.extend(BlockedThread().start_in(self) for _ in range(200))

        with while_waiting("thread", lambda: [thread.release() for thread in threads]):
            self.assertEqual(run_inner(starts_many, grace=PATIENT).leaks, [])


class BrokenProbeTests(unittest.TestCase):
    """An exception inside a probe."""

    def outcome(self, kind, method, *functions, **options):
        """Run tests with a method of a probe that raises."""

        def isolate(things):
            broken()
            yield

        with mock.patch.object(probe_of(kind), method, isolate if method == "isolate" else broken):
            return run_inner(*functions, **options)

    def leave_both(self, test):
        """Leak a thread and a process."""
        BlockedThread(name="x").start_in(self)
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        self.addCleanup(child.wait, JOIN_SECONDS)
        self.addCleanup(child.stdin.close)

    def test_own_outcome_stays(self):
        """A passing test passes, a failing one fails for its own reason, and it is said loudly."""

        def fails(test):
            test.fail("its own reason")

        for kind in ("process", "thread", "task"):
            with self.subTest(kind=kind):
                outcome = self.outcome(kind, "suspects", lambda test: None, fails)
                self.assertEqual((outcome.testsRun, outcome.counts()), (2, (1, 0)), outcome.errors)
                self.assertIn("its own reason", outcome.failures[0][1])
                self.assertIn(
                    f"leakguard: the {kind} probe broke (RuntimeError: broken on purpose): test_0 (inner.Inner) "
                    "was not fully checked for that kind",
                    outcome.warned,
                )

    def test_snapshot(self):
        """A baseline that cannot be taken leaves the test's own outcome."""
        outcome = self.outcome("task", "snapshot", lambda test: None)
        self.assertEqual((outcome.testsRun, outcome.counts()), (1, (0, 0)), outcome.errors)

    def test_other_kinds_are_found(self):
        """Leaks of other kinds are found, whatever breaks."""
        for method in ("suspects", "describe", "isolate", "names", "owner"):
            for kind, other in (("process", "thread"), ("thread", "process")):
                with self.subTest(kind=kind, method=method):
                    outcome = self.outcome(kind, method, self.leave_both)
                    self.assertIn(other, [leak.kind for leak in outcome.leaks])
                    self.assertEqual(outcome.counts(), (1, 0), outcome.errors)
                    self.doCleanups()

    def test_the_leak_is_found(self):
        """Where only the waiting, the description or the isolation breaks, the leak is reported all the same."""
        for method in ("settle", "describe", "isolate"):
            with self.subTest(method=method):
                outcome = self.outcome("thread", method, lambda test: BlockedThread(name="x").start_in(self))
                self.assertEqual([leak.kind for leak in outcome.leaks], ["thread"])
                self.assertEqual(outcome.counts(), (1, 0))

    def test_undescribed(self):
        """What could not be described says why."""
        outcome = self.outcome("thread", "describe", lambda test: BlockedThread().start_in(self))
        self.assertEqual(
            outcome.named(), [("thread", "?", "could not be described: RuntimeError: broken on purpose")]
        )

    def test_warnings_as_errors(self):
        """Where warnings are errors it is logged, and no outcome changes."""

        def is_strict(test):
            warnings.simplefilter("error")

        with warnings.catch_warnings():
            outcome = self.outcome("thread", "suspects", is_strict)
        self.assertEqual(outcome.counts(), (0, 0))
        self.assertIn("WARNING", [level for level, _ in outcome.logged])


class Proxy:
    """An object that raises whatever it is asked: what a lazy proxy without its target does."""

    __class__ = property(broken)
    __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __repr__ = __str__ = broken

    def __init__(self, call=broken):
        object.__setattr__(self, "call", call)

    def __getattr__(self, name):
        broken()

    def __call__(self, *arguments):
        return self.call(*arguments)


class ProxyTests(unittest.TestCase):
    """Objects of the user's that raise for each question, their class included, near what leaks."""

    def assertLeaks(self, outcome, *states):
        """The outcome has these leaks, in words, and nothing broke."""
        self.assertEqual([leak.state for leak in outcome.leaks], list(states), outcome.leaks)
        self.assertEqual(outcome.warned, [])
        self.assertEqual([text for level, text in outcome.logged if level == "WARNING"], [])

    def test_callbacks_of_a_task(self):
        """A task that proxies and mocks wait for is described as any other."""

        async def leaks(test):
            for callback in (mock.Mock(), mock.MagicMock(), Proxy(lambda future: None)):
                task = asyncio.ensure_future(asyncio.sleep(3600))
                task.add_done_callback(callback)
                kept.append(task)

        kept = []
        with mock.patch.object(asyncio.BaseEventLoop, "call_exception_handler"):  # asyncio asks a proxy for its class
            outcome = run_inner_async(leaks)
        self.assertLeaks(outcome, "pending", "pending", "pending")

    def test_coroutine(self):
        """A task of a coroutine that is not Python's own, and raises for what it has not, is found."""

        class Own(collections.abc.Coroutine):
            __eq__ = __bool__ = __getattr__ = broken
            __hash__ = object.__hash__

            def send(self, value):
                """Go on for ever."""

            def throw(self, *error):
                """End."""
                raise error[0]

            def __await__(self):
                return self

        async def leaks(test):
            kept.append(asyncio.get_running_loop().create_task(Own()))
            await asyncio.sleep(0)

        kept = []
        outcome = run_inner_async(leaks)
        self.assertLeaks(outcome, "pending")

    def test_called_in_a_thread(self):
        """The frames of a thread may have proxies in them, and stand in calls of them."""
        lock = threading.Lock()
        self.addCleanup(lock.release)
        lock.acquire()

        def wait(proxy):
            self = other = Proxy()  # what is looked for under these names is not there
            proxy()
            return self, other

        def leaks(test):
            thread = threading.Thread(target=wait, args=(Proxy(lock.acquire),), daemon=True)
            thread.start()

        self.assertLeaks(run_inner(leaks), "daemon, alive")

    def test_class_is_not_asked_for(self):
        """No object of a frame is asked for its class, whatever it would answer: it may be slow, or do things."""
        lock, asked = threading.Lock(), []
        self.addCleanup(lock.release)
        lock.acquire()

        class Curious:
            __class__ = property(lambda self: asked.append(1) or Curious)

            def __call__(self):
                lock.acquire()

        def wait(function):
            function()

        outcome = run_inner(lambda test: threading.Thread(target=wait, args=(Curious(),), daemon=True).start())
        self.assertLeaks(outcome, "daemon, alive")
        self.assertEqual(asked, [])

    def test_raw_thread(self):
        """A raw thread of a proxy starts, and is found."""
        started, released, ended = threading.Event(), threading.Event(), threading.Event()

        def wait():
            started.set()
            released.wait(JOIN_SECONDS)
            ended.set()

        def leaks(test):
            _thread.start_new_thread(Proxy(wait), ())
            started.wait(JOIN_SECONDS)

        outcome = run_inner(leaks)
        released.set()
        ended.wait(JOIN_SECONDS)
        self.assertLeaks(outcome, "raw, alive")

    def test_thread(self):
        """A thread whose class says nothing, or that it equals any other, is found as its neighbours are."""
        released = threading.Event()

        class Odd(threading.Thread):
            __class__ = property(broken)

        class Equal(threading.Thread):
            __hash__ = threading.Thread.__hash__

            def __eq__(self, other):
                return True

        class Unequal(threading.Thread):
            __hash__, __eq__ = threading.Thread.__hash__, broken

        kinds = (Odd, threading.Thread, Equal, Unequal, Equal)
        threads = [kind(target=released.wait, args=(JOIN_SECONDS,), daemon=True) for kind in kinds]
        outcome = run_inner(lambda test: [thread.start() for thread in threads])
        released.set()
        for thread in threads:
            thread.join(JOIN_SECONDS)
        self.assertLeaks(outcome, *["daemon, alive"] * len(kinds))

    def test_exception_in_a_thread(self):
        """An exception that does not say its class or text is noted."""

        class Mute(Exception):
            __class__ = property(broken)
            __str__ = __repr__ = broken

        def leaks(test):
            thread = threading.Thread(target=throw, name="mute")
            thread.start()
            thread.join()

        def throw():
            raise Mute

        self.assertLeaks(run_inner(leaks, leak_kinds=("exception",)), "uncaught in thread 'mute'")

    def test_module(self):
        """A module that is a proxy is compared by identity."""
        with mock.patch.dict(sys.modules, {"tests.proxy": Proxy()}):
            outcome = run_inner(
                lambda test: sys.modules.update({"tests.proxy": Proxy()}), lambda test: None, leak_kinds=("environ",)
            )
        self.assertLeaks(outcome, "replaced")


class SurroundingsTests(unittest.TestCase):
    """What a test does to the interpreter and the process."""

    def leak(self, test):
        """Leave a thread."""
        thread = BlockedThread(name="x")
        self.addCleanup(thread.end)
        thread.start_blocked()

    def assert_found(self, outcome, counts=(1, 0)):
        """The leak is found and the run went on."""
        self.assertEqual(outcome.counts(), counts, outcome.errors)
        self.assertEqual(outcome.named(), [("thread", "x", "daemon, alive")])

    def test_low_recursion_limit(self):
        """A recursion limit that the test left low does not stop the check, and is left as it was."""
        limit = sys.getrecursionlimit()
        self.addCleanup(sys.setrecursionlimit, limit)
        depth, frame = 0, sys._getframe()
        while frame is not None:
            depth, frame = depth + 1, frame.f_back
        lowest = depth + 60

        def leaks(test):
            self.leak(test)
            sys.setrecursionlimit(lowest)

        outcome = run_inner(leaks)
        self.assertEqual(sys.getrecursionlimit(), lowest)
        sys.setrecursionlimit(limit)
        self.assert_found(outcome)

    def test_trace_and_profile(self):
        """With a trace or profile function at work the leak is found, with its line, and the function stays."""
        for name in ("trace", "profile"):
            seen = []

            def function(frame, event, argument):
                seen.append(event)
                return function

            get, put = getattr(sys, f"get{name}"), getattr(sys, f"set{name}")
            before = get()
            put(function)
            try:
                outcome = run_inner(self.leak)
                self.assertIs(get(), function)
            finally:
                put(before)
            with self.subTest(name=name):
                self.assert_found(outcome)
                self.assertTrue(seen)
            self.doCleanups()

    def test_mocked_for_the_class(self):
        """Functions and classes that a fixture has replaced do not reach us, nor the leak that is described meanwhile."""
        with mock.patch("os.stat"):
            self.assertIsInstance(_compat.descriptor_count(), int)
        for name in ("os.fstat", "os.listdir", "os.readlink", "os.waitid", "threading.Thread", "threading.Timer"):
            replaced = mock.patch(name)
            self.addCleanup(mock.patch.stopall)
            with self.subTest(name):
                outcome = run_inner(self.leak, setUpClass=replaced.start)
                self.assert_found(outcome)
                self.assertIn("BlockedThread.start_blocked", outcome.leaks[0].origin)
            self.doCleanups()

    def test_mocked_while_there_is_a_child(self):
        """A child is found by its test, named and ended, and a cycle collected, whatever a fixture has replaced."""

        def makes_a_cycle(test):
            pool = concurrent.futures.ThreadPoolExecutor(1)
            pool.submit(int).result(JOIN_SECONDS)
            cycle = [pool]
            cycle.append(cycle)

        def leaks(test):
            children.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))  # child
            self.addCleanup(children[-1].stdin.close)

        for name in ("builtins.open", "os.kill", "gc.collect"):
            children = []
            with self.subTest(name), mock.patch(name):
                outcome = run_inner(leaks, makes_a_cycle)
                self.assertEqual([(leak.kind, leak.owner) for leak in outcome.leaks], [("process", "inner.Inner.test_0")])
                self.assertEqual(outcome.leaks[0].origin, place(leaks, "child"))
                self.assertIn("input()", outcome.leaks[0].name)
                self.assertEqual((outcome.warned, outcome.counts()), ([], (1, 0)))
                self.assertIsNotNone(children[0].wait(JOIN_SECONDS))
            self.doCleanups()

    def test_removed_working_folder(self):
        """In a working folder that was removed, the leak is found."""
        self.addCleanup(os.chdir, os.getcwd())

        def leaks(test):
            folder = tempfile.mkdtemp()
            os.chdir(folder)
            shutil.rmtree(folder)
            self.leak(test)

        self.assert_found(run_inner(leaks))

    def test_no_stderr(self):
        """Without a standard error, the leak is found, and a broken probe is no error."""

        def leaks(test):
            self.leak(test)
            sys.stderr = None

        with mock.patch.object(probe_of("process"), "suspects", broken):
            stderr = sys.stderr
            try:
                outcome = run_inner(leaks)
            finally:
                sys.stderr = stderr
        self.assert_found(outcome)

    def test_logging_that_raises(self):
        """A log handler that raises changes no outcome; what it was to log goes to standard error."""

        class Raises(logging.Handler):
            def emit(self, record):
                raise ValueError("no log today")

        handler = Raises()
        logger = logging.getLogger("leakguard")
        logger.addHandler(handler)
        self.addCleanup(logger.removeHandler, handler)
        outcome = run_inner(self.leak, leak_action="log")
        self.assert_found(outcome, counts=(0, 0))
        self.assertTrue(
            outcome.stderr.startswith("leakguard: logging raised ValueError, so here it is: 1 leak after test_0"),
            outcome.stderr,
        )

    def test_sys_exit_in_a_thread(self):
        """A thread that calls sys.exit() has ended, and is no leak."""

        def exits(test):
            thread = threading.Thread(target=sys.exit, args=(3,))
            thread.start()
            thread.join(JOIN_SECONDS)

        outcome = run_inner(exits)
        self.assertEqual((outcome.leaks, outcome.counts()), ([], (0, 0)))

    def test_sys_exit_in_a_test(self):
        """A test that calls sys.exit() is in error as without a guard; its leak is on record, the next test runs."""

        def exits(test):
            self.leak(test)
            sys.exit(3)

        outcome = run_inner(exits, lambda test: None)
        self.assertEqual(outcome.testsRun, 2)
        self.assert_found(outcome, counts=(0, 1))
        self.assertIn("SystemExit: 3", outcome.errors[0][1])

    def test_interrupt_during_the_wait(self):
        """Ctrl-C while the guard waits ends the run, and no guard of a test is left active."""
        before = set(origin.open_guards)

        def interrupt():
            raise KeyboardInterrupt

        with while_waiting("thread", interrupt), self.assertRaises(KeyboardInterrupt):
            run_inner(self.leak)
        self.assertEqual(set(origin.open_guards), before)

    def test_fork_that_runs_on(self):
        """A forked child that runs on into cleanups and exit reports nothing and ends nobody."""
        output, errors, code = run_planted("forks.py")
        self.assertEqual(
            output.splitlines(),
            [
                "the child's cleanups ran",
                "child: 2 tests, 0 bad, 0 reports",
                "the sibling is alive",
                "parent: 2 tests, 0 bad, 0 reports",
            ],
            errors,
        )
        self.assertEqual(code, 0)

    @unittest.skipUnless(hasattr(os, "fork"), "needs os.fork")
    def test_every_kind_at_once(self):
        """A thread, a task and a child process are three leaks of one message."""

        async def leaks(test):
            self.leak(test)
            child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
            self.addCleanup(child.wait, JOIN_SECONDS)
            self.addCleanup(child.stdin.close)
            kept.append(asyncio.ensure_future(asyncio.Event().wait()))
            await asyncio.sleep(0)

        kept = []
        outcome = run_inner_async(leaks)
        self.assertEqual([leak.kind for leak in outcome.leaks], ["process", "thread", "task"])
        self.assertTrue(outcome.messages[0].startswith("3 leaks after test_0 (inner.Inner), waited N s\n"))


if __name__ == "__main__":
    unittest.main()
