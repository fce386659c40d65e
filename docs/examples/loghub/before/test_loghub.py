"""Tests of loghub, as they are often written: what a test opens is forgotten when the test ends."""

import asyncio
import json
import os
import tempfile
import time
import unittest

from loghub import GOING_AWAY, LEVELS, NO_HEARTBEAT, HubThread, LogHub
from viewing import (
    READER,
    TOKENS,
    WRITER,
    FakeConnection,
    ask,
    authorized,
    receive,
    receive_text,
    send,
    until,
)
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from before.case import HubCase

HEARTBEAT = float(os.environ.get("LOGHUB_HEARTBEAT", "0.5"))
"""Seconds between two heartbeats in the longest test; a service has 30."""


class AdmissionTests(HubCase):
    async def asyncSetUp(self):
        self.hub = self.open_hub()
        self.clients = self.hub.hub.clients

    async def test_a_client_is_registered(self):
        await self.view(self.hub)
        self.assertEqual(1, len(self.clients))

    async def test_every_client_is_registered(self):
        for _ in range(3):
            await self.view(self.hub)
        self.assertEqual({1, 2, 3}, {client.number for client in self.clients})

    async def test_a_client_that_leaves_is_unregistered(self):
        client = await self.view(self.hub)
        await client.close()
        await until(lambda: not self.clients)

    async def test_a_client_that_breaks_off_is_unregistered(self):
        client = await self.view(self.hub)
        client.transport.abort()
        await until(lambda: not self.clients)

    async def test_one_that_leaves_takes_no_other_along(self):
        leaving, staying = await self.view(self.hub), await self.view(self.hub)
        await leaving.close()
        await until(lambda: len(self.clients) == 1)
        self.hub.publish("INFO", "web", "still here?")
        self.assertEqual("still here?", await receive_text(staying))


class ConnectionTests(HubCase):
    """The hub's own methods, without a network."""

    async def asyncSetUp(self):
        self.hub = LogHub(tokens=TOKENS)
        self.connection = FakeConnection()

    async def test_registering_sends_a_welcome(self):
        self.hub.register(self.connection)
        await until(lambda: self.connection.sent)
        self.assertEqual([{"type": "welcome", "client": 1}], self.connection.sent)

    async def test_unregistering_ends_the_sending(self):
        client = self.hub.register(self.connection)
        await self.hub.unregister(client)
        self.assertEqual(0, self.hub.broadcast({"level": "INFO", "source": "web", "text": "nobody hears this"}))

    async def test_unregistering_twice_is_fine(self):
        client = self.hub.register(self.connection)
        await self.hub.unregister(client)
        await self.hub.unregister(client)
        self.assertEqual(set(), self.hub.clients)

    async def test_broadcast_says_how_many_are_to_get_it(self):
        for _ in range(3):
            self.hub.register(FakeConnection())
        self.assertEqual(3, self.hub.broadcast({"level": "INFO", "source": "web", "text": "up"}))


class BroadcastTests(HubCase):
    async def asyncSetUp(self):
        self.hub = self.open_hub()

    async def test_a_record_comes_as_it_was_published(self):
        client = await self.view(self.hub)
        self.hub.publish("ERROR", "db", "disk full")
        wanted = {"type": "record", "level": "ERROR", "source": "db", "text": "disk full"}
        self.assertEqual(wanted, await receive(client))

    async def test_a_record_reaches_every_client(self):
        clients = [await self.view(self.hub) for _ in range(5)]
        self.hub.publish("INFO", "web", "up")
        self.assertEqual(["up"] * 5, [await receive_text(client) for client in clients])

    async def test_records_come_in_order(self):
        client = await self.view(self.hub)
        for number in range(20):
            self.hub.publish("INFO", "web", str(number))
        self.assertEqual([str(n) for n in range(20)], [await receive_text(client) for _ in range(20)])

    async def test_who_comes_late_has_missed_it(self):
        early = await self.view(self.hub)
        self.hub.publish("INFO", "web", "one")
        self.assertEqual("one", await receive_text(early))
        late = await self.view(self.hub)
        self.hub.publish("INFO", "web", "two")
        self.assertEqual("two", await receive_text(late))

    async def test_what_a_client_logs_reaches_the_others(self):
        reader, writer = await self.view(self.hub), await self.view(self.hub, WRITER)
        await send(writer, op="log", level="INFO", source="agent", text="started")
        self.assertEqual("started", await receive_text(reader))

    async def test_what_a_client_logs_reaches_itself(self):
        writer = await self.view(self.hub, WRITER)
        self.assertEqual("me", (await ask(writer, op="log", level="INFO", source="agent", text="me"))["text"])

    async def test_a_source_in_a_thread_is_streamed(self):
        feed = self.feed(await self.view(self.hub))
        self.source(self.hub, "db")
        records = await feed.has(20)
        self.assertEqual({"db"}, {record["source"] for record in records})

    async def test_records_of_two_sources_are_mixed(self):
        feed = self.feed(await self.view(self.hub))
        self.source(self.hub, "db")
        self.source(self.hub, "web")
        await until(lambda: {record["source"] for record in feed.of_type("record")} == {"db", "web"})


