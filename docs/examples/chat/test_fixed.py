"""The same tests, with the one line that was missing: what set-up opens, a cleanup closes."""

import unittest

from hub import Hub


class HubTests(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.hub = Hub()
        await self.hub.open()
        self.addAsyncCleanup(self.hub.close)

    async def test_broadcast_reaches_every_client(self):
        clients = [self.hub.join("ann"), self.hub.join("bob")]
        await self.hub.broadcast("hello")
        self.assertEqual(["hello", "hello"], [await client.inbox.get() for client in clients])

    async def test_messages_come_in_order(self):
        client = self.hub.join("ann")
        for text in ("one", "two"):
            await self.hub.broadcast(text)
        self.assertEqual(["one", "two"], [await client.inbox.get() for _ in range(2)])


if __name__ == "__main__":
    unittest.main()
