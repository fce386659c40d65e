"""`leakguard.check`: the algorithm of waiting and judging, by a scripted probe and a scripted clock.

No time passes here: a scripted probe's `settle` moves the scripted clock on, and things end when it says so.
"""

import gc
import types
import unittest
import weakref
from unittest import mock

from leakguard import check, notices, verdict
from leakguard.check import COLLECT_AFTER, IMMEDIATE_TURNS, LONGEST_PAUSE, MIN_ATTEMPTS, Check
from leakguard.guard import ACTIVE, CLOSED, Guard, Subject
from leakguard.ignore import parse_rules
from leakguard.model import Leak, LeakError
from leakguard.policy import KINDS, Policy
from leakguard.probes.protocol import Probe

TITLE = "test_x (tests.Tests)"
ID = "tests.Tests.test_x"


class Thing:
    """Something that may leak: ends at a time, in a collection, when described, or when a script says so."""

    def __init__(self, name="a", *, ends_at=float("inf"), in_collection=False, when_described=False, owner="mine"):
        self.name, self.ends_at, self.owner = name, ends_at, owner
        self.in_collection, self.when_described = in_collection, when_described
        self.blocks_exit = False


class World:
    """The clock, the collector and the log, as a check sees them."""

    def __init__(self):
        self.now = 100.0
        self.collections, self.pauses, self.log = 0, [], []
        self.probes = []

    def clock(self):
        """Seconds."""
        return self.now

    def pause(self, seconds):
        """Sleep."""
        self.pauses.append(seconds)
        self.now += seconds

    def collect(self):
        """Collect garbage: what only a cycle kept alive ends."""
        self.collections += 1
        for probe in self.probes:
            probe.things = [thing for thing in probe.things if not thing.in_collection]


class ScriptedProbe(Probe):
    """A probe of things that end by script; says what it was asked."""

    def __init__(self, world, *things, kind="thread", slowness=0.0):
        self.world, self.things, self.kind, self.slowness = world, list(things), kind, slowness
        self.settled, self.marked, self.isolated = [], [], []
        self.broken = {}
        self.loops = None
        self.noted = True
        world.probes.append(self)

    def break_down(self, where):
        """Raise where the script says so."""
        if where in self.broken:
            raise self.broken[where]

    def suspects(self, baseline):
        """What is alive, not in the baseline and not marked."""
        self.break_down("suspects")
        return [t for t in self.things if t.ends_at > self.world.now and t not in baseline and t not in self.marked]

    def settle(self, suspects, timeout):
        """Move the clock on to the end of the wait, or of the first thing that it waits for."""
        self.settled.append(round(timeout, 6))
        self.break_down("settle")
        first = min(thing.ends_at for thing in suspects)
        self.world.now = round(min(self.world.now + timeout, first) + self.slowness, 6)

    def owner(self, thing):
        """The guard that the script names."""
        return thing.owner

    def names(self, thing):
        """Its name, and a class."""
        self.break_down("names")
        return thing.name, ("app.Thing",)

    def origin(self, thing):
        """A line."""
        return "app.py:1 in make"

    def describe(self, thing):
        """A leak, and perhaps its end."""
        self.break_down("describe")
        if thing.when_described:
            self.things.remove(thing)
        return Leak(self.kind, thing.name, "alive", "", "app.py:1 in make", blocks_exit=thing.blocks_exit)

    def mark(self, things):
        """Remember."""
        self.marked += things

    def isolate(self, things):
        """Take two turns."""
        self.break_down("isolate")
        self.isolated += things
        yield
        yield

    def is_noted(self, thing):
        """As the script says."""
        return self.noted

    def loop_of(self, thing):
        """As the script says."""
        return self.loops


