"""Hub teardown: what can be stopped and how, the phases, what is said, and what a teardown must never do."""

import asyncio
import collections
import concurrent.futures
import contextlib
import errno
import multiprocessing
import queue
import socketserver
import subprocess
import sys
import threading
import unittest
from unittest import mock

from leakguard import LeakGuardAsyncTestCase, LeakGuardTestCase, alarm, hub, stops, teardown
from tests.doubles import JOIN_SECONDS, BlockedTask, BlockedThread
from tests.guarded import run_inner, run_inner_async

SHORT = 0.2
"""A timeout, in seconds, for a hub that is meant to outlive it."""


class Recorder:
    """Makes objects whose methods note that they were called."""

    def __init__(self, *names, awaited=(), **attributes):
        self.calls = []
        methods = {name: self._method(name, name in awaited) for name in names}
        self.hub = type("Hub", (), {**methods, **attributes})()

    def _method(self, name, is_async):
        def call(hub):
            self.calls.append(name)

        async def call_async(hub):
            await asyncio.sleep(0)
            self.calls.append(name)

        return call_async if is_async else call


class TaskHub:
    """A hub with a task of its own, which `close` ends, on its loop."""

    def __init__(self, stop=True):
        self._closing, self._stop = asyncio.Event(), stop
        self._task = asyncio.get_running_loop().create_task(self._serve(), name="serving")

    async def _serve(self):
        await self._closing.wait()

    def close(self):
        if self._stop:
            self._closing.set()


class HangingHub:
    """A hub whose close never returns."""

    async def close(self):
        await asyncio.get_running_loop().create_future()


class ThreadHub:
    """A hub that lives in a thread."""

    def __init__(self, stops=True):
        self._stops = stops
        self.thread = BlockedThread(name="hub-thread").start_blocked()

    def stop(self):
        if self._stops:
            self.thread.release()


def head(outcome):
    """The last line of each failure and error of an outcome."""
    return [trace.strip().splitlines()[-1] for _, trace in [*outcome.failures, *outcome.errors]]


def warnings_of(outcome):
    """What was logged of teardowns, without the hub's test."""
    return [text.partition("_0: ")[2] for level, text in outcome.logged if "teardown of hub" in text]


class VerbTests(unittest.TestCase):
    CASES = {
        "asyncio's and websockets' servers": (("close", "wait_closed"), ["close", "wait_closed"]),
        "redis": (("close", "aclose"), ["aclose"]),
        "aiohttp's runner": (("shutdown", "cleanup"), ["cleanup"]),
        "aiohttp's site": (("stop",), ["stop"]),
        "tornado's server": (("stop", "close_all_connections"), ["stop", "close_all_connections"]),
        "a pool": (("close", "join"), ["close", "join"]),
        "a threaded server": (("shutdown",), ["shutdown"]),
    }

    def test_the_verbs_of_real_libraries_in_their_order(self):
        """Of several verbs the one that is the whole is called, then what waits for it; sync and async alike."""
        for title, (names, calls) in self.CASES.items():
            for awaited in ((), names):
                with self.subTest(title, awaited=bool(awaited)):
                    made = Recorder(*names, awaited=awaited)
                    outcome = run_inner_async(lambda test: test.addHub(made.hub))
                    self.assertEqual((head(outcome), made.calls), ([], calls))

    def test_a_method_that_wants_arguments_is_no_verb(self):
        """``join(name)`` of a chat hub is not what waits for it."""
        joined = []
        made = Recorder("close", join=lambda self, name: joined.append(name))
        self.assertEqual(head(run_inner(lambda test: test.addHub(made.hub))), [])
        self.assertEqual((made.calls, joined), (["close"], []))

    def test_addHub_returns_the_hub(self):
        """So that it can stand where the hub is made."""
        made, got = Recorder("close"), []
        run_inner(lambda test: got.append(test.addHub(made.hub)))
        self.assertEqual(got, [made.hub])

    def test_a_stop_of_the_users(self):
        """``stop=`` takes any callable, sync or async, for any object."""
        for is_async in (False, True):
            with self.subTest(is_async=is_async):
                made = Recorder("stop", awaited=("stop",) if is_async else ())
                self.assertEqual(head(run_inner_async(lambda test: test.addHub(object(), stop=made.hub.stop))), [])
                self.assertEqual(made.calls, ["stop"])

    def test_what_cannot_be_stopped(self):
        """A TypeError where it is added names what was looked for."""
        with self.assertRaises(TypeError) as caught:
            LeakGuardTestCase().addHub(object())
        self.assertEqual(
            str(caught.exception),
            "addHub cannot stop a object: it has none of aclose(), cleanup(), stop(), close(), shutdown(), server_close(), "
            "or a task or future, a thread with stop, shutdown, close, cancel, quit, a process, an executor, a server, "
            "an event loop, an entered context manager; pass stop=",
        )

    def test_a_thread_without_a_way_to_stop_it(self):
        """A plain thread cannot be stopped."""
        with self.assertRaisesRegex(TypeError, "^addHub cannot stop a Thread: "):
            LeakGuardTestCase().addHub(threading.Thread())

    def test_what_would_have_to_be_awaited_in_a_sync_test(self):
        """A TypeError where it is added says what to use."""
        with self.assertRaises(TypeError) as caught:
            LeakGuardTestCase().addHub(HangingHub())
        self.assertEqual(
            str(caught.exception),
            "addHub cannot await HangingHub.close() here: use LeakGuardAsyncTestCase, or pass a stop= that is not async",
        )

    def test_a_stop_that_turns_out_to_be_async_in_a_sync_test(self):
        """It is an error of the test, and nothing is left un-awaited."""

        async def stop():
            pass

        outcome = run_inner(lambda test: test.addHub(object(), stop=lambda: stop()))
        self.assertEqual(
            head(outcome), ["TypeError: hub 'object': its stop must be awaited: use LeakGuardAsyncTestCase"]
        )

    def test_a_close_that_is_a_generator(self):
        """A call of it does nothing, so it stops nothing: a TypeError where it is added."""

        def close(hub):
            yield

        async def close_async(hub):
            yield

        for function in (close, close_async):
            made = type("Hub", (), {"close": function})()
            with self.subTest(function.__name__), self.assertRaises(TypeError) as caught:
                LeakGuardTestCase().addHub(made)
            said = f"addHub cannot stop a Hub: Hub.{function.__name__}() is a generator, and a call of it does nothing; pass stop="
            self.assertEqual(str(caught.exception), said)
            with self.assertRaises(TypeError) as caught:
                LeakGuardTestCase().addHub(object(), stop=made.close)
            said = "addHub's stop must be a function, sync or async (got a generator function)"
            self.assertEqual(str(caught.exception), said)

    def test_bad_arguments(self):
        """Each says what was wanted and what came."""
        wanted = "addHub's timeout must be a number of seconds > 0 (got {})"
        for given, error, message in (
            ({"timeout": 0}, ValueError, wanted.format("0")),
            ({"timeout": True}, ValueError, wanted.format("True")),
            ({"timeout": "5"}, ValueError, wanted.format("'5'")),
            ({"timeout": float("inf")}, ValueError, wanted.format("inf")),
            ({"timeout": float("nan")}, ValueError, wanted.format("nan")),
            ({"stop": "close"}, TypeError, "addHub's stop must be callable (got 'close')"),
            ({"name": 3}, TypeError, "addHub's name must be a str (got 3)"),
        ):
            with self.subTest(given), self.assertRaises(error) as caught:
                LeakGuardTestCase().addHub(Recorder("close").hub, **given)
            self.assertEqual(str(caught.exception), message)


