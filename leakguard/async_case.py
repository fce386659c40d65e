"""`LeakGuardAsyncTestCase`: an `IsolatedAsyncioTestCase` under guard, faster if asyncio's debug mode is not wanted."""

from __future__ import annotations

import asyncio
import sys
import unittest
from typing import Any

from leakguard import _compat, origin
from leakguard.case import LeakGuardMixin

__unittest = True


class LeakGuardAsyncTestCase(LeakGuardMixin, unittest.IsolatedAsyncioTestCase):
    """A `unittest.IsolatedAsyncioTestCase` under guard.

    ``loop_debug = False`` runs its tests without asyncio's debug mode, which is most of the cost of an empty async
    test; the line that created each task is still known, since the loop's own record of coroutines is kept on.
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

    def run(self, result: Any = None) -> Any:
        """Run the test under guard, keeping the origin of every coroutine whatever the loop's mode."""
        depth = sys.get_coroutine_origin_tracking_depth()
        sys.set_coroutine_origin_tracking_depth(max(depth, origin.COROUTINE_FRAMES))
        try:
            return super().run(result)
        finally:
            sys.set_coroutine_origin_tracking_depth(depth)
