"""One careful check of a guard's course: look, settle, describe, isolate, report.

Taken only when a clean look has seen something new. A check is a generator: at each step its driver lets the
test's own loop turn, or awaits a turn of the loop that it runs in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Generator, List, NamedTuple, Optional, Sequence, Set, Tuple

from leakguard import _compat, exit, known, origin
from leakguard.fingerprint import fingerprint
from leakguard.ignore import BUILT_IN, Rule, find_rule
from leakguard.model import ENDED_LATE, IGNORES_CANCELLATION, UNATTRIBUTED, Leak, LeakError, LeakReport, printable
from leakguard.notices import log, warn
from leakguard.probes.protocol import Probe

if TYPE_CHECKING:
    from leakguard.verdict import Thing

__unittest = True

MIN_ATTEMPTS = 12
"""Rounds of waiting that a suspect gets however loaded the machine is."""

COLLECT_AFTER = 0.1
"""The part of the grace after which garbage is collected once, for what only a reference cycle keeps alive."""

IMMEDIATE_TURNS = 8
"""Turns of the test's own loop before the first real sleep."""

LONGEST_PAUSE = 0.01
"""Seconds between two turns of the test's own loop, at most."""

SUCCESSIONS = 3
"""Times that a leak is described anew because another one has taken its place meanwhile."""

SAY_AFTER = 1.0
"""Seconds of waiting after which a check says what it waits for."""

_NEVER = float("inf")

Steps = Generator[None, None, Any]


class Suspect(NamedTuple):
    """One live thing, the probe that knows it and the guard that owns it."""

    probe: Probe
    thing: Any
    owner: Any


class Finding(NamedTuple):
    """A suspect as plain data: `same` tells whether a thing is the one that was described, without keeping it."""

    probe: Probe
    same: Callable[[Any], bool]
    leak: Leak