class KindTests(unittest.TestCase):
    """What is stopped without verbs."""

    def test_tasks_and_futures(self):
        """They are cancelled."""
        kept = []

        async def leaves(test):
            loop = asyncio.get_running_loop()
            kept.append(test.addHub(loop.create_task(asyncio.Event().wait())))
            kept.append(test.addHub(loop.create_future()))

        self.assertEqual(head(run_inner_async(leaves)), [])
        self.assertEqual([future.cancelled() for future in kept], [True, True])

    def test_a_task_that_swallows_a_cancellation(self):
        """It is cancelled again, which is said."""

        async def leaves(test):
            blocked = BlockedTask(ignores=1)
            await asyncio.sleep(0)  # it is inside now
            test.addHub(blocked.task)

        with mock.patch.object(stops, "CANCEL_AGAIN", 0.01):
            outcome = run_inner_async(leaves)
        self.assertEqual(head(outcome), [])
        self.assertEqual(warnings_of(outcome), ["it went on after 1 cancellation"])

    def test_an_asyncio_server_with_a_client(self):
        """It is closed, and its client's connection with it, which is said."""

        async def serve(reader, writer):
            await reader.read()
            writer.close()

        async def leaves(test):
            server = test.addHub(await asyncio.start_server(serve, "127.0.0.1", 0), name="echo")
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            test.addCleanup(writer.close)
            writer.write(b"x")
            while not hub.clients_of(server):
                await asyncio.sleep(0)

        outcome = run_inner_async(leaves)
        self.assertEqual(head(outcome), [])

    def test_a_client_that_is_still_connected_is_said(self):
        """How many, and which."""
        addresses = []

        async def serve(reader, writer):
            await reader.read()
            writer.close()

        async def leaves(test):
            clients = []
            test.addCleanup(lambda: clients[0].close())
            server = test.addHub(await asyncio.start_server(serve, "127.0.0.1", 0), name="echo")
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            clients.append(writer)
            addresses.append("{}:{}".format(*writer.get_extra_info("sockname")))
            while not hub.clients_of(server):
                await asyncio.sleep(0)

        outcome = run_inner_async(leaves)
        self.assertEqual(head(outcome), [])
        self.assertEqual(warnings_of(outcome), [f"1 client still connected: {addresses[0]}"])

    def test_executors(self):
        """What has not begun is cancelled, and the workers end."""
        kept = []

        def leaves(test):
            executor = test.addHub(concurrent.futures.ThreadPoolExecutor(1))
            executor.submit(int).result()
            kept.append(executor)

        self.assertEqual(head(run_inner(leaves)), [])
        with self.assertRaises(RuntimeError):
            kept[0].submit(int)

    def test_executors_with_fewer_arguments(self):
        """One whose ``shutdown`` knows no ``cancel_futures`` is shut down all the same, without waiting."""
        waited = []

        class Executor(concurrent.futures.Executor):
            def shutdown(self, wait=True):
                waited.append(wait)

        self.assertEqual((head(run_inner(lambda test: test.addHub(Executor()) and None)), waited), ([], [False]))

    def test_processes(self):
        """A child is terminated and waited for, its pipes are closed."""
        kept = []

        def leaves(test):
            command = [sys.executable, "-c", "input()"]
            kept.append(test.addHub(subprocess.Popen(command, stdin=subprocess.PIPE)))

        self.assertEqual(head(run_inner(leaves)), [])
        self.assertEqual((kept[0].returncode, kept[0].stdin.closed), (-15, True))

    def test_a_process_that_ignores_terminate(self):
        """It is killed, which is said."""
        script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); input()"

        def leaves(test):
            pipe = subprocess.PIPE
            child = test.addHub(subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe))
            child.stdout.readline()
            leaves.pid = child.pid

        outcome = run_inner(leaves)
        self.assertEqual(head(outcome), [])
        self.assertEqual(warnings_of(outcome), [f"process {leaves.pid} ignored terminate() and was killed"])

    def test_processes_of_asyncio_and_multiprocessing(self):
        """The same, on the loop and off it."""
        kept = []

        async def leaves(test):
            command = (sys.executable, "-c", "input()")
            kept.append(test.addHub(await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE)))
            child = multiprocessing.get_context("spawn").Process(target=int)
            child.start()
            kept.append(test.addHub(child))

        self.assertEqual(head(run_inner_async(leaves)), [])
        self.assertEqual((kept[0].returncode, kept[1].is_alive()), (-15, False))

    def test_threads_with_a_stop(self):
        """It is called, and the thread is waited for."""

        class Worker(BlockedThread):
            def stop(self):
                self.release()

        kept = []
        self.assertEqual(head(run_inner(lambda test: kept.append(test.addHub(Worker().start_blocked())))), [])
        self.assertFalse(kept[0].is_alive())

    def test_event_loops_of_other_threads(self):
        """The loop is stopped and closed, and the thread that ran it ends."""
        kept = []

        def leaves(test):
            loop = test.addHub(asyncio.new_event_loop())
            threading.Thread(target=loop.run_forever).start()
            kept.append(loop)

        self.assertEqual(head(run_inner(leaves)), [])
        self.assertTrue(kept[0].is_closed())

    def test_entered_context_managers(self):
        """They are left, the async way before the sync one."""
        left = []

        @contextlib.contextmanager
        def sync_one():
            yield
            left.append("sync")

        @contextlib.asynccontextmanager
        async def async_one():
            yield
            left.append("async")

        async def leaves(test):
            await test.addHub(async_one()).__aenter__()
            test.addHub(sync_one()).__enter__()

        self.assertEqual(head(run_inner_async(leaves)), [])
        self.assertEqual(left, ["sync", "async"])

    def test_a_context_manager_that_was_not_entered(self):
        """It is the test's error, where that can be known; nothing of it is run."""
        run = []

        @contextlib.contextmanager
        def chat():
            run.append("chat")
            yield

        @contextlib.asynccontextmanager
        async def chat_async():
            run.append("chat_async")
            yield

        managers = [chat] if sys.version_info[:2] == (3, 11) else [chat, chat_async]
        for manager in managers:
            outcome = run_inner_async(lambda test: test.addHub(manager()) and None)
            name = f"{type(self).__qualname__}.{self._testMethodName}.<locals>.{manager.__name__}"
            self.assertEqual(head(outcome), [f"TypeError: {name}() was given to addHub, and never entered"])
        self.assertEqual(run, [])

    def test_a_context_manager_that_the_test_has_left(self):
        """It is torn down by the test already, which is fine."""

        @contextlib.contextmanager
        def chat():
            yield

        def leaves(test):
            with test.addHub(chat()):
                pass

        outcome = run_inner(leaves)
        self.assertEqual((head(outcome), warnings_of(outcome)), ([], []))

    def test_what_an_executor_has_not_run(self):
        """How many calls were never begun is said."""
        release = threading.Event()

        def leaves(test):
            test.addCleanup(release.set)
            executor = test.addHub(concurrent.futures.ThreadPoolExecutor(1))
            begun = threading.Event()
            executor.submit(lambda: (begun.set(), release.wait(JOIN_SECONDS)))
            for _ in range(3):
                executor.submit(int)
            begun.wait(JOIN_SECONDS)
            test.addCleanup(release.set)

        outcome = run_inner(leaves)
        self.assertEqual((head(outcome), warnings_of(outcome)), ([], ["3 calls not run"]))

    def test_socketserver_that_serves_and_one_that_never_did(self):
        """``shutdown()`` would wait for ever for a ``serve_forever()`` that nobody called."""

        def leaves(test):
            test.addHub(socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler))
            server = test.addHub(socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler))
            threading.Thread(target=server.serve_forever).start()

        self.assertEqual(head(run_inner(leaves)), [])

    def test_a_server_that_looks_whether_it_should_exit(self):
        """uvicorn's way: a flag is set, and whoever serves is waited for."""

        class Server:
            should_exit = False

            async def serve(self):
                while not self.should_exit:
                    await asyncio.sleep(0)

        async def leaves(test):
            server = test.addHub(Server())
            asyncio.get_running_loop().create_task(server.serve())

        outcome = run_inner_async(leaves)
        self.assertEqual((head(outcome), warnings_of(outcome)), ([], []))


