"""A table of planted leaks that run: threads, tasks and child processes, each on a real object, each with a clean twin.

A plant is called in a guarded test. It starts one thing, named ``planted`` where it can have a name, on the line that
ends with ``# creates``; the thing waits on the line that ends with ``# waits``. It returns how the thing is ended. The
clean twin of a plant is the plant and that.

What a plant waits for can be reached through how it is ended: such a one is ``waiting``, whatever it waits in. Those that
are ``stuck`` are ended by their frames.
"""

import _thread
import asyncio
import concurrent.futures
import contextlib
import contextvars
import ctypes
import functools
import gc
import importlib
import json
import logging
import multiprocessing.connection
import os
import queue
import select
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import Callable, NamedTuple, Optional
from unittest import mock

from leakguard import _compat
from tests.doubles import JOIN_SECONDS
from tests.forgotten import wake

SLEEP = [sys.executable, "-c", "import time; time.sleep(1000)"]

# fmt: off
THREAD = "stop the thread's loop and join() it in a cleanup"
QUEUE_FULL = THREAD + ": nobody takes from the full queue that it puts to"
QUEUE_JOIN = THREAD + ": somebody has to call task_done() for each item of the queue that it join()s"
EVENT = THREAD + ": set() the Event that it waits for"
CONDITION = THREAD + ": notify_all() the Condition that it waits for"
LOCK_HELD = THREAD + ": the thread that holds the Lock has to release it first"
LOCK = THREAD + ": the Lock that it waits for is not released, so hold it in a with block that ends"
SEMAPHORE = THREAD + ": nobody calls release() of the Semaphore that it waits for"
BARRIER = THREAD + ": abort() the Barrier that it waits at"
JOINS = THREAD + ": end the thread that it joins first"
FUTURE = THREAD + ": the future whose result() it waits for is never done"
SLEEPS = THREAD + ": it ends at once if it waits for an Event in the place of time.sleep()"
SOCKET_READ = THREAD + ": shutdown() the socket that it reads from, then close() that"
SOCKET_ACCEPT = THREAD + ": shutdown() the listening socket that it accepts from, then close() that"
CONNECTION = THREAD + ": close() the other end of the connection that it reads from"
SELECTOR = THREAD + ": wake its selector with a byte through a socketpair()"
CHILD = THREAD + ": terminate() the child that it waits for"
EXECUTOR = "shut the executor down: use it in a with block, or addCleanup(executor.shutdown)"
EXECUTOR_BUSY = EXECUTOR + ", once its job can end"
LOOP = "loop.call_soon_threadsafe(loop.stop), then join() the thread and close() the loop"
ASYNCIO_RUN = ("end the coroutine given to asyncio.run(): loop.call_soon_threadsafe(task.cancel), "
               "then join() the thread")
RAW = "let it end, and wait for that, before the test does"
TIMER = "cancel() the timer and join() it in a cleanup"
TASK = "cancel() it and await it, or own it with asyncio.TaskGroup"
TASK_EVENT = TASK + ": nobody set() the Event that it waits for"
TASK_QUEUE = TASK + ": it loops on a queue that gets no more items"
TASK_LOCK = TASK + ": the lock that it waits for is not released, so hold it in an async with block that ends"
TASK_GROUP = TASK + ": a task of its TaskGroup does not end"
TASK_JOB = TASK + ": the job in its thread goes on all the same, so make that end first"
TASK_EXECUTOR = TASK + ": a job that an executor has begun goes on all the same, so make that end first"
TASK_STREAM = TASK + ": close() the StreamWriter of the stream that it reads"
TASK_CHILD = TASK + ": terminate() the child that it waits for"
TASK_UNHELD = TASK + ": nobody keeps it, so keep what create_task() returns"
TASK_SERVER = "close() the asyncio server and await its wait_closed(), or use it in an async with block"
POPEN = "terminate() it and wait() for it in a cleanup, or use it in a with block"
SHELL = "terminate() it and wait() for it in a cleanup; with shell=True that ends the shell alone"
DAEMON = "terminate() and join() it in a cleanup: a daemon lives until the interpreter exits"
FORK = "let the child end with os._exit() and os.waitpid() for it"
# fmt: on


