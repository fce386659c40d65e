"""Teardown of uvicorn with a WebSocket route of Starlette's, served on the test's own loop.

The task that serves is registered first, then the server, which ends the task: so the task ends by itself.
"""

import asyncio

from tests import guarded
from tests.integration import proving
from tests.integration.proving import HOST


def setUpModule():
    """These tests need uvicorn and starlette, and websockets for both of its ends."""
    global uvicorn, connect, Starlette, WebSocketRoute, Disconnect
    uvicorn = proving.need("uvicorn")
    connect = proving.need("websockets.asyncio.client").connect
    Starlette = proving.need("starlette.applications").Starlette
    WebSocketRoute = proving.need("starlette.routing").WebSocketRoute
    Disconnect = proving.need("starlette.websockets").WebSocketDisconnect


async def echo(socket):
    """Send back what comes."""
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except Disconnect:
        pass


def server():
    """Return a server of the echo that has not begun to serve."""
    app = Starlette(routes=[WebSocketRoute("/", echo)])
    return uvicorn.Server(uvicorn.Config(app, host=HOST, port=0, log_config=None, timeout_graceful_shutdown=1))


async def url(serving):
    """Where a server listens, as soon as it does."""
    while not serving.started:
        await asyncio.sleep(0.001)
    return f"ws://{HOST}:{serving.servers[0].sockets[0].getsockname()[1]}/"


class UvicornTests(proving.HubTests):
    def test_a_server_left_serving_is_a_leak_with_the_users_line(self):
        """The task that serves and the client's have the user's lines, the connection's handler is uvicorn's."""

        async def leaves(test):
            serving = server()
            test.task = asyncio.create_task(serving.serve())  # serves
            connection = await connect(await url(serving))  # connects
            await connection.send("hello")
            await connection.recv()

        outcome = self.run_async(leaves)
        self.assertLeak(outcome, "task", guarded.place(leaves, "serves"))
        self.assertLeak(outcome, "task", guarded.place(leaves, "connects"))
        self.assertLeakOfLibrary(outcome, "task", "uvicorn")

    def test_both_torn_down_leave_nothing(self):
        """The client goes first, then the server, then the task, which has ended by then."""

        async def test_of_both(test):
            serving = server()
            test.addHub(asyncio.create_task(serving.serve()))
            test.addHub(serving)
            connection = test.addHub(await connect(await url(serving)))
            await connection.send("hello")
            test.assertEqual(await connection.recv(), "hello")

        self.assertClean(self.run_async(test_of_both, leak_grace=guarded.PATIENT))

    def test_closed_by_the_test(self):
        """A second end is fine."""

        async def closes(test):
            serving = server()
            task = test.addHub(asyncio.create_task(serving.serve()))
            test.addHub(serving)
            await url(serving)
            serving.should_exit = True
            await task

        self.assertClean(self.run_async(closes, leak_grace=guarded.PATIENT))

    def test_clients_connected_and_messages_in_flight(self):
        """The server's teardown closes its clients and says who they were."""

        async def connects(test):
            serving = server()
            task = test.addHub(asyncio.create_task(serving.serve()))
            test.addHub(serving)
            connections = [await connect(await url(serving)) for _ in range(3)]
            test.tasks = [asyncio.ensure_future(proving.chatter(connection)) for connection in connections]
            await asyncio.sleep(0)
            test.addCleanup(test.assertFalse, task.done())

        self.assertClean(self.run_async(connects, leak_grace=guarded.PATIENT), "3 clients still connected: 127.0.0.1:")
