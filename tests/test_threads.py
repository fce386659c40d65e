"""Threads: of `threading`, raw ones, foreign ones, and executors' workers."""

import _thread
import asyncio
import concurrent.futures
import ctypes
import gc
import queue
import sys
import threading
import unittest
from _thread import start_new_thread as start_unseen  # bound before any guard is active: no hook sees it
from unittest import mock

from leakguard import LeakError, LeakGuard, origin
from leakguard.hooks import hooks
from tests.doubles import JOIN_SECONDS, BlockedThread
from tests.guarded import PATIENT, QUICK, listening, place, run_inner, run_inner_async, while_waiting


class ReleasedThread(threading.Thread):
    """A thread with an own run() that waits on a queue."""

    def __init__(self):
        super().__init__(name="reader", daemon=True)
        self.queue = queue.Queue()

    def run(self):
        """Wait for one thing."""
        self.queue.get()  # reads


class RawThread:
    """A thread of `_thread`, started by a given function, which waits until it is released."""

    def __init__(self, test):
        self.is_blocked = threading.Event()
        self.lock = _thread.allocate_lock()
        self.lock.acquire()
        self.has_ended = _thread.allocate_lock()
        self.has_ended.acquire()
        self.is_ended = False
        test.addCleanup(self.end)

    def raw_body(self):
        """Say that it runs, then wait."""
        self.is_blocked.set()
        self.lock.acquire(True, JOIN_SECONDS)
        self.has_ended.release()

    def end(self):
        """Let it end, and wait until its last instruction."""
        if self.is_ended:
            return
        self.is_ended = True
        self.lock.release()
        self.has_ended.acquire(True, JOIN_SECONDS)


class ForeignThread:
    """A system thread that Python did not start and that runs Python code until it is released."""

    def __init__(self, test, *, is_known=True):
        self.is_blocked = threading.Event()
        self.released = threading.Event()
        self._is_known, self._is_joined = is_known, False
        self._body = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(self._run)
        self._id = ctypes.c_ulong()
        self._library = ctypes.CDLL(None)
        self._library.pthread_create(ctypes.byref(self._id), None, self._body, None)
        self.is_blocked.wait(JOIN_SECONDS)
        test.addCleanup(self._forget)

    def _forget(self):
        """End it, and drop the entry that `threading` keeps for ever up to 3.12: it would pass to another thread."""
        self.end()
        if isinstance(threading._active.get(self._ident), threading._DummyThread):
            del threading._active[self._ident]

    def _run(self, _):
        self._ident = threading.get_ident()
        if self._is_known:
            threading.current_thread()
        self.is_blocked.set()
        self.released.wait(JOIN_SECONDS)

    def end(self):
        """Let it end, and wait until the system has no such thread any more."""
        self.released.set()
        if not self._is_joined:
            self._is_joined = True
            self._library.pthread_join(self._id, None)


has_pthread = unittest.skipIf(sys.platform == "win32", "needs pthreads")


