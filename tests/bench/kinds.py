"""The cost of each kind that is opted in, on a clean, empty test."""

from leakguard import LeakGuardMixin, policy
from tests.bench.empty import Plain
from tests.bench.measure import Side, medians, run_guard, tests_of


def kinds(quick):
    """One empty test that looks for one more kind than by default."""
    rounds, number = (3, 10) if quick else (31, 500)
    more = [kind for kind in policy.KINDS if kind not in policy.DEFAULT_KINDS]
    cases = {"": type("Default", (LeakGuardMixin, Plain), {})}
    for kind in more:
        cases[kind] = type("One", (LeakGuardMixin, Plain), {"leak_kinds": (*policy.DEFAULT_KINDS, kind)})
    sides = [Side(kind, tests_of(case), number=number, context=run_guard) for kind, case in cases.items()]
    taken = medians(sides, rounds=rounds)
    return [(f"added by the kind {kind}", taken[kind] - taken[""], "us") for kind in more]
