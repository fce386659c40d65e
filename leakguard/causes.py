"""Why things are left running, and what to do about it: one table, a row a cause, the most specific first.

The first row that fits a leak's facts gives its advice; the last of each kind fits everything of that kind. What a user
wrote keeps the advice of its kind as its beginning, since that is true whatever it waits for.
"""

from __future__ import annotations

from typing import Iterable, NamedTuple, Optional, Tuple

from leakguard.facts import ASYNC_GENERATOR, CANCELLED, DAEMON, DISCARDED, EVENT_LOOP, HELD, IDLE, IN_INIT, RAW, SHELL
from leakguard.facts import SIGNAL_HANDLER, SQLITE, SUBMITTED, UNSTARTED, Facts

_Names = Tuple[str, ...]


class Cause(NamedTuple):
    """One row: what a leak has to look like, and the advice.

    Each column that is filled has to fit, by one of its names. A name fits itself and all that is inside of it:
    ``queue.Queue`` fits ``queue.Queue.get``, ``kafka`` fits all of a package.
    """

    id: str
    kind: str
    advice: str
    names: _Names = ()
    """What it is: see `Facts`."""
    frames: _Names = ()
    """What it is in."""
    creators: _Names = ()
    """What created it."""
    anywhere: _Names = ()
    """One of the three above: a library, as a rule."""
    flags: _Names = ()

    def fits(self, facts: Facts) -> bool:
        """Whether a leak looks like this."""
        return (
            self.kind == facts.kind
            and _has(self.names, facts.names)
            and _has(self.frames, facts.frames)
            and _has(self.creators, facts.creators)
            and _has(self.anywhere, (*facts.names, *facts.frames, *facts.creators))
            and _has(self.flags, facts.flags)
        )


def _has(wanted: _Names, names: Iterable[str]) -> bool:
    return not wanted or any((name + ".").startswith(one + ".") for name in names for one in wanted)


def cause_of(facts: Facts) -> Optional[Cause]:
    """The first row that fits, None if there is none: the last of most kinds fits everything of its kind."""
    return next((cause for cause in CAUSES if cause.fits(facts)), None)


def advice(facts: Facts, otherwise: str = "") -> str:
    """One line of advice by the cause of a leak; `otherwise` for what no row fits."""
    cause = cause_of(facts)
    return cause.advice if cause is not None else otherwise


_THREAD = "stop the thread's loop and join() it in a cleanup"
_TASK = "cancel() it and await it, or own it with asyncio.TaskGroup"
_TIMER = "keep the handle that call_later() returns, and cancel() it in a cleanup"
_CLOSE = "close() it in a cleanup, or use it in a with block"
_EXECUTOR = "shut the executor down: use it in a with block, or addCleanup(executor.shutdown)"
_RUN_IN_EXECUTOR = "asyncio.base_events.BaseEventLoop.run_in_executor"
_RUN_FOREVER = "asyncio.base_events.BaseEventLoop.run_forever"
_PROCESS_EXECUTOR = "call the ProcessPoolExecutor's shutdown() in a cleanup, or use it in a with block"
_POOL = "close() the multiprocessing pool, then join() it, in a cleanup"
_SERVER = "close() the asyncio server and await its wait_closed(), or use it in an async with block"
_AIOHTTP_CLIENT = "await the aiohttp ClientSession's close(), or use it in an async with block"
_AIOHTTP_SERVER = "await the aiohttp runner's cleanup(), or the test server's close(), in a cleanup"
_UVICORN = "set the uvicorn server's should_exit = True, and wait for its serve() or run() to return"
_WS_SERVER = "close() the websockets server and await its wait_closed(), or use serve() in an async with block"
_WS_CLIENT = "close() the websockets connection and await that, or use connect() in an async with block"
_SCHEDULER = "call the APScheduler scheduler's shutdown() in a cleanup"
_KAFKA = "call close() of the Kafka producer, consumer or admin client in a cleanup"
_MONGO = "close() the MongoClient in a cleanup, or use it in a with block"
_REDIS = "close() the redis client in a cleanup (aclose(), if it is asyncio's), or use it in a with block"
_PSYCOPG = "close() the psycopg connection pool in a cleanup, or use it in a with block"
_SQLALCHEMY = "dispose() of the SQLAlchemy engine in a cleanup: its pool keeps connections (await that of an async one)"
_HTTPX = "close() the httpx client in a cleanup (aclose(), if it is async), or use it in a with block"

