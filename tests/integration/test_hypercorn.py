"""Teardown of hypercorn, which is a coroutine that serves until its trigger is pulled: the task is the hub."""

import asyncio
import socket
import sys
import unittest

from tests import guarded
from tests.integration import proving
from tests.integration.proving import HOST


def setUpModule():
    """These tests need hypercorn, and websockets for the clients."""
    global serve, Config, connect
    serve = proving.need("hypercorn.asyncio").serve
    Config = proving.need("hypercorn.config").Config
    connect = proving.need("websockets.asyncio.client").connect


async def echo(scope, receive, send):
    """An ASGI app that sends back what comes over a WebSocket."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": message["text"]})


class Serving:
    """The echo, served on a socket of our own."""

    def __init__(self):
        self.listening = socket.create_server((HOST, 0))
        self.url = f"ws://{HOST}:{self.listening.getsockname()[1]}/"
        self.config = Config()
        self.config.bind = [f"fd://{self.listening.detach()}"]
        self.config.graceful_timeout = 0.2
        self.config.shutdown_timeout = 1.0
        self.config.errorlog = None
        self.over = asyncio.Event()

    def serve(self):
        """Return the coroutine that serves until it is over."""
        return serve(echo, self.config, shutdown_trigger=self.over.wait)


class HypercornTests(proving.HubTests):
    def test_a_server_left_serving_is_a_leak_with_the_users_line(self):
        """The task that serves and the client's have the user's lines."""

        async def leaves(test):
            serving = Serving()
            over = serving.over.wait
            test.task = asyncio.create_task(serve(echo, serving.config, shutdown_trigger=over))  # serves
            connection = await connect(serving.url)  # connects
            await connection.send("hello")
            await connection.recv()

        outcome = self.run_async(leaves)
        self.assertLeak(outcome, "task", guarded.place(leaves, "serves"))
        self.assertLeak(outcome, "task", guarded.place(leaves, "connects"))

    def test_a_task_that_is_cancelled_leaves_nothing(self):
        """The task alone is a hub: hypercorn shuts down when it is cancelled."""

        async def test_of_both(test):
            serving = Serving()
            test.addHub(asyncio.create_task(serving.serve()))
            connection = test.addHub(await connect(serving.url))
            await connection.send("hello")
            test.assertEqual(await connection.recv(), "hello")

        self.assertClean(self.run_async(test_of_both, leak_grace=guarded.PATIENT))

    def test_a_task_that_is_told_leaves_nothing(self):
        """With its trigger as the stop, registered after the task, the task ends by itself."""

        async def test_of_both(test):
            serving = Serving()
            task = asyncio.create_task(serving.serve())

            async def stop():
                serving.over.set()
                await task

            test.addHub(serving, stop=stop)
            connection = test.addHub(await connect(serving.url))
            await connection.send("hello")
            test.assertEqual(await connection.recv(), "hello")

        self.assertClean(self.run_async(test_of_both, leak_grace=guarded.PATIENT))

    def test_closed_by_the_test(self):
        """A second end is fine."""

        async def closes(test):
            serving = Serving()
            task = test.addHub(asyncio.create_task(serving.serve()))
            connection = test.addHub(await connect(serving.url))
            await connection.close()
            serving.over.set()
            await task

        self.assertClean(self.run_async(closes, leak_grace=guarded.PATIENT))

    def test_clients_connected_and_messages_in_flight(self):
        """Clients that send and read are hubs too: from Python 3.12 on, hypercorn waits until they are gone."""

        async def connects(test):
            serving = Serving()
            test.addHub(asyncio.create_task(serving.serve()))
            connections = [test.addHub(await connect(serving.url)) for _ in range(3)]
            test.tasks = [asyncio.ensure_future(proving.chatter(connection)) for connection in connections]
            await asyncio.sleep(0)

        self.assertClean(self.run_async(connects, leak_grace=guarded.PATIENT))

    @unittest.skipIf(sys.version_info < (3, 12), "asyncio's servers wait for their clients from 3.12 on")
    def test_clients_that_stay(self):
        """The task that waits for them fails the test, which says what it waited in."""

        async def stays(test):
            serving = Serving()
            test.addHub(asyncio.create_task(serving.serve()), timeout=0.2, name="hypercorn")
            test.connection = await connect(serving.url)

        outcome = self.run_async(stays, lambda test: asyncio.sleep(0))
        self.assertEqual({test._testMethodName for test, _ in [*outcome.failures, *outcome.errors]}, {"test_0"})
        late = "HubError: hub 'hypercorn' did not stop within 0.2 s: it is at hypercorn/asyncio/run.py:"
        self.assertIn(late, outcome.failures[0][1])
