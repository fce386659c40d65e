"""What the tests open a hub with, and look at it."""

import unittest

from loghub import HubThread, LogHub
from viewing import READER, TOKENS, Feed, Source, view


class HubCase(unittest.IsolatedAsyncioTestCase):
    def open_hub(self, **options):
        return HubThread(LogHub(tokens=TOKENS, **options)).start()

    async def view(self, hub, token=READER):
        return await view(hub, token)

    def feed(self, client, **options):
        return Feed(client, **options)

    def source(self, hub, name):
        return Source(hub, name).start()
