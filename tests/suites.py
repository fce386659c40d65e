"""Inner suites, which are meant to leak: run in this process with a record of their own, or in a new one."""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import unittest
from unittest import mock

from leakguard import check, policy

TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)


@contextlib.contextmanager
def own_record():
    """Yield the list of reports of the checks made inside, which whatever guards the outer suite does not get.

    Inside, no flag and no environment variable of the outer run is in force.
    """
    reports = []
    lists = check.listeners, check.course_listeners, check.wait_listeners
    saved = [one[:] for one in lists]
    for one in lists:
        one.clear()
    check.listeners.append(reports.append)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LEAKGUARD_")}
    try:
        with mock.patch.dict(policy.command_line, clear=True), mock.patch.dict(os.environ, environ, clear=True):
            with mock.patch.dict(check.rules_in_force):
                yield reports
    finally:
        for one, before in zip(lists, saved):
            one[:] = before


def suite_of(*cases):
    """Return one suite of all tests of some TestCase classes."""
    loader = unittest.TestLoader()
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in cases)


def run_inner(*cases, result=None):
    """Run TestCase classes with a result of their own; return it and the reports of the checks."""
    result = unittest.TestResult() if result is None else result
    with own_record() as reports:
        suite_of(*cases).run(result)
    return result, reports


def leaks_of(reports):
    """(owner, kind, name) of every leak on record."""
    return [(leak.owner, leak.kind, leak.name) for report in reports for leak in report.leaks]


def error_lines(result):
    """(test id, first line of the message) of every failure and error of a result."""
    return [(test.id(), _last_head(trace)) for test, trace in [*result.failures, *result.errors]]


def _last_head(trace):
    """The line of a traceback that names the last exception."""
    heads = [line for line in trace.splitlines() if line[:1].isalpha() and ": " in line]
    leak = [line for line in heads if line.startswith("leakguard.LeakError: ")]
    return (leak or heads)[-1]


class BackgroundLoop:
    """An event loop that runs in a daemon thread of its own until `stop`."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="background-loop", daemon=True)
        self.thread.start()

    def submit(self, coroutine):
        """Put a coroutine on the loop and return its concurrent future."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def stop(self):
        """Cancel what is left, stop the loop, join the thread and close the loop."""

        async def cancel_all():
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.submit(cancel_all()).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def environment(**more):
    """The environment of this process without what steers a run, with this Python's path."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LEAKGUARD_", "PYTHON"))}
    environ["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return {**environ, **more}


UNMEASURED = {"COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""}
"""What keeps coverage out of a process that is not to write or import anything of its own."""


def run_python(*arguments, cwd=TESTS, **environ):
    """Run this Python with arguments in the tests' folder; return the finished process, its output as text."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(**environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


def run_leakguard(*arguments, **environ):
    """Run ``python -m leakguard`` with arguments in the tests' folder."""
    return run_python("-m", "leakguard", *arguments, **environ)
