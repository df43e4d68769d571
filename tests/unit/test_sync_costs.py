"""The plan of requests: it is the cheapest one, by comparison with trying everything."""

from __future__ import annotations

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_stripe_app.sync.costs import Stretch, cheapest, cut, pages
from airflow_provider_stripe_app.warehouse.base import OwedSecond


def spread(counts: list[tuple[int, int]]) -> list[OwedSecond]:
    """Return owed seconds from (objects of the second, how many of them are owed)."""
    seconds, before = [], 0
    for created, (number, owed) in enumerate(counts):
        if owed:
            seconds.append(OwedSecond(created, owed, before, before + number))
        before += number
    return seconds


def tried(seconds: list[OwedSecond]) -> int:
    """Return the least cost of all 3^n ways: each second single, in a range, or beginning one."""
    best = sum(s.owed for s in seconds)
    for ways in itertools.product("sbc", repeat=len(seconds)):
        cost, begin, previous, last = 0, None, None, 0
        valid = True
        for way, second in zip(ways, seconds, strict=True):
            if way == "c" and previous not in ("b", "c"):
                valid = False
                break
            if way in "sb" and begin is not None:
                cost += pages(last - begin)
                begin = None
            if way == "s":
                cost += second.owed
            elif way == "b":
                begin = second.before
            last = second.through
            previous = way
        if not valid:
            continue
        if begin is not None:
            cost += pages(last - begin)
        best = min(best, cost)
    return best


counts = st.integers(1, 260).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, min(n, 120))))


@settings(max_examples=150, deadline=None)
@given(st.lists(counts, max_size=7))
def test_no_other_plan_is_cheaper(drawn: list[tuple[int, int]]) -> None:
    seconds = spread(drawn)
    plan = cheapest(seconds)
    assert plan.requests == tried(seconds)
    inside = [s for s in seconds if any(r.first <= s.created <= r.last for r in plan.stretches)]
    assert sum(s.owed for s in inside) == sum(r.owed for r in plan.stretches)
    assert plan.single == sum(s.owed for s in seconds) - sum(s.owed for s in inside)


def test_single_objects_among_many_are_read_one_by_one() -> None:
    seconds = spread([(1000, 1)] * 50)
    assert cheapest(seconds).requests == 50
    assert cheapest(seconds).stretches == ()


def test_neighbours_are_listed_together() -> None:
    seconds = spread([(1, 1)] * 100 + [(100, 0)] * 20 + [(1, 1)] * 100)
    assert cheapest(seconds).stretches == (Stretch(0, 99, 100, 1), Stretch(120, 219, 100, 1))


def test_one_object_is_read_not_listed() -> None:
    assert cheapest(spread([(1, 1)])).stretches == ()
    assert cheapest([]).requests == 0


def test_ten_percent_of_a_million_costs_as_little_as_counting_promises() -> None:
    """Every tenth object changed: a page brings ten. A tenth of the range changed: a hundred."""
    thin = [OwedSecond(i, 1, 10 * i, 10 * i + 1) for i in range(100_000)]
    assert cheapest(thin).requests == 10_000
    dense = [OwedSecond(i, 1, i, i + 1) for i in range(100_000)]
    assert cheapest(dense).requests == 1_000


def test_long_stretches_are_cut_for_all_workers_at_hardly_any_cost() -> None:
    luck = random.Random(4)
    seconds = spread([(luck.randint(1, 9), luck.randint(0, 1)) for _ in range(40_000)])
    plan = cheapest(seconds)
    parts = cut(seconds, plan.stretches, workers=12)
    assert len(parts) >= 12
    assert sum(p.owed for p in parts) == sum(s.owed for s in plan.stretches)
    assert sum(p.pages for p in parts) <= 1.01 * sum(s.pages for s in plan.stretches)
    for one, other in itertools.pairwise(parts):
        assert one.last < other.first


def test_a_stretch_that_cannot_be_cut_stays_whole() -> None:
    crowd = spread([(100_000, 90_000)])
    plan = cheapest(crowd)
    assert cut(crowd, plan.stretches, workers=12) == list(plan.stretches)
