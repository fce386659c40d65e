"""What threads and tasks wait in: the table of planted leaks, and what must not be said."""

import asyncio
import inspect
import os
import queue
import subprocess
import sys
import threading
import types
import unittest
from unittest import mock

from leakguard import LeakGuardAsyncTestCase, LeakGuardTestCase, _compat, activity, bytecode, calls, holders, origin, stack
from leakguard import verdict, waiting
from leakguard.probes.tasks import TaskProbe
from leakguard.probes.threads import ThreadProbe
from tests.doubles import JOIN_SECONDS, BlockedThread
from tests.guarded import PATIENT, QUICK, run_inner
from tests.planted_table_running import TABLE, blocked, turn
from tests.planting import run_fresh


def marked(function, mark):
    """``path:line in `` of the line of a plant that ends with a mark, None if there is none."""
    lines, first = inspect.getsourcelines(function)
    path = origin.show_path(inspect.getsourcefile(function))
    found = [first + i for i, text in enumerate(lines) if text.rstrip().endswith(f"# {mark}")]
    return f"{path}:{found[0]} in " if found else None


def until_it_waits(function, name):
    """Return once the planted thread is at its line, if it has one."""
    mark = marked(function, "waits")
    deadline = threading.Event()
    for _ in range(2000):
        for thread in threading.enumerate():
            if thread.name == name and mark:
                place = ThreadProbe().describe(thread).place
                if place and place.startswith(mark):
                    return
        if mark is None or name not in [thread.name for thread in threading.enumerate()]:
            return
        deadline.wait(0.001)


class TableTests(unittest.TestCase):
    """Every row of the table, on the real thing."""

    def setUp(self):
        for name, value in (("_spent", [0.0]), ("SECONDS", 3600.0), ("SECONDS_IN_ALL", 3600.0)):  # for all of the table
            patch = mock.patch.object(verdict, name, value)
            self.addClassCleanup(patch.stop)
            patch.start()

    def run_plant(self, row, *, is_clean):
        """Run a plant in a guarded test; return what came of it."""
        plant = row.plant

        def inner(test):
            end = plant(self)
            if is_clean:
                end()
            else:
                self.addCleanup(end)
                until_it_waits(plant, row.leak)

        async def inner_async(test):
            end = self.kept = await plant(self)  # nobody may collect its tasks
            if is_clean:
                await end()

        is_async = inspect.iscoroutinefunction(plant)
        base = LeakGuardAsyncTestCase if is_async else LeakGuardTestCase
        return run_inner(inner_async if is_async else inner, base=base, grace=PATIENT if is_clean else QUICK)

    def rows(self, kind):
        """The rows of a kind that this Python can plant."""
        return [row for row in TABLE if row.kind == kind and sys.version_info >= row.since]

    def check(self, row):
        """A planted leak is flagged, named by its line, all that is said of it is right; its twin is clean."""
        outcome = self.run_plant(row, is_clean=False)
        found = [leak for leak in outcome.leaks if (leak.kind, leak.name) == (row.kind, row.leak)]
        self.assertEqual(len(found), 1, outcome.named())
        (leak,) = found
        self.assertEqual(leak.waiting_in, row.waiting_in)
        self.assertTrue(leak.origin.startswith(marked(row.plant, "creates")), leak.origin)
        mark = marked(row.plant, "waits")
        if mark is not None:
            self.assertTrue(leak.place.startswith(mark), leak.place)
        self.assertEqual(outcome.counts(), (1, 0))
        verdict_here = row.verdict if row.verdict != "stuck" or _compat.COUNTS_ARE_EXACT else "waiting"
        self.assertEqual((leak.verdict, leak.hint), (verdict_here, row.fix))
        self.kept = None
        self.doCleanups()
        self.assertEqual(self.run_plant(row, is_clean=True).named(), [])
        self.doCleanups()

    def test_threads(self):
        """Every planted thread is found, and its twin is not."""
        for row in self.rows("thread"):
            with self.subTest(row.name):
                self.check(row)

    def test_tasks(self):
        """Every planted task is found, and its twin is not."""
        for row in self.rows("task"):
            with self.subTest(row.name):
                self.check(row)

    def test_processes(self):
        """Every planted process is found, and its twin is not."""
        for row in self.rows("process"):
            with self.subTest(row.name):
                self.check(row)

    def test_every_row_is_filled(self):
        """Each row has a verdict and a fix, and each verdict that such things can have is in the table."""
        self.assertEqual([row.name for row in TABLE if not row.verdict or not row.fix], [])
        self.assertEqual({row.verdict for row in TABLE}, {"running", "waiting", "stuck", "ignores cancellation"})

    def test_the_table_is_long_enough(self):
        """At least 35 plants, each named once."""
        names = [row.name for row in TABLE]
        self.assertGreaterEqual(len(names), 35)
        self.assertEqual(len(set(names)), len(names))