class ThreadTests(unittest.TestCase):
    """What threading.Thread starts."""

    maxDiff = None

    def test_leak(self):
        """A thread that outlives its test fails it, with the lines that created it and that it waits in."""

        def leaks(test):
            thread = ReleasedThread()
            self.addCleanup(thread.join, JOIN_SECONDS)
            self.addCleanup(thread.queue.put, None)
            thread.start()  # starts

        outcome = run_inner(leaks)
        self.assertEqual(
            outcome.messages,
            [
                "1 leak after test_0 (inner.Inner), waited N s\n"
                "\n"
                "  thread 'reader' (daemon, alive)\n"
                f"    created at  {place(leaks, 'starts')}\n"
                f"    now at      {place(ReleasedThread.run, 'reads')}, waiting in queue.Queue.get\n"
                "    fix         stop the thread's loop and join() it in a cleanup\n"
                "\n"
                "To allow one: leak_ignore = {\"thread:reader\": \"why\"}"
            ],
        )
        self.assertEqual(outcome.counts(), (1, 0))

    def test_clean(self):
        """A thread that was joined is no leak and is not waited for."""

        def joins(test):
            thread = BlockedThread().start_blocked()
            thread.end()

        with while_waiting("thread", lambda: self.fail("waited")):
            outcome = run_inner(joins)
        self.assertEqual((outcome.leaks, outcome.counts()), ([], (0, 0)))

    def test_ends_in_time(self):
        """A thread that ends within the grace is no leak."""
        threads = []

        def just_ends(test):
            threads.append(BlockedThread().start_in(self))

        with while_waiting("thread", lambda: threads[0].release()):
            outcome = run_inner(just_ends, grace=PATIENT)
        self.assertEqual((outcome.leaks, outcome.counts()), ([], (0, 0)))

    def test_ends_by_collection(self):
        """A thread that one garbage collection ends is no leak."""

        class Owner:
            def __init__(self, thread):
                self.thread, self.itself = thread, self

            def __del__(self):
                self.thread.release()

        def is_owned_by_a_cycle(test):
            Owner(BlockedThread().start_in(self))

        gc.disable()
        self.addCleanup(gc.enable)
        self.assertEqual(run_inner(is_owned_by_a_cycle, grace=1.0).leaks, [])

    def test_ends_by_the_last_collection(self):
        """Without any grace, what the one collection ends is no leak either: a look follows it."""
        threads = []

        def release(phase, info):
            if threads:
                threads[0].end()

        def leaks(test):
            threads.append(BlockedThread().start_in(self))

        gc.callbacks.append(release)
        self.addCleanup(gc.callbacks.remove, release)
        self.assertEqual(run_inner(leaks, grace=0).leaks, [])

    def test_ignored(self):
        """A rule is held against the name, the class and the target function, and may name the line."""

        def leaks(test):
            BlockedThread(name="reader-1").start_in(self)

        def leaks_target(test):
            released = threading.Event()
            thread = threading.Thread(target=wait_for, args=(released,))
            self.addCleanup(thread.join, JOIN_SECONDS)
            self.addCleanup(released.set)
            thread.start()

        rules = ("thread:reader-*", "thread:tests.doubles.BlockedThread", "thread:*@tests/doubles.py")
        pairs = [(leaks, rule) for rule in rules] + [(leaks_target, "thread:tests.test_threads.wait_for")]
        for function, rule in pairs:
            with self.subTest(rule=rule):
                outcome = run_inner(function, leak_ignore={rule: "shared"})
                self.assertEqual((outcome.leaks, outcome.counts()), ([], (0, 0)))
                self.assertEqual({r for report in outcome.reports for r, _ in report.ignored}, {rule})

    def test_rule_that_does_not_fit(self):
        """A rule for another name, class or line ignores nothing."""

        def leaks(test):
            BlockedThread(name="reader-1").start_in(self)

        outcome = run_inner(leaks, leak_ignore=("thread:writer-*", "thread:*@elsewhere.py", "process:*", "task:*"))
        self.assertEqual(outcome.named(), [("thread", "reader-1", "daemon, alive")])

    def test_reported_once(self):
        """A leaked thread is reported at its own test, and is baseline for every later one."""

        def leaks(test):
            BlockedThread(name="first").start_in(self)

        def is_clean(test):
            pass

        def leaks_too(test):
            BlockedThread(name="second").start_in(self)

        outcome = run_inner(leaks, is_clean, leaks_too)
        self.assertEqual(
            [(leak.name, leak.owner) for leak in outcome.leaks],
            [("first", "inner.Inner.test_0"), ("second", "inner.Inner.test_2")],
        )

    def test_states(self):
        """The state tells whether the thread is a daemon, and only one that is not keeps the process from exiting."""

        def leaks(test):
            BlockedThread(name="a", daemon=True).start_in(self)
            BlockedThread(name="b", daemon=False).start_in(self)

        leaks = run_inner(leaks).leaks
        self.assertEqual(
            [(leak.name, leak.state, leak.blocks_exit) for leak in leaks],
            [("a", "daemon, alive", False), ("b", "alive", True)],
        )

    def test_timer(self):
        """A timer that has not fired is a leak, with advice of its own."""

        def leaks(test):
            timer = threading.Timer(3600, print)
            self.addCleanup(timer.join, JOIN_SECONDS)
            self.addCleanup(timer.cancel)
            timer.start()  # starts

        (leak,) = run_inner(leaks).leaks
        self.assertEqual((leak.state, leak.hint), ("timer, alive", "cancel() the timer and join() it in a cleanup"))
        self.assertEqual(leak.origin, place(leaks, "starts"))
        self.assertIn("threading.Timer", leak.aliases)

    def test_join_that_stops_the_thread(self):
        """A class whose join() stops its thread cannot hide the leak: the guard's wait does not call it."""

        class Stoppable(BlockedThread):
            def join(self, timeout=None):
                self.release()
                super().join(timeout)

        def leaks(test):
            Stoppable(name="stoppable").start_in(self)

        self.assertEqual(run_inner(leaks).named(), [("thread", "stoppable", "daemon, alive")])

    def test_is_alive_that_lies(self):
        """A class whose is_alive() says no cannot hide the leak."""

        class Liar(BlockedThread):
            is_liar = True

            def is_alive(self):
                return super().is_alive() and not self.is_liar

        def leaks(test):
            thread = Liar(name="liar")
            self.addCleanup(thread.end)
            self.addCleanup(setattr, thread, "is_liar", False)
            thread.start_blocked()

        self.assertEqual(run_inner(leaks).named(), [("thread", "liar", "daemon, alive")])

    def test_replacement(self):
        """A thread that takes the place of one that ended is a leak, though the count is the same."""
        old = BlockedThread(name="old").start_blocked()

        def replaces(test):
            old.end()
            BlockedThread(name="new").start_in(self)

        self.assertEqual(run_inner(replaces).named(), [("thread", "new", "daemon, alive")])

    def test_recycled_ident(self):
        """A thread that was given the ident of one that ended is a leak: an ident is no identity."""
        attempts = []

        def recycles(test):
            thread = BlockedThread(name="new").start_in(self)
            attempts.append(thread.ident)

        for _ in range(20):
            old = BlockedThread(name="old").start_blocked()
            ident = old.ident

            def replaces(test):
                old.end()
                recycles(test)

            self.assertEqual(run_inner(replaces).named(), [("thread", "new", "daemon, alive")])
            if attempts[-1] == ident:
                return
        self.skipTest("the system did not hand out an ident again")

    def test_chain(self):
        """Short threads, each starting the next within the grace, are no leak once the last has ended."""
        links = []

        class Link(BlockedThread):
            def run(self):
                super().run()
                if len(links) < 20:
                    links.append(Link())
                    links[-1].start()

        def starts_a_chain(test):
            links.append(Link())
            links[-1].start_in(self)

        with while_waiting("thread", lambda: [link.release() for link in list(links)]):
            outcome = run_inner(starts_a_chain, grace=PATIENT)
        self.assertEqual((outcome.leaks, len(links)), ([], 20))

    def test_baseline(self):
        """A thread that was there before is none of the test's."""
        BlockedThread().start_in(self)
        self.assertEqual(run_inner(lambda test: None).leaks, [])

    def test_allowed(self):
        """A thread that the test allows is no leak; the reason is logged."""

        def shares(test):
            thread = BlockedThread(name="shared").start_in(self)
            test.allowLeak(thread, "one for the process")

        outcome = run_inner(shares)
        self.assertEqual(outcome.leaks, [])
        self.assertEqual(outcome.logged, [("INFO", "leakguard: thread 'shared' is allowed: one for the process")])

    def test_every_stage(self):
        """A thread is seen wherever in the test's course it is started."""

        def start(test):
            BlockedThread(name="x").start_in(self)

        for stage in ("setUp", "tearDown"):
            with self.subTest(stage=stage):
                self.assertEqual(len(run_inner(lambda test: None, **{stage: start}).leaks), 1)
        with self.subTest(stage="cleanup"):
            self.assertEqual(len(run_inner(lambda test: test.addCleanup(start, test)).leaks), 1)

    def test_many(self):
        """Two hundred leaks of one line are one entry with a count."""

        def leaks(test):
            for number in range(200):
                BlockedThread(name=f"worker-{number:03}").start_in(self)

        outcome = run_inner(leaks)
        self.assertEqual(len(outcome.leaks), 200)
        (message,) = outcome.messages
        self.assertEqual(
            message.splitlines()[:3],
            ["200 leaks after test_0 (inner.Inner), waited N s", "", "  200 threads 'worker-000..199' (daemon, alive)"],
        )

    def test_start_that_raises(self):
        """Where start() raises, the error is the test's, nothing is a leak, and the next start is seen."""

        def cannot_start(test):
            thread = BlockedThread()
            name = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
            with mock.patch.object(threading, name, side_effect=RuntimeError("can't start new thread")):
                with test.assertRaisesRegex(RuntimeError, "^can't start new thread$"):
                    thread.start()

        def leaks(test):
            BlockedThread(name="later").start_in(self)

        outcome = run_inner(cannot_start, leaks)
        self.assertEqual((outcome.named(), outcome.counts()), ([("thread", "later", "daemon, alive")], (1, 0)))

    def test_start_patched_before(self):
        """A Thread.start that somebody replaced before the guard came is called, and is there again afterwards."""
        calls, original = [], threading.Thread.start

        def patched(thread):
            calls.append(thread.name)
            original(thread)

        def leaks(test):
            BlockedThread(name="x").start_in(self)

        with mock.patch.object(threading.Thread, "start", patched):
            outcome = run_inner(leaks)
        self.assertEqual((outcome.named(), calls), ([("thread", "x", "daemon, alive")], ["x"]))
        self.assertIs(threading.Thread.start, original)

    def skip_if_hooked(self):
        """A guard around this test holds the hooks for longer than the inner one."""
        if hooks._users:
            self.skipTest("a guard is active around this test")

    def test_start_patched_for_good(self):
        """A Thread.start that a test replaces for good stays in the chain, and later guards see lines as before."""
        self.skip_if_hooked()
        original = threading.Thread.start
        calls = []

        def patches(test):
            inner = threading.Thread.start

            def patched(thread):
                calls.append(thread.name)
                inner(thread)

            threading.Thread.start = patched

        def leaks(test):
            thread = BlockedThread(name="x")
            self.addCleanup(thread.end)
            thread.start()  # starts

        try:
            run_inner(patches)
            self.assertEqual([leak.origin for leak in run_inner(leaks).leaks], [place(leaks, "starts")])
            self.assertEqual(calls, ["x"])
        finally:
            threading.Thread.start = original

    def test_start_put_back_over_the_hook(self):
        """Where somebody puts the plain Thread.start back over ours, the next guard sees lines again."""
        self.skip_if_hooked()
        original = threading.Thread.start

        def leaks(test):
            thread = BlockedThread(name="x")
            self.addCleanup(thread.end)
            thread.start()  # starts

        def undoes(test):
            threading.Thread.start = original

        run_inner(undoes)
        self.assertEqual([leak.origin for leak in run_inner(leaks).leaks], [place(leaks, "starts")])

    def test_start_unpatched_late(self):
        """A patch that was begun under a guard and ends after it leaves our silent hook there, and only one."""

        def patches(test):
            self.patch = mock.patch.object(threading.Thread, "start", autospec=True)
            self.patch.start()

        original = threading.Thread.start
        try:
            for _ in range(3):
                run_inner(patches)
                self.patch.stop()
                left = threading.Thread.start
                BlockedThread().start_in(self)
            run_inner(lambda test: None)
            self.assertIn(threading.Thread.start, (original, left))
        finally:
            threading.Thread.start = original


