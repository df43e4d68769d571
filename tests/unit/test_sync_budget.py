"""Budget and cap: what is counted, kept for the feed, and said."""

from __future__ import annotations

import pytest

from airflow_provider_stripe_app.sync.budget import (
    FLOOR,
    Reads,
    day_before,
    day_of,
    reads,
    reserve,
)

TODAY = "2026-11-24"


def test_days_are_utc() -> None:
    assert day_of(1_795_564_799) == "2026-11-24"
    assert day_of(1_795_564_800) == "2026-11-25"
    assert day_before("2026-03-01", 1) == "2026-02-28"


def test_thirty_days_are_counted_and_no_more() -> None:
    spent = {
        (day_before(TODAY, 30), "list:customers"): 1000,
        (day_before(TODAY, 29), "list:customers"): 100,
        (TODAY, "events"): 10,
        (TODAY, "list:customers"): 1,
    }
    assert reads(spent, TODAY, 11, None) == Reads(111, 100, FLOOR, configured=False)
    assert reads(spent, TODAY, 11, 500).as_dict() == {
        "days": 30,
        "spent": 111,
        "budget": 500,
        "share": 0.222,
    }


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Reads(100, 50, FLOOR, configured=False), ""),
        (Reads(10_001, 9_990, FLOOR, configured=False), "allots to every account"),
        (Reads(20_000, 10_001, FLOOR, configured=False), ""),  # said once, not for 30 days
        (Reads(799, 700, 1000, configured=True), ""),
        (Reads(800, 700, 1000, configured=True), "80% of the read_budget of 1,000"),
        (Reads(900, 800, 1000, configured=True), ""),
        (Reads(1001, 900, 1000, configured=True), "more than the read_budget of 1,000"),
        (Reads(1002, 1001, 1000, configured=True), "more than the read_budget of 1,000"),
    ],
)
def test_a_warning_comes_when_it_helps(found: Reads, said: str) -> None:
    assert (said in found.warning()) if said else found.warning() == ""


def test_the_feed_keeps_what_it_needed_on_its_worst_day() -> None:
    spent = {
        (day_before(TODAY, 8), "events"): 900,
        (day_before(TODAY, 3), "events"): 30,
        (day_before(TODAY, 3), "probe:customers"): 5,
        (day_before(TODAY, 3), "list:customers"): 500,
        (TODAY, "list:customers"): 100,
    }
    assert reserve(spent, TODAY, 100) == 35
    assert reserve({**spent, (TODAY, "events"): 20}, TODAY, 100) == 15
    assert reserve({**spent, (TODAY, "events"): 90}, TODAY, 100) == 0


def test_the_feed_never_keeps_so_much_that_nothing_else_goes_on() -> None:
    assert reserve({(day_before(TODAY, 1), "events"): 5000}, TODAY, 1000) == 500


def test_something_is_kept_for_a_feed_however_little_it_has_needed() -> None:
    assert reserve({}, TODAY, 1000) == 50
    assert reserve({(day_before(TODAY, 1), "events"): 2}, TODAY, 1000) == 50
