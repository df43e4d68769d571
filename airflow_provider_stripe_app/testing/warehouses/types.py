"""What a warehouse must make of a document."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow_provider_stripe_app.api.split import text_of
from airflow_provider_stripe_app.streams.rows import canonical, typed_row
from airflow_provider_stripe_app.testing.warehouses.documents import NASTY, staged
from airflow_provider_stripe_app.testing.warehouses.lab import (
    ACCOUNT,
    THINGS,
    Place,
    merge,
)
from airflow_provider_stripe_app.warehouse.base import (
    StagedRow,
)
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse


class TypesContract:
    """Typed columns are what the reference in Python says, and ``_raw`` is what was sent."""

    def test_every_warehouse_types_as_the_reference_does(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        rows = [staged(raw) for raw in NASTY.values()]
        change = merge(warehouse, rows)["things"]
        assert (change.inserted, change.new_columns) == (len(NASTY), ())
        found = {row["id"]: row for row in place.rows("things")}
        misfits: dict[str, int] = {}
        for row in rows:
            expected = typed_row(THINGS, text_of(row.raw), row.typed_from)
            for name, value in expected.values.items():
                want = canonical(value) if name == "metadata" and isinstance(value, str) else value
                assert (row.id, name, found[row.id][name]) == (row.id, name, want)
            for name in expected.misfits:
                misfits[name] = misfits.get(name, 0) + 1
        assert dict(change.misfits) == misfits

    def test_raw_comes_back_byte_for_byte(self, place: Place, warehouse: SqlWarehouse) -> None:
        merge(warehouse, [staged(raw) for raw in NASTY.values()])
        assert {row["id"]: row["_raw"] for row in place.rows("things")} == NASTY

    def test_a_row_says_where_it_comes_from(self, place: Place, warehouse: SqlWarehouse) -> None:
        before = datetime.now(timezone.utc)
        row = StagedRow("t1", '{"id":"t1","livemode":true}', 1002, event_id="evt_1")
        other = StagedRow("t2", '{"id":"t2","livemode":"yes"}', 1002)
        merge(warehouse, [row, other], [], load_id=7)
        found = place.row("t1")
        assert found["account_id"] == ACCOUNT
        assert found["livemode"] is True  # the object's own word
        assert place.row("t2")["livemode"] is False  # the batch's
        assert (found["is_deleted"], found["deleted_at"]) == (False, None)
        assert (found["_version"], found["_children_version"]) == (1002, 1002)
        assert (found["_event_id"], found["_load_id"], found["_schema_version"]) == ("evt_1", 7, 1)
        assert found["_api_version"] == "2026-10-28.endive"
        assert abs((found["_synced_at"] - before).total_seconds()) < 60
