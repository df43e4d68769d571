"""Which row wins, and what becomes of its children."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone

from airflow_provider_stripe_app.testing.warehouses.lab import (
    THINGS,
    Place,
    gone,
    merge,
    part,
    thing,
)
from airflow_provider_stripe_app.warehouse.base import (
    Batch,
    TableChange,
)
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse


class WinnersContract:
    """A row is overwritten by a strictly greater version only."""

    def test_an_older_or_equal_version_loses(self, place: Place, warehouse: SqlWarehouse) -> None:
        merge(warehouse, [thing("t1", 100, amount=1)])
        for version in (99, 100):
            change = merge(warehouse, [thing("t1", version, amount=2)])["things"]
            assert change == TableChange(unchanged=1)
        assert place.row("t1")["amount"] == 1
        assert merge(warehouse, [thing("t1", 101, amount=3)])["things"] == TableChange(updated=1)
        assert (place.row("t1")["amount"], place.row("t1")["_version"]) == (3, 101)

    def test_of_an_id_twice_the_highest_version_wins_and_the_last_among_equals(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        rows = [thing("a", 2, amount=2), thing("a", 1, amount=1)]
        rows += [thing("b", 5, amount=1), thing("b", 5, amount=2)]
        assert merge(warehouse, rows)["things"] == TableChange(inserted=2)
        assert [(r["id"], r["amount"]) for r in place.rows("things")] == [("a", 2), ("b", 2)]

    def test_the_same_json_again_is_no_change_but_moves_the_version(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        merge(warehouse, [thing("t1", 100, amount=1)])
        assert merge(warehouse, [thing("t1", 110, amount=1)], [])["things"] == TableChange(
            unchanged=1
        )
        row = place.row("t1")
        assert (row["_version"], row["_children_version"], row["amount"]) == (110, 110, 1)

    def test_a_change_keeps_what_it_does_not_bring(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        merge(warehouse, [thing("t1", 1002, amount=1)], [], load_id=7)
        assert merge(warehouse, [thing("t1", 1012, amount=2)])["things"] == TableChange(updated=1)
        row = place.row("t1")
        assert (row["amount"], row["_version"]) == (2, 1012)
        assert (row["_load_id"], row["_children_version"]) == (7, 1002)

    def test_what_is_read_in_our_api_version_replaces_the_shape_of_another(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        rows = [thing("t1", 1102, amount=1), thing("t2", 1102, amount=1), gone("t3", 1102, 110)]
        merge(warehouse, rows, [part("t1", "a"), part("t1", "b")])
        for table in ("things", "parts"):
            place.execute(f"UPDATE {place.named(table)} SET _api_version = '2019-01-01'")
        # Read earlier than what is there, but by us; an event's payload has to be newer.
        newer = [thing("t1", 1002, amount=2), thing("t2", 1001, amount=2), thing("t3", 1002)]
        change = merge(warehouse, newer, [part("t1", "a", 2)])
        assert change["things"] == TableChange(updated=1, unchanged=2)
        assert change["parts"] == TableChange(updated=1, deleted=1)
        assert [place.row(i)["amount"] for i in ("t1", "t2")] == [2, 1]
        assert place.row("t3")["is_deleted"] is True
        assert {r["id"]: r["n"] for r in place.rows("parts") if not r["is_deleted"]} == {"a": 2}
        # Once it is ours, the newer one wins as ever.
        again = merge(warehouse, [thing("t1", 992, amount=3)], [part("t1", "a", 3)])
        assert again["things"] == TableChange(unchanged=1)

    def test_two_accounts_may_share_an_id(self, place: Place, warehouse: SqlWarehouse) -> None:
        merge(warehouse, [thing("t1", 100, amount=1)])
        with warehouse.transaction() as tx:
            tx.merge(Batch(THINGS, "acct_2", True, [thing("t1", 50, amount=2)]), {})
        found = [(r["account_id"], r["amount"], r["livemode"]) for r in place.rows("things")]
        assert sorted(found) == [("acct_1", 1, False), ("acct_2", 2, True)]

    def test_a_tombstone_keeps_the_columns_and_a_newer_row_comes_back(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        merge(warehouse, [thing("t1", 100, amount=1)])
        assert merge(warehouse, [gone("t1", 99, 9)])["things"] == TableChange(unchanged=1)
        assert merge(warehouse, [gone("t1", 201, 20)])["things"] == TableChange(deleted=1)
        row = place.row("t1")
        assert (row["is_deleted"], row["amount"], row["_version"]) == (True, 1, 201)
        assert row["deleted_at"] == datetime.fromtimestamp(20, timezone.utc)
        assert row["_event_id"] == "evt_gone"
        assert json.loads(row["_raw"]) == {"id": "t1", "amount": 1}
        assert merge(warehouse, [gone("t1", 211, 20)])["things"] == TableChange(unchanged=1)
        # The very same JSON: it counts as updated because it came back.
        assert merge(warehouse, [thing("t1", 300, amount=1)])["things"] == TableChange(updated=1)
        row = place.row("t1")
        assert (row["is_deleted"], row["deleted_at"], row["_version"]) == (False, None, 300)

    def test_a_tombstone_of_an_unknown_row_is_kept_against_older_pages(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        change = merge(warehouse, [gone("t9", 200, 20)])["things"]
        assert change == TableChange(deleted=1)  # and "deleted" became no column
        assert merge(warehouse, [thing("t9", 199, amount=1)])["things"] == TableChange(unchanged=1)
        assert place.row("t9")["is_deleted"] is True


def living(place: Place) -> dict[str, str]:
    return {row["id"]: row["thing"] for row in place.rows("parts") if not row["is_deleted"]}


class ChildrenContract:
    """A set of children replaces the old one whole, if its parent wins."""

    def test_children_are_replaced_emptied_and_buried_with_their_parent(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        rows = [thing("t1", 1002), thing("t2", 1002)]
        change = merge(warehouse, rows, [part("t1", "a"), part("t1", "b"), part("t2", "c")])
        assert change["parts"] == TableChange(inserted=3)
        assert living(place) == {"a": "t1", "b": "t1", "c": "t2"}

        change = merge(warehouse, [thing("t1", 1012)], [part("t1", "b", 2), part("t1", "d")])
        assert change["parts"] == TableChange(inserted=1, updated=1, deleted=1)
        assert living(place) == {"b": "t1", "c": "t2", "d": "t1"}
        buried = place.row("a", "parts")
        assert buried["deleted_at"] == datetime.fromtimestamp(101, timezone.utc)
        assert (buried["_version"], place.row("b", "parts")["n"]) == (1012, 2)

        assert merge(warehouse, [thing("t1", 1022)], [])["parts"] == TableChange(deleted=2)
        assert living(place) == {"c": "t2"}

        change = merge(warehouse, [thing("t1", 1032)], [part("t1", "a")])
        assert change["parts"] == TableChange(updated=1)
        assert place.row("a", "parts")["deleted_at"] is None

        change = merge(warehouse, [gone("t1", 2001, 200)], [])
        assert (change["things"].deleted, change["parts"].deleted) == (1, 1)
        assert place.row("a", "parts")["deleted_at"] == datetime.fromtimestamp(200, timezone.utc)
        assert living(place) == {"c": "t2"}

    def test_children_of_a_parent_that_loses_are_left_alone(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        merge(warehouse, [thing("t1", 1002)], [part("t1", "a")])
        change = merge(warehouse, [thing("t1", 1002, amount=9)], [part("t1", "z")])
        assert change["parts"] == TableChange(unchanged=1)
        assert living(place) == {"a": "t1"}
        assert merge(warehouse, [gone("t1", 900, 90)], [])["parts"] == TableChange()
        assert living(place) == {"a": "t1"}

    def test_a_child_that_moves_is_not_buried_with_its_old_parent(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        merge(warehouse, [thing("t1", 1002), thing("t2", 1002)], [part("t1", "a"), part("t2", "b")])
        merge(warehouse, [thing("t1", 1012), thing("t2", 1012)], [part("t2", "a"), part("t2", "b")])
        assert living(place) == {"a": "t2", "b": "t2"}

    def test_the_parent_of_a_child_is_the_staged_one_even_if_the_json_has_another(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        child = replace(part("t1", "a"), raw='{"id":"a","thing":null,"n":1}')
        merge(warehouse, [thing("t1", 1002)], [child])
        assert (living(place), place.row("a", "parts")["n"]) == ({"a": "t1"}, 1)
