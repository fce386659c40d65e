"""`leakguard.advise`: which tests are proposed, what is said, and patches that git takes."""

import ast
import os
import re
import shutil
import subprocess
import tempfile
import textwrap
import unittest

from leakguard import advise
from leakguard.advise import Definition, Line


def a_test(name, *lines, seconds=0.1, load=0, is_key=False, path="test_hub.py"):
    """A test of class ``HubTests`` that reaches lines, each ``kind place``."""
    reached = frozenset(Line(*line.split(" ", 1)) for line in lines)
    return advise.Test(f"test_hub.HubTests.{name}", seconds, load, reached, Definition(path, "HubTests", name), is_key)


def proposed(*tests):
    """(method, category) of what is proposed."""
    return [(one.test.definition.method, one.category) for one in advise.propose(tests)]


class ChoiceTests(unittest.TestCase):
    def test_nothing(self):
        """Without a test there is nothing to propose, and that is said."""
        self.assertEqual(proposed(), [])
        self.assertEqual(advise.advice([], 1.0, {}), "No test ran, so there are no key tests to propose\n")

    def test_one_test_has_many_roles(self):
        """The only test is the first, the slowest and the heaviest: proposed once, with one decorator for all."""
        only = a_test("test_a", "thread hub.py:1 in f", load=1)
        self.assertEqual(proposed(only), [("test_a", "first, slowest, highest load")])

    def test_roles(self):
        """The first, the slowest and the one with the highest load; then who reaches what these do not."""
        tests = [
            a_test("test_first", "thread hub.py:1 in f"),
            a_test("test_plain", "thread hub.py:1 in f"),
            a_test("test_slow", seconds=9.0),
            a_test("test_crowd", "task hub.py:2 in g", load=1000),
            a_test("test_child", "process hub.py:3 in h", "thread hub.py:4 in h"),
        ]
        self.assertEqual(
            proposed(*tests),
            [
                ("test_first", "first"),
                ("test_slow", "slowest"),
                ("test_crowd", "highest load"),
                ("test_child", "processes and threads"),
            ],
        )

    def test_no_load(self):
        """Where nothing is ever created there is no highest load."""
        tests = [a_test("test_a"), a_test("test_b", seconds=2)]
        self.assertEqual(proposed(*tests), [("test_a", "first"), ("test_b", "slowest")])

    def test_equals(self):
        """Of equals the earlier is taken: the slowest and the heaviest too."""
        tests = [a_test(f"test_{i}", load=3) for i in range(3)]
        self.assertEqual(proposed(*tests), [("test_0", "first, slowest, highest load")])

    def test_present_key_tests_count(self):
        """What a test that is a key test already reaches need not be covered again."""
        line = "task x.py:1 in f"
        tests = [a_test("test_a"), a_test("test_b", line), a_test("test_c", line, is_key=True)]
        self.assertEqual(proposed(*tests), [("test_a", "first, slowest")])

    def test_a_test_that_cannot_be_marked_covers_what_no_other_reaches(self):
        """No decorator can be added to it, so what it reaches is not reached by a key test: another one is proposed."""
        tests = [
            a_test("test_made", "thread hub.py:1 in f", "task hub.py:2 in g", "process hub.py:3 in h"),
            a_test("test_thread", "thread hub.py:1 in f"),
            a_test("test_slow", "task hub.py:2 in g", seconds=9.0),
        ]
        source = b"class HubTests:\n    def test_thread(self): pass\n    def test_slow(self): pass\n"
        unmarkable = advise.unmarkable(tests, {"test_hub.py": source})
        self.assertEqual(unmarkable, {tests[0].id})
        self.assertEqual(
            [(one.test.definition.method, one.category) for one in advise.propose(tests, unmarkable)],
            [("test_made", "first, processes"), ("test_thread", "threads"), ("test_slow", "slowest")],
        )

    def test_a_test_that_ran_twice(self):
        """A test that a suite has twice is proposed once."""
        self.assertEqual(proposed(a_test("test_a"), a_test("test_a")), [("test_a", "first, slowest")])


