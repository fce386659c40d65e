"""`leakguard.hooks`: hooks that come and go, births without frames."""

import _thread
import asyncio
import concurrent.futures
import functools
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
import types
import unittest
import warnings
from unittest import mock

import leakguard.hooks
from leakguard import LeakError, LeakGuard, _compat, origin
from leakguard.hooks import Hooks, hooks
from tests.doubles import JOIN_SECONDS, BlockedThread
from tests.planting import run_fresh
from tests.suites import BackgroundLoop


class Owner:
    """A guard as far as hooks look at it."""

    ident, scope = -1, "test"

    def is_over(self):
        """It is at work."""
        return False


class HookTestCase(unittest.TestCase):
    """Tests with hooks of their own, which leave those of a run that is guarded itself alone."""

    def setUp(self):
        self.hooks = Hooks()
        for births in (origin.raw_births, origin.process_births):
            patch = mock.patch.dict(births)
            patch.start()
            self.addCleanup(patch.stop)
        self.owner = Owner()
        token = origin.OWNER.set(self.owner)
        self.addCleanup(origin.OWNER.set, token.old_value if token.old_value is not token.MISSING else None)

    def guard(self):
        """Install the hooks until the test ends."""
        self.hooks.acquire()
        self.addCleanup(self.hooks.release)


class InstallTests(HookTestCase):
    def places(self):
        """What stands at every hooked place now."""
        found = {(threading.Thread, "start"), (_thread, "start_new_thread"), *_compat.spawn_points()}
        return {(place.__name__, name): getattr(place, name) for place, name in found}

    def test_the_first_guard_installs_and_the_last_removes(self):
        """While one guard is active the hooks are there, once; afterwards every place is as it was."""
        before = self.places()
        self.hooks.acquire()
        during = self.places()
        self.hooks.acquire()
        self.assertEqual(self.places(), during)
        self.hooks.release()
        self.assertEqual(self.places(), during)
        self.hooks.release()
        self.assertEqual(self.places(), before)
        for place, function in before.items():
            with self.subTest(place):
                self.assertIsNot(during[place], function)

    def test_guards_install_them_and_the_import_does_not(self):
        """Importing leakguard patches nothing; two nested blocks patch once and put all back."""
        script = """
            import _thread, os, threading
            def places():
                return [threading.Thread.start, _thread.start_new_thread, os.fork]
            before = places()
            from leakguard import LeakGuard
            print(places() == before)
            with LeakGuard():
                during = places()
                print(any(a is b for a, b in zip(during, before)))
                with LeakGuard():
                    print(places() == during)
                print(places() == during)
            print(places() == before)
        """
        self.assertEqual(run_fresh(script).split(), ["True", "False", "True", "True", "True"])

    def test_a_hook_is_as_good_as_the_function(self):
        """Name, documentation and result of a hooked ``start()`` are those of `threading`."""
        plain = threading.Thread.start
        self.guard()
        self.assertEqual(threading.Thread.start.__doc__, plain.__doc__)
        self.assertEqual(threading.Thread.start.__qualname__, "Thread.start")
        thread = BlockedThread().start_in(self)
        with self.assertRaisesRegex(RuntimeError, "threads can only be started once"):
            thread.start()


class LateImportTests(unittest.TestCase):
    def test_asyncio_that_is_imported_inside_a_test(self):
        """A task on a loop that was made where asyncio was not known yet is a leak of its own test."""
        script = """
            import sys, unittest
            from leakguard import LeakGuardTestCase

            class Tests(LeakGuardTestCase):
                def test_without(self):
                    assert "asyncio" not in sys.modules

                test_without_again = test_without

                def test_zz(self):
                    import asyncio
                    async def leaked():
                        await asyncio.Event().wait()
                    async def main():
                        Tests.task = asyncio.ensure_future(leaked())
                    Tests.loop = asyncio.new_event_loop()
                    Tests.loop.run_until_complete(main())

            result = unittest.TestResult()
            unittest.defaultTestLoader.loadTestsFromTestCase(Tests).run(result)
            print(*[test.id() for test, _ in result.failures], result.errors)
            Tests.loop.run_until_complete(Tests.loop.shutdown_asyncgens())
            Tests.loop.close()
        """
        self.assertEqual(run_fresh(script), "__main__.Tests.test_zz []\n")

    def test_subprocess_that_is_imported_between_two_guards(self):
        """A child is known by its line though `subprocess` took its function while nothing was hooked."""
        script = """
            import sys
            from leakguard import LeakGuard, LeakError

            with LeakGuard():
                assert "subprocess" not in sys.modules
            import subprocess
            try:
                with LeakGuard():
                    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
            except LeakError as error:
                print([leak.origin for leak in error.leaks])
            child.stdin.close()
        """
        self.assertEqual(run_fresh(script), "['<string>:10 in <module>']\n")

    def test_multiprocessing_that_is_imported_under_a_guard(self):
        """A child that the forkserver makes is known by its line, whoever imported multiprocessing first and when."""
        script = """
            from leakguard import LeakGuard, LeakError

            with LeakGuard(name="outer"):
                import multiprocessing
                children = multiprocessing.get_context("forkserver")
                receiver, sender = children.Pipe(duplex=False)
                try:
                    with LeakGuard(name="inner"):
                        children.Process(target=receiver.recv, daemon=True).start()
                except LeakError as error:
                    print([leak.origin for leak in error.leaks])
        """
        self.assertEqual(run_fresh(script), "['<string>:10 in <module>']\n")