# fmt: off
CAUSES: Tuple[Cause, ...] = (
    # -- threads of libraries: their names say whose they are --------------------------------------
    Cause("sqlalchemy-aiosqlite", "thread", _SQLALCHEMY, names=("aiosqlite",), creators=("sqlalchemy",)),
    Cause("aiosqlite", "thread", names=("aiosqlite",),
          advice="await the aiosqlite connection's close(), or use it in an async with block"),
    Cause("apscheduler", "thread", _SCHEDULER, anywhere=("apscheduler",)),
    Cause("watchdog", "thread", names=("watchdog",),
          advice="stop() the watchdog observer and join() it in a cleanup: its emitters end with it"),
    Cause("grpc-server", "thread", anywhere=("grpc._server",),
          advice="call the grpc server's stop(grace) and wait() for what that returns"),
    Cause("grpc-channel", "thread", anywhere=("grpc",),
          advice="close() the grpc channel in a cleanup, or use it in a with block"),
    Cause("sentry", "thread", anywhere=("sentry_sdk",),
          advice="close() the sentry client in a cleanup (sentry_sdk.get_client().close()), or init() none in tests"),
    Cause("opentelemetry", "thread", anywhere=("opentelemetry",),
          advice="shutdown() the OpenTelemetry provider in a cleanup: its span, log and metric workers end with it"),
    Cause("paho-mqtt", "thread", anywhere=("paho.mqtt",),
          advice="call the MQTT client's disconnect() and loop_stop() in a cleanup"),
    Cause("kafka", "thread", _KAFKA, anywhere=("kafka", "confluent_kafka")),
    Cause("pymongo", "thread", _MONGO, anywhere=("pymongo",)),
    Cause("psycopg-pool", "thread", _PSYCOPG, anywhere=("psycopg_pool",)),
    Cause("redis-pubsub-thread", "thread", names=("redis.client.PubSubWorkerThread",),
          advice="stop() the thread that run_in_thread() returned, join() it, and close() the PubSub"),
    Cause("uvicorn-thread", "thread", _UVICORN, anywhere=("uvicorn",)),
    Cause("tornado-loop", "thread", frames=("tornado.ioloop", "tornado.platform"),
          advice="loop.add_callback(loop.stop) the tornado IOLoop, then join() its thread and close() the loop"),
    Cause("django-live-server", "thread", names=("django.test.testcases.LiveServerThread",),
          advice="let tearDownClass() of LiveServerTestCase run (call super()), or terminate() the server's thread"),
    Cause("websockets-sync-server", "thread", frames=("websockets.sync.server",),
          advice="call shutdown() of the websockets server, then join() its thread"),
    Cause("websockets-sync", "thread", names=("websockets.sync",),
          advice="close() the websockets connection, or use connect() in a with block"),
    Cause("anyio-portal", "thread", anywhere=("anyio.from_thread",),
          advice="use start_blocking_portal() in a with block"),
    Cause("anyio-worker", "thread", names=("anyio",),
          advice="let the job of to_thread.run_sync() end: anyio's worker threads go when the loop's first task does"),
    Cause("twisted-threadpool", "thread", anywhere=("twisted",),
          advice="stop() the twisted ThreadPool, or the reactor, in a cleanup"),
    # -- threads of the standard library ----------------------------------------------------------
    Cause("raw-thread", "thread", "let it end, and wait for that, before the test does", flags=(RAW,)),
    Cause("timer-thread", "thread", names=("threading.Timer",),
          advice="cancel() the timer and join() it in a cleanup"),
    Cause("queue-feeder", "thread", names=("multiprocessing.queues.Queue._feed",),
          advice="close() the multiprocessing.Queue and join_thread() it in a cleanup"),
    Cause("multiprocessing-pool", "thread", _POOL, names=("multiprocessing.pool",)),
    Cause("process-pool-executor", "thread", _PROCESS_EXECUTOR, names=("concurrent.futures.process",)),
    Cause("queue-listener", "thread", names=("logging.handlers.QueueListener",),
          advice="call the logging QueueListener's stop() in a cleanup"),
    Cause("executor-idle", "thread", _EXECUTOR, flags=(IDLE,)),
    Cause("asyncio-executor-busy", "thread", names=("concurrent.futures.thread._worker",), creators=(_RUN_IN_EXECUTOR,),
          advice="make the job given to asyncio.to_thread() or run_in_executor() end: a cancel does not stop it"),
    Cause("executor-busy", "thread", names=("concurrent.futures.thread._worker",),
          advice=f"{_EXECUTOR}, once its job can end"),
    Cause("socketserver-request", "thread", names=("socketserver.ThreadingMixIn.process_request_thread",),
          advice="close the client's connection, so that the handler returns; then server_close() joins its thread"),
    Cause("socketserver", "thread", anywhere=("socketserver.BaseServer",),
          advice="call the server's shutdown() and server_close(), then join() the thread"),
    Cause("asyncio-run-thread", "thread", frames=("asyncio.runners",),
          advice="end the coroutine given to asyncio.run(): "
                 "loop.call_soon_threadsafe(task.cancel), then join() the thread"),
    Cause("loop-thread", "thread", frames=(_RUN_FOREVER, ".run_forever", ".run_until_complete"),
          advice="loop.call_soon_threadsafe(loop.stop), then join() the thread and close() the loop"),
    Cause("sched", "thread", frames=("sched.scheduler",),
          advice=f"{_THREAD}: cancel() the events of its sched.scheduler"),
    Cause("subprocess-wait", "thread", frames=("subprocess.Popen", "subprocess.run"),
          advice=f"{_THREAD}: terminate() the child that it waits for"),
    # -- threads of the user's own, by what they wait in --------------------------------------------
    Cause("queue-loop", "thread", _THREAD, frames=("queue.Queue.get", "multiprocessing.queues", ".get")),
    Cause("queue-full", "thread", frames=("queue.Queue.put",),
          advice=f"{_THREAD}: nobody takes from the full queue that it puts to"),
    Cause("queue-join", "thread", frames=("queue.Queue.join",),
          advice=f"{_THREAD}: somebody has to call task_done() for each item of the queue that it join()s"),
    Cause("executor-shutdown", "thread",
          frames=("concurrent.futures.thread.ThreadPoolExecutor.shutdown",
                  "concurrent.futures.process.ProcessPoolExecutor.shutdown"),
          advice=f"{_THREAD}: the executor that it shuts down has a job that does not end"),
    Cause("pool-result", "thread", frames=("multiprocessing.pool.IMapIterator", "multiprocessing.pool.ApplyResult"),
          advice=f"{_THREAD}: the pool's job whose result it waits for does not end"),
    Cause("future", "thread", frames=("concurrent.futures._base",),
          advice=f"{_THREAD}: the future whose result() it waits for is never done"),
    Cause("barrier", "thread", frames=("threading.Barrier",),
          advice=f"{_THREAD}: abort() the Barrier that it waits at"),
    Cause("event", "thread", frames=("threading.Event.wait", "multiprocessing.Event.wait"),
          advice=f"{_THREAD}: set() the Event that it waits for"),
    Cause("joins-thread", "thread", frames=("threading.Thread.join",),
          advice=f"{_THREAD}: end the thread that it joins first"),
    Cause("semaphore", "thread",
          frames=("threading.Semaphore", "multiprocessing.Semaphore", "multiprocessing.BoundedSemaphore"),
          advice=f"{_THREAD}: nobody calls release() of the Semaphore that it waits for"),
    Cause("condition", "thread", frames=("threading.Condition.wait", "multiprocessing.Condition.wait"),
          advice=f"{_THREAD}: notify_all() the Condition that it waits for"),
    Cause("lock-held", "thread", frames=(HELD,),
          advice=f"{_THREAD}: the thread that holds the Lock has to release it first"),
    Cause("lock", "thread",
          anywhere=(".acquire", ".with", "threading.Condition.__enter__", "threading.Lock", "threading.RLock",
                    "multiprocessing.Lock", "multiprocessing.RLock", "_thread.lock.acquire", "_thread.RLock.acquire"),
          advice=f"{_THREAD}: the Lock that it waits for is not released, so hold it in a with block that ends"),
    Cause("socket-accept", "thread", frames=("socket.socket.accept", ".accept"),
          advice=f"{_THREAD}: shutdown() the listening socket that it accepts from, then close() that"),
    Cause("socket-read", "thread",
          anywhere=(".recv", ".recv_into", ".recvfrom", "socket.socket.recv", "socket.socket.recvmsg", "socket.SocketIO",
                    "ssl.SSLSocket"),
          advice=f"{_THREAD}: shutdown() the socket that it reads from, then close() that"),
    Cause("connection", "thread", frames=("multiprocessing.connection",),
          advice=f"{_THREAD}: close() the other end of the connection that it reads from"),
    Cause("selector", "thread", frames=("selectors", "select"),
          advice=f"{_THREAD}: wake its selector with a byte through a socketpair()"),
    Cause("sleep", "thread", frames=(".sleep", "time.sleep"),
          advice=f"{_THREAD}: it ends at once if it waits for an Event in the place of time.sleep()"),
    Cause("thread-in-init", "thread", flags=(IN_INIT,),
          advice=f"{_THREAD}: __init__ started it, so give the class a method that ends it"),
    Cause("thread", "thread", _THREAD),
    # -- tasks and async generators -------------------------------------------------------------------
    Cause("async-generator", "task", flags=(ASYNC_GENERATOR,),
          advice="aclose() it, or iterate it inside contextlib.aclosing()"),
    Cause("task-cancelled", "task", flags=(CANCELLED,),
          advice="await it after cancel(), before its loop stops: it has not been told yet"),
    Cause("aiohttp-server", "task", anywhere=("aiohttp.web_protocol", "aiohttp.web_runner", "aiohttp.test_utils"),
          advice=_AIOHTTP_SERVER),
    Cause("aiohttp-client", "task", _AIOHTTP_CLIENT, anywhere=("aiohttp",)),
    Cause("websockets-server", "task",
          anywhere=("websockets.asyncio.server", "websockets.legacy.server", "websockets.server"),
          advice=_WS_SERVER),
    Cause("websockets-connection", "task", _WS_CLIENT, anywhere=("websockets",)),
    Cause("uvicorn", "task", _UVICORN, anywhere=("uvicorn",)),
    Cause("hypercorn", "task", anywhere=("hypercorn",),
          advice="set the event whose wait is hypercorn's shutdown_trigger, and await its serve()"),
    Cause("tornado-server", "task", anywhere=("tornado",),
          advice="stop() the tornado HTTPServer and await its close_all_connections()"),
    Cause("redis-asyncio", "task", anywhere=("redis",),
          advice="cancel() it and await it, then await aclose() of its redis PubSub and client"),
    Cause("aiokafka", "task", anywhere=("aiokafka",),
          advice="await stop() of the aiokafka producer or consumer in a cleanup"),
    Cause("psycopg-pool-asyncio", "task", _PSYCOPG, anywhere=("psycopg_pool",)),
    Cause("asyncio-server", "task", _SERVER, frames=("asyncio.base_events.Server",)),
    Cause("stream-handler", "task", creators=("asyncio.streams.StreamReaderProtocol",),
          advice="close the client's connection, or close_clients() of its asyncio server (3.13), "
                 "so that the handler returns"),
    Cause("submitted", "task", flags=(SUBMITTED,),
          advice=f"{_TASK}: cancel() the future that run_coroutine_threadsafe() returned"),
    Cause("task-in-init", "task", flags=(IN_INIT,),
          advice=f"{_TASK}: __init__ started it, so give the class a method that ends it"),
    Cause("task-sleep", "task", _TASK, frames=("asyncio.tasks.sleep",)),
    Cause("as-completed", "task",
          frames=("asyncio.tasks.as_completed", "asyncio.tasks._AsCompletedIterator", "asyncio.as_completed"),
          advice=f"{_TASK}: one of those that it waits for with as_completed() does not end"),
    Cause("anyio-stream", "task", frames=("anyio.streams",),
          advice=f"{_TASK}: close() the other end of the anyio stream that it waits at"),
    Cause("task-queue", "task", frames=("asyncio.queues.Queue.get", "asyncio.Queue.get"),
          advice=f"{_TASK}: it loops on a queue that gets no more items"),
    Cause("task-lock", "task",
          frames=("asyncio.locks.Lock", "asyncio.locks.Semaphore", "asyncio.Lock", "asyncio.Semaphore"),
          advice=f"{_TASK}: the lock that it waits for is not released, so hold it in an async with block that ends"),
    Cause("to-thread", "task", frames=("asyncio.threads.to_thread", "asyncio.to_thread"),
          advice=f"{_TASK}: the job in its thread goes on all the same, so make that end first"),
    Cause("task-executor", "task", frames=("concurrent.futures.Future",),
          advice=f"{_TASK}: a job that an executor has begun goes on all the same, so make that end first"),
    Cause("task-subprocess", "task", frames=("asyncio.subprocess",),
          advice=f"{_TASK}: terminate() the child that it waits for"),
    Cause("task-drain", "task", frames=("asyncio.streams.StreamWriter.drain", "asyncio.StreamWriter.drain"),
          advice=f"{_TASK}: let the other end of the stream read what it writes, or close() its StreamWriter"),
    Cause("task-stream", "task", frames=("asyncio.streams", "asyncio.StreamReader"),
          advice=f"{_TASK}: close() the StreamWriter of the stream that it reads"),
    Cause("task-group", "task", frames=("asyncio.taskgroups",),
          advice=f"{_TASK}: a task of its TaskGroup does not end"),
    Cause("task-unstarted", "task", flags=(UNSTARTED,),
          advice=f"{_TASK}: its loop stopped before it could begin"),
    Cause("task-unheld", "task", flags=(DISCARDED,),
          advice=f"{_TASK}: nobody keeps it, so keep what create_task() returns"),
    Cause("task-queue-join", "task", frames=("asyncio.queues.Queue.join", "asyncio.Queue.join"),
          advice=f"{_TASK}: somebody has to call task_done() for each item of the queue that it join()s"),
    Cause("task-event", "task", frames=("asyncio.locks.Event", "asyncio.Event"),
          advice=f"{_TASK}: nobody set() the Event that it waits for"),
    Cause("task", "task", _TASK),
    # -- child processes ------------------------------------------------------------------------------
    Cause("manager", "process", creators=("multiprocessing.managers",),
          advice="call the multiprocessing manager's shutdown() in a cleanup, or use it in a with block"),
    Cause("pool-worker", "process", _POOL, creators=("multiprocessing.pool",)),
    Cause("process-pool-worker", "process", _PROCESS_EXECUTOR, creators=("concurrent.futures.process",)),
    Cause("asyncio-subprocess", "process", creators=("asyncio",),
          advice="terminate() it and await its wait() in a cleanup"),
    Cause("fork", "process", "let the child end with os._exit() and os.waitpid() for it", names=("os.fork",)),
    Cause("shell", "process", names=("subprocess.Popen",), flags=(SHELL,),
          advice="terminate() it and wait() for it in a cleanup; with shell=True that ends the shell alone"),
    Cause("popen", "process", names=("subprocess.Popen",),
          advice="terminate() it and wait() for it in a cleanup, or use it in a with block"),
    Cause("daemon-process", "process", flags=(DAEMON,),
          advice="terminate() and join() it in a cleanup: a daemon lives until the interpreter exits"),
    Cause("process", "process", "terminate() and join() it in a cleanup"),
    # -- timers and signal handlers of loops ----------------------------------------------------------
    Cause("signal-handler", "timer", "loop.remove_signal_handler() in a cleanup", flags=(SIGNAL_HANDLER,)),
    Cause("aiohttp-timer", "timer", anywhere=("aiohttp.helpers", "aiohttp.connector", "aiohttp.client"),
          advice=_AIOHTTP_CLIENT),
    Cause("apscheduler-timer", "timer", _SCHEDULER, anywhere=("apscheduler",)),
    Cause("tornado-periodic", "timer", anywhere=("tornado",),
          advice="stop() the tornado PeriodicCallback, or remove_timeout() what call_later() returned"),
    Cause("timer", "timer", _TIMER),
    # -- open files -----------------------------------------------------------------------------------
    Cause("event-loop", "file", flags=(EVENT_LOOP,),
          advice="close() the event loop in a cleanup, or use asyncio.run() or asyncio.Runner"),
    Cause("sqlite", "file", flags=(SQLITE,),
          advice="close() the sqlite3 connection: "
                 "its with block does not; dispose() of the engine, if SQLAlchemy made it"),
    Cause("log-file", "file", names=("logging.FileHandler",),
          advice="close() the logging handler in a cleanup, and remove it from its logger"),
    Cause("popen-pipe", "file", names=("subprocess.Popen",),
          advice="use the Popen in a with block, or communicate(): wait() leaves its pipes open"),
    Cause("aiohttp-server-socket", "file", names=("aiohttp.web_server", "aiohttp.web_protocol"),
          advice=_AIOHTTP_SERVER),
    Cause("aiohttp-socket", "file", _AIOHTTP_CLIENT, names=("aiohttp",)),
    Cause("httpx", "file", _HTTPX, names=("httpx", "httpcore")),
    Cause("redis", "file", _REDIS, names=("redis",)),
    Cause("urllib3", "file", names=("urllib3",),
          advice="close() the requests Session or urllib3 pool in a cleanup, or use it in a with block"),
    Cause("http-client", "file", names=("http.client",),
          advice="close() the HTTPConnection, or the response of urlopen(), in a cleanup"),
    Cause("asyncio-server-socket", "file", _SERVER, names=("asyncio.base_events.Server",)),
    Cause("stream-writer", "file", names=("asyncio.streams",),
          advice="close() the StreamWriter and await its wait_closed()"),
    Cause("transport", "file", "close() the asyncio transport in a cleanup", names=("asyncio.transports",)),
    Cause("socketserver-socket", "file", names=("socketserver.BaseServer",),
          advice="call the server's server_close() in a cleanup, or use it in a with block"),
    Cause("file", "file", _CLOSE),
    # -- deaths in the background: what they say is their name; the rest keep the advice of their hook ---------
    Cause("aiohttp-unclosed", "exception", names=("Unclosed client session", "Unclosed connector"),
          advice=_AIOHTTP_CLIENT),
)
# fmt: on