def frames_of(thread):
    """The live frames of a thread, innermost first."""
    return origin.frames_of(sys._current_frames()[thread.ident])


class Trap:
    """An object whose attributes run code, which nobody may trigger by looking."""

    touched = []

    @property
    def lock(self):
        """Note that somebody has looked."""
        self.touched.append("lock")
        return threading.Lock()

    def __getattr__(self, name):
        self.touched.append(name)
        raise AttributeError(name)


class Slots:
    __slots__ = ("value", "unset")

    def __init__(self):
        self.value = 7


class LookUpTests(unittest.TestCase):
    """What is read of other people's objects."""

    def test_plain_attributes(self):
        """Attributes of instances, slots, classes and modules are found, methods unbound."""
        table = [
            (Slots(), "value", 7),
            (threading, "Lock", threading.Lock),
            (Slots, "__init__", Slots.__init__),
            (Slots(), "__init__", Slots.__init__),
            (BlockedThread(), "_released", None),
        ]
        for thing, name, expected in table:
            with self.subTest(name=name):
                found = calls.look_up(thing, name)
                self.assertTrue(expected is None or found is expected or found == expected)

    def test_no_code_runs(self):
        """A property and ``__getattr__`` are not called; what is not there is not known."""
        table = [(Trap(), "lock"), (Trap(), "other"), (Slots(), "unset"), (Slots(), "other"), (Slots, "other")]
        for thing, name in table:
            with self.subTest(name=name), self.assertRaises(LookupError):
                calls.look_up(thing, name)
        self.assertEqual(Trap.touched, [])


