"""`leakguard.policy`: one table of options, each checked when it is given; precedence field by field."""

import contextlib
import enum
import os
import sys
import unittest
import warnings
from unittest import mock

from leakguard import policy
from leakguard.case import LeakGuardMixin, LeakGuardTestCase
from leakguard.guard import LeakGuard
from leakguard.ignore import Rule
from leakguard.policy import Policy, check_options, key_category, key_test, leak_policy, read_environment, resolve

ACTION = "leak_action must be one of fail, log, off (got {})"
SCOPE = "leak_scope must be one of all, key (got {})"
THRESHOLD = "leak_threshold must be a number of leaks, an int >= 0 (got {})"
GRACE = "leak_grace must be a number of seconds >= 0 (got {})"
ALL_KINDS = tuple(kind for kind in policy.KINDS if kind != "native" or sys.platform == "linux")
KINDS = (
    'leak_kinds must be "all" or kinds of environ, exception, file, native, process, task, tempfile, thread, timer '
    "(got {})"
)
STACKS = "leak_stacks must be true or false (got {})"
FORM = 'leak_ignore must be rules of the form "kind:glob" or "kind:glob@origin-glob" (got {})'
KIND = "leak_ignore must name a kind of *, process, thread, task, timer, file, exception, tempfile, environ (got {})"
VERDICTS = "leak_verdicts must be True or False, yes or no as text (got {})"
REASON = "leak_ignore must map a rule to its reason, a str (got {})"


class Level(enum.IntEnum):
    """A user's own number."""

    TWO = 2


GOOD = [
    ("action", "fail", "fail"),
    ("action", "log", "log"),
    ("action", "off", "off"),
    ("scope", "all", "all"),
    ("scope", "key", "key"),
    ("stacks", True, True),
    ("stacks", False, False),
    ("verdicts", True, True),
    ("verdicts", False, False),
    ("threshold", 0, 0),
    ("threshold", 10**30, 10**30),
    ("threshold", Level.TWO, 2),
    ("grace", 0, 0.0),
    ("grace", 0.05, 0.05),
    ("grace", 3, 3.0),
    ("kinds", "all", ALL_KINDS),
    ("kinds", "thread", ("thread",)),
    ("kinds", ("task", "process"), ("process", "task")),
    ("kinds", ["thread", "thread"], ("thread",)),
    ("kinds", {"task"}, ("task",)),
    ("kinds", iter(["task"]), ("task",)),
    ("ignore", (), ()),
    ("ignore", "thread:a", (Rule("thread", "a"),)),
    ("ignore", ["thread:a", "*:b@c"], (Rule("thread", "a"), Rule("*", "b", "c"))),
    ("ignore", {"task:x": "why"}, (Rule("task", "x", "", "why"),)),
]

BAD = [
    ("action", "explode", ACTION, "'explode'"),
    ("action", "FAIL", ACTION, "'FAIL'"),
    ("action", "", ACTION, "''"),
    ("action", None, ACTION, "None"),
    ("action", False, ACTION, "False"),
    ("action", ["fail"], ACTION, "['fail']"),
    ("scope", "some", SCOPE, "'some'"),
    ("scope", 1, SCOPE, "1"),
    ("stacks", "true", STACKS, "'true'"),
    ("stacks", 1, STACKS, "1"),
    ("stacks", None, STACKS, "None"),
    ("threshold", -1, THRESHOLD, "-1"),
    ("threshold", 1.0, THRESHOLD, "1.0"),
    ("threshold", True, THRESHOLD, "True"),
    ("threshold", "2", THRESHOLD, "'2'"),
    ("threshold", None, THRESHOLD, "None"),
    ("grace", -1, GRACE, "-1"),
    ("grace", -0.001, GRACE, "-0.001"),
    ("grace", float("nan"), GRACE, "nan"),
    ("grace", float("inf"), GRACE, "inf"),
    ("grace", 10**310, GRACE, "1" + "0" * 310),
    ("grace", False, GRACE, "False"),
    ("grace", "1", GRACE, "'1'"),
    ("grace", None, GRACE, "None"),
    ("kinds", (), KINDS, "()"),
    ("kinds", "", KINDS, "''"),
    ("kinds", "threads", KINDS, "'threads'"),
    ("kinds", ("thread", "socket"), KINDS, "('thread', 'socket')"),
    ("kinds", ("thread", 3), KINDS, "('thread', 3)"),
    ("kinds", [["thread"]], KINDS, "[['thread']]"),
    ("kinds", ("all",), KINDS, "('all',)"),
    ("kinds", 3, KINDS, "3"),
    ("kinds", None, KINDS, "None"),
    ("verdicts", "yes", VERDICTS, "'yes'"),
    ("verdicts", 1, VERDICTS, "1"),
    ("ignore", "hub-reader", FORM, "'hub-reader'"),
    ("ignore", 3, FORM, "3"),
    ("ignore", None, FORM, "None"),
    ("ignore", [3], FORM, "3"),
    ("ignore", ["socket:x"], KIND, "'socket:x'"),
    ("ignore", {"thread:x": None}, REASON, "None"),
]

