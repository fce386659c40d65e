"""`LeakGuardAsyncTestCase`: an `IsolatedAsyncioTestCase` under guard, faster if asyncio's debug mode is not wanted."""

from __future__ import annotations

import asyncio
import unittest
from typing import Any, Callable

from leakguard import _compat
from leakguard.case import LeakGuardMixin

__unittest = True


class LeakGuardAsyncTestCase(LeakGuardMixin, unittest.IsolatedAsyncioTestCase):
    """A `unittest.IsolatedAsyncioTestCase` under guard, with teardown of hubs: `addHub`.

    ``loop_debug = False`` runs its tests without asyncio's debug mode, which is most of the cost of an empty async
    test; the line that created each task is still known, since guards let Python keep the origin of coroutines.
    """

    loop_debug = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not isinstance(cls.loop_debug, bool):
            raise ValueError(f"loop_debug must be True or False (got {cls.loop_debug!r})")

    def _leakguard_make_loop(self, set_up: Callable[[], None]) -> None:
        if self.loop_debug:
            set_up()
        else:
            _compat.set_up_plain_loop(self, asyncio)
