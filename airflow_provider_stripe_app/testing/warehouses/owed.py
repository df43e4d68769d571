"""What a load has seen, and what is owed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_provider_stripe_app.testing.warehouses.lab import (
    ACCOUNT,
    KEY,
    THINGS,
    gone,
    merge,
    thing,
)
from airflow_provider_stripe_app.warehouse.base import (
    Batch,
    Obligation,
    StagedRow,
)
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse


def owed(id_: str, closes_at: int, event: str = "evt_a", **more: Any) -> Obligation:
    return Obligation("things", id_, closes_at, event, **({"effect": "gone"} | more))


class OwedContract:
    """Nothing that is owed is forgotten, and nothing is owed twice."""

    def test_a_full_load_marks_rows_that_lose_as_seen(self, warehouse: SqlWarehouse) -> None:
        merge(warehouse, [thing(f"t{i}", 100) for i in range(4)] + [gone("dead", 100, 1)])
        merge(warehouse, [thing("t0", 90), thing("t1", 110)], load_id=5)
        with warehouse.transaction() as tx:
            assert tx.unseen(THINGS, ACCOUNT, False, 5, 1000, 10) == ["t2", "t3"]
            assert tx.unseen(THINGS, ACCOUNT, False, 5, 1000, 1) == ["t2"]
            assert tx.unseen(THINGS, ACCOUNT, False, 5, 100, 10) == []
            assert tx.unseen(THINGS, ACCOUNT, False, 6, 105, 10) == ["t0", "t2", "t3"]
            assert tx.unseen(THINGS, ACCOUNT, True, 5, 1000, 10) == []

    def test_the_newest_obligation_stays_and_a_tie_is_ambiguous(
        self, warehouse: SqlWarehouse
    ) -> None:
        def due() -> dict[str, Obligation]:
            return {o.id: o for o in tx.due(ACCOUNT, False, "things", 100)}

        tie = Obligation("things", "tie", 50, "evt_a", "upsert", True, None)
        with warehouse.transaction() as tx:
            tx.owe(
                ACCOUNT,
                False,
                [
                    owed("new", 60, payload="{}"),
                    owed("new", 50, "evt_b"),
                    owed("tie", 50, payload="{}"),
                ],
            )
            tx.owe(ACCOUNT, False, [owed("tie", 50, "evt_b"), owed("same", 50, payload="{}")])
            tx.owe(ACCOUNT, False, [owed("same", 50), owed("one", 9), owed("one", 9, "evt_b")])
            tx.owe(ACCOUNT, False, [])
            tx.owe(ACCOUNT, True, [owed("live", 50)])
            tx.owe(ACCOUNT, False, [replace(owed("else", 50), stream="others")])
            found = due()
        assert found["new"] == owed("new", 60, payload="{}")
        assert found["tie"] == tie
        assert found["same"] == owed("same", 50, payload="{}")
        assert found["one"] == replace(tie, id="one", closes_at=9)
        assert set(found) == {"new", "tie", "same", "one"}
        with warehouse.transaction() as tx:
            tx.owe(ACCOUNT, False, [owed("tie", 50), owed("one", 70, "evt_c")])
            assert due()["tie"] == tie  # once ambiguous, an old event again makes it no clearer
            assert due()["one"] == owed("one", 70, "evt_c")
            tx.owe(ACCOUNT, False, [owed("one", 60, "evt_d")])
            assert due()["one"] == owed("one", 70, "evt_c")
            assert [o.id for o in tx.due(ACCOUNT, False, "things", 2)] == ["same", "tie"]

    def test_obligations_are_settled_by_what_closes_them_only(
        self, warehouse: SqlWarehouse
    ) -> None:
        with warehouse.transaction() as tx:
            tx.owe(ACCOUNT, False, [owed("t1", 50), owed("forgiven", 50)])
            assert tx.settle(THINGS, ACCOUNT, False) == 0  # there is no table yet
            assert tx.settle(THINGS, ACCOUNT, False, ["forgiven", "unknown"]) == 1
        rows = [
            StagedRow("read", '{"id":"read"}', 502),
            StagedRow("read_early", '{"id":"read_early"}', 492),
            StagedRow("payload", '{"id":"payload"}', 501, event_id="evt_a"),
            StagedRow("other_event", '{"id":"other_event"}', 501, event_id="evt_b"),
            StagedRow("unclear", '{"id":"unclear"}', 501, event_id="evt_a"),
        ]
        merge(warehouse, rows)
        with warehouse.transaction() as tx:
            tx.owe(
                ACCOUNT, False, [owed(row.id, 50, ambiguous=row.id == "unclear") for row in rows]
            )
            assert tx.settle(THINGS, ACCOUNT, False) == 2
            left = {o.id for o in tx.due(ACCOUNT, False, "things", 100)}
        assert left == {"t1", "read_early", "other_event", "unclear"}
        with warehouse.transaction() as tx:
            many = [f"id{i}" for i in range(1201)]
            tx.owe(ACCOUNT, False, [owed(i, 50) for i in many])
            assert tx.settle(THINGS, ACCOUNT, False, many) == 1201

    def test_an_obligation_may_be_settled_and_owed_anew_in_one_transaction(
        self,
        warehouse: SqlWarehouse,
    ) -> None:
        merge(warehouse, [thing("t1", 502)])
        with warehouse.transaction() as tx:
            tx.owe(ACCOUNT, False, [owed("t1", 50)])
        with warehouse.transaction() as tx:
            assert tx.settle(THINGS, ACCOUNT, False) == 1
            tx.owe(ACCOUNT, False, [owed("t1", 60)])
            tx.merge(Batch(THINGS, ACCOUNT, False, [thing("t1", 602, amount=1)]), {})
            tx.merge(Batch(THINGS, ACCOUNT, False, [thing("t1", 702, amount=2)]), {})
            assert tx.settle(THINGS, ACCOUNT, False) == 1
        with warehouse.transaction() as tx:
            assert tx.due(ACCOUNT, False, "things", 10) == []
            assert KEY.stream not in tx.states(ACCOUNT, False)
