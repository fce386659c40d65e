"""`leakguard.report.html` and `chart`: the page's parts; tests/integration opens it in a browser."""

import json
import os
import re
import tempfile
import unittest
from html.parser import HTMLParser

from leakguard.model import Leak, LeakReport
from leakguard.record import RunRecord, TestRecord
from leakguard.report import chart, html
from tests import records

LEAK = Leak(
    "thread",
    "reader",
    "alive",
    "m.T.test_a",
    "m.py:3 in f",
    ("m.py:9 in g",),
    "m.py:9 in g",
    "queue.Queue.get",
    "waiting",
    "join() it",
)
HOSTILE = "</script ></script><!--<script a='\"'>&\u202e\x1b\0\ud800 {{js}} \\1 %s"
SHOWN = "</script ></script><!--<script a='\"'>&\\u202e\\x1b\\x00\\ud800 {{js}} \\1 %s"


def run(*leaks, tests=(), **fields):
    """A run of which one check found these leaks."""
    reports = (LeakReport("test", "m.T.test_a", "title", leaks, note="tolerated"),) if leaks else ()
    return RunRecord({"python": "3.13.0"}, tuple(tests), reports, **fields)


def counted(*threads, before=0):
    """A run after whose tests so many threads were alive."""
    tests = tuple(TestRecord(f"test_{n}", live=(count,)) for n, count in enumerate(threads, 1))
    return RunRecord(tests=tests, before=(before,))


