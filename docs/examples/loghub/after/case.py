"""What the tests open a hub with, and look at it; each thing is torn down when its test ends, the last one first."""

from leakguard import LeakGuardAsyncTestCase
from loghub import HubThread, LogHub
from viewing import READER, TOKENS, Feed, Source, view


class HubCase(LeakGuardAsyncTestCase):
    def open_hub(self, **options):
        return self.addHub(HubThread(LogHub(tokens=TOKENS, **options)).start())

    async def view(self, hub, token=READER):
        return self.addHub(await view(hub, token))

    def feed(self, client, **options):
        feed = Feed(client, **options)
        self.addHub(feed.task)
        return feed

    def source(self, hub, name):
        return self.addHub(Source(hub, name).start())
