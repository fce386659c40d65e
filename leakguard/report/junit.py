"""JUnit XML of the whole run: what Jenkins, GitLab and their like read; leaks are failures of their tests.

Its shape is what the Jenkins schema (junit-10.xsd of the xUnit plugin) and the readers of GitLab and others agree on:
at most one ``skipped``, ``error`` or ``failure`` a test case, since Jenkins shows one only, then ``system-out``.
"""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple
from xml.etree import ElementTree

from leakguard.model import LeakReport
from leakguard.record import RunRecord, TestRecord
from leakguard.report import text
from leakguard.report.files import replace_file

LEAK = "leakguard.LeakError"
UNKNOWN = "what came of it is unknown: its runner did not say"

_FORBIDDEN = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FIXTURE = re.compile(r"(setUpClass|tearDownClass|setUpModule|tearDownModule) \((.*)\)", re.S)
_RUN = "leakguard.the run"
"""The test case of what no test, class or module has made."""


def write(path: str, record: RunRecord) -> None:
    """Write the report, all of it or nothing. Raises OSError if the file cannot be written."""
    root = tree(record)
    ElementTree.indent(root)
    replace_file(path, ['<?xml version="1.0" encoding="UTF-8"?>\n', ElementTree.tostring(root, "unicode"), "\n"])


def tree(record: RunRecord) -> ElementTree.Element:
    """Return the element ``testsuites``, with a ``testsuite`` for each class in the order in which they ended."""
    root = ElementTree.Element("testsuites", name="leakguard")
    suites: Dict[str, List[Case]] = {}
    for case in _cases(record):
        suites.setdefault(case.place()[0], []).append(case)
    for name, cases in suites.items():
        root.append(_suite(name, cases, record))
    for attribute in ("tests", "failures", "errors"):
        root.set(attribute, str(sum(int(suite.get(attribute, "0")) for suite in root)))
    root.set("time", f"{record.seconds:.3f}")
    return root


def _suite(name: str, cases: "List[Case]", record: RunRecord) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=legal(name), tests=str(len(cases)))
    properties = ElementTree.SubElement(suite, "properties")
    for key, value in record.environment.items():
        ElementTree.SubElement(properties, "property", name=legal(key), value=legal(value))
    elements = [case.element() for case in cases]
    suite.extend(elements)
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(1 for element in elements if element.find(tag) is not None)))
    suite.set("time", f"{sum(case.test.seconds for case in cases):.3f}")
    return suite


class Case:
    """One test case of the report: a test with what the checks reported of it, or a fixture, or the run."""

    def __init__(self, test: TestRecord) -> None:
        self.test = test
        self.reports: List[LeakReport] = []

    def place(self) -> Tuple[str, str]:
        """Return the class and the name that readers group by."""
        fixture = _FIXTURE.fullmatch(self.test.id)
        if fixture:
            return fixture[2], fixture[1]
        method, space, parameters = self.test.id.partition(" ")
        owner, _, name = method.rpartition(".")
        return owner or method, name + space + parameters

    def element(self) -> ElementTree.Element:
        """Return the element ``testcase``."""
        owner, name = self.place()
        seconds = f"{self.test.seconds:.3f}"
        element = ElementTree.Element("testcase", classname=legal(owner), name=legal(name), time=seconds)
        leaks = [report for report in self.reports if self._fails(report)]
        output = [_shown(report) for report in self.reports if not self._fails(report)]
        if leaks:
            output = [f"{self.test.outcome}: {self.test.details}"] * self._hides_outcome() + output
            element.append(_problem("failure", LEAK, _headline(leaks), self._leak_text(leaks)))
        else:
            _add_outcome(element, self.test)
        if output:
            ElementTree.SubElement(element, "system-out").text = legal("\n\n".join(output))
        return element

    def _fails(self, report: LeakReport) -> bool:
        """Whether a report is this case's failure: it counts, and the test has not failed for a reason of its own."""
        if report.scope == "block" or report.note.startswith("logged: what was there before"):
            return False  # a block raises into the test that has it; what an earlier run of the test made is not new
        if not any(leak.counted for leak in report.leaks):
            return False
        return not (self.test.outcome in _BAD and self._has_own_failure(report))

    def _has_own_failure(self, report: LeakReport) -> bool:
        return bool(report.note) or bool(self.test.details and "LeakError" not in self.test.details)

    def _hides_outcome(self) -> bool:
        return self.test.outcome in ("skipped", "expected failure")

    def _leak_text(self, leaks: List[LeakReport]) -> str:
        if "LeakError" in self.test.details and self.test.outcome in _BAD:
            return self.test.details
        return "\n\n".join(map(_message, leaks))


_BAD = ("failed", "error", "unexpected success")


def _cases(record: RunRecord) -> List[Case]:
    """The tests in their order, then what else has leaked: classes, modules, and the run."""
    cases = [Case(test) for test in record.tests]
    by_id: Dict[str, Case] = {}
    for case in cases:
        if case.test.id not in by_id or case.test.outcome in _BAD:
            by_id[case.test.id] = case  # of a test that ran again, the one that failed
    for report in record.reports:
        if report.leaks:
            name = _case_id(report)
            if name not in by_id:
                by_id[name] = Case(TestRecord(name, ""))
                cases.append(by_id[name])
            by_id[name].reports.append(report)
    return cases


def _case_id(report: LeakReport) -> str:
    if report.scope == "run" or report.note.startswith("logged: nobody"):
        return _RUN
    if report.scope in ("class", "module"):
        return f"tearDown{report.scope.title()} ({report.owner})"
    return f"leakguard.blocks.{report.owner}" if report.scope == "block" else report.owner


def _message(report: LeakReport) -> str:
    return text.message(report.title, report.leaks, report.waited, report.owner)


def _headline(reports: List[LeakReport]) -> str:
    return "; ".join(_message(report).partition("\n")[0] for report in reports)


def _shown(report: LeakReport) -> str:
    return _message(report) + (f"\n({report.note})" if report.note else "")


def _add_outcome(element: ElementTree.Element, test: TestRecord) -> None:
    if test.outcome in ("skipped", "expected failure"):
        reason = test.details if test.outcome == "skipped" else "expected failure"
        skipped = ElementTree.SubElement(element, "skipped", message=legal(reason))
        skipped.text = legal(test.details)
    elif test.outcome == "unknown":
        ElementTree.SubElement(element, "skipped", message=UNKNOWN)
    elif test.outcome == "unexpected success":
        element.append(_problem("failure", "unexpected success", "unexpected success", test.details))
    elif test.outcome in _BAD:
        kind, message = _exception(test.details) or (test.outcome, test.details.partition("\n")[0])
        element.append(_problem("error" if test.outcome == "error" else "failure", kind, message, test.details))


def _problem(tag: str, kind: str, message: str, details: str) -> ElementTree.Element:
    problem = ElementTree.Element(tag, type=legal(kind), message=legal(message))
    problem.text = legal(details)
    return problem


def _exception(details: str) -> Optional[Tuple[str, str]]:
    """The type and the message of the last exception of a traceback: the first line behind its last frame's."""
    frames = list(re.finditer(r"^  File .*\n(?:    .*\n|\n)*", details, re.M))
    if not frames:
        return None
    kind, _, message = details[frames[-1].end() :].partition("\n")[0].partition(": ")
    return (kind, message) if kind else None


def legal(text: str) -> str:
    r"""Return a text without the characters that XML 1.0 forbids: each becomes its escape, ``\x1b``."""
    return _FORBIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text.replace("\r\n", "\n"))
