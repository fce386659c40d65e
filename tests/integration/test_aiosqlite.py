"""Teardown of aiosqlite's connections: each lives in a thread of its own."""

import asyncio
import threading

from tests import guarded
from tests.integration import proving


def setUpModule():
    """These tests need aiosqlite."""
    global aiosqlite
    aiosqlite = proving.need("aiosqlite")


class ConnectionTests(proving.HubTests):
    def test_a_connection_left_open_is_a_leak_with_the_users_line(self):
        """Its thread is what is left."""
        opened = []

        async def leaves(test):
            opened.append(await aiosqlite.connect(":memory:"))  # opens

        outcome = self.run_async(leaves)
        self.assertLeak(outcome, "thread", guarded.place(leaves, "opens"))
        self.end(opened.pop())

    def end(self, connection):
        """End a connection whose loop is closed, as the test that left it should have."""
        [thread] = [it for it in (connection, *vars(connection).values()) if isinstance(it, threading.Thread)]
        asyncio.run(connection.close())
        thread.join()

    def test_one_that_is_torn_down_leaves_nothing(self):
        """addHub is all that its twin has more."""

        async def opens(test):
            connection = test.addHub(await aiosqlite.connect(":memory:"))
            await connection.execute("create table messages (text)")

        self.assertClean(self.run_async(opens))

    def test_closed_by_the_test(self):
        """A second close is fine."""

        async def closes(test):
            connection = test.addHub(await aiosqlite.connect(":memory:"))
            await connection.close()

        self.assertClean(self.run_async(closes))

    def test_statements_in_flight(self):
        """What was begun before the teardown is done first."""
        made = []

        async def inserts(test):
            connection = test.addHub(await aiosqlite.connect(":memory:"))
            await connection.execute("create table messages (text)")
            insert = connection.executemany("insert into messages values (?)", [["x"]] * 20_000)
            made.append(asyncio.ensure_future(insert))
            await asyncio.sleep(0)

        self.assertClean(self.run_async(inserts), None)  # its thread may or may not have taken the statement by then
        self.assertTrue(made[0].done() and not made[0].cancelled())
        self.assertIsNone(made[0].exception())