class PhaseTests(unittest.TestCase):
    def test_last_registered_first_among_the_cleanups(self):
        """A teardown is a cleanup like others, and comes before the leak check."""
        order = []

        async def leaves(test):
            test.addCleanup(order.append, "first")
            test.addHub(TaskHub(), stop=lambda: order.append("hub"), timeout=SHORT)
            test.addCleanup(order.append, "last")

        outcome = run_inner_async(leaves)
        self.assertEqual((order, outcome.leaks), (["last", "hub", "first"], []))

    def test_the_hubs_own_tasks_and_threads_are_waited_for(self):
        """A stop that only asks is enough."""

        async def of_tasks(test):
            test.addHub(TaskHub())

        self.assertEqual(warnings_of(run_inner_async(of_tasks)), [])
        outcome = run_inner(lambda test: test.addHub(ThreadHub()))
        self.assertEqual((head(outcome), warnings_of(outcome)), ([], []))

    def test_what_a_stop_begins_is_the_hubs_own(self):
        """A stop that closes in the background is waited for: its tasks and threads, attributes or inside a method."""
        ended = []

        class Hub:
            async def _close(self):
                for _ in range(50):
                    await asyncio.sleep(0)
                ended.append("task")

            def close(self):
                task = asyncio.get_running_loop().create_task(self._close())
                task.add_done_callback(lambda task: release.set())
                threading.Thread(target=self._end).start()

            def _end(self):
                release.wait(JOIN_SECONDS)
                ended.append("thread")

        release = threading.Event()

        async def leaves(test):
            test.addCleanup(lambda: ended.append("earlier cleanup"))
            test.addHub(Hub())

        outcome = run_inner_async(leaves)
        self.assertEqual((head(outcome), warnings_of(outcome)), ([], []))
        self.assertEqual(ended, ["task", "thread", "earlier cleanup"])

    def test_tasks_that_go_on_are_cancelled_and_said(self):
        """After the timeout; the test passes."""

        async def leaves(test):
            test.addHub(TaskHub(stop=False), timeout=SHORT)

        outcome = run_inner_async(leaves)
        self.assertEqual((head(outcome), outcome.leaks), ([], []))
        self.assertEqual(warnings_of(outcome), ["1 task cancelled: serving"])

    def test_threads_that_go_on_fail_the_test(self):
        """Nobody can end them."""
        kept = []
        outcome = run_inner(lambda test: kept.append(test.addHub(ThreadHub(stops=False), timeout=SHORT)))
        kept[0].thread.end()
        (line,) = head(outcome)
        self.assertRegex(line, r"HubError: hub 'ThreadHub' did not stop within 0.2 s: thread 'hub-thread' it is at ")
        self.assertEqual(outcome.counts(), (1, 0))

    def test_threads_that_go_on_in_an_async_test(self):
        """The stop has returned: only the thread is named."""
        kept = []
        outcome = run_inner_async(lambda test: kept.append(test.addHub(ThreadHub(stops=False), timeout=SHORT)))
        kept[0].thread.end()
        (line,) = head(outcome)
        self.assertRegex(line, r"HubError: hub 'ThreadHub' did not stop within 0.2 s: thread 'hub-thread' it is at ")

    def test_a_hub_that_hangs_fails_its_test_and_the_next_one_is_clean(self):
        """The failure says what it was waiting in; the run goes on."""

        async def hangs(test):
            test.addHub(HangingHub(), timeout=SHORT, name="chat")

        async def is_clean(test):
            pass

        outcome = run_inner_async(hangs, is_clean)
        self.assertEqual([test.id() for test, _ in outcome.failures], ["inner.Inner.test_0"])
        self.assertRegex(
            head(outcome)[0], r"HubError: hub 'chat' did not stop within 0.2 s: it is at .*test_hub.py:\d+ in HangingHub.close"
        )

    @unittest.skipUnless(hasattr(alarm.signal, "setitimer"), "a blocking call can be ended by an alarm only")
    def test_a_stop_that_blocks_the_thread(self):
        """The same for a call that never returns, in a sync test and on the loop."""
        for run, close in ((run_inner, None), (run_inner_async, None)):
            with self.subTest(run.__name__):
                blocked = threading.Event()

                def leaves(test):
                    test.addHub(object(), stop=lambda: blocked.wait(), timeout=SHORT)

                (line,) = head(run(leaves))
                self.assertRegex(line, r"did not stop within 0.2 s: it is at .*test_hub.py:\d+ in .*<lambda>, waiting in threading.Event.wait")

    @unittest.skipUnless(hasattr(alarm.signal, "setitimer"), "a blocking call can be ended by an alarm only")
    def test_an_async_stop_that_blocks_the_loop(self):
        """It is ended and named, whatever task of its own it blocks in and how often it swallows the alarm."""

        async def block(asks=1):
            await asyncio.sleep(0)
            for _ in range(asks):
                with contextlib.suppress(alarm.Overdue):
                    threading.Event().wait()
            threading.Event().wait()

        async def gather(hub):
            await asyncio.gather(block(0))

        for close in (lambda hub: block(0), lambda hub: block(2), gather):
            with self.subTest(close.__name__):
                kind = type("Hub", (), {"close": close})

                async def leaves(test):
                    test.addHub(kind(), timeout=SHORT)

                async def is_clean(test):
                    pass

                outcome = run_inner_async(leaves, is_clean)
                self.assertEqual([test.id() for test, _ in outcome.failures], ["inner.Inner.test_0"])
                said = r"did not stop within 0.2 s: it is at .*test_hub.py:\d+ in .*block, waiting in"
                self.assertRegex(head(outcome)[0], said)

    @unittest.skipUnless(hasattr(alarm.signal, "setitimer"), "a blocking call can be ended by an alarm only")
    def test_a_task_of_a_hub_that_blocks_the_loop(self):
        """It is ended, and the hub is named with where it was."""

        class Hub(TaskHub):
            async def _serve(self):
                await super()._serve()
                threading.Event().wait()

        async def leaves(test):
            test.addHub(Hub(), timeout=SHORT)
            await asyncio.sleep(0)

        (line,) = head(run_inner_async(leaves))
        said = r"hub 'Hub' did not stop within 0.2 s: it is at .*test_hub.py:\d+ in .*Hub._serve, waiting in"
        self.assertRegex(line, said)

    def test_a_stop_that_is_over_too_late(self):
        """By the real clock: that its task is done when somebody looks at last does not help."""
        late = [0.0]
        clock = teardown._compat.clock

        async def stop_async():
            await asyncio.sleep(0)
            stop()

        def stop():
            late[0] += 7.0

        for run, given in ((run_inner, stop), (run_inner_async, stop), (run_inner_async, stop_async)):
            with self.subTest(given.__name__), mock.patch.object(teardown._compat, "clock", lambda: clock() + late[0]):
                outcome = run(lambda test: test.addHub(object(), stop=given) and None)
                said = "leakguard.teardown.HubError: hub 'object' did not stop within 5 s: it took 7.0 s"
                self.assertEqual(head(outcome), [said])

    def test_a_stop_that_blocks_outside_of_the_main_thread(self):
        """There a thread of its own is left behind, and the run goes on."""
        blocked = threading.Event()
        outcomes = []

        def leaves(test):
            test.addHub(object(), stop=blocked.wait, timeout=SHORT)

        def run():
            outcomes.append(run_inner(leaves))

        runner = threading.Thread(target=run)
        runner.start()
        runner.join(JOIN_SECONDS)
        blocked.set()
        self.assertRegex(head(outcomes[0])[0], r"HubError: hub 'object' did not stop within 0.2 s: it is at ")
        for thread in threading.enumerate():
            if thread.name == "teardown of object":
                thread.join(JOIN_SECONDS)

    def test_an_alarm_of_the_users_goes_on(self):
        """A timer and a handler that were there are there again."""
        signal = alarm.signal
        if not hasattr(signal, "setitimer"):
            self.skipTest("no alarms here")
        saved = signal.signal(signal.SIGALRM, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGALRM, saved)
        signal.setitimer(signal.ITIMER_REAL, 1000, 7)
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
        self.assertEqual(head(run_inner(lambda test: test.addHub(Recorder("close").hub))), [])
        self.assertEqual(signal.getsignal(signal.SIGALRM), signal.SIG_IGN)
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        self.assertEqual((900 < left <= 1000, interval), (True, 7))

    def test_an_error_of_one_teardown_hides_no_other(self):
        """Every hub is torn down, and every error is reported."""
        made = Recorder("close")

        def fail(what):
            raise ZeroDivisionError(what)

        async def leaves(test):
            test.addHub(made.hub)
            test.addHub(object(), stop=lambda: fail("one"))
            test.addHub(object(), stop=lambda: fail("two"))

        outcome = run_inner_async(leaves)
        self.assertEqual(made.calls, ["close"])
        self.assertEqual(sorted(head(outcome)), ["ZeroDivisionError: one", "ZeroDivisionError: two"])

    def test_an_error_of_one_verb_keeps_no_other_from_being_called(self):
        """``server_close`` comes though ``stop`` has failed; the first error is the test's."""
        made = Recorder("server_close", stop=lambda self: 1 / 0)
        outcome = run_inner(lambda test: test.addHub(made.hub))
        self.assertEqual((made.calls, head(outcome)), (["server_close"], ["ZeroDivisionError: division by zero"]))

    def test_closed_before(self):
        """An error that only says that it is closed already is logged, not raised."""

        def stop(site):
            raise RuntimeError("Site is not registered in runner")

        outcome = run_inner(lambda test: test.addHub(Recorder(stop=stop).hub))
        self.assertEqual(head(outcome), [])
        self.assertEqual(warnings_of(outcome), ["it was closed already (Site is not registered in runner)"])

    def test_what_says_that_it_is_closed(self):
        """Words for closing, or the errno of a closed descriptor; not any "already", and nothing that came too late."""
        for error, is_closed in (
            (RuntimeError("the client has already been closed"), True),
            (ValueError("I/O operation: the file is closed"), True),
            (OSError(errno.EBADF, "Bad file descriptor"), True),
            (OSError(errno.ENOTCONN, "Socket is not connected"), True),
            (OSError(errno.EADDRINUSE, "Address already in use"), False),
            (OSError(errno.EIO, "the disk is closed"), False),
            (RuntimeError("Event loop is closed"), False),
            (RuntimeError("cannot reuse already awaited coroutine"), False),
            (KeyError("already closed"), False),
        ):
            with self.subTest(error):
                self.assertEqual(stops.is_closed_already(error), is_closed)

    def test_an_error_of_the_users_own_stop_is_an_error(self):
        """Whatever it says: who writes a stop knows what it may raise."""

        def stop():
            raise RuntimeError("worker is not running: 17 messages lost")

        outcome = run_inner(lambda test: test.addHub(object(), stop=stop))
        self.assertEqual(head(outcome), ["RuntimeError: worker is not running: 17 messages lost"])

    def test_a_cancellation_that_comes_out_of_a_stop(self):
        """The next verb is called, and the test fails: what comes after the ``await`` in it was not done."""

        async def close(hub):
            task = asyncio.get_running_loop().create_task(asyncio.sleep(100))
            task.cancel()
            await task

        made = Recorder("wait_closed", close=close)
        outcome = run_inner_async(lambda test: test.addHub(made.hub))
        self.assertEqual((made.calls, head(outcome)), (["wait_closed"], ["asyncio.exceptions.CancelledError"]))

    def test_a_cancellation_of_the_teardown_by_the_stop(self):
        """The hub's own tasks are waited for all the same, and the test fails."""

        async def leaves(test):
            made = test.addHub(TaskHub(), stop=lambda: (asyncio.current_task().cancel(), made.close()))

        outcome = run_inner_async(leaves)
        self.assertEqual((head(outcome), warnings_of(outcome)), (["asyncio.exceptions.CancelledError"], []))

    def test_a_SystemExit_of_a_stop(self):
        """Every hub is torn down, in sync and async tests, and it is reported as unittest reports one of a cleanup."""
        stopped = []

        def make(number):
            def close(hub):
                if number == 1:
                    sys.exit("bye")
                stopped.append(number)

            async def close_later(hub):
                await asyncio.sleep(0)
                close(hub)

            return close, close_later

        for run, is_async in ((run_inner, False), (run_inner_async, False), (run_inner_async, True)):
            with self.subTest(run.__name__, is_async=is_async):
                stopped.clear()
                kinds = [type("Hub", (), {"close": make(number)[is_async]}) for number in range(3)]
                outcome = run(lambda test: [test.addHub(kind()) for kind in kinds] and None)
                self.assertEqual((sorted(stopped), head(outcome)), ([0, 2], ["SystemExit: bye"]))

    def test_a_hub_that_is_added_twice(self):
        """It is torn down once, unless the two have stops of their own."""
        made = Recorder("close", "flush")

        async def leaves(test):
            test.assertIs(test.addHub(made.hub), made.hub)
            test.assertIs(test.addHub(made.hub), made.hub)
            test.addHub(made.hub, stop=made.hub.flush)

        self.assertEqual((head(run_inner_async(leaves)), made.calls), ([], ["flush", "close"]))

    def test_hubs_of_one_class_are_torn_down_together(self):
        """A hundred that hang cost one timeout; stops begin last registered first."""
        begun = []

        class Hub(HangingHub):
            def __init__(self, number):
                self.number = number

            async def close(self):
                begun.append(self.number)
                await super().close()

        async def leaves(test):
            for number in range(100):
                test.addHub(Hub(number), timeout=SHORT)

        with mock.patch.object(teardown, "_wait", side_effect=teardown._wait) as waits:
            outcome = run_inner_async(leaves)
        self.assertEqual((begun, len(waits.mock_calls)), (list(range(99, -1, -1)), 1))
        self.assertEqual(outcome.counts(), (100, 0))

    def test_hubs_of_other_classes_wait_for_those_registered_after_them(self):
        """A client is closed before its server is, and so is what another cleanup stands between."""
        order = []

        def make(name):
            async def close(self):
                order.append(name)
                await asyncio.sleep(0)
                order.append(f"{name} closed")

            return type(name.capitalize(), (), {"close": close})()

        async def leaves(test):
            test.addHub(make("server"))
            test.addHub(make("client"))

        self.assertEqual(head(run_inner_async(leaves)), [])
        self.assertEqual(order, ["client", "client closed", "server", "server closed"])

    def test_hubs_of_several_classes_by_turns_are_torn_down_together(self):
        """A hub waits for those between it and the next of its class only: servers for their clients, all at once."""
        order = []

        def make(kind):
            async def close(self):
                order.append(f"{kind.lower()} {self.number}")
                await asyncio.sleep(0)
                order.append(kind.lower())

            return type(kind, (), {"close": close})

        server, client = make("Server"), make("Client")

        async def leaves(test):
            for number in range(50):
                for kind in (server, client):
                    hub = test.addHub(kind())
                    hub.number = number

        self.assertEqual(head(run_inner_async(leaves)), [])
        expected = []
        for kind in ("client", "server"):
            expected += [f"{kind} {number}" for number in range(49, -1, -1)] + 50 * [kind]
        self.assertEqual(order, expected)

    def test_hubs_of_several_classes_that_hang_cost_one_timeout_a_class(self):
        """A hundred of two classes by turns: two waits."""

        async def leaves(test):
            kinds = [type(name, (HangingHub,), {}) for name in ("A", "B")]
            for number in range(100):
                test.addHub(kinds[number % 2](), timeout=SHORT)

        with mock.patch.object(teardown, "_wait", side_effect=teardown._wait) as waits:
            outcome = run_inner_async(leaves)
        self.assertEqual((outcome.counts(), len(waits.mock_calls)), ((100, 0), 2))

    def test_a_stop_that_runs_in_the_task_of_the_cleanup_may_time_out_by_itself(self):
        """A timeout of its own is its own affair, though it cancels the same task."""
        timed_out = []

        class Hub:
            async def close(self):
                try:
                    await asyncio.wait_for(asyncio.Event().wait(), 0.01)
                except asyncio.TimeoutError:
                    timed_out.append("wait_for")
                if sys.version_info >= (3, 11):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.01):
                            await asyncio.Event().wait()
                    timed_out.append("timeout")

        async def leaves(test):
            test.addHub(Hub())

        outcome = run_inner_async(leaves, leaves)
        self.assertEqual((head(outcome), warnings_of(outcome)), ([], []))
        self.assertEqual(timed_out, (["wait_for", "timeout"] if sys.version_info >= (3, 11) else ["wait_for"]) * 2)

    def test_a_stop_that_swallows_cancellations(self):
        """It is left to the leak check, and the run goes on."""

        class Hub:
            async def close(self):
                while True:
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.get_running_loop().create_future()

        async def leaves(test):
            test.addHub(Hub(), timeout=SHORT)

        async def is_clean(test):
            pass

        outcome = run_inner_async(leaves, is_clean)
        self.assertEqual({test.id() for test, _ in outcome.failures}, {"inner.Inner.test_0"})
        self.assertRegex(head(outcome)[0], r"HubError: hub 'Hub' did not stop within 0.2 s: it is at .*test_hub.py:\d+ in .*Hub.close")
        (leak,) = outcome.leaks
        self.assertRegex(leak.place, r"tests/test_hub.py:\d+ in .*Hub.close")

    def test_a_stop_whose_task_is_cancelled_from_outside(self):
        """As Ctrl-C does from 3.11: it is broken off at once, and what it was doing is cancelled."""
        seen = []

        class Hub:
            async def close(self):
                here = asyncio.current_task()
                asyncio.get_running_loop().call_soon(here.cancel)
                try:
                    await asyncio.get_running_loop().create_future()
                except asyncio.CancelledError:
                    seen.append("cancelled")
                    raise

        async def leaves(test):
            test.addHub(Hub())

        outcome = run_inner_async(leaves, leaves)
        self.assertEqual(seen, ["cancelled"] * 2)
        self.assertEqual(head(outcome), ["asyncio.exceptions.CancelledError"] * 2)

    def test_a_task_inside_a_method_of_a_hub_that_the_test_has_as_an_attribute(self):
        """It is found, whoever else has a reference to the hub; a stop that asks it to end is enough."""

        class Hub:
            def __init__(self):
                self.closing = asyncio.Event()

            async def serve(self):
                await self.closing.wait()
                for _ in range(50):
                    await asyncio.sleep(0)
                ended.append("served")

            def close(self):
                self.closing.set()

        ended = []

        async def leaves(test):
            test.addCleanup(ended.append, "earlier cleanup")
            test.hub = test.addHub(Hub())
            test.task = asyncio.ensure_future(test.hub.serve())
            await asyncio.sleep(0)

        self.assertEqual((head(run_inner_async(leaves)), ended), ([], ["served", "earlier cleanup"]))

    def test_a_hub_that_nobody_else_has_costs_no_look_at_the_tasks(self):
        """A task that is inside a method of it would have a reference to it."""

        class Hub:
            async def close(self):
                await asyncio.sleep(0)

        class Other(Hub):
            pass

        async def leaves(test):
            test.addCleanup(asyncio.ensure_future(asyncio.Event().wait()).cancel)
            for kind in (Hub, Other, Other):
                test.addHub(kind())
            test.hub = test.addHub(Hub())
            await asyncio.sleep(0)

        with mock.patch.object(hub, "frames_of_task", side_effect=hub.frames_of_task) as looks:
            outcome = run_inner_async(leaves)
        self.assertEqual((head(outcome), looks.mock_calls), ([], []))

    @unittest.skipUnless(hasattr(alarm.signal, "setitimer"), "a blocking call can be ended by an alarm only")
    def test_a_stop_that_swallows_the_alarm(self):
        """That the run stands still for it, and where, is said."""

        def stop():
            ring = alarm.signal.getsignal(alarm.signal.SIGALRM)
            for _ in range(alarm.IN_VAIN + 1):
                with contextlib.suppress(alarm.Overdue):
                    ring(alarm.signal.SIGALRM, sys._getframe())

        outcome = run_inner(lambda test: test.addHub(object(), stop=stop) and None)
        ((level, text),) = [entry for entry in outcome.logged if "swallows" in entry[1]]
        self.assertEqual(level, "ERROR")
        said = r"leakguard: teardown of hub 'object' swallows what is to end it, and the run waits for it: it is at .*test_hub.py:\d+ in "
        self.assertRegex(text, said)

    def test_hubs_in_threads_are_torn_down_together(self):
        """In threads of ours, as each may block."""
        barrier = threading.Barrier(3)

        class Hub(ThreadHub):
            def stop(self):
                barrier.wait(JOIN_SECONDS)  # all three are in it at once, or this breaks
                super().stop()

        def leaves(test):
            for _ in range(3):
                test.addHub(Hub())

        self.assertEqual(head(run_inner(leaves)), [])

    def test_a_frozen_clock_of_the_loop(self):
        """The timeout is of real seconds."""

        async def leaves(test):
            asyncio.get_running_loop().time = lambda: 1.0
            test.addHub(HangingHub(), timeout=SHORT)

        self.assertEqual(run_inner_async(leaves).counts(), (1, 0))