def wait_for(event):
    """The target of a thread."""
    event.wait(JOIN_SECONDS)


class DescendantTests(unittest.TestCase):
    """Threads that were started by threads."""

    def test_what_a_leak_starts_later(self):
        """The test that left the first thread fails, once: neither the next one does nor the class; all is on record."""
        go, spawned, release = threading.Event(), threading.Event(), threading.Event()
        children = []

        def spawn():
            go.wait(JOIN_SECONDS)
            children.append(threading.Thread(target=release.wait, args=(JOIN_SECONDS,), name="child", daemon=True))
            children[0].start()
            spawned.set()
            release.wait(JOIN_SECONDS)

        def leaks(test):
            children.append(threading.Thread(target=spawn, name="spawner", daemon=True))
            children.pop().start()

        def is_clean(test):
            go.set()
            spawned.wait(JOIN_SECONDS)

        self.addCleanup(lambda: children[0].join(JOIN_SECONDS))
        self.addCleanup(release.set)
        outcome = run_inner(leaks, is_clean)
        self.assertEqual(outcome.counts(), (1, 0))
        self.assertEqual([(leak.name, leak.owner) for leak in outcome.leaks], [
            ("spawner", "inner.Inner.test_0"),
            ("child", "inner.Inner.test_0"),
        ])  # fmt: skip
        note = "logged: what made it has failed for a leak already"
        self.assertEqual([report.note for report in outcome.reports], ["", note])

    def test_origin_below_a_library(self):
        """A thread that a library's own thread starts was created where the user began that one."""
        child = BlockedThread(name="child")
        self.addCleanup(child.end)

        def leaks(test):
            timer = threading.Timer(0.0, child.start)
            timer.start()  # begins
            timer.join(JOIN_SECONDS)

        self.assertEqual([leak.origin for leak in run_inner(leaks).leaks], [place(leaks, "begins")])


