"""`leakguard.report.junit`: the whole run as JUnit XML, leaks as failures of their tests."""

import os
import re
import tempfile
import textwrap
import unittest
from xml.etree import ElementTree

from leakguard.model import Leak, LeakReport
from leakguard.record import OUTCOMES, RunRecord, TestRecord
from leakguard.report import junit
from tests import records

LEAK = Leak(
    "thread",
    "reader",
    "daemon, alive",
    "m.T.test_a",
    "m.py:3 in start",
    (),
    "m.py:9 in read",
    "queue.Queue.get",
    hint="join() it",
)
MESSAGE = """\
1 leak after test_a (m.T), waited 0.50 s

  thread 'reader' (daemon, alive)
    created at  m.py:3 in start
    now at      m.py:9 in read, waiting in queue.Queue.get
    fix         join() it

To allow one: leak_ignore = {"thread:reader": "why"}"""
TRACEBACK = """\
Traceback (most recent call last):
  File "m.py", line 5, in test_a
    self.assertEqual(1, 2)
AssertionError: 1 != 2 : first
second
"""


def report(scope="test", owner="m.T.test_a", leaks=(LEAK,), note="", title="test_a (m.T)"):
    """What one check found."""
    return LeakReport(scope, owner, title, tuple(leaks), 0.5, note)


def uncounted(**fields):
    """The leak, where it does not count."""
    return LEAK._replace(counted=False, **fields)


def case(outcome="passed", details="", reports=(), name="m.T.test_a"):
    """Return the element of the one test case of a run."""
    [found] = junit.tree(RunRecord({}, (TestRecord(name, outcome, 0.25, details=details),), tuple(reports))).iter(
        "testcase"
    )
    return found


def shape(element):
    """Return the children of a test case: tag, type, message and text."""
    return [(child.tag, child.get("type"), child.get("message"), child.text) for child in element]


class DocumentTests(unittest.TestCase):
    maxDiff = None

    def written(self, record):
        """Return the text of the file."""
        with tempfile.TemporaryDirectory() as folder:
            junit.write(os.path.join(folder, "r.xml"), record)
            self.assertEqual(os.listdir(folder), ["r.xml"])
            with open(os.path.join(folder, "r.xml"), encoding="utf-8") as file:
                return file.read()

    def test_the_whole_document(self):
        """A suite for each class, a case for each test, and cases for what a class and the run have left."""
        tests = (
            TestRecord("m.T.test_a", "failed", 0.5),
            TestRecord("m.T.test_b", "skipped", 0.001, details="not here"),
            TestRecord("n.U.test_c", "passed", 1.0),
        )
        reports = (
            report(leaks=[LEAK]),
            report("class", "n.U", [LEAK._replace(owner="n.U")], title="class n.U"),
            report("run", "unattributed", [LEAK._replace(owner="unattributed")], title="the run"),
        )
        shown = MESSAGE.replace("\n", "\n" + " " * 8).replace("\n        \n", "\n\n")
        of_class, of_run = (shown.replace("test_a (m.T)", title) for title in ("class n.U", "the run"))
        expected = f"""\
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="leakguard" tests="5" failures="3" errors="0" time="2.500">
          <testsuite name="m.T" tests="2" failures="1" errors="0" skipped="1" time="0.501">
            <properties>
              <property name="python" value="3.13.0" />
            </properties>
            <testcase classname="m.T" name="test_a" time="0.500">
              <failure type="leakguard.LeakError" message="1 leak after test_a (m.T), waited 0.50 s">{shown}</failure>
            </testcase>
            <testcase classname="m.T" name="test_b" time="0.001">
              <skipped message="not here">not here</skipped>
            </testcase>
          </testsuite>
          <testsuite name="n.U" tests="2" failures="1" errors="0" skipped="0" time="1.000">
            <properties>
              <property name="python" value="3.13.0" />
            </properties>
            <testcase classname="n.U" name="test_c" time="1.000" />
            <testcase classname="n.U" name="tearDownClass" time="0.000">
              <failure type="leakguard.LeakError" message="1 leak after class n.U, waited 0.50 s">{of_class}</failure>
            </testcase>
          </testsuite>
          <testsuite name="leakguard" tests="1" failures="1" errors="0" skipped="0" time="0.000">
            <properties>
              <property name="python" value="3.13.0" />
            </properties>
            <testcase classname="leakguard" name="the run" time="0.000">
              <failure type="leakguard.LeakError" message="1 leak after the run, waited 0.50 s">{of_run}</failure>
            </testcase>
          </testsuite>
        </testsuites>
        """
        record = RunRecord({"python": "3.13.0"}, tests, reports, (), 2.5)
        self.assertEqual(self.written(record), textwrap.dedent(expected))

    def test_an_empty_run(self):
        """A run without tests is a document without suites."""
        text = '<testsuites name="leakguard" tests="0" failures="0" errors="0" time="0.000" />\n'
        self.assertEqual(self.written(RunRecord()), '<?xml version="1.0" encoding="UTF-8"?>\n' + text)

    def test_hostile_names(self):
        """Whatever is in a name or a text, the document can be parsed, and what XML forbids is its escape."""
        bad = "]]></failure><x a='\"'>&\0\x1b[31m\x0b\ufffe\ud800\U0001f600\u202e\r\nend\r"
        shown = "]]></failure><x a='\"'>&\\x00\\x1b[31m\\x0b\\ufffe\\ud800\U0001f600\u202e\nend\\r"
        leak = Leak("thread", bad, bad, bad, bad, (bad,), bad, bad, bad, bad)
        tests = [TestRecord(f"{n}.{bad}", outcome, details=bad) for n, outcome in enumerate(OUTCOMES)]
        record = RunRecord({bad: bad}, tuple(tests), (LeakReport("test", f"0.{bad}", bad, (leak,), note=bad),))
        root = ElementTree.fromstring(self.written(record).encode())
        self.assertEqual(root.find("testsuite/properties/property").attrib, {"name": shown, "value": shown})
        self.assertEqual([skipped.text for skipped in root.iter("skipped")], [shown, shown, None])

    def test_the_schema_of_jenkins(self):
        """Elements, their order and their attributes are those of junit-10.xsd, and the counts are of what is there."""
        text = self.written(records.large(tests=300, leaks=200, lines=40))
        root = ElementTree.fromstring(text.encode())
        attributes = {
            "testsuites": {"name", "time", "tests", "failures", "errors"},
            "testsuite": {"name", "tests", "failures", "errors", "skipped", "time"},
            "properties": set(),
            "property": {"name", "value"},
            "testcase": {"name", "classname", "time"},
            "failure": {"type", "message"},
            "error": {"type", "message"},
            "skipped": {"message"},
            "system-out": set(),
        }
        order = {
            "testsuites": "(testsuite )*",
            "testsuite": "(properties )?(testcase )*",
            "testcase": "((skipped|error|failure) )?(system-out )?",
            "properties": "(property )*",
        }
        for element in root.iter():
            self.assertEqual(set(element.attrib), attributes[element.tag])
            children = "".join(child.tag + " " for child in element)
            self.assertRegex(children, f"^{order.get(element.tag, '')}$")
            self.assertRegex(element.get("time", "0.000"), r"^\d+\.\d{3}$")
        for suite in [root, *root.findall("testsuite")]:
            for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
                self.assertEqual(int(suite.get(attribute)), len(list(suite.iter(tag))))


