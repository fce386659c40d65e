"""`leakguard.verdict`, on graphs that nobody thought of: no false proof; and a proof that overlooks something shows."""

import types
import unittest
import weakref
from unittest import mock

from leakguard import _compat, reach
from tests.planting import run_fresh
from tests.random_graphs import run

GRAPHS = 80


@unittest.skipUnless(_compat.COUNTS_ARE_EXACT, "of this build, without the GIL or with the JIT, nothing is proved")
class RandomGraphTests(unittest.TestCase):
    def test_nothing_is_said_to_be_stuck_that_is_not(self):
        """In no graph is a thread or task said to be stuck that could be woken, and most that are stuck are found."""
        tally = run(GRAPHS, "suite")
        self.assertEqual(tally.wrong, [], str(tally))
        self.assertEqual(tally.graphs, GRAPHS)
        self.assertGreater(tally.found, tally.stuck // 2, str(tally))
        self.assertGreater(tally.waiters - tally.stuck, GRAPHS // 2, "too few can be woken for this to mean anything")

    def test_under_a_tracer(self):
        """A tracer or profiler changes what is on the stacks of threads, and makes nothing be said wrongly.

        In a process of its own: what has once been profiled there is never shown to be stuck on 3.13.
        """
        printed = run_fresh(f"""
            import threading
            from unittest import mock
            from tests.random_graphs import run

            def ignore(*_):
                pass

            with mock.patch.multiple(threading, _trace_hook=ignore, _profile_hook=ignore):
                print(run({GRAPHS // 2}, "traced").wrong)
        """)
        self.assertEqual(printed, "[]\n")

    def test_the_graphs_would_show_it(self):
        """A proof that does not count what is outside, or look at weak references or their callbacks, is found out."""
        blind = types.SimpleNamespace(**{**vars(weakref), "getweakrefs": lambda thing: []})
        settle = reach._settle_accounts
        for name, value, number in (
            ("_settle_accounts", lambda graph, claims: (set(), settle(graph, claims)[1]), 20),
            ("weakref", blind, 1000),
            ("_mourned", lambda thing: [], 100),
        ):
            with self.subTest(name), mock.patch.object(reach, name, value):
                self.assertNotEqual(run(number, "suite").wrong, [])


if __name__ == "__main__":
    unittest.main()
