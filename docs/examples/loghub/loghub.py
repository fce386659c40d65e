"""A hub that streams log records to WebSocket clients, each of which says what it wants to see.

A client connects with ``Authorization: Bearer TOKEN`` and talks JSON, one object a message:

- it sends ``{"op": "subscribe", "level": "WARNING", "sources": ["db", "web-*"]}``, ``{"op": "alive"}`` as the answer to
  a heartbeat, and, if its token may write, ``{"op": "log", "level": ..., "source": ..., "text": ...}``;
- it gets ``{"type": ...}``: ``welcome``, ``subscribed``, ``record``, ``heartbeat``, ``error``.
"""

import asyncio
import contextlib
import http
import itertools
import json
import queue
import threading
from fnmatch import fnmatchcase
from typing import NamedTuple, Tuple

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
GOING_AWAY, NO_HEARTBEAT = 1001, 4000


class Filter(NamedTuple):
    """What a client wants to see: records of a level at least, of sources that match one of some globs."""

    level: str = "DEBUG"
    sources: Tuple[str, ...] = ("*",)

    def passes(self, record):
        loud_enough = LEVELS.index(record["level"]) >= LEVELS.index(self.level)
        return loud_enough and any(fnmatchcase(record["source"], glob) for glob in self.sources)


class Closing(NamedTuple):
    """The last thing in a client's queue: its connection is to be closed."""

    code: int
    reason: str


class Client:
    """One connection, and the queue of what waits to be sent to it."""

    def __init__(self, connection, number, may_write, queue_size):
        self.connection = connection
        self.number = number
        self.may_write = may_write
        self.filter = Filter()
        self.queue = asyncio.Queue(queue_size)
        self.dropped = 0
        self.unanswered = 0

    def offer(self, message):
        """Queue a message. In a full queue the oldest makes room: a slow client never holds up the hub."""
        if self.queue.full():
            self.queue.get_nowait()
            self.dropped += 1
        self.queue.put_nowait(message)


class Archive:
    """Appends records to a file in a thread of its own, so that a slow disk never holds up the event loop."""

    def __init__(self, path):
        self._path = path
        self._records = queue.Queue()

    def start(self):
        self._file = open(self._path, "a", encoding="utf-8")
        self._thread = threading.Thread(target=self._write, name="loghub-archive", daemon=True)
        self._thread.start()  # begins: archive

    def put(self, record):
        self._records.put(record)

    def close(self):
        self._records.put(None)
        self._thread.join()
        self._file.close()

    def _write(self):
        for record in iter(self._records.get, None):
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()


