"""The private names of the standard library that the package uses, and monkey patching of it."""

import ast
import asyncio
import collections
import concurrent.futures
import importlib.util
import os
import signal
import sys
import threading
import time
import unittest
from types import SimpleNamespace
from unittest import mock

from leakguard import _compat
from tests.doubles import JOIN_SECONDS, BlockedThread
from tests.planting import run_planted

GEVENT = "leakguard: gevent has replaced threading, whose threads are greenlets now: leaked threads are not looked for"


class TimeTests(unittest.TestCase):
    """The guard's own clock and pause."""

    def test_clock(self):
        """It is the performance counter."""
        before = time.perf_counter()
        self.assertLessEqual(before, _compat.clock())

    def test_pause(self):
        """A pause takes as long as was asked for; none and less than none return at once."""
        start = time.perf_counter()
        _compat.pause(0.01)
        self.assertGreaterEqual(time.perf_counter() - start, 0.009)
        _compat.pause(0)
        _compat.pause(-1)


class ThreadingTests(unittest.TestCase):
    """What `threading` and `_thread` keep."""

    def test_live_threads(self):
        """The live table has every thread that is enumerated, by its ident."""
        thread = BlockedThread().start_in(self)
        self.assertIs(_compat.live_threads[thread.ident], thread)
        known = {*_compat.live_threads.values(), *_compat.starting_threads.values()}
        self.assertEqual(set(threading.enumerate()), known)

    def test_count(self):
        """The count of started threads grows by one with a thread."""
        before = _compat.raw_thread_count()
        BlockedThread().start_in(self)
        self.assertEqual(_compat.raw_thread_count(), before + 1)

    def test_is_thread_alive(self):
        """A thread is alive from its start to its end, and never if its __init__ was not called."""

        class Bare(threading.Thread):
            def __init__(self):
                pass

        thread = BlockedThread()
        states = [_compat.is_thread_alive(thread)]
        thread.start_blocked()
        states.append(_compat.is_thread_alive(thread))
        thread.end()
        states.append(_compat.is_thread_alive(thread))
        self.assertEqual(states, [False, True, False])
        self.assertFalse(_compat.is_thread_alive(Bare()))

    def test_thread_target(self):
        """The target, else the class's own run."""
        self.assertIs(_compat.thread_target(threading.Thread(target=int)), int)
        self.assertIs(_compat.thread_target(BlockedThread()), BlockedThread.run)

    def test_worker_executor(self):
        """The top frame of an idle worker tells its executor; of any other thread, nothing."""
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            executor.submit(int).result()
            (worker,) = executor._threads
            while _compat.worker_executor(sys._current_frames()[worker.ident]) is None:
                _compat.pause(0.001)  # between the result and the queue
            self.assertIs(_compat.worker_executor(sys._current_frames()[worker.ident]), executor)
        self.assertIsNone(_compat.worker_executor(sys._getframe()))

    def test_late_exit_hook(self):
        """Registering at interpreter shutdown is no error."""
        original = threading._register_atexit

        def too_late(function):
            raise RuntimeError("can't register atexit after shutdown")

        threading._register_atexit = too_late
        try:
            _compat.at_threading_exit(print)
        finally:
            threading._register_atexit = original

    @unittest.skipUnless(hasattr(signal, "setitimer"), "Windows has no timer signals")
    def test_interrupted_join(self):
        """A Ctrl-C while a thread is waited for does not make it one that has ended, which ``join()`` does up to 3.12."""
        thread = BlockedThread().start_in(self)

        def interrupt(*_):
            raise KeyboardInterrupt

        self.addCleanup(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, interrupt))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with self.assertRaises(KeyboardInterrupt):
            _compat.join_thread(thread, JOIN_SECONDS)
        self.assertTrue(thread.is_alive())


class AsyncioTests(unittest.TestCase):
    """What asyncio keeps of tasks."""

    def test_task_context(self):
        """The context that a task runs in is found on every version, for C tasks and Python's."""
        for factory in (None, lambda loop, coroutine, **kwargs: asyncio.tasks._PyTask(coroutine, loop=loop, **kwargs)):

            async def body():
                asyncio.get_running_loop().set_task_factory(factory)
                task = asyncio.ensure_future(asyncio.sleep(0))
                context = _compat.task_context(task)
                await task
                return context

            with self.subTest(factory=factory):
                self.assertEqual(type(asyncio.run(body())).__name__, "Context")

    def test_unregister(self):
        """A task that was unregistered is in no list, and its end says nothing."""
        messages = []

        async def body():
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: messages.append(context["message"]))
            task = asyncio.ensure_future(asyncio.Event().wait())
            await asyncio.sleep(0)
            _compat.unregister_task(task)
            return task in asyncio.all_tasks()

        self.assertEqual((asyncio.run(body()), messages), (False, []))

    def test_running_loop(self):
        """The running loop, None where none runs."""

        async def body():
            return _compat.running_loop() is asyncio.get_running_loop()

        self.assertTrue(asyncio.run(body()))
        self.assertIsNone(_compat.running_loop())


