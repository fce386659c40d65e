"""Planted leaks of the kinds timer, file, exception, tempfile, environ and native, each with a clean twin.

A plant is a function of a test, or a coroutine function of an async one; what it leaves behind is undone by cleanups of
the test around it, its `bed`. The line that creates the leak ends with the comment ``# creates``.
"""

import asyncio
import colorsys  # noqa: F401 - what is replaced must be there
import functools
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
import warnings
import weakref
from typing import Any, Callable, NamedTuple
from unittest import mock

from tests.natives import NativeDouble

HOUR = 3600.0

VERDICTS = {"timer": "waiting", "native": "unknown"}
"""Of the kinds that have one; the others are no activities."""

TIMER = "keep the handle that call_later() returns, and cancel() it in a cleanup"
HANDLER = "loop.remove_signal_handler() in a cleanup"
CLOSE = "close() it in a cleanup, or use it in a with block"
CLOSE_LOOP = "close() the event loop in a cleanup, or use asyncio.run() or asyncio.Runner"
IN_THREAD = "catch it in the thread, or run the work in an executor and ask for its result()"
IN_FINALIZER = "let finalizers and callbacks catch what they raise"
IN_TASK = "keep a reference to the task, and await it"
WHERE_RAISED = "catch it where it is raised"
AWAIT = "await it, or close() it"
FILE = "remove it in a cleanup, or use tempfile.NamedTemporaryFile in a with block"
FOLDER = "remove it in a cleanup, or use tempfile.TemporaryDirectory in a with block"
PUT_BACK = "put it back in a cleanup, or change it with unittest.mock.patch"
STOP = "stop the library that started it, in a cleanup: it runs no Python code, and no line of Python is known"

TEMPORARY = tempfile.gettempdir().replace(os.sep, "/")
HAS_LIST = os.path.isdir("/proc/self/fd")


class Plant(NamedTuple):
    """One leak and its twin: what is found of it, as regular expressions, and whether its line is known."""

    kind: str
    name: str
    state: str
    hint: str
    leaks: Callable[..., Any]
    twin: Callable[..., Any]
    has_line: bool
    reported_as: str
    verdict: str


PLANTS = []


def plant(kind, name, state, hint, *, twin, has_line=True, where=True, reported_as=""):
    """Enter the decorated function into the table, where the platform has what it needs."""

    def enter(leaks):
        if where:
            verdict = VERDICTS.get(kind, "")
            PLANTS.append(Plant(kind, name, state, hint, leaks, twin, has_line, reported_as or kind, verdict))
        return leaks

    return enter



# -- timer ---------------------------------------------------------------------------------------


def tick(*args):
    """What a timer calls."""


async def cancelled(bed):
    """A timer that is cancelled in time."""
    asyncio.get_running_loop().call_later(HOUR, tick).cancel()


async def fired(bed):
    """A timer that has fired."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0, done.set)
    await done.wait()


async def slept(bed):
    """Timers that asyncio makes for itself."""
    await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.sleep(0), HOUR)


@plant("timer", "tick", "pending", TIMER, twin=cancelled)
async def call_later(bed):
    asyncio.get_running_loop().call_later(HOUR, tick)  # creates


@plant("timer", "tick", "pending", TIMER, twin=fired)
async def call_at(bed):
    loop = asyncio.get_running_loop()
    loop.call_at(loop.time() + HOUR, tick)  # creates


@plant("timer", "tick", "pending", TIMER, twin=slept)
async def timer_with_a_partial(bed):
    asyncio.get_running_loop().call_later(HOUR, functools.partial(tick, 1))  # creates


@plant("timer", r".*<lambda>", "pending", TIMER, twin=cancelled)
async def timer_that_is_set_by_a_callback(bed):
    loop = asyncio.get_running_loop()

    def sets():
        loop.call_later(HOUR, lambda: None)  # creates

    loop.call_soon(sets)
    await asyncio.sleep(0)


def on_closed_loop(bed):
    """A timer of a loop that is closed: it will never fire."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.call_later(HOUR, tick)
    loop.close()


@plant("timer", "tick", "pending", TIMER, twin=on_closed_loop)
def timer_of_a_loop_that_does_not_run(bed):
    loop = bed.open_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.call_later(HOUR, tick)  # creates


def on_background_loop(bed):
    """A timer of a loop in another thread, cancelled there."""
    loop = bed.background_loop()

    async def sets():
        asyncio.get_running_loop().call_later(HOUR, tick).cancel()

    loop.submit(sets()).result()


@plant("timer", "tick", "pending", TIMER, twin=on_background_loop)
def timer_of_a_loop_in_another_thread(bed):
    async def sets():
        asyncio.get_running_loop().call_later(HOUR, tick)  # creates

    bed.background_loop().submit(sets()).result()


