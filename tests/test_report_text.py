"""`leakguard.report.text`: the message and the summary, letter for letter."""

import itertools
import sys
import unittest
from unittest import mock

from leakguard.model import Leak, LeakReport
from leakguard.report.text import ENTRIES, count_of, entry_lines, group, growth, message, names_of, summary

OWNER = "tests.test_hub.HubTests.test_broadcast"
TITLE = "test_broadcast (tests.test_hub.HubTests)"

READER = Leak(
    kind="thread",
    name="hub-reader-3",
    state="daemon, alive",
    owner=OWNER,
    origin="chat/hub.py:88 in Hub._start_reader",
    now_at=("threading.py:320 in Condition.wait", "chat/hub.py:97 in Hub._read"),
    place="chat/hub.py:97 in Hub._read",
    waiting_in="queue.Queue.get",
    hint="stop the thread's loop and join() it in a cleanup",
)
PING = Leak(
    kind="task",
    name="ping-7",
    state="pending",
    owner=OWNER,
    origin="chat/hub.py:61 in Hub.open",
    now_at=("chat/hub.py:64 in Hub._ping",),
    place="chat/hub.py:64 in Hub._ping",
    waiting_in="asyncio.sleep",
    hint="cancel() it and await it, or own it with asyncio.TaskGroup",
)
CHILD = Leak(
    kind="process",
    name="python3 -m http.server 8000",
    state="running",
    owner=OWNER,
    origin="chat/hub.py:20 in serve",
    hint="terminate() it and wait() for it in a cleanup, or use it in a with block",
)


