"""``--leak-learn``: what it is to write, and what it says of that."""

from __future__ import annotations

import os
import sys
from typing import Iterable, Sequence

from leakguard import known, knownfile
from leakguard.knownfile import Entry
from leakguard.model import LeakReport


class Lesson:
    """All leaks of a run, or the known ones less those that it shows to be fixed."""

    def __init__(self, path: str, on_record: known.Known) -> None:
        """Raise ValueError before the run for a folder that cannot be, or an old file that cannot be read."""
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(folder):
            raise ValueError(f"--leak-learn: FILE must be in a folder that exists (got {path!r})")
        self.path, self.on_record = path, on_record
        self._full_path = os.path.abspath(path)  # tests may go elsewhere
        self.before = list(known.read(path, "--leak-learn").entries.values()) if os.path.exists(path) else []

    def write(self, reports: Iterable[LeakReport], fixed: Sequence[Entry], *, is_whole: bool) -> bool:
        """Write the file and say what has changed, or why it was not written; False if it could not be.

        A run of no test, one that was stopped, or one that could not import a module does not know what leaks: it would wipe the record.
        """
        from leakguard.report.files import replace_file

        if not is_whole:
            sys.stderr.write(f"Known leaks in {self.path}: not written, since the run did not come to its end\n")
            return True
        if self.on_record.path:
            entries = known.ratchet(self.on_record, fixed)
        else:
            entries = known.learn(known.learnable(reports), self.before, knownfile.today())
        try:
            replace_file(self._full_path, [knownfile.as_text(entries)])
        except OSError as error:
            sys.stderr.write(f"python -m leakguard: error: known leaks could not be written to {self.path}: {error}\n")
            return False
        old, new = ({entry.fingerprint for entry in some} for some in (self.before, entries))
        changes = f"{len(new - old)} new, {len(old - new)} removed"
        sys.stderr.write(f"Known leaks in {self.path}: {len(new)} ({changes})\n")
        return True
