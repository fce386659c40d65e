"""A task that a test leaves, and its clean twin."""

import asyncio

from leakguard import LeakGuardAsyncTestCase


class TaskTests(LeakGuardAsyncTestCase):
    leak_grace = 0.05

    async def test_clean(self):
        await asyncio.sleep(0)

    async def test_leak(self):
        asyncio.ensure_future(asyncio.Event().wait())