class ProcessTests(unittest.TestCase):
    """What the system says of children."""

    def test_stranger(self):
        """A process that is no child of this one is no running child."""
        self.assertFalse(_compat.is_child_running(os.getpid()))

    def test_no_helpers_of_forkserver(self):
        """Without a forkserver there are no children of one."""
        self.assertEqual(_compat.forkserver_children(), set())


class CodeTests(unittest.TestCase):
    """Lines and names of code objects."""

    def test_line(self):
        """The line of the instruction that runs now; the first line before the first instruction."""
        frame = sys._getframe()
        line = _compat.line_of(frame.f_code, frame.f_lasti)  # this line
        self.assertEqual(line, frame.f_code.co_firstlineno + 3)
        self.assertEqual(_compat.line_of(frame.f_code, -1), frame.f_code.co_firstlineno)

    def test_qualname(self):
        """The qualified name, on every version."""

        def inner():
            pass

        self.assertEqual(_compat.qualname(inner.__code__), inner.__qualname__)

    def test_parsing_in_two_threads(self):
        """Where threads that parse at the same time disturb each other, a file is parsed again, but not for ever."""
        whole = ast.parse("pass")
        for results, expected in (
            ([SystemError("AST constructor recursion depth mismatch"), whole], whole),
            ([SystemError("AST constructor recursion depth mismatch")] * _compat.PARSES, None),
            ([SyntaxError("not Python's")], None),
        ):
            with self.subTest(results), mock.patch("ast.parse", side_effect=results):
                self.assertIs(_compat.syntax_tree(__file__), expected)

    def test_qualname_without_source(self):
        """Where there is no source, the plain name has to do up to 3.10."""
        code = compile("def f(): pass", "<nowhere>", "exec").co_consts[0]
        self.assertEqual(_compat.qualname(code), "f")
        self.assertEqual(_compat.qualname_at("<nowhere>", 1, "f"), "f")


@unittest.skipUnless(importlib.util.find_spec("gevent"), "gevent is not installed")
class GeventTests(unittest.TestCase):
    """gevent's monkey patching makes threads greenlets: said once, and harmless."""

    def test_patched(self):
        """Threads are not checked, which is said once; other kinds are; whoever was imported first."""
        for order in ("before", "after"):
            with self.subTest(order=order):
                output, errors, code = run_planted("gevent_patched.py", order)
                self.assertEqual((output, code), (f"3 1 0 ['process']\n{GEVENT}\n", 0), errors)


class WithoutGeventTests(unittest.TestCase):
    """The same where gevent is not in use."""

    def test_not_patched(self):
        """Threads are checked."""
        self.assertFalse(_compat.gevent_owns_threading())

    def test_said_once(self):
        """The warning is given once, and only for a policy that has the thread kind."""
        from unittest import mock

        from leakguard import guard, policy
        from tests.guarded import listening

        guard._say_gevent.cache_clear()
        self.addCleanup(guard._say_gevent.cache_clear)
        with mock.patch.object(_compat, "gevent_owns_threading", return_value=True), listening() as outcome:
            kinds = [probe.kind for probe in guard.probes_of(policy.Policy(kinds=("process", "task")))]
            self.assertEqual((kinds, outcome.warned), (["process", "task"], []))
            kinds = [probe.kind for _ in range(2) for probe in guard.probes_of(policy.Policy())]
        self.assertEqual(kinds, ["process", "task"] * 2)
        self.assertEqual(outcome.warned, [GEVENT])


if __name__ == "__main__":
    unittest.main()


class FailedTests(unittest.TestCase):
    """Whether a test has failed, as its result says it."""

    @unittest.skipIf(sys.version_info < (3, 11), "up to 3.10 the outcome of the test has its errors")
    def test_foreign_results(self):
        """Lists of entries, pytest's exceptions and the events of Django's workers are understood; a skip is no failure."""
        test, other = unittest.TestCase(), unittest.TestCase()
        subtest = SimpleNamespace(test_case=test)
        counts = collections.Counter()  # what has a length and no entries: it is not a list
        failed, skipped = SimpleNamespace(typename="ValueError"), SimpleNamespace(typename="Skipped")
        table = [
            (dict(failures=[], errors=[(other, "")]), False),
            (dict(failures=[(test, "")], errors=[]), True),
            (dict(failures=[], errors=[(subtest, "")]), True),
            (dict(_excinfo=[skipped]), False),
            (dict(_excinfo=[failed]), True),
            (dict(failures=counts, errors=counts, test_index=1, events=[("startTest", 1), ("addSkip", 1, "why")]), False),
            (dict(failures=counts, errors=counts, test_index=1, events=[("addFailure", 0), ("startTest", 1)]), False),
            (dict(failures=counts, errors=counts, test_index=1, events=[("startTest", 1), ("addSubTest", 1)]), True),
            ({}, False),
        ]
        for attributes, expected in table:
            with self.subTest(attributes):
                self.assertIs(_compat.has_failed(test, SimpleNamespace(**attributes)), expected)