class Page(HTMLParser):
    """Parses a page; an element that is not closed in order, or not known, is an error."""

    VOID = {"meta", "link", "input", "wbr", "br", "img"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.data, self.attributes = [], [], {}, []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        where = self.open[-1] if self.open else ""
        self.data[where] = self.data.get(where, "") + data


def embedded(page):
    """Return what the script is given."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


class PageTests(unittest.TestCase):
    maxDiff = None

    def test_the_row_of_a_line(self):
        """What is shown without JavaScript of a line that leaks."""
        [group] = html.grouped(run(LEAK, LEAK._replace(counted=False)))
        self.assertEqual(
            html._row(group),
            '<tr><td class="number">2</td><td><span class="kind thread">thread</span></td><td><details><summary>'
            "<bdi>m.py:3 in f</bdi></summary><dl><dt>names</dt><dd><bdi>reader</bdi></dd><dt>now at</dt><dd><bdi>"
            "m.py:9 in g</bdi></dd><dt>waiting in</dt><dd><bdi>queue.<wbr>Queue.<wbr>get</bdi></dd><dt>fix</dt><dd>"
            "<bdi>join() it</bdi></dd><dt>left by</dt><dd><bdi>m.<wbr>T.<wbr>test_<wbr>a</bdi></dd></dl></details></td>"
            '<td class="number">1</td></tr>',
        )

    def test_the_data(self):
        """What the script is given, with every text once."""
        tests = [
            TestRecord("m.T.test_a", "failed", 0.25, 0.5, (1, 2), "why"),
            TestRecord("m.T.test_b", "passed", details="x"),
        ]
        other = LEAK._replace(owner="m.T", counted=False)
        found = html.data(run(LEAK, other, tests=tests, before=(1,)), html.grouped(run(LEAK, other)))
        texts = ["thread", "reader", "alive", "m.T.test_a", "m.py:3 in f", "m.py:9 in g", "queue.Queue.get", "waiting"]
        texts += ["join() it", "", "m.T", "tolerated", "failed", "why", "m.T.test_b", "passed"]
        self.assertEqual(
            found,
            {
                "leaks": [[0, 1, 2, 3, 4, 5, 6, 7, 8, 5, 9, 1], [0, 1, 2, 10, 4, 5, 6, 7, 8, 5, 11, 0]],
                "groups": [[0, 4, [0, 1]]],
                "tests": [
                    [3, 12, 250.0, 500.0, [1, 2], [0], 13],
                    [14, 15, 0.0, 0.0, [], [], 9],
                    [10, 9, 0.0, 0.0, [], [1], 9],
                ],
                "before": [1],
                "live": ["threads", "tasks", "processes", "files"],
                "texts": texts,
            },
        )

    def test_a_page_is_whole(self):
        """Every element is closed, every script and style is in the page, and nothing points outside of it."""
        page = html.page(records.large(tests=50, leaks=30))
        parsed = Page(page)
        self.assertEqual(parsed.tags.count("script"), 2)
        self.assertEqual([v for k, v in parsed.attributes if k in ("src", "href")], ["data:,", "#leaks"])
        self.assertNotRegex(page, r"https?://(?!www\.w3\.org/2000/svg)")
        self.assertNotIn("{{", page)

    def test_hostile_names(self):
        """Whatever is in a text, it neither ends an element nor begins one, nor is it taken for a part of the page."""
        plain = html.page(
            run(LEAK, tests=[TestRecord("m.T.test_a", live=(1,), details="d")], before=(0,), problems=("p",))
        )
        fields = {name: HOSTILE for name in LEAK._fields if isinstance(getattr(LEAK, name), str)}
        leak = LEAK._replace(**fields, now_at=(HOSTILE,))
        tests = (TestRecord(HOSTILE, HOSTILE, live=(1,), details=HOSTILE),)
        report = LeakReport(HOSTILE, HOSTILE, HOSTILE, (leak,), 0.5, HOSTILE)
        page = html.page(RunRecord({"python": HOSTILE}, tests, (report,), (0,), problems=(HOSTILE,)))
        without_breaks = [[tag for tag in Page(one).tags if tag != "wbr"] for one in (plain, page)]
        self.assertEqual(without_breaks[0], without_breaks[1])
        page.encode("utf-8")
        self.assertEqual(Page(page).data["li"].strip(), SHOWN)
        self.assertEqual(set(embedded(page)["texts"]), {SHOWN, ""})

    def test_data_cannot_end_its_element(self):
        """What begins or ends an element or a comment in HTML is an escape in the data."""
        self.assertEqual(html.embedded(["<!--</script >", "&"]), '["\\u003c!--\\u003c/script \\u003e","\\u0026"]')

    def test_the_first_line(self):
        """The title says what was found."""
        tests = [TestRecord("m.T.test_a"), TestRecord("m.T.test_b")]
        self.assertEqual(html.verdict(run(tests=tests)), "No leaks in 2 tests")
        self.assertEqual(html.verdict(run(LEAK, tests=tests)), "1 leak from 1 line of code, left by 1 of 2 tests")
        self.assertEqual(
            html.verdict(run(LEAK, LEAK._replace(kind="task", owner="m"), tests=tests)),
            "2 leaks from 2 lines of code, left by 1 of 2 tests",
        )

    def test_fixtures_are_no_tests(self):
        """A fixture that failed is not among the tests that ran, nor is a test counted twice that ran again."""
        tests = [TestRecord(name) for name in ("m.T.test_a", "tearDownClass (m.T)", "setUpModule (m)", "m.T.test_a")]
        self.assertEqual(html.verdict(run(tests=tests)), "No leaks in 1 test")

    def test_the_facts(self):
        """How many count and how many do not, what failed, and where it ran."""
        tests = [TestRecord("a", "failed", waited=0.5), TestRecord("b", "error"), TestRecord("c", "skipped")]
        found = html._facts(run(LEAK, LEAK._replace(counted=False), tests=tests, seconds=1234.56))
        self.assertEqual(
            re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", found),
            [
                ("leaks that count", "1"),
                ("known, tolerated or logged", "1"),
                ("failed", "2"),
                ("duration", "1,234.6 s"),
                ("waited for suspects", "0.5 s"),
                ("python", "3.13.0"),
            ],
        )

    def test_what_is_incomplete_and_what_is_fixed(self):
        """Both are said at the top; a run that has neither says nothing of them."""
        self.assertEqual(html._notices(run()), "")
        self.assertEqual(
            html._notices(run(problems=("a < b",), fixed=("c", "d"))),
            '<section class="notice"><h2>Incomplete</h2><ul><li>a &lt; b</li></ul></section>'
            '<section class="notice"><h2>'
            "Fixed: known leaks that no test shows any more</h2><ul><li>c</li><li>d</li></ul></section>",
        )

    def test_failures_do_not_fill_the_page(self):
        """Of each failure the end is kept, and of all of them no more than a browser opens at once."""
        tests = [TestRecord(f"t{n}", "failed", details=f"{n}" * 9000 + "end") for n in range(700)]
        found = embedded(html.page(run(tests=tests)))
        details = [found["texts"][test[-1]] for test in found["tests"]]
        self.assertEqual((len(details[0]), details[0][-3:]), (html.DETAILS, "end"))
        self.assertEqual(sum(map(len, details)), html.ALL_DETAILS)

    def test_a_large_run_is_a_small_page(self):
        """5,000 leaks over 10,000 tests are less than 10 MB."""
        self.assertLess(len(html.page(records.large()).encode()), 10_000_000)

    def test_it_is_written_whole(self):
        """The file is the page, and nothing else is left in its folder."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "r.html")
            html.write(path, run(LEAK))
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), html.page(run(LEAK)))
            self.assertEqual(os.listdir(folder), ["r.html"])


