"""What the documentation shows is what happens: its examples, commands, tables and lists are run and compared."""

import doctest
import os
import re
import shlex
import subprocess
import sys
import unittest
from pathlib import Path

from leakguard import causes, cli, ignore, merge, model, policy, recording
from leakguard.record import RunRecord, TestRecord
from leakguard.report import json as json_report

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]
OPTIONS = doctest.ELLIPSIS
NOT_RUN = {
    "python -m leakguard discover -s tests -t .": "it is what runs this test",
    "python -m leakguard discover -s tests -t . -k test_policy": "it is a part of what runs this test",
    "python -m tests.bench": "it takes minutes",
    "python -m tests.bench --json results.json import": "it measures, and shows no output",
    ".ci/run": "it runs this test on every Python",
}
"""Commands that are shown and not run here, each with its reason."""

STATUS = "echo $?"


def console_blocks(text):
    """Yield the commands of every console block, each with the output shown below it."""
    for indent, block in re.findall(r"^( *)\.\. code-block:: console\n\n((?:\1 {3}.*\n|\n)+)", text, re.M):
        lines = [line[len(indent) + 3 :] for line in block.rstrip("\n").split("\n")]
        commands = []
        for line in lines:
            if line.startswith("$ "):
                commands.append((line[2:], []))
            else:
                commands[-1][1].append(line)
        yield [(command, "".join(line + "\n" for line in output).rstrip("\n")) for command, output in commands]


def shell(command):
    """Run a shown command in the project's folder; return its exit status and all that it printed."""
    words = shlex.split(command)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEAKGUARD_")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment.pop("PYTHONWARNINGS", None)
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    if words[0] != "python":
        raise ValueError(f"a shown command must be one of python's, or be in NOT_RUN with its reason (got {command!r})")
    words[0] = sys.executable
    done = subprocess.run(
        words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stdout.decode()


def table_rows(page, heading):
    """Return the rows of the first simple table of a page whose heading has the given first cell."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    for start, line in enumerate(lines):
        if re.match(rf"{re.escape(heading)}\s", line) and re.match(r"=+ ", lines[start - 1]):
            spans = [match.span() for match in re.finditer(r"=+", lines[start - 1])]
            rows = []
            for row in lines[start + 2 :]:
                if re.match(r"=+( =+)*$", row):
                    return rows
                rows.append([row[a : (b if i < len(spans) - 1 else None)].strip() for i, (a, b) in enumerate(spans)])
    raise LookupError(f"{page} has no table that begins with {heading!r}")


def code(text):
    """The text of a cell without its quotes."""
    return text.replace("``", "")


class ExampleTests(unittest.TestCase):
    """The examples of every page, as doctests."""

    def test_every_example_says_what_python_prints(self):
        """Every ``>>>`` of the documentation has the result that is shown."""
        for page in PAGES:
            with self.subTest(page=str(page.relative_to(ROOT))):
                output = []
                self.run_page(page, output)
                self.assertEqual("", "".join(output))

    def run_page(self, page, output):
        """Run a page's examples, their report into `output`."""
        text = page.read_text(encoding="utf-8")
        test = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, page.stem, str(page), 0)
        runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
        runner.run(test, out=output.append)


UNSEEN_FRAMES = r"Traceback \(most recent call last\):\n(?:(?!leakguard\.).*\n)*(?=leakguard\.LeakError)"
"""The frames above an async test's leak: from 3.14 unittest hides its own, and none is left."""


class CommandTests(unittest.TestCase):
    """The commands of every page, as subprocesses."""

    def test_every_command_prints_what_is_shown(self):
        """Every command of a console block has the output and the exit status that are shown below it."""
        for page in PAGES:
            for block in console_blocks(page.read_text(encoding="utf-8")):
                status = None
                for command, wanted in block:
                    with self.subTest(page=str(page.relative_to(ROOT)), command=command):
                        if command == STATUS:
                            self.assertEqual(wanted, str(status))
                        elif command not in NOT_RUN and not command.startswith("pip install "):
                            status, printed = shell(command)
                            self.assert_shown(wanted, printed)

    def assert_shown(self, wanted, printed):
        checker = doctest.OutputChecker()
        wanted, printed = (re.sub(UNSEEN_FRAMES, "", text) for text in (wanted, printed))
        if not checker.check_output(wanted + "\n", printed.rstrip("\n") + "\n", OPTIONS):
            self.fail(f"shown:\n{wanted}\n\nprinted:\n{printed}")

    def test_the_readme_shows_the_two_commands(self):
        """The readme runs the shipped example and leakguard's own tests."""
        text = (ROOT / "README.rst").read_text(encoding="utf-8")
        shown = [command for block in console_blocks(text) for command, _ in block if command != STATUS]
        self.assertEqual(
            [
                "python -m leakguard discover -s docs/examples/chat -p test_leaking.py",
                "python -m leakguard discover -s tests -t .",
            ],
            shown,
        )


