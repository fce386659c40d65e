"""`LeakGuardAsyncTestCase`: an `IsolatedAsyncioTestCase` under guard, faster if asyncio's debug mode is not wanted."""

from __future__ import annotations

import asyncio
import sys
import unittest

from leakguard import _compat
from leakguard.case import LeakGuardMixin, TestGuard

__unittest = True


class LeakGuardAsyncTestCase(LeakGuardMixin, unittest.IsolatedAsyncioTestCase):
    """A `unittest.IsolatedAsyncioTestCase` under guard, with teardown of hubs: `addHub`.

    ``loop_debug = False`` runs its tests without asyncio's debug mode, which is most of the cost of an empty async
    test; the line that created each task is still known, since guards let Python keep the origin of coroutines.
    """

    loop_debug = True

    # The guard begins and ends where the loop is set up and torn down, not around run(): a frame of ours would be on
    # every stack that asyncio's debug mode keeps, which alone costs 8 % of an empty test.
    run = unittest.IsolatedAsyncioTestCase.run
    _leakguard_is_ours = False

    if sys.version_info >= (3, 11):

        def _setupAsyncioRunner(self) -> None:
            self._leakguard_begin()
            if self.loop_debug:
                super()._setupAsyncioRunner()  # type: ignore[misc]
            else:
                self._asyncioRunner = _compat.make_plain_runner(self, asyncio.Runner)

        def _tearDownAsyncioRunner(self) -> None:
            try:
                super()._tearDownAsyncioRunner()  # type: ignore[misc]
            finally:
                self._leakguard_end()

    else:  # pragma: no cover - Python 3.9 and 3.10, run there

        def _setupAsyncioLoop(self) -> None:
            self._leakguard_begin()
            if self.loop_debug:
                super()._setupAsyncioLoop()  # type: ignore[misc]
            else:
                _compat.set_up_plain_loop(self, asyncio)

        def _tearDownAsyncioLoop(self) -> None:
            try:
                super()._tearDownAsyncioLoop()  # type: ignore[misc]
            finally:
                self._leakguard_end()

    def _leakguard_begin(self) -> None:
        if self._leakguard_guard is None:  # debug() has one
            self._leakguard_guard = TestGuard(self)
            self._leakguard_is_ours = True

    def _leakguard_end(self) -> None:
        guard = self._leakguard_guard
        if guard is not None and self._leakguard_is_ours:
            self._leakguard_guard, self._leakguard_is_ours = None, False
            guard.end(is_interrupted=isinstance(sys.exc_info()[1], KeyboardInterrupt))