TEXTS = [
    ("ACTION", "log", "action", "log"),
    ("ACTION", "  off ", "action", "off"),
    ("THRESHOLD", "3", "threshold", 3),
    ("GRACE", "0.25", "grace", 0.25),
    ("GRACE", "1e-3", "grace", 0.001),
    ("GRACE", " 2 ", "grace", 2.0),
    ("KINDS", "all", "kinds", ALL_KINDS),
    ("KINDS", "task,thread", "kinds", ("thread", "task")),
    ("KINDS", " task ,  process ", "kinds", ("process", "task")),
    ("IGNORE", "thread:a", "ignore", (Rule("thread", "a"),)),
    ("IGNORE", " thread:a b ; task:c@d.py ;; ", "ignore", (Rule("thread", "a b"), Rule("task", "c", "d.py"))),
    ("SCOPE", "key", "scope", "key"),
    ("STACKS", "true", "stacks", True),
    ("STACKS", " 1 ", "stacks", True),
    ("STACKS", "No", "stacks", False),
    ("VERDICTS", "yes", "verdicts", True),
    ("VERDICTS", " NO ", "verdicts", False),
]

BAD_TEXTS = [
    ("ACTION", "explode", ACTION, "'explode'"),
    ("THRESHOLD", "-1", THRESHOLD, "-1"),
    ("THRESHOLD", "1.5", THRESHOLD, "1.5"),
    ("THRESHOLD", "many", THRESHOLD, "'many'"),
    ("GRACE", "-1", GRACE, "-1"),
    ("GRACE", "nan", GRACE, "nan"),
    ("GRACE", "inf", GRACE, "inf"),
    ("GRACE", "2 s", GRACE, "'2 s'"),
    ("GRACE", "it must be short", GRACE, "'it must be short'"),
    ("KINDS", "thread,socket", KINDS, "('thread', 'socket')"),
    ("KINDS", ",", KINDS, "()"),
    ("IGNORE", "hub-reader", FORM, "'hub-reader'"),
    ("IGNORE", "thread:a;socket:b", KIND, "'socket:b'"),
    ("SCOPE", "some", SCOPE, "'some'"),
    ("STACKS", "full", STACKS, "'full'"),
    ("VERDICTS", "maybe", VERDICTS, "'maybe'"),
]