class CallTests(unittest.TestCase):
    """Which C function a thread is in: read from its bytecode."""

    def call_of(self, body, release, *args):
        """What a thread that runs `body` calls, once it stays at one instruction."""
        thread = self.thread = threading.Thread(target=body, args=args, daemon=True)
        self.addCleanup(thread.join, JOIN_SECONDS)
        self.addCleanup(release)
        thread.start()
        for _ in range(2000):
            frames = frames_of(thread)
            functions = [frame.f_code.co_name for frame in frames[:2]]  # up to 3.11 a comprehension is one of its own
            if body.__name__ in functions and calls.c_call(frames[0]) is not None:
                return calls.c_call(frames[0])
            threading.Event().wait(0.001)
        raise AssertionError("the thread did not begin to wait")

    def test_ways_to_call(self):
        """The same lock is found whichever way it is called."""
        lock = threading.Lock()
        holder = Slots()
        holder.value = lock

        def by_attribute():
            holder.value.acquire(True, JOIN_SECONDS)
            lock.release()

        def by_keyword():
            lock.acquire(timeout=JOIN_SECONDS)
            lock.release()

        def by_star():
            lock.acquire(*(True,), **{"timeout": JOIN_SECONDS})
            lock.release()

        def by_name(acquire=lock.acquire):
            acquire(True, float(JOIN_SECONDS + 0 * len("x")))
            lock.release()

        def by_with():
            with holder.value:
                pass

        for body in (by_attribute, by_keyword, by_star, by_name, by_with):
            with self.subTest(body.__name__):
                lock.acquire()
                found = self.call_of(body, lock.release)
                self.assertEqual(found.name, "threading.Lock.acquire")
                self.assertIs(found.owner, lock)
                self.doCleanups()

    def test_what_is_not_certain_is_not_said(self):
        """A lock of two ways to it, of a call or of a property is some C code."""
        lock, other = threading.Lock(), threading.Lock()
        lock.acquire()
        trap = Trap()
        type(trap).real = property(lambda self: lock)

        def of_two(flag=True):
            return (lock if flag else other).acquire() or flag  # the rest keeps 3.12 from compiling it twice

        def of_two_managers(flag=True):
            with lock if flag else other:
                return flag

        def of_two_functions(flag=True):
            return (lock.acquire if flag else other.acquire)(True) or flag

        def of_a_call():
            (lambda: lock)().acquire()

        def of_a_property():
            trap.real.acquire()

        for body in (of_two, of_two_managers, of_two_functions, of_a_call, of_a_property):
            with self.subTest(body.__name__):
                if not lock.locked():
                    lock.acquire()
                self.assertEqual(self.call_of(body, lock.release)[:2], (None, None))
                self.doCleanups()

    def test_long_functions(self):
        """An argument above 255 takes more than one instruction; that hides no call, and no second way to one."""
        body = "        x = [file, file, file]\n" * 200
        names = "    if not file:\n" + "".join(f"        n{number}\n" for number in range(300))
        table = [
            ("    for line in file:\n" + body, "io.BufferedReader.readline", "file"),
            ("    with lock:\n" + body, "threading.Lock.acquire", "lock"),
            (names + "    lock.acquire()\n", "threading.Lock.acquire", "lock"),
            (names + "    (lock if file else file).acquire() or file\n", None, None),
        ]
        for text, name, owner in table:
            with self.subTest(text[-40:]):
                (file, writer), lock = self.pipe(), threading.Lock()
                space = {"lock": lock, "file": file, None: None}
                exec(f"def waits():\n{text}", space)
                lock.acquire()
                found = self.call_of(space["waits"], writer.close if owner == "file" else lock.release)
                self.assertEqual(found[:2], (name, space[owner]))
                self.assertTrue(stack.is_in_call(frames_of(self.thread)[0]))
                self.doCleanups()

    def test_loops(self):
        """What a loop or a comprehension gets its items from, by whatever builtin of Python's."""

        def plain(file):
            for _ in file:
                pass

        def until(file):
            for _ in iter(file.readline, b""):
                pass

        def numbered(file):
            for _ in enumerate(file, 1):
                pass

        def numbered_by_name(file):
            for _ in enumerate(iter(file.readline, b""), start=1):
                pass

        def made_before(file):
            lines = enumerate(iter(file.readline, b""))
            for _ in lines:
                pass

        def as_list(file):
            [line for line in file]

        def as_set(file):
            {line for line in iter(file.readline, b"")}

        def as_dict(file):
            {number: line for number, line in enumerate(file)}

        def as_generator(file):
            list(line for line in file)

        for body in (plain, until, numbered, numbered_by_name, made_before, as_list, as_set, as_dict, as_generator):
            with self.subTest(body.__name__):
                file, writer = self.pipe()
                found = self.call_of(body, writer.close, file)
                self.assertEqual(found[:2], ("io.BufferedReader.readline", file))
                self.doCleanups()

    def test_loops_over_calls(self):
        """What a function of C gives is waited for by its name; what is no function of Python's own is not known."""
        things, lock = queue.SimpleQueue(), threading.Lock()

        def items():
            for _ in iter(things.get, None):
                pass

        def turns(acquire=lock.acquire):
            for _ in iter(acquire, True):
                pass

        lock.acquire()
        found = self.call_of(items, lambda: things.put(None))
        self.assertEqual(found[:2], ("queue.SimpleQueue.get", things))
        self.assertEqual(self.call_of(turns, lock.release)[:2], ("threading.Lock.acquire", lock))

    def pipe(self):
        """The two ends of a pipe as files."""
        ends = [open(number, mode) for number, mode in zip(os.pipe(), ("rb", "wb"))]
        for end in ends:
            self.addCleanup(end.close)
        return ends

    def test_a_string_is_no_function(self):
        """What a call has as an argument or a key may be named as a function that blocks."""
        found = []

        def note(*_):
            frame = sys._getframe(1)
            found.append(bytecode.blocking_call(frame.f_code, frame.f_lasti))

        {"sleep": note}["sleep"](1)
        note("recv")
        types.SimpleNamespace(recv=note).recv(1)
        self.assertEqual(found, ["", "", "recv"])

    def test_python_code_is_no_call(self):
        """A frame that is not at a call waits in nothing."""
        frame = sys._getframe()
        self.assertEqual(frame.f_code.co_name, "test_python_code_is_no_call")

        def generator():
            yield sys._getframe()

        suspended = generator()
        self.assertIsNone(calls.c_call(next(suspended)))
        suspended.close()


