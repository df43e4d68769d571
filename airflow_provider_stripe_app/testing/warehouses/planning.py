"""What the planner of requests is told, and the requests that are kept."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_stripe_app.testing.warehouses.lab import (
    ACCOUNT,
    THINGS,
    Place,
    gone,
    merge,
)
from airflow_provider_stripe_app.warehouse.base import Obligation, OwedSecond, StagedRow
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse


def born(id_: str, created: int | None) -> StagedRow:
    told = "" if created is None else f',"created":{created}'
    return StagedRow(id_, f'{{"id":"{id_}","object":"thing"{told}}}', 1000)


def owes(id_: str, created: int | None = None, closes_at: int = 500) -> Obligation:
    return Obligation("things", id_, closes_at, "evt", "upsert", created=created)


class PlanningContract:
    """Listing a range is dearer or cheaper than reading each object: the warehouse can tell."""

    def test_owed_objects_are_found_among_all_of_their_stream(
        self, warehouse: SqlWarehouse
    ) -> None:
        rows = [born(f"t{i}", 1000 + i // 2) for i in range(10)]  # two a second
        merge(warehouse, [*rows, born("timeless", None), gone("dead", 1000, 1)])
        with warehouse.transaction() as tx:
            due = [owes("t2"), owes("t3"), owes("new", 1001), owes("t9", 1004), owes("lost")]
            tx.owe(ACCOUNT, False, [*due, owes("timeless"), owes("newest", 2000)])
            tx.owe(ACCOUNT, True, [owes("t0")])
            assert tx.owed_seconds(THINGS, ACCOUNT, False, -1, 9) == [
                OwedSecond(1001, owed=3, before=2, through=5),
                OwedSecond(1004, owed=1, before=9, through=11),
                OwedSecond(2000, owed=1, before=11, through=12),
            ]
            after = tx.owed_seconds(THINGS, ACCOUNT, False, 1001, 1)
            assert [s.created for s in after] == [1004]
            assert tx.owed_ids(THINGS, ACCOUNT, False, 1001, 1004) == {"t2", "t3", "new", "t9"}
            assert tx.owed_ids(THINGS, ACCOUNT, False, 1002, 1003) == set()

    def test_without_a_table_nothing_is_known_of_what_is_owed(
        self, warehouse: SqlWarehouse
    ) -> None:
        with warehouse.transaction() as tx:
            tx.owe(ACCOUNT, False, [owes("t1", 1000)])
            assert tx.owed_seconds(THINGS, ACCOUNT, False, -1, 9) == []
            assert tx.owed_ids(THINGS, ACCOUNT, False, 0, 2000) == set()

    def test_a_second_of_creation_once_told_is_not_forgotten(self, warehouse: SqlWarehouse) -> None:
        merge(warehouse, [born("other", 1)])
        with warehouse.transaction() as tx:
            tx.owe(ACCOUNT, False, [owes("t1", 1000), owes("t1", None, 600)])
            tx.owe(ACCOUNT, False, [owes("t1", None, 700)])
            [one] = tx.due(ACCOUNT, False, "things", 9)
        assert one == owes("t1", 1000, 700)

    def test_what_may_be_free_is_found_apart(self, warehouse: SqlWarehouse) -> None:
        paid = [owes(f"p{i}", closes_at=500 + i // 2) for i in range(4)]
        free = [replace(p, id=f"f{p.id}", payload="{}") for p in paid]
        dead = Obligation("things", "dead", 501, "evt", "gone")
        with warehouse.transaction() as tx:
            tx.owe(ACCOUNT, False, [*paid, *free, dead])
            assert tx.due(ACCOUNT, False, "things", 9, (0, "")) == [
                *free[:2],
                dead,
                *free[2:],
            ]
            assert tx.due(ACCOUNT, False, "things", 9, (501, "dead")) == free[2:]

    def test_obligations_of_an_earlier_version_get_the_new_column(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        merge(warehouse, [born("t1", 1000)])
        with warehouse.transaction() as tx:
            tx.owe(ACCOUNT, False, [owes("t1")])
        table = place.named("_stripe_sync_obligations")
        warehouse.close()
        place.execute(f"ALTER TABLE {table} DROP COLUMN created")
        with warehouse.transaction() as tx:
            assert tx.owed_seconds(THINGS, ACCOUNT, False, 0, 9) == [OwedSecond(1000, 1, 0, 1)]
            tx.owe(ACCOUNT, False, [owes("t2", 3)])
            assert tx.owed_ids(THINGS, ACCOUNT, False, 3, 3) == {"t2"}

    def test_requests_add_up_by_day_and_purpose(self, warehouse: SqlWarehouse) -> None:
        with warehouse.transaction() as tx:
            tx.spend(ACCOUNT, False, "2026-10-01", {"events": 1, "list:things": 3})
            tx.spend(ACCOUNT, False, "2026-10-02", {"events": 1, "list:things": 0})
            tx.spend(ACCOUNT, True, "2026-10-02", {"events": 50})
            tx.spend(ACCOUNT, False, "2026-10-02", {})
        with warehouse.transaction() as tx:
            tx.spend(ACCOUNT, False, "2026-10-02", {"events": 4})
            assert tx.spent(ACCOUNT, False, "2026-10-01") == {
                ("2026-10-01", "events"): 1,
                ("2026-10-01", "list:things"): 3,
                ("2026-10-02", "events"): 5,
            }
            assert tx.spent(ACCOUNT, False, "2026-10-02") == {("2026-10-02", "events"): 5}
            assert tx.spenders() == [(ACCOUNT, False), (ACCOUNT, True)]

    def test_old_days_are_forgotten_and_past_ones_summed_up(
        self, place: Place, warehouse: SqlWarehouse
    ) -> None:
        days = ("2026-08-01", "2026-10-01", "2026-10-02", "2026-10-03")
        with warehouse.transaction() as tx:
            for day in days:
                for _ in range(3):
                    tx.spend(ACCOUNT, False, day, {"events": 1, "list:things": 2})
            tx.spend(ACCOUNT, True, "2026-08-01", {"events": 1})
            before = tx.spent(ACCOUNT, False, "2026-09-01")
            tx.tidy_requests(ACCOUNT, False, "2026-09-01", "2026-10-03")
            assert tx.spent(ACCOUNT, False, "0") == before
        table = place.named("_stripe_sync_requests")
        warehouse.close()
        rows = place.execute(
            f"SELECT day, count(*) FROM {table} WHERE NOT livemode GROUP BY day ORDER BY day"
        )
        assert [tuple(row) for row in rows] == [
            ("2026-10-01", 2),  # summed up
            ("2026-10-02", 6),  # somebody may still be writing into it
            ("2026-10-03", 6),
        ]
        live = place.execute(f"SELECT sum(requests) FROM {table} WHERE livemode")
        assert int(live[0][0]) == 1
