"""What dies in the background and nobody sees."""

import asyncio
import gc
import json
import os
import sys
import tempfile
import threading
import unittest
from unittest import mock

from leakguard import deaths, origin
from tests.doubles import JOIN_SECONDS
from tests.guarded import place, run_inner, run_inner_async
from tests.planting import run_fresh
from tests.suites import run_leakguard


PLANTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "planted")


def run_thread(target, name="worker"):
    """Run something in a thread to its end."""
    thread = threading.Thread(target=target, name=name)
    thread.start()
    thread.join()


class ThreadTests(unittest.TestCase):
    """Exceptions in threads."""

    maxDiff = None

    def dies(self, test=None):
        """The target of a thread."""
        raise ValueError("boom")  # dies

    def test_uncaught(self):
        """An exception that ends a thread is a leak of the test, with its line; nobody waits for it to end."""
        with mock.patch("leakguard._compat.pause", side_effect=AssertionError("there is nothing to wait for")):
            outcome = run_inner(lambda test: run_thread(self.dies), leak_kinds="all")
        self.assertEqual(
            outcome.messages,
            [
                "1 leak after test_0 (inner.Inner), waited N s\n"
                "\n"
                "  exception 'ValueError: boom' (uncaught in thread 'worker')\n"
                f"    created at  {place(ThreadTests.dies, 'dies')}\n"
                "    fix         catch it in the thread, or run the work in an executor and ask for its result()\n"
                "\n"
                "To allow one: leak_ignore = {\"exception:ValueError: boom\": \"why\"}"
            ],
        )
        self.assertEqual(outcome.leaks[0].aliases, ("builtins.ValueError",))
        self.assertIn("threading.py", outcome.leaks[0].now_at[-1])
        self.assertIn("ValueError: boom", outcome.stderr)  # Python's own hook was called all the same

    def test_not_looked_for(self):
        """By default nobody looks, and nothing is hooked."""
        hook = threading.excepthook

        def looks(test):
            test.assertIs(threading.excepthook, hook)

        self.assertEqual(run_inner(looks, leak_kinds=("thread", "task")).counts(), (0, 0))

    def test_clean(self):
        """A thread that ends by itself or by SystemExit, or whose exception the test's own hook has seen, is none."""
        seen = []

        def records(test):
            with mock.patch("threading.excepthook", seen.append):
                run_thread(self.dies)

        outcome = run_inner(lambda test: run_thread(sys.exit), lambda test: run_thread(list), records, leak_kinds="all")
        self.assertEqual((outcome.leaks, len(seen)), ([], 1))

    def test_what_the_guard_has_cancelled(self):
        """A thread in ``asyncio.run()`` is on record as a leak: that its task is cancelled then is no leak of its own."""

        def leaks(test):
            started = threading.Event()

            async def serve():
                asyncio.get_running_loop().call_later(3600, print)
                started.set()
                await asyncio.sleep(3600)

            thread = threading.Thread(target=lambda: asyncio.run(serve(), debug=is_debug), name="server")
            thread.start()
            started.wait(JOIN_SECONDS)
            threads.append(thread)

        kinds = ("thread", "task", "timer", "exception")
        for is_debug in (False, True):
            threads = []
            with self.subTest(is_debug=is_debug):
                outcome = run_inner(leaks, lambda test: threads[0].join(JOIN_SECONDS), leak_kinds=kinds)
                found = [(leak.kind, leak.owner) for leak in outcome.leaks]
                self.assertEqual(found, [(kind, "inner.Inner.test_0") for kind in ("thread", "task", "timer")])
                self.assertIn("CancelledError", outcome.stderr)

    def test_random_part_of_a_path(self):
        """The text of an exception is the same in every run, also where it has a temporary path in it."""
        outcome = run_inner(lambda test: run_thread(lambda: open("/tmp/tmpab12cd_3/x", "rb")), leak_kinds="exception")
        text = "FileNotFoundError: [Errno 2] No such file or directory: '/tmp/tmp*/x'"
        self.assertEqual([leak.name for leak in outcome.leaks], [text])

    def test_each_is_its_own_test_s(self):
        """Each death is reported once, by the test whose thread it was."""
        tests = [lambda test: run_thread(self.dies), lambda test: None, lambda test: run_thread(self.dies)]
        outcome = run_inner(*tests, leak_kinds="exception")
        self.assertEqual([leak.owner for leak in outcome.leaks], ["inner.Inner.test_0", "inner.Inner.test_2"])

    def test_hooks_are_restored(self):
        """After the last guard everything is as it was before."""
        places = [(threading, "excepthook"), (sys, "unraisablehook"), (asyncio.BaseEventLoop, "call_exception_handler")]
        before = [getattr(where, name) for where, name in places]
        run_inner(lambda test: None, leak_kinds="all")
        self.assertEqual([getattr(where, name) for where, name in places], before)

    def test_hooks_of_others(self):
        """A hook that was there before is called, and is in place again after; so is one that a test puts in place."""
        script = """
            import sys, threading
            from unittest import mock
            from leakguard import LeakGuard, LeakError

            class Dying:
                def __del__(self):
                    raise KeyError("x")

            def run_thread():
                thread = threading.Thread(target=lambda: 1 / 0)
                thread.start()
                thread.join()

            for place, name, die in ((threading, "excepthook", run_thread), (sys, "unraisablehook", Dying)):
                called = []
                setattr(place, name, mine := lambda args: called.append("before"))
                guard = LeakGuard(kinds="exception")
                try:
                    with guard:
                        die()
                        ours = getattr(place, name)
                        with mock.patch.object(place, name, lambda args: (called.append("inside"), ours(args))):
                            die()
                except LeakError:
                    print(len(guard.leaks), *called, getattr(place, name) is mine)
        """
        self.assertEqual(run_fresh(script), "2 before inside before True\n" * 2)

    def test_module_of_the_hook(self):
        """The hook says that it is of the module of the one before it: CPython's own tests list `threading` by that."""
        modules = []
        run_inner(lambda test: modules.append(threading.excepthook.__module__), leak_kinds=("exception",))
        self.assertEqual(modules, [threading.__excepthook__.__module__ if hasattr(threading, "__excepthook__") else "_thread"])

    def test_broken_str(self):
        """An exception that cannot be shown is reported all the same."""

        class Broken(Exception):
            def __str__(self):
                raise RuntimeError("no")

        def breaks():
            raise Broken

        (leak,) = run_inner(lambda test: run_thread(breaks), leak_kinds="all").leaks
        self.assertEqual(leak.name, "Broken: <Broken: RuntimeError in __str__>")


