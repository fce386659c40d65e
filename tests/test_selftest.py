"""`--leak-selftest` shows that the guard sees each kind on this machine."""

import io
import re
import threading
import unittest
from unittest import mock

from leakguard import policy, selftest
from tests.guarded import listening, probe_of


class SelftestTests(unittest.TestCase):
    """What it prints and returns."""

    def run_it(self):
        """Run the self-test out of sight of a guard around this test."""
        stream = io.StringIO()
        with listening():
            return selftest.run(stream), stream.getvalue().splitlines()

    def test_all_seen(self):
        """Every kind is planted and seen, with its line, and nothing stays behind."""
        before = set(threading.enumerate())
        passed, lines = self.run_it()
        self.assertTrue(passed, lines)
        self.assertEqual([line.split()[0] for line in lines], list(selftest.PLANTS))
        functions = ["_thread", None, "_task.<locals>.plant", "_process", "_timer.<locals>.plant", None]
        functions += ["_exception.<locals>.planted_exception", "_tempfile", "_environ"]
        for line, function in zip(lines, functions):
            with self.subTest(line=line):
                place = r", created at .*selftest\.py:\d+ in " + re.escape(function) if function else "$"
                self.assertRegex(line, r"^\w+ +seen" + place)
        self.assertEqual(set(threading.enumerate()) - before, set())

    def test_plants_every_kind(self):
        """No kind is forgotten."""
        self.assertEqual(set(selftest.PLANTS), set(policy.KINDS))

    def test_blind_probe(self):
        """A kind that the guard does not see here fails the self-test, and the others are still shown."""
        for kind in policy.KINDS:
            with self.subTest(kind=kind), mock.patch.object(probe_of(kind), "suspects", lambda baseline: ()):
                passed, lines = self.run_it()
                self.assertFalse(passed)
                self.assertEqual([line.split()[0] for line in lines if line.endswith("NOT SEEN")], [kind])


if __name__ == "__main__":
    unittest.main()
