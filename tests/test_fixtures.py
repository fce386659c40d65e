"""Fixtures of classes and modules: theirs to end, no leak of a test, and a failure of their own if they are left."""

import concurrent.futures
import contextvars
import functools
import importlib
import multiprocessing
import os
import sys
import tempfile
import types
import unittest
from unittest import mock

from leakguard import LeakGuardMixin, LeakGuardTestCase, guard_module, origin, policy
from leakguard.runner import GuardedRunner
from tests.doubles import BlockedThread
from tests.suites import error_lines, leaks_of, own_record, suite_of
from tests.test_case import normal


class Mixin(LeakGuardTestCase):
    """What inner classes with the mixin derive from."""

    leak_grace = 0.01


class Plain(unittest.TestCase):
    """What inner classes without it derive from; the runner guards them."""

    leak_grace = 0.01


class FixtureTestCase(unittest.TestCase):
    """A test whose inner fixtures leak threads, which its own cleanups end."""

    def leak(self, name="left"):
        """Start a blocked thread that only the outer test ends."""
        return BlockedThread(name=name).start_in(self)

    def run_suite(self, suite, *, by_runner):
        """Run a suite plainly or with the runner; return the result and the reports."""
        with own_record() as reports, mock.patch.dict(policy.command_line, grace=0.01):
            if by_runner:
                return GuardedRunner(stream=_Nowhere()).run(suite), reports
            result = unittest.TestResult()
            suite.run(result)
        return result, reports

    def each_way(self):
        """(base, by_runner) of every way to guard a class."""
        return [(Mixin, False), (Mixin, True), (Plain, True)]

    def assert_class_leaks(self, case, names, *, by_runner):
        """The class fails once, as a tearDownClass that raises would; none of its tests does."""
        result, reports = self.run_suite(suite_of(case), by_runner=by_runner)
        name = f"{__name__}.{case.__qualname__}"
        count = "1 leak" if len(names) == 1 else f"{len(names)} leaks"
        self.assertEqual(
            [(test, normal(line)) for test, line in error_lines(result)],
            [(f"tearDownClass ({name})", f"leakguard.LeakError: {count} after class {name}, waited N s")],
        )
        self.assertEqual(leaks_of(reports), [(name, "thread", leaked) for leaked in names])

    def assert_clean(self, *cases, by_runner):
        """All tests pass, and nothing is on record."""
        result, reports = self.run_suite(suite_of(*cases), by_runner=by_runner)
        self.assertEqual((result.failures, result.errors, leaks_of(reports)), ([], [], []))
        self.assertGreater(result.testsRun, 0)


class _Nowhere:
    def write(self, text):
        pass

    def flush(self):
        pass


