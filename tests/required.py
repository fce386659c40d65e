"""Packages that some tests need: without one they skip, but where everything must be there, they fail."""

import gc
import importlib
import importlib.util
import os
import sys
import unittest

NO_WHEEL = {("daphne", (3, 15)): "what it depends on cannot be built there yet"}
"""(package, (3, 16)) -> why no wheel can be had for that Python, so that even there the tests may skip."""


def need(name):
    """Return the module called `name`; without it the test skips, and fails where the environment has ``CI=true``."""
    is_new = name not in sys.modules
    try:
        module = importlib.import_module(name)
        if is_new:  # as tests/__init__.py does with what is imported at the start
            gc.collect()
            gc.freeze()
        return module
    except ImportError as error:
        reason = NO_WHEEL.get((name.partition(".")[0], sys.version_info[:2]))
        if os.environ.get("CI") == "true" and reason is None:
            raise AssertionError(f"{name} must be installed where CI=true: pip install '.[test]' ({error})") from None
        raise unittest.SkipTest(f"{name} is not installed{': ' + reason if reason else ''}") from None


def need_elsewhere(name):
    """The same for a package that another process imports: this one stays as it is, whatever the package does to it."""
    if importlib.util.find_spec(name) is None:
        need(name)