class FinalizerTests(unittest.TestCase):
    """Exceptions that Python cannot raise."""

    def test_unraisable(self):
        """What a finalizer raises is a leak, with its line."""

        class Dying:
            def __del__(self):
                raise KeyError("x")  # dies

        (leak,) = run_inner(lambda test: Dying() and None, leak_kinds="all").leaks
        self.assertEqual((leak.name, leak.origin), ("KeyError: 'x'", place(Dying.__del__, "dies")))
        self.assertEqual(leak.state, f"ignored in {Dying.__del__.__qualname__}")


class LoopTests(unittest.TestCase):
    """Exceptions of tasks and callbacks, in debug mode and without."""

    async def fails(self):
        """A coroutine that fails."""
        raise ValueError("boom")

    def run_both(self, function):
        """Return the leaks of a test in debug mode and without."""
        outcomes = [run_inner_async(function, leak_kinds="all", loop_debug=debug) for debug in (True, False)]
        return [outcome.leaks for outcome in outcomes]

    def test_never_retrieved(self):
        """A task whose exception nobody asked for is a leak, with the line that made the task."""

        async def leaks(test):
            asyncio.ensure_future(self.fails())  # creates
            for _ in range(3):
                await asyncio.sleep(0)

        for (leak,) in self.run_both(leaks):
            self.assertEqual((leak.kind, leak.name), ("exception", "ValueError: boom"))
            self.assertEqual(leak.state, "task exception was never retrieved")
            self.assertEqual(leak.origin, place(leaks, "creates"))

    def test_destroyed(self):
        """A pending task that was collected is a leak, named by its coroutine; the line that made it may be gone."""

        async def waits():  # begins
            await asyncio.get_running_loop().create_future()

        async def leaks(test):
            asyncio.ensure_future(waits())  # creates
            await asyncio.sleep(0)
            gc.collect()

        with_debug, without = self.run_both(leaks)
        state = "task was destroyed but it is pending"
        for (leak,) in (with_debug, without):
            self.assertEqual((leak.name, leak.state.partition(", ")[0]), (waits.__qualname__, state))
        self.assertEqual((with_debug[0].origin, with_debug[0].state), (place(leaks, "creates"), state))
        if without[0].origin is None:
            self.assertEqual(without[0].state, f"{state}, defined at {place(waits, 'begins')}")
        else:
            self.assertEqual(without[0].origin, place(leaks, "creates"))

    def test_destroyed_before_it_closed_a_generator(self):
        """What asyncio was to close on a loop that was closed is named by the generator, with its line and a cure."""

        async def numbers():  # begins
            yield 1
            yield 2

        async def throws_away():
            async for _ in numbers():
                break

        def leaks(test):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(throws_away())
            loop.close()
            del loop
            gc.collect()

        (leak,) = run_inner(leaks, leak_kinds="exception").leaks
        expected = ("exception", numbers.__qualname__, "task was destroyed but it is pending")
        self.assertEqual((leak.kind, leak.name, leak.state), expected)
        self.assertEqual(leak.origin, place(numbers, "begins"))
        self.assertEqual(leak.hint, "aclose() it, or iterate it inside contextlib.aclosing()")

    def test_callback(self):
        """What a callback raises is a leak."""

        def dies():
            raise ValueError("boom")

        async def leaks(test):
            asyncio.get_running_loop().call_soon(dies)
            await asyncio.sleep(0)

        for (leak,) in self.run_both(leaks):
            self.assertEqual((leak.name, leak.state), ("ValueError: boom", "raised in a callback of a loop"))

    def test_clean(self):
        """One that was awaited, or that a handler of the test's own has seen, is none."""
        seen = []

        async def awaits(test):
            with test.assertRaises(ValueError):
                await asyncio.ensure_future(self.fails())

        async def handles(test):
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context["message"]))
            asyncio.ensure_future(self.fails())
            for _ in range(3):
                await asyncio.sleep(0)

        async def records(test):
            for logs in (test.assertLogs("asyncio", "ERROR"), test.assertLogs(level="ERROR")):
                with logs:
                    asyncio.ensure_future(self.fails())
                    for _ in range(3):
                        await asyncio.sleep(0)
                    gc.collect()

        async def mocks(test):
            for name in ("asyncio.base_events.logger", "asyncio.log.logger.error"):
                with mock.patch(name) as mocked:
                    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
                    await asyncio.sleep(0)
                test.assertTrue(mocked.mock_calls)

        self.assertEqual(run_inner_async(awaits, handles, records, mocks, leak_kinds="all").counts(), (0, 0))
        self.assertEqual(seen, ["Task exception was never retrieved"])

    def test_leaked_task_that_fails_when_it_is_cancelled(self):
        """What a reported task raises when the guard cancels it is not reported on top."""

        async def fails_late():
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("late")

        async def leaks(test):
            kept.append(asyncio.ensure_future(fails_late()))  # else a collection might take it at any time
            await asyncio.sleep(0)

        kept = []

        for leaks_of in self.run_both(leaks):
            self.assertEqual([leak.kind for leak in leaks_of], ["task"])


