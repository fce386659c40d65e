"""Known leaks: the rules, the file, and both end to end."""

import json
import os
import stat
import tempfile
import textwrap
import unittest
from unittest import mock

from leakguard import known, knownfile
from leakguard.known import Known
from leakguard.knownfile import Entry
from leakguard.model import UNATTRIBUTED, Leak, LeakReport
from leakguard.record import RunRecord
from leakguard.record import TestRecord as RanTest
from tests.suites import ROOT, run_python
from tests.test_docs import table_rows

TODAY = "2026-11-24"
ONE = Entry("1" * 16, "thread", "reader-*", "a.py in f", tests=("t.A.test_1",), since="2026-01-02")
TWO = Entry("2" * 16, "task", "ping", "b.py in g", tests=("t.B",), since="2026-01-02")


def leak(entry, owner="t.A.test_1", **more):
    """A leak that an entry is about."""
    return Leak(entry.kind, entry.name.replace("*", "3"), "alive", owner, fingerprint=entry.fingerprint, **more)


def on_record(*entries):
    """A file with these entries, read today."""
    return Known("known.json", {entry.fingerprint: entry for entry in entries}, TODAY)


class MarkTests(unittest.TestCase):
    def test_by_fingerprint(self):
        """A leak on record is known and not counted, whatever test it is of; another one is as it was."""
        leaks = [leak(ONE), leak(ONE, "t.Z.test_9"), leak(TWO)]
        marked = known.mark(leaks, on_record(ONE))
        self.assertEqual([(one.known, one.counted) for one in marked], [(True, False), (True, False), (False, True)])
        self.assertEqual(known.mark(leaks, known.NONE), tuple(leaks))

    def test_expiry(self):
        """An entry excuses its leak up to and with its last day."""
        for day, is_known in [("2026-11-23", False), (TODAY, True), ("2027-01-01", True)]:
            with self.subTest(day):
                self.assertEqual(known.mark([leak(ONE)], on_record(ONE._replace(expires=day)))[0].known, is_known)

    def test_remarks(self):
        """A message says how many are known, and which entries have expired, when, and whose they were."""
        expired = TWO._replace(expires="2026-11-01", owner="the hub team")
        table = on_record(ONE, expired)
        self.assertEqual(
            known.remarks(known.mark([leak(ONE), leak(TWO), leak(TWO)], table), table),
            [
                "Known: 1 leak of this check, on record in known.json",
                "Expired: task 'ping' was a known leak until 2026-11-01 (owner: the hub team)",
            ],
        )
        self.assertEqual(known.remarks([leak(TWO)], on_record(ONE)), [])

    def test_many_remarks(self):
        """A hundred expired entries do not bury the message."""
        entries = [ONE._replace(fingerprint=f"{n:016x}", expires="2026-11-01") for n in range(100)]
        lines = known.remarks([leak(entry) for entry in entries], on_record(*entries))
        self.assertEqual(len(lines), known.REMARKS + 1)
        self.assertEqual(lines[-1], "Expired: 95 more entries of known.json")


