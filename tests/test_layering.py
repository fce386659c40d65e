"""The architecture, enforced from the code's own imports: who may import whom, and who may touch what."""

import ast
import os
import re
import subprocess
import sys
import textwrap
import unittest

import leakguard

ROOT = os.path.dirname(leakguard.__file__)

MAY_IMPORT = {
    "model": (),
    "notices": (),
    "_compat": (),
    "record": ("model",),
    "ignore": ("model", "_compat"),
    "origin": ("model", "_compat"),
    "deaths": ("model", "origin", "temporary", "_compat"),
    "changes": ("model", "origin", "_compat"),
    "temporary": ("model", "origin", "_compat"),
    "hooks": ("changes", "deaths", "temporary", "origin", "_compat"),
    "policy": ("ignore", "known", "notices"),
    "calls": ("bytecode", "_compat"),
    "activity": ("model", "_compat"),
    "holders": ("bytecode", "calls", "_compat"),
    "waiting": ("calls", "holders", "model", "origin", "_compat"),
    "awaiting": ("waiting", "model", "origin", "_compat"),
    "facts": ("origin", "bytecode", "_compat"),
    "causes": ("facts",),
    "probes": (
        "activity", "awaiting", "waiting", "model", "origin", "causes", "facts", "fingerprint", "temporary", "_compat", "probes.protocol"
    ),  # fmt: skip
    "report": ("model", "record", "report"),
    "probes.environ": ("model", "origin", "_compat", "probes.protocol", "changes", "temporary"),
    "probes.files": (
        "model", "origin", "facts", "waiting", "_compat", "probes.protocol", "temporary"
    ),  # fmt: skip
    "probes.tempfiles": ("model", "origin", "_compat", "probes.protocol", "temporary"),
    "exit": ("_compat", "model", "origin", "probes"),
    "fingerprint": ("origin",),
    "knownfile": ("_compat",),
    "known": ("knownfile", "fingerprint", "model", "record"),
    "reach": ("_compat",),
    "bytecode": (),
    "stack": ("reach", "bytecode", "_compat"),
    "verdict": ("reach", "stack", "origin", "model", "probes.tasks", "_compat"),
    "check": (
        "_compat", "origin", "ignore", "model", "fingerprint", "known", "notices", "probes", "report.text", "exit", "verdict"
    ),  # fmt: skip
    "journal": ("model", "record", "report.jsonl"),
    "recording": ("journal", "model", "origin", "probes", "record", "_compat"),
    "process_report": ("check", "journal", "record", "recording", "report", "_compat"),
    "merge": ("model", "record"),
    "guard": ("check", "notices", "process_report", "hooks", "origin", "policy", "probes", "model", "_compat"),
    "hub": ("probes", "model", "_compat"),
    "stops": ("hub", "model", "_compat"),
    "order": ("hub",),
    "turns": ("_compat",),
    "where": ("awaiting", "origin", "probes"),
    "alarm": ("where", "notices", "_compat"),
    "teardown": ("alarm", "hub", "order", "stops", "turns", "where", "notices", "model", "_compat"),
    "case": ("teardown", "guard", "check", "notices", "hooks", "origin", "policy", "model", "_compat"),
    "async_case": ("case", "origin", "_compat"),
    "advise": ("report.text",),
    "timing": ("case", "origin", "policy", "_compat"),
    "runner": (
        "case", "check", "exit", "guard", "ignore", "known", "knownfile", "model", "policy", "process_report", "record",
        "recording", "report", "timing", "_compat"
    ),  # fmt: skip
    "proposal": ("advise", "origin", "runner", "timing"),
    "selftest": ("guard", "model", "_compat"),
    "lesson": ("known", "knownfile", "model", "report.files"),
    "cli": (
        "runner", "policy", "proposal", "selftest", "report", "record", "recording", "journal", "merge", "known", "lesson"
    ),  # fmt: skip
    "__main__": ("cli",),
    "__init__": ("case", "async_case", "guard", "model", "policy"),
}
"""Module or package -> what of ours it may import; a package's name allows all of its modules."""

UNITTEST = {"case", "async_case", "runner", "cli"}
ASYNCIO = {
    "async_case": "at its top: it is the async case",
    "selftest": "at its top: it plants a task; imported for the self-test only",
}

PRIVATE_NAMES = {
    ("model", "_asdict"): "a method of named tuples, documented",
    ("guard", "_replace"): "a method of named tuples, documented",
    ("check", "_replace"): "the same",
    ("merge", "_replace"): "the same",
    ("merge", "_fields"): "the same",
    ("known", "_replace"): "the same",
    ("runner", "_replace"): "the same",
    ("knownfile", "_asdict"): "the same",
    ("verdict", "_replace"): "the same",
    ("stack", "_replace"): "the same",
    ("timing", "_testMethodName"): "the same as for case",
    ("runner", "_testMethodName"): "the same",
    ("case", "_testMethodName"): "the name of a test's method has no public way to it that a subclass cannot change",
    ("runner", "_ErrorHolder"): "what unittest itself hands to addError for a fixture",
    ("runner", "_moduleSetUpFailed"): "where unittest's suite notes it, on the result",
    ("cli", "_actions"): "argparse has no public list of its options; read for a message only",
}
"""(module, name) -> why a private name of the standard library is used outside of ``_compat``."""

