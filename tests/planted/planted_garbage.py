"""Tests that leave garbage behind, and one in whose course it is collected."""

import asyncio
import gc
import os
import unittest


async def forgotten():
    """A coroutine that nobody awaits."""


class FirstTests(unittest.TestCase):
    if os.environ.get("LG_OFF"):
        leak_action = "off"

    def test_cycle(self):
        gc.disable()
        self.addCleanup(gc.enable)
        cycle = [forgotten()]
        cycle.append(cycle)

    def test_loop(self):
        FirstTests.loop = asyncio.new_event_loop()  # made


class NextTests(unittest.TestCase):
    def test_collects(self):
        gc.collect()

    def test_drops(self):
        del FirstTests.loop; gc.collect()  # fmt: skip

    def test_dropped(self):
        forgotten()  # dropped

    def test_kept(self):
        coroutine = forgotten()
        self.assertTrue(coroutine)