class LogHub:
    """Serves its clients from `start()` until `close()`.

    `tokens` maps a token to ``"read"`` or ``"write"``. `heartbeat` is in seconds; a client that left `tolerated` of
    them unanswered is dropped with the next. `queue_size` bounds what waits for one client. `archive` is a path, or
    None. `patience` is how many seconds a client has to take what is queued for it when the hub closes.
    """

    def __init__(self, *, tokens, heartbeat=30.0, tolerated=2, queue_size=256, archive=None, patience=2.0):
        self.clients = set()
        self._tokens = tokens
        self._heartbeat = heartbeat
        self._tolerated = tolerated
        self._queue_size = queue_size
        self._archive = Archive(archive) if archive is not None else None
        self._patience = patience
        self._numbers = itertools.count(1)
        self._server = None

    @property
    def url(self):
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"ws://{host}:{port}/"

    async def start(self, host="127.0.0.1", port=0):
        """Listen, and begin the heartbeat; return the hub."""
        self._server = await serve(
            self._serve,
            host,
            port,
            process_request=self._authenticate,
            ping_interval=None,
            close_timeout=self._patience / 2,
        )
        self._beating = asyncio.create_task(self._beat(), name="loghub-heartbeat")  # begins: heartbeat
        if self._archive is not None:
            self._archive.start()
        return self

    async def close(self):
        """Stop gracefully: accept nobody, send what is queued, close every connection, end what runs.

        Closing twice is fine.
        """
        server, self._server = self._server, None
        if server is not None:
            server.close(close_connections=False)
            await ended(self._beating)
        clients = list(self.clients)
        for client in clients:
            client.offer(Closing(GOING_AWAY, "the hub is closing"))
        if clients:
            await asyncio.wait([client.writer for client in clients], timeout=self._patience)
        for client in clients:
            if not client.writer.done():
                client.connection.transport.abort()  # it takes nothing, so it would not take a goodbye
            await self.unregister(client)
        if server is not None:
            server.close()
            await server.wait_closed()
            if self._archive is not None:
                self._archive.close()

    def register(self, connection, may_write=False):
        """Take on a connection: welcome it, and begin to send it what is queued for it."""
        client = Client(connection, next(self._numbers), may_write, self._queue_size)
        client.offer({"type": "welcome", "client": client.number})
        name = f"loghub-writer-{client.number}"
        client.writer = asyncio.create_task(self._write(client), name=name)  # begins: writer
        self.clients.add(client)
        return client

    async def unregister(self, client):
        """Send a client no more. Unregistering twice is fine."""
        self.clients.discard(client)
        await ended(client.writer)

    def broadcast(self, record):
        """Queue a record for every client whose filter it passes; return how many they are."""
        if self._archive is not None:
            self._archive.put(record)
        wanting = [client for client in self.clients if client.filter.passes(record)]
        for client in wanting:
            client.offer({"type": "record", **record})
        return len(wanting)

    def _authenticate(self, connection, request):
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        role = self._tokens.get(token) if scheme == "Bearer" else None
        if role is None:
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "a valid token is needed\n")
        connection.may_write = role == "write"
        return None

    async def _serve(self, connection):
        client = self.register(connection, connection.may_write)
        try:
            async for text in connection:
                client.unanswered = 0
                self._receive(client, text)
        except ConnectionClosed:
            pass  # it broke off: that is no error of the hub's
        finally:
            await self.unregister(client)

    def _receive(self, client, text):
        try:
            message = json.loads(text)
            operation = message.pop("op")
            if operation == "subscribe":
                client.filter = checked_filter(**message)
                client.offer({"type": "subscribed", **client.filter._asdict()})
            elif operation == "log":
                if not client.may_write:
                    raise ValueError("this token may not write")
                self.broadcast(checked_record(**message))
            elif operation != "alive":
                raise ValueError(f"unknown op {operation!r}")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            client.offer({"type": "error", "reason": str(error)})

    async def _write(self, client):
        with contextlib.suppress(ConnectionClosed):
            while True:
                message = await client.queue.get()
                if isinstance(message, Closing):
                    await client.connection.close(*message)
                    return
                await client.connection.send(json.dumps(message))

    async def _beat(self):
        for beat in itertools.count(1):
            await asyncio.sleep(self._heartbeat)
            for client in list(self.clients):
                if client.unanswered < self._tolerated:
                    client.unanswered += 1
                    client.offer({"type": "heartbeat", "beat": beat})
                else:
                    self.clients.discard(client)
                    client.offer(Closing(NO_HEARTBEAT, "no answer to the heartbeat"))


def checked_filter(level="DEBUG", sources=("*",)):
    """Return a filter. Raises ValueError for a level that there is not."""
    return Filter(checked_level(level), tuple(sources))


def checked_record(level, source, text):
    """Return a record. Raises ValueError for a level that there is not."""
    return {"level": checked_level(level), "source": source, "text": text}


def checked_level(level):
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)} (got {level!r})")
    return level


async def ended(task):
    """Cancel a task and wait until it has ended."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class HubThread:
    """A hub on an event loop of its own, in a thread: for programs that are not asynchronous themselves."""

    def __init__(self, hub):
        self.hub = hub
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="loghub", daemon=True)
        self._is_stopped = False

    @property
    def url(self):
        return self.hub.url

    def start(self):
        """Start the thread; return when the hub listens."""
        self._thread.start()  # begins: hub thread
        asyncio.run_coroutine_threadsafe(self.hub.start(), self._loop).result()
        return self

    def publish(self, level, source, text):
        """Broadcast a record, from any thread."""
        self._loop.call_soon_threadsafe(self.hub.broadcast, checked_record(level, source, text))

    def stop(self):
        """Close the hub and end the thread. Stopping twice is fine."""
        if not self._is_stopped:
            self._is_stopped = True
            asyncio.run_coroutine_threadsafe(self.hub.close(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _run(self):
        self._loop.run_forever()  # begins: connection