class ChartTests(unittest.TestCase):
    maxDiff = None

    def rises(self, *threads, before=0):
        """Return (number, test) of each rise."""
        [one] = chart.series(counted(*threads, before=before))
        return [(rise.number, rise.test) for rise in one.rises]

    def test_growth_is_what_stays(self):
        """A test after which more were alive to the end is marked, with how many; the greatest first."""
        self.assertEqual(self.rises(0, 1, 1, 6, 7), [(5, "test_4"), (1, "test_2"), (1, "test_5")])

    def test_what_comes_and_goes_is_no_growth(self):
        """What a test or a class starts and ends again marks nothing, however much it is."""
        self.assertEqual(self.rises(50, 0, 3, 3, 0), [])
        self.assertEqual(self.rises(50, 2, 9, 2, 2), [(2, "test_1")])

    def test_the_growth_of_the_seed(self):
        """From 6 to 238 in 39 tests: the rises add up to the growth."""
        levels = [6 + round(232 * n / 39) for n in range(1, 40)]
        rises = self.rises(*levels, before=6)
        self.assertEqual(sum(number for number, _ in rises), 232)

    def test_what_was_not_counted_is_left_out(self):
        """Where a count was too dear the next one stands for the tests since the last."""
        [one] = chart.series(counted(1, -1, -1, 4, before=1))
        self.assertEqual(one.points, [(0, 1), (1, 1), (4, 4)])
        self.assertEqual(one.rises, (chart.Rise(4, 1, 3, "test_4"),))
        self.assertIn("(or one of the 2 tests before it, after which it was not counted)", html._rise(one.rises[0]))

    def test_several_processes(self):
        """Growth is that of one process: another that ends low hides none of it, and what is said is of the one that grew."""
        grows = counted(2, 3, 4, before=1)
        rests = counted(2, 2, before=2)
        both = RunRecord(tests=(*grows.tests, *rests.tests), parts=((0, grows.before), (3, rests.before)))
        [one] = chart.series(both)
        self.assertEqual([(rise.number, rise.test) for rise in one.rises], [(1, "test_1"), (1, "test_2"), (1, "test_3")])
        self.assertEqual(one.lines, [[(0, 1), (1, 2), (2, 3), (3, 4)], [(3, 2), (4, 2), (5, 2)]])
        figure = html._figure(one, 5)
        self.assertIn('<span class="growth">1 \u2192 4 in the process that grew most, of 2</span>', figure)
        self.assertIn("threads alive: 1 before the first test, 4 after the last in the process that grew most, of 2", figure)

    def test_nothing_was_counted(self):
        """A run in which nothing was counted has no chart, and says so."""
        self.assertEqual(chart.series(run(tests=[TestRecord("a"), TestRecord("b", live=(-1, -1, -1, -1))])), [])
        self.assertEqual(
            html._charts(RunRecord()), "<p>What was alive after each test was not counted in this run.</p>"
        )

    def test_a_short_series_stays(self):
        """What fits is drawn as it is."""
        points = [(n, n % 7) for n in range(2 * chart.BUCKETS)]
        self.assertEqual(chart.downsample(points), points)

    def test_no_peak_is_lost(self):
        """Of a long series a few hundred points are drawn; least, greatest and both ends are there."""
        points = [(n, 5) for n in range(10_001)]
        points[3456], points[7890] = (3456, 900), (7890, 0)
        drawn = chart.downsample(points)
        self.assertLessEqual(len(drawn), 2 * chart.BUCKETS + 2)
        self.assertLessEqual({points[0], points[3456], points[7890], points[-1]}, set(drawn))
        self.assertEqual(drawn, sorted(drawn))

    def test_the_drawing(self):
        """The line begins at the level before the first test, and a rise is marked at its test."""
        [one] = chart.series(counted(0, 4, before=0))
        self.assertEqual(
            chart.svg(one, 2),
            '<svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" '
            'aria-label="threads alive: 0 before the first test, 4 after the last, at most 4">'
            '<line class="rise" x1="1000" x2="1000" y1="0" y2="100"/><polygon class="area" '
            'points="0,100 0,96 500,96 1000,4 1000,100"/><polyline class="line" points="0,96 500,96 1000,4"/></svg>',
        )


class VisibleTests(unittest.TestCase):
    def test_nothing_hides(self):
        """Control and direction marks, lone surrogates and separators of lines are shown as escapes."""
        self.assertEqual(
            html.visible("a\u200f\u202e\u2028\x07\ud800b\n\tc"), "a\\u200f\\u202e\\u2028\\x07\\ud800b\n\tc"
        )

    def test_what_can_be_seen_stays(self):
        """Any other text is shown as it is, in any script."""
        text = "na\u00efve \u05d0\u05d1 \u4f60 \U0001f600 <b> &"
        self.assertEqual(html.visible(text), text)


if __name__ == "__main__":
    unittest.main()