class FilterTests(HubCase):
    async def asyncSetUp(self):
        self.hub = self.open_hub()

    async def test_a_client_sees_its_level_and_above(self):
        client = await self.view(self.hub)
        await ask(client, op="subscribe", level="WARNING")
        for level in LEVELS:
            self.hub.publish(level, "web", level)
        self.assertEqual(["WARNING", "ERROR", "CRITICAL"], [await receive_text(client) for _ in range(3)])

    async def test_without_a_filter_everything_comes(self):
        client = await self.view(self.hub)
        for level in LEVELS:
            self.hub.publish(level, "web", level)
        self.assertEqual(list(LEVELS), [await receive_text(client) for _ in LEVELS])

    async def test_a_client_sees_its_source(self):
        client = await self.view(self.hub)
        await ask(client, op="subscribe", sources=["db"])
        self.hub.publish("INFO", "web", "no")
        self.hub.publish("INFO", "db", "yes")
        self.assertEqual("yes", await receive_text(client))

    async def test_a_source_may_be_a_glob(self):
        client = await self.view(self.hub)
        await ask(client, op="subscribe", sources=["web-*", "db"])
        for source in ("mail", "web-1", "cron", "web-2", "db"):
            self.hub.publish("INFO", source, source)
        self.assertEqual(["web-1", "web-2", "db"], [await receive_text(client) for _ in range(3)])

    async def test_level_and_source_must_both_pass(self):
        client = await self.view(self.hub)
        await ask(client, op="subscribe", level="ERROR", sources=["db"])
        for level, source in (("ERROR", "web"), ("INFO", "db"), ("ERROR", "db")):
            self.hub.publish(level, source, f"{level} {source}")
        self.assertEqual("ERROR db", await receive_text(client))

    async def test_each_client_has_its_own(self):
        clients = [await self.view(self.hub) for _ in range(2)]
        for client, source in zip(clients, ("db", "web")):
            await ask(client, op="subscribe", sources=[source])
        for source in ("web", "db"):
            self.hub.publish("INFO", source, source)
        self.assertEqual(["db", "web"], [await receive_text(client) for client in clients])

    async def test_the_last_one_holds(self):
        client = await self.view(self.hub)
        await ask(client, op="subscribe", sources=["db"])
        await ask(client, op="subscribe", sources=["web"])
        for source in ("db", "web"):
            self.hub.publish("INFO", source, source)
        self.assertEqual("web", await receive_text(client))

    async def test_the_answer_has_the_filter(self):
        client = await self.view(self.hub)
        answer = await ask(client, op="subscribe", level="ERROR", sources=["db"])
        self.assertEqual({"type": "subscribed", "level": "ERROR", "sources": ["db"]}, answer)

    async def test_an_unknown_level_is_refused(self):
        client = await self.view(self.hub)
        answer = await ask(client, op="subscribe", level="LOUD")
        reason = "level must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL (got 'LOUD')"
        self.assertEqual({"type": "error", "reason": reason}, answer)