class MessageTests(unittest.TestCase):
    maxDiff = None

    def check(self, expected, leaks, waited=0.5):
        """Compare a whole message."""
        self.assertEqual(message(TITLE, leaks, waited, OWNER), expected)

    def test_one_leak(self):
        """What, where it was made, where it is, what to do, and how to allow it."""
        self.check(
            """\
1 leak after test_broadcast (tests.test_hub.HubTests), waited 0.50 s

  thread 'hub-reader-3' (daemon, alive)
    created at  chat/hub.py:88 in Hub._start_reader
    now at      chat/hub.py:97 in Hub._read, waiting in queue.Queue.get
    fix         stop the thread's loop and join() it in a cleanup

To allow one: leak_ignore = {"thread:hub-reader-*": "why"}""",
            [READER],
        )

    def test_two_leaks(self):
        """One entry each, in the order in which they came; the first one is the example."""
        self.check(
            """\
2 leaks after test_broadcast (tests.test_hub.HubTests), waited 0.00 s

  thread 'hub-reader-3' (daemon, alive)
    created at  chat/hub.py:88 in Hub._start_reader
    now at      chat/hub.py:97 in Hub._read, waiting in queue.Queue.get
    fix         stop the thread's loop and join() it in a cleanup

  task 'ping-7' (pending)
    created at  chat/hub.py:61 in Hub.open
    now at      chat/hub.py:64 in Hub._ping, waiting in asyncio.sleep
    fix         cancel() it and await it, or own it with asyncio.TaskGroup

To allow one: leak_ignore = {"thread:hub-reader-*": "why"}""",
            [READER, PING],
            0.0,
        )

    def test_verdicts(self):
        """A verdict that says more than the other lines has one of its own, and parts leaks of one origin."""
        tail = "\n\nTo allow one: leak_ignore = {\"thread:hub-reader-*\": \"why\"}"
        head = f"3 leaks after {TITLE}, waited 0.50 s\n"
        lines = {leak: entry_lines([leak], OWNER) for leak in (READER, PING)}
        stuck = [*lines[READER][:3], "    verdict     stuck: nothing alive can reach what it waits on", lines[READER][3]]
        deaf = [*lines[PING][:3], "    verdict     ignores cancellation: went on after 6 cancels", lines[PING][3]]
        self.check(
            "\n".join([head, *stuck, "", *lines[READER], "", *deaf]) + tail,
            [
                READER._replace(verdict="stuck"),
                READER._replace(verdict="waiting"),
                PING._replace(verdict="ignores cancellation", cancels=6),
            ],
        )

    def test_many_of_one_origin(self):
        """Many leaks of one origin are one entry with a count and the range of their names."""
        self.check(
            """\
5 leaks after test_broadcast (tests.test_hub.HubTests), waited 1.25 s

  3 threads 'hub-reader-0, 9..10' (daemon, alive)
    created at  chat/hub.py:88 in Hub._start_reader
    now at      chat/hub.py:97 in Hub._read, waiting in queue.Queue.get
    fix         stop the thread's loop and join() it in a cleanup

  2 processes 'python3 -m http.server 8000' (running)
    created at  chat/hub.py:20 in serve
    fix         terminate() it and wait() for it in a cleanup, or use it in a with block

To allow one: leak_ignore = {"thread:hub-reader-*": "why"}""",
            [
                READER._replace(name="hub-reader-10"),
                CHILD,
                READER._replace(name="hub-reader-0"),
                CHILD,
                READER._replace(name="hub-reader-9"),
            ],
            1.25,
        )

    def test_unknown_origin(self):
        """What nobody saw being made says so; what is not known is left out."""
        self.check(
            """\
1 leak after test_broadcast (tests.test_hub.HubTests), waited 0.50 s

  thread 'Dummy-1' (foreign, alive)
    created at  unknown: made where nothing could be noted

To allow one: leak_ignore = {"thread:Dummy-*": "why"}""",
            [Leak("thread", "Dummy-1", "foreign, alive", OWNER)],
        )

    def test_unknown_origin_that_tracing_would_know(self):
        """The option that helps is named, unless tracemalloc is at work already."""
        nobody = "    created at  unknown: made where nothing could be noted"
        traced = mock.Mock(is_tracing=lambda: True)
        for kind, what in (("file", "files are opened"), ("exception", "objects are made")):
            leak = Leak(kind, "x", "state", OWNER)
            with self.subTest(kind):
                with mock.patch.dict(sys.modules, tracemalloc=None):
                    self.assertIn(f"    created at  unknown: only --leak-trace notes where {what}", entry_lines([leak]))
                with mock.patch.dict(sys.modules, tracemalloc=traced):
                    self.assertIn(nobody, entry_lines([leak]))

    def test_another_owner(self):
        """A leak that somebody else made says who."""
        self.check(
            """\
1 leak after test_broadcast (tests.test_hub.HubTests), waited 0.50 s

  thread 'hub-reader-3' (daemon, alive)
    created at  chat/hub.py:88 in Hub._start_reader
    made by     tests.test_hub.HubTests.test_open
    now at      chat/hub.py:97 in Hub._read

To allow one: leak_ignore = {"thread:hub-reader-*": "why"}""",
            [READER._replace(owner="tests.test_hub.HubTests.test_open", waiting_in=None, hint="")],
        )

    def test_cut_at_twenty_entries(self):
        """A message shows 20 entries and says how many more there are; the first line counts leaks."""
        leaks = [PING._replace(name=f"ping-{i}", origin=f"chat/hub.py:{i} in f", hint="") for i in range(23)]
        lines = message(TITLE, [*leaks, leaks[0]], 0.5, OWNER).splitlines()
        self.assertEqual(lines[0], "24 leaks after test_broadcast (tests.test_hub.HubTests), waited 0.50 s")
        self.assertEqual(len([line for line in lines if line.startswith("    created at  ")]), ENTRIES)
        self.assertEqual(
            lines[-8:],
            [
                "",
                "  task 'ping-19' (pending)",
                "    created at  chat/hub.py:19 in f",
                "    now at      chat/hub.py:64 in Hub._ping, waiting in asyncio.sleep",
                "",
                "  and 3 more entries, which the JSON report has",
                "",
                "To allow one: leak_ignore = {\"task:ping-*\": \"why\"}",
            ],
        )

    def test_exactly_twenty_entries_are_not_cut(self):
        """Twenty entries are shown in full, with nothing more."""
        leaks = [PING._replace(origin=f"chat/hub.py:{i} in f") for i in range(ENTRIES)]
        self.assertNotIn("more entries", message(TITLE, leaks, 0.5, OWNER))

    def test_the_rule_that_is_proposed_fits(self):
        """Numbers and what globs or rules would take for their own become wildcards."""
        table = [
            ("thread", "hub-reader-3", "thread:hub-reader-*"),
            ("thread", "Thread-12 (serve)", "thread:Thread-* (serve)"),
            ("thread", "plain", "thread:plain"),
            ("task", "a[1]*?@home", "task:a?*????home"),
            ("process", "python3 -m http.server 8000", "process:python* -m http.server 8000"),
            ("thread", "it's", "thread:it's"),
        ]
        for kind, name, rule in table:
            with self.subTest(name):
                last = message(TITLE, [Leak(kind, name, "alive", OWNER)], 0.5, OWNER).splitlines()[-1]
                self.assertEqual(last, f'To allow one: leak_ignore = {{"{rule}": "why"}}')

    def test_names_in_any_order(self):
        """The same leaks are called by the same names, whichever of them came first."""
        leaks = [Leak("thread", name, "alive", OWNER, origin="a.py:1 in f") for name in ("b", "a10", "a9", "c")]
        texts = {message(TITLE, list(order), 0.5, OWNER) for order in itertools.permutations(leaks)}
        self.assertEqual(len(texts), 1, texts)
        self.assertIn("4 threads 'a9' and 3 more", texts.pop())

    def test_the_rule_for_what_has_no_name(self):
        """A thread or task that only Python has named is allowed by its function: its number would stand for all of them."""
        table = [
            ("thread", "Thread-12", "thread:chat.Hub.read"),
            ("thread", "Thread-12 (read)", "thread:Thread-* (read)"),
            ("task", "Task-7", "task:chat.Hub.read"),
        ]
        for kind, name, rule in table:
            with self.subTest(name):
                leak = Leak(kind, name, "alive", OWNER, aliases=("some.Class", "chat.Hub.read"))
                last = message(TITLE, [leak], 0.5, OWNER).splitlines()[-1]
                self.assertEqual(last, f'To allow one: leak_ignore = {{"{rule}": "why"}}')


