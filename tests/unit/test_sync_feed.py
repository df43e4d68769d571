"""Where a feed pass begins, and when it has lost something."""

from __future__ import annotations

from airflow_provider_stripe_app.sync.feed import has_gap, window
from airflow_provider_stripe_app.sync.state import FeedState
from airflow_provider_stripe_app.sync.versions import DAY, GAP_LIMIT

NOW = 1_800_000_000


def test_a_pass_reads_behind_its_cursor() -> None:
    state = FeedState(cursor=NOW - 500, swept_at=NOW - 600)
    assert window(state, NOW, overlap=60).gte == NOW - 560


def test_once_a_day_everything_since_the_last_sweep_is_read_again() -> None:
    state = FeedState(cursor=NOW - 500, swept_at=NOW - DAY)
    wanted = window(state, NOW, overlap=60)
    assert wanted.deep
    assert wanted.gte < NOW - DAY


def test_a_sweep_after_a_long_pause_still_begins_at_the_cursor() -> None:
    state = FeedState(cursor=NOW - 10 * DAY, swept_at=NOW - 10 * DAY)
    assert window(state, NOW, overlap=60).gte <= NOW - 10 * DAY - 60


def test_a_gap_is_seen_before_stripe_cuts_events_off() -> None:
    edge = NOW - GAP_LIMIT + 60
    assert not has_gap(FeedState(cursor=edge, swept_at=NOW), NOW, overlap=60)
    assert has_gap(FeedState(cursor=edge - 1, swept_at=NOW), NOW, overlap=60)
