"""Files and directories that were made through `tempfile` and left on disk."""

import os
import re
import shutil
import socket
import sys
import tempfile
import threading
import unittest
from tempfile import NamedTemporaryFile, TemporaryDirectory, mkdtemp, mkstemp
from unittest import mock

from leakguard import temporary
from tests.guarded import PATIENT, place, run_inner, run_inner_async, while_waiting
from tests.planting import run_fresh

KIND = {"leak_kinds": ("thread", "tempfile")}
FOLDER = tempfile.gettempdir().replace(os.sep, "/")
ANY_NUMBERS = re.sub(r"\d+", "*", FOLDER)
FILE_HINT = "remove it in a cleanup, or use tempfile.NamedTemporaryFile in a with block"
FOLDER_HINT = "remove it in a cleanup, or use tempfile.TemporaryDirectory in a with block"


class TempfileCase(unittest.TestCase):
    """Keeps what inner tests leave, and removes it when the outer test is over."""

    maxDiff = None

    def setUp(self):
        self.kept = []
        self.addCleanup(self.remove_kept)

    def remove_kept(self):
        """Remove all that was kept, in whatever way it is removed."""
        for one in self.kept:
            if hasattr(one, "cleanup"):
                one.cleanup()
            elif hasattr(one, "close"):
                one.close()
            elif os.path.isdir(one):
                shutil.rmtree(one)
            elif os.path.lexists(one):
                os.unlink(one)
        self.kept.clear()

    def keep(self, one):
        """Keep something until the outer test is over; return it."""
        self.kept.append(one)
        return one

    def make_folder(self):
        """Make a folder without `tempfile`; return its path."""
        path = os.path.join(FOLDER, f"leakguard-{os.getpid()}")
        os.mkdir(path)
        self.addCleanup(shutil.rmtree, path)
        return path

    def make_file(self, size=0, **options):
        """Make a file by mkstemp; return its path."""
        number, path = mkstemp(**options)  # makes
        os.write(number, b"x" * size)
        os.close(number)
        return self.keep(path)

    def named(self, *functions, **options):
        """(name, state) of what tests leave."""
        return [leak[1:] for leak in run_inner(*functions, **{**KIND, **options}).named()]