class RawThreadTests(unittest.TestCase):
    """What `_thread` starts, of which `threading` knows nothing."""

    def test_leak(self):
        """A raw thread is a leak, with the line that created it."""

        def leaks(test):
            raw = RawThread(self)
            _thread.start_new_thread(raw.raw_body, ())  # starts
            raw.is_blocked.wait(JOIN_SECONDS)

        outcome = run_inner(leaks)
        self.assertEqual(outcome.named(), [("thread", "raw_body", "raw, alive")])
        self.assertEqual(outcome.leaks[0].origin, place(leaks, "starts"))
        self.assertEqual(outcome.leaks[0].aliases, ("tests.test_threads.RawThread.raw_body",))

    def test_leak_in_c(self):
        """A raw thread that runs a function of C's, with no frame of Python's, is a leak by that function's name."""
        lock = _thread.allocate_lock()
        lock.acquire()
        self.addCleanup(lock.release)

        def leaks(test):
            _thread.start_new_thread(lock.acquire, ())  # starts

        outcome = run_inner(leaks)
        self.assertEqual(outcome.named(), [("thread", "acquire", "raw, alive")])
        self.assertEqual(outcome.leaks[0].origin, place(leaks, "starts"))

    def test_clean_in_c(self):
        """One that has ended is none, and it was given its arguments."""
        taken = _thread.allocate_lock()

        def ends(test):
            _thread.start_new_thread(taken.acquire, (True,), {"timeout": 1.0})

        self.assertEqual(run_inner(ends, grace=PATIENT).leaks, [])
        self.assertTrue(taken.locked())

    def test_leak_unseen(self):
        """One started through a name that no hook could replace is a leak too; its line is not known."""

        def leaks(test):
            raw = RawThread(self)
            start_unseen(raw.raw_body, ())
            raw.is_blocked.wait(JOIN_SECONDS)

        outcome = run_inner(leaks)
        self.assertEqual(outcome.named(), [("thread", "raw_body", "raw, alive")])
        self.assertEqual((outcome.leaks[0].origin, outcome.leaks[0].owner), (None, "inner.Inner.test_0"))

    def test_clean(self):
        """A raw thread that has ended is no leak."""

        def ends(test):
            raw = RawThread(self)
            _thread.start_new_thread(raw.raw_body, ())
            raw.end()

        self.assertEqual(run_inner(ends, grace=PATIENT).leaks, [])

    def test_ends_in_time(self):
        """A raw thread that ends within the grace is no leak."""
        for is_seen in (True, False):
            raws = []

            def just_ends(test):
                raws.append(RawThread(self))
                start = _thread.start_new_thread if is_seen else start_unseen
                start(raws[0].raw_body, ())
                raws[0].is_blocked.wait(JOIN_SECONDS)  # one that no hook saw can only be seen once it runs

            with self.subTest(is_seen=is_seen), while_waiting("thread", lambda: raws[0].end()):
                self.assertEqual(run_inner(just_ends, grace=PATIENT).leaks, [])

    def test_not_yet_running(self):
        """A raw thread that was started and has not run its first instruction is seen."""

        def leaks(test):
            raw = RawThread(self)
            interval = sys.getswitchinterval()
            sys.setswitchinterval(10)
            self.addCleanup(sys.setswitchinterval, interval)
            _thread.start_new_thread(raw.raw_body, ())

        self.assertEqual([leak.kind for leak in run_inner(leaks).leaks], ["thread"])

    def test_ignored(self):
        """A rule is held against the function that the thread runs."""

        def leaks(test):
            raw = RawThread(self)
            start_unseen(raw.raw_body, ())
            raw.is_blocked.wait(JOIN_SECONDS)

        for rule in ("thread:raw_body", "thread:tests.test_threads.RawThread.*"):
            with self.subTest(rule=rule):
                self.assertEqual(run_inner(leaks, leak_ignore={rule: "why"}).leaks, [])

    def test_reported_once(self):
        """A raw thread is reported once, and the next test's own is reported too."""

        def leaks(test):
            raw = RawThread(self)
            start_unseen(raw.raw_body, ())
            raw.is_blocked.wait(JOIN_SECONDS)

        outcome = run_inner(leaks, lambda test: None, leaks, lambda test: None)
        self.assertEqual([leak.owner for leak in outcome.leaks], ["inner.Inner.test_0", "inner.Inner.test_2"])

    def test_in_the_place_of_another(self):
        """One that no hook saw is its own test's, though an earlier test's had the same ident and function."""

        def leaks(test):
            raw = RawThread(self)
            ident = start_unseen(raw.raw_body, ())
            raw.is_blocked.wait(JOIN_SECONDS)
            if ident in origin.raw_births:  # would be taken for that one's
                test.fail("the birth of a thread that has ended is still noted")

        earlier = origin.Birth(LeakGuard(), [], RawThread.raw_body.__code__)
        earlier.time = -1.0
        with mock.patch.dict(origin.raw_births, {ident: earlier for ident in self.recycled_idents()}):
            outcome = run_inner(leaks)
        self.assertEqual(outcome.named(), [("thread", "raw_body", "raw, alive")])

    def test_that_asks_for_its_thread(self):
        """One that calls `current_thread()`, as logging does, is the same thread as before, with its line and owner."""

        def asks(raw):
            threading.current_thread()
            raw.raw_body()

        def leaks(test):
            raw = RawThread(self)
            _thread.start_new_thread(asks, (raw,))  # starts
            raw.is_blocked.wait(JOIN_SECONDS)

        outcome = run_inner(leaks, lambda test: None)
        (leak,) = outcome.leaks
        self.assertEqual((leak.origin, leak.owner), (place(leaks, "starts"), "inner.Inner.test_0"))

    def test_that_asks_for_its_thread_later(self):
        """One of the class's fixture, or one that was reported, is no new thread when it does so in a later test."""
        go, has_asked = threading.Event(), threading.Event()

        def asks(raw):
            raw.is_blocked.set()
            go.wait(JOIN_SECONDS)
            threading.current_thread()
            has_asked.set()
            raw.raw_body()

        def leaks(test):
            raw = RawThread(self)
            _thread.start_new_thread(asks, (raw,))
            raw.is_blocked.wait(JOIN_SECONDS)

        def lets_it_ask(test):
            go.set()
            has_asked.wait(JOIN_SECONDS)

        outcome = run_inner(leaks, lets_it_ask, lambda test: None)
        self.assertEqual([leak.owner for leak in outcome.leaks], ["inner.Inner.test_0"])
        go.clear()
        has_asked.clear()
        raws = []

        def set_up(cls):
            raws.append(RawThread(self))
            _thread.start_new_thread(asks, (raws[0],))
            raws[0].is_blocked.wait(JOIN_SECONDS)

        fixtures = {"setUpClass": classmethod(set_up), "tearDownClass": classmethod(lambda cls: raws[0].end())}
        outcome = run_inner(lambda test: None, lets_it_ask, lambda test: None, grace=PATIENT, **fixtures)
        self.assertEqual((outcome.leaks, outcome.counts()), ([], (0, 0)))

    def recycled_idents(self):
        """Return the idents of some threads that have ended: the next ones are given these, on Linux at least."""
        raws = [RawThread(self) for _ in range(4)]
        idents = [start_unseen(raw.raw_body, ()) for raw in raws]
        for raw in raws:
            raw.end()
        while set(idents) & set(sys._current_frames()):
            pass  # the last one is about to go
        return idents

    def test_baseline(self):
        """A raw thread that was there before is baseline, beside others of the test's own."""
        raw = RawThread(self)
        start_unseen(raw.raw_body, ())
        raw.is_blocked.wait(JOIN_SECONDS)

        def leaks(test):
            BlockedThread(name="own").start_in(self)

        self.assertEqual(run_inner(leaks, lambda test: None).named(), [("thread", "own", "daemon, alive")])


