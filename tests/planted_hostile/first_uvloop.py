"""The first loops of uvloop's in a process, in tests that leave nothing, and a pipe that is left."""

import asyncio
import os
import warnings

import uvloop

from tests.guarded import run_inner, run_inner_async

warnings.simplefilter("ignore", DeprecationWarning)  # policies are, from 3.14


def closes(test):
    loop = uvloop.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


async def serves(test):
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    await reader.read()
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    assert "uvloop" in type(asyncio.get_running_loop()).__module__


def names(outcome):
    assert not outcome.errors and not outcome.skipped, outcome.errors
    return [leak.name for leak in outcome.leaks]


closed = names(run_inner(closes, leak_kinds="file"))
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
on_it = names(run_inner_async(serves, serves, leak_kinds="file"))
pipe = names(run_inner(lambda test: os.pipe(), leak_kinds="file"))
print("closed:", closed, "on it:", on_it, "pipe:", pipe)
