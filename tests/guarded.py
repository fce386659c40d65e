"""Run an inner test that is meant to leak, out of sight of the guard that may be around the outer one."""

import contextlib
import gc
import inspect
import io
import linecache
import logging
import os
import re
import unittest
import warnings
from unittest import mock

from leakguard import LeakError, LeakGuardAsyncTestCase, LeakGuardTestCase, check, origin, policy
from leakguard.probes import ALL

QUICK = 0.05
"""A grace, in seconds, for what is meant to outlive it."""

PATIENT = 60.0
"""A grace, in seconds, for what is meant to end within it: never waited out."""


class Outcome(unittest.TestResult):
    """A result that keeps what was said, and no traceback: a traceback would keep what leaked alive."""

    def __init__(self):
        super().__init__()
        self.reports = []
        self.messages = []
        self.warned = []
        self.logged = []
        self.stderr = ""

    def addFailure(self, test, err):
        """Keep the text of a LeakError, without the seconds that it waited."""
        super().addFailure(test, err)
        if isinstance(err[1], LeakError):
            self.messages.append(re.sub(r"waited \d+\.\d\d s", "waited N s", str(err[1])))

    @property
    def leaks(self):
        """Every leak on record, in the order of the reports."""
        return [leak for report in self.reports for leak in report.leaks]

    def named(self):
        """(kind, name, state) of every leak."""
        return [(leak.kind, leak.name, leak.state) for leak in self.leaks]

    def counts(self):
        """(failures, errors)."""
        return len(self.failures), len(self.errors)


class _Keeper(logging.Handler):
    def __init__(self, kept):
        super().__init__()
        self._kept = kept

    def emit(self, record):
        self._kept.append((record.levelname, record.getMessage()))


@contextlib.contextmanager
def listening():
    """Collect reports, warnings, log entries and standard error of what runs inside."""
    outcome = Outcome()
    logger = logging.getLogger("leakguard")
    keeper, saved = _Keeper(outcome.logged), (logger.level, logger.propagate)
    logger.addHandler(keeper)
    logger.setLevel("INFO")
    logger.propagate = False
    stderr, caught = io.StringIO(), []
    options = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("LEAKGUARD_")}
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(check, "listeners", [outcome.reports.append]))
            stack.enter_context(mock.patch.object(check, "wait_listeners", []))
            stack.enter_context(mock.patch.dict(policy.command_line, clear=True))
            stack.enter_context(mock.patch.dict(check.rules_in_force))
            stack.enter_context(contextlib.redirect_stderr(stderr))
            caught = stack.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always")
            yield outcome
    finally:
        os.environ.update(options)
        logger.removeHandler(keeper)
        logger.setLevel(saved[0])
        logger.propagate = saved[1]
        outcome.stderr = stderr.getvalue()
        outcome.warned += [str(w.message) for w in caught if str(w.message).startswith("leakguard")]


def _method(function):
    """A function that a class binds, of one that is bound to an outer test already."""
    return (lambda test: function(test)) if inspect.ismethod(function) else function


def inner_class(*functions, base=None, grace=QUICK, **attributes):
    """A guarded class ``inner.Inner`` whose test methods are `functions`: async if the base is, sync by default."""
    base = LeakGuardTestCase if base is None else base
    methods = {f"test_{number}": _method(function) for number, function in enumerate(functions)}
    return type("Inner", (base,), {"__module__": "inner", "leak_grace": grace, **methods, **attributes})


@contextlib.contextmanager
def no_collections():
    """Collect garbage only where somebody asks for it: a task that nothing refers to might go at any time, or stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def run_inner(*functions, **options):
    """Run functions as the tests of one guarded class, in their order; return what came of it."""
    cls = inner_class(*functions, **options)
    with listening() as outcome, no_collections():
        unittest.TestLoader().loadTestsFromTestCase(cls).run(outcome)
    return outcome


def run_inner_async(*functions, **options):
    """The same with an async class."""
    return run_inner(*functions, base=LeakGuardAsyncTestCase, **options)


def place(function, mark):
    """``path:line in function`` of the line of `function` that ends with the comment ``# mark``."""
    code = function.__code__
    for line in range(code.co_firstlineno, code.co_firstlineno + 400):
        if linecache.getline(code.co_filename, line).rstrip().endswith(f"# {mark}"):
            return f"{origin.show_path(code.co_filename)}:{line} in {function.__qualname__}"
    raise LookupError(f"no line of {function.__qualname__} ends with # {mark}")


def probe_of(kind):
    """The one probe that `leak_kinds` asks for by this word."""
    return next(probe for probe in ALL if (probe.choice or probe.kind) == kind)


@contextlib.contextmanager
def while_waiting(kind, action):
    """Call `action` whenever a check waits for suspects of a kind, before it does."""
    probe = probe_of(kind)
    settle = probe.settle

    def settle_after(suspects, timeout):
        action()
        settle(suspects, timeout)

    with mock.patch.object(probe, "settle", settle_after):
        yield