class Check:
    """A careful check of one guard; a guard makes as many as it needs."""

    def __init__(self, guard: Any, is_exempt: Callable[[Any], bool] = lambda thing: False) -> None:
        self.guard = guard
        self.is_exempt = is_exempt
        self.waited = 0.0
        self.broken: Dict[str, str] = {}
        self.matched: Dict[Tuple[str, str], None] = {}
        self.neighbours: Set[str] = set()
        """Owners that are over and no part of this course: what they left is reported here, and fails nobody here."""
        self.failed_owners: Set[str] = set()
        """Owners within this course that have failed for a leak: what that leak starts later fails nobody again."""
        self.ended_late: List[Leak] = []
        self._on_record: Set[str] = set()
        """Fingerprints of what narrower guards have reported of what they own."""
        self._judged: Dict[int, Tuple[Callable[[Any], bool], Optional[bool]]] = {}
        self._here = _compat.running_loop()

    def verdict(self, has_failed: Callable[[], bool]) -> Steps:
        """Settle, describe, isolate, report; return the error to raise, if any."""
        findings = yield from self._find()
        self.guard.waited = self.waited
        for note_wait in wait_listeners:
            note_wait((str(self.guard.subject.id), self.waited))
        error = None
        try:
            yield from self._isolate(findings)  # before the report: only now is it seen who ignores cancellation
        finally:
            new = self._new(findings)
            if new or self.matched or self.ended_late:
                report, error = self._report([finding.leak for finding in new], has_failed)
                self.guard.leaks, self.guard.error = report.leaks, str(error or "")
                if any(leak.blocks_exit for leak in report.leaks):
                    exit.announce_at_exit()
                for listener in list(listeners):
                    listener(report)
        return error

    def interim(self) -> Steps:
        """Settle and describe as the verdict would, but put nothing on record and isolate nothing."""
        findings = yield from self._find()
        table = known.in_force()
        leaks = known.mark([finding.leak for finding in findings], table)
        new = tuple(leak for leak in leaks if not leak.known)
        return LeakError(self._message(new, known.remarks(leaks, table)), new) if new else None

    def _new(self, findings: Sequence[Finding]) -> List[Finding]:
        """Leave out what its own test has reported already, and what has only renewed itself since."""
        own = str(self.guard.subject.id)
        return [one for one in findings if one.leak.owner == own or one.leak.fingerprint not in self._on_record]

    # -- look and settle ----------------------------------------------------------------------------

    def _find(self) -> Steps:
        """Return what outlives the grace and one collection, described while it was still alive."""
        start = _compat.clock()
        is_settled = yield from self._settle(start)
        self.waited = _compat.clock() - start
        suspects = [] if is_settled else self._look()
        findings = [self._describe(suspect) for suspect in suspects]
        if findings:
            if any(suspect.probe.may_end(suspect.thing) for suspect in suspects):
                held = _pending_work(suspects)
                del suspects
                _compat.collect()  # no other suspect is referred to here, so what only a cycle keeps alive goes
                del held
            findings, things = self._sort_out(findings)
            self._judge(findings, things)
            del things
        return findings

    def _sort_out(self, findings: List[Finding]) -> Tuple[List[Finding], List[Thing]]:
        """Return the findings that are there still, and each one's thing; note those that have ended late.

        Where none is, what has ended may have left another one of the same line: a timer that starts the next one, for ever.
        """
        from leakguard.verdict import Thing  # 2 ms, which only a leak pays

        for _ in range(SUCCESSIONS + 1):
            left = self._look()  # once, not once a finding: a thousand leaks would be looked at a thousand times
            kept: List[Tuple[Finding, Suspect]] = []
            ended: List[Finding] = []
            for finding in findings:
                same = [s for s in left if s.probe is finding.probe and finding.same(s.thing)]
                kept += [(finding, same[0])] if same else []
                ended += [] if same else [finding]
            following = _successors(ended, left) if not kept else []
            self.ended_late += [one.leak._replace(verdict=ENDED_LATE, counted=False) for one in ended if not following]
            kept += [(self._describe(suspect), suspect) for suspect in following]
            findings = [finding for finding, _ in kept]
            if not following:
                break
        return findings, [Thing(s.probe.choice or s.probe.kind, s.thing) for _, s in kept]

    def _judge(self, findings: List[Finding], things: List[Thing]) -> None:
        """Enter the verdicts into findings. No variable of a caller's may refer to a thing but for the list of them."""
        from leakguard import verdict

        measured = [finding.leak.verdict for finding in findings]
        sames = [*(finding.same for finding in findings), *(same for same, _ in self._judged.values())]
        try:
            verdicts = verdict.judge(things, measured=measured, sames=sames, may_prove=self.guard.policy.verdicts)
        except Exception as error:  # a thing may be of any class: its leak is certain, only the verdict is not
            log("WARNING", f"leakguard: no verdicts: {type(error).__name__}: {printable(error)}")
            return
        for number, (name, cancels) in enumerate(verdicts):
            leak = findings[number].leak._replace(verdict=name, cancels=cancels)
            findings[number] = findings[number]._replace(leak=leak)

    def _settle(self, start: float) -> Steps:
        """Wait until no suspect is left (True) or the grace is over (False); each round looks anew."""
        grace = self.guard.policy.grace
        collect_at, deadline = start + grace * COLLECT_AFTER, start + grace
        say_at = start + SAY_AFTER if grace > SAY_AFTER and watchers else _NEVER
        collected = grace == 0
        attempt = 0
        while True:
            suspects = self._look()
            now = _compat.clock()
            if not suspects:
                return True
            if grace == 0 or (now >= deadline and attempt >= MIN_ATTEMPTS) or self._are_halted(suspects):
                return False
            if not any(suspect.probe.may_end(suspect.thing) for suspect in suspects):
                return False
            if not collected and now >= collect_at:
                collected = True
                held = _pending_work(suspects)
                del suspects
                _compat.collect()
                del held
                continue
            if now >= say_at:
                say_at = _NEVER
                self._say_waiting(suspects)
            attempt += 1
            self._wait(suspects, attempt, min(deadline if collected else collect_at, say_at) - now)
            del suspects
            yield

    def _say_waiting(self, suspects: Sequence[Suspect]) -> None:
        """Tell the watchers once what is waited for, and for whom."""
        probe, thing, _ = suspects[0]
        try:
            name = probe.names(thing)[0]
        except Exception as error:  # it may have ended meanwhile, or be broken: the wait goes on all the same
            self._note_broken(probe, error)
            return
        more = f" and {len(suspects) - 1} more" if len(suspects) > 1 else ""
        whom = f"{self.guard.subject.id} (up to {self.guard.policy.grace:g} s)"
        for watcher in list(watchers):
            watcher(f"leakguard: waiting for {probe.kind} {name!r}{more} of {whom}")

    def _are_halted(self, suspects: Sequence[Suspect]) -> bool:
        """Whether all suspects live on loops that cannot turn while this check waits.

        That is the one which this check runs inside of, and without another thread one that has stopped.
        """
        if self.guard.loop is not None:
            return False
        loops = [suspect.probe.loop_of(suspect.thing) for suspect in suspects]
        if self._here is not None:
            return all(loop is self._here for loop in loops)
        return all(loop is not None and not loop.is_running() for loop in loops) and _compat.is_only_thread()

    def _wait(self, suspects: Sequence[Suspect], attempt: int, left: float) -> None:
        probe = next((s.probe for s in suspects if s.probe.kind == "thread"), suspects[0].probe)
        if self.guard.loop is not None:  # it must turn often: it may be what the suspect waits for
            turns = attempt - IMMEDIATE_TURNS
            left = min(LONGEST_PAUSE, 0.00005 * 2 ** min(turns, 10)) if turns > 0 else 0.0
        elif left <= 0:  # past the deadline, but short of attempts
            left = 0.001
        elif any(suspect.probe is not probe for suspect in suspects):
            left = min(left, LONGEST_PAUSE)
        if left > 0:
            try:
                probe.settle([s.thing for s in suspects if s.probe is probe], left)
            except Exception as error:  # a broken probe must not take the run along
                self._note_broken(probe, error)
                _compat.pause(LONGEST_PAUSE)

    def _look(self) -> List[Suspect]:
        """Return what is new, alive, ours and not ignored."""
        suspects = []
        for probe, baseline in self.guard.baselines():
            try:
                for thing in probe.suspects(baseline):
                    if self._is_ours(probe, thing):
                        suspects.append(Suspect(probe, thing, probe.owner(thing)))
            except Exception as error:  # a probe that breaks is reported, and hides no other kind
                self._note_broken(probe, error)
        return suspects

    def _is_ours(self, probe: Probe, thing: Any) -> bool:
        """Whether a thing counts here; decided once, as a thousand suspects are looked at in each round."""
        same, is_ours = self._judged.get(id(thing), (_nothing, None))
        if is_ours is None or not same(thing):
            owner = probe.owner(thing)
            is_ours = (
                not self.is_exempt(thing)
                and self._answers_for(probe, thing, owner)
                and not self._is_ignored(probe, thing, owner)
            )
            if owner is None or owner is self.guard:  # another guard may end while this one waits
                self._judged[id(thing)] = (probe.identity(thing), is_ours)
        return is_ours

    def _answers_for(self, probe: Probe, thing: Any, owner: Any) -> bool:
        """Whether a new thing is for this guard to judge: its own, or one that no narrower guard will.

        A thing whose owner's course is over is left to the guard around both; one that no guard created is left
        to the outermost guard, which reports it as unattributed.
        """
        guard = self.guard
        if owner is guard:
            return True
        if owner is None:
            own_loop = guard.loop is not None and probe.loop_of(thing) is guard.loop
            return own_loop or guard.is_outermost() or not (guard.shared or probe.is_noted(thing))
        if not owner.is_over() or not (guard.is_outermost() or owner.is_within(guard)):
            return False
        return probe in _accountable(owner).probes  # what its own policy leaves out is no wider guard's leak

    def _is_ignored(self, probe: Probe, thing: Any, owner: Any) -> bool:
        name, aliases = probe.names(thing)
        own = owner.policy.ignore if owner is not None and owner is not self.guard else ()
        rules = (*BUILT_IN, *self.guard.policy.ignore, *own)
        rule = find_rule(rules, probe.kind, name, aliases, lambda: probe.origin(thing))
        if rule is not None and not rule.built_in:
            self.matched[str(rule), name] = None
        return rule is not None

    # -- describe, report, isolate ------------------------------------------------------------------

    def _describe(self, suspect: Suspect) -> Finding:
        probe, thing, _ = suspect
        try:
            leak = probe.describe(thing)
            leak = leak._replace(owner=self._owner_id(suspect))
            body = _compat.lambda_text(probe.code(thing))
            mark = leak.fingerprint or fingerprint(
                leak.kind, leak.name, leak.origin, leak.place, leak.aliases, leak.owner, body
            )
            leak = leak._replace(fingerprint=mark)
        except Exception as error:  # a broken __repr__, a thing that died meanwhile: the leak must not be lost
            what = printable(f"could not be described: {type(error).__name__}: {printable(error)}")
            leak = Leak(kind=probe.kind, name="?", state=what, owner=self._owner_id(suspect))
        return Finding(probe, probe.identity(thing), leak)

    def _owner_id(self, suspect: Suspect) -> str:
        guard, (probe, thing, owner) = self.guard, suspect
        if owner is not None:
            if not owner.is_within(guard) and owner.subject.id != guard.subject.id:  # an earlier run of the same test
                self.neighbours.add(str(owner.subject.id))
            elif owner is not guard and any(leak.counted for leak in owner.leaks) and (owner.error or owner.scope != "block"):
                self._on_record.update(leak.fingerprint for leak in owner.leaks if leak.fingerprint)
                self.failed_owners.add(str(owner.subject.id))
            return str(owner.subject.id)
        if guard.loop is not None and probe.loop_of(thing) is guard.loop:
            return str(guard.subject.id)
        return UNATTRIBUTED if guard.scope == "run" or guard.shared or probe.is_noted(thing) else str(guard.subject.id)

    def _report(
        self, leaks: Sequence[Leak], has_failed: Callable[[], bool]
    ) -> Tuple[LeakReport, Optional[LeakError]]:
        """Return what goes on record, and the error to raise; what is not raised is logged."""
        table = known.in_force()
        leaks = known.mark(leaks, table)
        new = [leak for leak in leaks if not leak.known]
        note, is_counted = self._reason_not_to_raise(new, has_failed) if new else (known.NOTE if leaks else "", True)
        leaks = tuple(leaks if is_counted else [leak._replace(counted=False) for leak in leaks])
        guard = self.guard
        report = LeakReport(
            scope=guard.scope,
            owner=str(guard.subject.id),
            title=str(guard.subject.title),
            leaks=leaks,
            waited=self.waited,
            note=note,
            ignored=tuple(self.matched),
            ended_late=tuple(self.ended_late),
        )
        if not leaks:
            return report, None
        message = self._message(new or leaks, known.remarks(leaks, table))
        if note:
            log("INFO" if note.startswith(("tolerated", known.NOTE)) else "WARNING", f"{message}\n({note})")
            return report, None
        return report, LeakError(message, tuple(leak for leak in leaks if not leak.known))

    def _reason_not_to_raise(self, leaks: Sequence[Leak], has_failed: Callable[[], bool]) -> Tuple[str, bool]:
        """Return why leaks are only logged, "" if they are raised, and whether they count all the same."""
        policy = self.guard.policy
        if policy.action == "log":
            return "logged: the action is log", False
        if len(leaks) <= policy.threshold:
            return f"tolerated: the threshold is {policy.threshold}", False
        if self.guard.failed or has_failed():
            return "logged: the test had already failed", True
        if self.guard.scope != "run" and all(leak.owner == UNATTRIBUTED for leak in leaks):
            return "logged: nobody can be shown to have made it", True
        if origin.has_unchecked[0] and all(leak.owner == UNATTRIBUTED and leak.kind == "exception" for leak in leaks):
            return "logged: a test that is not checked may have made it", False
        if self.guard.scope != "run" and all(leak.owner in self.neighbours for leak in leaks):
            return "logged: what was there before made it", True
        if all(leak.owner in self.failed_owners for leak in leaks):
            return "logged: what made it has failed for a leak already", True
        if self.guard.scope == "module" and _compat.module_cleanup_has_failed():
            return "logged: another cleanup of the module had already failed", True
        return "", True

    def _message(self, leaks: Sequence[Leak], remarks: Sequence[str]) -> str:
        from leakguard.report import text

        subject = self.guard.subject
        message = text.message(
            str(subject.title), leaks, self.waited, str(subject.id), stacks=self.guard.policy.stacks
        )  # fmt: skip
        return "\n".join([message, *remarks])

    def _isolate(self, findings: List[Finding]) -> Steps:
        for probe, baseline in self.guard.baselines() if findings else ():
            mine = [finding for finding in findings if finding.probe is probe]
            if not mine:
                continue
            try:
                things = [t for t in probe.suspects(baseline) if any(finding.same(t) for finding in mine)]
                probe.mark(things)
                for thing, cancels in (yield from probe.isolate(things)) or ():
                    _note_that_it_went_on(findings, probe, thing, cancels)
            except Exception as error:  # the leak is on record by now: what cannot be undone must not hide it
                self._note_broken(probe, error)
        if self.guard.loop is not None and any(finding.probe.kind == "thread" for finding in findings):
            _compat.detach_default_executor(self.guard.loop)

    def _note_broken(self, probe: Probe, error: Exception) -> None:
        """Say once per check that a probe broke: the check is weaker, the test's outcome stays."""
        if probe.kind not in self.broken:
            self.broken[probe.kind] = what = f"{type(error).__name__}: {printable(error)}"
            title = self.guard.subject.title
            warn(f"leakguard: the {probe.kind} probe broke ({what}): {title} was not fully checked for that kind")