class ActivityTests(unittest.TestCase):
    """Whether a thread runs, by the time that it was on a processor: measured while a check waits for it."""

    def measured(self, *times):
        """What is said of a thread with these times, in milliseconds, and how often it was looked at again."""
        looks = [_compat.ThreadTimes(*(part / 1000 for part in one)) if one else None for one in times]
        thread = BlockedThread()
        self.addCleanup(thread.end)
        thread.start()
        with mock.patch.object(_compat, "thread_times", side_effect=looks), mock.patch.object(_compat, "pause") as pause:
            activity.begin(thread)
            activity.begin(thread)
            found = activity.end(thread)
        self.assertEqual(activity.end(thread), "")
        return found, pause.call_count

    def test_activity(self):
        """Busy is what was so in both looks; idle what was on no processor; nothing is said of short measures."""
        start = (100, 50, 50)
        table = [
            ("busy", [start, (150, 95, 50), (155, 99.5, 50)], ("running", 1)),
            ("busy on a loaded machine", [start, (150, 64, 85), (155, 64, 85), (160, 65, 89)], ("running", 2)),
            ("works a part of its time", [start, (150, 80, 50)], ("", 0)),
            ("blocked since", [start, (150, 95, 50), *[(150 + 5 * n, 95, 50) for n in range(1, 11)]], ("", 10)),
            ("ended since", [start, (150, 95, 50), None], ("", 1)),
            ("idle", [start, (150, 50.4, 50)], ("waiting", 0)),
            ("idle or not", [start, (150, 55, 50)], ("", 0)),
            ("only waited for a processor", [start, (150, 50, 95)], ("", 0)),
            ("too short", [start, (109, 59, 50)], ("", 0)),
            ("ended", [start, None], ("", 0)),
            ("unknown", [None], ("", 0)),
        ]
        for name, times, expected in table:
            with self.subTest(name):
                self.assertEqual(self.measured(*times), expected)

    def test_who_is_not_looked_at(self):
        """A test that leaves nothing reads no times, and a check without a grace has nothing to compare."""

        def leaks(test):
            thread = BlockedThread()
            self.addCleanup(thread.end)
            thread.start()

        with mock.patch.object(_compat, "thread_times") as read:
            run_inner(lambda test: None)
            self.assertEqual(len(run_inner(leaks, grace=0).leaks), 1)
            read.assert_not_called()
            self.assertEqual(len(run_inner(leaks).leaks), 1)
            read.assert_called()

    @unittest.skipUnless(_compat.HAS_SYSTEM_THREADS, "Linux keeps the times of threads")
    def test_no_times(self):
        """What is no thread of this process has none."""
        self.assertIsNone(_compat.thread_times(None))
        self.assertIsNone(_compat.thread_times(0))

    def test_a_jump_blocks_nowhere(self):
        """A thread that waits for its turn at a jump is in no code of C; one that is blocked elsewhere is."""
        for opname, expected in (("JUMP_BACKWARD", None), ("RESUME", None), ("LIST_EXTEND", calls.UNKNOWN)):
            one = bytecode.Read(0, 0, opname, 0, 0, 0, False)
            with self.subTest(opname), mock.patch.object(bytecode, "read", return_value=[one]):
                frame = types.SimpleNamespace(f_code=None, f_lasti=0)
                self.assertEqual(calls.c_call(frame, is_blocked=True), expected)
                self.assertIsNone(calls.c_call(frame))