PRIVATE_MODULES = {
    ("guard", "_thread"): "get_ident: the documented low-level module",
    ("case", "_thread"): "get_ident: the documented low-level module",
    ("origin", "_thread"): "get_ident: the documented low-level module",
    ("hooks", "_thread"): "start_new_thread, which is hooked there: the documented low-level module",
    ("probes.threads", "_thread"): "get_ident: the documented low-level module",
}
"""(module, private module) -> why it is imported outside of ``_compat``."""

SYS_NAMES = {"_getframe": "frames of callers", "_current_frames": "frames of all threads"}
"""Names of `sys` that are documented and begin with an underscore all the same."""


def modules():
    """Yield (name below the package, syntax tree) of every module."""
    for folder, _, files in sorted(os.walk(ROOT)):
        for file in sorted(files):
            if file.endswith(".py"):
                path = os.path.join(folder, file)
                name = os.path.relpath(path, ROOT)[:-3].replace(os.sep, ".")
                with open(path, encoding="utf-8") as source:
                    yield name[: -len(".__init__")] if name.endswith(".__init__") else name, ast.parse(source.read())


TREES = dict(modules())


def imports(tree):
    """Yield (full name, whether it is at the top of the module) of everything that is imported."""
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide who imports whom"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if is_ours_module(full) or node.module == "leakguard" else node.module, id(node) in top


def is_ours_module(name):
    """Whether a full name is that of a module of ours."""
    return name.startswith("leakguard.") and name[len("leakguard.") :] in TREES


def ours(tree):
    """What of ours a module imports, as names below the package; the package itself is ``""``."""
    return {name[len("leakguard") :].lstrip(".") for name, _ in imports(tree) if (name + ".").startswith("leakguard.")}


def is_allowed(name, allowed):
    """Whether a name is one of the allowed, or inside one of them."""
    return any((name + ".").startswith(one + ".") for one in allowed)


class LayerTests(unittest.TestCase):
    def test_who_imports_whom(self):
        """Each module imports only what its layer may; only the probes' list knows all probes."""
        for name, tree in TREES.items():
            allowed = MAY_IMPORT.get(name, MAY_IMPORT.get(name.partition(".")[0]))
            if name == "probes":
                allowed = ("probes",)
            with self.subTest(name):
                self.assertIsNotNone(allowed, "a new module needs a line in MAY_IMPORT")
                self.assertEqual([one for one in sorted(ours(tree)) if not is_allowed(one, allowed)], [])

    def test_probes_and_reports_do_not_know_each_other(self):
        """A new kind or format is one new file: no other probe or format imports it."""
        for name, tree in TREES.items():
            if name.startswith("probes."):
                with self.subTest(name):
                    self.assertLessEqual({one for one in ours(tree) if "probes" in one}, {"probes.protocol"})

    def test_the_rules_speak_of_modules_that_exist(self):
        """No rule is left over from a module that is gone."""
        known = {*TREES, *(name.partition(".")[0] for name in TREES)}
        self.assertEqual(set(MAY_IMPORT) - known, set())
        for rule in (PRIVATE_NAMES, PRIVATE_MODULES):
            self.assertEqual({name for name, _ in rule} - set(TREES), set())

    def test_nobody_imports_the_package_root(self):
        """The root is for users: inside, each name is imported from where it lives."""
        for name, tree in TREES.items():
            roots = {full for full, _ in imports(tree) if full.startswith("leakguard") and not is_ours_module(full)}
            with self.subTest(name):
                self.assertEqual(roots, set())

    def test_there_is_no_circle(self):
        """Importing any module first works, in an interpreter of its own, with nothing printed."""
        names = [name for name in TREES if name not in ("__init__", "__main__")]
        script = "import importlib, sys\nfor name in sys.argv[1:]:\n" + textwrap.indent(
            "for known in [k for k in sys.modules if k.partition('.')[0] == 'leakguard']:\n"
            "    if known != 'leakguard': del sys.modules[known]\n"
            "sys.modules['leakguard'] = type(sys)('leakguard')\n"
            f"sys.modules['leakguard'].__path__ = [{ROOT!r}]\n"
            "importlib.import_module('leakguard.' + name)\n",
            "    ",
        )
        self.assertEqual(run([*names], script), "")

    def test_unittest_is_known_to_the_glue_only(self):
        """``unittest`` is imported in case, async_case, runner and cli, nowhere else."""
        found = {name for name, tree in TREES.items() if any(is_of(full, "unittest") for full, _ in imports(tree))}
        self.assertEqual(found, UNITTEST)

    def test_asyncio_is_imported_where_it_is_needed_only(self):
        """``asyncio`` is imported in async_case, and in a function of selftest; never by a probe."""
        found = {name for name, tree in TREES.items() if any(is_of(full, "asyncio") for full, _ in imports(tree))}
        self.assertEqual(found, set(ASYNCIO))

    def test_only_the_standard_library_is_imported(self):
        """There are no dependencies: what is not ours is the standard library's."""
        if not hasattr(sys, "stdlib_module_names"):
            self.skipTest("sys.stdlib_module_names needs 3.10")
        known = {*sys.stdlib_module_names, "leakguard", "_winapi", "_posixsubprocess"}
        for name, tree in TREES.items():
            with self.subTest(name):
                self.assertEqual({full.partition(".")[0] for full, _ in imports(tree)} - known, set())