class Plant(NamedTuple):
    """One row: what is planted, and what has to be said of it."""

    name: str
    kind: str
    plant: Callable
    waiting_in: Optional[str]
    verdict: str
    fix: str
    leak: str = "planted"
    """The name of the leak."""
    since: tuple = (3, 9)
    """The first Python that has it."""


TABLE = []


def plant(kind, waiting_in, verdict, fix, **more):
    """Put a function into the table."""

    def note(function):
        TABLE.append(Plant(function.__name__, kind, function, waiting_in, verdict, fix, **more))
        return function

    return note


class Body:
    """The end of a thread: `release` is called, then the thread is joined."""

    def __init__(self, thread, release):
        self.thread, self.release = thread, release

    def __call__(self):
        """Let it end, and wait until it has."""
        self.release()
        self.thread.join(JOIN_SECONDS)
        assert not self.thread.is_alive()


def planted(body):
    """A thread that is not started yet."""
    return threading.Thread(target=body, name="planted", daemon=True)


# -- threads -------------------------------------------------------------------------------------


@plant("thread", "queue.Queue.get", "waiting", THREAD)
def queue_get(test):
    things = queue.Queue()

    def body():
        things.get()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lambda: things.put(None))


@plant("thread", "queue.Queue.put", "waiting", QUEUE_FULL)
def queue_put(test):
    things = queue.Queue(1)
    things.put(1)

    def body():
        things.put(2)  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, things.get)


@plant("thread", "queue.Queue.join, 1 unfinished task", "waiting", QUEUE_JOIN)
def queue_join(test):
    things = queue.Queue()
    things.put(1)

    def body():
        things.join()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, things.task_done)


@plant("thread", "queue.SimpleQueue.get", "waiting", THREAD)
def simple_queue_get(test):
    things = queue.SimpleQueue()

    def body():
        things.get(timeout=JOIN_SECONDS)  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lambda: things.put(None))


@plant("thread", "threading.Event.wait", "waiting", EVENT)
def event_wait(test):
    event = threading.Event()

    def body():
        event.wait()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, event.set)


@plant("thread", "threading.Condition.wait", "waiting", CONDITION)
def condition_wait(test):
    condition = threading.Condition()
    is_over = []

    def body():
        with condition:
            while not is_over:
                condition.wait()  # waits

    def release():
        with condition:
            is_over.append(True)
            condition.notify_all()

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, release)


@plant("thread", "threading.Condition.acquire, held by thread 'MainThread'", "waiting", LOCK_HELD)
def condition_enter(test):
    condition = threading.Condition()
    condition.acquire()

    def body():
        with condition:  # waits
            pass

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, condition.release)


@plant("thread", "threading.Lock.acquire", "waiting", LOCK)
def lock_acquire(test):
    lock = threading.Lock()
    lock.acquire()

    def body():
        lock.acquire()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lock.release)


