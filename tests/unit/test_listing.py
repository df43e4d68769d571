"""Reading a list in parallel costs hardly more requests than it has pages, whatever its shape."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_stripe_app.api.listing import FLOOR, Listing, PageFacts, Remainder
from airflow_provider_stripe_app.api.ranges import Range
from tests.unit.list_model import NOW, SHAPES, fractal, load

NEAR, USUAL, SLOW = (0.004, 0.008), (0.2, 0.4), (0.6, 1.2)
"""Latencies in seconds: a server in the same house, Stripe's usual list, a slow one."""


@pytest.mark.parametrize("latency", [NEAR, USUAL, SLOW], ids=["near", "usual", "slow"])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_no_shape_takes_twice_the_least_number_of_requests(shape, latency):
    for n in (0, 1, 100, 101, 150, 250, 1_000, 3_000, 10_000):
        done = load(SHAPES[shape](n, random.Random(n)), latency=latency)
        assert sorted(done.seen) == list(range(len(done.seen)))
        assert len(done.sent) <= 2 * done.least, (n, len(done.sent))
        if n <= 100:
            assert len(done.sent) == 1


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 3_000),
    st.integers(0, 10**6),
    st.floats(0.5, 1.0),
    st.integers(1, 60),
)
def test_no_cluster_at_any_scale_takes_twice_the_least_number_of_requests(n, seed, lean, width):
    created = fractal(n, random.Random(seed), lean)
    done = load(created, latency=USUAL, width=width, seed=seed)
    assert sorted(done.seen) == list(range(n))
    assert len(done.sent) <= 2 * done.least


@pytest.mark.parametrize("shape", list(SHAPES))
def test_large_lists_take_hardly_more_requests_than_pages(shape):
    done = load(SHAPES[shape](100_000, random.Random(1)), latency=USUAL)
    assert len(done.sent) <= 1.05 * done.least + 10
    assert done.empty <= 0.03 * done.least


@pytest.mark.parametrize(
    ("shape", "least"),
    [
        ("evenly over ten years", 0.97),
        ("a growing business", 0.97),
        ("monthly renewals", 0.97),
        ("nearly all on one day", 0.95),
        # seconds of many pages each cannot be cut, and a burst in 2011 has to be found first
        ("one minute", 0.9),
        ("in twenty seconds of 300 days", 0.9),
        ("an old burst", 0.9),
    ],
)
def test_the_whole_rate_is_used_at_stripes_usual_latency(shape, least):
    created = SHAPES[shape](100_000, random.Random(1))
    assert load(created, latency=USUAL).used(25.0) >= least


def test_a_single_request_at_a_time_cuts_nothing():
    created = SHAPES["a growing business"](5_000, random.Random(1))
    assert len(load(created, latency=NEAR, width=1).sent) == 50


def test_a_resumed_list_reads_its_ranges_and_no_more():
    created = [NOW - i for i in range(3_000)]
    start = (Range(NOW - 999, None), Range(NOW - 2_999, NOW - 1_999))
    done = load(created, latency=USUAL, start=start)
    assert sorted(done.seen) == [*range(1_000), *range(2_000, 3_000)]
    assert len(done.sent) <= 40


def test_objects_without_a_time_are_read_one_page_after_the_other():
    listing = Listing([Range(None, None)])
    rest = listing.read(listing.take(), PageFacts(100, True, None, None, "x"), 50)
    assert rest == [Range(None, None, "x")]
    assert listing.waiting == 1


def test_a_deleted_cursor_begins_again_at_its_second():
    listing = Listing([Range(None, None)])
    [rest] = listing.read(listing.take(), PageFacts(100, True, NOW, NOW - 5, "x"), 1)
    assert listing.take() == rest
    assert listing.cursor_deleted(rest) == [Range(None, NOW - 4)]
    assert listing.take() == Range(None, NOW - 4)
    assert not listing.finished


def test_the_range_with_most_left_is_read_first():
    listing = Listing([Range(None, None)])
    page = PageFacts(100, True, NOW, NOW - 100, "x")
    listing.read(listing.take(), page, 1)
    listing._waiting[Range(0, 5)] = 0.5
    assert listing.take().starting_after == "x"


# -- where to cut


def test_between_two_ends_of_one_density_cuts_are_even():
    rest = Remainder(top=10_000, bottom=0, per_page=100.0, below=1.0)
    assert rest.pages == pytest.approx(100)
    assert rest.cuts(3) == pytest.approx([7_500, 5_000, 2_500], abs=2)


def test_towards_a_thin_end_cuts_crowd_at_the_dense_one():
    rest = Remainder(top=10_000, bottom=0, per_page=100.0, below=0.02)
    first, second, third = rest.cuts(3)
    assert 20 < rest.pages < 30
    assert 10_000 > first > second > third > 6_000


def test_an_end_that_nobody_has_seen_is_looked_for_at_every_scale():
    rest = Remainder(top=NOW, bottom=FLOOR, per_page=0.5, below=None)
    cuts = rest.cuts(9)
    assert NOW - cuts[0] < 60
    assert NOW - cuts[3] < 30 * 86_400
    assert cuts[-1] - FLOOR < (NOW - FLOOR) / 2


def test_a_second_that_fills_a_page_is_read_on_its_own():
    rest = Remainder.of(Range(0, None, "x", 500), 500, 500, None)
    assert rest.cuts(2)[0] == 500


@pytest.mark.parametrize("top", [0, 1, 2])
def test_one_second_cannot_be_cut(top):
    for cut in Remainder(top=top, bottom=0, per_page=1.0, below=None).cuts(9):
        assert 0 < cut <= top
