"""What both suites look at the hub with: clients, feeds, sources, and a connection that is none."""

import asyncio
import json
import threading

from websockets.asyncio.client import connect

TOKENS = {"reader-token": "read", "writer-token": "write"}
READER, WRITER = TOKENS
PATIENCE = 5.0
"""Seconds until a test gives up."""


def authorized(token):
    return {"Authorization": f"Bearer {token}"}


async def view(hub, token=READER):
    """Connect to a hub; return the client when the hub has registered it."""
    headers = authorized(token)
    # max_queue: a client that stops reading while much comes would not see the answer to its own close()
    client = await connect(hub.url, additional_headers=headers, max_queue=None)  # begins: client
    await receive(client)
    return client


async def receive(client):
    """Return the next message to a client."""
    return json.loads(await asyncio.wait_for(client.recv(), PATIENCE))


async def receive_text(client):
    """Return the text of the next message to a client, which must be a record."""
    return (await receive(client))["text"]


async def send(client, **message):
    await client.send(json.dumps(message))


async def ask(client, **message):
    """Send a message and return the next one that comes."""
    await send(client, **message)
    return await receive(client)


async def until(condition):
    """Return when a condition holds; fail if it does not within `PATIENCE` seconds."""

    async def wait():
        while not condition():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(wait(), PATIENCE)


class Feed:
    """Takes whatever comes to a client, beside the test."""

    def __init__(self, client, *, answers_heartbeats=False):
        self.messages = []
        self._client = client
        self._answers = answers_heartbeats
        self.task = asyncio.create_task(self._read(), name="feed")  # begins: feed

    async def _read(self):
        async for text in self._client:
            message = json.loads(text)
            self.messages.append(message)
            if self._answers and message["type"] == "heartbeat":
                await send(self._client, op="alive")

    def of_type(self, kind):
        return [message for message in self.messages if message["type"] == kind]

    async def has(self, count, kind="record"):
        """Return the messages of a type when there are enough of them."""
        await until(lambda: len(self.of_type(kind)) >= count)
        return self.of_type(kind)


class Source:
    """A thread that publishes a record every few milliseconds until it is stopped."""

    def __init__(self, hub, name, pause=0.002):
        self._hub = hub
        self._name = name
        self._pause = pause
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"source-{name}", daemon=True)

    def start(self):
        self._thread.start()  # begins: source
        return self

    def stop(self):
        self._stopping.set()
        self._thread.join()

    def _run(self):
        number = 0
        while not self._stopping.wait(self._pause):
            number += 1
            self._hub.publish("INFO", self._name, str(number))


class FakeConnection:
    """What a hub needs of a connection, without a network; it takes messages only while it is `open`."""

    def __init__(self):
        self.sent = []
        self.transport = self
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, text):
        await self.open.wait()
        self.sent.append(json.loads(text))

    async def close(self, code, reason):
        pass

    def abort(self):
        pass
