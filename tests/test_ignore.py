"""`leakguard.ignore`: rules are parsed strictly and match narrowly."""

import unittest

from leakguard.ignore import BUILT_IN, Rule, find_rule, parse_rule, parse_rules

KINDS = ("process", "thread")
FORM = 'leak_ignore must be rules of the form "kind:glob" or "kind:glob@origin-glob" (got {})'
KIND = "leak_ignore must name a kind of *, process, thread (got {})"


class ParseTests(unittest.TestCase):
    def test_good_rules(self):
        """A rule is kind, colon, glob and perhaps an origin after the first @; it reads as it was written."""
        table = [
            ("thread:hub-*", Rule("thread", "hub-*")),
            ("*:hub-*", Rule("*", "hub-*")),
            ("thread:a:b", Rule("thread", "a:b")),
            ("thread:a@chat/hub.py", Rule("thread", "a", "chat/hub.py")),
            ("thread:a@chat/hub.py:88 in *", Rule("thread", "a", "chat/hub.py:88 in *")),
            ("process:x@y@z", Rule("process", "x", "y@z")),
            ("thread: ", Rule("thread", " ")),
        ]
        for text, expected in table:
            with self.subTest(text):
                self.assertEqual(parse_rule(text, KINDS), expected)
                self.assertEqual(str(parse_rule(text, KINDS)), text)
        self.assertEqual(parse_rule("thread:a", KINDS, "why"), Rule("thread", "a", "", "why"))

    def test_bad_rules(self):
        """A rule that cannot be read is a ValueError with what was wanted and what came."""
        table = [
            ("", FORM, "''"),
            ("thread", FORM, "'thread'"),
            ("thread:", FORM, "'thread:'"),
            ("thread:a@", FORM, "'thread:a@'"),
            ("thread:@a", FORM, "'thread:@a'"),
            (":a", KIND, "':a'"),
            ("threads:a", KIND, "'threads:a'"),
            ("thr*:a", KIND, "'thr*:a'"),
            (" thread:a", KIND, "' thread:a'"),
            (None, FORM, "None"),
            (3, FORM, "3"),
            (b"thread:a", FORM, "b'thread:a'"),
        ]
        for text, wanted, got in table:
            with self.subTest(text=text), self.assertRaises(ValueError) as caught:
                parse_rule(text, KINDS)
            self.assertEqual(str(caught.exception), wanted.format(got))

    def test_collections(self):
        """One string, any iterable of strings, or a mapping from rules to reasons."""
        a, b = Rule("thread", "a"), Rule("process", "b")
        table = [
            ("thread:a", (a,)),
            ((), ()),
            (["thread:a", "process:b"], (a, b)),
            (("thread:a",), (a,)),
            ({"thread:a"}, (a,)),
            (iter(["thread:a"]), (a,)),
            ({"thread:a": "why", "process:b": ""}, (Rule("thread", "a", "", "why"), b)),
        ]
        for value, expected in table:
            with self.subTest(value=value):
                self.assertEqual(parse_rules(value, KINDS), expected)

    def test_bad_collections(self):
        """What is no collection of rules, or has no text for a reason, is a ValueError."""
        reason = "leak_ignore must map a rule to its reason, a str (got {})"
        table = [
            (None, FORM.format("None")),
            (3, FORM.format("3")),
            ([["thread:a"]], FORM.format("['thread:a']")),
            ([None], FORM.format("None")),
            ({"thread:a": None}, reason.format("None")),
            ({"thread:a": 3}, reason.format("3")),
            ({"a": "why"}, FORM.format("'a'")),
            ([{"thread:a": "why"}], FORM.format("{'thread:a': 'why'}")),
        ]
        for value, expected in table:
            with self.subTest(value=value), self.assertRaises(ValueError) as caught:
                parse_rules(value, KINDS)
            self.assertEqual(str(caught.exception), expected)


class MatchTests(unittest.TestCase):
    def find(self, rule, *, origin=None):
        """Whether a rule, as text, matches thread Thread-7 of a library's class and a hub's function."""
        rules = (parse_rule(rule, ("process", "thread", "task")),)
        aliases = ("tqdm.std.Monitor", "chat.hub.Hub._read")
        return find_rule(rules, "thread", "Thread-7", aliases, lambda: origin) is not None

    def test_names(self):
        """The glob is held against the whole name, the whole class and the whole target, case and all."""
        table = [
            ("thread:Thread-7", True),
            ("thread:Thread-*", True),
            ("thread:Thread-?", True),
            ("thread:Thread-[0-9]", True),
            ("thread:*", True),
            ("*:Thread-7", True),
            ("thread:tqdm.std.Monitor", True),
            ("thread:tqdm.*", True),
            ("thread:chat.hub.Hub._read", True),
            ("thread:*._read", True),
            ("thread:thread-7", False),
            ("thread:Thread", False),
            ("thread:hread-7", False),
            ("thread:_read", False),
            ("thread:std.Monitor", False),
            ("task:Thread-7", False),
            ("process:*", False),
        ]
        for rule, expected in table:
            with self.subTest(rule):
                self.assertIs(self.find(rule), expected)

    def test_origins(self):
        """The part after @ is held against the path, the path and line, and the whole origin."""
        origin = "chat/hub.py:88 in Hub._start"
        table = [
            ("thread:*@chat/hub.py", True),
            ("thread:*@chat/*", True),
            ("thread:*@*.py", True),
            ("thread:*@chat/hub.py:88", True),
            ("thread:*@chat/hub.py:*", True),
            ("thread:*@* in Hub._start", True),
            ("thread:*@*Hub.*", True),
            ("thread:*@hub.py", False),
            ("thread:*@chat", False),
            ("thread:*@chat/hub.py:8", False),
            ("thread:*@Hub._start", False),
            ("thread:other@chat/hub.py", False),
        ]
        for rule, expected in table:
            with self.subTest(rule):
                self.assertIs(self.find(rule, origin=origin), expected)

    def test_an_unknown_origin_matches_no_rule_that_wants_one(self):
        """Not even ``@*``: nobody knows where the thing was made."""
        self.assertFalse(self.find("thread:*@*", origin=None))
        self.assertTrue(self.find("thread:*", origin=None))

    def test_the_origin_is_looked_up_only_when_needed(self):
        """To find the origin costs: only a rule that wants one, and whose name fits, asks for it."""

        def origin():
            raise AssertionError("not needed")

        rules = parse_rules(["thread:other@x", "task:a@x", "thread:a"], ("thread", "task"))
        self.assertEqual(find_rule(rules, "thread", "a", (), origin), rules[2])

    def test_the_first_rule_that_matches_is_returned(self):
        """Order decides which rule counts as used."""
        rules = parse_rules(["thread:x", "thread:a*", "thread:*"], ("thread",))
        self.assertEqual(find_rule(rules, "thread", "ab", (), lambda: None), rules[1])
        self.assertIsNone(find_rule(rules[:1], "thread", "ab", (), lambda: None))
        self.assertIsNone(find_rule((), "thread", "ab", (), lambda: None))