class AuthenticationTests(HubCase):
    @classmethod
    def setUpClass(cls):
        cls.hub = HubThread(LogHub(tokens=TOKENS)).start()

    async def status_for(self, **headers):
        """Return the status with which the hub refuses these headers."""
        with self.assertRaises(InvalidStatus) as caught:
            await connect(self.hub.url, additional_headers=headers)
        return caught.exception.response.status_code

    async def test_a_wrong_token_is_refused(self):
        self.assertEqual(401, await self.status_for(**authorized("guessed")))

    async def test_no_token_is_refused(self):
        self.assertEqual(401, await self.status_for())

    async def test_another_scheme_is_refused(self):
        self.assertEqual(401, await self.status_for(Authorization=f"Basic {READER}"))

    async def test_an_empty_token_is_refused(self):
        self.assertEqual(401, await self.status_for(Authorization="Bearer "))

    async def test_who_is_refused_is_not_registered(self):
        await self.status_for(**authorized("guessed"))
        self.assertEqual(set(), self.hub.hub.clients)


class PermissionTests(HubCase):
    async def asyncSetUp(self):
        self.hub = self.open_hub()

    async def test_a_reader_may_not_write(self):
        client = await self.view(self.hub, READER)
        answer = await ask(client, op="log", level="INFO", source="agent", text="let me")
        self.assertEqual({"type": "error", "reason": "this token may not write"}, answer)

    async def test_a_writer_may_read(self):
        client = await self.view(self.hub, WRITER)
        self.hub.publish("INFO", "web", "up")
        self.assertEqual("up", await receive_text(client))

    async def test_what_is_no_json_is_answered(self):
        client = await self.view(self.hub)
        await client.send("hello?")
        self.assertEqual("error", (await receive(client))["type"])

    async def test_an_unknown_op_is_answered(self):
        client = await self.view(self.hub)
        self.assertEqual({"type": "error", "reason": "unknown op 'dance'"}, await ask(client, op="dance"))

    async def test_a_connection_survives_its_errors(self):
        client = await self.view(self.hub)
        await ask(client, op="dance")
        self.hub.publish("INFO", "web", "up")
        self.assertEqual("up", await receive_text(client))


class HeartbeatTests(HubCase):
    async def test_who_answers_stays_and_who_is_silent_is_dropped(self):
        hub = self.open_hub(heartbeat=HEARTBEAT)
        answering = self.feed(await self.view(hub), answers_heartbeats=True)
        silent = await self.view(hub)
        with self.assertRaises(ConnectionClosed) as caught:
            while True:
                await asyncio.wait_for(silent.recv(), 3 * HEARTBEAT + 5)
        self.assertEqual(NO_HEARTBEAT, caught.exception.rcvd.code)
        await until(lambda: len(hub.hub.clients) == 1)
        self.assertGreaterEqual(len(answering.of_type("heartbeat")), 1)

    async def test_heartbeats_are_numbered(self):
        hub = self.open_hub(heartbeat=0.05, tolerated=1000)
        feed = self.feed(await self.view(hub), answers_heartbeats=True)
        beats = await feed.has(3, "heartbeat")
        self.assertEqual([0, 1, 2], [message["beat"] - beats[0]["beat"] for message in beats[:3]])

    async def test_a_heartbeat_reaches_every_client(self):
        hub = self.open_hub(heartbeat=0.05, tolerated=1000)
        feeds = [self.feed(await self.view(hub), answers_heartbeats=True) for _ in range(3)]
        for feed in feeds:
            await feed.has(1, "heartbeat")

    async def test_records_come_between_heartbeats(self):
        hub = self.open_hub(heartbeat=0.05, tolerated=1000)
        feed = self.feed(await self.view(hub), answers_heartbeats=True)
        await feed.has(1, "heartbeat")
        hub.publish("INFO", "web", "between")
        await feed.has(1, "record")
        count = len(feed.of_type("heartbeat"))
        await feed.has(count + 1, "heartbeat")


