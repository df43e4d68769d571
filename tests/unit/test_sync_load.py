"""How progress moves with the pages that are merged."""

from __future__ import annotations

from airflow_provider_stripe_app.api.ranges import Range
from airflow_provider_stripe_app.sync.pages import LoadPage, apply_pages, share_done

WHOLE = Range(gte=None, lt=None)
UPPER = Range(gte=50, lt=None, starting_after="cus_9", last_created=90)
LOWER = Range(gte=None, lt=50)


def test_a_page_moves_exactly_its_own_progress() -> None:
    remaining, merged, kept = apply_pages([WHOLE], [LoadPage(WHOLE, (UPPER, LOWER))])
    assert set(remaining) == {UPPER, LOWER}
    assert len(merged) == 1
    assert kept == []


def test_a_page_whose_predecessor_waits_for_children_waits_too() -> None:
    first = LoadPage(WHOLE, (UPPER, LOWER), waiting=True)
    second = LoadPage(UPPER, ())
    remaining, merged, kept = apply_pages([WHOLE], [first, second])
    assert remaining == (WHOLE,)
    assert merged == []
    assert kept == [first, second]
    first.waiting = 0
    remaining, merged, kept = apply_pages([WHOLE], [second, first])
    assert set(remaining) == {LOWER}
    assert merged == [first, second]


def test_the_share_grows_as_ranges_vanish() -> None:
    now = 1_800_000_000
    assert share_done([WHOLE], now) == 0.0
    half = Range(gte=None, lt=1_546_920_000)
    assert 0.4 < share_done([half], now) < 0.6
    assert share_done([], now) == 1.0