MATCHES = {
    "thread:tqdm._monitor.TMonitor": (
        ("tqdm._monitor.TMonitor", "tqdm._monitor.TMonitor.run"),
        ("tqdm_monitor.TMonitor", "app.TMonitor.run"),
    ),
    "thread:_pydevd_bundle.*": (
        ("_pydevd_bundle.pydevd_comm.ReaderThread", "_pydevd_bundle.pydevd_comm.ReaderThread.run"),
        ("my_pydevd_bundle.comm.ReaderThread", "app.ReaderThread.run"),
    ),
    "thread:_pydev_bundle.*": (
        ("threading.Thread", "_pydev_bundle.pydev_monkey._run"),
        ("threading.Thread", "app._pydev_bundle.run"),
    ),
    "thread:pydevd.*": (("pydevd.CheckAliveThread", "pydevd.CheckAliveThread.run"), ("pydevd_like.Check", "app.run")),
    "thread:debugpy.*": (("threading.Thread", "debugpy.adapter.serve"), ("threading.Thread", "app.debugpy.serve")),
    "thread:IPython.core.history.HistorySavingThread": (
        ("IPython.core.history.HistorySavingThread", "IPython.core.history.HistorySavingThread.run"),
        ("IPython.core.history.OtherThread", "app.core.history.HistorySavingThread.run"),
    ),
    "thread:multiprocessing.resource_sharer._ResourceSharer._serve": (
        ("threading.Thread", "multiprocessing.resource_sharer._ResourceSharer._serve"),
        ("threading.Thread", "app.resource_sharer._ResourceSharer._serve"),
    ),
    "thread:asyncio.unix_events.ThreadedChildWatcher._do_waitpid": (
        ("threading.Thread", "asyncio.unix_events.ThreadedChildWatcher._do_waitpid"),
        ("threading.Thread", "app.watcher.ThreadedChildWatcher._do_waitpid"),
    ),
}
"""For each built-in rule the class and target of a thing that it matches, and of a near miss."""


class BuiltInTests(unittest.TestCase):
    def test_each_is_in_the_table(self):
        """Nobody adds a built-in rule without a thing that it matches and a near miss."""
        self.assertEqual([str(rule) for rule in BUILT_IN], list(MATCHES))

    def test_each_matches_its_thing_and_no_near_miss(self):
        """A built-in rule names module and class or function, in full."""
        for rule in BUILT_IN:
            kind, (thing, near_miss) = rule.kind, MATCHES[str(rule)]
            other = "task" if kind == "thread" else "thread"
            with self.subTest(str(rule)):
                self.assertIs(find_rule(BUILT_IN, kind, "Thread-1", thing, lambda: None), rule)
                self.assertIsNone(find_rule(BUILT_IN, kind, "Thread-1", near_miss, lambda: None))
                self.assertIsNone(find_rule(BUILT_IN, other, "Thread-1", thing, lambda: None))

    def test_each_is_held_against_class_and_target_only(self):
        """A thing of the user's own that has the name of a built-in is the user's."""
        for rule in BUILT_IN:
            with self.subTest(str(rule)):
                self.assertIsNone(find_rule(BUILT_IN, rule.kind, rule.glob, ("app.Reader", "app.read"), lambda: None))
                self.assertIsNone(find_rule(BUILT_IN, rule.kind, rule.glob, (), lambda: None))

    def test_each_has_a_reason_and_a_dotted_name(self):
        """No bare name: that would swallow users' own code."""
        for rule in BUILT_IN:
            with self.subTest(str(rule)):
                self.assertTrue(rule.reason)
                self.assertTrue(rule.built_in)
                self.assertIn(".", rule.glob.rstrip("*"))
                self.assertNotIn(rule.kind, ("*", ""))
                self.assertEqual(rule.glob.rstrip("*").count("*"), 0)

    def test_a_users_own_rule_of_the_same_text_sees_the_name(self):
        """Only built-in rules leave the name out."""
        rule = parse_rule("thread:pydevd.*", ("thread",))
        self.assertIs(find_rule((*BUILT_IN, rule), "thread", "pydevd.mine", ("app.Reader",), lambda: None), rule)


if __name__ == "__main__":
    unittest.main()