class Guarded:
    """Something with a lock of its own, and a thread that stays inside of it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.is_inside, self.released = threading.Event(), threading.Event()
        self.holder = threading.Thread(target=self.hold, name="holder", daemon=True)
        self.holder.start()
        self.is_inside.wait(JOIN_SECONDS)

    def hold(self):
        """Stay inside until released."""
        with self.lock:
            self.is_inside.set()
            self.released.wait(JOIN_SECONDS)

    def end(self):
        """Let the holder end."""
        self.released.set()
        self.holder.join(JOIN_SECONDS)


@plant("thread", "threading.Lock.acquire, held by thread 'holder'", "waiting", LOCK_HELD)
def lock_with(test):
    guarded = Guarded()

    def body():
        with guarded.lock:  # waits
            pass

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, guarded.end)


@plant("thread", "threading.Lock.acquire", "waiting", LOCK)
def lock_as_target(test):
    lock = threading.Lock()
    lock.acquire()
    thread = planted(lock.acquire)
    thread.start()  # creates
    return Body(thread, lock.release)


@plant("thread", "threading.Lock.acquire", "waiting", LOCK)
def lock_in_an_exit_stack(test):
    lock = threading.Lock()
    lock.acquire()

    def body():
        with contextlib.ExitStack() as stack:
            stack.enter_context(lock)  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lock.release)


@plant("thread", "threading.Condition.acquire, held by thread 'MainThread'", "waiting", LOCK_HELD)
def condition_in_an_exit_stack(test):
    condition = threading.Condition()
    condition.acquire()

    def body():
        with contextlib.ExitStack() as stack:
            stack.enter_context(condition)  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, condition.release)


@plant("thread", "threading.RLock.acquire, held by thread 'MainThread'", "waiting", LOCK_HELD)
def rlock_acquire(test):
    lock = threading.RLock()
    lock.acquire()

    def body():
        lock.acquire(timeout=JOIN_SECONDS)  # waits
        lock.release()

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lock.release)


@plant("thread", "threading.RLock.acquire, held by thread 'MainThread'", "waiting", LOCK_HELD)
def rlock_with(test):
    lock = threading.RLock()
    lock.acquire()

    def body():
        with lock:  # waits
            pass

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lock.release)


@plant("thread", "threading.Semaphore.acquire", "waiting", SEMAPHORE)
def semaphore_acquire(test):
    semaphore = threading.Semaphore(0)

    def body():
        semaphore.acquire()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, semaphore.release)


@plant("thread", "threading.Semaphore.acquire", "waiting", SEMAPHORE)
def semaphore_with(test):
    semaphore = threading.BoundedSemaphore(1)
    semaphore.acquire()

    def body():
        with semaphore:  # waits
            pass

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, semaphore.release)


@plant("thread", "threading.Barrier.wait, 1 of 2 there", "waiting", BARRIER)
def barrier_wait(test):
    barrier = threading.Barrier(2)

    def body():
        barrier.wait()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, barrier.wait)


@plant("thread", "threading.Thread.join, for thread 'holder'", "waiting", JOINS)
def thread_join(test):
    guarded = Guarded()

    def body():
        guarded.holder.join()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, guarded.end)


@plant("thread", "threading.Thread.join, for a thread of Guarded.hold", "waiting", JOINS)
def thread_join_of_a_number(test):
    guarded = Guarded()
    guarded.holder.name = "Thread-12 (hold)"

    def body():
        guarded.holder.join()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, guarded.end)


@plant("thread", "concurrent.futures.Future.result", "waiting", FUTURE)
def future_result(test):
    future = concurrent.futures.Future()

    def body():
        future.result()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lambda: future.set_result(None))


@plant(
    "thread", "concurrent.futures.ThreadPoolExecutor's queue (idle worker), executor 'planted'", "waiting", EXECUTOR, leak="planted_0"
)  # fmt: skip
def executor_idle(test):
    executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="planted")
    executor.submit(int).result()  # creates
    return executor.shutdown


@plant("thread", "threading.Event.wait", "waiting", EXECUTOR_BUSY, leak="planted_0")
def executor_busy(test):
    executor, event = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="planted"), threading.Event()

    def body():
        event.wait()  # waits

    executor.submit(body)  # creates

    def end():
        event.set()
        executor.shutdown()

    return end


@plant("thread", "threading.Lock.acquire", "waiting", EXECUTOR_BUSY, leak="planted_0")
def executor_busy_in_c(test):
    executor, lock = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="planted"), threading.Lock()
    lock.acquire()
    executor.submit(lock.acquire)  # creates

    def end():
        lock.release()
        executor.shutdown()

    return end


@plant("thread", "queue.SimpleQueue.get", "waiting", EXECUTOR_BUSY, leak="planted_0")
def executor_busy_in_a_partial(test):
    executor, things = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="planted"), queue.SimpleQueue()
    job = functools.partial(contextvars.copy_context().run, functools.partial(things.get, timeout=JOIN_SECONDS))
    executor.submit(job)  # creates

    def end():
        things.put(None)
        executor.shutdown()

    return end


@plant("thread", "C code called at this line", "waiting", EXECUTOR_BUSY, leak="planted_0")
def executor_busy_in_some_c(test):
    executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="planted")
    here, there = os.pipe()
    executor.submit(ctypes.CDLL(None).read, here, ctypes.create_string_buffer(1), 1)  # creates

    def end():
        os.close(there)
        executor.shutdown()
        os.close(here)

    return end


@plant("thread", "time.sleep", "waiting", SLEEPS)
def time_sleep(test):
    is_over = threading.Event()

    def body():
        while not is_over.is_set():
            time.sleep(0.2)  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, is_over.set)


@plant("thread", "socket.socket.recv, from 127.0.0.1:* to 127.0.0.1:*", "waiting", SOCKET_READ)
def socket_recv(test):
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()

    def body():
        with client:
            client.recv(1)  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, peer.close)


@plant("thread", "socket.socket.recv_into, from 127.0.0.1:* to 127.0.0.1:*", "waiting", SOCKET_READ)
def socket_makefile(test):
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()

    def body():
        with client, client.makefile() as lines:
            lines.readline()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, peer.close)


@plant("thread", "socket.socket.accept, on 127.0.0.1:*", "waiting", SOCKET_ACCEPT)
def socket_accept(test):
    server = socket.create_server(("127.0.0.1", 0))

    def body():
        with server:
            server.accept()[0].close()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lambda: socket.create_connection(server.getsockname()).close())


@plant("thread", "multiprocessing.connection.Listener.accept, on 127.0.0.1:*", "waiting", SOCKET_ACCEPT)
def listener_accept(test):
    listener = multiprocessing.connection.Listener(("127.0.0.1", 0))

    def body():
        with listener:
            listener.accept().close()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lambda: multiprocessing.connection.Client(listener.address).close())


@plant("thread", "multiprocessing.connection.Client", "waiting", CONNECTION)
def listener_client(test):
    server = socket.create_server(("127.0.0.1", 0))

    def body():
        with contextlib.suppress(EOFError):
            multiprocessing.connection.Client(server.getsockname(), authkey=b"key")  # waits

    thread = planted(body)
    thread.start()  # creates
    peer, _ = server.accept()

    def release():
        peer.close()
        server.close()

    return Body(thread, release)


@plant("thread", "socket.socket.connect, from 127.0.0.1:* to 127.0.0.1:*", "waiting", THREAD)
def socket_connect(test):
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(0)
    address = server.getsockname()
    others = [socket.socket() for _ in range(4)]
    for other in others:  # more than the queue of the listening socket holds
        other.setblocking(False)
        other.connect_ex(address)
    client = socket.socket()

    def body():
        try:
            client.connect(address)  # waits
        except OSError:
            pass

    thread = planted(body)
    thread.start()  # creates

    def end():
        while thread.is_alive():
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it does not connect yet
            thread.join(0.01)
        for one in (*others, server, client):
            one.close()

    return end


@plant("thread", "select.select", "waiting", SELECTOR)
def select_select(test):
    here, there = socket.socketpair()

    def body():
        with here:
            select.select([here], [], [])  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, there.close)


@plant("thread", f"selectors.{selectors.DefaultSelector.__name__}.select", "waiting", SELECTOR)
def selector_select(test):
    here, there = socket.socketpair()

    def body():
        with here, selectors.DefaultSelector() as selector:
            selector.register(here, selectors.EVENT_READ)
            selector.select()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, there.close)


if hasattr(select, "epoll"):

    @plant("thread", "select.epoll.poll", "waiting", SELECTOR)
    def epoll_poll(test):
        here, there = socket.socketpair()

        def body():
            with here, select.epoll() as epoll:
                epoll.register(here, select.EPOLLIN)
                epoll.poll()  # waits

        thread = planted(body)
        thread.start()  # creates
        return Body(thread, there.close)


@plant("thread", "subprocess.Popen.wait, for 'cat -'", "waiting", CHILD)
def popen_wait(test):
    with open(os.devnull, "wb") as null:
        child = subprocess.Popen(["cat", "-"], stdin=subprocess.PIPE, stdout=null)

    def body():
        child.wait()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, child.stdin.close)


@plant("thread", "io.BufferedReader.read", "waiting", THREAD)
def pipe_read(test):
    here, there = os.pipe()

    def body():
        with open(here, "rb") as file:
            file.read()  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lambda: os.close(there))


@plant("thread", "io.TextIOWrapper.readline", "waiting", THREAD)
def pipe_lines(test):
    here, there = os.pipe()

    def body():
        with open(here, encoding="utf-8") as file:
            for line in file:  # waits
                pass

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lambda: os.close(there))


@plant("thread", "io.BufferedReader.readline", "waiting", THREAD)
def pipe_lines_until(test):
    here, there = os.pipe()

    def body():
        with open(here, "rb") as file:
            for number, line in enumerate(iter(file.readline, b"")):  # waits
                pass

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lambda: os.close(there))


@plant("thread", "io.BufferedReader.readline", "waiting", THREAD)
def pipe_lines_of_a_child(test):
    child = subprocess.Popen(["cat", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def body():
        with child.stdout:
            [line for line in child.stdout]  # waits
        child.wait()

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, child.stdin.close)


@plant("thread", "queue.SimpleQueue.get", "waiting", THREAD)
def simple_queue_until(test):
    things = queue.SimpleQueue()

    def body():
        for thing in iter(things.get, None):  # waits
            pass

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lambda: things.put(None))


if hasattr(os, "mkfifo"):

    @plant("thread", "open", "waiting", THREAD)
    def open_of_a_fifo(test):
        folder = tempfile.TemporaryDirectory()
        path = os.path.join(folder.name, "fifo")
        os.mkfifo(path)

        def body():
            open(path, "rb").close()  # waits

        def release():
            os.close(os.open(path, os.O_WRONLY))
            folder.cleanup()

        thread = planted(body)
        thread.start()  # creates
        return Body(thread, release)


class SlowFinder:
    """The search for one module, which lasts until it is released and finds none."""

    def __init__(self, name):
        self.name = name
        self.is_inside, self.released = threading.Event(), threading.Event()
        sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        """Find nothing, in its time."""
        if name == self.name:
            self.is_inside.set()
            self.released.wait(JOIN_SECONDS)

    def find(self):
        """Import the module."""
        with contextlib.suppress(ImportError):
            importlib.import_module(self.name)


@plant("thread", "import", "waiting", THREAD)
def blocked_import(test):
    finder = SlowFinder("planted_module")
    other = threading.Thread(target=finder.find, name="other", daemon=True)
    other.start()
    finder.is_inside.wait(JOIN_SECONDS)

    def body():
        with contextlib.suppress(ImportError):
            import planted_module  # noqa: F401  # waits

    thread = planted(body)
    thread.start()  # creates

    def release():
        sys.meta_path.remove(finder)
        finder.released.set()
        other.join(JOIN_SECONDS)

    return Body(thread, release)


@plant("thread", "os.read", "waiting", THREAD)
def os_read(test):
    here, there = os.pipe()

    def body():
        os.read(here, 1)  # waits
        os.close(here)

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lambda: os.close(there))


@plant("thread", "input", "waiting", THREAD)
def input_of_a_line(test):
    here, there = os.pipe()
    file = open(here, encoding="utf-8")
    patch = mock.patch("sys.stdin", file)
    patch.start()

    def body():
        input()  # waits

    def release():
        os.write(there, b"\n")
        os.close(there)
        patch.stop()

    thread = planted(body)
    thread.start()  # creates
    body_end = Body(thread, release)

    def end():
        body_end()
        file.close()

    return end


@plant("thread", "C code called at this line", "waiting", THREAD)
def c_code(test):
    here, there = os.pipe()
    library, buffer = ctypes.CDLL(None), ctypes.create_string_buffer(1)

    def body():
        library.read(here, buffer, 1)  # waits
        os.close(here)

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lambda: os.close(there))


@plant("thread", "asyncio event loop, no pending tasks", "waiting", LOOP)
def idle_loop(test):
    loop = asyncio.new_event_loop()
    thread = planted(loop.run_forever)
    thread.start()  # creates
    body_end = Body(thread, lambda: loop.call_soon_threadsafe(loop.stop))

    def end():
        body_end()
        loop.close()

    return end


@plant("thread", "asyncio event loop, 1 pending task", "waiting", ASYNCIO_RUN)
def running_loop(test):
    noted = {}

    async def main():
        noted["loop"], noted["over"] = asyncio.get_running_loop(), asyncio.Event()
        is_ready.set()
        with contextlib.suppress(asyncio.CancelledError):  # the check cancels it, once it is reported
            await noted["over"].wait()

    def release():
        with contextlib.suppress(RuntimeError):  # so that the loop may be closed by now
            noted["loop"].call_soon_threadsafe(noted["over"].set)

    def body():
        asyncio.run(main())  # waits

    is_ready = threading.Event()
    thread = planted(body)
    thread.start()  # creates
    is_ready.wait(JOIN_SECONDS)
    return Body(thread, release)


@plant("thread", "threading.Event.wait", "waiting", RAW, leak="planted_raw")
def raw_thread(test):
    event, over, is_ready = threading.Event(), threading.Event(), threading.Event()

    def planted_raw():
        is_ready.set()
        event.wait()  # waits
        over.set()

    _thread.start_new_thread(planted_raw, ())  # creates
    is_ready.wait(JOIN_SECONDS)

    def end():
        event.set()
        over.wait(JOIN_SECONDS)

    return end


@plant("thread", "threading.Event.wait", "waiting", TIMER)
def timer(test):
    made = threading.Timer(1000.0, int)
    made.name, made.daemon = "planted", True
    made.start()  # creates
    return Body(made, made.cancel)


@plant("thread", None, "running", THREAD)
def busy(test):
    is_over = []

    def body():
        while not is_over: pass  # waits

    thread = planted(body)
    thread.start()  # creates
    return Body(thread, lambda: is_over.append(True))


if _compat.thread_times(threading.get_native_id()) is not None:

    @plant("thread", None, "running", THREAD)
    def busy_in_calls_of_c(test):
        is_over = []

        def body():
            while not is_over: time.monotonic()  # waits

        thread = planted(body)
        thread.start()  # creates
        return Body(thread, lambda: is_over.append(True))

    @plant("thread", None, "running", THREAD)
    def busy_in_the_library(test):
        is_over = []

        def body():
            while not is_over: json.loads(json.dumps({"some": [1, 2, 3]}))  # waits

        thread = planted(body)
        thread.start()  # creates
        return Body(thread, lambda: is_over.append(True))

    @plant("thread", None, "running", THREAD)
    def busy_with_a_queue(test):
        things, is_over = queue.Queue(), []
        things.put(None)

        def body():
            while not is_over: things.put(things.get_nowait())  # waits

        thread = planted(body)
        thread.start()  # creates
        return Body(thread, lambda: is_over.append(True))

    @plant("thread", "C code called at this line", "waiting", THREAD)
    def pipe_lines_unpacked(test):
        here, there = os.pipe()

        def body():
            with open(here, "rb") as file:
                first, *others = file, *file  # waits

        thread = planted(body)
        thread.start()  # creates
        return Body(thread, lambda: os.close(there))

    @plant("thread", "C code called at this line", "waiting", THREAD)
    def pipe_lines_yielded(test):
        here, there = os.pipe()

        def lines():
            with open(here, "rb") as file:
                yield from file  # waits

        def body():
            for line in lines():
                pass

        thread = planted(body)
        thread.start()  # creates
        return Body(thread, lambda: os.close(there))


@plant("thread", "threading.Event.wait", "stuck", EVENT)
def stuck_on_an_event(test):
    event = threading.Event()

    def body():
        event.wait()  # waits

    thread = planted(body)
    thread.start()  # creates
    return functools.partial(wake, thread.ident)


@plant("thread", "queue.Queue.get", "stuck", THREAD)
def stuck_on_a_queue(test):
    things = queue.Queue()

    def body():
        things.get()  # waits

    thread = planted(body)
    thread.start()  # creates
    return functools.partial(wake, thread.ident)


# -- tasks ---------------------------------------------------------------------------------------


class Ended:
    """The end of tasks: cancelled and awaited."""

    def __init__(self, *tasks):
        self.tasks = tasks

    async def __call__(self):
        """Cancel them, and wait until they are done."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def turn():
    """Let what was made take its first steps."""
    for _ in range(5):
        await asyncio.sleep(0)