def is_of(full, package):
    """Whether a full name is a package or inside of it."""
    return (full + ".").startswith(package + ".")


def own_names(tree):
    """The names that start with an underscore and are made in a module of ours."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return {name for name in names if is_private(name)}


def is_private(name):
    """Whether a name is private, and neither special nor a name that ours have on users' objects."""
    return name.startswith("_") and not re.fullmatch(r"__\w+__", name) and not name.startswith("_leakguard")


OWN_NAMES = set().union(*(own_names(tree) for name, tree in TREES.items() if name != "_compat"))
OWN_NAMES -= {name for _, name in PRIVATE_NAMES}


class PrivateNameTests(unittest.TestCase):
    def test_private_names_of_the_library_are_in_one_file(self):
        """``thing._name`` outside of ``_compat`` is ours, documented, or an exception with its reason."""
        used = set()
        for name, tree in TREES.items():
            if name == "_compat":
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and is_private(node.attr):
                    is_sys = isinstance(node.value, ast.Name) and node.value.id == "sys" and node.attr in SYS_NAMES
                    if not is_sys and node.attr not in OWN_NAMES:
                        used.add((name, node.attr))
                elif isinstance(node, ast.FunctionDef) and (name, node.name) in PRIVATE_NAMES:
                    used.add((name, node.name))
                elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
                    text = node.args[1].value if isinstance(node.args[1], ast.Constant) else ""
                    if is_private(text):
                        used.add((name, text))
        self.assertEqual(used, set(PRIVATE_NAMES))

    def test_private_modules_are_in_one_file(self):
        """A module whose name begins with an underscore is imported by ``_compat``, or with a reason."""
        used = set()
        for name, tree in TREES.items():
            if name != "_compat":
                used |= {(name, full) for full, _ in imports(tree) if full.startswith("_") and full != "__future__"}
        self.assertEqual(used, set(PRIVATE_MODULES))

    def test_names_are_bound_once(self):
        """A module-level name that is bound twice hides its first meaning from the functions that read it."""
        for name, tree in TREES.items():
            bound = []
            for node in tree.body:
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                    bound.append(node.name)
                elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    stored = [n for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
                    bound += [n.id for n in stored if isinstance(n.ctx, ast.Store)]
            with self.subTest(name):
                self.assertEqual(sorted({one for one in bound if bound.count(one) > 1}), [])


def run(arguments, script):
    """Run a script in an interpreter of its own, in the folder above the package; return all that it printed."""
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "universal_newlines": True}
    return subprocess.run(command, cwd=os.path.dirname(ROOT), check=False, **streams).stdout


class ImportTests(unittest.TestCase):
    def imported(self, what, *names):
        """Which of the named modules an import brings along, in a fresh interpreter."""
        script = f"import sys\nbefore = set(sys.modules)\n{what}\nprint(*sorted(set(sys.modules) - before))"
        return sorted(set(run([], script).split()) & set(names))

    def test_what_import_leakguard_brings_along(self):
        """``import leakguard`` needs no asyncio, no logging and no subprocess."""
        self.assertEqual(self.imported("import leakguard", "asyncio", "logging", "subprocess", "multiprocessing"), [])

    def test_the_async_case_is_imported_on_demand(self):
        """Its name brings asyncio along, and nothing before that does."""
        self.assertEqual(self.imported("import leakguard\nleakguard.LeakGuardAsyncTestCase", "asyncio"), ["asyncio"])
        self.assertEqual(self.imported("from leakguard import LeakGuard, LeakGuardTestCase", "asyncio"), [])

    def test_importing_changes_nothing(self):
        """No thread, no handler, no hook, no limit: the import has no side effect on its host."""
        script = """
            import gc, logging, sys, threading, unittest, warnings
            def state():
                return [
                    threading.active_count(), threading.Thread.start, threading.excepthook, sys.excepthook,
                    sys.getrecursionlimit(), sys.get_coroutine_origin_tracking_depth(), gc.isenabled(), gc.callbacks[:],
                    logging.root.handlers[:], logging.root.level, logging.getLogger("leakguard").level,
                    warnings.filters[:], unittest.TestCase.run, unittest.TestSuite.run, unittest.TestResult.startTest,
                ]
            before = state()
            import leakguard
            leakguard.LeakGuardAsyncTestCase
            print([a for a, b in zip(state(), before) if a != b])
        """
        self.assertEqual(run([], script), "[]\n")


if __name__ == "__main__":
    unittest.main()
