"""What must not matter, with real Airflow processes: many tasks at once, and SIGKILL."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.processes import wait_for
from demo.run import APP, INSTALLATION
from demo.world import World
from tests.integration.dags.stripe_twenty import TASKS

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(500)]
DAGS = Path(__file__).parent / "dags"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    objects = {"customers": 3000, "invoices": 1200, "subscriptions": 400}
    with World(objects, dags=[DAGS], metadata="postgres", parallelism=TASKS) as everything:
        everything.make_app(APP)
        everything.install(APP, INSTALLATION)
        everything.connect_warehouse()
        for dag_id in ("stripe_twenty", "stripe_killed", "stripe_group"):
            everything.airflow.api.wait_for_dag(dag_id)
        yield everything


def test_a_sync_that_is_killed_mid_load_goes_on_where_it_was(world: World) -> None:
    api = world.airflow.api
    run_id = api.trigger("stripe_killed")

    def lists_are_coming() -> bool:
        return len(world.stripe.requests(r"^GET /v1/(customers|invoices)\?")) >= 12

    wait_for(lists_are_coming, 120, "the load to be under way", every=0.05)
    # The merge of some of these pages is what the second try must find.
    wait_for(lambda: rows(world) > 0, 60, "the first rows", every=0.05)
    [task] = api.task_instances("stripe_killed", run_id)
    assert task["state"] == "running"
    os.kill(task["pid"], signal.SIGKILL)

    assert api.wait_for_run("stripe_killed", run_id, 240) == "success"
    [task] = api.task_instances("stripe_killed", run_id)
    assert task["try_number"] == 2
    comparisons = world.compare()
    assert [str(one) for one in comparisons if not one.equal] == []
    assert all(one.rows for one in comparisons)
    summary = api.xcom("stripe_killed", run_id, "sync")
    again = summary["streams"]["customers"]["inserted"] + summary["streams"]["invoices"]["inserted"]
    had = {one.table: one.rows for one in comparisons}
    assert again < had["customers"] + had["invoices"]


def rows(world: World) -> int:
    """Return how many rows are committed so far; 0 while the file is being written."""
    import duckdb

    try:
        with world.open_warehouse() as cursor:
            cursor.execute("SELECT count(*) FROM customers")
            return int(cursor.fetchall()[0][0])
    except duckdb.Error:
        return 0


def test_twenty_tasks_with_one_dead_token_refresh_it_once(world: World) -> None:
    api, folder = world.airflow.api, world.dags.resolve()
    run_id = api.trigger("stripe_twenty")

    def all_ready() -> bool:
        return len(list(folder.glob("ready-*"))) == TASKS

    wait_for(
        all_ready,
        200,
        "twenty tasks to hold the token",
        why=lambda: api.logs("stripe_twenty", run_id),
    )
    before = world.stripe.counts().get("refresh", 0)
    world.stripe.control("POST", "expire", account=world.stripe.account_id)
    (folder / "expired").touch()

    assert api.wait_for_run("stripe_twenty", run_id, 120) == "success"
    assert len(api.task_instances("stripe_twenty", run_id)) == TASKS
    assert world.stripe.counts()["refresh"] - before == 1
    refused = [one for one in world.stripe.requests(r"^GET /v1/customers") if one["status"] == 401]
    assert refused


def test_an_account_that_fails_does_not_stop_the_others_and_the_group_says_so(
    world: World,
) -> None:
    world.merchant().a_busy_day()
    world.stripe.advance(60)
    api = world.airflow.api
    run_id = api.run("stripe_group", expect="failed")
    tasks = {(t["task_id"], t["map_index"]): t for t in api.task_instances("stripe_group", run_id)}
    assert {key: task["state"] for key, task in tasks.items()} == {
        ("stripe_sync.accounts", -1): "success",
        ("stripe_sync.sync", 0): "success",
        ("stripe_sync.sync", 1): "success",
        ("stripe_sync.sync", 2): "failed",
        ("stripe_sync.sync", 3): "failed",
        ("stripe_sync.summary", -1): "failed",
    }
    names = [tasks["stripe_sync.sync", index]["rendered_map_index"] for index in range(4)]
    assert names == [
        f"{conn_id}: {tables}"
        for conn_id in (INSTALLATION, "stripe_nobody")
        for tables in ("customers", "invoices, invoice_line_items")
    ]
    summary = api.xcom("stripe_group", run_id, "stripe_sync.summary")
    assert summary["failed"] == ["stripe_nobody.customers", "stripe_nobody.invoices"]
    assert summary["tasks"][f"{INSTALLATION}.customers"]["updated"] > 0
    said = api.task_log("stripe_group", run_id, "stripe_sync.summary")
    assert "2 of 4 tasks failed: stripe_nobody.customers, stripe_nobody.invoices" in said
    tables = ("customers", "invoices", "invoice_line_items")
    assert [str(one) for one in world.compare(tables) if not one.equal] == []
