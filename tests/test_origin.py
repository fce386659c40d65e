"""`leakguard.origin`: owners, lines and places as text."""

import contextvars
import os
import sys
import threading
import types
import unittest
from unittest import mock

from leakguard import _compat, origin
from leakguard.origin import LIBRARY, OWN, STDLIB, USER
from tests.planting import run_fresh


def code_in(filename, name="f"):
    """A code object that claims to be a function of a file."""
    module = compile(f"def {name}(): pass", filename, "exec")
    return next(constant for constant in module.co_consts if isinstance(constant, types.CodeType))


class Owner:
    """A guard as far as hooks look at it."""

    ident, parent, over = -1, None, False

    def is_over(self):
        """Whether its course has ended."""
        return self.over

    def is_within(self, outer):
        """Whether it is, or is inside of, another one."""
        return self is outer or self.parent is outer


class OwnerTests(unittest.TestCase):
    def test_order(self):
        """The context, else a test that runs in this thread, else the owner of the thread's creation, else None.

        A context of a test that is over comes after one that runs, unless it is that of a loop that turns.
        """
        of_context, of_thread, of_birth = Owner(), Owner(), Owner()
        birth = origin.Birth(of_birth, [])
        empty = contextvars.Context()
        wide = Owner()
        with mock.patch.object(origin, "open_guards", set()) as guards, mock.patch.object(origin, "wide_guards", {wide: threading.current_thread()}) as wides:
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
                block = Owner()
                block.ident, block.parent = of_thread.ident, of_thread
                guards.add(block)
                self.assertIs(empty.run(origin.current_owner), block)
                empty.run(origin.OWNER.set, of_context)
                self.assertIs(empty.run(origin.current_owner), of_context)
                of_context.over = True
                self.assertIs(empty.run(origin.current_owner), block)
                guards.clear()
                wide.ident = threading.get_ident()
                self.assertIs(empty.run(origin.current_owner), wide)
                wides[wide] = None  # of a thread that had the same ident, and has ended
                self.assertIs(empty.run(origin.current_owner), of_context)
                guards.add(block)
                with mock.patch.object(origin._compat, "running_loop", return_value=True):
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
            (os.path.join(origin.START_FOLDER, "chat", "hub.py"), "chat/hub.py"),
            (self.packages + os.path.join("tornado", "web.py"), "tornado/web.py"),
            (self.distribution + "six.py", "six.py"),
            (threading.__file__, "threading.py"),
            (os.path.join(os.path.dirname(os.__file__), "asyncio", "tasks.py"), "asyncio/tasks.py"),
            (elsewhere, elsewhere.replace(os.sep, "/")),
            (origin.START_FOLDER + "-2" + os.sep + "a.py", (origin.START_FOLDER + "-2/a.py").replace(os.sep, "/")),
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