class FixedTests(unittest.TestCase):
    def fixed(self, entry, leaks=(), **tests_run):
        """Whether an entry is called fixed after these tests ran, each with the kinds that were checked."""
        tests = {name.replace("__", "."): kinds for name, kinds in tests_run.items()}
        return known.fixed(on_record(entry), leaks, tests) == [entry]

    def test_gone(self):
        """An entry is fixed if every test that it names ran and nothing shows it."""
        both = ONE._replace(tests=("t.A.test_1", "t.A.test_2"))
        self.assertTrue(self.fixed(ONE, t__A__test_1=("thread",)))
        self.assertTrue(self.fixed(both, t__A__test_1=("thread",), t__A__test_2=("thread",)))
        self.assertFalse(self.fixed(both, t__A__test_1=("thread",)))
        self.assertFalse(self.fixed(ONE, t__A__test_2=("thread",)))
        self.assertFalse(self.fixed(ONE))

    def test_shown(self):
        """Whoever shows it, it is not fixed; nor if the kind was not looked for."""
        self.assertFalse(self.fixed(ONE, [leak(ONE, "t.Z.test")], t__A__test_1=("thread",)))
        self.assertFalse(self.fixed(ONE, t__A__test_1=("task",)))
        self.assertFalse(self.fixed(ONE, t__A__test_1=()))

    def test_ended_while_it_was_described(self):
        """A thing that has lost its target by then has another fingerprint: no entry of its kind and test is fixed."""
        late = leak(ONE)._replace(fingerprint="9" * 16, verdict="ended late")
        self.assertFalse(self.fixed(ONE, [late], t__A__test_1=("thread",)))
        self.assertTrue(self.fixed(ONE, [late._replace(kind="task")], t__A__test_1=("thread",)))

    def test_of_tests_without_a_name(self):
        """An entry that does not name all its tests is never called fixed; one that is learnt names all."""
        self.assertFalse(self.fixed(ONE._replace(more_tests=1), t__A__test_1=("thread",)))
        tests = [f"t.A.test_{n}" for n in range(8)]
        (entry,) = known.learn([leak(ONE, test) for test in tests], (), TODAY)
        for number, gone in [(5, []), (8, [entry])]:
            ran = {test: ("thread",) for test in tests[:number]}
            self.assertEqual(known.fixed(on_record(entry), (), ran), gone)

    def test_ended_late(self):
        """What outlived the grace and ended before the report is slow, not gone, in a run as in a merge."""
        late = LeakReport("test", "t.A.test_1", "t", ended_late=(leak(ONE),))
        tests = (RanTest("t.A.test_1", outcome="passed"),)
        for reports, gone in [((late,), []), ((), [ONE])]:
            with self.subTest(gone):
                self.assertEqual(known.fixed(on_record(ONE), known.shown(reports), {"t.A.test_1": ("thread",)}), gone)
                self.assertEqual(known.applied(RunRecord(tests=tests, reports=reports), on_record(ONE))[1], gone)

    def test_classes_and_modules(self):
        """A class or a module has run if one of its tests has."""
        self.assertTrue(self.fixed(TWO, t__B__test_1=("task",)))
        self.assertTrue(self.fixed(TWO._replace(tests=("t",)), t__B__test_1=("task",)))
        self.assertFalse(self.fixed(TWO, t__BC__test_1=("task",)))

    def test_unattributed(self):
        """What nobody could be shown to have made is never called fixed."""
        self.assertFalse(self.fixed(ONE._replace(tests=(UNATTRIBUTED,)), t__A__test_1=("thread",)))


class LearnTests(unittest.TestCase):
    def test_a_new_one(self):
        """An entry says what, where, which tests and since when, without numbers, lines and folders."""
        path = os.path.join(ROOT, "tests", "test_known.py")
        leaks = [
            Leak("thread", "reader-3", "alive", f"t.A.test_{n}", f"{path}:{n} in f", (), f"{path}:9 in g", "queue.Queue.get")
            for n in (2, 1, 7, 3, 4, 6, 5)
        ]
        leaks = [one._replace(fingerprint="1" * 16) for one in leaks]
        self.assertEqual(
            known.learn(leaks, (), TODAY),
            [
                Entry(
                    fingerprint="1" * 16,
                    kind="thread",
                    name="reader-*",
                    origin="tests/test_known.py in f",
                    place="tests/test_known.py in g",
                    waiting_in="queue.Queue.get",
                    tests=tuple(f"t.A.test_{n}" for n in (1, 2, 3, 4, 5, 6, 7)),
                    since=TODAY,
                )
            ],
        )

    def test_an_old_one(self):
        """What is on record keeps what people wrote of it, and its day; what is not shown goes."""
        old = ONE._replace(reason="it is old", owner="we", expires="2027-01-01")
        learnt = known.learn([leak(ONE, "t.A.test_5")], [old, TWO], TODAY)
        self.assertEqual(learnt, [old._replace(tests=("t.A.test_5",))])

    def test_the_ratchet(self):
        """It only loses what is gone: no other entry changes, none comes."""
        self.assertEqual(known.ratchet(on_record(ONE, TWO), [TWO]), [ONE])

    def test_what_is_learnt(self):
        """All but what a threshold tolerates, and what could not be described."""
        reports = [
            LeakReport("test", "t", "t", (leak(ONE),), note="tolerated: the threshold is 1"),
            LeakReport("test", "t", "t", (leak(TWO), leak(TWO)._replace(fingerprint="")), note="logged: the action is log"),
            LeakReport("test", "t", "t", (leak(ONE),)),
        ]
        self.assertEqual(known.learnable(reports), [leak(TWO), leak(ONE)])