class LeakTests(TempfileCase):
    """What is left is a leak of its test."""

    def test_directory(self):
        """A directory that is there when its test ends is a leak, with its line; the random part is not in its name."""

        def leaks(test):
            folder = self.keep(mkdtemp(prefix="chat-", suffix=".d"))  # makes
            for name in "abc":
                open(os.path.join(folder, name), "w").close()

        outcome = run_inner(leaks, lambda test: None, **KIND)
        self.assertEqual(
            outcome.messages,
            [
                "1 leak after test_0 (inner.Inner), waited N s\n"
                "\n"
                f"  tempfile '{FOLDER}/chat-*.d' (directory, 3 entries)\n"
                f"    created at  {place(leaks, 'makes')}\n"
                f"    fix         {FOLDER_HINT}\n"
                "\n"
                f"To allow one: leak_ignore = {{\"tempfile:{ANY_NUMBERS}/chat-?.d\": \"why\"}}"
            ],
        )
        self.assertTrue(os.path.isdir(self.kept[0]))  # nothing of the user's is ever removed

    def test_file(self):
        """The same for a file, with its size."""
        (leak,) = run_inner(lambda test: self.make_file(12), **KIND).leaks
        self.assertEqual((leak.name, leak.state, leak.hint), (f"{FOLDER}/tmp*", "file, 12 bytes", FILE_HINT))
        self.assertEqual(leak.origin, place(TempfileCase.make_file, "makes"))

    def test_all_ways(self):
        """Whatever function of ``tempfile`` made it, by whatever name it was imported, with str or bytes."""

        def spools():
            file = tempfile.SpooledTemporaryFile(max_size=1)
            file.write(b"long enough")
            self.addCleanup(file.close)

        one_file, one_folder = [(f"{FOLDER}/tmp*", "file, 0 bytes")], [(f"{FOLDER}/tmp*", "directory, 0 entries")]
        has_name = os.name == "nt"
        for make, expected in (
            (lambda: self.keep(tempfile.mkdtemp()), one_folder),
            (lambda: self.keep(mkdtemp(b"", b"tmp")), one_folder),
            (lambda: self.make_file(suffix=b""), one_file),
            (lambda: self.keep(TemporaryDirectory()), one_folder),
            (lambda: self.keep(NamedTemporaryFile()), one_file),
            (lambda: os.close(os.open(self.keep(tempfile.mktemp()), os.O_CREAT)), one_file),
            (lambda: self.addCleanup(tempfile.TemporaryFile().close), one_file if has_name else []),
            (spools, [(f"{FOLDER}/tmp*", "file, 11 bytes")] if has_name else []),
        ):
            with self.subTest(expected=expected):
                self.assertEqual(self.named(lambda test: make() and None), expected)

    def test_in_a_folder_of_the_users(self):
        """One that was made in a folder of the test's own choice is named with it."""
        folder = self.make_folder()
        expected = [(f"{folder}/tmp*", "file, 1 byte")]
        self.assertEqual(self.named(lambda test: self.make_file(1, dir=folder) and None), expected)

    @unittest.skipIf(sys.platform == "win32", "Windows has no such files")
    def test_other_things(self):
        """What was made under a name of ``mktemp`` is said as what it is."""

        def binds():
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(self.keep(tempfile.mktemp()))

        makers = {
            "socket": binds,
            "named pipe": lambda: os.mkfifo(self.keep(tempfile.mktemp())),
            "symbolic link": lambda: os.symlink("nowhere", self.keep(tempfile.mktemp())),
        }
        for state, make in makers.items():
            with self.subTest(state):
                self.assertEqual(self.named(lambda test: make()), [(f"{FOLDER}/tmp*", state)])

    def test_fingerprint(self):
        """It is the same in every run, wherever the system has its folder for such files."""
        leaks = [run_inner(lambda test: self.make_file(), **KIND).leaks[0] for _ in range(2)]
        with mock.patch.object(tempfile, "tempdir", self.make_folder()):
            leaks += run_inner(lambda test: self.make_file(), **KIND).leaks
        leaks += run_inner(lambda test: self.make_file(prefix="other-"), **KIND).leaks
        prints = [leak.fingerprint for leak in leaks]
        self.assertEqual(prints[:3], [prints[0]] * 3)
        self.assertNotEqual(prints[3], prints[0])

    def test_owner(self):
        """It belongs to the test whose thread or task made it, and is reported once."""

        def starts(test):
            thread = threading.Thread(target=self.make_file)
            thread.start()
            thread.join()

        async def makes(test):
            self.make_file()

        outcome = run_inner(lambda test: None, starts, lambda test: None, **KIND)
        self.assertEqual([leak.owner for leak in outcome.leaks], ["inner.Inner.test_1"])
        self.assertEqual([leak.owner for leak in run_inner_async(makes, **KIND).leaks], ["inner.Inner.test_0"])

    def test_of_a_class(self):
        """What ``setUpClass`` made is the class's, and is in no test's way."""
        fixture = classmethod(lambda cls: self.make_file() and None)
        outcome = run_inner(lambda test: None, setUpClass=fixture, **KIND)
        self.assertEqual([leak.owner for leak in outcome.leaks], ["inner.Inner"])


