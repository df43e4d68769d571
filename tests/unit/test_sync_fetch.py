"""What a batch keeps of objects that were read twice."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_stripe_app.streams.catalog import STREAMS
from airflow_provider_stripe_app.sync.fetch import Fetched, Whole, child_set, path_of, tombstone
from airflow_provider_stripe_app.sync.options import Unit
from airflow_provider_stripe_app.warehouse.base import StagedChild, StagedRow

LINES = "invoice_line_items"


def invoice(version: int, *lines: str, raw: str = "{}") -> Whole:
    children = [StagedChild("in_1", line, "{}") for line in lines]
    return Whole(StagedRow("in_1", raw, version), {LINES: children})


def test_of_an_object_read_twice_only_the_newer_ones_children_are_kept() -> None:
    old, new = invoice(100, "il_1", "il_gone"), invoice(110, "il_1", "il_new")
    for order in ([old, new], [new, old]):
        assert Fetched(order).newest() == [new]


def test_the_last_read_wins_among_equals() -> None:
    first, last = invoice(100, raw='{"a":1}'), invoice(100, raw='{"a":2}')
    assert Fetched([first, last]).newest() == [last]


CHOSEN = ['50%/off?x=1#"', "ä b&c", "{id}"]
"""Ids as people make them up for coupons; Stripe's own need no quoting."""


@pytest.mark.parametrize("chosen", CHOSEN)
def test_an_id_that_people_chose_stays_one_part_of_the_path(chosen: str) -> None:
    path = path_of(STREAMS["customers"], chosen)
    assert path.startswith("/v1/customers/")
    assert path.count("/") == 3
    assert not set(path) & set('?#" &{}')


@pytest.mark.parametrize("chosen", CHOSEN)
def test_an_id_that_people_chose_is_kept_in_a_tombstone(chosen: str) -> None:
    row = tombstone(STREAMS["customers"], chosen, 1, 1).row
    assert json.loads(row.raw) == {"id": chosen, "object": "customer", "deleted": True}
    assert row.id == chosen


def test_a_parents_id_is_quoted_once_wherever_its_children_are_listed() -> None:
    asked: list[tuple[str, Any]] = []

    def list_page(path: str, params: Any, **_: Any) -> Any:
        asked.append((path, dict(params)))
        return SimpleNamespace(items=[], has_more=False, sent_at=1)

    client: Any = SimpleNamespace(list_page=list_page)
    for parent, child in (("invoices", LINES), ("subscriptions", "subscription_items")):
        child_set(client, Unit(STREAMS[parent], (STREAMS[child],)), "a/b&c")
    assert asked[0][0] == "/v1/invoices/a%2Fb%26c/lines"
    assert asked[1] == ("/v1/subscription_items", {"subscription": "a/b&c", "limit": 100})
