"""A sync test that is the first to import asyncio, and leaves a task: prints whether it was imported, and the leaks."""

import sys
import unittest

from leakguard import LeakGuardTestCase, check

kept, reports = [], []


class LateTests(LeakGuardTestCase):
    leak_grace = 0.05

    def test_leak(self):
        self.was_imported.append("asyncio" in sys.modules)
        import asyncio

        async def left():
            await asyncio.Event().wait()

        loop = asyncio.new_event_loop()
        kept.append(loop)
        kept.append(loop.create_task(left(), name="left"))
        loop.run_until_complete(asyncio.sleep(0))

    was_imported = []


check.listeners.append(reports.append)
unittest.TestSuite([LateTests("test_leak")]).run(unittest.TestResult())
print(LateTests.was_imported[0], [leak.name for report in reports for leak in report.leaks])
kept[0].close()