@plant("task", "asyncio.sleep", "waiting", TASK)
async def async_sleep(test):
    async def body():
        await asyncio.sleep(1000)  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "asyncio.Event.wait", "waiting", TASK_EVENT)
async def async_event(test):
    async def body():
        await asyncio.Event().wait()  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "asyncio.Queue.get", "waiting", TASK_QUEUE)
async def async_queue(test):
    async def body():
        await asyncio.Queue().get()  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "asyncio.Lock.acquire", "waiting", TASK_LOCK)
async def async_lock_with(test):
    lock = asyncio.Lock()
    await lock.acquire()

    async def body():
        async with lock:  # waits
            pass

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "asyncio.Condition.wait", "waiting", TASK)
async def async_condition(test):
    async def body():
        condition = asyncio.Condition()
        async with condition:
            await condition.wait()  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "asyncio.Future", "waiting", TASK)
async def async_future(test):
    future = asyncio.get_running_loop().create_future()
    test.addCleanup(future.done)  # somebody has to refer to it

    async def body():
        await future  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


async def blocked():
    """Wait for ever."""
    await asyncio.Event().wait()


@plant("task", "task 'inner'", "waiting", TASK)
async def async_await_task(test):
    inner = asyncio.create_task(blocked(), name="inner")

    async def body():
        await inner  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task, inner)


