"""Plants of the causes of the standard library: each leaves one thing running, and undoes it as its advice says.

A plant is called as a guarded inner test, with the outer test, whose cleanups undo it, as its first argument.
"""

import asyncio
import concurrent.futures
import contextlib
import http.server
import logging.handlers
import multiprocessing
import multiprocessing.pool
import os
import queue
import sched
import selectors
import signal
import socket
import socketserver
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

from tests.doubles import JOIN_SECONDS

READER = [sys.executable, "-c", "import sys; sys.stdin.read()"]
"""The command of a child that reads until its input is closed."""

PLANTS = []
"""(id of a cause, plant) of everything that is planted."""


def plant(*causes):
    """Register a plant of one cause, or of several."""

    def register(function):
        PLANTS.extend((cause, function) for cause in causes)
        return function

    return register


def functions_of(thread):
    """The names of the functions that a thread is in, innermost first."""
    frame, names = sys._current_frames().get(thread.ident), []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names


def wait_until(condition):
    """Look until something is so: for what nobody can tell us of, such as that a thread has come to a line."""
    deadline = time.perf_counter() + JOIN_SECONDS
    while not condition():
        assert time.perf_counter() < deadline, "it never came to be"
        threading.Event().wait(0.001)


def begin(outer, thread, *, undo, within):
    """Start a thread, wait until it is in the function `within`; the outer test undoes what keeps it, and joins it."""
    thread.daemon = True
    outer.addCleanup(thread.join, JOIN_SECONDS)
    outer.addCleanup(undo)
    thread.start()
    wait_until(lambda: within in functions_of(thread))
    return thread


def run(outer, target, *arguments, undo, within):
    """The same for a function."""
    return begin(outer, threading.Thread(target=target, args=arguments), undo=undo, within=within)


# -- threads -------------------------------------------------------------------------------------------


@plant("timer-thread")
def _(outer, test):
    timer = threading.Timer(3600, print)
    begin(outer, timer, undo=timer.cancel, within="wait")


@plant("queue-feeder")
def _(outer, test):
    items = multiprocessing.Queue()
    outer.addCleanup(items.join_thread)
    outer.addCleanup(items.close)
    items.put(1)
    outer.assertEqual(items.get(), 1)


@plant("multiprocessing-pool", "pool-worker")
def _(outer, test):
    pool = multiprocessing.Pool(1)
    outer.addCleanup(pool.join)
    outer.addCleanup(pool.terminate)


@plant("process-pool-executor", "process-pool-worker")
def _(outer, test):
    executor = concurrent.futures.ProcessPoolExecutor(1)
    outer.addCleanup(executor.shutdown)
    executor.submit(int).result()


@plant("queue-listener")
def _(outer, test):
    listener = logging.handlers.QueueListener(queue.Queue())
    outer.addCleanup(listener.stop)
    listener.start()


@plant("executor-idle")
def _(outer, test):
    executor = concurrent.futures.ThreadPoolExecutor(1)
    outer.addCleanup(executor.shutdown)
    executor.submit(int).result()


@plant("executor-busy")
def _(outer, test):
    executor, gate, busy = concurrent.futures.ThreadPoolExecutor(1), threading.Event(), threading.Event()
    outer.addCleanup(executor.shutdown)
    outer.addCleanup(gate.set)
    executor.submit(lambda: (busy.set(), gate.wait()))
    busy.wait()


@plant("asyncio-executor-busy")
async def _(outer, test):
    gate, busy = threading.Event(), threading.Event()
    outer.addCleanup(gate.set)
    asyncio.get_running_loop().run_in_executor(None, lambda: (busy.set(), gate.wait()))
    busy.wait()


class Waits(socketserver.BaseRequestHandler):
    def handle(self):
        """Answer nothing before the client closes the connection."""
        self.request.recv(1)


@plant("socketserver", "socketserver-socket")
def _(outer, test):
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    outer.addCleanup(server.server_close)
    run(outer, server.serve_forever, undo=server.shutdown, within="select")
    test.server = server
    outer.addCleanup(setattr, test, "server", None)


