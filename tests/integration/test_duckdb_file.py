"""A DuckDB file: how long it stays open, how much memory it takes, tables of earlier versions."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.testing.warehouses.lab import gone, merge, part, thing
from airflow_provider_stripe_app.warehouse import duckdb as module
from airflow_provider_stripe_app.warehouse.base import RoomMade, TableChange
from airflow_provider_stripe_app.warehouse.duckdb import DuckDBWarehouse
from airflow_provider_stripe_app.warehouse.duckdb_sql import DuckDBDialect
from tests.integration.sync_lab import lab

SMALL = 3 * 2**20


def connect(path: Path) -> Any:
    import duckdb

    return duckdb.connect(str(path))


class Opened:
    """Opens a file, and counts how often."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.times = 0

    def __call__(self) -> Any:
        self.times += 1
        return connect(self.path)

    def query(self, statement: str) -> list[Any]:
        with connect(self.path) as connection:
            return connection.execute(statement).fetchall()


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    return Opened(tmp_path / "w.duckdb")


def test_transactions_in_a_row_open_the_file_once(opened: Opened) -> None:
    warehouse = DuckDBWarehouse(opened)
    for version in (1, 2, 3):
        merge(warehouse, [thing("t1", version, amount=version)])
    assert opened.times == 1
    warehouse.close()
    assert opened.query("SELECT amount FROM things") == [(3,)]


def test_the_file_is_closed_when_no_transaction_follows(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER", 0.01)
    warehouse = DuckDBWarehouse(opened)
    merge(warehouse, [thing("t1", 1)])
    deadline = time.monotonic() + 30
    while warehouse._connection is not None:
        assert time.monotonic() < deadline, "the file stays open"
        time.sleep(0.01)
    merge(warehouse, [thing("t2", 1)])
    assert opened.times == 2
    warehouse.close()


def test_a_transaction_is_never_closed_under_its_hands(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER", 0.0)
    warehouse = DuckDBWarehouse(opened)
    for version in range(1, 15):
        merge(warehouse, [thing("t1", version)])
    warehouse.close()
    assert opened.query("SELECT _version FROM things") == [(14,)]


def test_others_get_their_turn_in_a_long_load(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HOLD", 0.0)
    monkeypatch.setattr(module, "_RETRY_EVERY", 0.0)
    warehouse = DuckDBWarehouse(opened)
    for version in (1, 2):
        merge(warehouse, [thing("t1", version)])
    assert opened.times == 2
    assert warehouse._connection is None


def limit(opened: Opened, warehouse: DuckDBWarehouse) -> str:
    merge(warehouse, [])
    found = warehouse._connection.execute("SELECT current_setting('memory_limit')").fetchone()
    warehouse.close()
    return str(found[0])


def test_memory_is_bounded_unless_the_user_has_bounded_it(opened: Opened) -> None:
    assert limit(opened, DuckDBWarehouse(opened)) == f"{module.MEMORY / 2**20} MiB"

    def theirs() -> Any:
        connection = opened()
        connection.execute("SET memory_limit = '1GiB'")
        return connection

    assert limit(opened, DuckDBWarehouse(theirs)) == "1.0 GiB"


def test_indexes_of_earlier_versions_get_their_memory(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DuckDBDialect, "row_key", True)
    monkeypatch.setattr(module, "INDEX_BYTES", 2**20)
    warehouse = DuckDBWarehouse(opened)
    merge(warehouse, [thing(f"t{n}", 1) for n in range(100)])
    warehouse.close()
    found = float(limit(opened, warehouse).removesuffix(" MiB"))
    assert found >= module.MEMORY / 2**20 + 100


def test_a_merge_that_lacks_memory_writes_nothing_and_works_the_second_time(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = DuckDBWarehouse(opened)
    merge(warehouse, [thing("t0", 1)])
    warehouse.close()
    monkeypatch.setattr(module, "MEMORY", SMALL)
    rows = [thing(f"t{n}", 1, name="x" * 1000) for n in range(1, 5000)]
    with pytest.raises(RoomMade, match="Out of Memory"):
        merge(warehouse, rows)
    assert opened.query("SELECT count(*) FROM things") == [(1,)]
    assert merge(warehouse, rows)["things"] == TableChange(inserted=4999)
    warehouse.close()


def test_a_sync_whose_warehouse_lacks_memory_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MEMORY", SMALL)
    with lab(tmp_path) as one, caplog.at_level(logging.WARNING):
        one.sim.populate(one.account, customers=30)
        one.sync(["customers"])
        one.assert_equal(["customers"])
    assert "trying again with more memory" in caplog.text


def test_a_table_with_a_primary_key_is_written_like_one_without(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(DuckDBDialect, "row_key", True)
        warehouse = DuckDBWarehouse(opened)
        merge(warehouse, [thing("t1", 10, amount=1), thing("t2", 10)], [part("t1", "a")])
    rows = [thing("t1", 20, amount=2), gone("t2", 21, 2), thing("t3", 20)]
    changes = merge(warehouse, rows, [part("t1", "a", 2), part("t3", "b")])
    warehouse.close()
    assert changes["things"] == TableChange(inserted=1, updated=1, deleted=1)
    assert changes["parts"] == TableChange(inserted=1, updated=1)
    found = opened.query("SELECT id, amount, is_deleted FROM things ORDER BY id")
    assert found == [("t1", 2, False), ("t2", None, True), ("t3", None, False)]
    keys = opened.query("SELECT has_primary_key FROM duckdb_tables() WHERE table_name = 'things'")
    assert keys == [(True,)]


def test_no_row_is_there_twice_without_a_primary_key(opened: Opened) -> None:
    warehouse = DuckDBWarehouse(opened)
    for version in (10, 20, 30):
        rows = [thing("t1", version, amount=version), thing("t1", version + 1, amount=version + 1)]
        merge(warehouse, [*rows, thing(f"t{version}", version)], [part("t1", "a", version)])
    warehouse.close()
    assert opened.query("SELECT id, count(*) FROM things GROUP BY id HAVING count(*) > 1") == []
    assert opened.query("SELECT amount FROM things WHERE id = 't1'") == [(31,)]
    assert opened.query("SELECT id, n FROM parts") == [("a", 30)]
    keys = opened.query("SELECT has_primary_key FROM duckdb_tables() WHERE table_name = 'things'")
    assert keys == [(False,)]
