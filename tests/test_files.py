"""Open descriptors: what they are, whose they are, and what is none of the test's."""

import asyncio
import ctypes
import functools
import os
import select
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import tracemalloc
import unittest
from unittest import mock

from leakguard import _compat
from tests.guarded import PATIENT, place, run_inner, run_inner_async, while_waiting
from tests.planting import run_planted
from tests.required import need

SHOWN = f"{tempfile.gettempdir()}/tmp*"
"""A temporary folder, as it is reported."""


@unittest.skipIf(sys.platform == "win32", "Windows does not list descriptors")
class FileTests(unittest.TestCase):
    """Descriptors of a sync test."""

    maxDiff = None

    def setUp(self):
        self.path = os.path.join(tempfile.mkdtemp(), "data.txt")
        self.addCleanup(os.rmdir, os.path.dirname(self.path))
        self.addCleanup(os.unlink, self.path)
        with open(self.path, "w"):
            pass

    def open(self, mode="r"):
        """Open a file, which a cleanup of the outer test closes."""
        file = open(self.path, mode)  # opens
        self.addCleanup(file.close)
        return file

    def named(self, function):
        """(name, state) of what a test leaves open."""
        return [leak[1:] for leak in run_inner(function, leak_kinds="all").named()]

    def test_leak(self):
        """A file that is open when its test ends is a leak, with its path and mode, and the line if that is traced."""
        tracemalloc.start(8)
        self.addCleanup(tracemalloc.stop)
        outcome = run_inner(lambda test: self.open(), lambda test: None, leak_kinds="all")
        self.assertEqual(
            outcome.messages,
            [
                "1 leak after test_0 (inner.Inner), waited N s\n"
                "\n"
                f"  file '{SHOWN}/data.txt' (open, mode r, held by io.TextIOWrapper)\n"
                f"    created at  {place(FileTests.open, 'opens')}\n"
                "    fix         close() it in a cleanup, or use it in a with block\n"
                "\n"
                f"To allow one: leak_ignore = {{{outcome.messages[0].rpartition('{')[2]}"
            ],
        )
        self.assertEqual(outcome.leaks[0].aliases, ("_io.TextIOWrapper",))

    def test_beside_objects_that_cannot_be_asked(self):
        """A proxy that raises when its class is asked for, as Django's settings do, keeps no file from being found."""

        class Proxy:
            @property
            def __class__(self):
                raise RuntimeError("not configured")

        proxy = [Proxy()]
        self.addCleanup(proxy.clear)
        self.assertEqual(len(run_inner(lambda test: self.open("r+"), leak_kinds="file").leaks), 1)

    def test_not_traced(self):
        """Without tracemalloc the line is not known."""
        (leak,) = run_inner(lambda test: self.open("r+"), leak_kinds="file").leaks
        self.assertEqual((leak.origin, leak.state), (None, "open, mode r+, held by io.TextIOWrapper"))

    def test_not_looked_for(self):
        """By default nobody looks for files."""
        self.assertEqual(run_inner(lambda test: self.open()).leaks, [])

    def test_clean(self):
        """One that was closed is none, nor is one that was open before, nor one that takes a closed one's number."""
        before = self.open()

        def replaces(test):
            number = before.fileno()
            before.close()
            other = open(os.devnull)
            self.addCleanup(other.close)
            test.assertEqual(other.fileno(), number)

        self.assertEqual(run_inner(lambda test: self.open().close(), leak_kinds="all").leaks, [])
        self.assertEqual([leak.owner for leak in run_inner(replaces, leak_kinds="all").leaks], ["inner.Inner.test_0"])

    def test_closed_in_time(self):
        """One that is closed within the grace is no leak."""
        files = []
        with while_waiting("file", lambda: files[0].close()):
            outcome = run_inner(lambda test: files.append(self.open()), leak_kinds="all", grace=PATIENT)
        self.assertEqual(outcome.leaks, [])

    def test_sockets(self):
        """A socket is described by its family, its addresses and its state; a port that the system chose is ``*``."""

        def listens(test):
            server = socket.create_server(("127.0.0.1", 0))
            self.addCleanup(server.close)

        def connects(test):
            client = socket.create_connection(server.getsockname())
            self.addCleanup(client.close)

        (found,) = self.named(listens)
        expected = "INET STREAM, listening on 127.0.0.1:*, held by socket.socket"
        self.assertEqual(found, ("listening socket", expected))
        with socket.create_server(("127.0.0.1", 0)) as server:
            (found,) = self.named(connects)
            expected = "INET STREAM, from 127.0.0.1:*, to 127.0.0.1:*, held by socket.socket"
            self.assertEqual(found, ("socket", expected))

    def test_closed_while_it_is_described(self):
        """A socket that a collection closes between the look and the description breaks nothing, and is no leak."""
        duplicate = os.dup

        def leaks(test):
            server = socket.create_server(("127.0.0.1", 0))
            self.addCleanup(server.close)

            def collected(number):
                server.close()
                return duplicate(number)

            patch = mock.patch("os.dup", side_effect=collected)
            self.addCleanup(patch.stop)
            patch.start()

        outcome = run_inner(leaks, leak_kinds="file")
        self.assertEqual((outcome.counts(), outcome.warned), ((0, 0), []))

    def test_pipe(self):
        """A pipe has two ends."""

        def leaks(test):
            for end in os.pipe():
                self.addCleanup(os.close, end)

        self.assertEqual(self.named(leaks), [("pipe", "read end"), ("pipe", "write end")])

    @unittest.skipUnless(sys.platform == "linux", "Linux says what a descriptor stands for")
    def test_what_it_is(self):
        """What is no file is named by what it is; what differs from run to run is left out of a path."""
        folder = tempfile.gettempdir()
        libc = ctypes.CDLL(None)

        def deleted(**options):
            number, path = tempfile.mkstemp(**options)
            os.unlink(path)
            return number

        state = "open, mode r+, deleted"
        makers = [
            (select.epoll, ("epoll", "open")),
            (libc.inotify_init, ("inotify", "open")),
            (lambda: libc.eventfd(0, 0), ("eventfd", "open")),
            (lambda: os.memfd_create("mine"), ("memfd:mine", "open, mode r+")),
            (lambda: os.open(folder, os.O_RDONLY), (folder, "open, mode r")),
            (lambda: os.open(os.devnull, os.O_WRONLY), ("/dev/null", "open, mode w")),
            (deleted, (f"{folder}/tmp*", "open, mode r+, deleted")),
        ]
        if os.path.isdir("/dev/shm"):
            makers.append((lambda: deleted(prefix=f"own-{os.getpid()}-", dir="/dev/shm"), ("/dev/shm/own-*-*", state)))
        if hasattr(os, "O_TMPFILE"):
            opens = lambda: os.open(folder, os.O_RDWR | os.O_TMPFILE)  # noqa: E731
            makers.append((opens, (f"{folder}/#*", "open, mode r+, deleted")))
        for make, expected in makers:
            with self.subTest(expected):

                def leaks(test):
                    made = make()
                    self.addCleanup(made.close if hasattr(made, "close") else functools.partial(os.close, made))

                self.assertEqual(self.named(leaks), [expected])

    def test_event_loop(self):
        """A loop that was not closed is one entry, with advice of its own."""

        def leaks(test):
            loop = asyncio.new_event_loop()  # made
            self.addCleanup(loop.close)

        outcome = run_inner(leaks, leak_kinds="all")
        (leak,) = outcome.leaks
        self.assertEqual((leak.state, leak.origin), ("event loop not closed", place(leaks, "made")))
        self.assertIn("    fix         close() the event loop in a cleanup", outcome.messages[0])

    def test_database(self):
        """A connection to SQLite is one leak with all that it has open, and none where its fixture opened it."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)

        def connect(name):
            connection = sqlite3.connect(os.path.join(folder, name))
            self.addCleanup(connection.close)
            connection.execute("pragma journal_mode = wal")
            return connection

        def write(connection):
            with connection:
                connection.execute("create table numbers (number)")

        shared = connect("shared.db")
        self.assertEqual(self.named(lambda test: write(connect("own.db"))), [(f"{SHOWN}/own.db", "open, mode r+")])
        self.assertEqual(self.named(lambda test: write(shared)), [])
        self.assertTrue(os.path.exists(os.path.join(folder, "shared.db-wal")), "it opened nothing more")

    def test_random_names(self):
        """What `tempfile` made up is ``*``, in whatever file, folder or address it is: the same in each run."""

        def leaks(test):
            file = tempfile.NamedTemporaryFile(prefix="upload_", suffix=".csv")
            self.addCleanup(file.close)
            folder = tempfile.mkdtemp(prefix="proj-")
            self.addCleanup(shutil.rmtree, folder)
            log = open(os.path.join(folder, "log.txt"), "w")
            self.addCleanup(log.close)
            server = socket.socket(socket.AF_UNIX)
            self.addCleanup(server.close)
            server.bind(os.path.join(folder, "socket"))
            server.listen()

        first, second = (run_inner(leaks, leak_kinds="file").leaks for _ in range(2))
        folder = tempfile.gettempdir()
        self.assertEqual(
            [(leak.name, leak.state.partition(", held")[0]) for leak in first],
            [
                (f"{folder}/upload_*.csv", "open, mode r+"),
                (f"{folder}/proj-*/log.txt", "open, mode w"),
                ("listening socket", f"UNIX STREAM, listening on {folder}/proj-*/socket"),
            ],
        )
        self.assertEqual([leak.fingerprint for leak in first], [leak.fingerprint for leak in second])

    def test_heap_of_multiprocessing(self):
        """The memory that multiprocessing keeps for its shared values is no leak; a file beside it is."""
        from multiprocessing import heap

        def shares(test):
            value = heap.BufferWrapper(8)
            test.assertEqual(len(value.create_memoryview()), 8)
            test.assertEqual(len(heap.BufferWrapper._heap._arenas), 1)

        with mock.patch.object(heap.BufferWrapper, "_heap", heap.Heap()):
            self.assertEqual(self.named(shares), [])
            self.assertEqual(len(self.named(lambda test: self.open())), 1)

    @unittest.skipUnless(sys.platform == "linux", "Linux says what is loaded")
    def test_loaded_library(self):
        """A library that is loaded may stay open by itself; one that is not loaded is a leak, as is a Python file."""
        loaded = sorted(path for path in _compat.mapped_code() if ".so" in path)[0]
        copy = shutil.copy(loaded, os.path.dirname(self.path))
        self.addCleanup(os.unlink, copy)

        def opens(path):
            number = os.open(path, os.O_RDONLY)
            self.addCleanup(os.close, number)

        def reads(test):
            file = open(loaded, "rb")
            self.addCleanup(file.close)

        self.assertEqual(self.named(lambda test: opens(loaded)), [])
        (found,) = self.named(lambda test: opens(copy))
        self.assertEqual(found, (f"{SHOWN}/{os.path.basename(copy)}", "open, mode r"))
        self.assertEqual([state for _, state in self.named(reads)], ["open, mode r, held by io.BufferedReader"])

    def test_beside_no_database(self):
        """A file that has the name of one beside a database, where there is none, is a leak."""
        path = self.path + "-wal"
        self.addCleanup(os.unlink, path)

        def leaks(test):
            file = open(path, "w")
            self.addCleanup(file.close)

        self.assertEqual([name for name, _ in self.named(leaks)], [f"{SHOWN}/data.txt-wal"])

    def test_transport_about_to_close(self):
        """A transport that was closed needs a turn more of a loop that has stopped, and is no leak; an open one is."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        kept = []

        async def makes(is_closed):
            make = asyncio.get_running_loop().create_datagram_endpoint
            transport, _ = await make(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
            self.addCleanup(loop.run_until_complete, asyncio.sleep(0))
            self.addCleanup(transport.close)
            if is_closed:
                asyncio.get_running_loop().call_soon(transport.close)
            kept.append(transport)

        outcome = run_inner(lambda test: loop.run_until_complete(makes(True)), leak_kinds="file")
        self.assertEqual(outcome.leaks, [])
        outcome = run_inner(lambda test: loop.run_until_complete(makes(False)), leak_kinds="file")
        self.assertEqual([(leak.kind, leak.name) for leak in outcome.leaks], [("file", "socket")])

    def test_ignored_and_allowed(self):
        """A rule is held against the path or the class; one object may be allowed."""
        for rule in ("file:*/data.txt", "file:_io.TextIOWrapper"):
            with self.subTest(rule):
                outcome = run_inner(lambda test: self.open(), leak_kinds="all", leak_ignore={rule: "why"})
                self.assertEqual(outcome.leaks, [])
        outcome = run_inner(lambda test: test.allowLeak(self.open(), "why"), leak_kinds="all")
        self.assertEqual(outcome.leaks, [])

    def test_reported_once(self):
        """It is reported once, by the test that opened it."""
        outcome = run_inner(lambda test: self.open(), lambda test: None, lambda test: self.open(), leak_kinds="all")
        self.assertEqual([leak.owner for leak in outcome.leaks], ["inner.Inner.test_0", "inner.Inner.test_2"])


@unittest.skipIf(sys.platform == "win32", "Windows does not list descriptors")
class AsyncFileTests(unittest.TestCase):
    """Descriptors of an async test."""

    def test_own_loop(self):
        """What the test's own loop has open is none; a transport may take its turn to close."""

        async def serves(test):
            server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            await reader.read()
            writer.close()
            server.close()

        outcome = run_inner_async(lambda test: asyncio.sleep(0), serves, leak_kinds="all", grace=PATIENT)
        self.assertEqual(outcome.leaks, [])

    def test_server(self):
        """A server that was not closed is a leak."""

        async def leaks(test):
            server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
            test.allowLeak(server.sockets[0], "the first is allowed")
            other = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
            self.addCleanup(server.close)
            self.addCleanup(other.close)

        self.assertEqual([leak.name for leak in run_inner_async(leaks, leak_kinds="all").leaks], ["listening socket"])


@unittest.skipUnless(hasattr(os, "pidfd_open"), "there are no pidfds")
class ProcessFileTests(unittest.TestCase):
    """The descriptors that stand for processes."""

    def test_of_a_child(self):
        """That of a child that runs is a part of the process; that of one that has ended is a leak, as of another."""
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        self.addCleanup(child.communicate)

        def opens(pid):
            number = os.pidfd_open(pid)
            self.addCleanup(os.close, number)

        def named(pid):
            return [leak[1:] for leak in run_inner(lambda test: opens(pid), leak_kinds="file").named()]

        self.assertEqual(named(child.pid), [])
        self.assertEqual(named(os.getpid()), [("pidfd", "open")])

        def ends(test):
            opens(child.pid)
            child.communicate()

        self.assertEqual([leak.name for leak in run_inner(ends, leak_kinds="file").leaks], ["pidfd"])

    def test_of_asyncio(self):
        """A subprocess of asyncio's that was left is one leak, also for the fixtures around its test."""

        async def leaks(test):
            code = "import time; time.sleep(1000)"
            test.kept = await asyncio.create_subprocess_exec(sys.executable, "-c", code)

        outcome = run_inner_async(leaks, leak_kinds=("process", "file"))
        self.assertEqual([leak.kind for leak in outcome.leaks], ["process"])


@unittest.skipIf(sys.platform == "win32", "there is no uvloop for Windows")
class UvloopFileTests(unittest.TestCase):
    """Descriptors of uvloop's loops, which do not say what they have open."""

    def setUp(self):
        self.uvloop = need("uvloop")

    def test_left_open(self):
        """A loop that was not closed is one leak with its line; what it opens when it listens is a part of that."""

        async def listens():
            server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
            server.close()
            await server.wait_closed()

        def leaks(test):
            loop = self.uvloop.new_event_loop()  # made
            self.addCleanup(loop.close)
            loop.run_until_complete(listens())

        (leak,) = run_inner(leaks, leak_kinds="file").leaks
        self.assertEqual((leak.state, leak.origin), ("event loop not closed", place(leaks, "made")))

    def test_clean(self):
        """The first loop of a process opens a pipe for all that follow, which is no leak, as are no loops of tests."""
        output, errors, code = run_planted("first_uvloop.py", options=["-X", "dev"])
        self.assertEqual((output, code), ("closed: [] on it: [] pipe: ['pipe', 'pipe']\n", 0), errors)


if __name__ == "__main__":
    unittest.main()