def environment(**variables):
    """Set just these ``LEAKGUARD_`` variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEAKGUARD_")}
    kept.update({f"LEAKGUARD_{name}": value for name, value in variables.items()})
    return mock.patch.dict(os.environ, kept, clear=True)


class PolicyTestCase(unittest.TestCase):
    """Tests that no variable and no flag of the run reaches."""

    def setUp(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(environment())
            stack.enter_context(mock.patch.dict(policy.command_line, clear=True))
            self.addCleanup(stack.pop_all().close)


class OptionTests(PolicyTestCase):
    def test_good_values(self):
        """Every good value is taken, numbers as numbers, kinds in the order in which they are looked at."""
        for name, given, expected in GOOD:
            with self.subTest(option=name, given=given):
                checked = check_options({name: given})
                self.assertEqual(checked, {name: expected})
                self.assertIs(type(checked[name]), type(expected))

    def test_bad_values_of_options(self):
        """A bad value is a ValueError that says what, what was wanted and what came."""
        for name, given, text, got in BAD:
            with self.subTest(option=name, given=given), self.assertRaises(ValueError) as caught:
                check_options({name: given})
            self.assertEqual(str(caught.exception), text.format(got))

    def test_bad_values_of_class_attributes(self):
        """The same error comes when the class is defined."""
        for name, given, text, got in BAD:
            with self.subTest(option=name, given=given), self.assertRaises(ValueError) as caught:
                type("Tests", (LeakGuardTestCase,), {f"leak_{name}": given})
            self.assertEqual(str(caught.exception), text.format(got))

    def test_bad_values_of_decorators(self):
        """The same error comes where ``@leak_policy`` or ``LeakGuard`` stands, before it decorates anything."""
        for name, given, text, got in BAD:
            for taker in (leak_policy, LeakGuard):
                with self.subTest(option=name, given=given, taker=taker), self.assertRaises(ValueError) as caught:
                    taker(**{name: given})
                self.assertEqual(str(caught.exception), text.format(got))

    def test_defaults(self):
        """Fail at the first leak, after half a second, of every default kind, in all tests."""
        expected = Policy("fail", 0, 0.5, ("process", "thread", "task"), (), "all")
        self.assertEqual(resolve(), expected)
        self.assertEqual(Policy(), expected)

    def test_a_default_of_the_table_is_the_default_of_the_policy(self):
        """The table, which the help shows, and the policy agree."""
        for option in policy.OPTIONS:
            with self.subTest(option.name):
                self.assertEqual(option.check(option.default), getattr(Policy(), option.name))
        self.assertEqual([o.name for o in policy.OPTIONS], list(Policy._fields))
        self.assertLess(set(policy.DEFAULT_KINDS), set(policy.KINDS))

    def test_unknown_options(self):
        """A name that is no option is a TypeError naming the known ones, for decorator and block alike."""
        for taker in (leak_policy, LeakGuard):
            with self.subTest(taker=taker), self.assertRaises(TypeError) as caught:
                taker(gracious=1, zeal=2)
            self.assertEqual(
                str(caught.exception),
                "gracious is not an option; known ones: action, threshold, grace, kinds, ignore, scope, stacks, verdicts",
            )


class EnvironmentTests(PolicyTestCase):
    def test_misspelt(self):
        """A variable that begins like ours and is none is a ValueError, for a class with the mixin, too."""
        message = "LEAKGUARD_GRCE is not an option; known ones: LEAKGUARD_ACTION, LEAKGUARD_THRESHOLD, LEAKGUARD_GRACE, "
        with mock.patch.dict(os.environ, LEAKGUARD_GRCE="1"), mock.patch.object(policy, "_names_are_checked", False):
            for check in (policy.check_environment, lambda: type("Case", (LeakGuardMixin, unittest.TestCase), {})):
                with self.assertRaises(ValueError) as caught:
                    check()
                self.assertTrue(str(caught.exception).startswith(message), caught.exception)
            with mock.patch.dict(os.environ, LEAKGUARD_KNOWN="known.json"):
                del os.environ["LEAKGUARD_GRCE"]
                policy.check_environment()

    def test_good_texts(self):
        """Each variable is read as its option's value; space around it does not count."""
        for variable, text, name, expected in TEXTS:
            with self.subTest(variable=variable, text=text), environment(**{variable: text}):
                self.assertEqual(read_environment(), {name: expected})
                self.assertEqual(getattr(resolve(), name), expected)

    def test_bad_texts_name_the_variable(self):
        """A bad value is a ValueError that begins with the variable's name, then reads as everywhere else."""
        for variable, given, text, got in BAD_TEXTS:
            with self.subTest(variable=variable, given=given), environment(**{variable: given}):
                with self.assertRaises(ValueError) as caught:
                    resolve()
            self.assertEqual(str(caught.exception), f"LEAKGUARD_{variable}: {text.format(got)}")

    def test_flags_name_themselves(self):
        """The same text from the command line names the flag."""
        grace = next(option for option in policy.OPTIONS if option.name == "grace")
        self.assertEqual(grace.read("0.1", "--leak-grace"), 0.1)
        with self.assertRaises(ValueError) as caught:
            grace.read("-1", "--leak-grace")
        self.assertEqual(str(caught.exception), "--leak-grace: leak_grace must be a number of seconds >= 0 (got -1)")

    def test_an_empty_variable_is_not_set(self):
        """An empty variable, or one of spaces, says nothing."""
        with environment(ACTION="", THRESHOLD=" ", GRACE="", KINDS="", IGNORE=" ", SCOPE=""):
            self.assertEqual(read_environment(), {})
            self.assertEqual(resolve(), Policy())

    def test_other_variables_are_none_of_our_options(self):
        """What is no option's variable is left to whom it belongs."""
        with environment(REPORT="x.json", KNOWN="x.toml", WHATEVER="1"):
            self.assertEqual(read_environment(), {})

    def test_any_mapping_can_be_read(self):
        """A mapping that is given is read instead of the process's environment."""
        with environment(GRACE="1"):
            self.assertEqual(read_environment({"LEAKGUARD_GRACE": "2"}), {"grace": 2.0})