async def removed(bed):
    """A signal handler that is removed in time."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, tick)
    loop.remove_signal_handler(signal.SIGUSR1)


@plant("timer", "SIGUSR1", "signal handler", HANDLER, twin=removed, where=hasattr(signal, "SIGUSR1"))
async def signal_handler_of_a_loop(bed):
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tick)  # creates


# -- file: the line is known, since the table is run with tracemalloc ----------------------------


def closed_file(bed):
    """A file in a with block."""
    with open(os.devnull) as file:
        file.read()


def closed_socket(bed):
    """A socket in a with block."""
    with socket.create_server(("127.0.0.1", 0)):
        pass


def closed_pipe(bed):
    """Both ends of a pipe, closed."""
    for end in os.pipe():
        os.close(end)


@plant("file", os.devnull, "open, mode r, held by io.TextIOWrapper", CLOSE, twin=closed_file, where=HAS_LIST)
def text_file(bed):
    bed.keep(open(os.devnull))  # creates


@plant("file", os.devnull, r"open, mode r\+, held by io.FileIO", CLOSE, twin=closed_file, where=HAS_LIST)
def raw_binary_file(bed):
    bed.keep(open(os.devnull, "r+b", buffering=0))  # creates


@plant("file", os.devnull, "open, mode w, held by io.BufferedWriter", CLOSE, twin=closed_file, where=HAS_LIST)
def file_that_is_appended_to(bed):
    bed.keep(open(os.devnull, "ab"))  # creates


@plant("file", os.devnull, "open, mode r", CLOSE, twin=closed_file, has_line=False, where=HAS_LIST)
def descriptor_without_an_object(bed):
    bed.addCleanup(os.close, os.open(os.devnull, os.O_RDONLY))


@plant(
    "file", "listening socket", r"INET STREAM, listening on 127\.0\.0\.1:\*, held by socket.socket", CLOSE,
    twin=closed_socket, where=HAS_LIST
)  # fmt: skip
def listening_socket(bed):
    sock = bed.keep(socket.socket())  # creates
    sock.bind(("127.0.0.1", 0))
    sock.listen()


@plant(
    "file", "socket", r"INET STREAM, from 127.0.0.1:\*, to 127.0.0.1:\*, held by socket.socket", CLOSE,
    twin=closed_socket, where=HAS_LIST
)  # fmt: skip
def connected_socket(bed):
    sock = bed.keep(socket.socket())  # creates
    sock.connect(bed.server.getsockname())


@plant(
    "file", "socket", r"INET DGRAM, from 0\.0\.0\.0:0, held by socket.socket", CLOSE,
    twin=closed_socket, where=HAS_LIST
)  # fmt: skip
def datagram_socket(bed):
    bed.keep(socket.socket(type=socket.SOCK_DGRAM))  # creates


@plant("file", "socket", "UNIX STREAM, open, held by socket.socket", CLOSE, twin=closed_socket, where=HAS_LIST)
def unix_socket(bed):
    bed.keep(socket.socket(socket.AF_UNIX))  # creates


@plant("file", "pipe", "read end", CLOSE, twin=closed_pipe, has_line=False, where=HAS_LIST)
def read_end_of_a_pipe(bed):
    reader, writer = os.pipe()
    bed.addCleanup(os.close, reader)
    os.close(writer)


def finished_child(bed):
    """A child whose output is read to the end, and closed."""
    subprocess.run([sys.executable, "-S", "-c", ""], stdout=subprocess.PIPE, check=True)


@plant(
    "file", "pipe", "read end, held by io.BufferedReader", CLOSE,
    twin=finished_child, has_line=False, where=HAS_LIST
)  # fmt: skip
def output_of_a_child_that_has_ended(bed):
    child = subprocess.Popen([sys.executable, "-S", "-c", ""], stdout=subprocess.PIPE)
    bed.keep(child.stdout)
    child.wait()


def closed_loop(bed):
    """An event loop that is closed."""
    asyncio.new_event_loop().close()


@plant(
    "file", "epoll and self-pipe", "event loop not closed", CLOSE_LOOP,
    twin=closed_loop, has_line=False, where=HAS_LIST
)  # fmt: skip
def event_loop(bed):
    bed.open_loop()


def closed_epoll(bed):
    """An epoll in a with block."""
    with select.epoll():
        pass


@plant("file", "epoll", "open", CLOSE, twin=closed_epoll, has_line=False, where=hasattr(select, "epoll"))
def epoll(bed):
    bed.keep(select.epoll())


async def closed_transport(bed):
    """A transport that needs one turn of the loop to close."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    await reader.read()
    writer.close()
    server.close()


