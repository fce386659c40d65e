"""What the proofs on real libraries share: the library or a skip, an inner test, and what came of it."""

import contextlib
import gc
import importlib
import logging
import os
import sys
import unittest
import warnings

from leakguard import LeakGuardAsyncTestCase, LeakGuardTestCase
from tests import guarded

EXTRA = "pip install unittest-leakguard[integration]"
HOST = "127.0.0.1"

NO_WHEEL = {}
"""(package, (3, 16)) -> why it cannot be had for that Python: then the tests may skip even where all must be there."""


def need(*names):
    """Return the modules; without one the tests skip, naming the extra, and fail where there is ``CI=true``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a library's import warns of is not ours
        try:
            found = [importlib.import_module(name) for name in names]
        except ImportError as error:
            reason = NO_WHEEL.get((names[0].partition(".")[0], sys.version_info[:2]))
            if os.environ.get("CI") == "true" and reason is None:
                raise AssertionError(f"must be installed where CI=true: {EXTRA} ({error})") from None
            raise unittest.SkipTest(f"{error}{': ' + reason if reason else ''}: {EXTRA}") from None
    return found[0] if len(found) == 1 else found


async def chatter(connection):
    """Send and read on a connection of websockets without a pause until it is closed."""
    closed = need("websockets.exceptions").ConnectionClosed
    try:
        while True:
            await connection.send("x" * 1000)
            await connection.recv()
    except closed:
        pass


@contextlib.contextmanager
def _silent_loggers():
    """Keep the libraries from printing what they log when they are cut short: on purpose, here."""
    saved, logging.lastResort = logging.lastResort, logging.NullHandler()
    hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        yield
    finally:
        logging.lastResort, sys.unraisablehook = saved, hook


class HubTests(unittest.TestCase):
    """A test of it runs functions as tests of a guarded class, and looks at what came of them."""

    maxDiff = None

    def run_sync(self, *functions, **attributes):
        """Run functions as the tests of a class of threads."""
        return self._run(functions, LeakGuardTestCase, attributes)

    def run_async(self, *functions, **attributes):
        """Run coroutine functions as the tests of an async class."""
        return self._run(functions, LeakGuardAsyncTestCase, attributes)

    def _run(self, functions, base, attributes):
        cls = guarded.inner_class(*functions, base=base, **attributes)
        with _silent_loggers(), guarded.listening() as outcome:
            unittest.defaultTestLoader.loadTestsFromTestCase(cls).run(outcome)
            gc.collect()  # what was left on purpose says so here, where nobody minds
        return outcome

    def assertClean(self, outcome, *said):
        """Assert that all passed, that nothing was left, and what was said: by default nothing; None is anything."""
        self.assertEqual([trace for _, trace in [*outcome.failures, *outcome.errors]], [])
        self.assertEqual(outcome.leaks, [])
        logged = "\n".join(text for _, text in outcome.logged)
        for text in filter(None, said):
            self.assertIn(text, logged)
        if not said:
            self.assertEqual([text for level, text in outcome.logged if level != "INFO"], [])

    def assertLeak(self, outcome, kind, place):
        """Assert that the one test failed for its leaks alone, one of that kind created at that place."""
        self.assertEqual(outcome.counts(), (1, 0), outcome.errors)
        self.assertEqual(len(outcome.messages), 1, outcome.failures)
        self.assertIn((kind, place), origins(outcome))

    def assertLeakOfLibrary(self, outcome, kind, package):
        """The same where a callback or a thread of the library's created it: no line is the user's."""
        self.assertEqual(outcome.counts(), (1, 0), outcome.errors)
        self.assertEqual(len(outcome.messages), 1, outcome.failures)
        installed = [place for what, place in origins(outcome) if what == kind and f"{package}/" in (place or "")]
        self.assertTrue(installed, origins(outcome))


def origins(outcome):
    """(kind, origin) of every leak."""
    return [(leak.kind, leak.origin) for leak in outcome.leaks]
