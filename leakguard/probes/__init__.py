"""The probes, one file a kind, in the order in which they are looked at.

Processes come before threads, since a process that has ended may release a thread.
"""

from typing import Tuple

from leakguard.probes.environ import EnvironProbe
from leakguard.probes.exceptions import ExceptionProbe
from leakguard.probes.files import FileProbe
from leakguard.probes.native import NativeProbe
from leakguard.probes.processes import ProcessProbe
from leakguard.probes.protocol import Probe
from leakguard.probes.tasks import TaskProbe
from leakguard.probes.tempfiles import TempfileProbe
from leakguard.probes.threads import ThreadProbe
from leakguard.probes.timers import TimerProbe

ALL: Tuple[Probe, ...] = (
    ProcessProbe(),
    ThreadProbe(),
    NativeProbe(),
    TaskProbe(),
    TimerProbe(),
    FileProbe(),
    ExceptionProbe(),
    TempfileProbe(),
    EnvironProbe(),
)