@has_pthread
class ForeignThreadTests(unittest.TestCase):
    """System threads that Python did not start."""

    def test_leak(self):
        """One that runs Python code when the test ends is a leak."""
        outcome = run_inner(lambda test: ForeignThread(self))
        self.assertEqual([(leak.kind, leak.state) for leak in outcome.leaks], [("thread", "foreign, alive")])

    def test_clean(self):
        """One that has ended is no leak, though up to 3.12 `threading` lists it for ever."""
        outcome = run_inner(lambda test: ForeignThread(self).end(), lambda test: None, grace=PATIENT)
        self.assertEqual(outcome.leaks, [])

    def test_ends_in_time(self):
        """One that ends within the grace is no leak."""
        threads = []
        with while_waiting("thread", lambda: threads[0].end()):
            outcome = run_inner(lambda test: threads.append(ForeignThread(self)), grace=PATIENT)
        self.assertEqual(outcome.leaks, [])

    def test_ignored(self):
        """A rule is held against its class."""
        rule = {"thread:threading._DummyThread": "a driver's"}
        self.assertEqual(run_inner(lambda test: ForeignThread(self), leak_ignore=rule).leaks, [])

    def test_reported_once(self):
        """It is reported once."""
        outcome = run_inner(lambda test: ForeignThread(self), lambda test: None)
        self.assertEqual([leak.owner for leak in outcome.leaks], ["inner.Inner.test_0"])

    def test_in_the_place_of_another(self):
        """One that `threading` takes for a dead one, since it was given its ident, is a leak of its own test."""
        threads = []

        def starts(test):
            threads.append(ForeignThread(self))

        def ends(test):
            threads[-1].end()

        outcome = run_inner(lambda test: ForeignThread(self).end(), starts, ends, starts)
        self.assertEqual([leak.owner for leak in outcome.leaks], ["inner.Inner.test_1", "inner.Inner.test_3"])

    def test_baseline(self):
        """One that was there before is none of the test's, whether or not `threading` knows of it."""

        def leaks(test):
            BlockedThread(name="own").start_in(self)

        for is_known in (True, False):
            with self.subTest(is_known=is_known):
                foreign = ForeignThread(self, is_known=is_known)
                self.assertEqual(run_inner(leaks).named(), [("thread", "own", "daemon, alive")])
                foreign.end()


