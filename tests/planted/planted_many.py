"""Forty leaks of forty tests, each different from the others, each one the same in every run and on every Python."""

import _thread
import asyncio
import concurrent.futures
import functools
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

released = threading.Event()
kept = []


def tearDownModule():
    """Let the threads end, or those of executors would keep the interpreter from exiting."""
    released.set()


def work():
    released.wait()


def other_work():
    released.wait()


def start(target, name=None):
    """A helper that starts everybody's threads: only the target tells them apart."""
    threading.Thread(target=target, name=name, daemon=True).start()


class Worker(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)

    def run(self):
        work()


class OtherWorker(Worker):
    pass


class Service:
    def open(self):
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        work()

    def open_in_a_lambda(self):
        return (lambda: threading.Thread(target=self.serve, daemon=True).start())()


class ThreadTests(unittest.TestCase):
    def test_default_name(self):
        threading.Thread(target=work, daemon=True).start()

    def test_another_target(self):
        threading.Thread(target=other_work, daemon=True).start()

    def test_named(self):
        threading.Thread(target=work, name="reader", daemon=True).start()

    def test_numbered(self):
        threading.Thread(target=work, name=f"writer-{os.getpid()}", daemon=True).start()

    def test_hex_name(self):
        threading.Thread(target=work, name=f"portal-{id(released):x}", daemon=True).start()

    def test_helper(self):
        start(work)

    def test_helper_with_another_target(self):
        start(other_work)

    def test_helper_with_a_name(self):
        start(work, "named-by-the-helper")

    def test_helper_with_a_local_function(self):
        def run():
            released.wait()

        start(run)

    def test_helper_with_another_local_function(self):
        def run():
            released.wait()

        start(run)

    def test_subclass(self):
        Worker().start()

    def test_another_subclass(self):
        OtherWorker().start()

    def test_timer(self):
        timer = threading.Timer(1000, work)
        timer.daemon = True
        timer.start()

    def test_method(self):
        Service().open()

    def test_in_a_lambda(self):
        Service().open_in_a_lambda()

    def test_in_a_comprehension(self):
        [thread.start() for thread in [threading.Thread(target=work, daemon=True)]]

    def test_in_a_generator(self):
        any(threading.Thread(target=work, daemon=True).start() for _ in range(1))

    def test_partial(self):
        threading.Thread(target=functools.partial(released.wait, 1000), daemon=True).start()

    def test_lambda(self):
        threading.Thread(target=lambda: work(), daemon=True).start()

    def test_executor(self):
        executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="pool")
        executor.submit(work)
        kept.append(executor)


class RawTests(unittest.TestCase):
    leak_grace = 0.1  # how long one that starts takes to be told from one that runs

    def test_raw(self):
        runs = threading.Event()
        _thread.start_new_thread(lambda: (runs.set(), released.wait()), ())
        runs.wait()


class TaskTests(unittest.IsolatedAsyncioTestCase):
    async def wait(self):
        await asyncio.Event().wait()

    async def test_default_name(self):
        kept.append(asyncio.create_task(self.wait()))

    async def test_named(self):
        kept.append(asyncio.create_task(self.wait(), name=f"ping-{os.getpid()}"))

    async def test_sleeping(self):
        kept.append(asyncio.ensure_future(asyncio.sleep(1000)))

    async def test_in_a_comprehension(self):
        kept.extend([asyncio.create_task(self.wait()) for _ in range(1)])

    async def test_local(self):
        async def wait():
            await asyncio.sleep(1000)

        kept.append(asyncio.create_task(wait()))

    async def test_async_generator(self):
        async def numbers():
            yield 1
            yield 2

        generator = numbers()
        await generator.__anext__()
        kept.append(generator)

    async def test_call_later(self):
        asyncio.get_running_loop().call_later(1000, work)

    async def test_call_later_another(self):
        asyncio.get_running_loop().call_later(1000, other_work)

    async def test_signal(self):
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, work)


SLEEPS = "import time; time.sleep(1000)"


class ProcessTests(unittest.TestCase):
    def test_command(self):
        kept.append(subprocess.Popen([sys.executable, "-c", SLEEPS]))

    def test_command_of_a_folder(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(os.rmdir, folder)
        kept.append(subprocess.Popen([sys.executable, "-c", SLEEPS, folder, f"--port={os.getpid()}"]))

    def test_a_long_command(self):
        words = [os.path.join(os.path.abspath(os.sep), "nowhere", str(number), "x" * 20) for number in range(9)]
        kept.append(subprocess.Popen([sys.executable, "-c", SLEEPS, *words, "end"]))

    def test_fork(self):
        if os.fork() == 0:
            time.sleep(1000)
            os._exit(0)

    def test_multiprocessing(self):
        process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,), daemon=True)
        process.start()
        kept.append(process)


class OtherTests(unittest.TestCase):
    def test_file(self):
        kept.append(open(__file__))

    def test_variable(self):
        os.environ["PLANTED_1"] = "x"

    def test_another_variable(self):
        os.environ["PLANTED_2"] = "x"

    def test_path(self):
        sys.path.append("planted")

    def test_never_awaited(self):
        async def never():
            pass

        never()
        gc.collect()
