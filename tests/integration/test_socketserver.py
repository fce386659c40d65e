"""Teardown of the standard library's threaded servers."""

import http.client
import http.server
import socket
import socketserver
import threading

from tests import guarded
from tests.integration import proving
from tests.integration.proving import HOST


class Echo(socketserver.StreamRequestHandler):
    """Send back each line."""

    def handle(self):
        """Until the client closes, or is closed."""
        try:
            for line in self.rfile:
                self.wfile.write(line)
        except OSError:
            pass


class Pages(http.server.SimpleHTTPRequestHandler):
    """Answer with a short page, and keep the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Always the same page."""
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *arguments):
        """Say nothing."""


class Server(socketserver.ThreadingTCPServer):
    """One thread a client, and each is joined by ``server_close()``."""


def send_on(client, begun):
    """Send lines and read them without a pause until the connection is closed."""
    try:
        while True:
            client.sendall(b"x" * 1000 + b"\n")
            if not client.recv(2000):
                return
            begun.set()
    except OSError:
        pass
    finally:
        begun.set()


class SocketServerTests(proving.HubTests):
    def test_a_server_left_serving_is_a_leak_with_the_users_line(self):
        """The thread that serves has the user's line; a client's thread was begun in that one, by socketserver."""
        left = []

        def leaves(test):
            server = Server((HOST, 0), Echo)
            thread = threading.Thread(target=server.serve_forever)
            thread.start()  # serves
            client = socket.create_connection(server.server_address)
            client.sendall(b"hello\n")
            client.recv(6)
            left.extend([client.close, server.shutdown, server.server_close, thread.join])

        outcome = self.run_sync(leaves)
        for end in left:
            end()
        self.assertLeak(outcome, "thread", guarded.place(leaves, "serves"))
        self.assertEqual([leak.kind for leak in outcome.leaks], ["thread", "thread"])

    def test_one_that_is_torn_down_leaves_nothing(self):
        """The client is closed first, then the server stops, joins its threads and is waited for."""

        def serves(test):
            server = test.addHub(Server((HOST, 0), Echo))
            threading.Thread(target=server.serve_forever).start()
            client = test.addHub(socket.create_connection(server.server_address))
            client.sendall(b"hello\n")
            test.assertEqual(client.recv(6), b"hello\n")

        self.assertClean(self.run_sync(serves, leak_grace=guarded.PATIENT))

    def test_closed_by_the_test(self):
        """A second close is fine."""

        def closes(test):
            server = test.addHub(Server((HOST, 0), Echo))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            client = test.addHub(socket.create_connection(server.server_address))
            client.close()
            server.shutdown()
            server.server_close()
            thread.join()

        self.assertClean(self.run_sync(closes, leak_grace=guarded.PATIENT))

    def test_clients_connected_and_messages_in_flight(self):
        """Clients that send and read when the server is told to go are closed first: it waits for them."""

        def connects(test):
            server = test.addHub(Server((HOST, 0), Echo))
            threading.Thread(target=server.serve_forever).start()
            for _ in range(3):
                client = socket.create_connection(server.server_address)
                test.addHub(client, stop=lambda client=client: (client.shutdown(socket.SHUT_RDWR), client.close()))
                begun = threading.Event()
                threading.Thread(target=send_on, args=(client, begun)).start()
                begun.wait()

        self.assertClean(self.run_sync(connects, leak_grace=guarded.PATIENT))

    def test_clients_that_stay(self):
        """A server that joins a client's thread hangs while the client stays: the test fails and says where."""
        left = []

        def stays(test):
            server = test.addHub(Server((HOST, 0), Echo), timeout=0.5)
            threading.Thread(target=server.serve_forever, args=(0.01,)).start()
            client = socket.create_connection(server.server_address)
            client.sendall(b"hello\n")
            client.recv(6)
            left.append(client.close)

        outcome = self.run_sync(stays, lambda test: None)
        left[0]()
        self.assertEqual([test._testMethodName for test, _ in [*outcome.failures, *outcome.errors]][:1], ["test_0"])
        self.assertIn("HubError: hub 'Server' did not stop within 0.5 s", outcome.failures[0][1])
        self.end_threads()

    def end_threads(self):
        """Join what ends now that the client is gone."""
        for thread in threading.enumerate():
            if "process_request_thread" in thread.name or thread.name.startswith("teardown of"):
                thread.join()


class HTTPServerTests(proving.HubTests):
    def test_a_server_left_serving_is_a_leak_with_the_users_line(self):
        """The thread that serves has the user's line."""
        left = []

        def leaves(test):
            server = http.server.ThreadingHTTPServer((HOST, 0), Pages)
            thread = threading.Thread(target=server.serve_forever)
            thread.start()  # serves
            left.extend([server.shutdown, server.server_close, thread.join])

        outcome = self.run_sync(leaves)
        for end in left:
            end()
        self.assertLeak(outcome, "thread", guarded.place(leaves, "serves"))

    def test_one_that_is_torn_down_leaves_nothing(self):
        """A connection that is kept alive is closed first."""

        def serves(test):
            server = test.addHub(http.server.ThreadingHTTPServer((HOST, 0), Pages))
            threading.Thread(target=server.serve_forever).start()
            client = test.addHub(http.client.HTTPConnection(*server.server_address))
            client.request("GET", "/")
            test.assertEqual(client.getresponse().read(), b"ok")

        self.assertClean(self.run_sync(serves, leak_grace=guarded.PATIENT))

    def test_closed_by_the_test_or_never_begun(self):
        """A second close is fine, and one that never served is only closed."""

        def closes(test):
            test.addHub(http.server.HTTPServer((HOST, 0), Pages))
            server = test.addHub(http.server.HTTPServer((HOST, 0), Pages))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            server.shutdown()
            server.server_close()
            thread.join()

        self.assertClean(self.run_sync(closes, leak_grace=guarded.PATIENT))

    def test_requests_in_flight(self):
        """What is asked for while the server goes is answered or refused, and nothing is left."""

        def ask(address, begun):
            try:
                while True:
                    client = http.client.HTTPConnection(*address)
                    try:
                        client.request("GET", "/")
                        client.getresponse().read()
                    finally:
                        client.close()
                    begun.set()
            except (OSError, http.client.HTTPException):
                begun.set()

        def asks(test):
            server = test.addHub(http.server.ThreadingHTTPServer((HOST, 0), Pages))
            threading.Thread(target=server.serve_forever).start()
            begun = threading.Event()
            threading.Thread(target=ask, args=(server.server_address, begun)).start()
            begun.wait()

        self.assertClean(self.run_sync(asks, leak_grace=guarded.PATIENT))
