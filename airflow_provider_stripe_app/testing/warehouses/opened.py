"""Which objects can still change without an event."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_stripe_app.streams.model import Column, OpenWhile
from airflow_provider_stripe_app.testing.warehouses.lab import (
    ACCOUNT,
    THINGS,
    gone,
    merge,
    thing,
)
from airflow_provider_stripe_app.warehouse.base import Obligation
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse

NOW = 1_700_000_000
BY_NAME = replace(THINGS, open_while=OpenWhile(("name",), ("pending", "it's"), ("created",)))
UNPAID = replace(THINGS, open_while=OpenWhile(("paid",), (False, None)))


class OpenContract:
    """Open objects become owed where they are, by their typed columns."""

    def test_open_objects_are_owed_once_their_time_has_come(self, warehouse: SqlWarehouse) -> None:
        merge(
            warehouse,
            [
                thing("due", 100, name="pending", created=NOW),
                thing("quoted", 100, name="it's", created=NOW - 1),
                thing("undated", 100, name="pending"),
                thing("later", 100, name="pending", created=NOW + 1),
                thing("closed", 100, name="done", created=1),
                thing("nameless", 100, created=1),
                thing("fresh", NOW * 10 + 2, name="pending", created=1),
                thing("dead", 90, name="pending", created=1),
                gone("dead", 100, 9),
            ],
        )
        with warehouse.transaction() as tx:
            assert tx.owing(ACCOUNT, False) == set()
            assert tx.count_open(BY_NAME, ACCOUNT, False) == (5, 7)
            tx.owe_open(BY_NAME, ACCOUNT, True, NOW)  # of live data, where there are no rows
            tx.owe_open(BY_NAME, ACCOUNT, False, NOW)
            assert tx.owing(ACCOUNT, False) == {"things"}
            assert tx.owing(ACCOUNT, True) == set()
            found = tx.due(ACCOUNT, False, "things", 10)
        assert [o.id for o in found] == ["due", "quoted", "undated"]
        assert {(o.closes_at, o.effect, o.ambiguous, o.payload) for o in found} == {
            (NOW, "upsert", False, None)
        }
        # What is read from that second on closes it.
        merge(warehouse, [thing("due", NOW * 10 + 2, name="done")])
        with warehouse.transaction() as tx:
            assert tx.settle(THINGS, ACCOUNT, False) == 1

    def test_null_and_false_can_mean_open(self, warehouse: SqlWarehouse) -> None:
        merge(
            warehouse,
            [thing("no", 100, paid=False), thing("unknown", 100), thing("yes", 100, paid=True)],
        )
        with warehouse.transaction() as tx:
            assert tx.count_open(UNPAID, ACCOUNT, False) == (2, 3)
            tx.owe_open(UNPAID, ACCOUNT, False, NOW)
            assert [o.id for o in tx.due(ACCOUNT, False, "things", 10)] == ["no", "unknown"]

    def test_what_an_event_says_newer_stays_owed(self, warehouse: SqlWarehouse) -> None:
        merge(warehouse, [thing(f"t{i}", 100, paid=False) for i in range(3)])
        told = [
            Obligation("things", f"t{i}", NOW - 1 + i, "evt_1", "upsert", payload="{}")
            for i in range(3)
        ]
        with warehouse.transaction() as tx:
            tx.owe(ACCOUNT, False, told)
            tx.owe_open(UNPAID, ACCOUNT, False, NOW)
            found = {o.id: o for o in tx.due(ACCOUNT, False, "things", 10)}
        assert (found["t0"].closes_at, found["t0"].payload) == (NOW, None)  # an older event's
        assert found["t1"].ambiguous  # of the same second: the object has to be read
        assert (found["t2"].event_id, found["t2"].payload) == ("evt_1", "{}")

    def test_a_table_without_the_column_tells_of_nothing_open(
        self, warehouse: SqlWarehouse
    ) -> None:
        merge(warehouse, [thing("t1", 100, status="pending")], stream=BY_NAME)
        newer = replace(
            THINGS,
            columns=(*THINGS.columns, Column("step", ("step",), "text")),
            open_while=OpenWhile(("step",), (None,)),
        )
        with warehouse.transaction() as tx:
            assert tx.count_open(newer, ACCOUNT, False) == (0, 0)
            tx.owe_open(newer, ACCOUNT, False, NOW)
            assert tx.owing(ACCOUNT, False) == set()

    def test_without_a_table_nothing_is_open(self, warehouse: SqlWarehouse) -> None:
        with warehouse.transaction() as tx:
            assert tx.count_open(UNPAID, ACCOUNT, False) == (0, 0)
            tx.owe_open(UNPAID, ACCOUNT, False, NOW)
            assert tx.owing(ACCOUNT, False) == set()
