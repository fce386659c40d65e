"""Each plant of the table is flagged in a real guarded test, and its twin is not."""

import asyncio
import inspect
import os
import shutil
import socket
import sys
import tracemalloc
import types
import unittest
from unittest import mock

from leakguard import policy
from leakguard.probes import environ
from tests.guarded import PATIENT, place, run_inner, run_inner_async
from tests.natives import need_native
from tests.planted_table_kinds import PLANTS
from tests.suites import BackgroundLoop

FEWEST = 30


class Bed(unittest.TestCase):
    """The outer test of one plant: its cleanups undo what the plant leaves."""

    def runTest(self):
        """A bed is no test."""

    def keep(self, one):
        """Have something closed or removed in the end; return it."""
        if isinstance(one, str):
            self.addCleanup(lambda: shutil.rmtree(one) if os.path.isdir(one) else os.unlink(one))
        else:
            self.addCleanup(one.cleanup if hasattr(one, "cleanup") else one.close)
        return one

    def open_loop(self):
        """Return a loop that is closed in the end."""
        return self.keep(asyncio.new_event_loop())

    def background_loop(self):
        """Return the loop in another thread, made before the plant's test."""
        return self.loop


@mock.patch.object(environ._compat, "_thread", types.SimpleNamespace(_count=lambda: 0))
class PlantedTableTests(unittest.TestCase):
    """All of the table."""

    maxDiff = None

    def run_one(self, function, plant, **options):
        """Run a plant or a twin in a guarded test; return the outcome, with all undone that it left."""
        bed = Bed()
        bed.loop = BackgroundLoop()
        bed.server = bed.keep(socket.create_server(("127.0.0.1", 0)))
        kinds = ("thread", "task", "process", plant.kind)
        ended = []

        async def runs_async(test):
            await function(bed)
            ended.append(test)

        def runs(test):
            function(bed)
            ended.append(test)

        async def is_clean(test):
            """A second test: what was reported is reported once."""

        try:
            with mock.patch.dict(os.environ, LG_THERE="1"):
                if inspect.iscoroutinefunction(function):
                    outcome = run_inner_async(runs_async, is_clean, leak_kinds=kinds, **options)
                else:
                    outcome = run_inner(runs, lambda test: None, leak_kinds=kinds, **options)
        finally:
            bed.doCleanups()
            bed.loop.stop()
        self.assertEqual(len(ended), 1)
        return outcome

    def test_leaks(self):
        """Each plant is one leak of its test alone: its kind, name, state, verdict, advice, and its line if known."""
        tracemalloc.start(8)
        self.addCleanup(tracemalloc.stop)
        for plant in PLANTS:
            with self.subTest(plant.leaks.__name__):
                outcome = self.run_one(plant.leaks, plant)
                found = {(leak.kind, leak.owner, leak.verdict, leak.hint) for leak in outcome.leaks}
                self.assertEqual(found, {(plant.reported_as, "inner.Inner.test_0", plant.verdict, plant.hint)})
                for leak in outcome.leaks:
                    self.assertRegex(leak.name, f"^{plant.name}$")
                    self.assertRegex(leak.state, f"^{plant.state}$")
                    if plant.has_line:
                        lines = leak.origin, place(plant.leaks, "creates")  # which may be in a function inside of it
                        self.assertEqual(*[line.partition(" in ")[0] for line in lines])

    def test_twins(self):
        """No twin is flagged, by its own kind or any other."""
        for plant in PLANTS:
            with self.subTest(plant.twin.__name__):
                outcome = self.run_one(plant.twin, plant, grace=PATIENT)
                self.assertEqual((outcome.leaks, outcome.counts()), ([], (0, 0)))

    def test_every_row_is_filled(self):
        """Each row has advice, and a verdict if it is of a kind that has one."""
        self.assertEqual([plant.leaks.__name__ for plant in PLANTS if not plant.hint], [])
        have_one = {plant.kind for plant in PLANTS if plant.verdict}
        self.assertEqual(have_one, {plant.kind for plant in PLANTS} & {"timer", "native"})

    def test_the_table(self):
        """It has plants of each kind that is opted in, enough of them, and no two alike."""
        if sys.platform == "linux":
            need_native()
            self.assertEqual({plant.kind for plant in PLANTS}, set(policy.KINDS) - set(policy.DEFAULT_KINDS))
            self.assertGreaterEqual(len(PLANTS), FEWEST)
        names = [plant.leaks.__name__ for plant in PLANTS]
        self.assertEqual(len(names), len(set(names)))


if __name__ == "__main__":
    unittest.main()
