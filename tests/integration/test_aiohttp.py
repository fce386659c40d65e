"""Teardown of aiohttp's servers and clients."""

import asyncio

from tests import guarded
from tests.integration import proving
from tests.integration.proving import HOST


def setUpModule():
    """These tests need aiohttp."""
    global aiohttp, web
    aiohttp, web = proving.need("aiohttp", "aiohttp.web")


async def echo(request):
    """Send back what comes over a WebSocket."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def set_up():
    """Return a runner that is set up to serve the echo."""
    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    return runner


async def started(runner):
    """Return a site that listens."""
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    return site


def url(runner):
    """Where it listens."""
    return f"http://{HOST}:{runner.addresses[0][1]}/"


async def chatter(socket):
    """Send and read without a pause until the connection is closed."""
    try:
        while True:
            await socket.send_str("x" * 1000)
            if (await socket.receive()).type is not aiohttp.WSMsgType.TEXT:
                return
    except ConnectionError:
        pass


class AiohttpTests(proving.HubTests):
    def test_a_server_left_with_a_client_is_a_leak(self):
        """What is left is the handler's task, which a callback of aiohttp's has created: no line is the user's."""
        kept = []

        async def leaves(test):
            runner = await set_up()
            await started(runner)
            session = aiohttp.ClientSession()
            socket = await session.ws_connect(url(runner))
            await socket.send_str("hello")
            await socket.receive()
            kept.append((session, socket))

        outcome = self.run_async(leaves)
        [(session, socket)] = kept
        session.detach()
        self.assertLeakOfLibrary(outcome, "task", "aiohttp")

    def test_a_task_of_the_users_around_a_client_is_a_leak_with_the_users_line(self):
        """A task that reads from a client is created by the test."""
        kept = []

        async def leaves(test):
            runner = test.addHub(await set_up())
            await started(runner)
            session = test.addHub(aiohttp.ClientSession())
            socket = await session.ws_connect(url(runner), autoclose=False)
            kept.append(asyncio.ensure_future(asyncio.sleep(3600, socket)))  # reads

        outcome = self.run_async(leaves)
        self.assertLeak(outcome, "task", guarded.place(leaves, "reads"))

    def test_all_torn_down_leave_nothing(self):
        """The last registered goes first: the WebSocket, its session, the site, the runner."""

        async def test_of_all(test):
            runner = test.addHub(await set_up())
            test.addHub(await started(runner))
            session = test.addHub(aiohttp.ClientSession())
            socket = test.addHub(await session.ws_connect(url(runner)))
            await socket.send_str("hello")
            test.assertEqual((await socket.receive()).data, "hello")

        self.assertClean(self.run_async(test_of_all, leak_grace=guarded.PATIENT))

    def test_closed_by_the_test(self):
        """A second close of any is fine."""

        async def closes(test):
            runner = test.addHub(await set_up())
            site = test.addHub(await started(runner))
            session = test.addHub(aiohttp.ClientSession())
            socket = test.addHub(await session.ws_connect(url(runner)))
            await socket.close()
            await session.close()
            await site.stop()
            await runner.cleanup()

        self.assertClean(self.run_async(closes, leak_grace=guarded.PATIENT), None)

    def test_clients_connected_and_messages_in_flight(self):
        """The runner's teardown closes its clients and says who they were."""

        async def connects(test):
            session = test.addHub(aiohttp.ClientSession())
            runner = test.addHub(await set_up())
            await started(runner)
            sockets = [await session.ws_connect(url(runner)) for _ in range(3)]
            test.tasks = [asyncio.ensure_future(chatter(socket)) for socket in sockets]
            await asyncio.sleep(0)

        outcome = self.run_async(connects, leak_grace=guarded.PATIENT)
        self.assertClean(outcome, "3 clients still connected: 127.0.0.1:")

    def test_a_response_of_the_servers(self):
        """A WebSocketResponse is a hub too, in its handler's test: it is closed before the server."""

        async def serves(test):
            arrived = asyncio.get_running_loop().create_future()

            async def handler(request):
                socket = web.WebSocketResponse()
                await socket.prepare(request)
                arrived.set_result(socket)
                async for _ in socket:
                    pass
                return socket

            app = web.Application()
            app.router.add_get("/", handler)
            runner = test.addHub(web.AppRunner(app, shutdown_timeout=0.1))
            await runner.setup()
            await started(runner)
            session = test.addHub(aiohttp.ClientSession())
            socket = await session.ws_connect(url(runner))
            test.addHub(await arrived)
            test.reader = asyncio.ensure_future(socket.receive())

        self.assertClean(self.run_async(serves, leak_grace=guarded.PATIENT), None)