VALUES = {
    "action": ("fail", "log", "fail", "log", "fail", "log"),
    "threshold": (1, 2, 3, 4, 5, 6),
    "grace": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
    "kinds": (("task",), ("thread",), ("task",), ("process",), ("thread",), ("task",)),
    "scope": ("key", "all", "key", "all", "key", "all"),
}
"""For each option a value for the environment, the command line, a base, its decorator, a class, and a method."""


class PrecedenceTests(PolicyTestCase):
    @contextlib.contextmanager
    def layered(self, name, values):
        """Set the option in the given layers (None: not set there); yield the class and its method."""
        variable, flag, base_value, base_decorator, class_value, method_value = values

        def test(self):
            """The method."""

        text = "" if variable is None else ",".join(variable) if isinstance(variable, tuple) else str(variable)
        flags = {} if flag is None else {name: flag}
        base = type("Base", (unittest.TestCase,), {} if base_value is None else {f"leak_{name}": base_value})
        if base_decorator is not None:
            base = leak_policy(**{name: base_decorator})(base)
        cls = type("Tests", (base,), {} if class_value is None else {f"leak_{name}": class_value})
        if method_value is not None:
            test = leak_policy(**{name: method_value})(test)
        with environment(**{name.upper(): text}), mock.patch.dict(policy.command_line, flags, clear=True):
            yield cls, test

    def test_the_nearest_wins(self):
        """Method decorator, class, base's decorator, base's attribute, command line, environment, default."""
        for name, values in VALUES.items():
            for highest in range(-1, 6):
                given = [value if layer <= highest else None for layer, value in enumerate(values)]
                expected = getattr(Policy(), name) if highest < 0 else values[highest]
                with self.subTest(option=name, given=given), self.layered(name, given) as (cls, method):
                    self.assertEqual(getattr(resolve(cls, method), name), expected)

    def test_each_layer_alone(self):
        """One layer that is set decides, wherever it is."""
        for name, values in VALUES.items():
            for layer, value in enumerate(values):
                given = [value if i == layer else None for i in range(6)]
                with self.subTest(option=name, given=given), self.layered(name, given) as (cls, method):
                    self.assertEqual(getattr(resolve(cls, method), name), value)

    def test_field_by_field(self):
        """Each option comes from its own nearest layer."""

        class Base(unittest.TestCase):
            """Sets the grace and a threshold."""

            leak_grace = 1
            leak_threshold = 1

        @leak_policy(kinds="task")
        class Tests(Base):
            """Sets a nearer threshold."""

            leak_threshold = 2

            @leak_policy(action="log")
            def test(self):
                """Sets the action."""

        with environment(SCOPE="key", ACTION="fail"), mock.patch.dict(policy.command_line, {"grace": 9.0}):
            self.assertEqual(resolve(Tests, Tests.test), Policy("log", 2, 1.0, ("task",), (), "key"))

    def test_given_options_are_nearest(self):
        """What a `LeakGuard` is given wins over command line and environment."""
        with environment(GRACE="1"), mock.patch.dict(policy.command_line, {"grace": 2.0}):
            self.assertEqual(resolve(given={"grace": 3.0}).grace, 3.0)
            self.assertEqual(resolve(given={}).grace, 2.0)

    def test_the_order_of_bases_is_pythons(self):
        """With two bases, the first one listed is the nearer one."""
        first = type("First", (), {"leak_grace": 1})
        second = type("Second", (), {"leak_grace": 2, "leak_threshold": 2})
        both = resolve(type("Both", (first, second), {}))
        self.assertEqual((both.grace, both.threshold), (1.0, 2))

    def test_off_in_the_environment_beats_all(self):
        """``LEAKGUARD_ACTION=off`` switches everything off, whatever else is set."""

        @leak_policy(action="fail")
        class Tests(unittest.TestCase):
            """Says fail everywhere."""

            leak_action = "fail"

            @leak_policy(action="fail")
            def test(self):
                """Says fail."""

        with environment(ACTION="off"), mock.patch.dict(policy.command_line, {"action": "fail"}):
            self.assertEqual(resolve(Tests, Tests.test).action, "off")
            self.assertEqual(resolve(given={"action": "fail"}).action, "off")
        with environment(ACTION="log"):
            self.assertEqual(resolve(Tests, Tests.test).action, "fail")

    def test_off_elsewhere_is_an_ordinary_value(self):
        """Only the environment's off is absolute: a class can switch on what the command line switched off."""
        with mock.patch.dict(policy.command_line, {"action": "off"}):
            self.assertEqual(resolve(type("Tests", (), {"leak_action": "fail"})).action, "fail")

    def test_a_bad_attribute_of_a_plain_class_is_named(self):
        """A plain class may have a leak_grace of its own that means something else: a warning, and the default."""
        with self.assertWarns(RuntimeWarning) as caught:
            policy = resolve(type("Tests", (unittest.TestCase,), {"leak_grace": -1}))
        text = f"leakguard: Tests.leak_grace is not taken as an option: {GRACE.format('-1')}"
        self.assertEqual((str(caught.warning), policy.grace), (text, 0.5))
        with warnings.catch_warnings(), self.assertLogs("leakguard", "WARNING") as logged:
            warnings.simplefilter("error")
            resolve(type("Tests", (unittest.TestCase,), {"leak_grace": -1}))  # a run must not end for it
        self.assertEqual([record.getMessage() for record in logged.records], [text])