class CheckTestCase(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.world = world = World()
        self.reports, self.announced, self.said = [], [], []
        for thing, name, value in (
            (check._compat, "clock", world.clock),
            (check._compat, "pause", world.pause),
            (check._compat, "collect", world.collect),
            (check, "listeners", [self.reports.append]),
            (check, "wait_listeners", []),
            (check, "watchers", [self.said.append]),
            (verdict, "judge", lambda things, **_: [("", 0) for _ in things]),
            (check, "log", lambda level, message: world.log.append((level, message))),
            (notices, "log", lambda level, message: world.log.append((level, message))),
            (check.exit, "announce_at_exit", lambda: self.announced.append(True)),
        ):
            patch = mock.patch.object(thing, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def probe(self, *things, **options):
        """A scripted probe in this test's world."""
        return ScriptedProbe(self.world, *things, **options)

    def guard(self, *probes, scope="test", parent=None, **options):
        """An active guard with these probes and nothing in its baseline, which owns what has no other owner."""
        guard = Guard(scope, Subject(ID, TITLE), Policy(**options))
        guard.state, guard.parent, guard.probes = ACTIVE, parent, probes
        guard._baselines = [() for _ in probes]
        for probe in probes:
            for thing in probe.things:
                if thing.owner == "mine":
                    thing.owner = guard
        return guard

    def drive(self, steps):
        """Run a check to its end; return what it returns and how many turns it took."""
        turns = 0
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value, turns
            turns += 1

    def verdict(self, guard, *, has_failed=False):
        """The verdict, without its turns."""
        return self.drive(Check(guard).verdict(lambda: has_failed))[0]


class WaitTests(CheckTestCase):
    def test_nothing_new(self):
        """No suspect: no wait, no collection, no report."""
        probe = self.probe()
        self.assertEqual(self.drive(Check(self.guard(probe)).verdict(lambda: False)), (None, 0))
        self.assertEqual((probe.settled, self.world.collections, self.reports), ([], 0, []))

    def test_one_that_ends_at_once(self):
        """What ends before the tenth of the grace costs one wait and no collection."""
        probe = self.probe(Thing(ends_at=100.01))
        self.assertIsNone(self.verdict(self.guard(probe)))
        self.assertEqual((probe.settled, self.world.collections, self.world.now), ([0.05], 0, 100.01))
        self.assertEqual(self.reports, [])

    def test_one_that_ends_in_time(self):
        """What ends within the grace is no leak: two waits, one collection between them."""
        probe = self.probe(Thing(ends_at=100.3))
        self.assertIsNone(self.verdict(self.guard(probe)))
        self.assertEqual((probe.settled, self.world.collections, self.world.now), ([0.05, 0.45], 1, 100.3))

    def test_one_that_stays(self):
        """A leak has had the whole grace, the fewest attempts and two collections."""
        probe = self.probe(Thing())
        error = self.verdict(self.guard(probe))
        self.assertEqual(
            str(error),
            f"1 leak after {TITLE}, waited 0.51 s\n\n  thread 'a' (alive)\n    created at  app.py:1 in make\n\n"
            "To allow one: leak_ignore = {\"thread:a\": \"why\"}",
        )
        self.assertIsInstance(error, LeakError)
        self.assertEqual(probe.settled, [0.05, 0.45, *[0.001] * (MIN_ATTEMPTS - 2)])
        self.assertEqual(self.world.collections, 2)

    def test_the_grace_is_the_policys(self):
        """The two waits add up to the grace, whatever it is."""
        for grace in (0.02, 1.0):
            with self.subTest(grace=grace):
                probe = self.probe(Thing())
                self.verdict(self.guard(probe, grace=grace))
                expected = [grace * COLLECT_AFTER, grace * (1 - COLLECT_AFTER), *[0.001] * (MIN_ATTEMPTS - 2)]
                self.assertEqual(probe.settled, [round(seconds, 6) for seconds in expected])

    def test_a_long_wait_is_announced(self):
        """A check that waits for more than a second says once what it waits for, and for whom; a short one nothing."""
        announced = [f"leakguard: waiting for thread 'a' and 1 more of {ID} (up to 5 s)"]
        for ends, grace, said in [(1.5, 1.0, []), (0.75, 5.0, []), (1.5, 5.0, announced)]:
            with self.subTest(ends=ends, grace=grace):
                self.world.now = 200.0
                self.said.clear()
                things = [Thing(ends_at=200 + ends), Thing("b", ends_at=200 + ends)]
                self.verdict(self.guard(self.probe(*things), grace=grace))
                self.assertEqual(self.said, said)

    def test_the_announcement_comes_in_time(self):
        """The wait is cut at one second, or it would come when all is over."""
        probe = self.probe(Thing())
        self.verdict(self.guard(probe, grace=5.0))
        self.assertEqual(probe.settled[:3], [0.5, 0.5, 4.0])

    def test_a_broken_name_does_not_end_the_wait(self):
        """What it waits for cannot be named: nothing is said but that the probe is broken."""
        probe = self.probe(Thing())
        guard = self.guard(probe, grace=5.0)
        probe.broken["names"] = KeyError("gone")
        with self.assertWarns(RuntimeWarning):
            Check(guard)._say_waiting([check.Suspect(probe, probe.things[0], guard)])
        self.assertEqual(self.said, [])

    def test_a_loaded_machine(self):
        """However late each wait comes back, a suspect gets the fewest attempts."""
        probe = self.probe(Thing(ends_at=100.0 + 20.0 * (MIN_ATTEMPTS - 1)), slowness=20.0)
        self.assertIsNone(self.verdict(self.guard(probe)))
        self.assertEqual(len(probe.settled), MIN_ATTEMPTS - 1)

    def test_no_grace(self):
        """With no grace there is no wait, but one collection before anything is called a leak."""
        probe = self.probe(Thing("stays"), Thing("cycle", in_collection=True))
        error, turns = self.drive(Check(self.guard(probe, grace=0.0)).verdict(lambda: False))
        self.assertEqual([leak.name for leak in error.leaks], ["stays"])
        self.assertEqual((probe.settled, self.world.collections, self.world.now), ([], 1, 100.0))
        self.assertEqual(turns, 2)  # of isolation

    def test_a_cycle(self):
        """What only a cycle keeps alive ends after a tenth of the grace, and the wait with it."""
        probe = self.probe(Thing(in_collection=True))
        self.assertIsNone(self.verdict(self.guard(probe)))
        self.assertEqual((self.world.collections, self.world.now), (1, 100.05))

    def test_a_chain(self):
        """Things that each start the next within the grace are waited for to the last."""
        probe = self.probe(*[Thing(f"link-{i}", ends_at=100.0 + i / 10) for i in range(1, 5)])
        plain = probe.suspects
        probe.suspects = lambda baseline: plain(baseline)[:1]
        self.assertIsNone(self.verdict(self.guard(probe)))
        self.assertEqual(self.world.now, 100.4)

    def test_a_chain_without_end(self):
        """What starts the next one for ever is a leak, by whichever is alive when it is described; what ends is none."""
        for length, is_over in ((10, False), (2, True)):
            links = [Thing(f"link-{i}", when_described=True) for i in range(length)]
            probe = self.probe(*links)
            plain = probe.suspects
            probe.suspects = lambda baseline, plain=plain: plain(baseline)[:1]
            error = self.verdict(self.guard(probe))
            self.assertEqual(error is None, is_over)
            if error is not None:
                self.assertEqual([leak.name for leak in error.leaks], [f"link-{check.SUCCESSIONS + 1}"])

    def test_one_that_ends_while_it_is_described(self):
        """A finished thing is never reported: there is a last look after the description."""
        probe = self.probe(Thing("ends", when_described=True), Thing("stays"))
        error = self.verdict(self.guard(probe))
        self.assertEqual([leak.name for leak in error.leaks], ["stays"])
        self.assertIsNone(self.verdict(self.guard(self.probe(Thing(when_described=True)))))

    def test_two_kinds_share_one_deadline(self):
        """Where kinds are mixed, the wait is the threads', in short slices, to the one deadline."""
        child, thread = self.probe(Thing("child"), kind="process"), self.probe(Thing("thread"))
        error = self.verdict(self.guard(child, thread))
        self.assertEqual([leak.kind for leak in error.leaks], ["process", "thread"])
        self.assertEqual(child.settled, [])
        self.assertEqual(set(thread.settled), {LONGEST_PAUSE})
        self.assertAlmostEqual(sum(thread.settled), 0.5)

    def test_two_kinds_on_a_loaded_machine(self):
        """Past the deadline, mixed kinds too get a short wait at each of their attempts."""
        child, thread = self.probe(Thing("child"), kind="process"), self.probe(Thing("thread"), slowness=1.0)
        self.verdict(self.guard(child, thread))
        self.assertEqual(thread.settled, [LONGEST_PAUSE, *[0.001] * (MIN_ATTEMPTS - 1)])

    def test_with_a_loop_of_its_own(self):
        """The test's loop turns some times at once, then with pauses that grow up to the longest."""
        probe = self.probe(Thing(ends_at=100.2), kind="task")
        guard = self.guard(probe)
        guard.loop = object()
        error, turns = self.drive(Check(guard).verdict(lambda: False))
        self.assertIsNone(error)
        self.assertEqual(turns, IMMEDIATE_TURNS + len(probe.settled))
        self.assertEqual(probe.settled[:4], [0.0001, 0.0002, 0.0004, 0.0008])
        self.assertEqual(max(probe.settled), LONGEST_PAUSE)
        self.assertEqual(probe.settled, sorted(probe.settled))

    def test_a_loop_that_cannot_turn(self):
        """Inside a running loop its own tasks cannot end: they are not waited for."""
        probe = self.probe(Thing(), kind="task")
        probe.loops = object()
        with mock.patch.object(check._compat, "running_loop", lambda: probe.loops):
            error = self.verdict(self.guard(probe))
        self.assertEqual(([leak.kind for leak in error.leaks], probe.settled), (["task"], []))

    def test_a_loop_that_has_stopped(self):
        """Its tasks are waited for only while there is a thread that could run it again, and get their collection anyhow."""
        for is_only_thread, is_running, is_mixed, waits in (
            (True, False, False, False),
            (False, False, False, True),
            (True, True, False, True),
            (True, False, True, True),
        ):
            with self.subTest(is_only_thread=is_only_thread, is_running=is_running, is_mixed=is_mixed):
                probe = self.probe(Thing(), Thing("b", in_collection=True), kind="task")
                probe.loops = types.SimpleNamespace(is_running=lambda: is_running)
                others = [self.probe(Thing("c"))] if is_mixed else []
                with mock.patch.object(check._compat, "is_only_thread", lambda: is_only_thread):
                    error = self.verdict(self.guard(probe, *others))
                self.assertEqual([leak.name for leak in error.leaks], ["a", "c"] if is_mixed else ["a"])
                self.assertEqual(any(one.settled for one in (probe, *others)), waits)

    def test_nothing_of_the_check_keeps_a_suspect_alive(self):
        """During the collection the check holds no suspect: a real cycle that the probe knows weakly is gone."""
        if gc.isenabled():  # the check's own collection is what must find it
            gc.disable()
            self.addCleanup(gc.enable)
        thing = Thing()
        thing.itself = thing
        reference = weakref.ref(thing)
        probe = self.probe()
        probe.suspects = lambda baseline: [t for t in [reference()] if t is not None]
        guard = self.guard(probe)
        thing.owner = guard
        del thing
        with mock.patch.object(check._compat, "collect", gc.collect):
            self.assertIsNone(self.verdict(guard))
        self.assertIsNone(reference())
        self.assertEqual(self.world.now, 100.05)


class BrokenProbeTests(CheckTestCase):
    def warned(self, guard):
        """Give the verdict; return it and the text of the one warning."""
        with self.assertWarns(RuntimeWarning) as caught:
            error = self.verdict(guard)
        self.assertEqual(len([w for w in caught.warnings if w.category is RuntimeWarning]), 1)
        return error, str(caught.warning)

    def test_it_hides_no_other_kind(self):
        """A probe that breaks is reported, once a check, and the others do their work."""
        broken, whole = self.probe(Thing("lost"), kind="process"), self.probe(Thing("seen"))
        broken.broken["suspects"] = ValueError("no\nway")
        error, warning = self.warned(self.guard(broken, whole))
        self.assertEqual([leak.name for leak in error.leaks], ["seen"])
        self.assertEqual(
            warning,
            f"leakguard: the process probe broke (ValueError: no\\nway): {TITLE} was not fully checked for that kind",
        )

    def test_in_its_wait(self):
        """A wait that breaks becomes a pause of the guard's own."""
        probe = self.probe(Thing())
        probe.broken["settle"] = OSError("no wait")
        error, warning = self.warned(self.guard(probe))
        self.assertEqual([leak.name for leak in error.leaks], ["a"])
        self.assertIn("(OSError: no wait)", warning)
        self.assertEqual(set(self.world.pauses), {LONGEST_PAUSE})

    def test_in_its_description(self):
        """What cannot be described is a leak all the same."""
        probe = self.probe(Thing())
        probe.broken["describe"] = KeyError("no frame")
        (leak,) = self.verdict(self.guard(probe)).leaks
        self.assertEqual(leak, Leak("thread", "?", "could not be described: KeyError: 'no frame'", ID))

    def test_in_its_isolation(self):
        """The leak is on record before it is made harmless."""
        probe = self.probe(Thing())
        probe.broken["isolate"] = RuntimeError("stuck")
        error, warning = self.warned(self.guard(probe))
        self.assertEqual((len(error.leaks), len(self.reports), probe.marked), (1, 1, probe.things))
        self.assertIn("(RuntimeError: stuck)", warning)

    def test_where_warnings_are_errors(self):
        """A warning that would be an error is logged: the outcome of the test must not change."""
        probe = self.probe()
        probe.broken["suspects"] = ValueError("boom")
        with mock.patch("warnings.warn", side_effect=RuntimeWarning):
            self.assertIsNone(self.verdict(self.guard(probe)))
        self.assertEqual([level for level, _ in self.world.log], ["WARNING"])


class VerdictTests(CheckTestCase):
    def one(self, scope="test", **options):
        """A guard with one leak."""
        return self.guard(self.probe(Thing()), scope=scope, **options)

    def test_a_leak_is_reported_once_and_isolated(self):
        """Listeners get the report; the things are marked, then isolated."""
        guard = self.one()
        (probe,) = guard.probes
        error, _ = self.drive(Check(guard).verdict(lambda: False))
        (report,) = self.reports
        self.assertEqual((report.scope, report.owner, report.title, report.note), ("test", ID, TITLE, ""))
        self.assertEqual((report.leaks, guard.leaks), (error.leaks, error.leaks))
        self.assertEqual((report.leaks[0].owner, report.leaks[0].counted), (ID, True))
        self.assertAlmostEqual(report.waited, 0.51)
        self.assertEqual((probe.marked, probe.isolated), (probe.things, probe.things))
        self.assertIsNone(self.verdict(guard))
        self.assertEqual(len(self.reports), 1)

    def test_what_is_only_logged(self):
        """Each reason not to raise: its note, whether the leak still counts, and the level of the log."""
        failed = self.one()
        failed.failed = True
        unowned = self.guard(self.probe(Thing(owner=None)))
        unowned.shared = True
        module = self.one("module")
        table = [
            (self.one(action="log"), {}, "logged: the action is log", False, "WARNING"),
            (self.one(threshold=1), {}, "tolerated: the threshold is 1", False, "INFO"),
            (self.one(), {"has_failed": True}, "logged: the test had already failed", True, "WARNING"),
            (failed, {}, "logged: the test had already failed", True, "WARNING"),
            (unowned, {}, "logged: nobody can be shown to have made it", True, "WARNING"),
            (module, {}, "logged: another cleanup of the module had already failed", True, "WARNING"),
        ]
        for guard, given, note, is_counted, level in table:
            with self.subTest(note), mock.patch.object(check._compat, "module_cleanup_has_failed", lambda: True):
                del self.reports[:], self.world.log[:]
                self.assertIsNone(self.verdict(guard, **given))
                (report,), ((logged, message),) = self.reports, self.world.log
                self.assertEqual((report.note, report.leaks[0].counted, logged), (note, is_counted, level))
                first, last = message.splitlines()[0], message.splitlines()[-1]
                self.assertEqual((first, last), (f"1 leak after {TITLE}, waited 0.51 s", f"({note})"))
                self.assertEqual(guard.probes[0].isolated, guard.probes[0].things)

    def test_threshold(self):
        """As many leaks as the threshold are tolerated; one more, and all of them count."""
        for number, is_tolerated in ((1, True), (2, True), (3, False)):
            with self.subTest(leaks=number):
                guard = self.guard(self.probe(*[Thing(str(i)) for i in range(number)]), threshold=2)
                error = self.verdict(guard)
                self.assertEqual(error is None, is_tolerated)
                self.assertEqual([leak.counted for leak in guard.leaks], [not is_tolerated] * number)

    def test_what_blocks_the_exit_is_announced(self):
        """Only a leak that the interpreter waits for is announced at its exit."""
        self.verdict(self.one())
        self.assertEqual(self.announced, [])
        guard = self.one()
        guard.probes[0].things[0].blocks_exit = True
        self.verdict(guard)
        self.assertEqual(self.announced, [True])

    def test_ignored(self):
        """A thing that a rule names is no suspect; the match goes on record, that of a built-in rule does not."""
        probe = self.probe(Thing("pool-1"), Thing("pool-2"))
        guard = self.guard(probe, ignore=parse_rules(["thread:pool-*", "thread:other"], KINDS))
        self.assertIsNone(self.verdict(guard))
        (report,) = self.reports
        self.assertEqual((report.leaks, report.note), ((), ""))
        self.assertEqual(report.ignored, (("thread:pool-*", "pool-1"), ("thread:pool-*", "pool-2")))
        self.assertEqual((probe.settled, probe.marked, self.world.log), ([], [], []))
        del self.reports[:]
        built_in = self.guard(self.probe(Thing("IPythonHistorySavingThread")))
        built_in.probes[0].names = lambda thing: (thing.name, ("IPython.core.history.HistorySavingThread", "x.run"))
        self.assertIsNone(self.verdict(built_in))
        self.assertEqual(self.reports, [])

    def test_exempt(self):
        """What the caller exempts is no suspect."""
        guard = self.guard(self.probe(Thing("runs the test"), Thing("other")))
        made = Check(guard, lambda thing: thing.name == "runs the test")
        error, _ = self.drive(made.verdict(lambda: False))
        self.assertEqual([leak.name for leak in error.leaks], ["other"])

    def test_interim(self):
        """A check in the middle waits as long, and puts nothing on record: the end reports it again."""
        guard = self.one()
        (probe,) = guard.probes
        error, _ = self.drive(Check(guard).interim())
        self.assertEqual([leak.owner for leak in error.leaks], [ID])
        self.assertEqual((self.reports, probe.marked, probe.isolated, guard.leaks), ([], [], [], ()))
        self.assertEqual(self.drive(Check(self.guard(self.probe())).interim()), (None, 0))
        self.assertEqual(len(self.verdict(guard).leaks), 1)


class OwnerTests(CheckTestCase):
    def leaks(self, guard):
        """The owners of what a verdict finds."""
        self.verdict(guard)
        return [leak.owner for leak in guard.leaks]

    def other(self, state, parent=None, name="tests.Other.test_y"):
        """Another guard."""
        other = Guard("test", Subject(name, name), Policy())
        other.state, other.parent, other.probes = state, parent, self.world.probes
        return other

    def test_somebody_elses(self):
        """A neighbour's thing is the neighbour's, while it is active and afterwards."""
        around = self.other(ACTIVE)
        for state in (ACTIVE, CLOSED):
            with self.subTest(state=state):
                thing = Thing(owner=self.other(state, around))
                self.assertEqual(self.leaks(self.guard(self.probe(thing), parent=around)), [])

    def test_a_finished_part_of_ours(self):
        """What a course within this one left behind is reported here, in its maker's name."""
        guard = self.guard(self.probe(Thing()), scope="class", parent=self.other(ACTIVE))
        inner = self.other(CLOSED, guard)
        guard.probes[0].things[0].owner = inner
        self.assertEqual(self.leaks(guard), ["tests.Other.test_y"])
        guard = self.guard(self.probe(Thing()), scope="class", parent=self.other(ACTIVE))
        guard.probes[0].things[0].owner = self.other(ACTIVE, guard)
        self.assertEqual(self.leaks(guard), [])

    def test_what_its_makers_policy_leaves_out(self):
        """A kind that the maker's own policy does not check, or a thing that it ignores, is no wider guard's leak."""
        guard = self.guard(self.probe(Thing("pool-1")), scope="class", parent=self.other(ACTIVE))
        inner = guard.probes[0].things[0].owner = self.other(CLOSED, guard)
        inner.probes = ()
        self.assertEqual(self.leaks(guard), [])
        inner.probes = guard.probes
        inner.policy = Policy(ignore=parse_rules("thread:pool-*", KINDS))
        self.assertEqual(self.leaks(guard), [])
        inner.policy = Policy()
        self.assertEqual(self.leaks(guard), ["tests.Other.test_y"])

    def test_the_outermost_takes_what_is_left(self):
        """A thing of any finished course is reported at the end of the run at the latest."""
        guard = self.guard(self.probe(Thing(owner=self.other(CLOSED))), scope="run")
        self.assertEqual(self.leaks(guard), ["tests.Other.test_y"])

    def test_nobodys(self):
        """A thing without an owner: of the test if nobody else can have made it, else left to the outermost."""
        around = self.other(ACTIVE)
        table = [
            (around, False, False, [ID]),
            (around, True, False, []),
            (around, False, True, []),
            (None, False, False, [ID]),
            (None, True, False, ["unattributed"]),
            (None, False, True, ["unattributed"]),
        ]
        for parent, is_shared, is_noted, expected in table:
            with self.subTest(outermost=parent is None, shared=is_shared, noted=is_noted):
                probe = self.probe(Thing(owner=None))
                probe.noted = is_noted
                guard = self.guard(probe, parent=parent)
                guard.shared = is_shared
                self.assertEqual(self.leaks(guard), expected)

    def test_nobodys_on_the_tests_own_loop(self):
        """What lives on the test's own loop is the test's, whoever made it."""
        probe = self.probe(Thing(owner=None), kind="task")
        probe.loops = object()
        guard = self.guard(probe, parent=self.other(ACTIVE))
        guard.shared, guard.loop = True, probe.loops
        self.assertEqual(self.leaks(guard), [ID])

    def test_nobodys_at_the_end_of_the_run(self):
        """What nobody owns at the end of the run is unattributed, and raised there."""
        guard = self.guard(self.probe(Thing(owner=None)), scope="run")
        self.assertEqual([leak.owner for leak in self.verdict(guard).leaks], ["unattributed"])

    def test_an_owner_that_ends_meanwhile(self):
        """A neighbour's thing is looked at anew in each round: its owner may end while this check waits."""
        guard = self.guard(self.probe(Thing()), self.probe(Thing("ours")), scope="run")
        neighbour = self.other(ACTIVE)
        first, second = guard.probes
        first.things[0].owner = neighbour
        plain = second.settle

        def settle(suspects, timeout):
            neighbour.state = CLOSED
            plain(suspects, timeout)

        second.settle = settle
        self.assertEqual(self.leaks(guard), ["tests.Other.test_y", ID])


if __name__ == "__main__":
    unittest.main()