class CleanTests(TempfileCase):
    """What is no leak."""

    def test_clean(self):
        """What was removed, in whatever way, or moved."""

        def moves(test):
            os.replace(self.make_file(), self.keep(os.path.join(FOLDER, "leakguard-moved")))

        def removes(test):
            os.rmdir(mkdtemp())
            os.unlink(self.make_file())
            test.addCleanup(shutil.rmtree, mkdtemp())

        def leaves_blocks(test):
            with TemporaryDirectory() as folder, NamedTemporaryFile(dir=folder), tempfile.TemporaryFile():
                mkdtemp(dir=folder)
            tempfile.mktemp()

        self.assertEqual(self.named(moves, removes, leaves_blocks, leak_kinds="all"), [])

    def test_not_looked_for(self):
        """By default nobody looks, and nothing is hooked; after the last guard all is as it was."""
        script = """
            import os, tempfile
            from leakguard import LeakGuard, _compat, temporary
            (place, name), = _compat.temporary_points()
            before = getattr(place, name)
            with LeakGuard():
                print(getattr(place, name) is before, temporary.made)
            with LeakGuard(kinds="tempfile"):
                os.rmdir(tempfile.mkdtemp())
                print(getattr(place, name) is before, len(temporary.made))
            print(getattr(place, name) is before, temporary.made)
        """
        self.assertEqual(run_fresh(script), "True []\nFalse 1\nTrue []\n")
        self.assertEqual(run_inner(lambda test: self.make_file() and None).counts(), (0, 0))

    def test_removed_in_time(self):
        """What is removed within the grace."""
        with while_waiting("tempfile", self.remove_kept):
            self.assertEqual(self.named(lambda test: self.make_file() and None, grace=PATIENT), [])

    def test_in_a_cycle(self):
        """What only a reference cycle keeps: the collection that a check makes removes it."""

        def leaks(test):
            cycle = [NamedTemporaryFile()]
            cycle.append(cycle)

        self.assertEqual([leak for leak in self.named(leaks) if leak], [])

    def test_inside_of_another(self):
        """What is in a temporary directory goes with it: it is not reported beside it, nor while that is in use."""

        def fills(test):
            self.make_file(dir=test.folder)

        def make(cls):
            cls.folder = mkdtemp()
            cls.addClassCleanup(shutil.rmtree, cls.folder)

        self.assertEqual(self.named(fills, setUpClass=classmethod(make)), [])

        def leaks(test):
            self.make_file(dir=self.keep(mkdtemp()))

        self.assertEqual(self.named(leaks), [(f"{FOLDER}/tmp*", "directory, 1 entry")])

    def test_of_multiprocessing(self):
        """The folder that multiprocessing makes once for its sockets serves until the process ends."""
        from multiprocessing import process

        with mock.patch.dict(process.current_process()._config):
            process.current_process()._config.pop("tempdir", None)

            def uses(test):
                folder = self.keep(mkdtemp(prefix="pymp-"))
                process.current_process()._config["tempdir"] = folder
                self.make_file(dir=folder)

            self.assertEqual(self.named(uses), [])

    def test_ignored_and_allowed(self):
        """A rule is held against the name that is shown, and the path; one path or object may be allowed."""

        def allows(test):
            test.allowLeak(self.make_file(), "why")
            test.allowLeak(self.keep(NamedTemporaryFile()), "why")

        for rule in (f"tempfile:{FOLDER}/own-*", "tempfile:*.log"):
            with self.subTest(rule):
                leaks = lambda test: self.make_file(prefix="own-", suffix=".log")  # noqa: E731
                self.assertEqual(self.named(leaks, leak_ignore={rule: "why"}), [])
        self.assertEqual(self.named(allows), [])

    def test_forgets(self):
        """A name under which there is nothing is forgotten after a while, so that a long run keeps none."""

        noted = []

        def removes(test):
            os.rmdir(mkdtemp())
            noted.append(temporary.made[-1])
            noted[0].time -= 10.0

        def looks(test):
            test.assertNotIn(noted[0], temporary.made)

        self.assertEqual(run_inner(removes, looks, **KIND).counts(), (0, 0))


class HookTests(TempfileCase):
    """The hook itself."""

    def test_an_existing_name(self):
        """A candidate that is taken already is not the one that was made."""
        folder = self.make_folder()
        open(os.path.join(folder, "tmptaken"), "w").close()

        def leaks(test):
            with mock.patch.object(tempfile, "_name_sequence", iter(["taken", "free"])):
                self.make_file(dir=folder)
            test.assertEqual(os.path.basename(temporary.made[-1].path), "tmpfree")

        self.assertEqual(len(self.named(leaks)), 1)

    def test_other_callers(self):
        """Somebody else who asks for names gets them, and nothing is noted."""

        def asks(test):
            before = len(temporary.made)
            next(tempfile._get_candidate_names())
            test.assertEqual(len(temporary.made), before)

        self.assertEqual(run_inner(asks, **KIND).counts(), (0, 0))


if __name__ == "__main__":
    unittest.main()