class IgnoreTests(PolicyTestCase):
    def test_rules_add_up(self):
        """Environment, command line, bases from the farthest, decorators, method, block: all rules hold."""

        class Base(unittest.TestCase):
            """Two rules."""

            leak_ignore = ("thread:base", "thread:again")

        @leak_policy(ignore="thread:decorator")
        class Tests(Base):
            """Its own rule, and its decorator's."""

            leak_ignore = {"thread:class": "its reason"}

            @leak_policy(ignore=["thread:method", "thread:again"])
            def test(self):
                """One rule, and one that is there already."""

        flags = {"ignore": (Rule("thread", "flag"),)}
        with environment(IGNORE="thread:variable"), mock.patch.dict(policy.command_line, flags):
            found = resolve(Tests, Tests.test, {"ignore": (Rule("thread", "block"),)}).ignore
        names = ["variable", "flag", "base", "again", "class", "decorator", "method", "block"]
        self.assertEqual([rule.glob for rule in found], names)
        self.assertEqual([rule.reason for rule in found if rule.reason], ["its reason"])

    def test_rules_of_stacked_decorators_add_up(self):
        """Two decorators on one thing: the upper one's other options win, the rules of both hold."""
        for thing in (lambda self: None, type("Tests", (), {})):
            with self.subTest(thing=thing):
                decorated = leak_policy(ignore="thread:lower", grace=1)(thing)
                decorated = leak_policy(ignore="thread:upper", grace=2)(decorated)
                found = resolve(decorated) if isinstance(thing, type) else resolve(None, decorated)
                self.assertEqual([str(rule) for rule in found.ignore], ["thread:lower", "thread:upper"])
                self.assertEqual(found.grace, 2.0)

    def test_sisters_do_not_share_rules(self):
        """A class has the rules of its bases only."""
        base = type("Base", (), {"leak_ignore": "thread:base"})
        type("Sister", (base,), {"leak_ignore": "thread:sister"})
        self.assertEqual([str(rule) for rule in resolve(type("Tests", (base,), {})).ignore], ["thread:base"])


