"""What a run decides to do for a stream."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.sync.options import SyncOptions, Unit
from airflow_provider_stripe_app.sync.plan import plan
from airflow_provider_stripe_app.sync.recheck import relist_due
from airflow_provider_stripe_app.sync.state import Coverage, FeedState, StreamState
from airflow_provider_stripe_app.sync.versions import DAY

INVOICES = Unit(STREAMS["invoices"], (STREAMS["invoice_line_items"],))
LIVE = StreamState(
    api_version=API_VERSION, phase="live", load_id=1000, children=("invoice_line_items",)
)
FEED = FeedState(cursor=990, swept_at=1000, streams={"invoices": Coverage(since=1000)})
AUTO = SyncOptions()


def test_a_complete_stream_is_followed() -> None:
    assert plan(INVOICES, LIVE, FEED, AUTO).action == "follow"


def test_an_unfinished_load_goes_on() -> None:
    assert plan(INVOICES, replace(LIVE, phase="load"), FEED, AUTO).action == "resume"


def test_a_stream_never_seen_is_loaded() -> None:
    assert plan(INVOICES, None, FEED, AUTO).action == "load"


@pytest.mark.parametrize(
    ("state", "feed", "options", "why"),
    [
        (replace(LIVE, api_version="2025-01-01.old"), FEED, AUTO, "2025-01-01.old"),
        (replace(LIVE, children=()), FEED, AUTO, "invoice_line_items"),
        (replace(LIVE, relist="its permission was missing"), FEED, AUTO, "permission"),
        (LIVE, None, AUTO, "feed"),
        (LIVE, replace(FEED, streams={}), AUTO, "feed"),
        (LIVE, replace(FEED, streams={"invoices": Coverage(since=1001)}), AUTO, "feed"),
        (LIVE, FEED, SyncOptions(mode="full"), "full"),
        (replace(LIVE, start_date=500), FEED, SyncOptions(start_date=400), "start_date"),
        (replace(LIVE, start_date=500), FEED, AUTO, "start_date"),
    ],
)
def test_everything_is_listed_again_when_the_table_cannot_be_trusted(
    state: StreamState, feed: FeedState | None, options: SyncOptions, why: str
) -> None:
    decided = plan(INVOICES, state, feed, options)
    assert decided.action == "load"
    assert why in decided.reason


def test_a_retry_of_a_full_run_resumes_instead_of_starting_again() -> None:
    options = SyncOptions(mode="full", run="dag run 7")
    loading = replace(LIVE, phase="load", load_run="dag run 7")
    assert plan(INVOICES, loading, FEED, options).action == "resume"
    assert plan(INVOICES, replace(loading, load_run="dag run 6"), FEED, options).action == "load"


def test_a_later_start_date_keeps_what_the_table_promises() -> None:
    state = replace(LIVE, start_date=500)
    decided = plan(INVOICES, state, FEED, SyncOptions(start_date=900))
    assert (decided.action, decided.start_date) == ("follow", 500)


def test_states_survive_json_and_newer_writers() -> None:
    assert StreamState.from_json(LIVE.to_json()) == LIVE
    assert FeedState.from_json(FEED.to_json()) == FEED
    newer = LIVE.to_json()[:-1] + ',"invented_later":1}'
    assert StreamState.from_json(newer) == LIVE


INTENTS = Unit(STREAMS["payment_intents"])
TOLD_OF = FeedState(cursor=990, swept_at=1000, streams={"payment_intents": Coverage(since=1000)})


@pytest.mark.parametrize(
    ("days", "options", "action"),
    [
        (7, AUTO, "load"),
        (7, SyncOptions(relist_days=14), "follow"),
        (7, SyncOptions(relist_days=None), "follow"),
        (7, SyncOptions(mode="incremental"), "follow"),
        (4, AUTO, "follow"),
    ],
)
def test_everything_is_listed_again_now_and_then_where_events_do_not_tell_all(
    days: int, options: SyncOptions, action: str
) -> None:
    feed = replace(TOLD_OF, cursor=1000 + days * DAY)
    assert plan(INTENTS, replace(LIVE, children=()), feed, options).action == action
    told = replace(feed, streams={"invoices": Coverage(since=1000)})
    assert plan(INVOICES, LIVE, told, options).action == "follow"


def test_a_list_that_is_under_way_is_not_begun_again() -> None:
    feed = replace(TOLD_OF, cursor=1000 + 9 * DAY)
    for phase in ("load", "sweep", "window"):
        assert plan(INTENTS, replace(LIVE, children=(), phase=phase), feed, AUTO).action == "resume"


def test_streams_are_not_all_listed_again_in_one_run() -> None:
    names = [stream for stream in STREAMS.values() if stream.relisted]
    assert len(names) > 15
    first = {
        stream.name: next(
            hour
            for hour in range(24 * 8)
            if relist_due(stream, LIVE, LIVE.load_id + hour * 3600, days=7)
        )
        for stream in names
    }
    assert min(first.values()) >= 5 * 24
    assert max(first.values()) <= 7 * 24
    assert len(set(first.values())) > len(names) / 2