class CoverTests(unittest.TestCase):
    def cover(self, *rows, reached=()):
        """The numbers of the rows, each a text of one-letter lines, that `cover` picks; a row may have seconds."""
        tests = []
        for number, row in enumerate(rows):
            letters, _, seconds = row.partition(" ")
            lines = [f"task {letter}" for letter in letters]
            tests.append(a_test(str(number), *lines, seconds=float(seconds or 1)))
        picked = advise.cover(tests, frozenset(Line("task", letter) for letter in reached))
        return sorted(int(test.definition.method) for test in picked)

    def test_every_line_is_reached(self):
        """Whatever the tests reach, the cover reaches; a test that adds nothing is not in it."""
        self.assertEqual(self.cover("abc", "ab", "cd", "d", "ef", "f"), [0, 2, 4])
        self.assertEqual(self.cover(), [])
        self.assertEqual(self.cover("", ""), [])

    def test_reached_already(self):
        """Lines that are reached already are not covered again."""
        self.assertEqual(self.cover("abc", "d", reached="abc"), [1])

    def test_the_quicker_of_two(self):
        """Of two tests that add as many lines the quicker is taken, of two as quick the earlier."""
        self.assertEqual(self.cover("ab 2", "ab 1", "ab 1"), [1])

    def test_what_later_picks_make_superfluous_is_dropped(self):
        """Greed takes the widest test first; where the others cover it, it goes again."""
        self.assertEqual(self.cover("bcde", "abc", "def"), [1, 2])


class TextTests(unittest.TestCase):
    maxDiff = None

    def test_whole_text(self):
        """Each proposal with its reasons and its share; what only fixtures reach; what has no def; then the patch."""
        source = textwrap.dedent('''
            """Tests."""
            import unittest


            class HubTests(unittest.TestCase):
                def test_first(self):
                    pass

                async def test_crowd(self):
                    pass
            ''').lstrip()  # fmt: skip
        tests = [
            a_test("test_first", "thread hub.py:1 in f", seconds=0.5),
            a_test("test_crowd", "task hub.py:2 in g", *[f"task hub.py:{i} in h" for i in range(3, 6)], load=7),
            a_test("test_loop_1", "process hub.py:9 in p"),
            a_test("test_key", "thread hub.py:7 in f", seconds=2.0, is_key=True),
        ]
        text = advise.advice(tests, 4.0, {"test_hub.py": source.encode()}, {Line("thread", "hub.py:8 in f")})
        self.assertEqual(
            re.sub("(?m)^ $", "", text),  # an empty line of the file, in a patch
            textwrap.dedent('''
            Key tests proposed: 4 of 4 tests, 2.700 s of the run's 4.000 s (67.5 %)
              test_hub.HubTests.test_first: 12.5 % of the run time
                  first of the suite
              test_hub.HubTests.test_crowd: 2.5 % of the run time
                  highest load, threads and tasks at once: 7
              test_hub.HubTests.test_loop_1: 2.5 % of the run time
                  creates process hub.py:9 in p
              test_hub.HubTests.test_key: 50.0 % of the run time (a key test already)
                  slowest: 2.000 s
            Only fixtures reach these lines, and with scope key no fixture is checked:
              thread hub.py:8 in f
            No decorator can be added, mark these by other means:
              HubTests.test_loop_1: no def of that name in test_hub.py: made by a loop, a decorator or a call
            The patch, for git apply in the root of the repository:
            diff --git a/test_hub.py b/test_hub.py
            --- a/test_hub.py
            +++ b/test_hub.py
            @@ -1,10 +1,13 @@
             """Tests."""
             import unittest
            +from leakguard import key_test


             class HubTests(unittest.TestCase):
            +    @key_test("first")
                 def test_first(self):
                     pass

            +    @key_test("highest load")
                 async def test_crowd(self):
                     pass
            ''').lstrip(),  # fmt: skip
        )

    def test_many_lines(self):
        """A reason names three lines, and how many more there are."""
        many = a_test("test_b", *[f"task hub.py:{i} in h" for i in range(5)])
        [_, second] = advise.propose([a_test("test_a", seconds=1.0), many])
        self.assertEqual(
            second.roles[0].reason,
            "creates task hub.py:0 in h; task hub.py:1 in h; task hub.py:2 in h and 2 more",
        )

    def test_nothing_to_add(self):
        """Where every proposal is a key test already, there is no patch."""
        text = advise.advice([a_test("test_a", is_key=True)], 1.0, {})
        self.assertEqual(text.splitlines()[-1], "There is nothing to add.")

    def test_not_ours_to_change(self):
        """A test whose file cannot be changed is proposed, with the reason why it is not in the patch."""
        [test] = [a_test("test_a")]
        test = test._replace(definition=test.definition._replace(path="", problem="module m has no source file"))
        self.assertIn("  test_hub.HubTests.test_a: module m has no source file\n", advise.advice([test], 1.0, {}))