class QueueTests(HubCase):
    async def asyncSetUp(self):
        self.hub = LogHub(tokens=TOKENS, queue_size=3)
        self.slow = FakeConnection()

    def publish(self, *numbers):
        for number in numbers:
            self.hub.broadcast({"level": "INFO", "source": "web", "text": str(number)})

    async def test_a_full_queue_loses_its_oldest(self):
        client = self.hub.register(self.slow)
        await until(lambda: self.slow.sent)
        self.slow.open.clear()
        self.publish(*range(10))
        self.assertEqual(["7", "8", "9"], [client.queue.get_nowait()["text"] for _ in range(3)])
        self.assertEqual(7, client.dropped)

    async def test_a_slow_client_holds_up_no_other(self):
        quick = FakeConnection()
        self.slow.open.clear()
        for connection in (self.slow, quick):
            self.hub.register(connection)
        await until(lambda: quick.sent)
        self.publish(1, 2)
        await until(lambda: len(quick.sent) == 3)
        self.assertEqual([], self.slow.sent)

    async def test_a_client_that_is_quick_again_gets_the_newest(self):
        self.hub.register(self.slow)
        await until(lambda: self.slow.sent)
        self.slow.open.clear()
        self.publish(*range(10))
        self.slow.open.set()
        await until(lambda: len(self.slow.sent) == 4)
        self.assertEqual(["7", "8", "9"], [message["text"] for message in self.slow.sent[1:]])


class ArchiveTests(HubCase):
    async def asyncSetUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "archive.jsonl")
        self.hub = self.open_hub(archive=self.path)

    def archived(self):
        with open(self.path, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    async def test_every_record_is_archived(self):
        for number in range(10):
            self.hub.publish("INFO", "web", str(number))
        await until(lambda: len(self.archived()) == 10)
        self.assertEqual([str(n) for n in range(10)], [record["text"] for record in self.archived()])

    async def test_what_nobody_wants_to_see_is_archived(self):
        client = await self.view(self.hub)
        await ask(client, op="subscribe", level="CRITICAL")
        self.hub.publish("DEBUG", "web", "details")
        await until(lambda: len(self.archived()) == 1)
        self.assertEqual("details", self.archived()[0]["text"])


class ShutdownTests(HubCase):
    async def asyncSetUp(self):
        self.hub = await LogHub(tokens=TOKENS).start()

    async def test_clients_are_told(self):
        client = await self.view(self.hub)
        await self.hub.close()
        with self.assertRaises(ConnectionClosed) as caught:
            await receive(client)
        self.assertEqual(GOING_AWAY, caught.exception.rcvd.code)

    async def test_what_is_queued_is_sent_first(self):
        feed = self.feed(await self.view(self.hub))
        for number in range(50):
            self.hub.broadcast({"level": "INFO", "source": "web", "text": str(number)})
        await self.hub.close()
        self.assertEqual([str(n) for n in range(50)], [record["text"] for record in await feed.has(50)])

    async def test_nobody_is_accepted_any_more(self):
        url = self.hub.url
        await self.hub.close()
        with self.assertRaises(OSError):
            await connect(url, additional_headers=authorized(READER))

    async def test_closing_twice_is_fine(self):
        await self.hub.close()
        await self.hub.close()


class ThroughputTests(HubCase):
    async def asyncSetUp(self):
        self.hub = self.open_hub(queue_size=5000)

    async def test_a_thousand_records_in_five_seconds(self):
        feed = self.feed(await self.view(self.hub))
        start = time.monotonic()
        for number in range(1200):
            self.hub.publish("INFO", "web", str(number))
        records = await feed.has(1200)
        self.assertLess(time.monotonic() - start, 5)
        self.assertEqual([str(n) for n in range(1200)], [record["text"] for record in records])

    async def test_many_clients_see_every_record(self):
        feeds = [self.feed(await self.view(self.hub)) for _ in range(10)]
        for number in range(100):
            self.hub.publish("INFO", "web", str(number))
        for feed in feeds:
            self.assertEqual([str(n) for n in range(100)], [record["text"] for record in await feed.has(100)])

    async def test_many_sources_are_streamed_at_once(self):
        feed = self.feed(await self.view(self.hub))
        names = {f"web-{number}" for number in range(4)}
        for name in names:
            self.source(self.hub, name)
        await feed.has(200)
        self.assertEqual(names, {record["source"] for record in feed.of_type("record")})


if __name__ == "__main__":
    unittest.main()