class NamesTests(unittest.TestCase):
    def test_names(self):
        """One name; a range of numbers with the same text around; else the first and how many more."""
        table = [
            (["a"], "'a'"),
            (["a", "a"], "'a'"),
            (["w-0", "w-1", "w-2"], "'w-0..2'"),
            (["w-10", "w-9"], "'w-9..10'"),
            (["w-1 (f)", "w-2 (f)", "w-3 (f)"], "'w-1..3 (f)'"),
            (["w-1 (f)", "w-3 (f)"], "'w-1, 3 (f)'"),
            (["w-5", "w-0", "w-2"], "'w-0, 2, 5'"),
            (["w-0", "w-1", "w-7", "w-9", "w-8"], "'w-0..1, 7..9'"),
            ([f"w-{2 * i}" for i in range(6)], "'w-0, 2, 4, 6, 8, 10'"),
            ([f"w-{2 * i}" for i in range(7)], "like 'w-0'"),
            (["w-08", "w-09", "w-10"], "'w-08..10'"),
            (["w-1", "w-01"], "'w-01' and 1 more"),
            (["w-00", "w-01"], "'w-00..01'"),
            (["pool-1_0", "pool-1_1"], "'pool-1_0..1'"),
            (["Thread-1 (f2)", "Thread-2 (f2)"], "'Thread-1..2 (f2)'"),
            (["a1b1", "a2b2"], "'a1b1' and 1 more"),
            (["w", "w-1"], "'w' and 1 more"),
            (["w-\u0661", "w-\u0662"], "'w-\u0661' and 1 more"),
            (["w-1", "x-2"], "'w-1' and 1 more"),
            (["b", "a", "c"], "'a' and 2 more"),
            (["w-1 (f)", "w-2 (g)"], "'w-1 (f)' and 1 more"),
            (["1", "2"], "'1..2'"),
        ]
        for names, expected in table:
            with self.subTest(names=names):
                self.assertEqual(names_of([READER._replace(name=name) for name in names]), expected)

    def test_names_of_changes(self):
        """Of a few changes each is named."""
        many = [f"{letter}1" for letter in "abcdefghijklmnopqrstu"]
        for names, expected in ((["b", "a"], "'a', 'b'"), (many, "'a1' and 20 more"), (["a1", "a2"], "'a1..2'")):
            with self.subTest(names=names):
                self.assertEqual(names_of([READER._replace(kind="environ", name=name) for name in names]), expected)

    def test_counts(self):
        """One is singular; processes have a plural of their own."""
        table = [(1, "leak", "1 leak"), (1, "process", "1 process"), (2, "process", "2 processes")]
        for number, noun, expected in table:
            with self.subTest(expected):
                self.assertEqual(count_of(number, noun), expected)


