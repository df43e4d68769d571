"""The main job with real processes: install → sync → expire → sync, on both metadata databases.

One Airflow and one simulated Stripe serve all tests of a metadata database, in the order of the
file: starting them is most of the time that this takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_stripe_app.streams.catalog import DEFAULT_STREAMS, resolve_streams
from demo.compare import StripeReader, differing_paths
from demo.run import APP, DAGS, INSTALLATION, MISSING, NARROW, NARROW_APP
from demo.world import World

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(400)]
TABLES = DEFAULT_STREAMS


@pytest.fixture(
    scope="module",
    params=[pytest.param("sqlite", marks=pytest.mark.matrix), "postgres"],
)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    objects = {"customers": 400, "invoices": 260, "subscriptions": 200}
    with World(objects, dags=DAGS, metadata=request.param) as everything:
        everything.make_app(APP)
        everything.connect_warehouse()
        for dag_id in ("stripe_sync", "stripe_narrow", "stripe_sync_mapped"):
            everything.airflow.api.wait_for_dag(dag_id)
        yield everything


def sync(world: World, dag_id: str = "stripe_sync") -> dict[str, object]:
    run_id = world.airflow.api.run(dag_id)
    return world.airflow.api.xcom(dag_id, run_id, "sync")


def assert_equal_to_stripe(world: World) -> None:
    comparisons = world.compare()
    assert [one.table for one in comparisons] == list(TABLES)
    assert all(one.rows for one in comparisons)
    unequal = [str(one) for one in comparisons if not one.equal]
    assert not unequal


def changed(summary: dict[str, object]) -> dict[str, tuple[int, int, int]]:
    return {
        table: (did["inserted"], did["updated"], did["deleted"])
        for table, did in summary["streams"].items()
    }


def test_a_browser_installs_the_app_and_the_first_run_makes_equal_tables(world: World) -> None:
    page = world.install(APP, INSTALLATION)
    assert page.status == 200
    assert f"Installed: {INSTALLATION}" in page.text
    summary = sync(world)
    assert_equal_to_stripe(world)
    rows = {one.table: one.rows for one in world.compare()}
    assert changed(summary) == {table: (count, 0, 0) for table, count in rows.items()}


def test_a_run_without_changes_writes_nothing_and_reads_no_objects(world: World) -> None:
    summary = sync(world)
    assert changed(summary) == dict.fromkeys(TABLES, (0, 0, 0))
    assert set(summary["requests"]) == {"events"}
    assert summary["requests"]["events"] <= 2


def test_after_a_busy_day_and_an_expired_token_the_tables_are_equal_again(world: World) -> None:
    done = world.merchant().a_busy_day()
    world.stripe.advance(3660)
    before = world.stripe.counts().get("refresh", 0)
    summary = sync(world)
    assert_equal_to_stripe(world)
    assert world.stripe.counts()["refresh"] - before == 1
    made = [id_ for id_ in done.created if id_.startswith("cus_")]
    gone = [id_ for id_ in done.deleted if id_.startswith("cus_")]
    assert made
    assert gone
    assert changed(summary)["customers"] == (len(made), 40, len(gone))
    assert "events" in summary["requests"]
    assert not any(purpose.startswith("list:") for purpose in summary["requests"])


def test_what_was_deleted_stays_as_a_tombstone(world: World) -> None:
    tombstones = world.tombstones()
    assert tombstones["customers"] == 5
    assert tombstones["invoices"] == 1
    assert tombstones["invoice_line_items"] >= 2
    assert tombstones["subscriptions"] == 0


def test_mapped_tasks_take_turns_on_one_duckdb_file(world: World) -> None:
    world.merchant().a_busy_day()
    world.stripe.advance(60)
    world.airflow.api.run("stripe_sync_mapped")
    assert_equal_to_stripe(world)


def test_a_missing_permission_fails_the_run_and_is_named(world: World) -> None:
    world.make_app(NARROW_APP, without=[MISSING])
    world.install(NARROW_APP, NARROW)
    api = world.airflow.api
    run_id = api.run("stripe_narrow", expect="failed")
    [task] = api.task_instances("stripe_narrow", run_id)
    assert task["try_number"] == 1
    log = api.logs("stripe_narrow", run_id)
    assert f"the permission {MISSING} is missing" in log
    assert "AirflowFailException" in log


def test_the_server_was_told_of_every_sync(world: World) -> None:
    engine = create_engine(world.airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    query = "SELECT conn_id, stream, ok, permission, complete_to, dag_id FROM stripe_app_stream"
    with engine.connect() as database:
        told = {(one.conn_id, one.stream): one for one in database.execute(text(query))}
    engine.dispose()
    assert {stream for conn_id, stream in told if conn_id == INSTALLATION} == set(TABLES)
    good = [one for one in told.values() if one.conn_id == INSTALLATION]
    assert all(one.ok and one.complete_to for one in good)
    bad = [one for one in told.values() if one.conn_id == NARROW and not one.ok]
    assert {(one.permission, one.dag_id) for one in bad} == {(MISSING, "stripe_narrow")}


def test_the_simulation_tells_everybody_the_same(world: World) -> None:
    """The truth that tables are compared with is what Stripe's own API says."""
    streams = resolve_streams(TABLES)
    truth = world.stripe.truth(streams)
    told = StripeReader(world.stripe.url, world.stripe.secret_key).read(streams)
    for stream in streams:
        name = stream.name
        assert truth[name].keys() == told[name].keys()
        for id_, one in truth[name].items():
            paths = set(differing_paths(one, told[name][id_]))
            assert paths <= stream.volatile


def test_no_log_of_any_process_or_task_holds_a_secret(world: World) -> None:
    secret = re.compile(r"(?:sk|rk)_(?:test|live)_\w{12,}|rt_\w{20,}|ac_\w{20,}")
    logs = [
        *world.airflow.logs.glob("*.log"),
        *(world.airflow.home / "logs").rglob("*.log"),
    ]
    assert any("task_id=sync" in str(path) for path in logs)
    leaks = [
        f"{path.name}: {found.group(0)[:12]}…"
        for path in logs
        for found in secret.finditer(path.read_text(errors="replace"))
    ]
    assert not leaks