@plant(
    "file", "socket", r"INET DGRAM, from 127\.0\.0\.1:\*, held by socket.socket",
    "close() the asyncio transport in a cleanup",
    twin=closed_transport, where=HAS_LIST, has_line=False
)  # fmt: skip
async def datagram_transport(bed):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    bed.keep(transport)


# -- exception -----------------------------------------------------------------------------------


def run_thread(target, **options):
    """Run something in a thread to its end."""
    thread = threading.Thread(target=target, **options)
    thread.start()
    thread.join()


def dies():
    """What a thread or a callback runs into."""
    raise ValueError("boom")


async def fails():
    """What a task runs into."""
    raise ValueError("boom")


async def turns():
    """A few turns of the loop."""
    for _ in range(3):
        await asyncio.sleep(0)


def exits_by_itself(bed):
    """A thread that ends by sys.exit(), which nobody has to see."""
    run_thread(sys.exit)


def is_seen(bed):
    """An exception in a thread, which the test's own hook sees."""
    with mock.patch("threading.excepthook"):
        run_thread(dies)


@plant("exception", "ValueError: boom", "uncaught in thread 'reader'", IN_THREAD, twin=exits_by_itself, has_line=False)
def in_a_thread(bed):
    run_thread(dies, name="reader")


@plant("exception", "ZeroDivisionError: .*", "uncaught in thread 'heart'", IN_THREAD, twin=is_seen)
def in_a_timer_thread(bed):
    def beats():
        return 1 / 0  # creates

    timer = threading.Timer(0, beats)
    timer.name = "heart"
    timer.start()
    timer.join()


def finalizes(bed):
    """A finalizer that catches what it raises."""

    class Quiet:
        def __del__(self):
            try:
                raise KeyError("x")
            except KeyError:
                pass

    Quiet()


@plant("exception", "KeyError: 'x'", "ignored in .*Dying.__del__", IN_FINALIZER, twin=finalizes)
def in_a_finalizer(bed):
    class Dying:
        def __del__(self):
            raise KeyError("x")  # creates

    Dying()


def callback_is_called(bed):
    """A callback of a weak reference that works."""
    thing = type("Thing", (), {})()
    bed.reference = weakref.ref(thing, tick)
    del thing


@plant("exception", "ValueError: boom", "ignored in .*", IN_FINALIZER, twin=callback_is_called, has_line=False)
def in_a_callback_of_a_weak_reference(bed):
    thing = type("Thing", (), {})()
    bed.reference = weakref.ref(thing, lambda reference: dies())
    del thing


async def is_awaited(bed):
    """A task that fails, and is awaited."""
    await asyncio.gather(asyncio.ensure_future(fails()), return_exceptions=True)


