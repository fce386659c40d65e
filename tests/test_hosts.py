"""Other hosts of unittest's tests: pytest, Django, testtools and trial, each where it is installed."""

import os
import tempfile
import textwrap
import unittest

from tests.required import need
from tests.suites import run_python


class HostTestCase(unittest.TestCase):
    """A test that runs a suite of a file of its own in a new process."""

    header = """
        import asyncio, threading, unittest
        from leakguard import LeakGuardAsyncTestCase, LeakGuardMixin, LeakGuardTestCase, guard_module
        released = threading.Event()

        def start(name):
            threading.Thread(target=released.wait, name=name, daemon=True).start()
    """

    package = ""

    @classmethod
    def setUpClass(cls):
        need(cls.package)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, source, name="test_hosted.py"):
        """Write a suite to the folder that the host runs in."""
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(self.header) + textwrap.dedent(source))

    def run_host(self, *arguments, **environ):
        """Run a host's module there; return the process."""
        return run_python(*arguments, cwd=self.folder, LEAKGUARD_GRACE="0.01", **environ)


class PytestTests(HostTestCase):
    """pytest running classes with the mixin."""

    package = "pytest"

    def run_pytest(self, source):
        """Run a suite with pytest alone; return the exit status, and its short summary by test."""
        self.write(source)
        process = self.run_host(
            "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--tb=short", "test_hosted.py",
            PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", COLUMNS="400",
        )  # fmt: skip
        outcomes = ("PASSED ", "FAILED ", "ERROR ", "SKIPPED ")
        lines = [line for line in process.stdout.splitlines() if line.startswith(outcomes)]
        return process, lines

    def test_outcomes(self):
        """A leak is a failure with LeakError's first line; a clean test passes; a failed one keeps its failure."""
        process, lines = self.run_pytest("""
            class Tests(LeakGuardTestCase):
                def test_clean(self):
                    pass
                def test_leak(self):
                    start("left")
                def test_own_failure(self):
                    start("left too")
                    self.fail("its own")
                def test_skip(self):
                    start("left by a skip")
                    self.skipTest("half-way")
        """)  # fmt: skip
        self.assertEqual(process.returncode, 1, process.stdout)
        by_test = {line.split("::")[-1].split(" ")[0]: line for line in lines if "::" in line}
        self.assertTrue(by_test["test_clean"].startswith("PASSED"))
        self.assertIn("1 leak after test_leak (test_hosted.Tests), waited", by_test["test_leak"])
        self.assertTrue(by_test["test_leak"].startswith("FAILED"))
        self.assertIn("its own", by_test["test_own_failure"])
        self.assertNotIn("LeakError", by_test["test_own_failure"])
        self.assertIn("1 leak after test_skip (test_hosted.Tests), waited", process.stdout)
        self.assertIn("1 leak after test_own_failure (test_hosted.Tests), waited", process.stdout)

    def test_async(self):
        """A task left by an async test is a failure."""
        process, lines = self.run_pytest("""
            class Tests(LeakGuardAsyncTestCase):
                async def test_clean(self):
                    await asyncio.sleep(0)
                async def test_leak(self):
                    self.__class__.task = asyncio.ensure_future(asyncio.sleep(3600))
        """)  # fmt: skip
        self.assertEqual(process.returncode, 1)
        self.assertEqual([line.split(" ")[0] for line in sorted(lines)], ["FAILED", "PASSED"])
        self.assertIn("1 leak after test_leak (test_hosted.Tests), waited", process.stdout)

    def test_module_leak(self):
        """What setUpModule leaves is an error after tearDownModule, once; what tearDownModule ends is none."""
        for end, status in (("released.set()", 0), ("pass", 1)):
            with self.subTest(end=end):
                process, lines = self.run_pytest(f"""
            def setUpModule():
                guard_module()
                start("left")
            def tearDownModule():
                {end}
            class Tests(LeakGuardTestCase):
                def test_1(self):
                    pass
                def test_2(self):
                    pass
        """)
                self.assertEqual(process.returncode, status, process.stdout)
                words = sorted(line.split(" ")[0] for line in lines)
                self.assertEqual(words, ["ERROR"] * status + ["PASSED"] * 2)
                message = "1 leak after module test_hosted, waited"
                self.assertEqual(sum(message in line for line in lines), status, process.stdout)

    def test_class_leak(self):
        """What setUpClass leaves is shown as the class's leak, and no test of the class fails for it."""
        process, lines = self.run_pytest("""
            class Tests(LeakGuardTestCase):
                @classmethod
                def setUpClass(cls):
                    start("left")
                def test_1(self):
                    pass
                def test_2(self):
                    pass
        """)  # fmt: skip
        self.assertEqual(len([line for line in lines if line.startswith("PASSED")]), 2, process.stdout)
        self.assertEqual([line for line in lines if line.startswith("FAILED")], [])
        self.assertIn("1 leak after class test_hosted.Tests, waited", process.stdout)
        self.assertEqual(process.returncode, 1)