class OutcomeTests(unittest.TestCase):
    maxDiff = None

    def test_each_outcome_without_leaks(self):
        """Each outcome is the element that readers know for it."""
        expected = {
            "passed": [],
            "unknown": [("skipped", None, junit.UNKNOWN, None)],
            "failed": [("failure", "AssertionError", "1 != 2 : first", TRACEBACK)],
            "error": [("error", "AssertionError", "1 != 2 : first", TRACEBACK)],
            "skipped": [("skipped", None, TRACEBACK, TRACEBACK)],
            "expected failure": [("skipped", None, "expected failure", TRACEBACK)],
            "unexpected success": [("failure", "unexpected success", "unexpected success", TRACEBACK)],
        }
        self.assertEqual(set(expected), set(OUTCOMES))
        for outcome, children in expected.items():
            with self.subTest(outcome):
                self.assertEqual(shape(case(outcome, TRACEBACK)), children)

    def test_a_failure_that_is_no_traceback(self):
        """Without a traceback the message is the first line."""
        self.assertEqual(shape(case("error", "broken\nfor good")), [("error", "error", "broken", "broken\nfor good")])

    def test_a_leak_is_the_failure(self):
        """A test that failed for its leak, or of which only the check is known, fails with the leak's message."""
        failure = ("failure", "leakguard.LeakError", MESSAGE.partition("\n")[0], MESSAGE)
        for outcome in ("failed", "error", "unknown", "passed"):
            with self.subTest(outcome):
                self.assertEqual(shape(case(outcome, "", [report()])), [failure])

    def test_the_traceback_of_a_leak_is_kept(self):
        """Where the failure's text is the leak's own, it is that of the report."""
        details = f"Traceback (most recent call last):\nleakguard.LeakError: {MESSAGE}\n"
        [(_, _, message, text)] = shape(case("failed", details, [report()]))
        self.assertEqual((message, text), (MESSAGE.partition("\n")[0], details))

    def test_a_failure_of_its_own_stays(self):
        """A test that had failed already keeps its failure, since Jenkins shows one only; the leak is in its output."""
        note = "logged: the test had already failed"
        own = ("failure", "AssertionError", "1 != 2 : first", TRACEBACK)
        self.assertEqual(
            shape(case("failed", TRACEBACK, [report(note=note)])),
            [own, ("system-out", None, None, f"{MESSAGE}\n({note})")],
        )

    def test_a_skip_hides_no_leak(self):
        """A skipped test that leaks fails; why it was skipped is in its output."""
        failure = ("failure", "leakguard.LeakError", MESSAGE.partition("\n")[0], MESSAGE)
        self.assertEqual(
            shape(case("skipped", "not here", [report()])), [failure, ("system-out", None, None, "skipped: not here")]
        )

    def test_what_does_not_count_is_output(self):
        """A leak that is tolerated, known or only logged fails nothing."""
        note = "tolerated: the threshold is 2"
        found = shape(case("passed", "", [report(leaks=[uncounted()], note=note)]))
        self.assertEqual(found, [("system-out", None, None, f"{MESSAGE}\n({note})")])

    def test_what_an_earlier_run_made_is_output(self):
        """A leak that is logged since something before made it fails no test."""
        note = "logged: what was there before made it"
        self.assertEqual([tag for tag, *_ in shape(case("passed", "", [report(note=note)]))], ["system-out"])

    def test_a_block_fails_its_test_only(self):
        """A block raises into the test that has it: it is no second failure."""
        record = RunRecord({}, (TestRecord("m.T.test_a", "passed"),), (report("block", "block", title="block"),))
        found = {found.get("name"): [child.tag for child in found] for found in junit.tree(record).iter("testcase")}
        self.assertEqual(found, {"test_a": [], "block": ["system-out"]})