@plant("socketserver-request")
def _(outer, test):
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Waits)
    outer.addCleanup(server.server_close)
    client = socket.create_connection(server.server_address)
    outer.addCleanup(client.close)
    server.handle_request()
    wait_until(lambda: any("handle" in functions_of(thread) for thread in threading.enumerate()))


def _loop(outer):
    loop = asyncio.new_event_loop()
    outer.addCleanup(loop.close)
    return loop


@plant("loop-thread")
def _(outer, test):
    loop = _loop(outer)
    run(outer, loop.run_forever, undo=lambda: loop.call_soon_threadsafe(loop.stop), within="select")


@plant("asyncio-run-thread")
def _(outer, test):
    running = []

    async def main():
        running.append((asyncio.current_task(), asyncio.get_running_loop()))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)

    def end():
        task, loop = running[0]
        loop.call_soon_threadsafe(task.cancel)

    run(outer, lambda: asyncio.run(main()), undo=end, within="select")


@plant("sched")
def _(outer, test):
    scheduler, gate = sched.scheduler(time.monotonic, lambda seconds: gate.wait()), threading.Event()
    event = scheduler.enter(3600, 1, print)
    run(outer, scheduler.run, undo=lambda: (scheduler.cancel(event), gate.set()), within="wait")


def _sleeper():
    return subprocess.Popen(READER, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@plant("subprocess-wait")
def _(outer, test):
    child = _sleeper()
    outer.addCleanup(child.stdout.close)
    run(outer, child.wait, undo=child.stdin.close, within="wait")


@plant("queue-loop")
def _(outer, test):
    items = queue.Queue()
    run(outer, lambda: list(iter(items.get, None)), undo=lambda: items.put(None), within="get")


@plant("queue-loop")
def _(outer, test):
    items = queue.SimpleQueue()

    def read():
        while items.get() is not None:
            pass

    run(outer, read, undo=lambda: items.put(None), within="read")


@plant("queue-full")
def _(outer, test):
    items = queue.Queue(1)
    items.put(1)
    run(outer, items.put, 2, undo=items.get, within="put")


@plant("queue-join")
def _(outer, test):
    items = queue.Queue()
    items.put(1)
    run(outer, items.join, undo=items.task_done, within="join")


@plant("executor-shutdown")
def _(outer, test):
    gate = threading.Event()

    def body():
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            executor.submit(gate.wait)

    run(outer, body, undo=gate.set, within="shutdown")


@plant("pool-result")
def _(outer, test):
    gate = threading.Event()
    pool = multiprocessing.pool.ThreadPool(1)
    outer.addCleanup(pool.join)
    outer.addCleanup(pool.terminate)
    run(outer, lambda: next(pool.imap(gate.wait, [None])), undo=gate.set, within="next")


@plant("future")
def _(outer, test):
    future = concurrent.futures.Future()
    run(outer, future.result, undo=lambda: future.set_result(None), within="result")


@plant("barrier")
def _(outer, test):
    barrier = threading.Barrier(2)

    def meet():
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait()

    run(outer, meet, undo=barrier.abort, within="wait")


@plant("event")
def _(outer, test):
    event = threading.Event()
    run(outer, event.wait, undo=event.set, within="wait")


@plant("joins-thread")
def _(outer, test):
    event = threading.Event()
    first = run(outer, event.wait, undo=event.set, within="wait")
    run(outer, first.join, undo=event.set, within="join")


@plant("semaphore")
def _(outer, test):
    semaphore = threading.Semaphore(0)
    run(outer, semaphore.acquire, undo=semaphore.release, within="acquire")


@plant("condition")
def _(outer, test):
    condition = threading.Condition()

    def wait():
        with condition:
            condition.wait()

    def notify():
        with condition:
            condition.notify_all()

    run(outer, wait, undo=notify, within="wait")


@plant("lock")
def _(outer, test):
    lock = threading.Lock()
    lock.acquire()

    def take():
        with lock:
            pass

    run(outer, take, undo=lock.release, within="take")


@plant("lock")
def _(outer, test):
    lock, patience = threading.Lock(), {"timeout": 3600}
    lock.acquire()

    def take():
        if lock.acquire(timeout=patience["timeout"]):
            lock.release()

    run(outer, take, undo=lock.release, within="take")


@plant("lock")
def _(outer, test):
    lock = threading.Lock()
    lock.acquire()
    run(outer, lock.acquire, undo=lock.release, within="run")


@plant("lock-held")
def _(outer, test):
    lock, gate = threading.RLock(), threading.Event()

    def keep():
        with lock:
            gate.wait()

    run(outer, keep, undo=gate.set, within="wait")
    run(outer, lock.acquire, undo=gate.set, within="run")


@plant("socket-accept")
def _(outer, test):
    listening = socket.create_server(("127.0.0.1", 0))
    outer.addCleanup(listening.close)

    def accept():
        with contextlib.suppress(OSError):
            listening.accept()

    run(outer, accept, undo=lambda: listening.shutdown(socket.SHUT_RDWR), within="accept")


def _pair(outer):
    pair = socket.socketpair()
    for one in pair:
        outer.addCleanup(one.close)
    return pair


@plant("socket-read")
def _(outer, test):
    ours, theirs = _pair(outer)

    def read():
        size = 10
        while ours.recv(size):
            pass

    run(outer, read, undo=lambda: ours.shutdown(socket.SHUT_RDWR), within="read")


@plant("socket-read")
def _(outer, test):
    ours, theirs = _pair(outer)
    file = ours.makefile("rb")
    outer.addCleanup(file.close)
    run(outer, file.readline, undo=lambda: ours.shutdown(socket.SHUT_RDWR), within="readinto")


@plant("socket-read")
def _(outer, test):
    ours, theirs = _pair(outer)
    run(outer, ours.recv, 10, undo=lambda: ours.shutdown(socket.SHUT_RDWR), within="run")


@plant("connection")
def _(outer, test):
    ours, theirs = multiprocessing.Pipe()
    outer.addCleanup(ours.close)
    run(outer, ours.poll, 3600, undo=theirs.close, within="poll")


@plant("selector")
def _(outer, test):
    ours, theirs = _pair(outer)
    selector = selectors.DefaultSelector()
    outer.addCleanup(selector.close)
    selector.register(ours, selectors.EVENT_READ)
    run(outer, selector.select, undo=lambda: theirs.send(b"x"), within="select")


@plant("sleep")
def _(outer, test):
    ended, asleep = threading.Event(), threading.Event()

    def beat():
        while not ended.is_set():
            asleep.set()
            time.sleep(0.2)

    run(outer, beat, undo=ended.set, within="beat")
    asleep.wait()


@plant("raw-thread")
def _(outer, test):
    import _thread

    gate, running, over = threading.Event(), threading.Event(), _thread.allocate_lock()
    over.acquire()

    def wait():
        running.set()
        gate.wait()
        over.release()

    outer.addCleanup(over.acquire, True, JOIN_SECONDS)
    outer.addCleanup(gate.set)
    _thread.start_new_thread(wait, ())
    running.wait()


class PipeReader:
    def __init__(self, outer):
        self.reads, (self.here, there) = threading.Event(), os.pipe()
        self.thread = threading.Thread(target=self.read, daemon=True)
        outer.addCleanup(os.close, self.here)
        outer.addCleanup(self.thread.join)
        outer.addCleanup(os.close, there)
        self.thread.start()

    def read(self):
        """Wait in a function of C that no row knows."""
        self.reads.set()
        os.read(self.here, 1)


@plant("thread-in-init")
def _(outer, test):
    PipeReader(outer).reads.wait()


@plant("thread")
def _(outer, test):
    here, there = os.pipe()
    outer.addCleanup(os.close, here)

    def read():
        os.read(here, 1)

    run(outer, read, undo=lambda: os.close(there), within="read")


# -- tasks: what is left of them is cancelled by the guard ----------------------------------------------------


kept = set()
"""Tasks that somebody keeps."""


async def keep(outer, coroutine):
    """Make a task that is kept, and let it take its first steps."""
    outer.addCleanup(kept.clear)
    kept.add(asyncio.create_task(coroutine))
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def for_ever():
    """Wait for an event that nobody sets."""
    await asyncio.Event().wait()


async def without_end():
    """Wait for a future that is never done."""
    await asyncio.get_running_loop().create_future()


@plant("async-generator")
async def _(outer, test):
    async def count():
        yield 1
        yield 2

    generator = count()
    outer.addCleanup(kept.clear)
    kept.add(generator)
    async for _ in generator:
        break


def at_once(reader, writer):
    """Serve nobody."""


@plant("asyncio-server")
async def _(outer, test):
    server = await asyncio.start_server(at_once, "127.0.0.1", 0)
    await keep(outer, server.serve_forever())


async def _read_all(reader, writer):
    try:
        await reader.read()
    finally:
        writer.close()


@plant("stream-handler")
async def _(outer, test):
    server = await asyncio.start_server(_read_all, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    while len(asyncio.all_tasks()) < 2:
        await asyncio.sleep(0)
    server.close()
    outer.addCleanup(kept.clear)
    kept.add(writer)


@plant("submitted")
async def _(outer, test):
    asyncio.run_coroutine_threadsafe(without_end(), asyncio.get_running_loop())
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class Pinger:
    def __init__(self):
        self.task = asyncio.create_task(for_ever())


@plant("task-in-init")
async def _(outer, test):
    outer.addCleanup(kept.clear)
    kept.add(Pinger())
    await asyncio.sleep(0)


@plant("task-sleep")
async def _(outer, test):
    async def ping():
        while True:
            await asyncio.sleep(3600)

    await keep(outer, ping())


@plant("as-completed")
async def _(outer, test):
    never = asyncio.get_running_loop().create_future()

    async def first():
        for done in asyncio.as_completed([never]):
            await done

    await keep(outer, first())


@plant("task-queue")
async def _(outer, test):
    await keep(outer, asyncio.Queue().get())


@plant("task-lock")
async def _(outer, test):
    lock = asyncio.Lock()
    await lock.acquire()

    async def take():
        async with lock:
            pass

    await keep(outer, take())


async def _to_thread(outer, test):
    gate, busy = threading.Event(), threading.Event()
    outer.addCleanup(gate.set)
    await keep(outer, asyncio.to_thread(lambda: (busy.set(), gate.wait())))
    busy.wait()


plant("to-thread")(_to_thread)


@plant("task-executor")
async def _(outer, test):
    gate, busy = threading.Event(), threading.Event()
    outer.addCleanup(gate.set)
    job = asyncio.get_running_loop().run_in_executor(None, lambda: (busy.set(), gate.wait()))

    async def ask():
        await job

    await keep(outer, ask())
    busy.wait()


@plant("task-subprocess")
async def _(outer, test):
    child = await asyncio.create_subprocess_exec(*READER, stdin=subprocess.PIPE)
    await keep(outer, child.wait())


@plant("asyncio-subprocess")
async def _(outer, test):
    outer.addCleanup(kept.clear)
    kept.add(await asyncio.create_subprocess_exec(*READER, stdin=subprocess.PIPE))


@plant("task-stream", "stream-writer")
async def _(outer, test):
    ours, theirs = _pair(outer)
    reader, writer = await asyncio.open_connection(sock=ours)
    kept.add(writer)
    await keep(outer, reader.readline())


@plant("task-drain")
async def _(outer, test):
    ours, theirs = _pair(outer)
    reader, writer = await asyncio.open_connection(sock=ours)
    kept.add(writer)
    writer.transport.set_write_buffer_limits(0)
    writer.write(bytes(10**7))
    await keep(outer, writer.drain())


@plant("task-queue-join")
async def _(outer, test):
    items = asyncio.Queue()
    items.put_nowait(1)
    await keep(outer, items.join())


if sys.version_info >= (3, 11):

    @plant("task-group")
    async def _(outer, test):
        async def group():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(without_end())

        await keep(outer, group())


@plant("task-unheld")
async def _(outer, test):
    asyncio.create_task(without_end())
    await asyncio.sleep(0)


def stopped_loop(outer):
    """A loop that turns no more."""
    loop = asyncio.new_event_loop()
    outer.addCleanup(loop.close)
    outer.addCleanup(lambda: loop.run_until_complete(asyncio.sleep(0)))
    return loop


@plant("task-cancelled")
def _(outer, test):
    loop = stopped_loop(outer)
    task = loop.create_task(for_ever())
    loop.run_until_complete(asyncio.sleep(0))
    outer.addCleanup(task.cancel)
    task.cancel()


@plant("task-unstarted")
def _(outer, test):
    outer.addCleanup(stopped_loop(outer).create_task(for_ever()).cancel)


@plant("task-event")
async def _(outer, test):
    await keep(outer, for_ever())


@plant("task")
async def _(outer, test):
    await keep(outer, without_end())


# -- child processes: what is left of them is ended by the guard ----------------------------------------------


def _child(outer, *, daemon):
    child = multiprocessing.Process(target=time.sleep, args=(3600,), daemon=daemon)
    outer.addCleanup(child.join)
    outer.addCleanup(child.terminate)
    child.start()


@plant("manager")
def _(outer, test):
    manager = multiprocessing.Manager()
    outer.addCleanup(kept.clear)
    outer.addCleanup(manager.shutdown)
    kept.add(manager)


@plant("daemon-process")
def _(outer, test):
    _child(outer, daemon=True)


@plant("process")
def _(outer, test):
    _child(outer, daemon=False)


@plant("fork")
def _(outer, test):
    reading, writing = os.pipe()
    outer.addCleanup(os.close, writing)
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)


@plant("shell")
def _(outer, test):
    child = subprocess.Popen("read line; true", shell=True, stdin=subprocess.PIPE)
    outer.addCleanup(child.wait)
    outer.addCleanup(child.stdin.close)


@plant("popen", "popen-pipe")
def _(outer, test):
    child = test.child = _sleeper()
    outer.addCleanup(setattr, test, "child", None)
    outer.addCleanup(child.communicate)


# -- timers ----------------------------------------------------------------------------------------------


@plant("timer")
async def _(outer, test):
    asyncio.get_running_loop().call_later(3600, print)


@plant("signal-handler")
async def _(outer, test):
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)


