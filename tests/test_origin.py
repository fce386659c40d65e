"""`leakguard.origin`: hooks that come and go, births without frames, places as text."""

import _thread
import contextvars
import functools
import gc
import os
import subprocess
import sys
import textwrap
import threading
import types
import unittest
from unittest import mock

from leakguard import _compat, origin
from leakguard.origin import LIBRARY, OWN, STDLIB, USER, Hooks
from tests.doubles import JOIN_SECONDS, BlockedThread

def code_in(filename, name="f"):
    """A code object that claims to be a function of a file."""
    module = compile(f"def {name}(): pass", filename, "exec")
    return next(constant for constant in module.co_consts if isinstance(constant, types.CodeType))


def run_fresh(script):
    """Run a script in an interpreter of its own, return what it printed."""
    command = [sys.executable, "-c", textwrap.dedent(script)]
    output, text = subprocess.PIPE, {"universal_newlines": True}
    return subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False, **text).stdout


class Owner:
    """A guard as far as hooks look at it."""

    ident = -1


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
        with mock.patch.object(origin, "Birth", side_effect=AssertionError("a silent hook noted a birth")) as noted:
            if not origin.hooks._users:
                self.birth()
        self.assertEqual(noted.mock_calls, [])
        self.hooks.acquire()
        with mock.patch.object(origin, "Birth", side_effect=origin.Birth) as noted:
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
        self.assertEqual(os.path.basename(place.path), "test_origin.py")
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
        """A raw thread's birth has its function's code, so that a recycled ident is not mistaken for it."""
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
        self.assertIsNone(of_other.extra)
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


class OwnerTests(unittest.TestCase):
    def test_order(self):
        """The context, else a test that runs in this thread, else the owner of the thread's creation, else None."""
        of_context, of_thread, of_birth = Owner(), Owner(), Owner()
        birth = origin.Birth(of_birth, [])
        empty = contextvars.Context()
        with mock.patch.object(origin, "open_guards", set()) as guards:
            with mock.patch.object(origin, "birth_of_thread", return_value=None):
                with mock.patch.dict(origin.raw_births, clear=True):
                    self.assertIsNone(empty.run(origin.current_owner))
                    origin.raw_births[threading.get_ident()] = birth
                    self.assertIs(empty.run(origin.current_owner), of_birth)
            with mock.patch.object(origin, "birth_of_thread", return_value=birth):
                self.assertIs(empty.run(origin.current_owner), of_birth)
                of_thread.ident = threading.get_ident()
                guards.update((Owner(), of_thread))
                self.assertIs(empty.run(origin.current_owner), of_thread)
                empty.run(origin.OWNER.set, of_context)
                self.assertIs(empty.run(origin.current_owner), of_context)


class LineTests(unittest.TestCase):
    def test_lines_are_those_of_the_frame(self):
        """An instruction's line is what the frame itself says, in every construct."""
        seen = []

        def look(*_):
            frame = sys._getframe(1)
            seen.append((frame.f_code, frame.f_lasti, frame.f_lineno))
            return 1

        # the lines are what is tested: long calls, loops, jumps back and far
        look()
        look(
            look(),
            [
                look()
                for _ in range(2)
            ],
        )
        for _ in (look(), look()):
            if look():

                continue
            look()
        while len(seen) < 12:
            look()
        try:
            raise ValueError(look())
        except ValueError:
            look()
        finally:
            look()
        (lambda: (
            look()
        ))()
        values = {"a": look(),

                  "b": look()}
        exec("\n" * 300 + "look()", {"look": look})
        exec("look()\n" + "\n" * 300 + "look()\n" + "x = " + "(1,\n" * 5 + "look()" + ")" * 5, {"look": look})
        assert values and look()
        self.assertGreater(len(seen), 20)
        self.assertGreater(len({line for _, _, line in seen}), 15)
        for code, instruction, line in seen:
            with self.subTest(line=line):
                self.assertEqual(_compat.line_of(code, instruction), line)

    def test_before_the_first_instruction(self):
        """A frame that has not begun is at the function's own line."""
        self.assertEqual(_compat.line_of(run_fresh.__code__, -1), run_fresh.__code__.co_firstlineno)

    def test_an_instruction_that_is_not_there(self):
        """An offset outside of the code gives a line of the function, not an error."""
        self.assertIn(_compat.line_of(code_in("x.py"), 10**6), (1, 2))


