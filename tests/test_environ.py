"""What a test changes in its process and leaves changed."""

import concurrent.futures
import locale
import os
import re
import signal
import sys
import tempfile
import types
import unittest
import warnings
from unittest import mock

from leakguard import changes
from leakguard.probes import environ
from tests.guarded import inner_class, listening, place, run_inner
from tests.planting import run_fresh


def kept(read, restore):
    """A function that puts back what `read` says now."""
    value = read()
    return lambda: restore(value)


@mock.patch.object(environ._compat, "_thread", types.SimpleNamespace(_count=lambda: 0))
class EnvironTests(unittest.TestCase):
    """Changes of one test each; every one is undone, so that the next test starts as this one did."""

    maxDiff = None

    def state(self):
        """All that is looked at but for the modules: a check may import some of its own."""
        return [copy(read()) for read, copy, changes in environ._STATE if read is not environ._modules]

    def left(self, change):
        """(name, state) of what a test leaves changed; nothing may be left after it, and the next test passes."""
        before = self.state()
        outcome = run_inner(lambda test: change(), lambda test: None, leak_kinds=("thread", "environ"))
        self.assertEqual({leak.owner for leak in outcome.leaks}, {"inner.Inner.test_0"})
        self.assertEqual(self.state(), before)
        return [leak[1:] for leak in outcome.named()]

    def test_variables(self):
        """A variable that was added, changed or removed."""
        with mock.patch.dict(os.environ, LG_CHANGED="1", LG_REMOVED="1"):

            def change():
                os.environ.update(LG_ADDED="1", LG_CHANGED="2")
                del os.environ["LG_REMOVED"]

            self.assertEqual(
                self.left(change),
                [
                    ("os.environ['LG_ADDED']", "added"),
                    ("os.environ['LG_CHANGED']", "changed"),
                    ("os.environ['LG_REMOVED']", "removed"),
                ],
            )

    def test_folder(self):
        """The current folder, also where it was removed."""
        self.addCleanup(kept(os.getcwd, os.chdir))

        def removes():
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)

        self.assertEqual(self.left(lambda: os.chdir(os.sep)), [("current folder", "changed")])
        if sys.platform != "win32":
            self.assertEqual(self.left(removes), [("current folder", "removed")])

    def test_environment_that_is_a_copy(self):
        """A dict in the place of ``os.environ`` is a change, and hides none: neither of what the system has, nor of others."""
        before = os.environ

        def change():
            saved = os.environ.copy()
            os.environ["LG_ADDED"] = "1"
            os.environ = saved
            os.umask(0o007)

        mask = os.umask(0o022)
        self.addCleanup(os.umask, mask)
        found = [
            ("os.environ", "replaced by a dict"),
            ("os.environ['LG_ADDED']", "added"),
            ("umask", "changed from 022 to 007"),
        ]
        self.assertEqual(self.left(change), found)
        self.assertIs(os.environ, before)
        with mock.patch.object(os, "environ", {}):  # by a fixture, as far as tests can tell
            self.assertEqual(run_inner(lambda test: None, leak_kinds="environ").named(), [])

    def test_filter_with_an_address(self):
        """A filter is shown alike in every run, whatever it was given."""
        with warnings.catch_warnings():
            change = lambda: warnings.filterwarnings("ignore", str(object()))  # noqa: E731
            self.assertEqual(self.left(change), [("warnings.filters", "added 'ignore:<object object>:Warning'")])

    def test_path_and_modules(self):
        """The import path, and a module that was replaced; one that was imported is no change."""

        def change():
            sys.path.insert(0, "somewhere")
            sys.modules["colorsys"] = types.ModuleType("colorsys")
            sys.modules["brand_new"] = types.ModuleType("brand_new")

        self.addCleanup(sys.modules.pop, "brand_new", None)
        import colorsys

        expected = [("sys.path", "added 'somewhere'"), ("sys.modules['colorsys']", "replaced")]
        self.assertEqual(self.left(change), expected)
        self.assertIs(sys.modules["colorsys"], colorsys)

    def test_path_that_differs_from_run_to_run(self):
        """A temporary folder on the import path is shown without its random part."""
        with tempfile.TemporaryDirectory() as folder:
            change = lambda: sys.path.append(tempfile.mkdtemp(prefix="plugins-", dir=folder))  # noqa: E731
            name = os.path.join(tempfile.gettempdir(), "tmp*", "plugins-*")
            self.assertEqual(self.left(change), [("sys.path", f"added {name!r}")])

    def test_signal_handler(self):
        """A handler of a signal."""
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        self.assertEqual(
            self.left(lambda: signal.signal(signal.SIGTERM, lambda number, frame: None)),
            [("handler of SIGTERM", "changed")],
        )

    def test_warnings(self):
        """The filters of warnings."""
        with warnings.catch_warnings():
            change = lambda: warnings.simplefilter("ignore", BytesWarning)  # noqa: E731
            self.assertEqual(self.left(change), [("warnings.filters", "added 'ignore::BytesWarning'")])

    def test_what_of_a_list(self):
        """What was added to a list of the process's and what was removed from it is named, and the rest counted."""
        show = environ._show_filter
        module = ("error", re.compile("old", re.I), DeprecationWarning, re.compile("pkg"), 3)
        for before, now, expected in (
            ("ab", "xab", "added 'x'"),
            ("ab", "abxyz", "added 'x' and 2 more"),
            ("aab", "ab", "removed 'a'"),
            ("ab", "xa", "added 'x', removed 'b'"),
            ("ab", "ba", "reordered"),
        ):
            with self.subTest(now):
                self.assertEqual(environ._difference(list(before), list(now), str), expected)
        self.assertEqual(show(module), "error:old:DeprecationWarning:pkg:3")
        self.assertEqual(show(("default", None, Warning, None, 0)), "default::Warning")

    def test_locale(self):
        """The locale."""
        self.addCleanup(kept(lambda: locale.setlocale(locale.LC_ALL), lambda name: locale.setlocale(locale.LC_ALL, name)))
        locale.setlocale(locale.LC_ALL, "C")
        try:
            locale.setlocale(locale.LC_ALL, "C.UTF-8")
        except locale.Error:
            self.skipTest("there is no second locale here")
        locale.setlocale(locale.LC_ALL, "C")
        self.assertEqual(self.left(lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8")), [("locale", "changed")])

    @unittest.skipIf(sys.platform == "win32", "Windows has no umask to speak of")
    def test_umask(self):
        """The umask; it is not looked at while another thread might make a file."""
        self.addCleanup(os.umask, os.umask(0o022))
        os.umask(0o022)
        self.assertEqual(self.left(lambda: os.umask(0o027)), [("umask", "changed from 022 to 027")])
        with mock.patch.object(environ._compat, "_thread", types.SimpleNamespace(_count=lambda: 1)):
            self.assertIsNone(environ._compat.current_umask())

    def test_lines(self):
        """The line that made a change last is known, where a function of Python's makes it."""
        self.addCleanup(os.umask, os.umask(0o022))
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))

        def adds(test):
            os.environ["LG_ADDED"] = "0"
            os.environ["LG_ADDED"] = "1"  # changes

        def removes(test):
            os.environ.pop("LG_REMOVED")  # changes

        def handles(test):
            signal.signal(signal.SIGTERM, lambda *_: None)  # changes

        def filters(test):
            warnings.filterwarnings("ignore", "x")  # changes

        def masks(test):
            os.umask(0o027)  # changes

        def appends(test):
            sys.path.append("x")

        with mock.patch.dict(os.environ, LG_REMOVED="1"), warnings.catch_warnings():
            for function in (adds, removes, handles, filters, masks, appends):
                with self.subTest(function.__name__):
                    (leak,) = run_inner(function, leak_kinds="environ").leaks
                    self.assertEqual(leak.origin, place(function, "changes") if function is not appends else None)
                    fails = run_inner(function, leak_kinds="environ").leaks
                    self.assertEqual([one.fingerprint for one in fails], [leak.fingerprint])

    def test_line_of_what_is_left(self):
        """What came after the change that is left, and was put back, is not its line; nor is another test's change."""
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))

        def adds(test):
            os.environ["LG_ADDED"] = "1"  # changes
            with mock.patch.dict(os.environ, LG_OTHER="2"):
                pass

        def handles(test):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # changes
            signal.signal(signal.SIGTERM, signal.signal(signal.SIGTERM, lambda *_: None))

        def filters(test):
            warnings.filterwarnings("ignore", "x")  # changes
            with warnings.catch_warnings():
                warnings.simplefilter("error")

        def resets(test):
            warnings.simplefilter("error")
            warnings.resetwarnings()  # changes

        def puts_back(test):
            with mock.patch.dict(os.environ, LG_ADDED="1"), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "x")

        with mock.patch.dict(os.environ), warnings.catch_warnings():
            for function in (adds, handles, filters, resets):
                with self.subTest(function.__name__):
                    (leak,) = run_inner(puts_back, function, leak_kinds="environ").leaks
                    self.assertEqual((leak.owner, leak.origin), ("inner.Inner.test_1", place(function, "changes")))

    def test_line_of_a_fixture(self):
        """What a test changed and put back does not hide the line of its class; what it left is its own."""

        def sets(cls):
            os.environ["LG_ADDED"] = "1"  # changes

        def left(test):
            os.environ["LG_ADDED"] = "2"  # changes

        def puts_back(test):
            with mock.patch.dict(os.environ, LG_ADDED="2"):
                pass

        with mock.patch.dict(os.environ):
            leaks = run_inner(puts_back, left, puts_back, leak_kinds="environ", setUpClass=classmethod(sets)).leaks
        self.assertEqual(
            [(leak.owner, leak.origin) for leak in leaks],
            [("inner.Inner.test_1", place(left, "changes")), ("inner.Inner", place(sets, "changes"))],
        )

    def test_line_of_another_object(self):
        """A handler or filter of before that is gone is not taken for the one that has its place in memory now."""
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))

        def handles(test):
            for _ in range(50):
                signal.signal(signal.SIGTERM, lambda *_: None)
            signal.signal(signal.SIGTERM, lambda *_: None)  # changes

        def filters(test):
            for number in range(50):
                warnings.filterwarnings("ignore", f"x{number}")
                del warnings.filters[0]
            warnings.filterwarnings("ignore", "y")  # changes

        def inserts(test):
            warnings.simplefilter("error")
            warnings.filters.insert(0, ("ignore", None, BytesWarning, None, 0))

        with warnings.catch_warnings():
            for function in (handles, filters, inserts):
                with self.subTest(function.__name__):
                    (leak,) = run_inner(function, leak_kinds="environ").leaks
                    self.assertEqual(leak.origin, place(function, "changes") if function is not inserts else None)

    def test_call_by_keywords(self):
        """Functions that are hooked take what they took before, in any order; a method's handler is known again."""
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))

        class Service:
            def stops(self, number, frame):
                """A handler."""

        def handles(test):
            kept.append(Service())
            signal.signal(handler=kept[-1].stops, signalnum=signal.SIGTERM)  # changes
            signal.signal(signal.SIGTERM, signal.signal(signal.SIGTERM, signal.SIG_IGN))

        kept = []
        (leak,) = run_inner(handles, leak_kinds="environ").leaks
        self.assertEqual((leak.name, leak.origin), ("handler of SIGTERM", place(handles, "changes")))

    def test_changed_in_many_threads(self):
        """Threads that change one thing at the same time do not disturb each other."""

        def changes_often(number):
            for turn in range(300):
                os.environ["LG_ADDED"] = f"{number} {turn}"

        def changes_in_threads(test):
            interval = sys.getswitchinterval()
            sys.setswitchinterval(1e-6)
            try:
                with concurrent.futures.ThreadPoolExecutor(3) as executor:
                    for _ in executor.map(changes_often, range(3)):
                        pass
            finally:
                sys.setswitchinterval(interval)

        with mock.patch.dict(os.environ):
            outcome = run_inner(changes_in_threads, leak_kinds="environ")
        self.assertEqual((outcome.named(), outcome.errors), ([("environ", "os.environ['LG_ADDED']", "added")], []))

    def test_nothing_is_collected(self):
        """A collection would not undo a change, so none is paid for."""
        with mock.patch.dict(os.environ), mock.patch("gc.collect", side_effect=AssertionError("for nothing")):
            outcome = run_inner(lambda test: os.environ.update(LG_ADDED="1"), leak_kinds="environ")
        self.assertEqual((len(outcome.leaks), outcome.counts()), (1, (1, 0)))

    def test_many_values(self):
        """Of a thing that is changed again and again the last values are remembered."""

        def changes_often(test):
            for number in range(changes.VALUES + 2):
                os.environ["LG_ADDED"] = str(number)  # changes
            most.append(len(changes.births["os.environ['LG_ADDED']"]))

        most = []
        with mock.patch.dict(os.environ):
            (leak,) = run_inner(changes_often, leak_kinds="environ").leaks
        self.assertEqual((most, leak.origin), ([changes.VALUES], place(changes_often, "changes")))

    def test_one_line_many_changes(self):
        """What one line changes in the same way is one entry, which names each of a few."""
        with mock.patch.dict(os.environ):
            change = lambda test: os.environ.update(LG_A="1", LG_B="1")  # noqa: E731
            (message,) = run_inner(change, leak_kinds="environ").messages
        found = re.findall(r"^  2 environ changes (.*) \(added\)$", message, re.M)
        self.assertEqual(found, ["\"os.environ['LG_A']\", \"os.environ['LG_B']\""])

    def test_functions_are_put_back(self):
        """After the last guard every function that was hooked is Python's own."""
        script = """
            import locale, os, signal, warnings
            from leakguard import LeakGuard, changes
            before = [getattr(place, name) for place, name, _ in changes.places()]
            with LeakGuard(kinds="environ"):
                now = [getattr(place, name) for place, name, _ in changes.places()]
                print(sum(one in before for one in now))
                look = lambda one: (one.__module__, one.__name__, one.__doc__)
                print(list(map(look, now)) == list(map(look, before)))
            print([getattr(place, name) for place, name, _ in changes.places()] == before, changes.births)
        """
        self.assertEqual(run_fresh(script), "0\nTrue\nTrue {}\n")

    def test_what_the_runner_changes(self):
        """What a runner changes between two tests is nobody's, nor is pytest's own variable at any time."""

        class Result(unittest.TestResult):
            def stopTest(self, test):
                os.environ["LG_COUNT"] = str(self.testsRun % 3)

        def writes(cls):
            os.environ["PYTEST_CURRENT_TEST"] = "x"

        cls = inner_class(*[lambda test: None] * 3, leak_kinds="all", tearDownClass=classmethod(writes))
        with mock.patch.dict(os.environ, PYTEST_CURRENT_TEST="y", LG_COUNT="0"), listening() as outcome:
            result = Result()
            unittest.TestSuite(cls(f"test_{number}") for number in range(3)).run(result)
        self.assertEqual((result.testsRun, result.failures, result.errors, outcome.leaks), (3, [], [], []))

    def test_clean(self):
        """What was put back is no change."""

        def changes(test):
            with mock.patch.dict(os.environ, LG_ADDED="1"), mock.patch.object(sys, "path", ["x"]):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")

        self.assertEqual(run_inner(changes, leak_kinds="all").leaks, [])

    def test_not_looked_for(self):
        """By default nobody looks."""
        with mock.patch.dict(os.environ):
            self.assertEqual(run_inner(lambda test: os.environ.update(LG_ADDED="1")).leaks, [])

    def test_ignored(self):
        """A rule is held against the name."""
        with mock.patch.dict(os.environ):
            rule = {"environ:os.environ[[]'LG_*": "why"}
            change = lambda test: os.environ.update(LG_ADDED="1")  # noqa: E731
            self.assertEqual(run_inner(change, leak_kinds="all", leak_ignore=rule).leaks, [])


if __name__ == "__main__":
    unittest.main()
