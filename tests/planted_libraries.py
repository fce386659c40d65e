"""Plants of the causes of third-party packages: the real package where it is small, else a look-alike.

A look-alike has the module, the class and the function's name that the real one has: that is all that its row goes by.
"""

import asyncio
import linecache
import os
import socket
import tempfile
import threading

from tests.planted_causes import keep, kept, run, wait_until
from tests.required import need

PLANTS = []
"""(id of a cause, plant) of everything that is planted."""

HOST = "127.0.0.1"


def plant(*causes):
    """Register a plant of one cause, or of several."""

    def register(function):
        PLANTS.extend((cause, function) for cause in causes)
        return function

    return register


# -- look-alikes ----------------------------------------------------------------------------------------

_SOURCE = """
class {cls}:
    def {function}(self, wait):
        wait()

    async def {function}_async(self, future):
        await future

    def arm(self):
        import asyncio
        asyncio.get_running_loop().call_later(3600, self.{function}, None)

    def hold(self, thing):
        self.thing = thing
"""


def look_alike(module, cls, function):
    """An object of a class that is called as a library's is, in a file that is where a library's is."""
    path = f"{os.sep}pretended{os.sep}site-packages{os.sep}{module.replace('.', os.sep)}.py"
    source = _SOURCE.format(cls=cls, function=function)
    linecache.cache[path] = (len(source), None, source.splitlines(True), path)  # 3.9 reads qualified names there
    space = {"__name__": module}
    exec(compile(source, path, "exec"), space)
    return space[cls]()


THREADS = {
    "grpc-server": ("grpc._server", "_ServerState", "_serve"),
    "grpc-channel": ("grpc._channel", "_ChannelCallState", "channel_spin"),
    "sentry": ("sentry_sdk.worker", "BackgroundWorker", "_target"),
    "opentelemetry": ("opentelemetry.sdk._shared_internal", "BatchProcessor", "worker"),
    "kafka": ("kafka.producer.sender", "Sender", "run"),
    "psycopg-pool": ("psycopg_pool.pool", "ConnectionPool", "worker"),
    "pymongo": ("pymongo.periodic_executor", "PeriodicExecutor", "_run"),
    "redis-pubsub-thread": ("redis.client", "PubSubWorkerThread", "run"),
    "django-live-server": ("django.test.testcases", "LiveServerThread", "run"),
    "paho-mqtt": ("paho.mqtt.client", "Client", "_thread_main"),
    "apscheduler": ("apscheduler.schedulers.background", "BackgroundScheduler", "_main_loop"),
    "watchdog": ("watchdog.observers.inotify", "InotifyEmitter", "run"),
    "twisted-threadpool": ("twisted._threads._threadworker", "ThreadWorker", "work"),
}


def _thread_plant(module, cls, function):
    def plants(outer, test):
        gate = threading.Event()
        run(outer, getattr(look_alike(module, cls, function), function), gate.wait, undo=gate.set, within="wait")

    return plants


for _cause, _names in THREADS.items():
    plant(_cause)(_thread_plant(*_names))

TASKS = {
    "aiokafka": ("aiokafka.producer.sender", "Sender", "_sender_routine"),
    "psycopg-pool-asyncio": ("psycopg_pool.pool_async", "AsyncConnectionPool", "worker"),
    "redis-asyncio": ("redis.asyncio.client", "PubSub", "run"),
    "aiohttp-client": ("aiohttp.client", "ClientSession", "_request"),
    "hypercorn": ("hypercorn.asyncio.run", "Server", "worker_serve"),
}


def _task_plant(module, cls, function):
    async def plants(outer, test):
        work = getattr(look_alike(module, cls, function), function + "_async")
        await keep(outer, work(asyncio.get_running_loop().create_future()))

    return plants


for _cause, _names in TASKS.items():
    plant(_cause)(_task_plant(*_names))


@plant("apscheduler-timer")
async def _(outer, test):
    look_alike("apscheduler.schedulers.asyncio", "AsyncIOScheduler", "wakeup").arm()


HOLDERS = {
    "httpx": ("httpcore._backends.sync", "SyncStream", "read"),
    "redis": ("redis.connection", "Connection", "connect"),
    "urllib3": ("urllib3.connection", "HTTPConnection", "connect"),
}


def _holder_plant(module, cls, function):
    def plants(outer, test):
        ours, theirs = socket.socketpair()
        outer.addCleanup(theirs.close)
        outer.addCleanup(ours.close)
        test.holder = look_alike(module, cls, function)
        test.holder.hold(ours)
        outer.addCleanup(setattr, test, "holder", None)

    return plants


for _cause, _names in HOLDERS.items():
    plant(_cause)(_holder_plant(*_names))


# -- the real ones ----------------------------------------------------------------------------------------


def _folder(outer):
    folder = tempfile.TemporaryDirectory()
    outer.addCleanup(folder.cleanup)
    return folder.name


@plant("aiosqlite")
async def _(outer, test):
    aiosqlite = need("aiosqlite")
    connection = await aiosqlite.connect(":memory:")
    outer.addCleanup(lambda: asyncio.run(_close(connection)))


async def _close(thing):
    await thing.close()


@plant("websockets-server", "websockets-connection")
async def _(outer, test):
    server, client = need("websockets.asyncio.server"), need("websockets.asyncio.client")
    serving = await server.serve(_silence, HOST, 0)
    port = serving.sockets[0].getsockname()[1]
    outer.addCleanup(kept.clear)
    kept.update([serving, await client.connect(f"ws://{HOST}:{port}/")])