class PatchTests(unittest.TestCase):
    """Patches of one file, applied by git in a repository of their own."""

    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def apply(self, text, path, source):
        """Write the source, let git apply the text, return the new source."""
        if shutil.which("git") is None:
            self.skipTest("git is not installed")
        full = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as file:
            file.write(source)
        environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        patch = text.encode("utf-8", "surrogateescape")
        for command, given in ((["git", "init", "-q"], b""), (["git", "apply", "-"], patch)):
            done = subprocess.run(
                command, cwd=self.folder, env=environ, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            self.assertEqual(done.returncode, 0, done.stdout.decode() + text)
        with open(full, "rb") as file:
            return file.read()

    def patched(self, source, *marks, path="tests/test_hub.py"):
        """The source, a text or bytes, after the patch that marks (class, method) was applied."""
        source = textwrap.dedent(source).lstrip("\n").encode() if isinstance(source, str) else source
        wanted = {Definition(path, *mark): "slowest" for mark in marks}
        text, unmarked = advise.patch(path, source, wanted)
        self.assertEqual(unmarked, [])
        patched = self.apply("Reasons, which git skips\n\n" + text, path, source)
        ast.parse(patched)
        return patched

    def assert_patched(self, source, wanted, *marks):
        self.assertEqual(self.patched(source, *marks).decode(), textwrap.dedent(wanted).lstrip("\n"))

    def test_other_decorators(self):
        """The decorator goes above all others, so that none of them hides it; in async def as in def."""
        self.assert_patched(
            """
            import unittest
            from unittest import mock

            class T(unittest.TestCase):
                @mock.patch("os.getcwd")
                @unittest.skipIf(
                    False, "no")
                async def test_a(self, getcwd):
                    pass
            """,
            """
            import unittest
            from unittest import mock
            from leakguard import key_test

            class T(unittest.TestCase):
                @key_test("slowest")
                @mock.patch("os.getcwd")
                @unittest.skipIf(
                    False, "no")
                async def test_a(self, getcwd):
                    pass
            """,
            ("T", "test_a"),
        )

    def test_imports_that_are_there(self):
        """An import of key_test, under whatever name, or of leakguard is used; a key_test of theirs is not."""
        body = "class T:\n    def test_a(self): pass\n"
        for line, name, added in [
            ("from leakguard import key_test\n", "key_test", ""),
            ("from leakguard import LeakGuard, key_test as key\n", "key", ""),
            ("import leakguard as lg\n", "lg.key_test", ""),
            ("import os, leakguard\n", "leakguard.key_test", ""),
            ("from theirs import key_test\n", "leakguard.key_test", "import leakguard\n"),
            ("def key_test(): pass\n", "leakguard.key_test", "import leakguard\n"),
        ]:
            with self.subTest(line):
                patched = self.patched(line + body, ("T", "test_a")).decode()
                marked = body.replace("    def", f'    @{name}("slowest")\n    def')
                before = added if line.startswith("def") else ""
                self.assertEqual(patched, before + line + (added if not before else "") + marked)

    def test_where_the_import_goes(self):
        """After the docstring and the imports at the top, else above the first statement; never into a statement."""
        body = 'class T:\n    def test_a(self): pass\n'
        for head, at in [
            ("", 0),
            ("#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n\n", 3),
            ('"""Two\nlines."""\n', 2),
            ('"""Doc."""\nfrom __future__ import annotations\n', 2),
            ("import os; x = (1,\n2)\n", 2),
            ("import os\nx = 1\nfrom os import (\n    path,\n)\n\n", 5),
            ("import os\ntry:\n    import ssl\nexcept ImportError:\n    ssl = None\n\nimport re\n", 7),
            ("import os\nif os:\n    def f(): pass\nimport re\n", 1),
            ("@dataclass\nclass A:\n    pass\nimport os\n", 0),
        ]:
            with self.subTest(head):
                lines = self.patched(head + body, ("T", "test_a")).decode().splitlines()
                self.assertEqual(lines.index("from leakguard import key_test"), at)

    def test_the_right_def(self):
        """Of equal names it is the one in the right class: nested, inside a function, under if."""
        source = """
            import unittest
            def test_a(): pass
            class T:
                class U:
                    def test_a(self):
                        pass
                if True:
                    def test_a(self):
                        pass
            def make():
                class T:
                    def test_a(self):
                        pass
                return T
            """
        for scope, line in [("T.U", 6), ("T", 9), ("make.<locals>.T", 13)]:
            with self.subTest(scope):
                lines = self.patched(source, (scope, "test_a")).decode().splitlines()
                self.assertEqual([i for i, text in enumerate(lines, 1) if "@key_test" in text], [line])
                self.assertEqual(lines[line].strip(), "def test_a(self):")

    def test_defined_twice(self):
        """The definition that ran is told by its line; without one it is the last."""
        one = "def test_a(self): pass"
        source = f"import sys\nclass T:\n    if sys:\n        {one}\n    else:\n        {one}\n"
        for line, at in [(4, 4), (6, 6), (0, 6)]:
            lines = self.patched(source, ("T", "test_a", line)).decode().splitlines()
            self.assertEqual([i for i, text in enumerate(lines) if "@key_test" in text], [at])

    def test_several_in_one_file(self):
        """One patch has all marks of a file, and one import."""
        source = "import os\n" + "".join(f"class T{i}:\n    def test_a(self):\n        pass\n" for i in range(30))
        patched = self.patched(source, ("T2", "test_a"), ("T20", "test_a"), ("T29", "test_a")).decode()
        self.assertEqual((patched.count("    @key_test"), patched.count("import key_test")), (3, 1))

    def test_bytes_stay_as_they_are(self):
        """Line ends, a byte order mark, an encoding, form feeds, tabs and a missing last line end are kept."""
        for name, source, wanted in [
            (
                "CRLF",
                b"import os\r\nclass T:\r\n    def test_a(self):\r\n        pass\r\n",
                b"import os\r\nfrom leakguard import key_test\r\nclass T:\r\n"
                b'    @key_test("slowest")\r\n    def test_a(self):\r\n        pass\r\n',
            ),
            (
                "byte order mark",
                b"\xef\xbb\xbfclass T:\n    def test_a(self): pass\n",
                b"\xef\xbb\xbffrom leakguard import key_test\nclass T:\n"
                b'    @key_test("slowest")\n    def test_a(self): pass\n',
            ),
            (
                "Latin-1",
                b"# coding: latin-1\nimport os\nname = '\xe9'\nclass T:\n    def test_a(self): pass\n",
                b"# coding: latin-1\nimport os\nfrom leakguard import key_test\nname = '\xe9'\nclass T:\n"
                b'    @key_test("slowest")\n    def test_a(self): pass\n',
            ),
            (
                "form feed and tabs",
                b"import os\n\x0c\nx = '\xe2\x80\xa8'\nclass T:\n\tdef test_a(self):\n\t\tpass\n",
                b"import os\nfrom leakguard import key_test\n\x0c\nx = '\xe2\x80\xa8'\nclass T:\n"
                b'\t@key_test("slowest")\n\tdef test_a(self):\n\t\tpass\n',
            ),
            (
                "no line end",
                b"import os\nclass T:\n    def test_a(self): pass",
                b"import os\nfrom leakguard import key_test\nclass T:\n"
                b'    @key_test("slowest")\n    def test_a(self): pass',
            ),
        ]:
            with self.subTest(name):
                self.assertEqual(self.patched(source, ("T", "test_a")), wanted)

    def test_paths(self):
        """A path may have spaces and letters of any script."""
        source = b"class T:\n    def test_a(self): pass\n"
        for path in ("my tests/test hub.py", "pr\u00fcfung/test_\u65e5\u672c.py"):
            with self.subTest(path):
                self.assertIn(b"@key_test", self.patched(source, ("T", "test_a"), path=path))

    def test_no_def(self):
        """A test that a loop or an assignment made has no def to mark, and a file may not be Python's."""
        source = b"def f(self): pass\nclass T:\n    test_a = f\nfor n in '12':\n    setattr(T, 'test_' + n, f)\n"
        for method in ("test_a", "test_1"):
            wanted = Definition("t.py", "T", method)
            why = "no def of that name in t.py: made by a loop, a decorator or a call"
            self.assertEqual(advise.patch("t.py", source, {wanted: "first"}), ("", [(wanted, why)]))
        text, [(_, why)] = advise.patch("t.py", b"class T:\n  def", {Definition("t.py", "T", "test_a"): "first"})
        self.assertEqual(text, "")
        self.assertTrue(why.startswith("t.py cannot be parsed: "), why)

    def test_lines_that_end_like_no_other(self):
        """A file whose lines end in carriage returns alone is not changed: to git it is one line."""
        wanted = Definition("t.py", "T", "test_a")
        text, [(unmarked, _)] = advise.patch("t.py", b"class T:\r    def test_a(self): pass\r", {wanted: "first"})
        self.assertEqual((text, unmarked), ("", wanted))


if __name__ == "__main__":
    unittest.main()