class ClassTests(FixtureTestCase):
    """setUpClass, tearDownClass and class cleanups."""

    def test_fixture_of_a_base_that_is_called_by_its_name(self):
        """``Base.setUpClass()`` in the fixture of an heir is the heir's, for each heir anew."""
        outer = self
        for base, by_runner in self.each_way():

            class Base(base):
                @classmethod
                def setUpClass(cls):
                    outer.leak()

            class First(Base):
                @classmethod
                def setUpClass(cls):
                    super(Base, cls).setUpClass()
                    Base.setUpClass()

                def test(self):
                    pass

            class Second(First):
                setUpClass = First.setUpClass  # as a decorator of the base may bind it

            for case in (First, Second):
                with self.subTest(base=base, by_runner=by_runner, case=case):
                    self.assert_class_leaks(case, ["left"], by_runner=by_runner)

    def test_fixture_of_another_sort(self):
        """A ``setUpClass`` that a class decorator puts in place, and one that is a static method or an object."""
        outer = self

        def decorated(cls):
            set_up = cls.setUpClass

            @functools.wraps(set_up)
            def with_server(cls):
                outer.leak()
                set_up()

            cls.setUpClass = classmethod(with_server)
            return cls

        for base, by_runner in self.each_way():

            @decorated
            class Decorated(base):
                def test(self):
                    pass

            class Static(base):
                @staticmethod
                def setUpClass():
                    outer.leak()

                def test(self):
                    pass

            class Partial(base):
                setUpClass = functools.partial(outer.leak)

                def test(self):
                    pass

            for case in (Decorated, Static, Partial):
                with self.subTest(base=base, by_runner=by_runner, case=case):
                    self.assert_class_leaks(case, ["left"], by_runner=by_runner)

    def test_suite_that_a_fixture_runs(self):
        """A class that is set up in the fixture of an heir of its own, by a suite, is guarded for itself."""
        outer, inner = self, unittest.TestResult()

        class Base(Mixin):
            @classmethod
            def setUpClass(cls):
                outer.leak("of the base")

            def test(self):
                pass

        class Heir(Base):
            @classmethod
            def setUpClass(cls):
                suite_of(Base).run(inner)
                outer.leak("of the heir")

        result, reports = self.run_suite(suite_of(Heir), by_runner=False)
        base, heir = (f"{__name__}.{cls.__qualname__}" for cls in (Base, Heir))
        self.assertEqual([test for one in (inner, result) for test, _ in error_lines(one)], [f"tearDownClass ({base})", f"tearDownClass ({heir})"])
        self.assertEqual(leaks_of(reports), [(base, "thread", "of the base"), (heir, "thread", "of the heir")])

    def test_bad_option_of_a_class(self):
        """One that was set after the class was made is an error of the class, and the run goes on."""

        class Bad(Mixin):
            def test(self):
                pass

        class Good(Mixin):
            def test(self):
                pass

        Bad.leak_grace = -1
        for by_runner in (False, True):
            with self.subTest(by_runner=by_runner):
                result, _ = self.run_suite(suite_of(Bad, Good), by_runner=by_runner)
                self.assertEqual((result.testsRun, len(result.errors)), (1, 1))

    def test_class_cleanups_of_its_own(self):
        """The runner gives the verdict on a class with the mixin that does its class cleanups without ours."""
        outer = self

        class Case(Mixin):
            @classmethod
            def setUpClass(cls):
                super().setUpClass()
                outer.leak()

            @classmethod
            def doClassCleanups(cls):
                cls.tearDown_exceptions = []

            def test(self):
                pass

        self.assert_class_leaks(Case, ["left"], by_runner=True)

    def test_left_in_the_context_of_an_earlier_test(self):
        """What a fixture starts in a context that a test has kept is the fixture's, whatever class was cut short before."""
        outer, kept = self, []

        class Keeps(Mixin):
            def test(self):
                kept.append(contextvars.copy_context())

        class CutShort(Mixin):
            def test(self):
                raise OSError("its own")

        class Leaks(Mixin):
            @classmethod
            def setUpClass(cls):
                super().setUpClass()
                kept[0].run(outer.leak)

            def test(self):
                pass

        with own_record(), self.assertRaises(OSError):
            suite_of(Keeps, CutShort).debug()
        for by_runner in (False, True):
            with self.subTest(by_runner=by_runner):
                self.assert_class_leaks(Leaks, ["left"], by_runner=by_runner)

    def test_fixture_lives_through_all_tests(self):
        """What setUpClass starts and tearDownClass or a class cleanup ends is no leak of any test nor of the class."""
        for base, by_runner in self.each_way():

            class Case(base):
                @classmethod
                def setUpClass(cls):
                    super().setUpClass()
                    cls.thread = BlockedThread().start_blocked()
                    other = BlockedThread().start_blocked()
                    cls.addClassCleanup(other.end)

                def test_1(self):
                    pass

                def test_2(self):
                    pass

                @classmethod
                def tearDownClass(cls):
                    cls.thread.end()

            self.assert_clean(Case, by_runner=by_runner)

    def test_executor_of_the_class(self):
        """Workers that an executor of the class starts when tests have work are the class's: gone with it, or its leak."""
        outer = self
        for base, by_runner in self.each_way():

            class Case(base):
                ends = True

                @classmethod
                def setUpClass(cls):
                    cls.threads = concurrent.futures.ThreadPoolExecutor(2, "left")
                    outer.addCleanup(cls.threads.shutdown)
                    if cls.ends:
                        cls.addClassCleanup(cls.threads.shutdown)
                        cls.processes = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
                        cls.addClassCleanup(cls.processes.shutdown)

                def test(self):
                    self.assertEqual(self.threads.submit(dict, self=1, hook=2).result(), {"self": 1, "hook": 2})
                    if self.ends:
                        self.assertEqual(self.processes.submit(int).result(), 0)

            class Left(Case):
                ends = False

            self.assert_clean(Case, by_runner=by_runner)
            self.assert_class_leaks(Left, ["left_0"], by_runner=by_runner)

    def test_queue_of_the_class(self):
        """The thread that feeds a queue of the class, which the first test that puts something starts, is the class's."""
        for base, by_runner in self.each_way():

            class Case(base):
                @classmethod
                def setUpClass(cls):
                    cls.queue = multiprocessing.Queue()
                    cls.addClassCleanup(cls.queue.join_thread)
                    cls.addClassCleanup(cls.queue.close)

                def test(self):
                    self.queue.put(1)
                    self.assertEqual(self.queue.get(), 1)

            self.assert_clean(Case, by_runner=by_runner)

    def test_executor_of_a_module_that_is_imported(self):
        """One that a module makes when it is imported is the process's, whichever test imports the module."""
        outer = self
        for base, by_runner in self.each_way():
            with tempfile.TemporaryDirectory() as folder, mock.patch.object(sys, "path", [folder, *sys.path]):
                with open(os.path.join(folder, "makes_executor.py"), "w", encoding="utf-8") as file:
                    file.write("import concurrent.futures\nexecutor = concurrent.futures.ThreadPoolExecutor(1)\n")

                class Case(base):
                    def test_1(self):
                        type(self).executor = importlib.import_module("makes_executor").executor
                        outer.addCleanup(self.executor.shutdown)

                    def test_2(self):
                        self.executor.submit(int).result()

                self.assert_clean(Case, by_runner=by_runner)
                del sys.modules["makes_executor"]

    def test_job_of_a_test(self):
        """What a job starts on an executor of the class is of the test that has submitted the job, whoever gave it work first."""
        outer = self
        for base, by_runner in self.each_way():

            class Case(base):
                @classmethod
                def setUpClass(cls):
                    cls.threads = concurrent.futures.ThreadPoolExecutor(1)
                    cls.addClassCleanup(cls.threads.shutdown)

                def test_1(self):
                    self.threads.submit(int).result()

                def test_2(self):
                    self.threads.submit(outer.leak).result()

            _, reports = self.run_suite(suite_of(Case), by_runner=by_runner)
            self.assertEqual([owner.rpartition(".")[2] for owner, _, _ in leaks_of(reports)], ["test_2"])

    def test_executor_from_before(self):
        """Those of one that was made before any guard are nobody's leak; those of a test's own are that test's."""
        outer = self
        executor = concurrent.futures.ThreadPoolExecutor(2)
        executor.__dict__.pop(origin.BIRTH, None)  # as if this test had no guard, either
        self.addCleanup(executor.shutdown)
        for base, by_runner in self.each_way():

            class Case(base):
                def test_own(self):
                    own = concurrent.futures.ThreadPoolExecutor(1, "own")
                    outer.addCleanup(own.shutdown)
                    own.submit(int).result()

                def test_shared(self):
                    executor.submit(int).result()

            result, reports = self.run_suite(suite_of(Case), by_runner=by_runner)
            self.assertEqual([name for _, _, name in leaks_of(reports)], ["own_0"])
            self.assertEqual([test._testMethodName for test, _ in result.failures], ["test_own"])

    def test_set_up_class(self):
        """What setUpClass leaves is a leak of the class, whether or not setUpClass calls super()."""
        outer = self
        for base, by_runner in self.each_way():

            class Case(base):
                @classmethod
                def setUpClass(cls):
                    outer.leak()

                def test(self):
                    pass

            class Calling(base):
                @classmethod
                def setUpClass(cls):
                    super().setUpClass()
                    outer.leak()

                def test(self):
                    pass

            self.assert_class_leaks(Case, ["left"], by_runner=by_runner)
            self.assert_class_leaks(Calling, ["left"], by_runner=by_runner)

    def test_set_up_class_of_a_base_class(self):
        """What the setUpClass of a base class leaves is a leak of each class that runs it."""
        outer = self
        for base, by_runner in self.each_way():

            class Base(base):
                @classmethod
                def setUpClass(cls):
                    outer.leak(cls.__name__)

            class Case(Base):
                def test(self):
                    pass

            self.assert_class_leaks(Case, ["Case"], by_runner=by_runner)

    def test_set_up_class_of_a_plain_base_class(self):
        """The mixin guards the setUpClass of a base class that does not know of it, called or not by super()."""
        outer = self

        class Base(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                outer.leak()

        class Case(LeakGuardMixin, Base):
            leak_grace = 0.01

            def test(self):
                pass

        self.assert_class_leaks(Case, ["left"], by_runner=False)

    def test_tear_down_class_and_class_cleanup(self):
        """What tearDownClass or a class cleanup starts and leaves is a leak of the class."""
        outer = self
        for base, by_runner in self.each_way():

            class Case(base):
                @classmethod
                def setUpClass(cls):
                    cls.addClassCleanup(outer.leak, "by a cleanup")

                def test(self):
                    pass

                @classmethod
                def tearDownClass(cls):
                    outer.leak("by tearDownClass")

            self.assert_class_leaks(Case, ["by tearDownClass", "by a cleanup"], by_runner=by_runner)

    def test_failed_set_up_class(self):
        """A setUpClass that raises keeps its own error; what it left is logged and on record."""
        outer = self
        for base, by_runner in self.each_way():

            class Case(base):
                @classmethod
                def setUpClass(cls):
                    outer.leak()
                    raise OSError("its own")

                def test(self):
                    pass

            with self.assertLogs("leakguard", "WARNING"):
                result, reports = self.run_suite(suite_of(Case), by_runner=by_runner)
            name = f"{__name__}.{Case.__qualname__}"
            self.assertEqual(error_lines(result), [(f"setUpClass ({name})", "OSError: its own")])
            self.assertEqual(leaks_of(reports), [(name, "thread", "left")])

    def test_failed_tear_down_class(self):
        """A tearDownClass that raises keeps its own error; what is left is on record once."""
        outer = self
        for base, by_runner in self.each_way():

            class Case(base):
                def test(self):
                    pass

                @classmethod
                def tearDownClass(cls):
                    outer.leak()
                    raise OSError("its own")

            result, reports = self.run_suite(suite_of(Case), by_runner=by_runner)
            name = f"{__name__}.{Case.__qualname__}"
            self.assertEqual(error_lines(result)[0], (f"tearDownClass ({name})", "OSError: its own"))
            self.assertEqual(leaks_of(reports), [(name, "thread", "left")])

    def test_set_up_class_of_a_base_before_the_mixin(self):
        """A base before the mixin whose setUpClass does not call super() hides nothing."""
        outer = self

        class Fixture:
            @classmethod
            def setUpClass(cls):
                outer.leak()

        class Case(Fixture, Mixin):
            def test(self):
                pass

        class Derived(Case):
            pass

        for case in (Case, Derived):
            self.assert_class_leaks(case, ["left"], by_runner=False)

    def test_skipped_set_up_class(self):
        """A setUpClass that skips the class does not hide what it left: the class fails."""
        outer = self
        for base, by_runner in self.each_way():

            class Case(base):
                @classmethod
                def setUpClass(cls):
                    outer.leak()
                    raise unittest.SkipTest("not here")

                def test(self):
                    pass

            result, reports = self.run_suite(suite_of(Case), by_runner=by_runner)
            self.assertEqual((len(result.skipped), len(result.errors)), (1, 1))
            self.assertEqual(leaks_of(reports), [(f"{__name__}.{Case.__qualname__}", "thread", "left")])

    def test_one_of_each(self):
        """A leak of a class and one of its test are one failure each."""
        outer = self
        for base, by_runner in self.each_way():

            class Case(base):
                @classmethod
                def setUpClass(cls):
                    outer.leak("of the class")

                def test(self):
                    outer.leak("of the test")

            result, reports = self.run_suite(suite_of(Case), by_runner=by_runner)
            name = f"{__name__}.{Case.__qualname__}"
            self.assertEqual((len(result.failures), len(result.errors)), (1, 1))
            self.assertEqual(
                leaks_of(reports), [(f"{name}.test", "thread", "of the test"), (name, "thread", "of the class")]
            )

    def test_two_classes(self):
        """What one class left is no leak of the next, nor of its tests."""
        outer = self
        for base, by_runner in self.each_way():

            class First(base):
                @classmethod
                def setUpClass(cls):
                    outer.leak()

                def test(self):
                    pass

            class Second(base):
                def test(self):
                    pass

            result, reports = self.run_suite(suite_of(First, Second), by_runner=by_runner)
            name = f"{__name__}.{First.__qualname__}"
            self.assertEqual([test for test, _ in error_lines(result)], [f"tearDownClass ({name})"])
            self.assertEqual(len(leaks_of(reports)), 1)

    def test_skipped_class(self):
        """A class that is skipped by decorator is neither set up nor checked."""
        for base, by_runner in self.each_way():

            @unittest.skip("not here")
            class Case(base):
                @classmethod
                def setUpClass(cls):
                    raise AssertionError("never called")

                def test(self):
                    pass

            result, reports = self.run_suite(suite_of(Case), by_runner=by_runner)
            self.assertEqual((result.errors, leaks_of(reports)), ([], []))

    def test_policy_of_the_class(self):
        """With action off or log the class does not fail; log is on record as not counted."""
        outer = self
        for base, by_runner in self.each_way():

            class Case(base):
                @classmethod
                def setUpClass(cls):
                    outer.leak()

                def test(self):
                    pass

            Case.leak_action = "off"
            self.assert_clean(Case, by_runner=by_runner)
            Case.leak_action = "log"
            with self.assertLogs("leakguard", "WARNING"):
                result, reports = self.run_suite(suite_of(Case), by_runner=by_runner)
            self.assertTrue(result.wasSuccessful())
            self.assertEqual([leak.counted for report in reports for leak in report.leaks], [False])

    def test_own_policy_goes_with_a_thing(self):
        """What a class ignores, or leaves unchecked, is no leak of its module or of the run either."""
        outer = self
        for base, by_runner in self.each_way():
            for attributes in (
                {"leak_ignore": "thread:left"},
                {"leak_action": "off"},
                {"leak_scope": "key"},
                {"leak_kinds": "process"},
            ):

                class Case(base):
                    @classmethod
                    def setUpClass(cls):
                        outer.leak()

                    def test(self):
                        outer.leak()

                self.assert_clean(type("Case", (Case,), attributes), by_runner=by_runner)


class ModuleTests(FixtureTestCase):
    """setUpModule, tearDownModule and module cleanups: by `guard_module()`, by the runner, and by both."""

    def test_guard_module_in_a_test(self):
        """It is a misuse there, and in setUpClass; what a suite inside a test does in its setUpModule is not."""

        class Case(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                guard_module()

            def test(self):
                self.fail("is not run")

        class Late(unittest.TestCase):
            tearDownClass = Case.setUpClass

            def test(self):
                guard_module()

        result = unittest.TestResult()
        unittest.TestSuite([Case("test"), Late("test")]).run(result)
        with self.assertRaisesRegex(RuntimeError, "^guard_module must be called"):
            Late("test").debug()
        said = "RuntimeError: guard_module must be called in setUpModule() (got a call in a test or the fixture of a class)"
        self.assertEqual([text.strip().splitlines()[-1] for _, text in result.errors], [said] * 3)
        self.assertEqual(unittest.case._module_cleanups, [])

    def module(self, *, guarded, set_up=None, tear_down=None, base=Plain, name="fixture_module"):
        """A module with one clean test; `guarded` if its setUpModule calls guard_module(). Return its suite."""
        module = types.ModuleType(name)
        source = "def setUpModule():\n"
        source += "    guard_module()\n" if guarded else ""
        source += "    set_up and set_up()\n"
        source += "def tearDownModule():\n    tear_down and tear_down()\n"
        module.__dict__.update(guard_module=guard_module, set_up=set_up, tear_down=tear_down)
        exec(source, module.__dict__)
        sys.modules[module.__name__] = module
        self.addCleanup(sys.modules.pop, module.__name__, None)
        module.Case = type(
            "Case", (base,), {"test": lambda self: None, "test_2": lambda self: None, "__module__": module.__name__}
        )
        return suite_of(module.Case)

    def each_way(self):
        """(guarded, by_runner) of every way to guard a module."""
        return [(True, False), (True, True), (False, True)]

    def assert_module_leaks(self, suite, names, *, by_runner):
        """The module fails once, and no test or class of it does."""
        result, reports = self.run_suite(suite, by_runner=by_runner)
        self.assertEqual(result.failures, [])
        count = "1 leak" if len(names) == 1 else f"{len(names)} leaks"
        line = f"leakguard.LeakError: {count} after module fixture_module, waited N s"
        self.assertEqual([normal(text) for _, text in error_lines(result)], [line])
        self.assertEqual(leaks_of(reports), [("fixture_module", "thread", name) for name in names])
        self.assertEqual([report.scope for report in reports], ["module"])

    def test_fixture_lives_through_all_tests(self):
        """What setUpModule starts and tearDownModule or a module cleanup ends is nobody's leak."""
        for base in (Mixin, Plain):
            for guarded, by_runner in self.each_way():
                first, second = BlockedThread(), BlockedThread()

                def set_up():
                    first.start_blocked()
                    unittest.addModuleCleanup(second.start_blocked().end)

                suite = self.module(guarded=guarded, set_up=set_up, tear_down=first.end, base=base)
                result, reports = self.run_suite(suite, by_runner=by_runner)
                self.assertEqual((result.failures, result.errors, leaks_of(reports)), ([], [], []))
                self.assertEqual(result.testsRun, 2)

    def test_set_up_module(self):
        """What setUpModule leaves is a leak of the module, whatever guards its classes."""
        for base in (Mixin, Plain):
            for guarded, by_runner in self.each_way():
                suite = self.module(guarded=guarded, set_up=self.leak, base=base)
                self.assert_module_leaks(suite, ["left"], by_runner=by_runner)

    def test_shared_set_up_module(self):
        """Modules that import one ``setUpModule()`` are named each by its own name."""
        suite = unittest.TestSuite()
        for name in ("one_module", "other_module"):
            self.module(guarded=True, set_up=self.leak, name=name)
            sys.modules[name].setUpModule = sys.modules["one_module"].setUpModule
            suite.addTests(suite_of(sys.modules[name].Case))
        _, reports = self.run_suite(suite, by_runner=False)
        self.assertEqual([owner for owner, _, _ in leaks_of(reports)], ["one_module", "other_module"])

    def test_tear_down_module_and_cleanup(self):
        """What tearDownModule or a module cleanup starts and leaves is a leak of the module."""
        for guarded, by_runner in self.each_way():
            suite = self.module(
                guarded=guarded,
                set_up=lambda: unittest.addModuleCleanup(self.leak, "by a cleanup"),
                tear_down=lambda: self.leak("by tearDownModule"),
            )
            self.assert_module_leaks(suite, ["by tearDownModule", "by a cleanup"], by_runner=by_runner)

    def test_failed_set_up_module(self):
        """A setUpModule that raises keeps its own error; what it left is on record once."""

        def set_up():
            self.leak()
            raise OSError("its own")

        for guarded, by_runner in self.each_way():
            result, reports = self.run_suite(self.module(guarded=guarded, set_up=set_up), by_runner=by_runner)
            self.assertIn("OSError: its own", [line for _, line in error_lines(result)])
            self.assertEqual(leaks_of(reports), [("fixture_module", "thread", "left")])

    def test_skipped_set_up_module(self):
        """A setUpModule that skips the module does not hide what it left: the module fails."""

        def set_up():
            self.leak()
            raise unittest.SkipTest("not here")

        for guarded, by_runner in self.each_way():
            result, reports = self.run_suite(self.module(guarded=guarded, set_up=set_up), by_runner=by_runner)
            self.assertEqual((len(result.skipped), len(result.errors)), (1, 1))
            self.assertEqual(leaks_of(reports), [("fixture_module", "thread", "left")])

    def test_failed_tear_down_module(self):
        """A tearDownModule that raises keeps its own error, and is the only one; the leak is on record."""

        def tear_down():
            self.leak()
            raise OSError("its own")

        for guarded, by_runner in self.each_way():
            result, reports = self.run_suite(self.module(guarded=guarded, tear_down=tear_down), by_runner=by_runner)
            self.assertIn("OSError: its own", [line for _, line in error_lines(result)])
            self.assertEqual(leaks_of(reports), [("fixture_module", "thread", "left")])

    def test_no_leftovers(self):
        """A run puts the suite's own methods back, and guards no module any more."""
        methods = {name: vars(unittest.TestSuite)[name] for name in ("_handleClassSetUp", "_handleModuleTearDown")}
        self.run_suite(self.module(guarded=True), by_runner=True)
        self.assertEqual({name: vars(unittest.TestSuite)[name] for name in methods}, methods)