class _Manager:
    """A context manager that calls something at its entry and at its exit, and swallows what was raised."""

    def __init__(self, at_entry=lambda: None, at_exit=lambda: None):
        self.at_entry, self.at_exit = at_entry, at_exit

    def __enter__(self):
        self.at_entry()

    def __exit__(self, *_):
        self.at_exit()
        return True


class HolderTests(unittest.TestCase):
    """Who holds a lock, and when that is not said."""

    def inside(self, body, name):
        """Start a thread that stays inside of `body` until the test ends."""
        is_inside, released = threading.Event(), threading.Event()
        thread = threading.Thread(target=body, args=(is_inside, released), name=name, daemon=True)
        self.addCleanup(thread.join, JOIN_SECONDS)
        self.addCleanup(released.set)
        thread.start()
        is_inside.wait(JOIN_SECONDS)
        return thread

    def test_inside_of_with(self):
        """The one thread inside of ``with lock:`` holds it; for itself nobody waits."""
        lock = threading.Lock()

        def body(is_inside, released):
            with lock:
                is_inside.set()
                released.wait(JOIN_SECONDS)

        thread = self.inside(body, "holder")
        self.assertIs(holders.holder_of(lock, 0), thread)
        self.assertIsNone(holders.holder_of(lock, thread.ident))
        self.assertIsNone(holders.holder_of(threading.Lock(), 0))
        self.assertIsNone(holders.holder_of(object(), 0))

    def test_inside_of_with_on_one_line(self):
        """So it is where the body follows on the line of ``with``, for each of its locks."""
        one, two, three = threading.Lock(), threading.Lock(), threading.Lock()

        def in_one(is_inside, released):
            with one: is_inside.set(), released.wait(JOIN_SECONDS)  # noqa: E701

        def in_two(is_inside, released):
            with two, three: is_inside.set(), released.wait(JOIN_SECONDS)  # noqa: E701

        thread, other = self.inside(in_one, "one"), self.inside(in_two, "two")
        self.assertEqual([holders.holder_of(lock, 0) for lock in (one, two, three)], [thread, other, other])

    def test_waits_for_the_second_of_two_locks(self):
        """Whoever has the first of ``with a, b:`` and waits for the second holds the first, and not the second."""
        first, second = threading.Lock(), threading.Lock()
        second.acquire()

        def body(is_inside, released):
            with first, _Manager(is_inside.set), second:
                pass

        thread = self.inside(body, "waits")
        self.addCleanup(second.release)
        self.assertIs(holders.holder_of(first, 0), thread)
        self.assertIsNone(holders.holder_of(second, 0))

    def test_is_leaving(self):
        """Whoever is in the exit of one item has let go what comes after it: there nothing is certain."""
        lock = threading.Lock()

        def leaves(is_inside, released):
            with _Manager(at_exit=lambda: (is_inside.set(), released.wait(JOIN_SECONDS))), lock: pass  # noqa: E701

        def fails(is_inside, released):
            with _Manager(at_exit=lambda: (is_inside.set(), released.wait(JOIN_SECONDS))), lock: 1 / 0  # noqa: E701

        for body in (leaves, fails):
            self.inside(body, "leaves")
            lock.acquire()
            self.assertIsNone(holders.holder_of(lock, 0))
            lock.release()

    def test_let_go_in_between(self):
        """A lock that its ``with`` may have let go, by hand or in a condition's wait, has no holder that is certain."""
        lock = threading.Lock()
        condition = threading.Condition(lock)
        is_over = []

        def by_hand(is_inside, released):
            with lock:
                lock.release()
                is_inside.set()
                released.wait(JOIN_SECONDS)
                lock.acquire()

        def by_condition(is_inside, released):
            with lock:
                is_inside.set()
                while not is_over:
                    condition.wait(0.01)

        self.inside(by_hand, "by hand")
        self.inside(by_condition, "by condition")
        self.addCleanup(is_over.append, True)
        with condition:
            self.assertIsNone(holders.holder_of(lock, threading.get_ident()))

    def test_before_and_after(self):
        """On the line of ``with`` itself, nobody is inside yet."""
        lock = threading.Lock()
        lock.acquire()
        self.addCleanup(lock.release)

        def body():
            with lock:
                pass

        thread = threading.Thread(target=body, daemon=True)
        self.addCleanup(thread.join, JOIN_SECONDS)
        thread.start()
        self.assertIsNone(holders.holder_of(lock, 0))
        lock.release()
        thread.join(JOIN_SECONDS)
        lock.acquire()

    def test_an_rlock_knows_its_owner(self):
        """Implemented in C or in Python; a free one has none."""
        for make in (threading.RLock, threading._PyRLock):
            with self.subTest(make):
                lock = make()
                self.assertIsNone(holders.holder_of(lock, 0))
                with lock:
                    self.assertIs(holders.holder_of(lock, 0), threading.current_thread())
                self.assertIsNone(holders.holder_of(lock, 0))

    def test_too_many_threads(self):
        """More stacks than a hundred are not searched."""
        lock = threading.Lock()
        with mock.patch.object(holders, "MOST_THREADS", 0), lock:
            self.assertIsNone(holders.holder_of(lock, 0))


