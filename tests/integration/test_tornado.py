"""Teardown of tornado's HTTPServer and of its WebSocket clients."""

import asyncio

from tests import guarded
from tests.integration import proving
from tests.integration.proving import HOST


def setUpModule():
    """These tests need tornado."""
    global HTTPServer, connect, Application, Echo, Closed
    HTTPServer = proving.need("tornado.httpserver").HTTPServer
    Application = proving.need("tornado.web").Application
    websocket = proving.need("tornado.websocket")
    connect, Closed = websocket.websocket_connect, websocket.WebSocketClosedError

    class Echo(websocket.WebSocketHandler):
        """Send back what comes."""

        def on_message(self, message):
            """Without waiting until it is sent."""
            self.write_message(message)


def serve():
    """Return a server of the echo that listens, and its URL."""
    server = HTTPServer(Application([("/", Echo)]))
    server.listen(0, HOST)
    [listening] = server._sockets.values()
    return server, f"ws://{HOST}:{listening.getsockname()[1]}/"


async def chatter(client):
    """Send and read without a pause until the connection is closed."""
    try:
        while True:
            await client.write_message("x" * 1000)
            if await client.read_message() is None:
                return
    except Closed:
        pass


class TornadoTests(proving.HubTests):
    def test_a_server_left_with_a_client_is_a_leak(self):
        """What is left are tasks that tornado creates when somebody connects: no line is the user's."""
        kept = []

        async def leaves(test):
            server, url = serve()
            client = await connect(url)
            kept.append((server, client))
            await client.write_message("hello")
            await client.read_message()

        outcome = self.run_async(leaves)
        kept.clear()
        self.assertLeakOfLibrary(outcome, "task", "tornado")

    def test_both_torn_down_leave_nothing(self):
        """The client goes first, then the server stops to listen and closes its connections."""

        async def test_of_both(test):
            server, url = serve()
            test.addHub(server)
            client = test.addHub(await connect(url))
            await client.write_message("hello")
            test.assertEqual(await client.read_message(), "hello")

        self.assertClean(self.run_async(test_of_both, leak_grace=guarded.PATIENT), None)

    def test_closed_by_the_test(self):
        """A second close of either is fine."""

        async def closes(test):
            server, url = serve()
            test.addHub(server)
            client = test.addHub(await connect(url))
            client.close()
            server.stop()
            await server.close_all_connections()

        self.assertClean(self.run_async(closes, leak_grace=guarded.PATIENT), None)

    def test_clients_connected_and_messages_in_flight(self):
        """A WebSocket is no connection of the server's any more: its clients are hubs, which may be sending."""

        async def connects(test):
            server, url = serve()
            test.addHub(server)
            clients = [test.addHub(await connect(url)) for _ in range(3)]
            test.tasks = [asyncio.ensure_future(chatter(client)) for client in clients]
            await asyncio.sleep(0)

        self.assertClean(self.run_async(connects, leak_grace=guarded.PATIENT), None)

    def test_connections_that_are_kept_alive(self):
        """Those of HTTP are closed by the server's teardown, which says that they were there."""

        async def connects(test):
            server, url = serve()
            test.addHub(server)
            address = url.rstrip("/").rpartition("/")[2].split(":")
            reader, writer = await asyncio.open_connection(*address)
            test.addHub(writer)
            writer.write(b"GET /none HTTP/1.1\r\nHost: here\r\n\r\n")
            await reader.readline()
            test.addHub(server, name="pages")

        outcome = self.run_async(connects, leak_grace=guarded.PATIENT)
        self.assertClean(outcome, "hub 'pages'", "1 client still connected")