GOOD = knownfile.as_text([ONE, TWO])


class FileTests(unittest.TestCase):
    maxDiff = None

    def read(self, text):
        """Read a file with this text."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "known.json")
            with open(path, "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
            return knownfile.read(path)

    def test_there_and_back(self):
        """What is written is read as it was, whatever people added."""
        full = Entry(
            "3" * 16, "process", "python -m x", None, None, None, ("t",), 3, TODAY, "why \u00e4 \ud800", "we", "2027-01-01"
        )
        entries = [full, ONE, TWO]
        self.assertEqual(self.read(knownfile.as_text([TWO, ONE, full])), entries)
        self.assertEqual(self.read("\ufeff" + GOOD), [ONE, TWO])
        self.assertEqual(self.read(GOOD.replace("\n", "\r\n")), [ONE, TWO])
        self.assertEqual(self.read(knownfile.as_text([])), [])

    def test_what_is_learnt_can_be_read(self):
        """Whatever programs call their threads and tests, what was learnt of them is read as it was written."""
        names = ["", " ", "\ud800", "\0", "\u2028", '"name": 3,', "\\", "x" * 120, "\u0662"]
        leaks = [
            Leak("thread", name, "alive", owner, f"{name or 'f'}.py:1 in f", place=f"{name}:3 in ", fingerprint=f"{n:015x}{m}")
            for n, name in enumerate(names)
            for m, owner in enumerate(names[:9])
        ]
        learnt = known.learn(leaks, (), TODAY)
        self.assertCountEqual(self.read(knownfile.as_text(learnt)), learnt)

    def test_the_text(self):
        """One leak a block, sorted by the code that leaks; what is not known is left out."""
        self.assertEqual(
            knownfile.as_text([TWO, ONE]),
            textwrap.dedent(
                """\
                {
                  "version": 1,
                  "leaks": [
                    {
                      "fingerprint": "1111111111111111",
                      "kind": "thread",
                      "name": "reader-*",
                      "origin": "a.py in f",
                      "tests": [
                        "t.A.test_1"
                      ],
                      "since": "2026-01-02"
                    },
                    {
                      "fingerprint": "2222222222222222",
                      "kind": "task",
                      "name": "ping",
                      "origin": "b.py in g",
                      "tests": [
                        "t.B"
                      ],
                      "since": "2026-01-02"
                    }
                  ]
                }
                """
            ),
        )

    def test_what_is_wrong(self):
        """Every mistake is said with the line that it is on."""
        lines = GOOD.split("\n")

        def changed(number, text):
            return "\n".join(text if i == number - 1 else line for i, line in enumerate(lines))

        fields = "fingerprint, kind, name, origin, place, waiting_in, tests, more_tests, since, reason, owner, expires"
        table = [
            (GOOD[: GOOD.index("reader") + 3], 7, "is not JSON: Unterminated string starting at"),
            ("", 1, "is not JSON: Expecting value"),
            (changed(3, "<<<<<<< HEAD"), 3, "is not JSON: Expecting property name enclosed in double quotes"),
            (b'{\n"a": "\xff"}', 2, "is not UTF-8"),
            ("[" * 100000, 1, "is not JSON that can be read: it is nested too deeply"),
            ("[]", 1, 'must be an object with "version": 1 and "leaks": [...], as --leak-learn writes it'),
            ('{"version": 1}', 1, 'must be an object with "version": 1 and "leaks": [...], as --leak-learn writes it'),
            (changed(2, '  "version": true,'), 1, 'must be an object with "version": 1 and "leaks": [...], as --leak-learn writes it'),
            (changed(2, '  "version": 2,'), 2, "version must be 1, or leakguard must be newer (got 2)"),
            (changed(2, '  "version": 1, "more": 2,'), 2, "more is not a field; known ones: version, leaks"),
            ('{"version": 1, "leaks": [\n\n7]}', 3, "a leak must be an object (got 7)"),
            (changed(5, ""), 4, "a leak must have fingerprint"),
            (changed(5, '"fingerprint": "x",'), 5, "fingerprint must be 16 hex digits (got 'x')"),
            (changed(7, '"name": 3,'), 7, "name must be a text (got 3)"),
            (changed(10, "7"), 9, "tests must be a list of ids of tests that is not empty (got [7])"),
            (changed(12, '"since": "2026-02-30"'), 12, "since must be a day such as 2027-01-31 (got '2026-02-30')"),
            (changed(22, '"since": "2026-02-03", "expires": "soon"'), 22, "expires must be a day such as 2027-01-31 (got 'soon')"),
            (changed(22, '"since": "2026-02-03", "expiers": "soon"'), 22, f"expiers is not a field of a known leak; known ones: {fields}"),
            (changed(15, '"fingerprint": "1111111111111111",'), 15, "fingerprint 1111111111111111 is there twice: delete one of the two"),
            (changed(22, '"since": "2026-02-03", "expires": "\uff12\uff10\uff12\uff16-02-03"'), 22, "expires must be a day such as 2027-01-31 (got '\uff12\uff10\uff12\uff16-02-03')"),
            (changed(22, '"since": "2026-02-03", "expires": "2026-02-03", "expires": "2026-02-04"'), 22, "expires is there twice in one leak: delete one of the two"),
            (GOOD.rstrip()[:-1] + ', "leaks": []}', 1, "leaks is there twice"),
            (changed(2, f'"version": {"9" * 5000},'), 2, "is not JSON that can be read: a number has 5000 digits"),
            (changed(22, f'"reason": "{"9" * 5000}", "more_tests":\n{"9" * 5000}'), 23, "is not JSON that can be read: a number has 5000 digits"),
            (changed(7, '"name": "NaN", "more_tests":\n NaN,'), 8, "is not JSON: NaN"),
            (changed(7, '"name": -Infinity,'), 7, "is not JSON: -Infinity"),
            (GOOD.replace("\n", "\r\n").replace('"kind": "task"', '"kind": 3'), 16, "kind must be a text that is not empty (got 3)"),
            ("\ufeff" + changed(7, '"name": 3,'), 7, "name must be a text (got 3)"),
            (changed(22, '"since": "2026-02-03", "more_tests": 0'), 22, "more_tests must be a number of tests > 0 (got 0)"),
        ]  # fmt: skip
        for text, line, what in table:
            with self.subTest(what):
                with self.assertRaises(ValueError) as caught:
                    self.read(text)
                self.assertEqual(str(caught.exception), f", line {line}: {what}")

    def test_a_file_that_is_not_there(self):
        """It has no line: the system's word has to do."""
        with self.assertRaises(ValueError) as caught:
            known.read("/no/where", "--leak-known")
        self.assertEqual(str(caught.exception), "--leak-known: /no/where cannot be read: No such file or directory")


