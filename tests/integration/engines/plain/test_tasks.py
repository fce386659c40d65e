"""A task that a test leaves, and its clean twin."""

import asyncio

from leakguard import LeakGuardAsyncTestCase


class TaskTests(LeakGuardAsyncTestCase):
    leak_grace = 0.05

    async def test_clean(self):
        await asyncio.sleep(0)

    async def test_leak(self):
        type(self).event = asyncio.Event()  # a task that nobody can wake may be collected before anybody looks
        asyncio.ensure_future(self.event.wait())