async def _silence(connection):
    await connection.wait_closed()


@plant("websockets-sync", "websockets-sync-server")
def _(outer, test):
    server, client = need("websockets.sync.server"), need("websockets.sync.client")
    serving = server.serve(lambda connection: list(connection), HOST, 0)
    run(outer, serving.serve_forever, undo=serving.shutdown, within="select")
    connection = client.connect(f"ws://{HOST}:{serving.socket.getsockname()[1]}/")
    outer.addCleanup(connection.close)


def _uvicorn():
    uvicorn = need("uvicorn")

    async def app(scope, receive, send):
        await receive()

    return uvicorn.Server(uvicorn.Config(app, host=HOST, port=0, log_config=None, lifespan="off", loop="asyncio"))


@plant("uvicorn")
async def _(outer, test):
    server = _uvicorn()
    await keep(outer, server.serve())
    while not server.started:
        await asyncio.sleep(0.001)


@plant("uvicorn-thread")
def _(outer, test):
    server = _uvicorn()
    run(outer, server.run, undo=lambda: setattr(server, "should_exit", True), within="select")
    wait_until(lambda: server.started)


@plant("tornado-loop")
def _(outer, test):
    ioloop = need("tornado.ioloop")
    loops = []

    def serve():
        asyncio.set_event_loop(asyncio.new_event_loop())
        loops.append(ioloop.IOLoop.current())
        loops[0].start()
        loops[0].close()

    run(outer, serve, undo=lambda: loops[0].add_callback(loops[0].stop), within="select")


@plant("tornado-periodic")
async def _(outer, test):
    ioloop = need("tornado.ioloop")
    callback = test.callback = ioloop.PeriodicCallback(print, 3600_000)
    outer.addCleanup(setattr, test, "callback", None)
    callback.start()


@plant("tornado-server")
async def _(outer, test):
    need("tornado")
    httpserver, web = need("tornado.httpserver"), need("tornado.web")
    server = httpserver.HTTPServer(web.Application([]))
    server.listen(0, HOST)
    [listening] = server._sockets.values()
    client = socket.create_connection(listening.getsockname())
    outer.addCleanup(client.close)
    outer.addCleanup(kept.clear)
    kept.add(server)
    while len(asyncio.all_tasks()) < 2:
        await asyncio.sleep(0.001)


@plant("anyio-worker")
async def _(outer, test):
    to_thread = need("anyio.to_thread")
    gate = threading.Event()
    outer.addCleanup(gate.set)
    busy = threading.Event()
    await keep(outer, to_thread.run_sync(lambda: (busy.set(), gate.wait())))
    while not busy.is_set():
        await asyncio.sleep(0.001)


@plant("anyio-stream")
async def _(outer, test):
    sends, receives = need("anyio").create_memory_object_stream(1)
    outer.addCleanup(sends.close)
    outer.addCleanup(receives.close)
    await keep(outer, receives.receive())


@plant("anyio-portal")
def _(outer, test):
    from_thread = need("anyio.from_thread")
    portal = from_thread.start_blocking_portal()
    portal.__enter__()
    outer.addCleanup(portal.__exit__, None, None, None)


async def _serve_aiohttp(outer):
    web = need("aiohttp.web")
    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    outer.addCleanup(kept.clear)
    kept.add(runner)
    return site._server.sockets[0].getsockname()


@plant("aiohttp-server", "aiohttp-server-socket")
async def _(outer, test):
    client = socket.create_connection(await _serve_aiohttp(outer))
    outer.addCleanup(client.close)
    for _ in range(20):
        await asyncio.sleep(0.001)


@plant("aiohttp-timer", "aiohttp-socket")
async def _(outer, test):
    aiohttp = need("aiohttp")
    host, port = await _serve_aiohttp(outer)
    session = aiohttp.ClientSession()
    kept.add(session)
    async with session.get(f"http://{host}:{port}/") as response:
        await response.read()


@plant("aiohttp-unclosed")
async def _(outer, test):
    aiohttp = need("aiohttp")
    session = aiohttp.ClientSession()
    del session


@plant("sqlalchemy-aiosqlite")
async def _(outer, test):
    need("aiosqlite")
    engine = need("sqlalchemy.ext.asyncio").create_async_engine(
        f"sqlite+aiosqlite:///{os.path.join(_folder(outer), 'test.db')}"
    )
    async with engine.connect():
        pass
    outer.addCleanup(lambda: asyncio.run(engine.dispose()))


@plant("apscheduler")
def _(outer, test):
    scheduler = need("apscheduler.schedulers.background").BackgroundScheduler()
    outer.addCleanup(scheduler.shutdown)
    scheduler.start()


@plant("watchdog")
def _(outer, test):
    observer, events = need("watchdog.observers").Observer(), need("watchdog.events")
    observer.schedule(events.FileSystemEventHandler(), _folder(outer))
    outer.addCleanup(observer.join)
    outer.addCleanup(observer.stop)
    observer.start()


@plant("paho-mqtt")
def _(outer, test):
    mqtt = need("paho.mqtt.client")
    listening = socket.create_server((HOST, 0))
    outer.addCleanup(listening.close)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect_async(*listening.getsockname())
    outer.addCleanup(client.loop_stop)
    outer.addCleanup(client.disconnect)
    client.loop_start()