def decorator(function):
    """Leave a function as it is."""
    return function


class Outer:
    """Functions in every position."""

    def method(self):
        """A method."""

    @decorator
    @decorator
    def decorated(self):
        """A decorated method."""

    @staticmethod
    def static():
        """A static method."""

    async def coroutine(self):
        """A coroutine method."""

    class Inner:
        """A class inside."""

        def method(self):
            """A method of the same name."""

    def maker(self):
        """Make functions and a class."""

        def method():
            """A nested function."""

        class Local:
            """A local class."""

            def method(self):
                """Its method."""

        return method, Local.method


if sys.version_info >= (3, 0):

    def conditional():
        """A function under a condition."""


class QualnameTests(unittest.TestCase):
    def test_functions(self):
        """The name is the function's ``__qualname__``, on every version."""
        functions = [
            code_in,
            conditional,
            Outer.method,
            Outer.decorated,
            Outer.static,
            Outer.coroutine,
            Outer.Inner.method,
            Outer.maker,
            *Outer().maker(),
        ]
        for function in functions:
            with self.subTest(function.__qualname__):
                self.assertEqual(_compat.qualname(function.__code__), function.__qualname__)

    def test_read_from_the_source(self):
        """The way of 3.9 and 3.10, which has to read the source, gives the same on all."""
        for function in (code_in, Outer.method, Outer.decorated, Outer.Inner.method, *Outer().maker()):
            code = function.__code__
            with self.subTest(function.__qualname__):
                found = _compat.qualname_at(code.co_filename, code.co_firstlineno, code.co_name)
                self.assertEqual(found, function.__qualname__)

    def test_without_source(self):
        """Where there is no source, or it is not Python, the plain name has to do."""
        self.assertEqual(_compat.qualname_at("/none/there.py", 3, "f"), "f")
        self.assertEqual(_compat.qualname_at(os.devnull, 3, "f"), "f")
        self.assertEqual(_compat.qualname(compile("pass", "<string>", "exec")), "<module>")
        with mock.patch("linecache.getlines", return_value=["def f(:\n"]), mock.patch.dict(_compat._spans):
            self.assertEqual(_compat.qualname_at("broken.py", 1, "f"), "f")


