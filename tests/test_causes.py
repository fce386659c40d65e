"""`leakguard.causes`: every row of the table, planted; and which row fits what."""

import contextlib
import gc
import inspect
import logging
import sys
import threading
import unittest
import warnings
from unittest import mock

from leakguard import causes, facts
from leakguard.facts import Facts
from leakguard.probes.processes import ProcessProbe
from tests import planted_causes, planted_libraries
from tests.guarded import QUICK, run_inner, run_inner_async

PLANTS = [*planted_causes.PLANTS, *planted_libraries.PLANTS]
ADVICE = {cause.id: cause for cause in causes.CAUSES}

NOT_HERE = {"task-group"} if sys.version_info < (3, 11) else set()
"""Causes that this Python cannot have."""


class PlantTests(unittest.TestCase):
    """A method for each plant, made below."""

    maxDiff = None


def _test_of(cause_id, plant):
    def test(self):
        caught = warnings.catch_warnings()  # what is left open is closed by the collector, after its loop
        caught.__enter__()
        self.addCleanup(caught.__exit__, None, None, None)
        warnings.simplefilter("ignore", ResourceWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        chatter = mock.patch.object(logging.getLogger("asyncio"), "disabled", True)
        chatter.start()
        self.addCleanup(chatter.stop)
        self.addCleanup(gc.collect)
        found = []
        choose = causes.cause_of

        def noting(known):
            cause = choose(known)
            found.append(cause)
            return cause

        cause = ADVICE[cause_id]
        is_async = inspect.iscoroutinefunction(plant)
        if is_async:

            async def leaks(test):
                await plant(self, test)

        else:

            def leaks(test):
                plant(self, test)

        run = run_inner_async if is_async else run_inner
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(causes, "cause_of", noting))
            if cause.kind == "process" and not is_async:  # the plant ends it: a pool whose workers are killed hangs
                stack.enter_context(mock.patch.object(ProcessProbe, "isolate", lambda probe, things: iter(())))
            outcome = run(leaks, leak_kinds=("thread", "task") if cause.kind == "task" else (cause.kind,), grace=QUICK)
        self.assertEqual(outcome.errors, [])
        if outcome.skipped:
            self.skipTest(outcome.skipped[0][1])
        hints = {(leak.kind, leak.hint) for leak in outcome.leaks}
        self.assertIn((cause.kind, cause.advice), hints, outcome.leaks)
        self.assertIn(cause_id, [cause.id for cause in found if cause is not None])

    test.__doc__ = f"The advice for {cause_id} is given for a real leak with that cause."
    return test


for _number, (_cause, _plant) in enumerate(PLANTS):
    setattr(PlantTests, f"test_{_cause.replace('-', '_')}_{_number}", _test_of(_cause, _plant))


class TableTests(unittest.TestCase):
    """Which row fits what: facts in, advice out."""

    def test_every_row_is_planted(self):
        """Each row of the table has a plant that shows its advice for a real leak, and each plant has a row."""
        self.assertEqual(set(ADVICE) - NOT_HERE, {cause for cause, _ in PLANTS})

    def test_no_two_rows_have_one_id(self):
        """An id names one row."""
        self.assertEqual(len(ADVICE), len(causes.CAUSES))

    def test_the_last_row_of_a_kind_fits_everything_of_it(self):
        """Of which nothing is known gets the advice of its kind; a kind without rows gets what the caller says."""
        general = {kind: causes.advice(Facts(kind)) for kind in ("thread", "task", "process", "timer", "file")}
        self.assertEqual(
            general,
            {
                "thread": "stop the thread's loop and join() it in a cleanup",
                "task": "cancel() it and await it, or own it with asyncio.TaskGroup",
                "process": "terminate() and join() it in a cleanup",
                "timer": "keep the handle that call_later() returns, and cancel() it in a cleanup",
                "file": "close() it in a cleanup, or use it in a with block",
            },
        )
        self.assertEqual(causes.advice(Facts("environ"), "put it back"), "put it back")
        self.assertEqual(causes.advice(Facts("environ")), "")

    def test_the_examples_of_the_design_keep_their_words(self):
        """A thread that loops on a queue, and a task in a sleep, whoever keeps them."""
        reader = Facts("thread", frozenset(["threading.Thread"]), ("threading.Condition.wait", "queue.Queue.get"))
        self.assertEqual(causes.advice(reader), "stop the thread's loop and join() it in a cleanup")
        ping = Facts("task", frames=("asyncio.tasks.sleep", "chat.hub.Hub._ping"), flags=frozenset([facts.DISCARDED]))
        self.assertEqual(causes.advice(ping), "cancel() it and await it, or own it with asyncio.TaskGroup")

    def test_the_first_row_that_fits_wins(self):
        """A worker of a library's is the library's, whatever it waits in."""
        frames = ("threading.Event.wait", "sentry_sdk.worker.BackgroundWorker._target")
        self.assertEqual(causes.cause_of(Facts("thread", frames=frames)).id, "sentry")
        self.assertEqual(causes.cause_of(Facts("thread", frames=frames[:1])).id, "event")

    def test_a_name_fits_itself_and_what_is_inside(self):
        """``kafka`` fits ``kafka.producer``, not a package of the user's whose name begins in the same way."""
        inside = Facts("thread", frozenset(["kafka.producer.sender.Sender"]))
        beside = Facts("thread", frozenset(["kafkaesque.Sender"]))
        self.assertEqual([causes.cause_of(known).id for known in (inside, beside)], ["kafka", "thread"])

    def test_every_row_can_be_reached(self):
        """No row is hidden by an earlier one: what has just what a row asks for fits that row first."""
        for cause in causes.CAUSES:
            with self.subTest(cause.id):
                known = Facts(
                    cause.kind,
                    frozenset((*cause.names[:1], *cause.anywhere[:1])),
                    cause.frames[:1],
                    cause.creators[:1],
                    frozenset(cause.flags),
                )
                self.assertEqual(causes.cause_of(known).id, cause.id)


class FactTests(unittest.TestCase):
    """What is known of a leak."""

    def test_types_have_the_names_of_all_their_bases(self):
        """A subclass of the user's is known by the class of the library."""

        class Own(threading.Timer):
            pass

        names = facts.types_of(Own(1, print), None)
        self.assertEqual(names[1:], ["threading.Timer", "threading.Thread"])
        self.assertTrue(names[0].endswith("<locals>.Own"))

    def test_the_operations_that_something_waits_in(self):
        """The operation, and the one that it is for; names of tasks, addresses and holders are none."""
        table = [
            (None, ()),
            ("select.epoll.poll", ("select.epoll.poll",)),
            ("threading.Lock.acquire, held by thread 'x'", (".held", "threading.Lock.acquire")),
            ("asyncio.wait_for, for asyncio.Event.wait", ("asyncio.wait_for", "asyncio.Event.wait")),
            ("asyncio.gather, for asyncio.sleep, task 'inner'", ("asyncio.gather",)),
        ]
        for text, operations in table:
            with self.subTest(text):
                self.assertEqual(facts.operations_of(text), operations)

    def test_the_object_of_a_method(self):
        """A bound method's object; none for a function, a class method or a function of a module of C."""
        self.assertEqual(facts.bound_to([].append), [])
        self.assertEqual([facts.bound_to(f) for f in (facts.made, dict.fromkeys, len)], [None, None, None])


if __name__ == "__main__":
    unittest.main()
