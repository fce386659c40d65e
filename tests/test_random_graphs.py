"""`leakguard.verdict`, on graphs that nobody thought of: no false proof; and a proof that overlooks something shows."""

import gc
import threading
import types
import unittest
from unittest import mock

from leakguard import reach
from tests.random_graphs import run

GRAPHS = 80


def _ignore(*_):
    """Trace nothing."""


class RandomGraphTests(unittest.TestCase):
    def tearDown(self):
        gc.collect()
        gc.freeze()  # again, as tests/__init__.py does: the graphs have undone it

    def test_nothing_is_said_to_be_stuck_that_is_not(self):
        """In no graph is a thread or task said to be stuck that could be woken, and most that are stuck are found."""
        tally = run(GRAPHS, "suite")
        self.assertEqual(tally.wrong, [], str(tally))
        self.assertEqual(tally.graphs, GRAPHS)
        self.assertGreater(tally.found, tally.stuck // 2, str(tally))
        self.assertGreater(tally.waiters - tally.stuck, GRAPHS // 2, "too few can be woken for this to mean anything")

    def test_under_a_tracer(self):
        """A tracer or profiler changes what is on the stacks of threads, and makes nothing be said wrongly."""
        with mock.patch.multiple(threading, _trace_hook=_ignore, _profile_hook=_ignore):
            self.assertEqual(run(GRAPHS // 2, "traced").wrong, [])

    def test_the_graphs_would_show_it(self):
        """A proof that does not count what is outside, and one that does not look at weak references, is found out."""
        blind = types.SimpleNamespace(getweakrefs=lambda thing: [])
        settle = reach._settle_accounts
        for name, value, number in (
            ("_settle_accounts", lambda graph, claims: (set(), settle(graph, claims)[1]), 20),
            ("weakref", blind, 200),
        ):
            with self.subTest(name), mock.patch.object(reach, name, value):
                self.assertNotEqual(run(number, "suite").wrong, [])


if __name__ == "__main__":
    unittest.main()