SUITE = '''\
import threading, unittest
released = threading.Event()

def start(name):
    threading.Thread(target=released.wait, name=name, daemon=True).start()

class OldTests(unittest.TestCase):
    def test_a(self):
        start("old-1")

    def test_b(self):
        start("old-2")

    def test_both(self):
        start("old-3")
        if NEW:
            start("new")
'''


class RunTests(unittest.TestCase):
    """End to end, in processes of their own."""

    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.plant(new=False)

    def plant(self, *, new, text=SUITE):
        """Write the suite, with its new leak or without."""
        with open(os.path.join(self.folder, "test_old.py"), "w") as file:
            file.write(text + f"\nNEW = {new}\n")

    def run_suite(self, *arguments, **environ):
        """Run the suite; return the exit status and what was printed after unittest's last word."""
        arguments = arguments if any(word.startswith("test_old") for word in arguments) else (*arguments, "test_old")
        process = run_python(
            "-B", "-m", "leakguard", "--leak-grace", "0", *arguments, cwd=self.folder, PYTHONPATH=ROOT, **environ
        )
        self.errors = process.stderr
        rest = process.stderr.rpartition("\n\n")[2] if process.returncode != 2 else process.stderr
        return process.returncode, rest.splitlines()

    def known(self, name="known.json"):
        """What a file of known leaks says."""
        with open(os.path.join(self.folder, name)) as file:
            return json.load(file)["leaks"]

    def edit(self, **fields):
        """Write fields into every entry."""
        leaks = [{**one, **fields} for one in self.known()]
        with open(os.path.join(self.folder, "known.json"), "w") as file:
            json.dump({"version": 1, "leaks": leaks}, file)

    def learn(self):
        """Put the leaks of the suite on record."""
        return self.run_suite("--leak-action", "log", "--leak-learn", "known.json")

    def test_adopt(self):
        """Learn, and from then on a suite that leaks passes, with the known leaks in one line."""
        status, rest = self.learn()
        self.assertEqual((status, rest[-1]), (0, "Known leaks in known.json: 1 (1 new, 0 removed)"))
        (entry,) = self.known()
        self.assertEqual(entry["tests"], [f"test_old.OldTests.test_{name}" for name in ("a", "b", "both")])
        self.assertEqual((entry["name"], entry["origin"]), ("old-*", "test_old.py in start"))
        self.assertNotIn(self.folder, json.dumps(entry))
        status, rest = self.run_suite("--leak-known", "known.json")
        self.assertEqual((status, rest), (0, ["Growth over the run: threads 1 -> 4, tasks 0 -> 0", "Known: 3 leaks of 1 entry, in known.json"]))

    def test_learning_fails_nothing_more_and_nothing_less(self):
        """Without --leak-action log the leaks that are learnt fail their tests, as they always do."""
        status, rest = self.run_suite("--leak-learn", "known.json")
        self.assertEqual((status, rest[-1]), (1, "Known leaks in known.json: 1 (1 new, 0 removed)"))

    def test_a_new_one(self):
        """A test with a known leak and a new one fails for the new one, and says that there is a known one."""
        self.learn()
        self.plant(new=True)
        status, rest = self.run_suite("--leak-known", "known.json")
        self.assertEqual(status, 1)
        self.assertIn("LeakError: 1 leak after test_both (test_old.OldTests), waited ", self.errors)
        self.assertIn("Known: 1 leak of this check, on record in known.json\n", self.errors)
        self.assertIn("FAILED (failures=1)", self.errors)
        self.assertEqual(
            rest,
            [
                "Leaks: 1 in 1 test, by the line that created them",
                "     1 x thread   test_old.py:5 in start",
                "                  test_old.OldTests.test_both",
                "Growth over the run: threads 1 -> 5, tasks 0 -> 0",
                "Known: 3 leaks of 1 entry, in known.json",
            ],
        )

    def test_without_our_runner(self):
        """LEAKGUARD_KNOWN is read by the mixin under any runner; a broken file is an error that names the line."""
        self.learn()
        text = SUITE.replace("import threading", "import leakguard, threading").replace("unittest.TestCase", "leakguard.LeakGuardTestCase")
        self.plant(new=True, text=text)
        arguments = ("-m", "unittest", "test_old")
        environ = {"LEAKGUARD_KNOWN": "known.json", "LEAKGUARD_GRACE": "0", "PYTHONPATH": ROOT}
        process = run_python(*arguments, cwd=self.folder, **environ)
        self.assertIn("FAILED (failures=1)", process.stderr)
        with open(os.path.join(self.folder, "known.json"), "a") as file:
            file.write("}")
        process = run_python(*arguments, cwd=self.folder, **environ)
        line = len(knownfile.as_text([ONE._replace(waiting_in="x", tests=("a", "b", "c"))]).split("\n"))
        self.assertIn(f"ValueError: LEAKGUARD_KNOWN: known.json, line {line}: is not JSON: Extra data", process.stderr)

    def test_the_environment_under_our_runner(self):
        """LEAKGUARD_KNOWN does what --leak-known does, which wins over it; a bad file is status 2 before any test."""
        self.learn()
        self.assertEqual(self.run_suite(LEAKGUARD_KNOWN="known.json")[0], 0)
        self.assertEqual(self.run_suite("--leak-known", "known.json", LEAKGUARD_KNOWN="none.json")[0], 0)
        self.assertEqual(
            self.run_suite(LEAKGUARD_KNOWN="none.json"),
            (2, ["python -m leakguard: error: LEAKGUARD_KNOWN: none.json cannot be read: No such file or directory"]),
        )

    def test_fixed(self):
        """What its tests no longer show is named as fixed; a run of a part of them calls nothing fixed."""
        self.learn()
        self.plant(new=False, text=SUITE.replace('start("old-', 'str("'))
        self.assertEqual(self.run_suite("--leak-known", "known.json", "-k", "test_a"), (0, ["OK"]))
        line = "Fixed: thread 'old-*' of test_old.py in start (to remove: --leak-known known.json --leak-learn known.json)"
        self.assertEqual(self.run_suite("--leak-known", "known.json"), (0, [line]))

    def test_not_fixed(self):
        """Nothing is fixed where it was not looked for, or where a test did not get to its end."""
        self.learn()
        self.plant(new=False, text=SUITE.replace('start("old-', 'str("'))
        for options in (["--leak-action", "off"], ["--leak-scope", "key"], ["--leak-kinds", "task"]):
            with self.subTest(options):
                self.assertEqual(self.run_suite("--leak-known", "known.json", *options)[0], 0)
                self.assertNotIn("Fixed", self.errors)
        self.plant(new=False, text=SUITE.replace('start("old-1")', "self.skipTest('today')").replace('start("old-', 'str("'))
        self.assertEqual(self.run_suite("--leak-known", "known.json"), (0, ["OK (skipped=1)"]))

    def test_the_ratchet(self):
        """With both options what is fixed goes; what is new is not added, and fails."""
        self.plant(new=True, text=SUITE.replace('start("old-1")', 'start("gone")'))
        self.learn()
        self.edit(reason="it is old")
        before = self.known()
        self.assertEqual([entry["name"] for entry in before], ["gone", "new", "old-*"])
        self.plant(new=True, text=SUITE.replace('start("old-1")', "pass").replace('start("old-2")', 'start("another")'))
        status, rest = self.run_suite("--leak-known", "known.json", "--leak-learn", "other.json")
        self.assertEqual((status, rest[-1]), (1, "Known leaks in other.json: 2 (2 new, 0 removed)"))
        self.assertEqual(self.known("other.json"), before[1:])
        status, rest = self.run_suite("--leak-known", "known.json", "--leak-learn", "known.json")
        self.assertEqual((status, rest[-1]), (1, "Known leaks in known.json: 2 (0 new, 1 removed)"))
        self.assertEqual(self.known(), before[1:])

    def test_learn_again(self):
        """--leak-learn alone writes the leaks of this run; what people wrote of those that stay is kept."""
        self.learn()
        self.edit(reason="it is old", since="2020-01-01", owner="we", expires="2020-02-01")
        self.plant(new=True)
        self.assertEqual(self.learn()[1][-1], "Known leaks in known.json: 2 (1 new, 0 removed)")
        new, old = self.known()
        self.assertEqual(new["name"], "new")
        self.assertNotIn("reason", new)
        self.assertEqual([old[name] for name in ("reason", "since", "owner", "expires")], ["it is old", "2020-01-01", "we", "2020-02-01"])

    def test_expired(self):
        """An entry that has expired fails its leak again, and the message says when and whose it was."""
        self.learn()
        self.edit(expires="2026-01-31", owner="the hub team")
        self.assertEqual(self.run_suite("--leak-known", "known.json")[0], 1)
        self.assertIn("FAILED (failures=3)", self.errors)
        self.assertIn("\nExpired: thread 'old-*' was a known leak until 2026-01-31 (owner: the hub team)\n", self.errors)

    def test_the_threshold(self):
        """It counts what is not known."""
        self.learn()
        self.plant(new=True)
        self.assertEqual(self.run_suite("--leak-known", "known.json", "--leak-threshold", "1")[0], 0)

    def test_what_the_report_says(self):
        """A known leak is in the report, as known and not counted."""
        self.learn()
        self.run_suite("--leak-known", "known.json", "--leak-report", "leaks.json")
        with open(os.path.join(self.folder, "leaks.json")) as file:
            leaks = json.load(file)["leaks"]
        self.assertEqual([(one["known"], one["counted"]) for one in leaks], [(True, False)] * 3)

    def test_usage(self):
        """A file that cannot be is status 2 and one line, before any test."""
        with open(os.path.join(self.folder, "bad.json"), "w") as file:
            file.write('{"version": 1,\n"leaks": 3}')
        bad = 'bad.json, line 1: must be an object with "version": 1 and "leaks": [...], as --leak-learn writes it'
        for arguments, what in [
            (["--leak-known", "none.json"], "--leak-known: none.json cannot be read: No such file or directory"),
            (["--leak-known", "bad.json"], f"--leak-known: {bad}"),
            (["--leak-learn", "bad.json"], f"--leak-learn: {bad}"),
            (["--leak-learn", "no/x.json"], "--leak-learn: FILE must be in a folder that exists (got 'no/x.json')"),
        ]:
            with self.subTest(arguments):
                self.assertEqual(self.run_suite(*arguments), (2, [f"python -m leakguard: error: {what}"]))

    def test_a_run_of_nothing(self):
        """A run without a test, a mistyped pattern, does not wipe the record, nor does one that is stopped."""
        self.learn()
        before = self.known()
        said = "Known leaks in known.json: not written, since the run did not come to its end"
        for arguments, expected in [(["-k", "no_such_test"], 5), (["-f"], 1)]:
            with self.subTest(arguments):
                status, rest = self.run_suite("--leak-learn", "known.json", *arguments)
                self.assertEqual((status, rest[-1]), (expected, said))
                self.assertEqual(self.known(), before)

    def test_a_module_that_cannot_be_imported(self):
        """A mistyped module, alone or beside others, does not wipe the record: what its tests leak was not looked for."""
        self.learn()
        before = self.known()
        said = "Known leaks in known.json: not written, since the run did not come to its end"
        for arguments in (["test_old_mistyped"], ["test_old.NoSuchTests"], ["test_old", "test_old_mistyped"]):
            with self.subTest(arguments):
                report = ["--leak-report", "run.json"]
                status, rest = self.run_suite("--leak-learn", "known.json", *report, *arguments)
                self.assertEqual((status, rest[-1]), (1, said))
                process = run_python(
                    *("-B", "-m", "leakguard", "--leak-merge", "run.json", "--leak-learn", "known.json"),
                    cwd=self.folder, PYTHONPATH=ROOT,
                )
                self.assertEqual((process.returncode, process.stderr.splitlines()[-1]), (1, said))
                self.assertEqual(self.known(), before)

    def test_tests_that_go_elsewhere(self):
        """A relative FILE is one of the folder that the run began in."""
        self.plant(new=False, text=SUITE + "\nimport os\ndef tearDownModule():\n    os.chdir('/')\n")
        self.learn()
        self.assertEqual([entry["name"] for entry in self.known()], ["old-*"])

    def test_a_link(self):
        """A link to the file stays one, and the file that it leads to keeps its mode."""
        os.mkdir(os.path.join(self.folder, "shared"))
        real, link = (os.path.join(self.folder, *path) for path in (("shared", "k.json"), ("known.json",)))
        with open(real, "w") as file:
            file.write(knownfile.as_text([]))
        os.chmod(real, 0o602)
        os.symlink(os.path.join("shared", "k.json"), link)
        self.learn()
        self.assertTrue(os.path.islink(link))
        self.assertEqual(len(self.known(os.path.join("shared", "k.json"))), 1)
        self.assertEqual(stat.S_IMODE(os.stat(real).st_mode), 0o602)
        self.assertEqual(os.listdir(os.path.dirname(real)), ["k.json"])

    def test_a_place_that_is_nobody_s(self):
        """Where a thing waits in the standard library, with no code of the suite on its stack, it has no place."""
        self.learn()
        (entry,) = self.known()
        self.assertEqual((entry.get("place"), entry["waiting_in"]), (None, "threading.Event.wait"))

    def test_a_full_disk(self):
        """It is said, the status is 1, and the old file is as it was, with nothing beside it."""
        self.learn()
        before = self.known()
        script = (
            "import sys\n"
            "from leakguard import cli\n"
            "import leakguard.report.files as files\n"
            "def full(file, *args, **kwargs):\n"
            "    import os\n"
            "    os.close(file)\n"
            "    return open('/dev/full', *args, **kwargs)\n"
            "files.open = full\n"
            "sys.exit(cli.main(['--leak-action', 'log', '--leak-learn', 'known.json', 'test_old']))\n"
        )
        process = run_python("-B", "-c", script, cwd=self.folder, PYTHONPATH=os.pathsep.join([self.folder, ROOT]))
        self.assertEqual(process.returncode, 1)
        self.assertTrue(
            process.stderr.endswith(
                "python -m leakguard: error: known leaks could not be written to known.json: "
                "[Errno 28] No space left on device\n"
            ),
            process.stderr,
        )
        self.assertEqual(self.known(), before)
        self.assertEqual(sorted(os.listdir(self.folder)), ["known.json", "test_old.py"])