class GroupTests(unittest.TestCase):
    def test_what_belongs_together(self):
        """Leaks of one kind, origin and place are one group, in the order of their first, whatever their state."""
        same = READER._replace(name="hub-reader-4", state="alive", waiting_in="queue.Queue.put")
        self.assertEqual(group([READER, PING, same]), [[READER, same], [PING]])

    def test_what_does_not(self):
        """Another kind, origin, place, verdict, advice or owner is another entry; so is a state without a place."""
        for name in ("kind", "origin", "place", "verdict", "hint", "owner"):
            with self.subTest(name):
                self.assertEqual(len(group([READER, READER._replace(**{name: "other"})])), 2)
        self.assertEqual(len(group([CHILD, CHILD._replace(state="other")])), 2)

    def test_states_and_operations_that_differ(self):
        """One entry names each of its states; of what its leaks wait in it says what all have in common."""
        table = [
            (["threading.Lock.acquire, held by thread 'a'"] * 2, "threading.Lock.acquire, held by thread 'a'"),
            (["x.f, held by 'a'", "x.f, held by 'b'", "x.f"], "x.f"),
            (["x.g, for 'a'", "x.f"], "x.f or x.g"),
            (["x.f", None], "x.f"),
        ]
        for operations, expected in table:
            leaks = [READER._replace(name=f"w-{i}", waiting_in=one) for i, one in enumerate(operations)]
            leaks[-1] = leaks[-1]._replace(state="alive")
            with self.subTest(expected):
                self.assertEqual(
                    entry_lines(leaks, OWNER)[:3],
                    [
                        f"  {len(leaks)} threads 'w-0..{len(leaks) - 1}' (alive; daemon, alive)",
                        "    created at  chat/hub.py:88 in Hub._start_reader",
                        f"    now at      chat/hub.py:97 in Hub._read, waiting in {expected}",
                    ],
                )

    def test_who_awaits(self):
        """The tasks that wait for a leak end its line; many are counted."""
        for names, expected in ((["a"], "a"), (["b", "a"], "a, b"), (["a", "b", "c", "d"], "4 tasks")):
            with self.subTest(expected):
                line = entry_lines([PING._replace(awaited_by=tuple(f"{name}" for name in names))], OWNER)[2]
                self.assertEqual(
                    line,
                    f"    now at      chat/hub.py:64 in Hub._ping, waiting in asyncio.sleep, awaited by {expected}",
                )

    def test_stacks(self):
        """With stacks, both stacks follow their lines in full; without, an entry has six lines at most."""
        leak = READER._replace(
            origin_stack=("chat/pool.py:4 in start", "chat/hub.py:88 in Hub._start_reader"), owner="other"
        )
        self.assertEqual(
            "\n".join(entry_lines([leak], OWNER, stacks=True)),
            """\
  thread 'hub-reader-3' (daemon, alive)
    created at  chat/hub.py:88 in Hub._start_reader
                  chat/pool.py:4 in start
                  chat/hub.py:88 in Hub._start_reader
    made by     other
    now at      chat/hub.py:97 in Hub._read, waiting in queue.Queue.get
                  threading.py:320 in Condition.wait
                  chat/hub.py:97 in Hub._read
    fix         stop the thread's loop and join() it in a cleanup""",
        )
        self.assertEqual(len(entry_lines([leak], OWNER)), 5)
        self.assertIn(entry_lines([leak], OWNER, stacks=True)[6], message(TITLE, [leak], 0.5, OWNER, stacks=True))

    def test_a_thousand_different_leaks(self):
        """A message of a thousand different leaks has twenty entries, and says how many it leaves out."""
        leaks = [READER._replace(name=f"w-{i}", origin=f"chat/hub.py:{i} in f") for i in range(1000)]
        lines = message(TITLE, leaks, 0.5, OWNER).splitlines()
        self.assertEqual(len([line for line in lines if line.startswith("    created at  ")]), ENTRIES)
        self.assertEqual(lines[-3], "  and 980 more entries, which the JSON report has")

    def test_unknown_origins_are_one_entry_a_name(self):
        """Where nothing is known of the origin, only the same name joins."""
        one, other = READER._replace(origin=None), READER._replace(origin=None, name="x")
        self.assertEqual(group([one, other, one]), [[one, one], [other]])


