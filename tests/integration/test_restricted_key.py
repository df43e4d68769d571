"""The way in without an app, and what Airflow shows of a run, with real Airflow processes.

One Airflow and one simulated Stripe serve all tests, in the order of the file. The example DAGs run
as they are; only what ``stripe_acme`` holds differs: a restricted key instead of an installation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.streams.catalog import (
    DEFAULT_STREAMS,
    permissions_for,
    resolve_streams,
)
from demo.processes import free_ports
from demo.world import EXAMPLES, World

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.timeout(300)]
OURS = [
    Path(__file__).parent / "dags" / name for name in ("stripe_mistakes.py", "stripe_accounts.py")
]
NEEDED = [name for name, _ in permissions_for(resolve_streams(DEFAULT_STREAMS))]
CONNECTION = "stripe_acme"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    # Enough invoices with many lines that the first load takes longer than a progress line.
    objects = {"customers": 300, "invoices": 900, "subscriptions": 150}
    with World(objects, dags=[EXAMPLES, *OURS]) as everything:
        everything.connect_warehouse()
        for dag_id in ("stripe_sync", "stripe_sync_mapped", "stripe_mistakes", "stripe_accounts"):
            everything.airflow.api.wait_for_dag(dag_id)
        yield everything


@pytest.fixture(scope="module")
def first_run(world: World) -> str:
    """The run that loads everything with a key that has all that is needed."""
    paste_key(world, NEEDED)
    return world.airflow.api.run("stripe_sync")


def paste_key(world: World, permissions: list[str], conn_id: str = CONNECTION) -> None:
    made = world.stripe.control("POST", "keys", kind="restricted", permissions=permissions)
    world.airflow.api.put_connection(conn_id, "stripe_app", password=made["key"])


def failure(world: World, dag_id: str = "stripe_sync") -> str:
    """Run a DAG that must fail at its first try and return the log of what failed."""
    api = world.airflow.api
    run_id = api.run(dag_id, expect="failed")
    assert {task["try_number"] for task in api.task_instances(dag_id, run_id)} == {1}
    return api.logs(dag_id, run_id)


def asset_events(world: World, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
    """Return table → extra of the events that a run left."""
    found = world.airflow.api.call(
        "GET", "/assets/events", params={"source_dag_id": dag_id, "limit": 100}
    )
    return {
        event["uri"].rpartition("/")[2]: event["extra"]
        for event in found["asset_events"]
        if event["source_run_id"] == run_id
    }


def test_a_restricted_key_syncs_without_any_app(world: World, first_run: str) -> None:
    comparisons = world.compare()
    assert [str(one) for one in comparisons if not one.equal] == []
    assert all(one.rows for one in comparisons)
    assert world.stripe.counts().get("exchange", 0) == 0
    assert world.stripe.counts().get("refresh", 0) == 0


def test_a_key_that_may_not_read_its_account_still_knows_it(world: World, first_run: str) -> None:
    assert "connected_account_read" not in NEEDED
    summary = world.airflow.api.xcom("stripe_sync", first_run, "sync")
    assert summary["account"] == world.stripe.account_id


def test_what_a_task_returns_is_small_and_has_the_documented_keys(
    world: World, first_run: str
) -> None:
    summary = world.airflow.api.xcom("stripe_sync", first_run, "sync")
    documented = {"account", "livemode", "streams", "requests", "throttled", "complete_to"}
    assert documented <= set(summary)
    assert list(summary["streams"]) == list(DEFAULT_STREAMS)
    for did in summary["streams"].values():
        counts = {"inserted", "updated", "deleted", "unchanged", "requests", "seconds"}
        assert counts <= set(did) <= counts | {"owed", "misfits", "new_columns"}
    assert len(json.dumps(summary)) < 4000


def test_a_long_load_says_how_far_it_is(world: World, first_run: str) -> None:
    log = world.airflow.api.task_log("stripe_sync", first_run, "sync")
    lines = re.findall(r"loading: .*invoices [\d,]+.*objects/s, .*requests/s.*", log)
    assert lines
    assert any("s left" in line for line in lines)


def test_the_run_links_to_the_account_in_the_stripe_dashboard(world: World, first_run: str) -> None:
    links = world.airflow.api.call(
        "GET", f"/dags/stripe_sync/dagRuns/{first_run}/taskInstances/sync/links"
    )
    address = f"https://dashboard.stripe.com/{world.stripe.account_id}/test/dashboard"
    assert links["extra_links"] == {"Stripe Dashboard": address}


def test_each_table_is_an_asset_that_says_what_changed(world: World, first_run: str) -> None:
    extras = asset_events(world, "stripe_sync", first_run)
    rows = {one.table: one.rows for one in world.compare()}
    assert {table: extra["inserted"] for table, extra in extras.items()} == rows
    assert {extra["account"] for extra in extras.values()} == {world.stripe.account_id}


def test_mapped_tasks_whose_tables_are_not_known_beforehand_succeed(
    world: World, first_run: str
) -> None:
    api = world.airflow.api
    run_id = api.run("stripe_sync_mapped")
    tasks = api.task_instances("stripe_sync_mapped", run_id)
    assert sorted(task["map_index"] for task in tasks) == [0, 1, 2]
    synced = [
        api.xcom("stripe_sync_mapped", run_id, "sync", index)["streams"] for index in range(3)
    ]
    assert {table for streams in synced for table in streams} == set(DEFAULT_STREAMS)
    # Airflow knows these assets by the other example.
    assert set(asset_events(world, "stripe_sync_mapped", run_id)) == set(DEFAULT_STREAMS)
    path = f"/dags/stripe_sync_mapped/dagRuns/{run_id}/taskInstances/sync/links"
    links = api.call("GET", path, params={"map_index": 1})["extra_links"]
    assert links["Stripe Dashboard"].endswith(f"/{world.stripe.account_id}/test/dashboard")


def test_a_mapped_task_with_tables_that_no_dag_names_succeeds(world: World, first_run: str) -> None:
    paste_key(world, NEEDED, "stripe_second")
    run_id = world.airflow.api.run("stripe_accounts")
    summary = world.airflow.api.xcom("stripe_accounts", run_id, "sync", 0)
    assert set(summary["streams"]) == {"customers"}
    assert asset_events(world, "stripe_accounts", run_id) == {}


def test_mistakes_are_named_with_what_to_do(world: World, first_run: str) -> None:
    [port] = free_ports(1)
    api = world.airflow.api
    api.put_connection(
        "warehouse_down", "postgres", host="127.0.0.1", port=port, login="u", password="p"
    )
    run_id = api.run("stripe_mistakes", expect="failed")
    tries = {t["task_id"]: t["try_number"] for t in api.task_instances("stripe_mistakes", run_id)}
    assert tries == {"wrong_stream": 1, "no_warehouse": 1, "no_connection": 1}
    logs = {task: api.task_log("stripe_mistakes", run_id, task) for task in tries}
    assert "there is no stream 'custmers': did you mean 'customers'?" in logs["wrong_stream"]
    assert "AirflowFailException" in logs["wrong_stream"]
    assert "'warehouse_down'" in logs["no_warehouse"]
    assert f"port {port}" in logs["no_warehouse"]
    assert "stripe_nobody" in logs["no_connection"]


def test_a_key_without_a_permission_fails_naming_it_and_the_way_to_give_it(
    world: World, first_run: str
) -> None:
    paste_key(world, [name for name in NEEDED if name != "event_read"])
    log = failure(world)
    assert "the permission event_read is missing" in log
    assert "For a restricted key edit the key in the Stripe Dashboard" in log
    assert "AirflowFailException" in log


def test_a_rolled_key_fails_naming_the_connection_and_not_the_page(
    world: World, first_run: str
) -> None:
    world.airflow.api.put_connection(CONNECTION, "stripe_app", password="rk_test_" + "gone" * 8)
    log = failure(world)
    assert f"refused the restricted key of connection {CONNECTION}" in log
    assert "create a new one in the Stripe Dashboard" in log
    assert "Reauthorize" not in log


def test_a_key_beside_an_install_link_is_told_which_of_the_two_to_keep(
    world: World, first_run: str
) -> None:
    app = world.stripe.register_app([world.redirect_uri], NEEDED)
    world.airflow.api.put_connection(
        CONNECTION, "stripe_app", login=app.install_link, password="rk_test_" + "both" * 8
    )
    log = failure(world)
    assert "has both an install link and a restricted key" in log
    assert "to sync only your own account with the restricted key, empty the install link" in log


def test_the_page_shows_a_connection_with_a_key_as_one_that_needs_nothing(
    world: World, first_run: str
) -> None:
    paste_key(world, NEEDED)
    page = world.browser().open(world.page)
    assert CONNECTION in page.text
    assert "restricted key" in page.text
    assert "needs attention" not in page.text
