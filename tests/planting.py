"""Run planted files and scripts, which are meant to misbehave, in a process of their own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

PLANTED = Path(__file__).parent / "planted_hostile"


def environment():
    """This process's environment, with its path and without options of leakguard."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("LEAKGUARD_")}
    return {**variables, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


def run_planted(name, *arguments, options=()):
    """Run a planted file with this Python; return (output, errors, exit status)."""
    done = subprocess.run(
        [sys.executable, *options, str(PLANTED / name), *arguments],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    return done.stdout, done.stderr, done.returncode


def run_fresh(script):
    """Run a script in an interpreter of its own, return what it printed."""
    command = [sys.executable, "-c", textwrap.dedent(script)]
    output, text = subprocess.PIPE, {"universal_newlines": True}
    return subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False, **text).stdout