class ExecutorTests(unittest.TestCase):
    """Workers of executors."""

    def executor(self, *, workers=1):
        """An executor whose workers have all started, and which a cleanup shuts down."""
        executor = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="pool")
        self.addCleanup(executor.shutdown)
        return executor

    def test_idle(self):
        """An idle worker of an executor that is still referred to is a leak, and said to be idle."""

        def leaks(test):
            executor = self.executor()
            executor.submit(int).result()  # submits

        (leak,) = run_inner(leaks).leaks
        self.assertEqual((leak.name, leak.origin), ("pool_0", place(leaks, "submits")))
        self.assertIn("idle", leak.state)
        self.assertEqual(leak.waiting_in, "concurrent.futures.ThreadPoolExecutor's queue (idle worker), executor 'pool'")
        self.assertEqual(
            leak.hint, "shut the executor down: use it in a with block, or addCleanup(executor.shutdown)"
        )

    def test_busy(self):
        """A busy worker is a leak, and said to be where its job is."""
        released = threading.Event()

        def job(is_running):
            is_running.set()
            released.wait(JOIN_SECONDS)  # waits

        def leaks(test):
            is_running = threading.Event()
            executor = self.executor()
            self.addCleanup(released.set)
            executor.submit(job, is_running)
            is_running.wait(JOIN_SECONDS)

        (leak,) = run_inner(leaks).leaks
        self.assertEqual((leak.state, leak.place), ("alive", place(job, "waits")))
        self.assertEqual(leak.waiting_in, "threading.Event.wait")

    def test_clean(self):
        """An executor that was shut down is no leak."""

        def shuts_down(test):
            with concurrent.futures.ThreadPoolExecutor(2) as executor:
                executor.submit(int).result()

        self.assertEqual(run_inner(shuts_down, grace=PATIENT).leaks, [])

    def test_dropped(self):
        """An executor that nobody refers to any more is no leak: its workers end when it is collected."""

        class Holder:
            def __init__(self):
                self.itself = self
                self.executor = concurrent.futures.ThreadPoolExecutor(2)

        def drops(test):
            Holder().executor.submit(int).result()

        self.assertEqual(run_inner(drops, grace=5.0).leaks, [])

    def test_idle_default(self):
        """Idle workers of the test loop's default executor are no leak."""

        async def uses_it(test):
            await asyncio.to_thread(int)
            await asyncio.get_running_loop().run_in_executor(None, int)

        self.assertEqual(run_inner_async(uses_it).leaks, [])

    def test_idle_named_default(self):
        """Nor those of an executor that the test made the loop's default."""

        async def uses_it(test):
            loop = asyncio.get_running_loop()
            loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine"))
            await loop.run_in_executor(None, int)

        self.assertEqual(run_inner_async(uses_it).leaks, [])

    def test_busy_default(self):
        """A busy one is a leak, and the close of the test's loop does not wait for it."""
        released, is_running = threading.Event(), threading.Event()
        self.addCleanup(released.set)

        def job():
            is_running.set()
            released.wait(JOIN_SECONDS)

        async def leaks(test):
            asyncio.get_running_loop().run_in_executor(None, job)
            is_running.wait(JOIN_SECONDS)

        async def is_clean(test):
            pass

        outcome = run_inner_async(leaks, is_clean)
        self.assertFalse(released.is_set())
        self.assertEqual([(leak.kind, leak.owner) for leak in outcome.leaks], [("thread", "inner.Inner.test_0")])
        self.assertEqual(outcome.leaks[0].waiting_in, "threading.Event.wait")
        released.set()

    def test_busy_default_ends_in_time(self):
        """One that finishes its job within the grace is idle then, and no leak."""
        released, is_running = threading.Event(), threading.Event()
        self.addCleanup(released.set)

        def job():
            is_running.set()
            released.wait(JOIN_SECONDS)

        async def just_ends(test):
            asyncio.get_running_loop().run_in_executor(None, job)
            is_running.wait(JOIN_SECONDS)

        with while_waiting("thread", released.set):
            self.assertEqual(run_inner_async(just_ends, grace=PATIENT).leaks, [])


class BlockTests(unittest.TestCase):
    """The same through `LeakGuard`."""

    def test_leak(self):
        """A thread that outlives the block is a LeakError."""
        with listening(), self.assertRaises(LeakError) as caught:
            with LeakGuard(grace=QUICK):
                BlockedThread(name="x").start_in(self)
        self.assertEqual([leak.name for leak in caught.exception.leaks], ["x"])


if __name__ == "__main__":
    unittest.main()