class DocsTests(unittest.TestCase):
    def test_the_page(self):
        """The file that the page shows can be read, and its table has every field and no other."""
        page = os.path.join(ROOT, "docs", "reference", "known-leaks.rst")
        with open(page, encoding="utf-8") as file:
            text = file.read()
        block = text[text.index(".. code-block:: json") :].split("\n\n")[1]
        (entry,) = FileTests.read(self, block)
        self.assertEqual(entry.owner, "the hub team")
        rows = [row[0].strip("`") for row in table_rows("docs/reference/known-leaks.rst", "field") if row[0]]
        self.assertEqual(rows, list(Entry._fields))

    def test_the_example_that_ships(self):
        """Its leaks have the fingerprints that are on record, on this Python."""
        path = os.path.join(ROOT, "docs", "examples", "chat", "known-leaks.json")
        self.assertEqual([entry.name for entry in knownfile.read(path)], ["chat-heartbeat", "chat-archive"])
        process = run_python(
            *("-m", "leakguard", "--leak-known", path, "--leak-grace", "0.1", "discover", "-s", "docs/examples/chat"),
            *("-p", "test_leaking.py"),
            cwd=ROOT,
        )
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertIn("Known: 4 leaks of 2 entries", process.stderr)


class InForceTests(unittest.TestCase):
    def test_read_once(self):
        """A file of the environment is read once in a process; 2,000 entries cost a clean test nothing."""
        entries = [ONE._replace(fingerprint=f"{n:016x}") for n in range(2000)]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "known.json")
            with open(path, "w") as file:
                file.write(knownfile.as_text(entries))
            with mock.patch.dict(os.environ, {known.VARIABLE: path}), mock.patch.object(known, "command_line", []):
                first = known.in_force()
                self.addCleanup(known._read.pop, path)
                self.assertEqual(len(first.entries), 2000)
                self.assertIs(known.in_force(), first)


if __name__ == "__main__":
    unittest.main()