async def is_handled(bed):
    """A failing callback that a handler of the test's own sees."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(tick)
    loop.call_soon(dies)
    await turns()


@plant("exception", "ValueError: boom", "task exception was never retrieved", IN_TASK, twin=is_awaited)
async def task_whose_exception_was_never_retrieved(bed):
    asyncio.ensure_future(fails())  # creates
    await turns()


async def is_logged(bed):
    """A failing task whose log the test looks at."""
    with bed.assertLogs("asyncio", "ERROR"):
        asyncio.ensure_future(fails())
        await turns()


@plant(
    "exception", "ValueError: boom", "future exception was never retrieved", WHERE_RAISED,
    twin=is_logged, has_line=False
)  # fmt: skip
async def future_whose_exception_was_never_retrieved(bed):
    asyncio.get_running_loop().create_future().set_exception(ValueError("boom"))
    await turns()


@plant("exception", "ValueError: boom", "raised in a callback of a loop", WHERE_RAISED, twin=is_handled, has_line=False)
async def in_a_callback_of_a_loop(bed):
    asyncio.get_running_loop().call_soon(dies)
    await turns()


# -- tempfile ------------------------------------------------------------------------------------


def in_blocks(bed):
    """A directory and a file, each in a with block."""
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile(dir=folder):
        pass


def is_removed(bed):
    """A file that is removed, and one that is moved to where it belongs."""
    number, path = tempfile.mkstemp()
    os.close(number)
    os.replace(path, path + ".moved")
    os.unlink(path + ".moved")


def has_no_name(bed):
    """Files that have no name, or none yet."""
    with tempfile.TemporaryFile(), tempfile.SpooledTemporaryFile() as file:
        file.write(b"x")
    tempfile.mktemp()


@plant("tempfile", TEMPORARY + r"/tmp\*", "directory, 0 entries", FOLDER, twin=in_blocks)
def directory(bed):
    bed.keep(tempfile.mkdtemp())  # creates


@plant("tempfile", TEMPORARY + r"/chat-\*\.d", "directory, 2 entries", FOLDER, twin=in_blocks)
def directory_with_entries(bed):
    folder = bed.keep(tempfile.mkdtemp(".d", "chat-"))  # creates
    for name in ("a", "b"):
        os.mkdir(os.path.join(folder, name))


@plant("tempfile", TEMPORARY + r"/tmp\*", "directory, 1 entry", FOLDER, twin=in_blocks)
def directory_with_a_temporary_file(bed):
    folder = bed.keep(tempfile.mkdtemp())  # creates
    os.close(tempfile.mkstemp(dir=folder)[0])


@plant("tempfile", TEMPORARY + r"/tmp\*\.log", "file, 3 bytes", FILE, twin=is_removed)
def file_by_mkstemp(bed):
    number, path = tempfile.mkstemp(".log")  # creates
    os.write(number, b"log")
    os.close(number)
    bed.keep(path)


@plant("tempfile", TEMPORARY + r"/tmp\*", "file, 0 bytes", FILE, twin=has_no_name)
def file_that_is_not_deleted(bed):
    with tempfile.NamedTemporaryFile(delete=False) as file:  # creates
        bed.keep(file.name)


@plant("tempfile", TEMPORARY + r"/tmp\*", "directory, 0 entries", FOLDER, twin=in_blocks)
def directory_object(bed):
    bed.keep(tempfile.TemporaryDirectory())  # creates


@plant("tempfile", TEMPORARY + r"/tmp\*", "file, 1 byte", FILE, twin=has_no_name)
def file_under_a_name_of_mktemp(bed):
    path = tempfile.mktemp()  # creates
    with open(bed.keep(path), "w") as file:
        file.write("x")


# -- environ -------------------------------------------------------------------------------------


def is_put_back(bed):
    """Changes that are put back."""
    with mock.patch.dict(os.environ, LG_PLANTED="1"), mock.patch.object(sys, "path", ["x"]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
    bed.addCleanup(os.chdir, os.getcwd())


def is_imported(bed):
    """A module that is imported, which changes nothing that was there."""
    sys.modules["lg_brand_new"] = types.ModuleType("lg_brand_new")
    bed.addCleanup(sys.modules.pop, "lg_brand_new", None)


ENVIRON = {"twin": is_put_back, "has_line": False}


@plant("environ", r"os\.environ\['LG_PLANTED'\]", "added", PUT_BACK, twin=is_put_back)
def variable(bed):
    os.environ["LG_PLANTED"] = "1"  # creates


@plant("environ", r"os\.environ\['LG_THERE'\]", "changed", PUT_BACK, twin=is_put_back)
def changed_variable(bed):
    os.environ["LG_THERE"] = "2"  # creates


@plant("environ", r"os\.environ\['LG_THERE'\]", "removed", PUT_BACK, twin=is_put_back)
def removed_variable(bed):
    del os.environ["LG_THERE"]  # creates


@plant("environ", "current folder", "changed", PUT_BACK, **ENVIRON)
def folder(bed):
    os.chdir(os.sep)


@plant("environ", r"sys\.path", "added 'lg/somewhere'", PUT_BACK, **ENVIRON)
def import_path(bed):
    sys.path.append("lg/somewhere")


@plant("environ", r"sys\.modules\['colorsys'\]", "replaced", PUT_BACK, twin=is_imported, has_line=False)
def module(bed):
    sys.modules["colorsys"] = types.ModuleType("colorsys")


@plant("environ", "handler of SIGTERM", "changed", PUT_BACK, twin=is_put_back)
def handler(bed):
    signal.signal(signal.SIGTERM, tick)  # creates


@plant("environ", r"warnings\.filters", "added 'ignore::BytesWarning'", PUT_BACK, twin=is_put_back)
def warning_filter(bed):
    warnings.simplefilter("ignore", BytesWarning)  # creates


# -- native --------------------------------------------------------------------------------------

NATIVE = {"reported_as": "thread", "has_line": False, "where": sys.platform == "linux"}


def ended_native(bed):
    """A native thread that has ended."""
    NativeDouble("planted").end()


def known_threads(bed):
    """Threads that Python knows, and that have ended or are about to."""
    for _ in range(10):
        run_thread(tick)


@plant("native", "planted", "native, alive", STOP, twin=ended_native, **NATIVE)
def native_thread(bed):
    bed.addCleanup(NativeDouble("planted").end)


@plant("native", ".*", "native, alive", STOP, twin=known_threads, **NATIVE)
def native_thread_without_a_name(bed):
    bed.addCleanup(NativeDouble().end)


