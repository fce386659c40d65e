"""The command line: leak options, then exactly those of ``python -m unittest``."""

from __future__ import annotations

import argparse
import os
import sys
import unittest
from typing import Any, Iterable, List, Optional, Sequence

from leakguard import known, policy, report
from leakguard.lesson import Lesson
from leakguard.record import RunRecord
from leakguard.report import terminal, text
from leakguard.runner import GuardedRunner, Record

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
        words = f"{option.help} (default: {_shown(option.default)})"
        if option.default is False:  # a flag without an argument
            group.add_argument(f"--leak-{option.name}", action="store_const", const="true", help=words)
            continue
        action = "append" if option.name == "ignore" else "store"
        group.add_argument(f"--leak-{option.name}", action=action, metavar=option.metavar, help=words)
    suffixes = f"write a report: {_names()} (repeatable)"
    group.add_argument("--leak-report", action="append", metavar="FILE", help=suffixes)
    group.add_argument("--leak-merge", nargs="+", action="extend", metavar="PATH", help="make one report of many, run nothing")
    group.add_argument("--leak-known", metavar="FILE", help="read known leaks, which fail nothing")
    group.add_argument("--leak-learn", metavar="FILE", help="write known leaks; with --leak-known only remove fixed ones")
    group.add_argument("--leak-advise", action="store_true", help="propose key tests, with a patch for git apply")
    group.add_argument("--leak-trace", action="store_true", help="let tracemalloc note the lines that open files")
    group.add_argument("--leak-selftest", action="store_true", help="plant a leak of each kind, show that it is seen")
    return made


def _names() -> str:
    return ", ".join(one.name for one in report.FORMATS)


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
        found = report.format_of(path)
        if found is None:
            raise ValueError(f"--leak-report: FILE must have the suffix of, or be, one of {_names()} (got {path!r})")
        folder = os.path.dirname(os.path.abspath(path))
        if found.is_file and not os.path.isdir(folder):
            raise ValueError(f"--leak-report: FILE must be in a folder that exists (got {path!r})")


def main(argv: Optional[List[str]] = None) -> int:
    """Run ``python -m leakguard`` and return its exit status: 0 passed, 1 failed, 2 usage, 5 no test ran."""
    argv = sys.argv[1:] if argv is None else argv
    leak_parser = parser()
    arguments, rest = leak_parser.parse_known_args(argv)
    unknown = [word for word in rest if word.startswith("--leak-")]
    reports = [*(arguments.leak_report or []), *_report_of_environment(arguments.leak_merge)]
    try:
        for flag in ("known", "learn"):
            if getattr(arguments, f"leak_{flag}") == "":  # a variable of a script that is not set
                raise ValueError(f"--leak-{flag} must name a file (got '')")
        if unknown:
            raise ValueError(f"unknown leak option {unknown[0]}; known ones: {', '.join(_flags(leak_parser))}")
        flags = read_flags(arguments)
        policy.check_environment()
        policy.read_environment()
        check_report_paths(reports)
        on_record = known.read(arguments.leak_known, "--leak-known") if arguments.leak_known else known.in_force()
        lesson = Lesson(arguments.leak_learn, on_record) if arguments.leak_learn else None
    except ValueError as error:
        leak_parser.error(str(error))
    reports = [os.path.abspath(path) if "." in path else path for path in reports]  # tests go elsewhere
    reports = list({os.path.realpath(path): path for path in reports}.values())  # one that is named twice is one
    if any(word in ("-h", "--help") for word in rest):
        sys.stdout.write(leak_parser.format_help() + "\nAll other arguments are those of python -m unittest:\n\n")
    if arguments.leak_selftest:
        from leakguard import selftest  # it imports subprocess, which few runs need

        return PASSED if selftest.run(sys.stdout) else FAILED
    known.command_line.append(on_record)
    try:
        if arguments.leak_merge:
            return _merge(leak_parser, arguments.leak_merge, reports, rest, lesson)
        if arguments.leak_trace:
            _trace()
        record = Record()
        record.recorder = _recorder(reports)
        policy.command_line.update(flags)
        return _run(rest, record, reports, arguments.leak_advise, lesson)
    finally:
        policy.command_line.clear()
        known.command_line.pop()


def _report_of_environment(merges: Any) -> List[str]:
    """``LEAKGUARD_REPORT=FILE`` asks for one report, as the flag does; a folder is for all processes."""
    value = os.environ.get("LEAKGUARD_REPORT", "")
    return [value] if value and not merges and not report.is_folder(value) else []


def _recorder(reports: Sequence[str]) -> Any:
    """What puts the run on record; a report of lines is written while it goes on."""
    if not reports:
        return None
    from leakguard import journal, recording

    return recording.Recorder([journal.Journal(path, os.O_TRUNC) for path in reports if path.endswith(".jsonl")])