@plant("task", "a task of blocked", "waiting", TASK)
async def async_await_task_of_a_number(test):
    inner = asyncio.create_task(blocked())

    async def body():
        await inner  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task, inner)


@plant("task", "asyncio.wait_for, for asyncio.Event.wait", "waiting", TASK_EVENT)
async def async_wait_for(test):
    async def body():
        await asyncio.wait_for(asyncio.Event().wait(), 1000)  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "asyncio.wait_for, for task 'inner'", "waiting", TASK)
async def async_wait_for_task(test):
    inner = asyncio.create_task(blocked(), name="inner")

    async def body():
        await asyncio.wait_for(inner, 1000)  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task, inner)


@plant("task", "asyncio.shield, for task 'inner'", "waiting", TASK)
async def async_shield(test):
    inner = asyncio.create_task(blocked(), name="inner")

    async def body():
        await asyncio.shield(inner)  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task, inner)


@plant("task", "asyncio.gather, for asyncio.sleep, task 'inner'", "waiting", TASK)
async def async_gather(test):
    inner = asyncio.create_task(blocked(), name="inner")

    async def body():
        await asyncio.gather(inner, asyncio.sleep(1000))  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task, inner)


@plant("task", "asyncio.gather, for 4 tasks", "waiting", TASK)
async def async_gather_of_many(test):
    async def body():
        await asyncio.gather(*[blocked() for _ in range(4)])  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "asyncio.wait, for task 'inner'", "waiting", TASK)