class SummaryTests(unittest.TestCase):
    maxDiff = None

    def test_nothing_leaked(self):
        """A run without a leak has no summary, whatever was ignored."""
        self.assertEqual(summary([]), [])
        self.assertEqual(summary([LeakReport("test", OWNER, TITLE, ignored=(("thread:a", "a"),))]), [])

    def test_lines_by_their_numbers(self):
        """Of lines that leak as often, the first in the file comes first."""
        leaks = tuple(PING._replace(origin=f"a.py:{line} in f") for line in (10, 9, 100))
        shown = [line.split()[3] for line in summary([LeakReport("test", OWNER, TITLE, leaks)]) if " x " in line]
        self.assertEqual(shown, ["a.py:9", "a.py:10", "a.py:100"])

    def test_most_frequent_first(self):
        """By kind and line: how many, in how many tests, one of them as an example."""
        second = READER._replace(owner="tests.test_hub.HubTests.test_open")
        reports = [
            LeakReport("test", OWNER, TITLE, (PING, READER)),
            LeakReport("test", second.owner, "t", (second, second, CHILD._replace(owner=second.owner, counted=False))),
        ]
        self.assertEqual(
            "\n".join(summary(reports)),
            """\
Leaks: 5 in 2 tests, by the line that created them
     3 x thread   chat/hub.py:88 in Hub._start_reader
                  2 tests, e.g. tests.test_hub.HubTests.test_broadcast
     1 x process  chat/hub.py:20 in serve (not counted)
                  tests.test_hub.HubTests.test_open
     1 x task     chat/hub.py:61 in Hub.open
                  tests.test_hub.HubTests.test_broadcast""",
        )

    def test_unknown_origins_go_by_name(self):
        """Where the line is not known, the name stands in for it."""
        leak = Leak("thread", "Dummy-1", "foreign, alive", "unattributed")
        self.assertEqual(
            summary([LeakReport("run", "unattributed", "the run", (leak, leak))]),
            [
                "Leaks: 2 in 1 test, by the line that created them",
                "     2 x thread   unknown (Dummy-1)",
                "                  unattributed",
            ],
        )

    def test_one_that_counts_makes_the_line_count(self):
        """A line is called not counted only if none of its leaks counts."""
        reports = [LeakReport("test", OWNER, TITLE, (READER, READER._replace(counted=False)))]
        self.assertEqual(summary(reports)[1], "     2 x thread   chat/hub.py:88 in Hub._start_reader")

    def test_the_same_leaks_give_the_same_text(self):
        """The order of the reports does not matter."""
        reports = [LeakReport("test", leak.owner, "t", (leak,)) for leak in (PING, READER, CHILD)]
        self.assertEqual(summary(reports), summary(reports[::-1]))

    def test_growth(self):
        """Each kind before the first test and after the last."""
        self.assertEqual(
            growth({"threads": 1, "tasks": 0}, {"threads": 7, "tasks": 2}),
            ["Growth over the run: threads 1 -> 7, tasks 0 -> 2"],
        )


if __name__ == "__main__":
    unittest.main()