class TextTests(unittest.TestCase):
    """What is said of a death."""

    def test_same_in_every_run(self):
        """Addresses of objects, numbers of descriptors and ports are not in it."""
        found = []
        for text in (
            "unclosed <socket.socket fd=31, family=2>",
            "unclosed <socket laddr=('127.0.0.1', 40112), raddr=('::1', 8000, 0, 0)>",
            "unclosed <Thing at 0x7f6e66727060>",
            "unclosed file <_io.FileIO name=5 mode='rb'>",
            "subprocess 10472 is still running",
        ):
            with mock.patch.object(origin, "deaths", []) as noted:
                deaths._note("resource not closed", ResourceWarning(text), None, "close() it")
            found += [death.name for death in noted]
        expected = [
            "unclosed <socket.socket fd=*, family=2>",
            "unclosed <socket laddr=('127.0.0.1', *), raddr=('::1', *, 0, 0)>",
            "unclosed <Thing>",
            "unclosed file <_io.FileIO name=* mode='rb'>",
            "subprocess * is still running",
        ]
        self.assertEqual(found, [f"ResourceWarning: {text}" for text in expected])

    def test_who_let_go(self):
        """The line that let go is the user's own, not one that called a library which did, or a frame of a thread."""

        def drops():
            return sys._getframe()  # drops

        frame = drops()
        self.assertEqual(deaths._dropped_at(frame), place(drops, "drops"))
        found = []
        thread = threading.Thread(target=lambda: found.append(sys._getframe(1)))
        thread.start()
        thread.join()
        self.assertEqual((found[0].f_code.co_filename, deaths._dropped_at(found[0])), (threading.__file__, None))

    def test_what_is_of_a_loop(self):
        """A transport that was not closed belongs to the test that made its loop."""

        class Transport:
            def __init__(self, loop):
                self._loop = loop

        def leaks(test):
            loop = asyncio.new_event_loop()
            self.addCleanup(loop.close)
            kept.append(Transport(loop))

        def collects(test):
            with mock.patch.object(deaths, "_collecting", [threading.get_ident()]):
                deaths._note_unclosed("unclosed transport", kept[0], sys._getframe())

        kept = []
        outcome = run_inner(leaks, collects, leak_kinds="exception")
        self.assertEqual([leak.owner for leak in outcome.leaks], ["inner.Inner.test_0"])


