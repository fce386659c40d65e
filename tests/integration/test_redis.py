"""Teardown of redis clients and subscriptions, on a redis-server that the test starts itself."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest

from tests import guarded
from tests.integration import proving
from tests.integration.proving import HOST


def setUpModule():
    """These tests need redis, the package, and redis-server, the program."""
    global redis, aio
    redis, aio = proving.need("redis", "redis.asyncio")
    if shutil.which("redis-server") is None:
        if os.environ.get("CI") == "true":
            raise AssertionError("redis-server must be installed where CI=true: apt-get install redis-server")
        raise unittest.SkipTest("redis-server is not installed: apt-get install redis-server")


def start_server(test):
    """Start a server for a test, on a free port and without persistence; return its port."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    folder = tempfile.TemporaryDirectory()
    test.addCleanup(folder.cleanup)
    options = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no", "--dir", folder.name]
    process = subprocess.Popen(["redis-server", *options], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    test.addCleanup(process.stdout.close)
    test.addCleanup(process.wait)
    test.addCleanup(process.terminate)
    for line in process.stdout:
        if b"eady to accept connections" in line:
            return port
    raise AssertionError(f"redis-server did not start: {process.wait()}")


class RedisTests(proving.HubTests):
    def setUp(self):
        """A server of the test's own."""
        self.port = start_server(self)

    def client(self):
        """Return an asyncio client."""
        return aio.Redis(host=HOST, port=self.port)

    def threaded_client(self):
        """Return a client that blocks."""
        return redis.Redis(host=HOST, port=self.port)

    def test_a_reader_left_is_a_leak_with_the_users_line(self):
        """The task that reads a subscription."""

        async def leaves(test):
            test.client = self.client()
            test.subscription = test.client.pubsub()
            await test.subscription.subscribe("news")
            await test.subscription.get_message(timeout=None)
            test.reader = asyncio.ensure_future(test.subscription.get_message(timeout=None))  # reads
            await asyncio.sleep(0)

        self.assertLeak(self.run_async(leaves), "task", guarded.place(leaves, "reads"))

    def test_a_reading_thread_left_is_a_leak_with_the_users_line(self):
        """The thread that ``run_in_thread()`` starts."""
        left = []

        def leaves(test):
            client = self.threaded_client()
            subscription = client.pubsub()
            subscription.subscribe(news=lambda message: None)
            thread = subscription.run_in_thread(sleep_time=0.01)  # starts
            left.extend([thread.stop, thread.join, subscription.close, client.close])

        outcome = self.run_sync(leaves)
        for end in left:
            end()
        self.assertLeak(outcome, "thread", guarded.place(leaves, "starts"))

    def test_all_torn_down_leave_nothing(self):
        """The last registered goes first: the reader, its subscription, the client."""

        async def reads(test):
            client = test.addHub(self.client())
            subscription = test.addHub(client.pubsub())
            await subscription.subscribe("news")
            await subscription.get_message(timeout=None)
            await client.publish("news", "hello")
            test.assertEqual((await subscription.get_message(timeout=None))["data"], b"hello")
            test.addHub(asyncio.ensure_future(subscription.get_message(timeout=None)))
            await asyncio.sleep(0)

        self.assertClean(self.run_async(reads, leak_grace=guarded.PATIENT))

    def test_a_reading_thread_torn_down_leaves_nothing(self):
        """It is stopped and waited for; then its subscription and the client are closed."""

        def reads(test):
            client = test.addHub(self.threaded_client())
            subscription = test.addHub(client.pubsub())
            arrived = threading.Event()
            subscription.subscribe(news=lambda message: arrived.set())
            test.addHub(subscription.run_in_thread(sleep_time=0.01))
            client.publish("news", "hello")
            test.assertTrue(arrived.wait(guarded.PATIENT))

        self.assertClean(self.run_sync(reads, leak_grace=guarded.PATIENT))

    def test_closed_by_the_test(self):
        """A second close of any is fine."""

        async def closes(test):
            client = test.addHub(self.client())
            subscription = test.addHub(client.pubsub())
            await subscription.subscribe("news")
            await subscription.aclose()
            await client.aclose()

        def closes_in_thread(test):
            client = test.addHub(self.threaded_client())
            subscription = test.addHub(client.pubsub())
            subscription.subscribe(news=lambda message: None)
            thread = test.addHub(subscription.run_in_thread(sleep_time=0.01))
            thread.stop()
            thread.join()
            subscription.close()
            client.close()

        self.assertClean(self.run_async(closes, leak_grace=guarded.PATIENT))
        self.assertClean(self.run_sync(closes_in_thread, leak_grace=guarded.PATIENT))

    def test_messages_in_flight(self):
        """A publisher and a reader that never pause."""

        async def publish(client, enough):
            while not enough.is_set():  # before 3.12 redis may swallow any number of cancellations here
                await client.publish("news", "x" * 1000)

        async def read(subscription, begun):
            while True:
                await subscription.get_message(timeout=None)
                begun.set()

        async def chats(test):
            client = test.addHub(self.client())
            subscription = test.addHub(client.pubsub())
            await subscription.subscribe("news")
            begun, enough = asyncio.Event(), asyncio.Event()
            test.addHub(asyncio.ensure_future(publish(client, enough)), stop=enough.set)
            test.addHub(asyncio.ensure_future(read(subscription, begun)))
            await begun.wait()

        self.assertClean(self.run_async(chats, leak_grace=guarded.PATIENT))
