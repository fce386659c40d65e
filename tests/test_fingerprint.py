"""Fingerprints: by their rules, and by a suite of 200 leaks that is really run."""

import json
import multiprocessing.context
import os
import shutil
import sys
import tempfile
import unittest
from unittest import mock

from leakguard.fingerprint import (
    fingerprint,
    pattern_of,
    shown_own_place,
    shown_place,
    stable_alias,
    stable_function,
    stable_path,
    stable_place,
)
from tests.suites import ROOT, TESTS, run_python

PLANTED = os.path.join(TESTS, "planted", "planted_many.py")
EXPECTED = os.path.join(TESTS, "planted", "fingerprints.txt")
"""What CPython 3.9 made of the suite: a test and its leak's fingerprint a line."""

COPIES = ("test_e", "suite.test_a", "suite.test_b", "suite.deep.test_c", "suite.deep.test_d")
SHIFT = 40


def plant(folder, shift):
    """Write the suite: five copies of one file, in packages and out of one, their lines moved by `shift`."""
    with open(PLANTED, encoding="utf-8") as file:
        source = file.read()
    for name in COPIES:
        path = os.path.join(folder, *name.split(".")) + ".py"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n" * shift + source)
    for package in ("suite", os.path.join("suite", "deep")):
        open(os.path.join(folder, package, "__init__.py"), "w").close()


def run_suite(folder, *arguments, below=""):
    """Run the suite in a folder below its own; return test -> fingerprints of what it left."""
    path = os.path.join(folder, "leaks.json")
    options = ["--leak-grace", "0", "--leak-kinds", "all", "--leak-ignore", "file:pipe", "--leak-report", path]
    arguments = ["-W", "ignore", "-m", "leakguard", *options, *arguments]
    process = run_python(*arguments, cwd=os.path.join(folder, below), PYTHONPATH=ROOT)
    found = {}
    try:
        with open(path, encoding="utf-8") as file:
            for leak in json.load(file)["leaks"]:
                found.setdefault(leak["test"], []).append(leak["fingerprint"])
    except OSError:
        raise AssertionError(process.stdout + process.stderr) from None
    return found


def expected():
    """Test -> fingerprint, from the committed list."""
    with open(EXPECTED, encoding="utf-8") as file:
        return {test: [mark] for test, mark in (line.split() for line in file)}


