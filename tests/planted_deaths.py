"""Tests in which something dies in the background, for a run of its own: Python shows its warnings there."""

import os

from leakguard import LeakGuardTestCase


async def forgotten():
    """A coroutine that nobody awaits."""


class DeathTests(LeakGuardTestCase):
    leak_kinds = "all"

    def test_coroutine(self):
        forgotten()

    def test_resource(self):
        open(os.devnull)

    def test_seen(self):
        with self.assertWarns(RuntimeWarning):
            forgotten()
        with self.assertWarns(ResourceWarning):
            open(os.devnull)

    def test_clean(self):
        forgotten().close()
        with open(os.devnull):
            pass
