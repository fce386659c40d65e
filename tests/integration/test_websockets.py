"""Teardown of websockets' servers and clients, of asyncio and of threads; of many at once."""

import asyncio
import functools
import resource
import threading
import time

from tests import guarded
from tests.integration import proving
from tests.integration.proving import HOST

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The sample nonce of RFC 6455."""


def setUpModule():
    """These tests need websockets, with the asyncio server of version 13."""
    global server, client, threaded, threaded_client, closed
    server, client = proving.need("websockets.asyncio.server", "websockets.asyncio.client")
    threaded, threaded_client = proving.need("websockets.sync.server", "websockets.sync.client")
    closed = proving.need("websockets.exceptions").ConnectionClosed


async def echo(connection):
    """Send back what comes."""
    async for message in connection:
        await connection.send(message)


def url(serving):
    """Where a server listens."""
    [socket] = getattr(serving, "sockets", None) or [serving.socket]
    return f"ws://{HOST}:{socket.getsockname()[1]}"


async def deaf_client(serving):
    """Return the writer of a client that has said hello, and never answers any more."""
    reader, writer = await asyncio.open_connection(*serving.sockets[0].getsockname())
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13"]
    writer.write("\r\n".join(["GET / HTTP/1.1", f"Host: {HOST}", *upgrade, "", ""]).encode())
    await reader.readuntil(b"\r\n\r\n")
    return writer


class ServerTests(proving.HubTests):
    def test_a_server_left_with_a_client_is_a_leak(self):
        """The client's task has the user's line; the handler's was created by the loop's callback, in websockets."""

        async def leaves(test):
            serving = await server.serve(echo, HOST, 0)
            connection = await client.connect(url(serving))  # connects
            await connection.send("hello")
            await connection.recv()

        outcome = self.run_async(leaves)
        self.assertLeak(outcome, "task", guarded.place(leaves, "connects"))
        self.assertLeakOfLibrary(outcome, "task", "websockets")

    def test_both_torn_down_leave_nothing(self):
        """The client was registered last, so it goes first."""

        async def test_of_both(test):
            serving = test.addHub(await server.serve(echo, HOST, 0))
            connection = test.addHub(await client.connect(url(serving)))
            await connection.send("hello")
            test.assertEqual(await connection.recv(), "hello")

        self.assertClean(self.run_async(test_of_both))

    def test_closed_by_the_test(self):
        """A second close of either is fine."""

        async def closes(test):
            serving = test.addHub(await server.serve(echo, HOST, 0))
            connection = test.addHub(await client.connect(url(serving)))
            await connection.close()
            serving.close()
            await serving.wait_closed()

        self.assertClean(self.run_async(closes))

    def test_clients_connected_and_messages_in_flight(self):
        """Clients that send and read are closed by the server's teardown, which says who they were."""

        async def connects(test):
            serving = test.addHub(await server.serve(echo, HOST, 0))
            connections = [await client.connect(url(serving)) for _ in range(3)]
            test.tasks = [asyncio.ensure_future(proving.chatter(connection)) for connection in connections]
            await asyncio.sleep(0)

        self.assertClean(self.run_async(connects, leak_grace=guarded.PATIENT), "3 clients still connected: 127.0.0.1:")

    def test_a_client_alone_in_flight(self):
        """A client that is torn down while it sends and is sent to."""

        async def connects(test):
            serving = test.addHub(await server.serve(echo, HOST, 0))
            connection = test.addHub(await client.connect(url(serving)))
            test.task = asyncio.ensure_future(proving.chatter(connection))
            await asyncio.sleep(0)

        self.assertClean(self.run_async(connects, leak_grace=guarded.PATIENT), None)

    def test_a_client_that_never_answers(self):
        """websockets waits for its answer for longer than the hub may take: the test fails, the next one is clean."""

        async def connects(test):
            test.addCleanup(lambda: test.writer.close())
            serving = test.addHub(await server.serve(echo, HOST, 0), timeout=0.2)
            test.writer = await deaf_client(serving)

        outcome = self.run_async(connects, lambda test: asyncio.sleep(0))
        self.assertEqual({test._testMethodName for test, _ in [*outcome.failures, *outcome.errors]}, {"test_0"})
        late = "HubError: hub 'Server' did not stop within 0.2 s: it is at websockets/asyncio/server.py:"
        self.assertIn(late, outcome.failures[0][1])