class SuiteTests(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.mkdtemp(prefix=f"checkout-{os.getpid()}-")
        self.addCleanup(shutil.rmtree, folder)
        self.folder = os.path.realpath(folder)
        plant(self.folder, SHIFT)

    def test_two_hundred_leaks(self):
        """200 leaks have 200 fingerprints, those that 3.9 gave them in another folder, 40 lines further up."""
        found = run_suite(self.folder, *COPIES)
        self.assertEqual(found, expected())
        self.assertEqual(len({mark for marks in found.values() for mark in marks}), 200)

    def test_another_start_folder(self):
        """The folder that a run begins in, and the folder that tests are looked for in, do not matter."""
        found = run_suite(self.folder, "discover", "-s", "..", "-t", "..", "-p", "test_[ce].py", below="suite")
        wanted = {test: marks for test, marks in expected().items() if test.startswith(("test_e.", "suite.deep.test_c."))}
        self.assertEqual(found, wanted)


WORKER = """\
import threading
stop = threading.Event()
class Worker:
    def start(self): threading.Thread(target=self.run, name="worker", daemon=True).start()
    def run(self): stop.wait()
"""


class FolderTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = os.path.realpath(folder.name)

    def write(self, path, text=""):
        """Write a file below the folder."""
        path = os.path.join(self.folder, *path.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)

    def test_namespace_packages(self):
        """Two files of one name in two packages without __init__.py are two, in whatever folder the run begins."""
        for package in ("orders", "billing"):
            self.write(f"src/ns/{package}/worker.py", WORKER)
            test = f"import unittest, ns.{package}.worker as w\nclass T(unittest.TestCase):\n def test(self): w.Worker().start()\n"
            self.write(f"src/test_{package}.py", test)
        found = run_suite(self.folder, "discover", "-s", "src")
        self.assertEqual(len({mark for marks in found.values() for mark in marks}), 2)
        self.assertEqual(run_suite(self.folder, "discover", below="src"), found)

    def test_lambdas(self):
        """Two lambdas of one function are two; moved lines, other spaces, or one more before them change nothing."""
        head = "import threading, unittest\nstop = threading.Event()\nclass T(unittest.TestCase):\n def test(self):\n"
        start = "  threading.Thread(target=lambda: stop.wait({}), daemon=True).start()\n"
        self.write("one/test_l.py", head + start.format("") + start.format("60"))
        self.write("two/test_l.py", "\n" * 9 + head + start.format("9") + start.format("( 60 )"[2:4]) + "\n" + start.format(" "))
        one, two = (run_suite(self.folder, "test_l", below=below)["test_l.T.test"] for below in ("one", "two"))
        self.assertEqual(len(set(one)), 2)
        self.assertEqual(set(one) - set(two), set())

    def test_a_checkout_that_looks_like_a_package(self):
        """The name of the folder that a run begins in, or that a .git or pyproject.toml marks, is no part of a path."""
        for checkout in ("c1", "c2"):
            self.write(f"{checkout}/__init__.py")
            self.write(f"{checkout}/worker.py", WORKER)
            self.write(f"{checkout}/tests/__init__.py")
            test = "import unittest, worker as w\nclass T(unittest.TestCase):\n def test(self): w.Worker().start()\n"
            self.write(f"{checkout}/tests/test_w.py", test)
        one, two = (run_suite(self.folder, "tests.test_w", below=checkout) for checkout in ("c1", "c2"))
        self.assertEqual(len(one), 1)
        self.assertEqual(one, two)
        self.write("c2/pyproject.toml")
        self.assertEqual(run_suite(self.folder, "discover", "-s", "c2", "-t", "c2"), one)


class NameTests(unittest.TestCase):
    def test_what_differs_from_run_to_run(self):
        """Numbers, ids and folders of the machine become ``*`` or go; words stay."""
        table = [
            ("thread", "Thread-12 (run)", "Thread-*"),
            ("thread", "Thread-12", "Thread-*"),
            ("thread", "MyThread-12 (run)", "MyThread-* (run)"),
            ("thread", "worker-3", "worker-*"),
            ("thread", "ThreadPoolExecutor-0_1", "ThreadPoolExecutor-*_*"),
            ("thread", "asyncio-portal-7f3a5c0d1e20", "asyncio-portal-*"),
            ("thread", "asyncio-portal-7f3a", "asyncio-portal-*"),
            ("thread", "job 0x7f", "job *"),
            ("thread", "job abcdefab", "job *"),
            ("thread", "job 12345678-abcd-abcd-abcd-abcdefabcdef", "job *"),
            ("thread", "cafe", "cafe"),
            ("thread", "added", "added"),
            ("thread", "/ws/chat", "/ws/chat"),
            ("thread", "tmpab_12xyz", "tmp*"),
            ("task", "Task-7", "Task-*"),
            ("process", "ForkProcess-1", "Process-*"),
            ("process", "ForkServerPoolWorker-2", "PoolWorker-*"),
            ("process", "Process-1:2", "Process-*:*"),
            ("process", "/opt/py/bin/python3.13t -m http.server 8000", "python -m http.server *"),
            ("process", "python3 -c x --log=/var/tmp/run-3/out.log", "python -c x --log=out.log"),
            ("process", "nginx: worker process", "nginx: worker process"),
            ("file", "/home/me/data/log.txt", "log.txt"),
            ("file", "data/log.txt", "log.txt"),
            ("file", "/tmp/tmpabc12_34/x7", "x*"),
            ("exception", "ValueError: 7 is not 8", "ValueError"),
            ("exception", "unclosed file <_io.FileIO name='x'>", "unclosed file"),
            ("environ", "os.environ['NUMBER_1']", "os.environ['NUMBER_1']"),
        ]
        for kind, name, pattern in table:
            with self.subTest(name):
                self.assertEqual(pattern_of(kind, name), pattern)


class CodeTests(unittest.TestCase):
    def test_functions(self):
        """A comprehension is a part of the function around it, as from 3.12 on."""
        table = [
            ("f", "f"),
            ("C.f.<locals>.g", "C.f.<locals>.g"),
            ("f.<locals>.<listcomp>", "f"),
            ("f.<locals>.<listcomp>.<locals>.<lambda>", "f.<locals>.<lambda>"),
            ("f.<locals>.<dictcomp>.<locals>.<setcomp>", "f"),
            ("f.<locals>.<genexpr>", "f.<locals>.<genexpr>"),
            ("C.<listcomp>", "C"),
            ("<listcomp>", "<module>"),
            ("<module>", "<module>"),
        ]
        for name, stable in table:
            with self.subTest(name):
                self.assertEqual(stable_function(name), stable)

    def test_places(self):
        """No line; a path from its outermost package on; of the standard library the package alone."""
        here = os.path.abspath(__file__)
        table = [
            (None, ""),
            (f"{here}:3 in f", "tests/test_fingerprint.py in f"),
            ("tests/test_fingerprint.py:3 in f", "tests/test_fingerprint.py in f"),
            ("anyio/_core/_tasks.py:3 in f", "anyio/_core/_tasks.py in f"),
            ("asyncio/base_events.py:3 in BaseEventLoop.create_task", "asyncio in the standard library"),
            ("threading.py:-1 in f", "threading in the standard library"),
            ("/nowhere/gone/x.py:3 in f", "x.py in f"),
            ("<string>:1 in <module>", "<string> in <module>"),
        ]
        for place, stable in table:
            with self.subTest(place):
                self.assertEqual(stable_place(place), stable)

    def test_places_for_people(self):
        """As they are shown in reports, without the line; one with a folder of the machine as in the fingerprint."""
        table = [
            (None, None),
            ("docs/examples/chat/hub.py:3 in Hub.open", "docs/examples/chat/hub.py in Hub.open"),
            ("threading.py:3 in f.<locals>.<listcomp>", "threading.py in f"),
            ("/nowhere/gone/x.py:3 in f", "x.py in f"),
        ]
        for place, shown in table:
            with self.subTest(place):
                self.assertEqual(shown_place(place), shown)

    def test_own_places(self):
        """Nothing of the standard library or an installed package is a place of the user's."""
        with tempfile.TemporaryDirectory() as folder:
            packages = os.path.join(folder, "site-packages")
            os.mkdir(packages)
            open(os.path.join(packages, "installed.py"), "w").close()
            table = [
                (None, None),
                ("tests/test_fingerprint.py:3 in f", "tests/test_fingerprint.py in f"),
                (f"{os.path.abspath(__file__)}:3 in f", "tests/test_fingerprint.py in f"),
                ("<string>:3 in f", "<string> in f"),
                ("threading.py:3 in Event.wait", None),
                ("asyncio/tasks.py:3 in sleep", None),
                ("<frozen runpy>:3 in run_path", None),
                ("installed.py:3 in f", None),
            ]
            with mock.patch.object(sys, "path", [*sys.path, packages]):
                for place, shown in table:
                    with self.subTest(place):
                        self.assertEqual(shown_own_place(place), shown)

    def test_a_file_out_of_a_package(self):
        """It is known by its name alone, since the folder above may be the checkout's."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "alone.py")
            open(path, "w").close()
            self.assertEqual(stable_path(path), "alone.py")

    def test_aliases(self):
        """A module is known by its file, since it has another name when it is run or found another way."""
        table = [
            (f"{__name__}.CodeTests.f", "tests/test_fingerprint:CodeTests.f"),
            ("threading.Event.wait", "Event.wait"),
            ("_thread.lock.acquire", "lock.acquire"),
            (f"{multiprocessing.context.__name__}.ForkServerProcess", "Process"),
            ("multiprocessing.context.Process", "Process"),
            ("nowhere.at.all", "nowhere.at.all"),
            ("os.fork", "fork"),
            ("", ""),
        ]
        for alias, stable in table:
            with self.subTest(alias):
                self.assertEqual(stable_alias(alias), stable)


class RuleTests(unittest.TestCase):
    base = ("thread", "hub-reader-3", "chat/hub.py:88 in Hub._start", "chat/hub.py:97 in Hub._read", ("a.T", "a.f"), "t.A")

    def test_the_same(self):
        """Numbers in the name, lines, where it was when it was looked at, and the test do not change it."""
        same = fingerprint(*self.base)
        self.assertRegex(same, r"^[0-9a-f]{16}$")
        for change in (
            {1: "hub-reader-12"},
            {2: "chat/hub.py:90 in Hub._start"},
            {3: "chat/hub.py:97 in Hub._write"},
            {3: None},
            {5: "t.B"},
        ):
            with self.subTest(change):
                self.assertEqual(fingerprint(*self.changed(change)), same)

    def test_another(self):
        """Kind, words of the name, file, function, class and target tell leaks apart."""
        changes = [{}, {0: "task"}, {1: "hub-writer-3"}, {2: "chat/room.py:88 in Hub._start"}, {2: None}]
        changes += [{2: "chat/hub.py:88 in Hub._open"}, {4: ("a.U", "a.f")}, {4: ("a.T", "a.g")}]
        self.assertEqual(len({fingerprint(*self.changed(change)) for change in changes}), len(changes))

    def test_where_nothing_is_known(self):
        """Without origin, class and target the place counts, and without a place the owner."""
        changes = [{}, {3: "x.py:1 in f"}, {3: None}, {3: None, 5: "t.B"}]
        nothing = {2: None, 4: ("threading._DummyThread", "builtins.NoneType")}
        self.assertEqual(len({fingerprint(*self.changed({**nothing, **change})) for change in changes}), 4)
        placed = [{**nothing, 5: "t.A"}, {**nothing, 5: "t.B"}, {**nothing, 1: "hub-reader-4"}]
        self.assertEqual(len({fingerprint(*self.changed(change)) for change in placed}), 1)

    def test_the_digits_of_a_function(self):
        """A name that is the function's is no number: two functions are two leaks."""
        one, two = (fingerprint("timer", f"f{n}", "a.py:1 in g", None, ("x.TimerHandle", f"a.f{n}")) for n in (1, 2))
        self.assertNotEqual(one, two)

    def test_any_name_has_one(self):
        """Half a surrogate is no obstacle."""
        self.assertRegex(fingerprint("thread", "\ud800", None), r"^[0-9a-f]{16}$")

    def changed(self, change):
        """The arguments with some of them replaced, by their position."""
        return [change.get(position, value) for position, value in enumerate(self.base)]


def write_expected():
    """Write the list anew: ``python3.9 -m tests.test_fingerprint --write``, only if the rules change."""
    with tempfile.TemporaryDirectory() as folder:
        plant(os.path.realpath(folder), 0)
        found = run_suite(os.path.realpath(folder), *COPIES)
    with open(EXPECTED, "w", encoding="utf-8") as file:
        file.writelines(f"{test} {mark}\n" for test, marks in sorted(found.items()) for mark in marks)


if __name__ == "__main__":
    write_expected() if "--write" in sys.argv else unittest.main()