class PlaceTests(unittest.TestCase):
    def places(self, tests=(), reports=()):
        """Return class, name and tags of each test case."""
        root = junit.tree(RunRecord({}, tuple(tests), tuple(reports)))
        return [(c.get("classname"), c.get("name"), [child.tag for child in c]) for c in root.iter("testcase")]

    def test_class_and_name(self):
        """The last dot before any parameters parts the class from the name; fixtures are named as methods."""
        names = ["m.T.test_a", "m.T.test_a (x='1.5')", "setUpClass (m.T)", "single", "tearDownModule (pkg.m)"]
        self.assertEqual(
            [place[:2] for place in self.places(map(TestRecord, names))],
            [
                ("m.T", "test_a"),
                ("m.T", "test_a (x='1.5')"),
                ("m.T", "setUpClass"),
                ("single", "single"),
                ("pkg.m", "tearDownModule"),
            ],
        )

    def test_fixtures_are_not_counted_twice(self):
        """The error that unittest notes for a class or module that leaks, and its leak, are one failure."""
        for scope, name in (("class", "tearDownClass (m.T)"), ("module", "tearDownModule (m.T)")):
            with self.subTest(scope):
                test = TestRecord(name, "error", details=f"leakguard.LeakError: {MESSAGE}")
                self.assertEqual(
                    self.places([test], [report(scope, "m.T")]), [("m.T", name.partition(" ")[0], ["failure"])]
                )

    def test_the_run(self):
        """What no test can be shown to have made fails the run, not the test that saw it."""
        nobody = report(note="logged: nobody can be shown to have made it", leaks=[LEAK._replace(owner="unattributed")])
        self.assertEqual(
            self.places([TestRecord("m.T.test_a", "passed")], [nobody]),
            [("m.T", "test_a", []), ("leakguard", "the run", ["failure"])],
        )

    def test_a_test_that_is_not_on_record(self):
        """A leak is never dropped: its test gets a case though nobody has seen it end."""
        self.assertEqual(self.places([], [report()]), [("m.T", "test_a", ["failure"])])

    def test_a_test_that_ran_again(self):
        """Of runs of one test the one that failed has the leak."""
        tests = [TestRecord("m.T.test_a", outcome) for outcome in ("passed", "failed", "passed")]
        self.assertEqual([tags for _, _, tags in self.places(tests, [report()])], [[], ["failure"], []])


class LegalTests(unittest.TestCase):
    def test_what_is_legal_stays(self):
        """Tabs, line ends and every character of XML 1.0 stay as they are."""
        text = "a\tb\nc \u00e9 \u2028 \ud7ff \ue000 \ufffd \U00010000"
        self.assertEqual(junit.legal(text), text)

    def test_nothing_forbidden_is_left(self):
        """No character of the first plane that a parser refuses comes through."""
        every = "".join(map(chr, range(0x10000)))
        ElementTree.fromstring(f"<a>{re.sub('[<&>]', '', junit.legal(every))}</a>")


if __name__ == "__main__":
    unittest.main()
