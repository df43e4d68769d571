"""No object is lost between ranges, however they are split and whatever is deleted."""

from __future__ import annotations

import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_stripe_app.api import ranges
from airflow_provider_stripe_app.api.ranges import Range, after_page, query, without_cursor

FLOOR = 10


def listed(objects: list[tuple[int, str]], wanted: Range, size: int):
    """What Stripe's list answers; ``None`` when the cursor's object is gone."""
    params = query(wanted)
    ordered = sorted(objects, reverse=True)
    matching = [
        o
        for o in ordered
        if params.get("created[gte]", -1) <= o[0] < params.get("created[lt]", 10**12)
    ]
    cursor = params.get("starting_after")
    if cursor is not None:
        at = next((o for o in ordered if o[1] == cursor), None)
        if at is None:
            return None
        matching = [o for o in matching if o < at]
    return matching[:size], len(matching) > size


def drive(objects, choices, *, size, deletions=None, start=None):
    """Read everything with random splits; return the ids read and the number of requests."""
    living = list(objects)
    remaining, seen, requests = [start or Range(None, None)], [], 0
    while remaining:
        before = remaining.pop(choices.randrange(len(remaining)))
        before = Range.from_json(json.loads(json.dumps(before.to_json())))
        answer = listed(living, before, size)
        requests += 1
        assert requests < 5000
        if answer is None:
            remaining.append(without_cursor(before))
            continue
        page, has_more = answer
        seen += [o[1] for o in page]
        if page:
            oldest = page[-1][0]
            lowest = (FLOOR if before.gte is None else before.gte) + 1
            seconds = range(lowest, oldest + 1)
            cuts = choices.sample(seconds, min(len(seconds), choices.randrange(4)))
            remaining += after_page(
                before,
                oldest_created=oldest,
                oldest_id=page[-1][1],
                has_more=has_more,
                cuts=sorted(cuts, reverse=True),
            )
        if deletions and page and choices.random() < deletions:
            living.remove(page[-1])
    return seen, requests


_objects = st.lists(st.integers(5, 40), max_size=80).map(
    lambda seconds: [(second, f"id_{n:03}") for n, second in enumerate(seconds)]
)


@settings(max_examples=200, deadline=None)
@given(_objects, st.integers(0, 10**6), st.integers(1, 7))
def test_every_object_is_read_exactly_once_with_any_splits(objects, seed, size):
    seen, _ = drive(objects, random.Random(seed), size=size)
    assert sorted(seen) == sorted(o[1] for o in objects)


@settings(max_examples=200, deadline=None)
@given(_objects, st.integers(0, 10**6), st.integers(1, 7))
def test_deleted_cursors_lose_nothing_and_repeat_only_their_second(objects, seed, size):
    seen, _ = drive(objects, random.Random(seed), size=size, deletions=0.4)
    assert set(seen) == {o[1] for o in objects}


@settings(max_examples=100, deadline=None)
@given(_objects, st.integers(0, 10**6), st.integers(5, 40), st.integers(0, 20))
def test_bounds_of_the_first_range_are_kept(objects, seed, gte, width):
    start = Range(gte, gte + width)
    seen, _ = drive(objects, random.Random(seed), size=3, start=start)
    assert sorted(seen) == sorted(o[1] for o in objects if gte <= o[0] < gte + width)


def rest(before: Range, created: int, *cuts: int) -> list[Range]:
    return after_page(before, oldest_created=created, oldest_id="x", has_more=True, cuts=cuts)


def test_last_page_leaves_nothing():
    last = after_page(Range(1, 9), oldest_created=5, oldest_id="x", has_more=False, cuts=(3,))
    assert last == []


def test_uncut_remainder_goes_on_behind_the_cursor():
    assert rest(Range(1, 9), 5) == [Range(1, 9, "x", 5)]


def test_newest_range_stays_open_and_keeps_the_cursor_when_cut():
    assert rest(Range(None, None), 100, 55, 30) == [
        Range(55, None, "x", 100),
        Range(30, 55),
        Range(None, 30),
    ]


def test_the_cursors_second_can_be_read_on_its_own():
    assert rest(Range(50, 60), 51, 51) == [Range(51, 60, "x", 51), Range(50, 51)]


def test_deleted_cursor_begins_again_at_its_second():
    assert query(without_cursor(Range(1, None, "x", 5))) == {
        "limit": 100,
        "created[gte]": 1,
        "created[lt]": 6,
    }
    assert without_cursor(Range(1, 9, "x")) == Range(1, 9)


def test_json_is_short_and_survives_newer_keys():
    assert Range(None, None).to_json() == {}
    assert Range.from_json({"gte": 3, "starting_after": "x", "new": 1}) == Range(3, None, "x")


def test_page_size_is_stripes_largest():
    assert query(Range(None, None)) == {"limit": ranges.PAGE_SIZE} == {"limit": 100}