class DjangoTests(HostTestCase):
    """Django's own test cases, with the mixin and under the runner."""

    package = "django"

    header = (
        """
        import django
        from django.conf import settings
        settings.configure(
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, INSTALLED_APPS=[]
        )
        django.setup()
        from django.db import connection
        from django.test import SimpleTestCase, TestCase
    """
        + HostTestCase.header
    )
    source = """
        class Body:
            def test_clean(self):
                thread = threading.Thread(target=int)
                thread.start()
                thread.join()
            def test_leak(self):
                start("left")
        class SimpleTests(Body, {mixin}SimpleTestCase):
            pass
        class DatabaseTests(Body, {mixin}TestCase):
            def test_query(self):
                with connection.cursor() as cursor:
                    cursor.execute("select 1")
                    self.assertEqual(cursor.fetchone(), (1,))
        class AsyncTests({mixin}SimpleTestCase):
            async def test_async(self):
                await asyncio.sleep(0)
            async def test_task(self):
                self.__class__.task = asyncio.ensure_future(asyncio.sleep(3600))
                await asyncio.sleep(0)
    """

    def run_suite(self, module, mixin):
        """Run the suite; return the process and the names of its failures."""
        self.write(self.source.format(mixin=mixin))
        process = self.run_host("-m", module, "-v", "test_hosted")
        lines = [line for line in process.stderr.splitlines() if line.startswith(("FAIL: ", "ERROR: "))]
        return process, lines

    def test_mixin_and_runner(self):
        """Leaks of Django's test cases fail their tests, once: by the mixin, by the runner, and by both."""
        for module, mixin in [
            ("unittest", "LeakGuardMixin, "),
            ("leakguard", ""),
            ("leakguard", "LeakGuardMixin, "),
        ]:
            with self.subTest(module=module, mixin=mixin):
                process, lines = self.run_suite(module, mixin)
                names = sorted(line.split(" (")[0] for line in lines)
                self.assertEqual(names, ["FAIL: test_leak"] * 2 + ["FAIL: test_task"], process.stderr)
                self.assertIn("1 leak after test_task (test_hosted.AsyncTests), waited", process.stderr)
                self.assertIn("Ran 7 tests in", process.stderr)
                self.assertEqual(process.returncode, 1)

    def test_unguarded(self):
        """The same suite passes without a guard."""
        process, lines = self.run_suite("unittest", "")
        self.assertEqual((process.returncode, lines), (0, []), process.stderr)


class TesttoolsTests(HostTestCase):
    """testtools, whose run() resets the cleanups."""

    package = "testtools"

    header = "import testtools\n" + textwrap.dedent(HostTestCase.header)
    source = """
        class Tests({mixin}testtools.TestCase):
            def test_clean(self):
                pass
            def test_leak(self):
                start("left")
    """

    def test_runner(self):
        """Under the runner a leak fails its test, and the clean one passes."""
        self.write(self.source.format(mixin=""))
        process = self.run_host("-m", "leakguard", "test_hosted")
        lines = [line for line in process.stderr.splitlines() if line.startswith(("FAIL: ", "ERROR: "))]
        self.assertEqual(len(lines), 1, process.stderr)
        self.assertIn("test_leak", lines[0])
        self.assertIn("1 leak after test_leak (test_hosted.Tests), waited", process.stderr)
        self.assertEqual(process.returncode, 1)

    def test_mixin(self):
        """The mixin alone either checks the test or says that it did not: never silently neither."""
        self.write(self.source.format(mixin="LeakGuardMixin, "))
        process = self.run_host("-W", "always::RuntimeWarning", "-m", "unittest", "test_hosted")
        warned = (
            "leakguard: test_leak (test_hosted.Tests) was not checked for leaks: its cleanups were cleared or not run"
        )
        self.assertTrue(
            warned in process.stderr or "1 leak after test_leak (test_hosted.Tests), waited" in process.stderr,
            process.stderr,
        )


class TrialTests(HostTestCase):
    """Twisted's TestCase, which runs its tests by a run() of its own."""

    package = "twisted"

    header = "from twisted.trial import unittest as trial\n" + textwrap.dedent(HostTestCase.header)
    source = """
        class Tests({mixin}trial.{base}):
            def test_clean(self):
                pass
            def test_leak(self):
                start("left")
    """

    def test_runner(self):
        """Under the runner a leak fails its test, and the clean one passes, with a reactor and without."""
        for base in ("SynchronousTestCase", "TestCase"):
            with self.subTest(base=base):
                self.write(self.source.format(mixin="", base=base))
                process = self.run_host("-m", "leakguard", "test_hosted")
                self.assertIn("1 leak after test_leak (test_hosted.Tests), waited", process.stderr)
                lines = [line for line in process.stderr.splitlines() if line.startswith(("FAIL: ", "ERROR: "))]
                self.assertEqual(len(lines), 1, process.stderr)
                self.assertEqual(process.returncode, 1)