listeners: List[Callable[[LeakReport], None]] = []
"""Called with every report that has a leak or a match of an ignore rule; the runner adds its own."""

course_listeners: List[Any] = []
"""Told when the guard of a test ``begins`` and ``ends``, and when nothing ``rests`` under guard; empty without a report."""

wait_listeners: List[Callable[[Tuple[str, float]], None]] = []
"""Called with the id of what was checked and the seconds that its check waited, also where all ended in time."""

watchers: List[Callable[[str], None]] = []
"""Called with a line for people once a check has waited for `SAY_AFTER`; the runner prints it."""

rules_in_force: Dict[Rule, None] = {}
"""The ignore rules of every guard since the run began, in the order in which they came up."""


def _successors(ended: Sequence[Finding], left: Sequence[Suspect]) -> List[Suspect]:
    """Return what has come after findings that have ended: things of the same lines."""
    lines = {(finding.probe, finding.leak.origin) for finding in ended if finding.leak.origin is not None}
    return [suspect for suspect in left if (suspect.probe, _line_of(suspect)) in lines]


def _line_of(suspect: Suspect) -> Optional[str]:
    try:
        return suspect.probe.origin(suspect.thing)
    except Exception:  # a broken thing, or one that died meanwhile: it is no other's successor
        return None


def _accountable(owner: Any) -> Any:
    """The guard whose policy decides what is checked of a thing: the options of a block are the block's alone."""
    while owner.scope == "block" and owner.parent is not None:
        owner = owner.parent
    return owner


def _note_that_it_went_on(findings: List[Finding], probe: Probe, thing: Any, cancels: int) -> None:
    for number, finding in enumerate(findings):
        if finding.probe is probe and finding.same(thing):
            leak = finding.leak._replace(verdict=IGNORES_CANCELLATION, cancels=cancels)
            findings[number] = finding._replace(leak=leak)


def _pending_work(suspects: Sequence[Suspect]) -> List[Any]:
    """The suspects that a collection must not take: a pending task in a cycle of its own is lost work, not garbage."""
    return [suspect.thing for suspect in suspects if suspect.probe.loop_of(suspect.thing) is not None]


def _nothing(thing: Any) -> bool:
    return False