async def async_wait(test):
    inner = asyncio.create_task(blocked(), name="inner")

    async def body():
        await asyncio.wait([inner])  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task, inner)


@plant("task", "asyncio.TaskGroup, for a task of blocked, task 'inner'", "waiting", TASK_GROUP, since=(3, 11))
async def async_task_group(test):
    async def body():
        async with asyncio.TaskGroup() as group:  # waits
            group.create_task(blocked(), name="inner")
            group.create_task(blocked())

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "asyncio.Lock.acquire", "waiting", TASK_LOCK)
async def async_lock_in_an_exit_stack(test):
    lock = asyncio.Lock()
    await lock.acquire()

    async def body():
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(lock)  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "asyncio.Event.wait", "waiting", TASK_EVENT)
async def async_generator(test):
    async def things():
        yield 1
        await asyncio.Event().wait()  # waits

    async def body():
        async for _ in things():
            pass

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "asyncio.sleep", "waiting", TASK)
async def async_nested(test):
    async def inner():
        await asyncio.sleep(1000)  # waits

    class Outer:
        def __await__(self):
            return inner().__await__()

    async def body():
        await Outer()

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "concurrent.futures.Future", "waiting", TASK_EXECUTOR)
async def async_run_in_executor(test):
    event = threading.Event()
    test.addCleanup(event.set)
    executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="helper")
    test.addCleanup(executor.shutdown)
    test.addCleanup(event.set)

    async def body():
        await asyncio.get_running_loop().run_in_executor(executor, event.wait)  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    ended = Ended(task)

    async def end():
        event.set()
        await ended()
        executor.shutdown()

    return end