class ForcedTests(unittest.TestCase):
    def test_clients_and_messages(self):
        """Who is connected and what is undelivered is said, where the hub has it under a usual name."""
        Client = collections.namedtuple("Client", "name")

        class Hub:
            def __init__(self):
                self.clients = {Client(f"c{number}"): queue.Queue() for number in range(7)}
                self.backlog = queue.Queue()
                self.backlog.put("x")
                for waiting in self.clients.values():
                    waiting.put("y")

            def close(self):
                self.clients.clear()

        outcome = run_inner(lambda test: test.addHub(Hub(), name="chat"))
        self.assertEqual(
            outcome.logged,
            [
                (
                    "WARNING",
                    "leakguard: teardown of hub 'chat' in inner.Inner.test_0: "
                    "7 clients still connected: c0, c1, c2, c3, c4 and 2 more; 8 messages undelivered",
                )
            ],
        )

    def test_clients_in_a_dict(self):
        """They are named by their keys, or by the values' addresses where the keys say nothing."""

        class Nameless:
            pass

        class Remote:
            remote_address = ("127.0.0.1", 80)

        for clients, names in (
            ({7: Nameless(), "ann": Nameless()}, ["7", "ann"]),
            ({("::1", 80): Nameless()}, ["::1:80"]),
            ({Nameless(): Remote()}, ["127.0.0.1:80"]),
            ({Remote(): Nameless()}, ["127.0.0.1:80"]),
            ({Nameless(): Nameless()}, ["Nameless"]),
        ):
            with self.subTest(names):
                made = Recorder("close", clients=clients).hub
                self.assertEqual([hub.client_name(client) for client in hub.clients_of(made)], names)

    def test_queues_in_slots_and_deques(self):
        """Attributes in slots count, queues in a deque, and a deque that is called an outbox; one of history does not."""

        class Hub:
            __slots__ = ("queues", "_outbox", "history", "unset")

            def __init__(self):
                self.queues = collections.deque([queue.Queue(), queue.Queue()])
                self.queues[0].put("x")
                self._outbox = collections.deque("yz")
                self.history = collections.deque("abc")

        self.assertEqual(hub.undelivered(Hub()), 3)

    def test_the_queues_of_its_loop_are_not_its_own(self):
        """An event loop is an attribute of many a hub, and what waits in it is everybody's."""

        async def leaves(test):
            loop = asyncio.get_running_loop()
            loop.backlog = queue.Queue()
            loop.backlog.put("x")
            test.addHub(Recorder("close", loop=loop).hub).loop = loop

        self.assertEqual(warnings_of(run_inner_async(leaves)), [])

    def test_one_look_at_the_tasks_is_enough_for_many_hubs(self):
        """What tasks are inside of is looked up once for a group: a thousand clients do not cost a million looks."""

        async def leaves(test):
            for _ in range(20):
                test.addHub(TaskHub())
            await asyncio.sleep(0)

        with mock.patch.object(hub, "frames_of_task", side_effect=hub.frames_of_task) as looks:
            outcome = run_inner_async(leaves)
        self.assertEqual((head(outcome), len(looks.mock_calls)), ([], 20))

    def test_a_hub_that_lies_about_itself(self):
        """Properties and queues that raise say nothing, and break nothing."""

        class Broken:
            def qsize(self):
                raise NotImplementedError

            get = None

        class Hub:
            def __init__(self):
                self.queue = Broken()

            @property
            def clients(self):
                raise ZeroDivisionError

            def close(self):
                pass

        outcome = run_inner(lambda test: test.addHub(Hub()))
        self.assertEqual((head(outcome), outcome.logged), ([], []))

    def test_names_of_clients(self):
        """An address, a name, a text, else the class."""

        class Remote:
            remote_address = ("127.0.0.1", 80)

        class Nameless:
            pass

        class Closed:
            @property
            def remote_address(self):
                raise OSError

        transport = mock.Mock(spec=["get_extra_info"])
        transport.get_extra_info.return_value = ("::1", 80, 0, 0)
        cases = [(Remote(), "127.0.0.1:80"), ("ann", "ann"), (Nameless(), "Nameless"), (Closed(), "Closed")]
        for client, name in [*cases, (transport, "::1:80")]:
            with self.subTest(name):
                self.assertEqual(hub.client_name(client), name)


class AsyncFixtureTests(unittest.TestCase):
    def test_from_asyncSetUp(self):
        """A hub of ``asyncSetUp`` is torn down with its test."""
        made = Recorder("close", awaited=("close",))

        class Inner(LeakGuardAsyncTestCase):
            async def asyncSetUp(self):
                self.addHub(made.hub)

            async def test(self):
                pass

        result = unittest.TestResult()
        Inner("test").run(result)
        self.assertTrue(result.wasSuccessful())
        self.assertEqual(made.calls, ["close"])
