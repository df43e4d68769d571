"""Columns that come, and tables that are not ours."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from airflow_provider_stripe_app.streams.model import Column
from airflow_provider_stripe_app.testing.warehouses.lab import (
    ACCOUNT,
    COLUMNS,
    THINGS,
    Place,
    claim,
    gone,
    merge,
    thing,
)
from airflow_provider_stripe_app.warehouse.base import (
    ForeignTable,
    TableChange,
    WarehouseError,
)
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse


class LayoutContract:
    """Columns are added and filled, names stay, and nothing of others is touched."""

    def test_unknown_fields_become_typed_columns_and_old_rows_are_filled(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        merge(warehouse, [thing("t1", 100, amount=1), gone("t0", 100, 10)])
        # A row that older code stored without the column: its JSON holds the field.
        holds = '{"id":"t1","fresh":true,"extra":{"a":1},"count":5,"label":"\\ud800x"}'
        table = place.named("things")
        place.execute(f"UPDATE {table} SET _raw = ? WHERE id = 't1'", (holds,))
        new = {"fresh": False, "extra": [1], "count": 7, "label": "é", "mixed": 1, "void": None}
        new |= {"parts": {"object": "list", "data": []}, "payments": {"object": "list", "data": []}}
        rows = [thing("t2", 100, **new), thing("t3", 100, mixed="x")]
        change = merge(warehouse, rows, [])["things"]
        assert change.new_columns == ("count", "extra", "fresh", "label", "mixed")
        old, row, third = (place.row(i) for i in ("t1", "t2", "t3"))
        assert (old["fresh"], old["extra"], old["count"]) == (True, '{"a":1}', 5)
        assert old["label"] == "\ufffdx"
        assert (row["fresh"], row["extra"], row["count"], row["label"]) == (False, "[1]", 7, "é")
        assert (row["mixed"], third["mixed"], third["count"]) == ("1", '"x"', None)
        change = merge(warehouse, [thing("t4", 100, count="many")])["things"]
        assert (change.new_columns, dict(change.misfits)) == ((), {"count": 1})

    def test_a_stream_of_ids_only_is_a_table_too(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        bare = replace(THINGS, columns=COLUMNS[:1])
        assert merge(warehouse, [thing("t1", 100)], stream=bare)["things"] == TableChange(
            inserted=1
        )
        assert place.row("t1")["_version"] == 100

    def test_field_names_that_clash_get_columns_of_their_own(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        long = "n" * 300
        fields = {"Foo": 1, "foo": 2, "_version": 3, "deleted_at": 4, "1st": 5, "a b%?'": 6, "": 7}
        fields |= {long + "a": 8, long + "b": 9, 'quo"te': 10, "user": 11, "größe": 12}
        change = merge(warehouse, [thing("t1", 100, **fields)])["things"]
        row = place.row("t1")
        assert sorted(row[name] for name in change.new_columns) == [1, 2, 3, 4, 5, 6, 8, 9, 11]
        assert (row["_version"], row["deleted_at"], row["_1st"], row["user"]) == (100, None, 5, 11)
        # Once given, the names stay, whatever comes first next time.
        again = merge(warehouse, [thing("t2", 100, foo=20), thing("t3", 100, Foo=10)])["things"]
        assert again.new_columns == ()
        by_value = {row[name]: name for name in change.new_columns}
        assert place.row("t2")[by_value[2]] == 20
        assert place.row("t3")[by_value[1]] == 10

    def test_a_column_that_the_catalogue_gains_is_added_and_filled(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        merge(warehouse, [thing("t1", 100, address={"city": "Bonn"}, name="n")])
        old = place.named("things")
        before = replace(THINGS, columns=COLUMNS)
        after = replace(
            before, columns=(*COLUMNS, Column("address_zip", ("address", "zip"), "text"))
        )
        holds = '{"id":"t1","address":{"zip":"53111"}}'
        place.execute(f"UPDATE {old} SET _raw = ? WHERE id = 't1'", (holds,))
        change = merge(warehouse, [thing("t2", 100, address={"zip": "1"})], stream=after)["things"]
        assert change.new_columns == ()  # the catalogue knows it
        assert (place.row("t1")["address_zip"], place.row("t2")["address_zip"]) == ("53111", "1")

    def test_an_older_provider_does_not_write_a_newer_table(self, warehouse: SqlWarehouse) -> None:
        warehouse.schema_version = 2
        merge(warehouse, [thing("t1", 100)])
        warehouse.schema_version = 1
        with pytest.raises(WarehouseError, match=r"(?s)newer version.*upgrade the provider"):
            merge(warehouse, [thing("t2", 100)])

    def test_a_table_of_somebody_else_is_named_and_left_alone(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        claim(warehouse)
        table = place.named("things")
        place.execute(f"CREATE TABLE {table} (id text, account_id text)")
        place.execute(f"INSERT INTO {table} VALUES ('x', 'y')")
        with pytest.raises(ForeignTable, match=rf"{re.escape(table)}.*another schema.*rename"):
            merge(warehouse, [thing("t1", 100)])
        assert place.execute(f"SELECT * FROM {table}") == [("x", "y")]
        with warehouse.transaction() as tx, pytest.raises(ForeignTable):
            tx.unseen(THINGS, ACCOUNT, False, 1, 1000, 10)
