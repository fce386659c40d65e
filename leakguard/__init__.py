"""leakguard finds what a unittest test leaves running: threads, asyncio tasks and child processes."""

from typing import TYPE_CHECKING, Any

from leakguard.case import LeakGuardMixin, LeakGuardTestCase, guard_module
from leakguard.guard import LeakGuard
from leakguard.model import Leak, LeakError
from leakguard.policy import key_test, leak_policy

if TYPE_CHECKING:
    from leakguard.async_case import LeakGuardAsyncTestCase

__all__ = [
    "Leak",
    "LeakError",
    "LeakGuard",
    "LeakGuardAsyncTestCase",
    "LeakGuardMixin",
    "LeakGuardTestCase",
    "guard_module",
    "key_test",
    "leak_policy",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the async case, and asyncio with it, only when somebody asks for it."""
    if name == "LeakGuardAsyncTestCase":
        from leakguard.async_case import LeakGuardAsyncTestCase

        return LeakGuardAsyncTestCase
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