@plant("task", "asyncio.to_thread", "waiting", TASK_JOB)
async def async_to_thread(test):
    event = threading.Event()
    test.addCleanup(event.set)

    async def body():
        await asyncio.to_thread(event.wait)  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()

    async def end():
        event.set()
        await task

    return end


@plant("task", "asyncio.StreamReader.readline, from 127.0.0.1:* to 127.0.0.1:*", "waiting", TASK_STREAM)
async def async_readline(test):
    server = socket.create_server(("127.0.0.1", 0))
    test.addCleanup(server.close)
    reader, writer = await asyncio.open_connection(*server.getsockname())

    async def body():
        try:
            await reader.readline()  # waits
        finally:
            writer.close()

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "asyncio.StreamReader.readline, from 127.0.0.1:* to 127.0.0.1:*", "waiting", TASK_STREAM)
async def async_for_line(test):
    server = socket.create_server(("127.0.0.1", 0))
    test.addCleanup(server.close)
    reader, writer = await asyncio.open_connection(*server.getsockname())

    async def body():
        try:
            async for _ in reader:  # waits
                pass
        finally:
            writer.close()

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "asyncio.loop.sock_recv, from 127.0.0.1:* to 127.0.0.1:*", "waiting", TASK)
async def async_sock_recv(test):
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
    test.addCleanup(peer.close)
    client.setblocking(False)

    async def body():
        with client:
            await asyncio.get_running_loop().sock_recv(client, 1)  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