class ThreadedServerTests(proving.HubTests):
    @staticmethod
    def echo(connection):
        """Send back what comes."""
        for message in connection:
            connection.send(message)

    def serve(self):
        """Return a server, and the thread that is to run it."""
        serving = threaded.serve(self.echo, HOST, 0)
        return serving, threading.Thread(target=serving.serve_forever)

    def test_a_server_left_serving_is_a_leak_with_the_users_line(self):
        """The thread that serves, and the client's that reads, have the user's lines."""
        left = []

        def leaves(test):
            serving = threaded.serve(self.echo, HOST, 0)
            thread = threading.Thread(target=serving.serve_forever)
            thread.start()  # serves
            connection = threaded_client.connect(url(serving))  # connects
            connection.send("hello")
            connection.recv()
            left.extend([connection.close, serving.shutdown, thread.join])

        outcome = self.run_sync(leaves)
        for end in left:
            end()
        self.assertLeak(outcome, "thread", guarded.place(leaves, "serves"))
        self.assertLeak(outcome, "thread", guarded.place(leaves, "connects"))

    def test_both_torn_down_leave_nothing(self):
        """The client was registered last, so it goes first."""

        def test_of_both(test):
            serving, thread = self.serve()
            test.addHub(serving)
            thread.start()
            connection = test.addHub(threaded_client.connect(url(serving)))
            connection.send("hello")
            test.assertEqual(connection.recv(), "hello")

        self.assertClean(self.run_sync(test_of_both, leak_grace=guarded.PATIENT))

    def test_closed_by_the_test(self):
        """A second close of either is fine."""

        def closes(test):
            serving, thread = self.serve()
            test.addHub(serving)
            thread.start()
            connection = test.addHub(threaded_client.connect(url(serving)))
            connection.close()
            serving.shutdown()
            thread.join()

        self.assertClean(self.run_sync(closes, leak_grace=guarded.PATIENT))

    def test_clients_connected_and_messages_in_flight(self):
        """Clients that are sent to without a pause while the server goes, and after it."""

        def flood(connection, begun):
            try:
                while True:
                    connection.send("x" * 1000)
                    connection.recv()
                    begun.set()
            except closed:
                pass

        def connects(test):
            serving, thread = self.serve()
            test.addHub(serving)
            thread.start()
            for _ in range(3):
                connection = test.addHub(threaded_client.connect(url(serving)))
                begun = threading.Event()
                threading.Thread(target=flood, args=(connection, begun)).start()
                begun.wait()

        self.assertClean(self.run_sync(connects, leak_grace=guarded.PATIENT), None)


class ManyTests(proving.HubTests):
    """Without asyncio's debug mode, in which websockets alone takes several times as long for the same."""

    CLIENTS = 1000
    HUBS = 100

    def setUp(self):
        """Each client takes two file descriptors."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * self.CLIENTS + 500
        if soft != resource.RLIM_INFINITY and soft < wanted:
            if hard != resource.RLIM_INFINITY and hard < wanted:
                self.skipTest(f"no more than {hard} open files are allowed here, {wanted} are needed")
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def begin(self):
        """Cleanups begin: this is the one registered last."""
        self.begun = time.perf_counter()

    def end(self):
        """Cleanups end: this is the one registered first."""
        self.seconds = time.perf_counter() - self.begun

    def test_a_thousand_clients(self):
        """A server's teardown closes each of its clients, and names the first few."""

        async def connects(test):
            test.addCleanup(self.end)
            serving = test.addHub(await server.serve(echo, HOST, 0, backlog=self.CLIENTS), timeout=guarded.PATIENT)
            connect = functools.partial(client.connect, url(serving), open_timeout=None)
            test.connections = [await connect() for _ in range(self.CLIENTS)]
            test.assertEqual(len(serving.connections), self.CLIENTS)
            test.addCleanup(self.begin)

        outcome = self.run_async(connects, leak_grace=guarded.PATIENT, loop_debug=False)
        self.assertClean(outcome, f"{self.CLIENTS} clients still connected: ", f" and {self.CLIENTS - 5} more")
        print(f"\n{self.CLIENTS} clients of one server torn down in {self.seconds:.2f} s")

    def test_a_hundred_hubs(self):
        """Hubs that were registered one after the other are torn down together, each with a client."""

        async def connects(test):
            test.addCleanup(self.end)
            servings = [await server.serve(echo, HOST, 0) for _ in range(self.HUBS)]
            for serving in servings:
                test.addHub(serving, timeout=guarded.PATIENT)
            test.connections = [await client.connect(url(serving)) for serving in servings]
            test.addCleanup(self.begin)

        outcome = self.run_async(connects, leak_grace=guarded.PATIENT, loop_debug=False)
        self.assertClean(outcome, "1 client still connected: ")
        self.assertEqual(len([text for _, text in outcome.logged if "1 client still connected" in text]), self.HUBS)
        print(f"\n{self.HUBS} hubs torn down in {self.seconds:.2f} s")
