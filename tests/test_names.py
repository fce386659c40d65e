"""Names: what the package exports, and how things are called in reports."""

import functools
import inspect
import re
import unittest

import leakguard
from leakguard import _compat, policy
from leakguard.probes import ALL
from leakguard.probes.protocol import Probe, class_name, target_name

PUBLIC = {
    "Leak": "leakguard.model",
    "LeakError": "leakguard",
    "LeakGuard": "leakguard.guard",
    "LeakGuardAsyncTestCase": "leakguard.async_case",
    "LeakGuardMixin": "leakguard.case",
    "LeakGuardTestCase": "leakguard.case",
    "guard_module": "leakguard.case",
    "key_test": "leakguard.policy",
    "leak_policy": "leakguard.policy",
}
"""Each public name, and the module that its object names as its own."""


class PublicNameTests(unittest.TestCase):
    def test_all(self):
        """``__all__`` has the public names, sorted, and each is there."""
        self.assertEqual(leakguard.__all__, sorted(PUBLIC, key=lambda name: (name[0].islower(), name)))
        for name, module in PUBLIC.items():
            with self.subTest(name):
                self.assertEqual(getattr(leakguard, name).__module__, module)

    def test_each_has_a_docstring(self):
        """The first line of each public thing, and of each of its public methods, is a sentence."""
        for name in PUBLIC:
            thing = getattr(leakguard, name)
            methods = [v for k, v in vars(thing).items() if inspect.isfunction(v) and not k.startswith("_")]
            for documented in (thing, *[method for method in methods if method.__module__.startswith("leakguard")]):
                with self.subTest(name, documented=documented):
                    first, _, _ = (inspect.getdoc(documented) or "").partition("\n")
                    self.assertRegex(first, r"^.{10,}[.:]$")

    def test_a_name_that_is_not_there(self):
        """A wrong name is the usual AttributeError, and the usual ImportError."""
        with self.assertRaises(AttributeError) as caught:
            leakguard.LeakGaurd
        self.assertEqual(str(caught.exception), "module 'leakguard' has no attribute 'LeakGaurd'")
        with self.assertRaises(ImportError):
            exec("from leakguard import LeakGaurd")

    def test_star_import(self):
        """``from leakguard import *`` gives the public names, the lazy one included."""
        names = {}
        exec("from leakguard import *", names)
        self.assertEqual(set(names) - {"__builtins__"}, set(PUBLIC))

    def test_version(self):
        """The version is three numbers."""
        self.assertRegex(leakguard.__version__, r"^\d+\.\d+\.\d+$")

    def test_methods_for_users_are_in_camel_case(self):
        """What the mixin adds for users reads as unittest's own; what it keeps on a test is marked as ours."""
        added = {name for name in vars(leakguard.LeakGuardMixin) if not name.startswith("__")}
        self.assertLessEqual({"assertNoLeaks", "allowLeak"}, added)
        added -= {_compat.LOOP_SET_UP, _compat.LOOP_TEAR_DOWN}  # unittest's own
        for name in added:
            with self.subTest(name):
                self.assertTrue(name.startswith("_leakguard_") or re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name))


class KindTests(unittest.TestCase):
    def test_kinds_and_probes_agree(self):
        """The kinds of the policy are those of the probes, in the order in which they are looked at."""
        self.assertEqual(tuple(probe.choice or probe.kind for probe in ALL), policy.KINDS)

    def test_each_probe_is_in_a_file_of_its_kind(self):
        """One kind, one file."""
        for probe in ALL:
            with self.subTest(probe.kind):
                kind = probe.choice or probe.kind
                plural = {"process": "processes", "environ": "environ", "native": "native"}.get(kind, kind + "s")
                self.assertEqual(type(probe).__module__, f"leakguard.probes.{plural}")

    def test_each_probe_answers_everything(self):
        """A probe leaves out only what the protocol answers itself."""
        optional = {"isolate", "refresh", "loop_of", "identity", "allow", "may_end", "code"}
        for probe in ALL:
            asked = {name for name, value in vars(Probe).items() if inspect.isfunction(value)} - optional
            with self.subTest(probe.kind):
                self.assertEqual(asked - set(vars(type(probe))), set())

    def test_the_protocol_itself_answers_nothing_that_matters(self):
        """A new kind that forgets a question is told so; the optional ones have an answer."""
        plain = Probe()
        for name, arguments in (
            ("snapshot", ()),
            ("suspects", (None,)),
            ("owner", (None,)),
            ("names", (None,)),
            ("origin", (None,)),
            ("settle", ((), 0.0)),
            ("describe", (None,)),
            ("mark", ((),)),
            ("is_noted", (None,)),
        ):
            with self.subTest(name), self.assertRaises(NotImplementedError):
                getattr(plain, name)(*arguments)
        self.assertEqual((list(plain.isolate(())), plain.refresh(), plain.loop_of(plain)), ([], None, None))
        self.assertIsNone(plain.allow(plain))
        is_same = plain.identity(plain)
        self.assertEqual((is_same(plain), is_same(Probe())), (True, False))


def function():
    """A target."""


class Target:
    """Has methods, and can be called itself."""

    def method(self):
        """A target."""

    @classmethod
    def of_class(cls):
        """A target."""

    def __call__(self):
        """A target."""


def endless():
    """A partial that leads to itself."""

    class Endless:
        """Its own function."""

        @property
        def func(self):
            """Itself."""
            return self

    return Endless()


class TargetNameTests(unittest.TestCase):
    def test_targets(self):
        """``module.qualname`` of whatever a thread may be given to run."""
        wrapped = functools.wraps(function)(lambda: None)
        table = [
            (function, "function"),
            (Target.method, "Target.method"),
            (Target().method, "Target.method"),
            (Target.of_class, "Target.of_class"),
            (Target(), "Target"),
            (Target, "Target"),
            (functools.partial(function), "function"),
            (functools.partial(functools.partial(Target().method, 1), 2), "Target.method"),
            (wrapped, "function"),
        ]
        for target, expected in table:
            with self.subTest(expected, target=target):
                self.assertEqual(target_name(target), f"{__name__}.{expected}")

    def test_targets_of_the_library(self):
        """Built-in functions and methods have the module of their object's class."""
        self.assertEqual(target_name([].append), "builtins.list.append")
        self.assertEqual(target_name(print), "builtins.print")
        self.assertEqual(target_name(None), "builtins.NoneType")

    def test_a_partial_without_end(self):
        """Whoever nests partials for ever gets a name all the same."""
        self.assertTrue(target_name(endless()).endswith("Endless"))

    def test_classes(self):
        """``module.qualname`` of an object's class."""
        self.assertEqual(class_name(Target()), f"{__name__}.Target")
        self.assertEqual(class_name(3), "builtins.int")


if __name__ == "__main__":
    unittest.main()
