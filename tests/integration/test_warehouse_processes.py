"""Several processes, one warehouse: they wait for each other and lose nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.testing.warehouses.lab import (
    ACCOUNT,
    THINGS,
    Place,
    claim,
    merge,
    thing,
)
from airflow_provider_stripe_app.warehouse.base import (
    Batch,
    LeaseHeld,
    StaleWriter,
    StateKey,
    WarehouseError,
)
from tests.integration.warehouse_lab import place_for

# Opens the file, says so, holds it until told to stop. "lock" also starts a writing transaction.
HOLDER = """
import sys
kind, file = sys.argv[1:]
if kind == "duckdb":
    import duckdb
    connection = duckdb.connect(file)
else:
    import sqlite3
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read(1)
connection.close()
"""


@contextmanager
def held_elsewhere(kind: str, file: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, kind, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait(10)


def file_of(kind: str, tmp_path: Path) -> Path:
    return tmp_path / {"sqlite": "w.db", "duckdb": "w.duckdb"}[kind]


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_writer_waits_for_another_process_and_says_so(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_stripe_app.warehouse.sqlite.BUSY_SECONDS", 0.2)
    place = place_for(kind, tmp_path, "", "")
    warehouse = place.warehouse()
    with held_elsewhere(kind, file_of(kind, tmp_path)) as process, caplog.at_level("INFO"):
        assert process.stdin is not None
        threading.Timer(1.0, process.stdin.close).start()
        started = time.monotonic()
        assert merge(warehouse, [thing("t1", 100)])["things"].inserted == 1
        assert time.monotonic() - started > 0.8
    assert "waiting" in caplog.text
    if kind == "duckdb":
        assert f"PID {process.pid}" in caplog.text


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_waiting_has_an_end_and_the_error_says_for_whom(kind: str, tmp_path: Path) -> None:
    warehouse = place_for(kind, tmp_path, "", "", lock_timeout=0.5).warehouse()
    with held_elsewhere(kind, file_of(kind, tmp_path)) as process:
        with pytest.raises(WarehouseError, match=r"still (open|locked)") as caught:
            merge(warehouse, [thing("t1", 100)])
        if kind == "duckdb":
            assert str(file_of(kind, tmp_path)) in str(caught.value)
            assert str(process.pid) in str(caught.value)
    assert merge(warehouse, [thing("t1", 100)])["things"].inserted == 1


# Merges its own rows one batch at a time, each in a transaction of its own.
WRITER = """
import sys
from pathlib import Path
from airflow_provider_stripe_app.warehouse.base import StateKey, Batch
from airflow_provider_stripe_app.testing.warehouses.lab import ACCOUNT, THINGS, thing
from tests.integration.warehouse_lab import place_for
kind, folder, socket, schema, name = sys.argv[1:]
warehouse = place_for(kind, Path(folder), socket, schema).warehouse()
key = StateKey(ACCOUNT, False, name)
with warehouse.transaction() as tx:
    held = tx.claim(key, name, 60, "")
for turn in range(4):
    with warehouse.transaction() as tx:
        tx.advance(held, str(turn))
        rows = [thing(f"{name}{turn}_{i}", 100, **{f"from_{name}": i}) for i in range(5)]
        tx.merge(Batch(THINGS, ACCOUNT, False, rows), {})
warehouse.close()
"""


@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "psycopg"])
def test_first_users_at_once_create_tables_and_columns_without_a_clash(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    socket, schema = "", ""
    if kind == "psycopg":
        pytest.importorskip(kind, reason="this environment has psycopg2 only")
        socket = request.getfixturevalue("postgres").socket_directory
        schema = f"p_{uuid.uuid4().hex[:12]}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, kind, str(tmp_path), socket, schema, name],
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b", "c")
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    place = place_for(kind, tmp_path, socket, schema)
    rows = place.rows("things")
    assert len(rows) == 60
    for row in rows:
        number = int(row["id"].split("_")[1])
        mine = f"from_{row['id'][0]}"
        assert {k: row[k] for k in ("from_a", "from_b", "from_c") if row[k] is not None} == {
            mine: number
        }
    with place.warehouse().transaction() as tx:
        assert tx.states(ACCOUNT, False) == {"a": "3", "b": "3", "c": "3"}


@pytest.fixture
def server(postgres: Any) -> Place:
    driver = "psycopg2"
    return place_for(driver, None, postgres.socket_directory, f"q_{uuid.uuid4().hex[:12]}")


def test_of_many_claims_at_once_one_wins(server: Place) -> None:
    key = StateKey(ACCOUNT, False, "things")

    def attempt(owner: str) -> int | None:
        warehouse = server.warehouse()
        try:
            with warehouse.transaction() as tx:
                return tx.claim(key, owner, 60, "").fence
        except LeaseHeld:
            return None
        finally:
            warehouse.close()

    with ThreadPoolExecutor(8) as pool:
        fences = list(pool.map(attempt, [f"o{i}" for i in range(8)]))
    assert sorted(fences, key=str) == [1, *[None] * 7]


def test_a_writer_that_was_overtaken_while_it_merged_commits_nothing(server: Place) -> None:
    """The claim of another run waits for the merge; the next merge of the old one is refused."""
    slow, fast = server.warehouse(), server.warehouse()
    held = claim(slow, "slow", ttl=0)
    overtaken = threading.Event()

    def overtake() -> None:
        claim(fast, "fast")
        overtaken.set()

    thread = threading.Thread(target=overtake)
    with slow.transaction() as tx:
        tx._ttls[held.key] = -1.0  # what it renews has expired already
        tx.advance(held, "1")
        thread.start()
        tx.merge(Batch(THINGS, ACCOUNT, False, [thing("t1", 100)]), {})
        assert not overtaken.wait(0.3)
        tx.advance(held, "2")
        slow.fault = None
    thread.join(10)
    assert overtaken.is_set()
    with pytest.raises(StaleWriter), slow.transaction() as tx:
        tx.advance(held, "3")
    with fast.transaction() as tx:
        assert tx.states(ACCOUNT, False) == {"things": "2"}
    slow.close()
    fast.close()


@pytest.mark.parametrize("kind", ["duckdb", "psycopg2"])
def test_a_claim_made_after_our_transaction_began_stops_our_writing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A mere look at the fence would let the stale writer through (EQUALITY §7)."""
    socket = ""
    if kind == "psycopg2":
        socket = request.getfixturevalue("postgres").socket_directory
    place = place_for(kind, tmp_path, socket, f"r_{uuid.uuid4().hex[:12]}")
    old, new = place.warehouse(), place.warehouse()
    held = claim(old, "old", ttl=0)
    with pytest.raises(WarehouseError), old.transaction() as tx:  # noqa: PT012
        assert tx.states(ACCOUNT, False) == {}  # the snapshot is taken
        claim(new, "new")
        tx.advance(held, "stale")
        tx.merge(Batch(THINGS, ACCOUNT, False, [thing("t1", 100)]), {})
    with new.transaction() as tx:
        assert tx.states(ACCOUNT, False) == {}
    old.close()
    new.close()


def test_a_lost_connection_is_one_error_and_the_next_transaction_connects_anew(
    server: Place,
) -> None:
    warehouse = server.warehouse()
    merge(warehouse, [thing("t1", 100)])
    pid = warehouse._connection.info.backend_pid
    server.execute(f"SELECT pg_terminate_backend({pid})")
    with pytest.raises(WarehouseError, match="PostgreSQL"):
        merge(warehouse, [thing("t2", 100)])
    assert merge(warehouse, [thing("t2", 100)])["things"].inserted == 1
    warehouse.close()