class ClassTests(PolicyTestCase):
    def test_a_misspelt_attribute_is_a_type_error(self):
        """It comes when the class is defined, and names the known ones."""
        for value in (1, "x", None, (), {}):
            with self.subTest(value=value), self.assertRaises(TypeError) as caught:

                class Tests(LeakGuardTestCase):
                    """Has a spelling mistake."""

                    leak_treshold = value

            self.assertEqual(
                str(caught.exception),
                f"{type(self).__qualname__}.{self._testMethodName}.<locals>.Tests.leak_treshold is not an option; "
                "known ones: leak_action, leak_threshold, leak_grace, leak_kinds, leak_ignore, leak_scope, leak_stacks, "
                "leak_verdicts",
            )

    def test_a_base_without_the_mixin_is_checked_too(self):
        """Its attributes become options of the class that has the mixin, so that class cannot be defined."""
        for attributes, error, text in (
            ({"leak_treshold": 1}, TypeError, "Base.leak_treshold is not an option; known ones: leak_action, "),
            ({"leak_grace": -1}, ValueError, "leak_grace must be a number of seconds >= 0 (got -1)"),
        ):
            with self.subTest(attributes):
                base = type("Base", (unittest.TestCase,), dict(attributes))
                with self.assertRaises(error) as caught:
                    type("Tests", (LeakGuardMixin, base), {})
                self.assertIn(text, str(caught.exception))

    def test_methods_and_properties_are_the_users(self):
        """Whatever is called or computed may have a name that starts with ``leak_``."""

        class Tests(LeakGuardTestCase):
            """Has many names."""

            def leak_a_thread(self):
                """A method."""

            @property
            def leak_count(self):
                """A property."""

            @staticmethod
            def leak_static():
                """A static method."""

            @classmethod
            def leak_class(cls):
                """A class method."""

            class leak_Inner:
                """A class."""

            leaky = 1
            leakage_limit = 2

        self.assertEqual(resolve(Tests), Policy())

    def test_good_attributes_are_kept_as_they_were_written(self):
        """Checking does not change the class."""
        cls = type("Tests", (LeakGuardTestCase,), {"leak_grace": 2, "leak_kinds": ["task"]})
        self.assertEqual((cls.leak_grace, cls.leak_kinds), (2, ["task"]))
        self.assertEqual((resolve(cls).grace, resolve(cls).kinds), (2.0, ("task",)))

    def test_leak_policy_returns_what_it_decorates(self):
        """A decorated function or class is the same object; a subclass inherits its options."""

        def test(self):
            """A method."""

        cls = type("Tests", (), {})
        self.assertIs(leak_policy(grace=1)(test), test)
        self.assertIs(leak_policy(grace=1)(cls), cls)
        self.assertEqual(resolve(type("Sub", (cls,), {})).grace, 1.0)
        self.assertEqual(resolve(type("Sub", (cls,), {"leak_grace": 3})).grace, 3.0)

    def test_leak_policy_of_a_class_does_not_change_its_bases(self):
        """Decorating a subclass leaves the options of its base as they were."""
        base = leak_policy(grace=1, threshold=1)(type("Base", (), {}))
        sub = leak_policy(grace=2)(type("Sub", (base,), {}))
        self.assertEqual((resolve(base).grace, resolve(sub).grace, resolve(sub).threshold), (1.0, 2.0, 1))

    def test_leak_policy_decorates_only_what_is_called(self):
        """Anything else is a TypeError."""
        for thing in (None, 3, "test_x"):
            with self.subTest(thing=thing), self.assertRaises(TypeError) as caught:
                leak_policy(grace=1)(thing)
            self.assertEqual(str(caught.exception), f"leak_policy decorates a test method or a class (got {thing!r})")


class KeyTestTests(PolicyTestCase):
    def test_forms(self):
        """Bare, called empty, with a category: on methods and on classes, which come back as they are."""
        for decorator, category in ((key_test, ""), (key_test(), ""), (key_test("stress"), "stress")):

            def test(self):
                """A method."""

            cls = type("Tests", (), {})
            with self.subTest(category=category):
                self.assertIsNone(key_category(cls, test))
                self.assertIs(decorator(test), test)
                self.assertEqual(key_category(cls, test), category)
                self.assertIs(decorator(cls), cls)
                self.assertEqual(key_category(cls, None), category)
                self.assertEqual(key_category(type("Sub", (cls,), {}), None), category)

    def test_the_methods_category_is_nearer(self):
        """A method's own category wins over its class's, even an empty one."""
        cls = key_test("class")(type("Tests", (), {}))
        self.assertEqual(key_category(cls, key_test("method")(lambda self: None)), "method")
        self.assertEqual(key_category(cls, key_test(lambda self: None)), "")
        self.assertEqual(key_category(cls, lambda self: None), "class")
        self.assertIsNone(key_category(None, None))

    def test_misuse(self):
        """A category that is no str, or a thing that cannot be a test, is a TypeError."""
        for thing in (3, ("stress",), b"stress"):
            with self.subTest(thing=thing), self.assertRaises(TypeError) as caught:
                key_test(thing)
            self.assertEqual(str(caught.exception), f"key_test takes the name of a category, a str (got {thing!r})")
        for thing in (3, "test_x", None):
            with self.subTest(decorated=thing), self.assertRaises(TypeError) as caught:
                key_test("stress")(thing)
            self.assertEqual(str(caught.exception), f"key_test decorates a test method or a class (got {thing!r})")


if __name__ == "__main__":
    unittest.main()