class WordTests(unittest.TestCase):
    def test_ports(self):
        """Ports that the system hands out are ``*``, others are shown; a path is a path; what fails is nothing."""

        def fails():
            raise OSError("not connected")

        here = ("127.0.0.1", 40000)
        table = [
            (lambda: here, lambda: ("127.0.0.1", 8000), None, ["from 127.0.0.1:* to 127.0.0.1:8000"]),
            (lambda: here, fails, None, ["on 127.0.0.1:*"]),
            (lambda: here, fails, ("::1", 80, 0, 0), ["from 127.0.0.1:* to ::1:80"]),
            (fails, fails, ("localhost", 32768), ["to localhost:*"]),
            (lambda: "/run/hub.sock", lambda: "", None, ["on /run/hub.sock"]),
            (lambda: b"\0name", fails, None, ["on \\x00name"]),
            (fails, fails, None, []),
        ]
        for read_here, read_peer, peer, expected in table:
            with self.subTest(expected):
                self.assertEqual(list(waiting.addresses_text(read_here, read_peer, peer)), expected)

    def test_commands(self):
        """Words, bytes and paths are one line in quotes."""
        table = [("a b", "'a b'"), (["a", b"b", 1], "'a b 1'"), (b"a\n", "'a\\\\n'")]
        for command, expected in table:
            with self.subTest(expected):
                self.assertEqual(waiting.command_text(command), expected)

    def test_a_dead_thread_waits_in_nothing(self):
        """A thread without frames is nowhere."""
        self.assertEqual(waiting.of_thread([], 1), ((), None, None))


