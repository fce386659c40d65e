"""The package is typed throughout: ``mypy --strict`` has nothing to say, for the oldest Python that is supported."""

import inspect
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import leakguard

ROOT = os.path.dirname(leakguard.__file__)
OLDEST = "3.9"


class TypingTests(unittest.TestCase):
    def test_mypy_strict(self):
        """``mypy --strict`` passes. Without a mypy that knows the oldest Python: a skip, on CI a failure."""
        command = [sys.executable, "-m", "mypy", "--strict", "--python-version", OLDEST, "--cache-dir", os.devnull]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "universal_newlines": True}
        # a copy, by itself: beside an installed package, mypy takes its own modules for the user's
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(ROOT, os.path.join(folder, "leakguard"), ignore=shutil.ignore_patterns("__pycache__"))
            done = subprocess.run([*command, "leakguard"], cwd=folder, check=False, **streams)
        if "No module named mypy" in done.stdout:
            self.give_up("mypy is not installed")
        if "is not supported" in done.stdout:
            self.give_up(f"this mypy does not know Python {OLDEST}: install mypy<2")
        self.assertEqual((done.returncode, done.stdout.splitlines()[:-1]), (0, []), done.stdout)

    def give_up(self, reason):
        """Skip; where the check must have run, fail."""
        if os.environ.get("CI", "").lower() in ("1", "true"):
            self.fail(reason)
        self.skipTest(reason)

    def test_the_package_says_that_it_is_typed(self):
        """``py.typed`` is there, beside the modules (PEP 561)."""
        self.assertTrue(os.path.isfile(os.path.join(ROOT, "py.typed")))

    def test_public_signatures_are_annotated(self):
        """Each public function and method has a type for every parameter and for what it returns."""
        found = []
        for name in leakguard.__all__:
            thing = getattr(leakguard, name)
            members = [(name, thing)] if inspect.isfunction(thing) else inspect.getmembers(thing, inspect.isfunction)
            for called, function in members:
                if not (function.__module__ or "").startswith("leakguard."):
                    continue
                if called.startswith("__") or function.__name__ != called:
                    continue  # written by Python
                parameters = set(inspect.signature(function).parameters) - {"self", "cls"}
                if not {*parameters, "return"} <= set(function.__annotations__):
                    found.append(f"{name}.{called}")
        self.assertEqual(found, [])


if __name__ == "__main__":
    unittest.main()