class WarningTests(unittest.TestCase):
    """Coroutines that were never awaited and resources that were not closed: in a run of their own."""

    def test_of_all(self):
        """Each is a leak of its test, whether warnings are shown or are errors; what the test records is none."""
        expected = {
            ("test_coroutine", "coroutine 'forgotten' was never awaited", "never awaited, let go at this line"),
            ("test_resource", "ResourceWarning: unclosed file", "resource not closed, let go at this line"),
        }
        for flag in ("always", "error"):
            with self.subTest(flag), tempfile.TemporaryDirectory() as folder:
                report = os.path.join(folder, "report.json")
                run_leakguard("--leak-report", report, "planted_deaths", PYTHONWARNINGS=flag)
                with open(report, encoding="utf-8") as file:
                    leaks = json.load(file)["leaks"]
                found = {(leak["test"].rpartition(".")[2], leak["name"], leak["state"]) for leak in leaks}
                self.assertEqual({(test, name.partition(" <")[0], state) for test, name, state in found}, expected)

    def test_whose_garbage(self):
        """What is collected in the course of a test may be of any test before: nobody's, unless it is known whose."""
        with tempfile.TemporaryDirectory() as folder:
            report = os.path.join(folder, "report.json")
            flags = ("--leak-kinds", "exception", "--leak-report", report, "-v")
            process = run_leakguard(*flags, "planted_garbage", cwd=PLANTED, PYTHONWARNINGS="always")
            with open(report, encoding="utf-8") as file:
                leaks = json.load(file)["leaks"]
        found = {leak["test"].rpartition(".")[2]: (leak["name"].partition(" <")[0], leak["state"]) for leak in leaks}
        never = "coroutine 'forgotten' was never awaited"
        defined = "never awaited, defined at planted_garbage.py:9 in forgotten"
        self.assertEqual(
            found,
            {
                "unattributed": (never, defined),
                "test_loop": ("ResourceWarning: unclosed event loop", "resource not closed"),
                "test_dropped": (never, "never awaited, let go at this line"),
                "test_kept": (never, defined),
            },
        )
        lines = {leak["test"].rpartition(".")[2]: leak["origin"] for leak in leaks}
        self.assertEqual(lines["test_loop"], "planted_garbage.py:24 in FirstTests.test_loop")
        self.assertEqual(lines["test_dropped"], "planted_garbage.py:35 in NextTests.test_dropped")
        for innocent in ("test_collects", "test_drops"):
            self.assertNotIn(f"FAIL: {innocent}", process.stderr)
        self.assertTrue(process.stderr.endswith("\nFAILED (leaks of the run=1)\n"), process.stderr)

    def test_garbage_of_who_opted_out(self):
        """Where a test is not checked, what is nobody's may be that one's: it is logged, and fails nothing."""
        for flags in (("--leak-scope", "key"), ()):
            with self.subTest(flags):
                names = ("planted_garbage.FirstTests.test_cycle", "planted_garbage.NextTests.test_collects")
                environ = {"LG_OFF": "1"} if not flags else {}
                process = run_leakguard("--leak-kinds", "exception", *flags, *names, cwd=PLANTED, **environ)
                self.assertEqual(process.returncode, 0, process.stderr)
                self.assertIn("(logged: a test that is not checked may have made it)", process.stderr)

    def test_filter_for_a_module(self):
        """A filter for the module that drops a coroutine fits as it does without us: our hook's frame is not seen."""
        flags = ("--leak-kinds", "exception", "planted_garbage.NextTests.test_dropped")
        for module, is_shown in (("planted_garbage", False), ("leakguard.deaths", True)):
            with self.subTest(module):
                filters = f"ignore::RuntimeWarning:{module}"
                process = run_leakguard(*flags, cwd=PLANTED, PYTHONWARNINGS=filters)
                self.assertEqual("planted_garbage.py:35: RuntimeWarning" in process.stderr, is_shown, process.stderr)
                self.assertIn("1 leak after test_dropped", process.stderr)


if __name__ == "__main__":
    unittest.main()
