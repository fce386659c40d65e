"""The command line: leak options, then exactly those of ``python -m unittest``."""

from __future__ import annotations

import argparse
import os
import sys
import unittest
from typing import Any, List, Optional, Sequence

from leakguard import policy
from leakguard.runner import GuardedRunner, Record, advice_of

__unittest = True

TRACED_FRAMES = 24
"""Frames that tracemalloc keeps of each allocation: enough to get from a library to the user's line."""

PASSED, FAILED, USAGE, NO_TESTS = 0, 1, 2, 5


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        """Exit with 2 and one line that says what, what was wanted and what came."""
        self.exit(USAGE, f"{self.prog}: error: {message}\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the leak options; all other arguments are unittest's."""
    made = _Parser(
        prog="python -m leakguard",
        usage="python -m leakguard [leak options] [arguments of python -m unittest]",
        description="Run a unittest suite and report what its tests leave running.",
        add_help=False,
        allow_abbrev=False,
    )
    group = made.add_argument_group("leak options")
    for option in policy.OPTIONS:
        text = f"{option.help} (default: {_shown(option.default)})"
        if option.default is False:  # a flag without an argument
            group.add_argument(f"--leak-{option.name}", action="store_const", const="true", help=text)
            continue
        action = "append" if option.name == "ignore" else "store"
        group.add_argument(f"--leak-{option.name}", action=action, metavar=option.metavar, help=text)
    group.add_argument("--leak-report", action="append", metavar="FILE", help="write a report: FILE.json (repeatable)")
    group.add_argument("--leak-advise", action="store_true", help="propose key tests, with a patch for git apply")
    group.add_argument("--leak-trace", action="store_true", help="let tracemalloc note the lines that open files")
    group.add_argument("--leak-selftest", action="store_true", help="plant a leak of each kind, show that it is seen")
    return made


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(default) or "none"
    return str(default).lower() if isinstance(default, bool) else str(default)


def read_flags(arguments: argparse.Namespace) -> "dict[str, Any]":
    """Return the checked values of the policy's flags. Raises ValueError naming the flag."""
    values = {}
    for option in policy.OPTIONS:
        given = getattr(arguments, f"leak_{option.name}")
        flag = f"--leak-{option.name}"
        if option.name == "ignore":
            values["ignore"] = tuple(rule for one in given or () for rule in option.read(one, flag))
        elif given is not None:
            values[option.name] = option.read(given, flag)
    return values


def check_report_paths(paths: Sequence[str]) -> None:
    """Fail before the run, not after it. Raises ValueError for a format or a folder that cannot be."""
    for path in paths:
        if not path.endswith(".json"):
            raise ValueError(f"--leak-report: FILE must end in .json (got {path!r})")
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(folder):
            raise ValueError(f"--leak-report: FILE must be in a folder that exists (got {path!r})")


def main(argv: Optional[List[str]] = None) -> int:
    """Run ``python -m leakguard`` and return its exit status: 0 passed, 1 failed, 2 usage, 5 no test ran."""
    argv = sys.argv[1:] if argv is None else argv
    leak_parser = parser()
    arguments, rest = leak_parser.parse_known_args(argv)
    unknown = [word for word in rest if word.startswith("--leak-")]
    reports = arguments.leak_report or []
    try:
        if unknown:
            raise ValueError(f"unknown leak option {unknown[0]}; known ones: {', '.join(_flags(leak_parser))}")
        flags = read_flags(arguments)
        policy.check_environment()
        policy.read_environment()
        check_report_paths(reports)
    except ValueError as error:
        leak_parser.error(str(error))
    if any(word in ("-h", "--help") for word in rest):
        sys.stdout.write(leak_parser.format_help() + "\nAll other arguments are those of python -m unittest:\n\n")
    if arguments.leak_selftest:
        from leakguard import selftest  # it imports subprocess, which few runs need

        return PASSED if selftest.run(sys.stdout) else FAILED
    if arguments.leak_trace:
        _trace()
    record = Record()
    policy.command_line.update(flags)
    try:
        return _run(rest, record, reports, arguments.leak_advise)
    finally:
        policy.command_line.clear()


def _trace() -> None:
    import tracemalloc

    if not tracemalloc.is_tracing():
        tracemalloc.start(TRACED_FRAMES)


def _flags(leak_parser: argparse.ArgumentParser) -> List[str]:
    return [word for action in leak_parser._actions for word in action.option_strings]


def _run(rest: List[str], record: Record, reports: Sequence[str], advises: bool) -> int:
    attributes = {"record": record, "advises": advises}
    runner = type("Runner", (GuardedRunner,), attributes)  # unittest gives its options to a class only
    result: Any = None
    folder = os.getcwd() if advises else ""  # tests may go elsewhere
    try:
        program = unittest.main(module=None, argv=["python -m leakguard", *rest], testRunner=runner, exit=False)
        result = program.result
    finally:
        written = write_reports(reports, record)
    if advises:
        _print_bytes(advice_of(record, folder))
    if not result.wasSuccessful() or record.fails() or not written:
        return FAILED
    if result.testsRun == 0 and not result.skipped:
        return NO_TESTS
    return PASSED


def write_reports(paths: Sequence[str], record: Record) -> bool:
    """Write every report; one that cannot be written is said, and loses no other."""
    written = True
    for path in paths:
        from leakguard.report import json as json_report  # 10 ms that a run without a report need not pay

        try:
            json_report.write(path, record.reports, record.tests_run)
        except OSError as error:
            written = False
            sys.stderr.write(f"python -m leakguard: error: the report could not be written to {path}: {error}\n")
    return written


def _print_bytes(text: str) -> None:
    """Print a patch as it is, whatever encoding and line ends its files have."""
    sys.stdout.flush()
    out: Any = getattr(sys.stdout, "buffer", None)
    if out is None:  # replaced by something that takes text only
        sys.stdout.write(text.encode("utf-8", "replace").decode("utf-8"))
    else:
        out.write(text.encode("utf-8", "surrogateescape"))
        out.flush()