class TaskTests(LeakGuardAsyncTestCase):
    """Tasks that are not the plain kind, and who waits for a task."""

    async def leak_of(self, task):
        """Describe a task once it waits; it is cancelled after the test."""
        await turn()
        self.addAsyncCleanup(self.end, task)
        return TaskProbe().describe(task)

    async def end(self, task):
        """Cancel it, and wait until it is done."""
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def test_who_awaits_a_task(self):
        """Tasks that await it themselves, or by a gather, a shield, a wait or a wait_for; nobody else."""
        inner = asyncio.create_task(blocked(), name="inner")
        await turn()

        async def awaits():
            await inner

        async def gathers():
            await asyncio.gather(inner, asyncio.sleep(0))

        async def shields():
            await asyncio.shield(inner)

        async def waits():
            await asyncio.wait([inner])

        async def waits_for():
            await asyncio.wait_for(inner, 1000)

        tasks = [asyncio.create_task(f(), name=f.__name__) for f in (awaits, gathers, shields, waits, waits_for)]
        leak = await self.leak_of(inner)
        names = ("awaits", "gathers", "shields", "waits", "waits_for")
        self.assertEqual(leak.awaited_by, tuple(f"task '{name}'" for name in names))
        leak = TaskProbe().describe(tasks[0])
        self.assertEqual((leak.awaited_by, leak.waiting_in), ((), "task 'inner'"))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def test_the_tasks_of_communicate(self):
        """What ``communicate()`` starts is called by it: nobody knows the coroutines that it is made of."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        child = await asyncio.create_subprocess_exec("cat", "-", **pipes)
        task = asyncio.create_task(child.communicate())
        await turn()
        found = [TaskProbe().describe(one) for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        names = [leak.waiting_in.partition(", ")[0] for leak in found]
        child.terminate()
        await task
        self.assertEqual(set(names), {"asyncio.subprocess.Process.communicate"})

    @unittest.skipIf(sys.version_info < (3, 11), "task groups are new in 3.11")
    async def test_a_group_awaits_its_tasks(self):
        """The task of a group waits for the tasks in it."""
        inner = []

        async def body():
            async with asyncio.TaskGroup() as group:
                inner.append(group.create_task(blocked(), name="inner"))

        task = asyncio.create_task(body(), name="outer")
        await self.leak_of(task)
        self.assertEqual(TaskProbe().describe(inner[0]).awaited_by, ("task 'outer'",))

    async def test_tasks_in_python(self):
        """A task that is not implemented in C says the same."""
        loop = asyncio.get_running_loop()
        inner = asyncio.tasks._PyTask(blocked(), loop=loop, name="inner")

        async def body():
            await inner

        outer = asyncio.tasks._PyTask(body(), loop=loop, name="outer")
        leak = await self.leak_of(outer)
        self.assertEqual(leak.waiting_in, "task 'inner'")
        leak = await self.leak_of(inner)
        self.assertEqual((leak.waiting_in, leak.awaited_by), ("asyncio.Event.wait", ("task 'outer'",)))

    async def test_a_task_that_is_ready(self):
        """A task that waits for nothing waits in nothing."""

        async def body():
            pass

        task = asyncio.create_task(body())
        self.assertIsNone(TaskProbe().describe(task).waiting_in)
        await task

    async def test_the_stack_that_created_it(self):
        """The noted stack ends with the user's line, and has no frame of ours."""
        leak = await self.leak_of(asyncio.create_task(blocked()))
        self.assertEqual(leak.origin_stack[-1], leak.origin)
        self.assertFalse([line for line in leak.origin_stack if line.startswith("leakguard/")])


class StacksTests(unittest.TestCase):
    def test_the_option(self):
        """With ``leak_stacks`` the message has both stacks in full, without it not; never a frame of ours."""

        def leaks(test):
            self.thread = BlockedThread(name="hub")
            self.addCleanup(self.thread.end)
            self.thread.start()

        for stacks in (True, False):
            with self.subTest(stacks=stacks):
                outcome = run_inner(leaks, leak_stacks=stacks)
                (text,), (leak,) = outcome.messages, outcome.leaks
                lines = [line for line in text.splitlines() if line.startswith(" " * 18)]
                self.assertEqual([line.strip() for line in lines], [*leak.origin_stack, *leak.now_at] if stacks else [])
                self.assertGreater(len(leak.now_at), 2)
                self.assertNotIn("leakguard/", "".join(lines))


class UvloopTests(unittest.TestCase):
    def test_a_loop_in_c(self):
        """The loop of uvloop is an event loop with its tasks, too."""
        script = """
            import asyncio, sys, threading
            import uvloop
            from leakguard import origin, waiting
            loop, ready = uvloop.new_event_loop(), threading.Event()
            loop.call_soon(ready.set)
            thread = threading.Thread(target=loop.run_forever, daemon=True)
            thread.start()
            ready.wait(60)
            for _ in range(2000):
                frames = origin.frames_of(sys._current_frames()[thread.ident])
                if frames[0].f_code.co_name == "run":
                    break
                threading.Event().wait(0.001)
            print(waiting.of_thread(frames, thread.ident).waiting_in)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(60)
            loop.close()
        """
        try:
            import uvloop  # noqa: F401
        except ImportError:
            self.skipTest("uvloop is not installed")
        self.assertEqual(run_fresh(script), "asyncio event loop, no pending tasks\n")


if __name__ == "__main__":
    unittest.main()
