"""Django's test cases, and a communicator of Channels', each with a test that leaks and a clean one."""

import threading
import urllib.error
import urllib.request

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.testing import WebsocketCommunicator
from django.test import LiveServerTestCase, TestCase, TransactionTestCase

from database.base import Guarded

released = threading.Event()


class Body(Guarded):
    leak_grace = 0.05

    def test_clean(self):
        pass

    def test_leak(self):
        threading.Thread(target=released.wait, name="left", daemon=True).start()


class DatabaseTests(Body, TestCase):
    pass


class TransactionTests(Body, TransactionTestCase):
    pass


class ServerTests(Body, LiveServerTestCase):
    def test_request(self):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(self.live_server_url)
        caught.exception.close()


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data=text_data)


class ChannelTests(Body, TransactionTestCase):
    async def test_socket(self):
        communicator = WebsocketCommunicator(Echo.as_asgi(), "/")
        self.assertTrue((await communicator.connect())[0])
        await communicator.send_to(text_data="hello")
        self.assertEqual(await communicator.receive_from(), "hello")
        await communicator.disconnect()

    async def test_socket_left(self):
        communicator = type(self).communicator = WebsocketCommunicator(Echo.as_asgi(), "/")
        self.assertTrue((await communicator.connect())[0])