class RunningLoopTests(unittest.TestCase):
    def test_a_loop_that_ran_before_any_guard(self):
        """What a test starts on the loop that a module runs since its import is known by its lines."""
        script = """
            import asyncio, threading
            from leakguard import LeakGuard, LeakError

            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, daemon=True)
            thread.start()
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()

            async def connects():
                return asyncio.ensure_future(asyncio.sleep(60)), loop.call_later(60, print)

            try:
                with LeakGuard(kinds=("task", "timer"), grace=0):
                    left = asyncio.run_coroutine_threadsafe(connects(), loop).result()
            except LeakError as error:
                print(sorted((leak.kind, leak.origin) for leak in error.leaks))
            print(sorted(set(vars(loop)) & {"create_task", "call_at", "add_signal_handler"}))
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
        """
        line = "<string>:11 in connects"
        self.assertEqual(run_fresh(script), f"{[('task', line), ('timer', line)]}\n[]\n")

    def test_a_loop_with_a_way_of_its_own_to_make_tasks(self):
        """What somebody has put on a loop stays, and is called."""
        background = BackgroundLoop()
        self.addCleanup(background.stop)
        loop, made = background.loop, []

        def create_task(self, coroutine, **kwargs):
            made.append(coroutine.__name__)
            return type(self).create_task(self, coroutine, **kwargs)

        leakguard.hooks.let_go(loop)
        loop.create_task = own = types.MethodType(create_task, loop)
        with LeakGuard():
            background.submit(asyncio.sleep(0)).result(JOIN_SECONDS)
        self.assertEqual((made, loop.create_task), (["sleep"], own))


class LateLoopClassTests(HookTestCase):
    @mock.patch.dict(sys.modules)
    def test_a_loop_class_that_is_imported_under_a_guard(self):
        """A loop class that a library brings is hooked by the next look or the next guard, and its loops are found."""

        class LibraryLoop(asyncio.AbstractEventLoop):
            def run_forever(self):
                pass

        library = types.ModuleType("uvloop")
        sys.modules.pop("uvloop", None)  # the real one, if a test has imported it
        self.guard()
        loop, running = LibraryLoop(), LibraryLoop.run_forever
        with mock.patch.dict(sys.modules, uvloop=library):
            self.hooks.update()
            self.assertIs(LibraryLoop.run_forever, running)
        library.Loop = LibraryLoop
        with mock.patch.dict(sys.modules, uvloop=library, another=library):
            self.hooks.update()
            self.assertIsNot(LibraryLoop.run_forever, running)
            self.assertIn(loop, origin.loops)


def _leaks_in_a_worker():
    """Whether a leak is seen in this process."""
    try:
        with LeakGuard(grace=0):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
    except LeakError:
        return True
    return False


