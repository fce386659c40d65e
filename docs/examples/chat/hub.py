"""A chat hub: a message goes to every client, a heartbeat keeps the connections open, a thread keeps the archive."""

import asyncio
import queue
import threading


class Client:
    """One connection: what the hub sends to it waits in its inbox."""

    def __init__(self, name):
        self.name = name
        self.inbox = asyncio.Queue()


class Hub:
    """Serves its clients from `open()` until `close()`."""

    def __init__(self, heartbeat=30.0):
        self.clients = []
        self.archived = []
        self._heartbeat = heartbeat
        self._to_archive = queue.Queue()

    async def open(self):
        self._archiver = threading.Thread(target=self._archive, name="chat-archive", daemon=True)
        self._archiver.start()  # the thread begins here
        self._beating = asyncio.create_task(self._beat(), name="chat-heartbeat")  # the task begins here

    async def close(self):
        self._beating.cancel()
        await asyncio.gather(self._beating, return_exceptions=True)
        self._to_archive.put(None)
        self._archiver.join()

    def join(self, name):
        client = Client(name)
        self.clients.append(client)
        return client

    async def broadcast(self, text):
        self._to_archive.put(text)
        for client in self.clients:
            await client.inbox.put(text)

    async def _beat(self):
        while True:
            await asyncio.sleep(self._heartbeat)  # the task waits here
            await self.broadcast("ping")

    def _archive(self):
        while True:
            text = self._to_archive.get()  # the thread waits here
            if text is None:
                return
            self.archived.append(text)