def _merge(
    leak_parser: Any, paths: Sequence[str], reports: Sequence[str], rest: Sequence[str], lesson: Optional[Lesson]
) -> int:
    """Make one report of many, print the summary of all of them, and say what is incomplete; run nothing."""
    from leakguard import merge

    if rest:
        leak_parser.error(f"--leak-merge runs nothing, and takes no arguments of unittest (got {rest[0]!r})")
    table = known.in_force()
    try:
        record, fixed = known.applied(merge.read(paths), table)
    except ValueError as error:
        leak_parser.error(str(error))
    written = write_reports(reports, record)
    processes = int(record.environment.get("processes", "1"))
    lines = [f"Merged {text.count_of(record.tests_run, 'test')} of {text.count_of(processes, 'process')}"]
    lines += text.summary(record.reports) + terminal.known_at_merge(record.reports, table.path, table.entries)
    lines += terminal.unknown(record.tests)
    lines += terminal.fixed(record.fixed, table.path) + [f"Incomplete: {problem}" for problem in record.problems]
    lines = terminal.painted(lines) if terminal.wants_colour(sys.stderr, os.environ) else lines
    sys.stderr.write("\n".join(lines) + "\n")
    if lesson is not None:
        is_whole = bool(record.tests) and not record.problems and _has_all_imports(test.id for test in record.tests)
        written = lesson.write(record.reports, fixed, is_whole=is_whole) and written
    has_leaked = any(leak.counted for found in record.reports for leak in found.leaks)
    if has_leaked or not written or any(test.has_failed for test in record.tests):
        return FAILED
    return PASSED if record.tests else NO_TESTS


def _has_all_imports(tests: Iterable[str]) -> bool:
    """Whether no test stands for a module that could not be imported: what its tests leak was not looked for."""
    return not any(test.startswith("unittest.loader._FailedTest.") for test in tests)


def _trace() -> None:
    import tracemalloc

    if not tracemalloc.is_tracing():
        tracemalloc.start(TRACED_FRAMES)


def _flags(leak_parser: argparse.ArgumentParser) -> List[str]:
    return [word for action in leak_parser._actions for word in action.option_strings]


def _run(rest: List[str], record: Record, reports: Sequence[str], advises: bool, lesson: Optional[Lesson]) -> int:
    attributes = {"record": record, "advises": advises}
    runner = type("Runner", (GuardedRunner,), attributes)  # unittest gives its options to a class only
    result: Any = None
    folder = os.getcwd() if advises else ""  # tests may go elsewhere
    try:
        program = unittest.main(module=None, argv=["python -m leakguard", *rest], testRunner=runner, exit=False)
        result = program.result
    finally:
        written = _write_reports_of(record, reports)
    if lesson is not None:
        has_all = _has_all_imports(test.id() for test, _ in result.errors)
        is_whole = result.testsRun and not result.shouldStop and has_all
        written = lesson.write(record.reports, record.fixed, is_whole=is_whole) and written
    if advises:
        from leakguard.proposal import advice_of  # it reads sources, which few runs need

        _print_bytes(advice_of(record, folder))
    if not result.wasSuccessful() or record.of_nobody() or not written:
        return FAILED
    if result.testsRun == 0 and not result.skipped:
        return NO_TESTS
    return PASSED


def _write_reports_of(record: Record, reports: Sequence[str]) -> bool:
    """Write the reports of a run; those of lines have been written by now."""
    if record.recorder is None or not record.recorder.before or not record.recorder.is_of_this_process():
        return True  # nothing has begun: what an earlier run has written stays
    written = not any(journal.problem for journal in record.recorder.journals if journal.path in reports)
    return write_reports([path for path in reports if not path.endswith(".jsonl")], record.as_run()) and written


def write_reports(paths: Sequence[str], record: RunRecord) -> bool:
    """Write every report; one that cannot be written is said, and loses no other."""
    written = True
    for path in paths:
        try:
            _print(report.write(path, record))
        except OSError as error:
            written = False
            sys.stderr.write(f"python -m leakguard: error: the report could not be written to {path}: {error}\n")
    return written


def _print(text: str) -> None:
    """Print what any encoding can take. Raises OSError where there is no standard output."""
    if text and sys.stdout is None:
        raise OSError("there is no standard output")
    if text:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _print_bytes(text: str) -> None:
    """Print a patch as it is, whatever encoding and line ends its files have."""
    sys.stdout.flush()
    out: Any = getattr(sys.stdout, "buffer", None)
    if out is None:  # replaced by something that takes text only
        sys.stdout.write(text.encode("utf-8", "replace").decode("utf-8"))
    else:
        out.write(text.encode("utf-8", "surrogateescape"))
        out.flush()