async def started_child(test):
    """A child of asyncio's, and how it is ended; asyncio says of one that the check has ended that it does not know it."""
    chatter = mock.patch.object(logging.getLogger("asyncio"), "disabled", True)
    chatter.start()
    test.addCleanup(chatter.stop)
    child = await asyncio.create_subprocess_exec("cat", "-", stdin=subprocess.PIPE)

    async def end():
        child.stdin.close()
        await child.wait()

    return child, end


@plant("task", "asyncio.gather, for asyncio.subprocess.Process.wait", "waiting", TASK_CHILD)
async def async_gather_of_a_child(test):
    child, end_child = await started_child(test)

    async def body():
        await asyncio.gather(child.wait())  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()

    async def end():
        await end_child()
        await task

    return end


@plant("task", "asyncio.wait_for, for asyncio.subprocess.Process.wait", "waiting", TASK_CHILD)
async def async_wait_for_a_child(test):
    child, end_child = await started_child(test)

    async def body():
        await asyncio.wait_for(child.wait(), 1000)  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()

    async def end():
        await end_child()
        await task

    return end


@plant("task", "asyncio.Server.serve_forever", "waiting", TASK_SERVER)
async def async_serve_forever(test):
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)

    async def body():
        await server.serve_forever()  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "asyncio.sleep", "running", TASK)
async def async_spin(test):
    async def body():
        while True:
            await asyncio.sleep(0)  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    return Ended(task)


@plant("task", "asyncio.Event.wait", "stuck", TASK_UNHELD)
async def async_stuck(test):
    gc.disable()  # or else it is collected, as nobody can wake it
    test.addCleanup(gc.enable)

    async def body():
        await asyncio.Event().wait()  # waits

    asyncio.create_task(body(), name="planted")  # creates
    await turn()

    async def end():
        await Ended(*[task for task in asyncio.all_tasks() if task.get_name() == "planted"])()

    return end


@plant("task", "asyncio.sleep", "ignores cancellation", TASK)
async def async_ignores_cancellation(test):
    is_over = []

    async def body():
        while not is_over:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1000)  # waits

    task = asyncio.create_task(body(), name="planted")  # creates
    await turn()
    ended = Ended(task)

    async def end():
        is_over.append(True)
        await ended()

    return end


# -- processes -----------------------------------------------------------------------------------


def ended(child):
    """How a child is ended that may have been ended already."""

    def end():
        child.kill()
        child.wait()

    return end


@plant("process", None, "running", POPEN, leak="cat -")
def popen(test):
    child = subprocess.Popen(["cat", "-"], stdin=subprocess.PIPE)  # creates
    end = ended(child)

    def close():
        child.stdin.close()
        end()

    return close


@plant("process", None, "running", POPEN, leak=" ".join(SLEEP)[:120])
def popen_python(test):
    child = subprocess.Popen(SLEEP)  # creates
    return ended(child)


@plant("process", None, "running", SHELL, leak="/bin/sh -c read line")
def popen_shell(test):
    child = subprocess.Popen("read line", shell=True, stdin=subprocess.PIPE)  # creates
    end = ended(child)

    def close():
        child.stdin.close()
        end()

    return close


@plant("process", None, "running", POPEN, leak="sleep 1000")  # no shell is left
def popen_shell_exec(test):
    child = subprocess.Popen("exec sleep 1000", shell=True)  # creates
    return ended(child)


@plant("process", None, "running", DAEMON)
def multiprocessing_process(test):
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=time.sleep, args=(1000,), name="planted", daemon=True)
    child.start()  # creates

    def end():
        child.kill()
        child.join()
        child.close()

    return end


@plant("process", None, "running", FORK, leak="forked child")
def fork(test):
    pid = os.fork()  # creates
    if pid == 0:
        try:
            time.sleep(1000)
        finally:
            os._exit(0)

    def end():
        try:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # the check has ended it

    return end
