"""How progress moves with the pages that are merged."""

from __future__ import annotations

import pytest

from airflow_provider_stripe_app.api.ranges import Range
from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.sync.options import SyncOptions, Unit
from airflow_provider_stripe_app.sync.pages import Job, LoadPage, apply_pages, share_done
from airflow_provider_stripe_app.sync.state import StreamState

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


def chain(number: int) -> list[LoadPage]:
    """Return pages of 100 rows and 1,000 bytes, each behind the last one."""
    ends = [WHOLE, *(Range(None, None, f"cus_{n}", 90 - n) for n in range(1, number))]
    after = [(rng,) for rng in ends[1:]] + [()]
    return [
        LoadPage(rng, rest, rows=100, size=1_000) for rng, rest in zip(ends, after, strict=True)
    ]


def job(*pages: LoadPage) -> Job:
    state = StreamState(api_version="v", phase="load", load_id=1, remaining=(WHOLE,))
    made = Job(Unit(STREAMS["customers"]), state)
    for page in pages:
        made.add(page)
    return made


@pytest.mark.parametrize(("rows", "room"), [(250, 10**6), (10**6, 2_500)])
def test_a_batch_is_no_larger_than_asked_and_progress_moves_with_it(rows: int, room: int) -> None:
    pages = chain(5)
    made = job(*pages)
    assert made.take(rows, room) is not None
    assert made.pages == pages[3:]
    assert made.state.remaining == (pages[3].before,)
    assert (made.waiting_rows, made.waiting_bytes, made.merging_bytes) == (200, 2_000, 3_000)
    assert not made.wants_flush(SyncOptions(batch_rows=1), pressed=True), "one after the other"
    made.merged()
    assert made.take(rows, room) is not None
    assert made.pages == []
    assert made.state.remaining == ()
    assert made.state.phase == "sweep"
    made.merged()
    assert made.finished


def test_a_page_that_waits_for_children_does_not_hold_up_other_ranges() -> None:
    first, second = LoadPage(WHOLE, (UPPER, LOWER)), LoadPage(UPPER, (), waiting=True)
    made = job(first, second, LoadPage(LOWER, ()))
    assert made.take(10_000, 10**6) is not None
    assert made.pages == [second]
    assert made.state.remaining == (UPPER,)
    assert made.take(10_000, 10**6) is None


def test_a_failed_job_holds_no_memory_back_from_others() -> None:
    made = job(*chain(3))
    assert made.held == 3_000
    made.error = ValueError()
    assert made.held == 0
    assert made.finished
