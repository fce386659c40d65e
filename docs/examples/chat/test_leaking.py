"""The hub's tests as they are often written: all of them pass, and both leave the hub running."""

import unittest

from hub import Hub


class HubTests(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.hub = Hub()
        await self.hub.open()

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
