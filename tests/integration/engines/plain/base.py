"""The base class of the suite's cases: the one line that it takes to guard them under any engine."""

import unittest

from leakguard import LeakGuardMixin


class Case(LeakGuardMixin, unittest.TestCase):
    leak_grace = 0.05