class WorkerTests(unittest.TestCase):
    @unittest.skipUnless(hasattr(os, "fork"), "this platform cannot fork")
    def test_a_worker_that_is_forked_by_the_first_job(self):
        """It is no more about to be started: what it starts is of whatever guards it there."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside other threads
            with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
                self.assertTrue(pool.submit(_leaks_in_a_worker).result(JOIN_SECONDS))


class ElsewherePatchedTests(HookTestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(setattr, threading.Thread, "start", threading.Thread.start)
        self.started = []

    def patch(self):
        """What somebody else does: note each start and call what was there. Return how to undo it."""
        original = threading.Thread.start

        @functools.wraps(original)
        def start(thread):
            self.started.append(thread)
            original(thread)

        threading.Thread.start = start
        return functools.partial(setattr, threading.Thread, "start", original)

    def birth(self):
        """Start a thread, end it, return what was noted."""
        thread = BlockedThread().start_blocked()
        thread.end()
        self.assertIn(self.started[-1:], ([], [thread]))
        return origin.birth_of_thread(thread)

    def test_patched_before_us(self):
        """Theirs is called, ours notes; theirs stays when we go."""
        self.patch()
        theirs = threading.Thread.start
        self.hooks.acquire()
        self.assertIs(self.birth().owner, self.owner)
        self.assertEqual(len(self.started), 1)
        self.hooks.release()
        self.assertIs(threading.Thread.start, theirs)

    def test_patched_after_us_and_kept(self):
        """Theirs stays when we go, and still works; ours notes nothing until the next guard, and then once."""
        self.hooks.acquire()
        self.patch()
        theirs = threading.Thread.start
        self.assertIs(self.birth().owner, self.owner)
        self.hooks.release()
        self.assertIs(threading.Thread.start, theirs)
        silent = AssertionError("a silent hook noted a birth")
        with mock.patch.object(leakguard.hooks, "Birth", side_effect=silent) as noted:
            if not hooks._users:
                self.birth()
        self.assertEqual(noted.mock_calls, [])
        self.hooks.acquire()
        with mock.patch.object(leakguard.hooks, "Birth", side_effect=origin.Birth) as noted:
            self.assertIs(self.birth().owner, self.owner)
        self.assertEqual(len(noted.mock_calls), 1)
        self.hooks.release()
        self.assertIs(threading.Thread.start, theirs)

    def test_patched_after_us_and_undone_in_time(self):
        """Once theirs is gone, we go as if nothing had been."""
        before = threading.Thread.start
        self.hooks.acquire()
        undo = self.patch()
        undo()
        self.assertIs(self.birth().owner, self.owner)
        self.hooks.release()
        self.assertIs(threading.Thread.start, before)

    def test_patched_after_us_and_undone_too_late(self):
        """Their undoing puts our silent hook back: the next guard wakes it, and removes it for good."""
        before = threading.Thread.start
        self.hooks.acquire()
        undo = self.patch()
        self.hooks.release()
        undo()
        self.hooks.acquire()
        self.assertIs(self.birth().owner, self.owner)
        self.hooks.release()
        self.assertIs(threading.Thread.start, before)


class BirthTests(HookTestCase):
    def test_a_thread_knows_where_it_was_started(self):
        """The innermost entry is the line of ``start()``; whoever makes the thread, the starter is its owner."""
        self.guard()
        thread = BlockedThread()
        self.addCleanup(thread.end)
        thread.start(); line = sys._getframe().f_lineno  # fmt: skip  # noqa: E702
        birth = origin.birth_of_thread(thread)
        place = origin.place_of(*birth.stack[0])
        self.assertEqual(place.line, line)
        self.assertEqual(os.path.basename(place.path), "test_hooks.py")
        self.assertIs(birth.owner, self.owner)
        self.assertLessEqual(len(birth.stack), origin.FRAMES)

    def test_a_birth_holds_no_frame(self):
        """Code objects and numbers only: no frame, so nothing of the test is kept alive."""
        self.guard()
        thread = BlockedThread().start_in(self)
        birth = origin.birth_of_thread(thread)
        self.assertEqual({(type(code), type(offset)) for code, offset in birth.stack}, {(types.CodeType, int)})
        reached = [birth.stack, *birth.stack]
        self.assertFalse([r for thing in reached for r in gc.get_referents(thing) if isinstance(r, types.FrameType)])

    def test_a_thread_that_was_started_without_a_guard_is_unknown(self):
        """Nothing is made up: no birth, no origin."""
        self.assertIsNone(origin.birth_of_thread(types.SimpleNamespace()))
        self.assertIsNone(origin.birth_of_thread(None))
        self.assertIsNone(origin.origin_of(None))
        self.assertIsNone(origin.origin_of([]))
        self.assertIsNone(origin.origin_of_traceback(()))

    def start_raw(self, wait):
        """Start a raw thread that waits in a function or method; return its birth."""
        ident = _thread.start_new_thread(wait, ())
        return origin.raw_births.get(ident)

    def test_raw_threads(self):
        """A raw thread's birth has its function's code, so that a recycled ident is not mistaken for it.

        For a function of C's, or what C calls, it is the code of a frame of our own around it.
        """
        self.guard()
        release, ended = threading.Event(), threading.Semaphore(0)

        class Waiter:
            def wait(self):
                release.wait(JOIN_SECONDS)
                ended.release()

        def wait():
            Waiter().wait()

        def end():
            release.set()
            for _ in range(3):
                self.assertTrue(ended.acquire(timeout=JOIN_SECONDS))

        self.addCleanup(end)
        birth, of_method = self.start_raw(wait), self.start_raw(Waiter().wait)
        of_other = self.start_raw(functools.partial(wait))
        self.assertIs(birth.owner, self.owner)
        self.assertIs(birth.extra, wait.__code__)
        self.assertIs(of_method.extra, Waiter.wait.__code__)
        self.assertEqual(of_other.extra.co_filename, leakguard.hooks.__file__)
        self.assertEqual(origin.place_of(*birth.stack[0]).function, "BirthTests.start_raw")
        self.assertIsInstance(birth.time, float)

    def test_removal_forgets_raw_threads_and_children(self):
        """Idents and pids are handed out again: without a guard nothing is known of them."""
        self.hooks.acquire()
        origin.raw_births[-1] = origin.process_births[-1] = origin.Birth(None, [])
        self.hooks.release()
        self.assertEqual((origin.raw_births, origin.process_births), ({}, {}))

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_children(self):
        """A child's birth is noted under its pid, with the line that made it."""
        self.guard()
        with subprocess.Popen([sys.executable, "-c", ""]) as child:
            birth = origin.process_births[child.pid]
            self.assertIs(birth.owner, self.owner)
            self.assertIn("in BirthTests.test_children", origin.origin_of(birth.stack))
            self.assertIs(birth.extra(), child)
