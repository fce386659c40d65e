"""The HTML report of a large run: its size, how long it takes to write, and to load and filter in a real browser."""

import contextlib
import os
import statistics
import tempfile
import time
import unittest
from pathlib import Path

from leakguard.report import html
from tests import browser, records

LOADED = """
const done = arguments[0];
requestAnimationFrame(() => setTimeout(() => done(performance.now())));
"""
"""Milliseconds from the navigation to the first frame after all scripts have run."""

FILTERED = """
const [query, done] = arguments;
const start = performance.now(), search = document.getElementById("query");
search.value = query;
search.dispatchEvent(new Event("input", { bubbles: true }));
requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
"""
"""Milliseconds from what is typed to the frame that shows what is left."""

QUERIES = ("c", "component_1", "component_12.py", "test_behaviour_3333", "worker thread", "no such thing", "")


def page(quick):
    """The HTML report of 5,000 leaks over 10,000 tests."""
    rounds, record = 3 if quick else 11, records.large()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = Path(folder, "leaks.html")
        taken = []
        for _ in range(rounds):
            start = time.perf_counter()
            html.write(os.fspath(path), record)
            taken.append(time.perf_counter() - start)
        rows = [("size of the page", path.stat().st_size / 1e6, "MB"), ("written in", statistics.median(taken), "s")]
        try:
            driver = browser.start(stack.callback)
        except unittest.SkipTest as reason:
            return [*rows, ("loaded in", None, str(reason))]
        loads, filters = [], []
        for _ in range(rounds):
            driver.get(path.as_uri())
            loads.append(driver.execute_async_script(LOADED) / 1e3)
            filters += [driver.execute_async_script(FILTERED, query) / 1e3 for query in QUERIES]
        rows += [("loaded in", statistics.median(loads), "s"), ("loaded in, at most", max(loads), "s")]
        return [*rows, ("filtered in", statistics.median(filters), "s"), ("filtered in, at most", max(filters), "s")]
