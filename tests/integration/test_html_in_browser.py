"""The HTML report in a real browser, used as people use it: by keyboard, by mouse, on a phone, in the dark."""

import os
import tempfile
import unittest
from pathlib import Path

from leakguard.model import Leak, LeakReport
from leakguard.record import RunRecord, TestRecord
from leakguard.report import html
from tests import browser, records

HOSTILE = (
    "</script ></script><!--<script><script>window.harmed = 1</script><img src=x onerror='window.harmed = 2'>"
    "\"'&\u202eevil\x1b[31m\0 %s {{js}}"
)

CONTRAST = """
const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = (rgb) => { const [r, g, b] = rgb.match(/[\\d.]+/g).map(Number);
  return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b); };
const behind = (e) => { while (e && getComputedStyle(e).backgroundColor === "rgba(0, 0, 0, 0)") e = e.parentElement;
  return getComputedStyle(e).backgroundColor; };
return [...document.querySelectorAll("h1, h2, p, dt, dd, figcaption *, .rises *, th button, td *, label, button")]
  .filter((e) => e.textContent.trim() && e.getClientRects().length)
  .map((e) => [light(getComputedStyle(e).color), light(behind(e)),
    e.tagName + "." + e.className + ": " + e.textContent])
  .map(([a, b, what]) => [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), what])
  .filter(([ratio]) => ratio < 4.5);
"""
"""Texts whose contrast is below what WCAG 2.1 asks for (level AA, 1.4.3)."""


class BrowserTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.driver = browser.start(cls.addClassCleanup)

    def setUp(self):
        self.emulate("setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
        self.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
        self.emulate("setScriptExecutionDisabled", value=False)

    def tearDown(self):
        self.assertEqual(self.driver.get_log("browser"), [], "the console must stay empty")

    def emulate(self, command, **arguments):
        """Send a command of the DevTools' domain Emulation."""
        self.driver.execute_cdp_cmd(f"Emulation.{command}", arguments)

    def open(self, record):
        """Write the report of a record, and open it as a file."""
        path = Path(self.folder, "report.html")
        html.write(os.fspath(path), record)
        self.driver.get(path.as_uri())

    def js(self, script, *arguments):
        """Run a script in the page, return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def one(self, selector):
        """Return the first element of a selector."""
        return self.driver.find_element("css selector", selector)

    def column(self, table, number):
        """Return the texts of a column's cells."""
        return self.js(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)",
            f"#{table} tbody tr td:nth-child({number})",
        )

    def press(self, *keys):
        """Type into whatever has the focus."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def settle(self):
        """Wait until the page has done what it was told: events like ``toggle`` come a little later."""
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")

    @property
    def keys(self):
        """The names of keys."""
        from selenium.webdriver.common.keys import Keys

        return Keys

    def focused(self):
        """Say what has the focus: its id, else its text."""
        return self.js("const e = document.activeElement; return e.id || e.textContent.trim() || e.value || e.tagName")

    # -- what is shown -----------------------------------------------------------------------------

    def test_it_renders(self):
        """The page says what was found, shows a line for each that leaks, most frequent first, and four charts."""
        self.open(records.large(tests=60, leaks=25, lines=8, seed=4))
        self.assertEqual(self.one("h1").text, "25 leaks from 5 lines of code, left by 17 of 60 tests")
        self.assertEqual(self.column("groups", 1), ["10", "9", "3", "2", "1"])
        self.assertEqual(self.column("groups", 2), ["thread", "file", "process", "thread", "task"])
        self.assertEqual(self.one("#status").text, "5 of 5 lines, 25 of 25 leaks")
        drawn = self.js(
            "return [...document.querySelectorAll('svg')].map((e) => e.getBoundingClientRect().height > 50)"
        )
        self.assertEqual(drawn, [True] * 4)
        self.assertEqual(len(self.column("testtable", 1)), 17)

    def test_it_asks_the_network_for_nothing(self):
        """Nothing is loaded beside the file itself."""
        self.open(records.large(tests=10, leaks=5))
        self.assertEqual(self.js("return performance.getEntriesByType('resource').map((e) => e.name)"), [])

    def test_an_empty_run(self):
        """A run without tests or leaks says so, and is no error."""
        self.open(RunRecord())
        self.assertEqual(self.one("h1").text, "No leaks in 0 tests")
        self.assertEqual(self.column("groups", 1), ["Nothing was left running."])

    def test_a_clean_run(self):
        """Where nothing leaked all tests are shown, and no switch that would do nothing."""
        self.open(records.large(tests=7, leaks=0))
        self.assertEqual(self.one("h1").text, "No leaks in 7 tests")
        self.assertEqual(self.column("testtable", 1), ["1", "2", "3", "4", "5", "6", "7"])
        self.assertFalse(self.one("#kinds").is_displayed() or self.one("#counted").is_displayed())

    def test_names_stay_text(self):
        """A name that holds markup, scripts, direction marks or control characters is shown, and does nothing."""
        leak = Leak("thread", HOSTILE, HOSTILE, HOSTILE, HOSTILE, (HOSTILE,), HOSTILE, HOSTILE, HOSTILE, HOSTILE)
        other = leak._replace(kind=HOSTILE, origin=None)
        report = LeakReport("test", HOSTILE, HOSTILE, (leak, other), note=HOSTILE)
        tests = tuple(TestRecord(HOSTILE, HOSTILE, live=(n, n, n, n), details=HOSTILE) for n in range(3))
        self.open(RunRecord({"python": HOSTILE}, tests, (report,), (0, 0, 0, 0), 1.0, (HOSTILE,), (HOSTILE,)))
        for summary in self.driver.find_elements("css selector", "summary"):
            summary.click()
        self.settle()
        shown = html.visible(HOSTILE)
        self.assertIn("\\u202eevil\\x1b[31m\\x00", shown)
        self.assertEqual(self.js("return window.harmed || 0"), 0)
        self.assertEqual(len(self.driver.find_elements("css selector", "img")), 0)
        lines = [line.partition("not counted")[0].partition("names")[0] for line in self.column("groups", 3)]
        self.assertEqual(lines, [f"unknown ({shown})", shown])
        self.assertEqual(self.one(".notice li").text, shown)
        self.assertEqual(self.one("#testtable summary").text, shown)

    def test_without_javascript_it_is_a_summary(self):
        """With scripts switched off there are the lines that leak, their details, and no dead control."""
        self.emulate("setScriptExecutionDisabled", value=True)
        self.open(records.large(tests=600, leaks=300, lines=200, seed=2))
        self.assertEqual(len(self.driver.find_elements("css selector", "#groups tbody tr")), html.STATIC_ROWS)
        self.one("#groups summary").click()
        self.assertIn("fix", self.one("#groups details").text)
        self.assertIn("with JavaScript this page shows them", self.one(".static").text)
        for control in self.driver.find_elements("css selector", "button, input, select"):
            self.assertFalse(control.is_displayed(), control.get_attribute("outerHTML"))

    # -- filter and sort ---------------------------------------------------------------------------

    def test_typing_filters_both_tables(self):
        """What is typed narrows lines and tests, word by word, whatever its case; all is back when it is cleared."""
        self.open(records.large(tests=60, leaks=25, lines=8, seed=4))
        search = self.one("#query")
        search.send_keys("COMPONENT_8.py file")
        self.assertEqual(self.column("groups", 3), ["service/part_8/component_8.py:28 in Component8.start"])
        self.assertEqual(self.one("#status").text, "1 of 5 lines, 9 of 25 leaks")
        self.assertEqual(self.one("#tests-status").text, "9 of 60 rows")
        search.send_keys(" no such thing")
        self.assertEqual(self.column("groups", 1), ["Nothing matches."])
        search.send_keys(self.keys.CONTROL, "a", self.keys.BACKSPACE)
        self.assertEqual(self.one("#status").text, "5 of 5 lines, 25 of 25 leaks")

    def test_kinds_and_counted_filter(self):
        """A kind that is switched off is gone; so is what does not count."""
        self.open(records.large(tests=200, leaks=100, lines=60, seed=3))
        self.one("#counted").click()
        self.assertNotIn("not counted", "".join(self.column("groups", 3)))
        self.one("#kinds input[value=thread]").click()
        self.assertNotIn("thread", self.column("groups", 2))
        self.assertIn("task", self.column("groups", 2))

    def test_mouse_sorts(self):
        """A click on a heading sorts by it, a second one the other way round; the heading says which."""
        self.open(records.large(tests=60, leaks=25, lines=8, seed=4))
        head = self.one("#groups th[data-sort=kind]")
        for direction, order in (("ascending", 1), ("descending", -1)):
            head.find_element("css selector", "button").click()
            kinds = self.column("groups", 2)
            self.assertEqual(kinds, sorted(kinds)[::order])
            self.assertEqual(head.get_attribute("aria-sort"), direction)
        self.assertEqual(len(self.driver.find_elements("css selector", "#groups [aria-sort]")), 1)

    def test_tests_can_be_chosen(self):
        """All tests, or those that failed or waited, are shown when asked for."""
        self.open(records.large(tests=60, leaks=25, lines=8, seed=4))
        for choice, rows in (("all", 50), ("failed", 17), ("waited", 17)):
            self.one(f"#which option[value={choice}]").click()
            self.assertEqual(len(self.column("testtable", 1)), rows)

    def test_a_link_leads_to_its_test_alone(self):
        """Not to another one whose name begins alike; what is looked for next is looked for among all."""
        leak = Leak("thread", "left", "alive", "m.T.test_1", "a.py:1 in f")
        leaks = [leak, *[leak._replace(owner="m.T.test_10")] * 2]
        reports = tuple(LeakReport("test", one.owner, "t", (one,)) for one in leaks)
        self.open(RunRecord(tests=(TestRecord("m.T.test_1", "failed"), TestRecord("m.T.test_10", "failed")), reports=reports))
        self.one("#groups summary").click()
        self.settle()
        self.one("#groups .find").click()
        self.assertEqual(self.column("testtable", 2), ["m.T.test_1"])
        self.one("#which option[value=failed]").click()
        self.assertEqual(len(self.column("testtable", 2)), 2)

    def test_rows_come_as_they_are_asked_for(self):
        """Fifty rows at a time are made; the button says how many are left, and goes with the last."""
        self.open(records.large(tests=600, leaks=300, lines=200, seed=2))
        more, total = self.one("#more-tests"), int(self.one("#tests-status").text.split()[0])
        shown = 50
        while more.is_displayed():
            self.assertEqual(len(self.column("testtable", 1)), shown)
            self.assertEqual(
                more.text, f"Show {min(50, total - shown)} more of {total - shown} tests".replace("1 tests", "1 test")
            )
            more.click()
            shown = min(shown + 50, total)
        self.assertEqual(len(self.column("testtable", 1)), total)
        self.assertEqual(self.js("return document.activeElement.tagName"), "SUMMARY")

    # -- by keyboard alone -------------------------------------------------------------------------

    def test_keyboard_reaches_everything(self):
        """Tab goes through the page in the order of reading, and every stop shows that it has the focus."""
        self.open(records.large(tests=60, leaks=25, lines=8, seed=4))
        stops = []
        for _ in range(40):
            self.press(self.keys.TAB)
            stops.append(self.focused())
            self.assertNotEqual(
                self.js("return getComputedStyle(document.activeElement).outlineStyle"), "none", stops[-1]
            )
        wanted = ["Skip to the leaks", "position", "query", "file", "counted", "Leaks", "Kind", "Created at", "Tests"]
        wanted += ["service/part_1/component_1.py:21 in Component1.start", "which", "No.", "Test", "Leaks"]
        self.assertEqual([stop for stop in stops if stop in wanted], wanted)

    def test_keyboard_sorts_and_opens(self):
        """Enter and Space on a heading sort; Enter on a line opens it; what it names leads to the test."""
        self.open(records.large(tests=60, leaks=25, lines=8, seed=4))
        self.js("document.querySelector('#groups th[data-sort=leaks] button').focus()")
        self.press(self.keys.ENTER)
        self.assertEqual(self.column("groups", 1), ["1", "2", "3", "9", "10"])
        self.press(self.keys.SPACE)
        self.assertEqual(self.column("groups", 1), ["10", "9", "3", "2", "1"])
        self.press(self.keys.TAB, self.keys.TAB, self.keys.TAB, self.keys.TAB, self.keys.ENTER)
        self.settle()
        self.assertIn("stop the thread's loop and join() it in a cleanup", self.one("#groups details[open]").text)
        self.press(self.keys.TAB, self.keys.TAB)  # the whole stack, then the first test
        test = self.focused()
        self.press(self.keys.ENTER)
        self.assertEqual(self.one("#query").get_attribute("value"), test)
        self.assertEqual(self.column("testtable", 2), [test])
        self.assertEqual(self.focused(), test)

    def test_keyboard_looks_at_one_test(self):
        """The slider goes from test to test, and says what was alive after each."""
        self.open(records.large(tests=60, leaks=25, lines=8, seed=4))
        self.assertEqual(self.one("#readout").text, "threads 2, tasks 0, processes 0, files 9 before the first test")
        self.js("document.getElementById('position').focus()")
        self.press(self.keys.END)
        test = "tests.area_19.test_module_59.Case59Tests.test_behaviour_59"
        last = f"threads 14, tasks 1, processes 0, files 12 after {test}"
        self.assertEqual(self.one("#readout").text, last)
        self.assertEqual(self.one("#position").get_attribute("aria-valuetext"), last)

    def test_every_control_has_a_name(self):
        """What a screen reader is told of every control and drawing is not empty."""
        self.open(records.large(tests=60, leaks=25, lines=8, seed=4))
        for control in self.driver.find_elements("css selector", "button, input, select, svg, summary, table"):
            if control.is_displayed():
                self.assertTrue(control.accessible_name.strip(), control.get_attribute("outerHTML"))

    # -- light, dark, phone ------------------------------------------------------------------------

    def test_both_colour_schemes_can_be_read(self):
        """The page follows the system's scheme, and every text has the contrast that WCAG asks for in both."""
        self.open(records.large(tests=60, leaks=25, lines=8, seed=4))
        self.one("#groups summary").click()
        self.settle()
        papers = []
        for scheme in ("light", "dark"):
            self.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            papers.append(self.js("return getComputedStyle(document.body).backgroundColor"))
            self.assertEqual(self.js(CONTRAST), [], scheme)
        self.assertEqual(papers, ["rgb(251, 251, 250)", "rgb(20, 23, 26)"])

    def test_it_fits_a_phone(self):
        """At 360 pixels nothing has to be scrolled sideways, with long names and opened rows too."""
        self.emulate("setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
        record = records.large(tests=60, leaks=25, lines=8, seed=4)
        long = Leak("thread", "n" * 120, "alive", "o" * 300, "p" * 300, ("s" * 300,), "q" * 300)
        self.open(record._replace(reports=(*record.reports, LeakReport("test", "o" * 300, "t", (long,)))))
        self.js("for (const one of document.querySelectorAll('details')) one.open = true")
        self.settle()
        self.assertEqual(self.js("return [innerWidth, document.documentElement.scrollWidth]"), [360, 360])
        cells = (
            "return [...document.querySelectorAll('td, th, svg')].every((e) => e.getBoundingClientRect().right <= 360)"
        )
        self.assertTrue(self.js(cells))


if __name__ == "__main__":
    unittest.main()