# -- files -----------------------------------------------------------------------------------------------


@plant("event-loop")
def _(outer, test):
    loop = _loop(outer)
    loop.run_until_complete(asyncio.sleep(0))


def _folder(outer):
    folder = tempfile.TemporaryDirectory()
    outer.addCleanup(folder.cleanup)
    return folder.name


@plant("sqlite")
def _(outer, test):
    connection = test.connection = sqlite3.connect(os.path.join(_folder(outer), "test.db"))
    outer.addCleanup(setattr, test, "connection", None)
    outer.addCleanup(connection.close)
    with connection:
        connection.execute("create table numbers (n)")


@plant("log-file")
def _(outer, test):
    handler = logging.FileHandler(os.path.join(_folder(outer), "test.log"))
    outer.addCleanup(handler.close)
    outer.addCleanup(logging.getLogger("planted").removeHandler, handler)
    logging.getLogger("planted").addHandler(handler)


@plant("asyncio-server-socket")
async def _(outer, test):
    server = await asyncio.start_server(at_once, "127.0.0.1", 0)
    outer.addCleanup(kept.clear)
    kept.add(server)
    outer.addCleanup(server.sockets[0]._sock.close)


@plant("transport")
async def _(outer, test):
    ours, theirs = _pair(outer)
    loop = asyncio.get_running_loop()
    test.transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    outer.addCleanup(setattr, test, "transport", None)


@plant("http-client")
def _(outer, test):
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    outer.addCleanup(server.server_close)
    connection = test.connection = http.client.HTTPConnection(*server.server_address)
    outer.addCleanup(setattr, test, "connection", None)
    outer.addCleanup(connection.close)
    connection.connect()


@plant("file")
def _(outer, test):
    file = open(os.path.join(_folder(outer), "x"), "w")
    outer.addCleanup(file.close)