class TableTests(unittest.TestCase):
    """The tables of the reference, against the code."""

    maxDiff = None

    def test_the_readme_lists_every_option_with_its_default(self):
        """The readme's policy table has the options of the one table in the code, in its order."""
        rows = [(code(row[0]), code(row[1])) for row in table_rows("README.rst", "attribute")]
        self.assertEqual([(f"leak_{o.name}", quoted(o.default)) for o in policy.OPTIONS], rows)

    def test_the_reference_lists_every_option_with_its_names_and_default(self):
        """The reference has attribute, flag, variable and default of every option."""
        rows = [tuple(code(cell) for cell in row[:4]) for row in table_rows("docs/reference/options.rst", "attribute")]
        self.assertEqual(
            [
                (f"leak_{o.name}", f"--leak-{o.name}", f"LEAKGUARD_{o.name.upper()}", quoted(o.default))
                for o in policy.OPTIONS
            ],
            rows,
        )

    def test_the_reference_lists_every_flag(self):
        """Every leak flag that the command line knows has a row, and no other."""
        rows = {code(row[0]).split()[0] for row in table_rows("docs/reference/command-line.rst", "flag") if row[0]}
        flags = {word for action in cli.parser()._actions for word in action.option_strings}
        self.assertEqual(flags, rows)

    def test_the_reference_lists_every_exit_status(self):
        """The exit statuses are those of the command line."""
        rows = [int(row[0]) for row in table_rows("docs/reference/command-line.rst", "status")]
        self.assertEqual([cli.PASSED, cli.FAILED, cli.USAGE, cli.NO_TESTS], rows)

    def test_the_reference_lists_every_built_in_ignore_with_its_reason(self):
        """The built-in ignore rules are those of the code, in its order, with the same reasons."""
        rows = [(code(row[0]), row[1]) for row in table_rows("docs/reference/built-in-ignores.rst", "rule")]
        self.assertEqual([(str(rule), rule.reason) for rule in ignore.BUILT_IN], rows)

    def test_the_reference_lists_every_cause_with_its_advice(self):
        """The causes are those of the code, in its order, with the same kinds and advice."""
        rows = [(code(row[0]), row[1], row[2]) for row in table_rows("docs/reference/causes.rst", "cause")]
        self.assertEqual([(cause.id, cause.kind, cause.advice) for cause in causes.CAUSES], rows)

    def test_the_reference_lists_every_field_of_the_json_report(self):
        """The tables of the report have its fields, and those of a leak."""
        top = {code(row[0]) for row in table_rows("docs/reference/json-report.rst", "field") if row[0]}
        self.assertEqual(set(json_report.as_dict(RunRecord())), top)
        test = {code(row[0]) for row in table_rows("docs/reference/json-report.rst", "of a test") if row[0]}
        self.assertEqual({*TestRecord._fields, "leaks"}, test)
        about = {code(row[0]) for row in table_rows("docs/reference/json-report.rst", "of the environment") if row[0]}
        named = {"implementation", "platform"}  # in the row of python
        self.assertEqual({*recording.environment(), "processes"}, about | named)
        events = {code(row[0]) for row in table_rows("docs/reference/json-report.rst", "event") if row[0]}
        self.assertEqual(set(merge.EVENTS), events)
        leak = {code(row[0]) for row in table_rows("docs/reference/json-report.rst", "of a leak")}
        self.assertEqual(set(model.Leak("thread", "x", "alive", "t").as_dict()), leak)

    def test_every_field_of_a_leak_has_a_reader(self):
        """A `Leak` has no field that the report hides."""
        fields = set(model.Leak._fields) - {"owner"}
        self.assertEqual(fields | {"test"}, set(model.Leak("thread", "x", "alive", "t").as_dict()))


def quoted(value):
    """A default as the tables show it."""
    if isinstance(value, tuple):
        return "(" + ", ".join(f'"{word}"' for word in value) + ")"
    return f'"{value}"' if isinstance(value, str) else repr(value)


class PageTests(unittest.TestCase):
    """The pages hang together."""

    def test_every_page_is_reachable_and_every_link_leads_somewhere(self):
        """The index, or a page that it leads to, names every page, and no page that is not there."""
        seen, to_read = set(), [ROOT / "docs" / "index.rst"]
        while to_read:
            page = to_read.pop()
            if page in seen:
                continue
            self.assertTrue(page.is_file(), f"{page} is linked to and does not exist")
            seen.add(page)
            links = re.findall(r":doc:`(?:[^`<]*<)?([^`>]+)>?`", page.read_text(encoding="utf-8"))
            to_read += [(page.parent / f"{link}.rst").resolve() for link in links]
        self.assertEqual(set(), set(PAGES[1:]) - seen, "pages that nothing links to")


if __name__ == "__main__":
    unittest.main()
