"""What the runner measures of tests, for key tests and for advice: installed only where one of them is asked for.

`TestGuard`'s own methods stay as they are, and as quick: they are wrapped for as long as a run needs it.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Dict, List, Set, Tuple

from leakguard import _compat, origin
from leakguard.case import TestGuard, class_name
from leakguard.policy import Policy, key_category

__unittest = True

CHECKS = ("is_clean", "_drive")
"""What a guard spends at the end of a test: the look, and for a suspect the careful check with its waiting."""

SAMPLED = 16
"""Up to so many things alive are counted at every birth; above, whenever a sixteenth has been added."""

Creation = Tuple[str, Any, int]
"""Kind, code and instruction of a line that creates something."""


class Course:
    """The run of one test, in numbers."""

    def __init__(self, guard: Any) -> None:
        cls, method = guard.plan.cls, guard.test._testMethodName
        self.cls, self.method, self.class_name, self.module = cls, method, class_name(cls), cls.__module__
        self.policy: Policy = guard.plan.policy
        self.category = key_category(cls, getattr(cls, method, None))
        self.id = str(guard.subject.id)
        self.checked = 0.0
        """Seconds that its guard took: the baseline, the check and the end."""
        self.seconds = 0.0
        """Seconds of the test itself, with its own fixtures and cleanups."""
        self.load = 0
        """The most threads and tasks that were alive at once, beyond those at its begin."""
        self.births: Set[Creation] = set()


class Timing:
    """Measures the tests of one run, from `install` to `remove`; tests that a test runs inside are its own affair."""

    def __init__(self, run_guard: Any) -> None:
        self._run_guard = run_guard
        self._saved: Dict[str, Any] = {}
        self._courses: Dict[Any, Course] = {}
        self.courses: List[Course] = []
        """The tests that have ended, in the order in which they ran."""
        self.fixture_births: Set[Creation] = set()
        """What no test was the owner of, if births are listened to."""

    def install(self) -> None:
        """Begin to measure; the second time does nothing."""
        if not self._saved:
            wraps = {"__init__": self._wrap_begin, "end": self._wrap_end, **dict.fromkeys(CHECKS, self._wrap_check)}
            self._saved = {name: vars(TestGuard).get(name) for name in wraps}
            for name, wrap in wraps.items():
                setattr(TestGuard, name, wrap(getattr(TestGuard, name)))

    def remove(self) -> None:
        """Put the guard's own methods back."""
        for name, method in self._saved.items():
            if method is not None:
                setattr(TestGuard, name, method)
            else:
                delattr(TestGuard, name)  # an inherited one
        self._saved = {}

    def begins(self, course: Course) -> None:
        """A test begins."""

    def ends(self, course: Course) -> None:
        """A test has ended."""

    def course_of(self, guard: Any) -> Any:
        """The course of the test that a guard belongs to, None for a fixture's."""
        while guard is not None and guard not in self._courses:
            guard = getattr(guard, "parent", None)
        return self._courses.get(guard)

    def _wrap_begin(self, init: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(init)
        def begin(guard: Any, test: Any) -> None:
            start = _compat.clock()
            init(guard, test)
            end = _compat.clock()
            if self._is_of_this_run(guard):
                course = self._courses[guard] = Course(guard)
                course.checked, course.seconds = end - start, -_compat.clock()
                self.begins(course)

        return begin

    def _wrap_check(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def check(guard: Any, *args: Any) -> Any:
            start = _compat.clock()
            try:
                return method(guard, *args)
            finally:
                course = self._courses.get(guard)
                if course is not None:
                    taken = _compat.clock() - start
                    course.checked += taken
                    course.seconds -= taken

        return check

    def _wrap_end(self, method: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(method)
        def end(guard: Any, *, is_interrupted: bool) -> None:
            course, start = self._courses.get(guard), _compat.clock()
            if course is not None:
                course.seconds += start
                self.ends(course)
                self.courses.append(course)
                start = _compat.clock()
            try:
                method(guard, is_interrupted=is_interrupted)
            finally:
                if course is not None:
                    course.checked += _compat.clock() - start

        return end

    def _is_of_this_run(self, guard: Any) -> bool:
        parent = guard.parent
        while parent is not None and parent is not self._run_guard:
            if parent.scope in ("test", "block", "run"):
                return False
            parent = parent.parent
        return parent is not None


class Observation(Timing):
    """Measures, and listens to births, so that key tests can be proposed."""

    def __init__(self, run_guard: Any) -> None:
        super().__init__(run_guard)
        self._current: Any = None
        self._at_begin = self._alive = self._new = 0

    def install(self) -> None:
        """Begin to measure and to listen."""
        super().install()
        origin.birth_listeners.append(self._note_birth)

    def remove(self) -> None:
        """Stop both."""
        origin.birth_listeners.remove(self._note_birth)
        super().remove()

    def begins(self, course: Course) -> None:
        """Note what is alive."""
        self._at_begin = self._alive = alive()
        self._new = 0
        self._current = course

    def ends(self, course: Course) -> None:
        """Count once more, whatever was counted at births."""
        self._count(0)
        self._current = None

    def _note_birth(self, kind: str, birth: origin.Birth) -> None:
        """Called from any thread, in the middle of user code: it raises nothing and waits for nothing."""
        course = self.course_of(birth.owner)
        line = creating_line(birth.stack)
        if line is not None:
            (course.births if course is not None else self.fixture_births).add((kind, *line))
        elif kind == "task":
            return  # unittest's own, which runs the test: it is no load
        self._new += 1
        if self._new >= max(1, self._alive // SAMPLED):
            self._count(1 if kind == "thread" else 0)

    def _count(self, starting: int) -> None:
        self._alive, self._new = alive() + starting, 0
        if self._current is not None:
            self._current.load = max(self._current.load, self._alive - self._at_begin)


def alive() -> int:
    """How many threads, and coroutines that a loop was given, have not ended."""
    coroutines = [reference() for reference in list(origin.task_births)]
    running = sum(1 for coroutine in coroutines if getattr(coroutine, "cr_frame", None) is not None)
    return _compat.raw_thread_count() + running


def creating_line(stack: Any) -> Any:
    """Code and instruction of the innermost line that is the user's or a package's; None if there is none."""
    best, best_rank = None, origin.STDLIB
    for code, instruction in stack:
        rank = origin.rank(code.co_filename)
        if rank < best_rank:
            best, best_rank = (code, instruction), rank
    return best
