"""What a batch keeps of objects that were read twice."""

from __future__ import annotations

from airflow_provider_stripe_app.sync.fetch import Fetched, Whole
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
