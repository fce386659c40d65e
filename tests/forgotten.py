"""Threads and tasks that wait for what nobody has any more, and how they are ended all the same.

Nobody may hold what they wait for, or they are not forgotten: they are found again by their ident, and woken through
their own frames.
"""

import _thread
import concurrent.futures
import queue
import sys
import threading

from leakguard.verdict import Thing

POLL = 0.001


def wait_on(thing):
    """The body of a thread: wait for one thing, however that is done."""
    waits = {queue.Queue: "get", queue.SimpleQueue: "get", threading.Condition: "", concurrent.futures.Future: "result"}
    waits.update({threading.Event: "wait", threading.Barrier: "wait"})
    if isinstance(thing, threading.Condition):
        with thing:
            thing.wait()
    else:
        method = getattr(thing, waits.get(type(thing), "acquire"))
        del waits
        method()


def wait_on_event(event):
    """The body of a thread: wait for an event."""
    event.wait()  # waits


def start(thread):
    """Start a thread, wait until it is blocked, and return it as the list of things that is judged."""
    thread.daemon = True
    thread.start()
    things = [Thing("thread", thread)]
    settle(thread.ident)
    return things


def settle(ident):
    """Wait until a thread stands still in the same instruction of the same frame."""
    before, still = None, 0
    while still < 5:
        lock = _thread.allocate_lock()
        lock.acquire()
        lock.acquire(True, POLL)
        top = sys._current_frames().get(ident)
        now = None if top is None else (top, top.f_lasti)
        still = still + 1 if now is not None and now == before else 0
        before = now


def wake(ident):
    """End a forgotten thread: give it what it waits for, as often as it takes."""
    while True:
        frame = sys._current_frames().get(ident)
        thread = threading._active.get(ident)
        if frame is None or thread is None:
            break
        seen = [thread._target] if getattr(thread, "_target", None) else []
        while frame is not None:
            seen += frame.f_locals.values()
            frame = frame.f_back
        for thing in [*seen, *(getattr(one, "__self__", None) for one in seen)]:
            _give(thing)
        del seen, frame
        thread.join(0.01)


def _give(thing):
    gifts = {
        queue.Queue: (lambda: thing.get_nowait() if thing.maxsize else thing.put_nowait(None), lambda: thing.task_done()),
        queue.SimpleQueue: (lambda: thing.put(None),),
        threading.Event: (lambda: thing.set(),),
        threading.Barrier: (lambda: thing.abort(),),
        threading.Semaphore: (lambda: thing.release(),),
        concurrent.futures.Future: (lambda: thing.set_result(None),),
        _thread.LockType: (lambda: thing.release(),),
    }
    for gift in gifts.get(type(thing), ()):
        try:
            gift()
        except Exception:  # it has been given before
            pass
