"""`leakguard.model`: findings are frozen plain data, and every name can be printed."""

import json
import pickle
import traceback
import unittest

import leakguard
from leakguard.model import Leak, LeakError, LeakReport, Place, printable


def leak(**changes):
    """A leak with every field set, or changed."""
    values = {
        "kind": "thread",
        "name": "hub-reader-3",
        "state": "daemon, alive",
        "owner": "tests.test_hub.HubTests.test_broadcast",
        "origin": "chat/hub.py:88 in Hub._start_reader",
        "now_at": ("threading.py:1 in Event.wait", "chat/hub.py:97 in Hub._read"),
        "place": "chat/hub.py:97 in Hub._read",
        "waiting_in": "queue.Queue.get",
        "hint": "stop it",
        "fingerprint": "0123456789abcdef",
        "aliases": ("threading.Thread", "chat.hub.Hub._read"),
        "blocks_exit": True,
        "counted": False,
    }
    return Leak(**{**values, **changes})


class LeakTests(unittest.TestCase):
    def test_as_dict_is_plain_json_with_test_for_the_owner(self):
        """Every field is in the dict under its own name, only the owner is called ``test``; tuples are lists."""
        expected = {
            "kind": "thread",
            "name": "hub-reader-3",
            "state": "daemon, alive",
            "test": "tests.test_hub.HubTests.test_broadcast",
            "origin": "chat/hub.py:88 in Hub._start_reader",
            "now_at": ["threading.py:1 in Event.wait", "chat/hub.py:97 in Hub._read"],
            "place": "chat/hub.py:97 in Hub._read",
            "waiting_in": "queue.Queue.get",
            "hint": "stop it",
            "fingerprint": "0123456789abcdef",
            "aliases": ["threading.Thread", "chat.hub.Hub._read"],
            "blocks_exit": True,
            "counted": False,
            "known": False,
            "verdict": "",
            "awaited_by": [],
            "origin_stack": [],
            "cancels": 0,
        }
        self.assertEqual(leak().as_dict(), expected)
        self.assertEqual(json.loads(json.dumps(leak().as_dict())), expected)

    def test_unknown_is_none_and_a_leak_counts(self):
        """What is not given is unknown, empty or false; only ``counted`` is true by itself."""
        plain = Leak("task", "ping", "pending", "an.owner")
        self.assertEqual(
            plain.as_dict(),
            {
                "kind": "task",
                "name": "ping",
                "state": "pending",
                "test": "an.owner",
                "origin": None,
                "now_at": [],
                "place": None,
                "waiting_in": None,
                "hint": "",
                "fingerprint": "",
                "aliases": [],
                "blocks_exit": False,
                "counted": True,
                "known": False,
                "verdict": "",
                "awaited_by": [],
                "origin_stack": [],
                "cancels": 0,
            },
        )

    def test_is_frozen_and_compared_by_value(self):
        """Equal leaks are equal and hash alike; none can be changed."""
        self.assertEqual(leak(), leak())
        self.assertEqual(len({leak(), leak(), leak(name="other")}), 2)
        for thing, name in ((leak(), "name"), (Place("a.py", 1, "f"), "line"), (LeakReport("test", "o", "t"), "note")):
            with self.subTest(type(thing).__name__), self.assertRaises(AttributeError):
                setattr(thing, name, "x")

    def test_place_is_path_line_function(self):
        """A place reads ``path:line in function``."""
        self.assertEqual(str(Place("chat/hub.py", 88, "Hub._start")), "chat/hub.py:88 in Hub._start")

    def test_an_empty_report_says_that_nothing_was_found(self):
        """Without more, a report has no leak, waited for nothing and has no note."""
        report = LeakReport("test", "an.id", "a title")
        self.assertEqual((report.leaks, report.waited, report.note, report.ignored), ((), 0.0, "", ()))


class LeakErrorTests(unittest.TestCase):
    def test_is_an_assertion_error(self):
        """A leak is a failure of the test, not an error."""
        self.assertTrue(issubclass(LeakError, AssertionError))
        self.assertIs(leakguard.LeakError, LeakError)

    def test_shows_as_the_name_that_users_import(self):
        """Tracebacks show ``leakguard.LeakError``."""
        error = LeakError("1 leak after test_x", (leak(),))
        lines = traceback.format_exception_only(LeakError, error)
        self.assertEqual(lines, ["leakguard.LeakError: 1 leak after test_x\n"])

    def test_has_its_leaks_as_a_tuple(self):
        """``.leaks`` is a tuple whatever was given, and empty if nothing was."""
        self.assertEqual(LeakError("m", [leak()]).leaks, (leak(),))
        self.assertEqual((str(LeakError()), LeakError().leaks), ("", ()))

    def test_survives_pickling(self):
        """Every protocol keeps class, text and leaks."""
        error = LeakError("2 leaks\n\n  thread 'a'", (leak(), leak(name="b")))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with self.subTest(protocol=protocol):
                copy = pickle.loads(pickle.dumps(error, protocol))
                self.assertIs(type(copy), LeakError)
                self.assertEqual((str(copy), copy.args, copy.leaks), (str(error), error.args, error.leaks))


class BrokenText:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class NotQuiteText:
    def __str__(self):
        return 7


class PrintableTests(unittest.TestCase):
    def test_any_object_is_one_line(self):
        """Control characters, line ends, surrogates and direction marks are escaped, other scripts are kept."""
        table = [
            ("hub-reader-3", "hub-reader-3"),
            ("", ""),
            ("a b", "a b"),
            ("naïve 名前", "naïve 名前"),
            ("two\nlines\r\n", "two\\nlines\\r\\n"),
            ("tab\tbell\x07nul\0esc\x1b[31m", "tab\\tbell\\x07nul\\x00esc\\x1b[31m"),
            ("\x85\u2028\u202e\u200b", "\\x85\\u2028\\u202e\\u200b"),
            ("\ud800", "\\ud800"),
            ("\U000e0001", "\\U000e0001"),
            (None, "None"),
            (7, "7"),
            (b"raw", "b'raw'"),
            (BrokenText(), "<BrokenText: RuntimeError in __str__>"),
            (NotQuiteText(), "<NotQuiteText: TypeError in __str__>"),
        ]
        for given, expected in table:
            with self.subTest(expected):
                self.assertEqual(printable(given), expected)
                self.assertTrue(printable(given).isprintable())

    def test_is_cut_at_its_limit(self):
        """At most 120 characters, or as many as are asked for; what is cut ends in three dots."""
        table = [
            ("x" * 120, 120, "x" * 120),
            ("x" * 121, 120, "x" * 117 + "..."),
            ("x" * 1_000_000, 120, "x" * 117 + "..."),
            ("\n" * 1_000_000, 120, ("\\n" * 60)[:117] + "..."),
            ("abcdef", 5, "ab..."),
            ("abcde", 5, "abcde"),
        ]
        for given, limit, expected in table:
            with self.subTest(length=len(given), limit=limit):
                self.assertEqual(printable(given, limit), expected)
        self.assertEqual(len(printable("y" * 1_000_000)), 120)

    def test_a_str_subclass_is_taken_as_it_is(self):
        """A name that is a kind of str is read as text, not through its own ``__str__``."""

        class Name(str):
            def __str__(self):
                raise RuntimeError("not asked for")

        self.assertEqual(printable(Name("reader")), "reader")


if __name__ == "__main__":
    unittest.main()