class PlaceTests(unittest.TestCase):
    packages = os.path.join(os.sep, "venv", "lib", "site-packages", "")
    distribution = os.path.join(os.sep, "usr", "lib", "python3", "dist-packages", "")

    def test_rank(self):
        """Whose code a file is goes by where it is."""
        table = [
            (__file__, USER),
            ("<string>", USER),
            ("<stdin>", USER),
            (os.path.join(os.sep, "home", "me", "chat", "hub.py"), USER),
            (os.path.join(os.path.dirname(os.__file__), "test", "test_queue.py"), USER),
            (self.packages + "tornado/web.py", LIBRARY),
            (self.distribution + "tornado/web.py", LIBRARY),
            (threading.__file__, STDLIB),
            (os.path.join(os.path.dirname(os.__file__), "asyncio", "tasks.py"), STDLIB),
            (os.path.join(os.path.dirname(os.__file__), "test.py"), STDLIB),
            ("<frozen importlib._bootstrap>", STDLIB),
            (origin.__file__, OWN),
            (sys.modules["leakguard.probes.threads"].__file__, OWN),
        ]
        for filename, expected in table:
            with self.subTest(filename):
                self.assertEqual(origin.rank(filename), expected)

    def test_show_path(self):
        """Relative to the run's first folder, to the packages or to the library, with slashes; else as it is."""
        elsewhere = os.path.join(os.sep, "home", "me", "hub.py")
        table = [
            (os.path.join(origin._START_FOLDER, "chat", "hub.py"), "chat/hub.py"),
            (self.packages + os.path.join("tornado", "web.py"), "tornado/web.py"),
            (self.distribution + "six.py", "six.py"),
            (threading.__file__, "threading.py"),
            (os.path.join(os.path.dirname(os.__file__), "asyncio", "tasks.py"), "asyncio/tasks.py"),
            (elsewhere, elsewhere.replace(os.sep, "/")),
            (origin._START_FOLDER + "-2" + os.sep + "a.py", (origin._START_FOLDER + "-2/a.py").replace(os.sep, "/")),
            ("<string>", "<string>"),
        ]
        for filename, expected in table:
            with self.subTest(filename):
                self.assertEqual(origin.show_path(filename), expected)

    def test_the_origin_is_the_innermost_line_of_the_user(self):
        """Packages count only where nothing is the user's, the library only where nothing else is, we never."""
        user, caller = code_in("/home/me/hub.py", "start"), code_in("/home/me/test_hub.py", "test")
        package, library = code_in(self.packages + "aiohttp/web.py", "serve"), code_in(threading.__file__, "go")
        own = code_in(origin.__file__, "hook")
        table = [
            ([own, library, package, user, caller], "/home/me/hub.py:1 in start"),
            ([caller, user], "/home/me/test_hub.py:1 in test"),
            ([own, library, package, library], "aiohttp/web.py:1 in serve"),
            ([own, library], "threading.py:1 in go"),
        ]
        for codes, expected in table:
            with self.subTest(expected):
                self.assertEqual(origin.origin_of([(code, -1) for code in codes]), expected)
                entries = [(code.co_filename, 1, code.co_name) for code in codes]
                self.assertEqual(origin.origin_of_traceback(entries), expected)

    def test_a_stack_names_the_users_line_and_what_it_called(self):
        """The user's innermost line is the place; the frame below it is the operation that it waits in."""
        user = (code_in("/home/me/hub.py", "read"), -1, "hub")
        package = (code_in(self.packages + "redis/client.py", "get"), -1, "redis.client")
        get, run = (code_in("/nowhere/queue.py", "get"), -1, "queue"), (threading.Thread.run.__code__, -1, "threading")
        worker = (code_in(os.path.join(os.path.dirname(os.__file__), "q.py"), "get"), -1, "queue")
        table = [
            ([], None, None),
            ([user], "/home/me/hub.py:1 in read", None),
            ([worker, user, run], "/home/me/hub.py:1 in read", "queue.get"),
            ([worker, package, run], "redis/client.py:1 in get", "queue.get"),
            ([package, user], "/home/me/hub.py:1 in read", "redis.client.get"),
            ([get], "/nowhere/queue.py:1 in get", None),
        ]
        for stack, place, waiting in table:
            with self.subTest(place=place, waiting=waiting):
                texts, found, operation = origin.describe_stack(stack)
                self.assertEqual((len(texts), found, operation), (len(stack), place, waiting))

    def test_a_stack_of_the_library_alone(self):
        """Where nobody's own code is, the outermost frame that is not how threads are run is the place."""
        stack = [
            (threading.Condition.wait.__code__, -1, "threading"),
            (threading.Event.wait.__code__, -1, "threading"),
            (threading.Thread.run.__code__, -1, "threading"),
            (threading.Thread._bootstrap.__code__, -1, "threading"),
        ]
        texts, place, operation = origin.describe_stack(stack)
        line = threading.Event.wait.__code__.co_firstlineno
        self.assertEqual(place, f"threading.py:{line} in Event.wait")
        self.assertEqual(operation, "threading.Event.wait")
        self.assertEqual(texts[1], place)

    def test_operations_read_as_users_write_them(self):
        """Submodules of packages that export their names are left out."""
        table = [
            ("asyncio.tasks", "sleep", "asyncio.sleep"),
            ("concurrent.futures.thread", "submit", "concurrent.futures.submit"),
            ("multiprocessing.pool", "get", "multiprocessing.get"),
            ("queue", "get", "queue.get"),
            ("socketserver", "serve", "socketserver.serve"),
            ("xml.dom.minidom", "parse", "xml.dom.minidom.parse"),
        ]
        for module, name, expected in table:
            with self.subTest(expected):
                self.assertEqual(origin.operation(code_in("/x.py", name), -1, module), expected)

    def test_our_own_frames_are_left_out_of_live_stacks(self):
        """What the guard itself does in a thread is not where the user's code is."""
        self.assertIs(origin.frames_of(sys._getframe())[0], sys._getframe())
        self.assertEqual(len(origin.frames_of(sys._getframe(), 2)), 2)
        self.assertEqual(origin.frames_of(None), [])
        frame = types.SimpleNamespace(f_code=code_in(origin.__file__), f_back=None)
        self.assertEqual(origin.frames_of(frame), [])


if __name__ == "__main__":
    unittest.main()
