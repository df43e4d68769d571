"""What a run decides to do for a stream."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.sync.options import SyncOptions, Unit
from airflow_provider_stripe_app.sync.plan import plan
from airflow_provider_stripe_app.sync.state import Coverage, FeedState, StreamState

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
