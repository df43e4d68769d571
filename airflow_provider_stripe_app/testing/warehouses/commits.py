"""Leases, fences, and transactions that happen whole or not at all."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_stripe_app.testing.warehouses.lab import (
    ACCOUNT,
    PARTS,
    THINGS,
    Place,
    claim,
    gone,
    merge,
    part,
    thing,
)
from airflow_provider_stripe_app.warehouse.base import (
    Batch,
    LeaseHeld,
    StagedRow,
    StaleWriter,
    StateKey,
    WarehouseError,
)
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse


class CommitsContract:
    """A stale writer commits nothing, and a commit that commits nothing is noticed."""

    def test_a_lease_is_held_renewed_given_back_and_taken_over(
        self, warehouse: SqlWarehouse
    ) -> None:
        first = claim(warehouse, "one", ttl=60)
        assert (first.fence, first.state) == (1, None)
        with pytest.raises(LeaseHeld, match="held by one") as caught:
            claim(warehouse, "two")
        assert 50 < caught.value.seconds_left <= 60
        with warehouse.transaction() as tx:
            tx.advance(first, '{"page":1}')
        again = claim(warehouse, "one", ttl=0.2)  # its own, at once
        assert (again.fence, again.state) == (2, '{"page":1}')
        time.sleep(0.3)
        third = claim(warehouse, "two")  # expired
        assert third.fence == 3
        with warehouse.transaction() as tx:
            tx.release(again)  # not ours any more: nothing
        with pytest.raises(LeaseHeld):
            claim(warehouse, "three")
        with warehouse.transaction() as tx:
            tx.advance(third, None)
            tx.release(third)
        assert claim(warehouse, "three").state == '{"page":1}'
        with warehouse.transaction() as tx:
            assert tx.states(ACCOUNT, False) == {"things": '{"page":1}'}
            assert tx.states(ACCOUNT, True) == {}
            tx.claim(StateKey(ACCOUNT, True, "things"), "x", 1, "")  # live mode is another stream

    def test_a_stale_writer_is_refused_and_what_it_brought_is_discarded(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        stale = claim(warehouse, "one", ttl=0)
        merge(warehouse, [thing("t1", 100, amount=1)])
        claim(warehouse, "two")
        with pytest.raises(StaleWriter, match="taken over"), warehouse.transaction() as tx:  # noqa: PT012
            tx.merge(Batch(THINGS, ACCOUNT, False, [thing("t1", 200, amount=2)]), {})
            tx.advance(stale, '{"x":1}')
        assert place.row("t1")["amount"] == 1

    def test_a_swallowed_stale_writer_does_not_commit(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        stale = claim(warehouse, "one", ttl=0)
        claim(warehouse, "two")
        merge(warehouse, [thing("t1", 100, amount=1)])
        with (  # noqa: PT012
            pytest.raises(WarehouseError, match="nothing was committed"),
            warehouse.transaction() as tx,
        ):
            tx.merge(Batch(THINGS, ACCOUNT, False, [thing("t1", 200, amount=2)]), {})
            with pytest.raises(StaleWriter):
                tx.advance(stale, None)
        assert place.row("t1")["amount"] == 1

    def test_an_error_leaves_nothing_behind(self, place: Place, warehouse: SqlWarehouse) -> None:
        held = claim(warehouse)
        with pytest.raises(KeyError), warehouse.transaction() as tx:  # noqa: PT012
            tx.advance(held, '{"x":1}')
            tx.merge(Batch(THINGS, ACCOUNT, False, [thing("t1", 100, more=1)]), {})
            raise KeyError
        with warehouse.transaction() as tx:
            assert tx.states(ACCOUNT, False) == {}
            assert tx.unseen(THINGS, ACCOUNT, False, 1, 1000, 10) == []  # not even the table
        change = merge(warehouse, [thing("t1", 100, more=1)])["things"]
        # Where a rollback does not undo what was done to tables, the column is there already.
        new = ("more",) if warehouse.capabilities.transactional_ddl else ()
        assert (change.inserted, change.new_columns) == (1, new)
        assert place.row("t1")["more"] == 1

    def test_a_swallowed_error_does_not_commit(self, place: Place, warehouse: SqlWarehouse) -> None:
        held = claim(warehouse)
        merge(warehouse, [thing("t1", 100, amount=1)])
        with (  # noqa: PT012
            pytest.raises(WarehouseError, match="nothing was committed"),
            warehouse.transaction() as tx,
        ):
            tx.advance(held, '{"x":1}')
            tx.merge(Batch(THINGS, ACCOUNT, False, [thing("t1", 200, amount=2)]), {})
            with pytest.raises(WarehouseError, match="JSON of t2 cannot be typed"):
                tx.merge(Batch(THINGS, ACCOUNT, False, [StagedRow("t2", "{no json", 200)]), {})
            with pytest.raises(WarehouseError):
                tx._session.run("wrong", "SELECT nonsense FROM nowhere")
        assert place.row("t1")["amount"] == 1

    def test_stopped_before_any_statement_a_merge_happens_whole_or_not_at_all(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        held = claim(warehouse)
        merge(warehouse, [thing("t0", 1002), thing("t1", 1002)], [part("t1", "a")], load_id=1)
        # A row that older code stored without the column: its JSON holds the field.
        older = '{"id":"t0","novel":7}'
        table = place.named("things")
        place.execute(f"UPDATE {table} SET _raw = ? WHERE id = 't0'", (older,))

        def rows() -> list[dict[str, Any]]:
            found = [*place.rows("things"), *place.rows("parts")]
            new = ("novel", "_stripe_new_")  # that is there before its name, where DDL commits
            return [{k: v for k, v in row.items() if not k.startswith(new)} for row in found]

        before = rows()
        batch = Batch(
            THINGS,
            ACCOUNT,
            False,
            [thing("t1", 1012, novel=1), gone("t2", 1011, 100)],
            {"parts": [part("t1", "b")]},
            load_id=2,
        )

        def attempt() -> None:
            with warehouse.transaction() as tx:
                tx.advance(held, '{"page":2}')
                tx.merge(batch, {"parts": PARTS})

        stops = 0
        while True:
            seen = 0

            def fault(label: str, at: int = stops) -> None:
                nonlocal seen
                seen += 1
                if seen > at and label != "verify":
                    raise RuntimeError(label)

            warehouse.fault = fault
            try:
                attempt()
            except RuntimeError:
                stops += 1
                warehouse.fault = None
                if stops % 7 == 0:  # reading is dear in DuckDB
                    assert rows() == before
                continue
            break
        warehouse.fault = None
        assert stops > 20
        assert (place.row("t1")["novel"], place.row("t0")["novel"]) == (1, 7)
        with warehouse.transaction() as tx:
            assert tx.states(ACCOUNT, False) == {"things": '{"page":2}'}

    def test_a_commit_that_commits_nothing_is_noticed(
        self, warehouse: SqlWarehouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = claim(warehouse)
        with warehouse.transaction() as tx:
            kind = type(tx._session)
        monkeypatch.setattr(kind, "_commit", kind._rollback)
        with (
            pytest.raises(WarehouseError, match="did not take effect"),
            warehouse.transaction() as tx,
        ):
            tx.advance(held, '{"x":1}')
        with pytest.raises(WarehouseError, match="did not take effect"):
            claim(warehouse)
