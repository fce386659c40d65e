"""`LeakGuardAsyncTestCase`: an `IsolatedAsyncioTestCase` under guard, faster if asyncio's debug mode is not wanted."""

from __future__ import annotations

import asyncio
import sys
import unittest

from leakguard import _compat
from leakguard.case import LeakGuardMixin

__unittest = True


class LeakGuardAsyncTestCase(LeakGuardMixin, unittest.IsolatedAsyncioTestCase):
    """A `unittest.IsolatedAsyncioTestCase` under guard.

    ``loop_debug = False`` runs its tests without asyncio's debug mode, which is most of the cost of an empty async
    test; the line that created each task is still known, since guards let Python keep the origin of coroutines.
    """

    loop_debug = True

    if sys.version_info >= (3, 11):

        def _setupAsyncioRunner(self) -> None:
            if self.loop_debug:
                super()._setupAsyncioRunner()  # type: ignore[misc]
            else:
                _compat.set_loop_debug(self, False, asyncio.Runner)

    else:

        def _setupAsyncioLoop(self) -> None:
            super()._setupAsyncioLoop()  # type: ignore[misc]
            if not self.loop_debug:
                _compat.set_loop_debug(self, False, None)  # type: ignore[arg-type]
