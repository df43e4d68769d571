"""The task group's decisions: which tasks there are, in which pools, and what their ends mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.operators.sync import StripeSyncOperator
from airflow_provider_stripe_app.operators.task_group import (
    AccountsOperator,
    SyncSummaryOperator,
    plan,
    stream_groups,
    stripe_sync_task_group,
    summarize,
)

TABLES = ["customers", "invoices", "invoice_line_items"]
RESULT = {
    "streams": {
        "customers": {"inserted": 3, "updated": 2, "deleted": 1},
        "invoices": {"inserted": 4, "updated": 0, "deleted": 0},
    },
    "requests": {"list:customers": 2, "events": 1},
    "throttled": {"global-rate": 1},
}


def group(**arguments: Any) -> DAG:
    with DAG("many", schedule=None) as dag:
        stripe_sync_task_group(
            **{
                "streams": TABLES,
                "warehouse_conn_id": "warehouse",
                "accounts": ["stripe_a", "stripe_b"],
                **arguments,
            }
        )
    return dag


def mapped(dag: DAG) -> list[dict[str, Any]]:
    return list(dag.get_task("stripe_sync.sync").expand_input.value)


# ---- which tasks


def test_an_account_is_one_task_by_default_since_one_pass_over_events_serves_all_streams():
    dag = group()
    assert [one["stripe_app_conn_id"] for one in mapped(dag)] == ["stripe_a", "stripe_b"]
    assert all(one["streams"] == TABLES for one in mapped(dag))
    assert sorted(dag.task_ids) == ["stripe_sync.summary", "stripe_sync.sync"]


def test_accounts_and_groups_of_streams_are_multiplied_and_share_the_rate_out():
    dag = group(streams=[["customers"], ["invoice_line_items"]])
    assert [(one["stripe_app_conn_id"], one["streams"]) for one in mapped(dag)] == [
        ("stripe_a", ["customers"]),
        ("stripe_a", ["invoices", "invoice_line_items"]),
        ("stripe_b", ["customers"]),
        ("stripe_b", ["invoices", "invoice_line_items"]),
    ]
    assert dag.get_task("stripe_sync.sync").partial_kwargs["rate_share"] == 0.5


def test_a_schema_can_be_one_for_each_account():
    assert {one["schema"] for one in mapped(group(schema="raw"))} == {"raw"}
    named = mapped(group(schema="raw_{conn_id}"))
    assert [one["schema"] for one in named] == ["raw_stripe_a", "raw_stripe_b"]


@pytest.mark.matrix
def test_airflow_takes_a_mapped_pool_and_does_not_heed_it():
    """Why a pool for each account needs a task for each; if it fails, Airflow has learned it."""
    with DAG("many", schedule=None) as dag:
        StripeSyncOperator.partial(
            task_id="sync", streams=TABLES, warehouse_conn_id="w"
        ).expand_kwargs([{"stripe_app_conn_id": "a", "pool": "pool_of_a"}])
    scheduled = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert scheduled.get_task("sync").pool == "default_pool"


def test_a_pool_for_each_account_makes_a_task_for_each():
    dag = group(pool="pool_{conn_id}", retries=7)
    pools = {task.task_id: task.pool for task in dag.tasks}
    assert pools["stripe_sync.sync.stripe_a"] == "pool_stripe_a"
    assert pools["stripe_sync.sync.stripe_b"] == "pool_stripe_b"
    assert dag.get_task("stripe_sync.sync.stripe_a").retries == 7
    assert dag.get_task("stripe_sync.summary").upstream_task_ids == {
        "stripe_sync.sync.stripe_a",
        "stripe_sync.sync.stripe_b",
    }


def test_a_pool_for_each_account_and_group_of_streams():
    dag = group(pool="{conn_id}", streams=[["customers"], ["invoices"]])
    names = [task_id for task_id in dag.task_ids if ".sync." in task_id]
    assert sorted(names) == [
        "stripe_sync.sync.stripe_a.customers",
        "stripe_sync.sync.stripe_a.invoices",
        "stripe_sync.sync.stripe_b.customers",
        "stripe_sync.sync.stripe_b.invoices",
    ]


def test_one_pool_for_all_accounts_bounds_the_mapped_task():
    task = group(pool="stripe", max_active_tis_per_dagrun=5).get_task("stripe_sync.sync")
    assert task.pool == "stripe"
    assert task.max_active_tis_per_dagrun == 5


def test_accounts_can_be_asked_for_at_each_run():
    dag = group(accounts=lambda: ["stripe_x"], schema="{conn_id}")
    task = dag.get_task("stripe_sync.accounts")
    assert isinstance(task, AccountsOperator)
    assert task.execute({}) == [
        {"stripe_app_conn_id": "stripe_x", "streams": TABLES, "schema": "stripe_x"}
    ]
    assert dag.get_task("stripe_sync.sync").upstream_task_ids == {"stripe_sync.accounts"}


def test_listing_and_summing_up_are_tried_again_as_syncs_are():
    dag = group(accounts=lambda: ["stripe_x"], retries=4, queue="big", workers=3)
    assert {task.task_id: (task.retries, task.queue) for task in dag.tasks} == {
        "stripe_sync.accounts": (4, "big"),
        "stripe_sync.sync": (4, "big"),
        "stripe_sync.summary": (4, "big"),
    }


def test_a_run_without_accounts_is_not_green():
    task = group(accounts=list).get_task("stripe_sync.accounts")
    with pytest.raises(AirflowFailException, match="would be green"):
        task.execute({})


def test_the_airflow_arguments_of_the_dag_reach_the_tasks():
    with DAG("many", schedule=None, default_args={"retries": 4}) as dag:
        stripe_sync_task_group(streams=TABLES, warehouse_conn_id="w", accounts=["a"])
    assert dag.get_task("stripe_sync.sync").retries == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"streams": ["custmers"]}, "did you mean 'customers'"),
        ({"streams": "customers"}, "streams must be a list"),
        ({"streams": []}, "no streams are named"),
        ({"streams": [["invoices"], ["invoice_line_items"]]}, "invoices would be synced by two"),
        ({"accounts": []}, "would be green"),
        ({"accounts": "stripe_a"}, "must be a list of connection ids"),
        ({"accounts": ["stripe_a", "stripe_a"]}, "stripe_a twice"),
        ({"accounts": lambda: ["a"], "pool": "{conn_id}"}, "needs accounts as a list"),
    ],
)
def test_wrong_arguments_are_named_when_the_dag_is_read(arguments: dict[str, Any], said: str):
    with pytest.raises(ConfigurationError, match=said):
        group(**arguments)


# ---- how they ended


class FakeTaskInstance:
    """What the summary asks Airflow for."""

    dag_id, run_id = "many", "run_1"

    def __init__(self, states: dict[str, str | None]) -> None:
        self.states = states
        self.pushed: Any = None

    def get_task_states(self, **_: Any) -> dict[str, dict[str, str | None]]:
        return {self.run_id: self.states}

    def xcom_pull(self, task_ids: str, map_indexes: int) -> Any:
        return RESULT if self.states[f"{task_ids}_{map_indexes}"] == "success" else None

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed = (key, value)


@pytest.fixture
def ended() -> Callable[..., tuple[FakeTaskInstance, Callable[[], dict[str, Any]]]]:
    def ended(*states: str | None):
        conn_ids = [f"stripe_{n}" for n in range(len(states))]
        planned = plan(conn_ids, stream_groups(TABLES), None)
        task = SyncSummaryOperator(
            task_id="summary", planned=planned, sync_tasks=["g.sync"], mapped=True
        )
        ti = FakeTaskInstance({f"g.sync_{n}": state for n, state in enumerate(states)})
        return ti, lambda: task.execute({"ti": ti})  # type: ignore[typeddict-item]

    return ended


def test_the_summary_tells_each_account(ended):
    _, execute = ended("success", "success")
    summary = execute()
    assert summary["accounts"] == 2
    assert summary["failed"] == summary["unfinished"] == []
    assert summary["tasks"]["stripe_0"] == {
        "state": "success",
        "inserted": 7,
        "updated": 2,
        "deleted": 1,
        "requests": 3,
        "throttled": 1,
    }


@pytest.mark.parametrize("state", ["failed", "upstream_failed", "removed", None])
def test_an_account_that_failed_or_did_not_run_fails_the_group_and_is_named(ended, state):
    ti, execute = ended("success", state, "success")
    with pytest.raises(AirflowFailException, match=r"1 of 3 tasks failed: stripe_1\."):
        execute()
    key, summary = ti.pushed
    assert key == "return_value"
    assert summary["failed"] == ["stripe_1"]
    assert summary["tasks"]["stripe_2"]["inserted"] == 7


def test_an_account_stopped_by_its_cap_does_not_end_the_group_green(ended):
    _, execute = ended("success", "skipped")
    with pytest.raises(AirflowSkipException, match="1 of 2 tasks are unfinished: stripe_1"):
        execute()


def test_a_failure_counts_more_than_an_unfinished_account(ended):
    _, execute = ended("failed", "skipped")
    with pytest.raises(AirflowFailException):
        execute()


def test_accounts_that_could_not_be_listed_fail_the_group():
    task = SyncSummaryOperator(task_id="s", planned=None, sync_tasks=["g.sync"], mapped=True)
    with pytest.raises(AirflowFailException, match="task accounts has not told"):
        task.execute({})  # type: ignore[arg-type]


def test_tasks_are_named_by_account_and_table_where_an_account_has_several():
    planned = plan(["a", "b"], stream_groups([["customers"], ["invoices"]]), None)
    summary = summarize(planned, ["success"] * 4, [None] * 4)
    assert list(summary["tasks"]) == ["a.customers", "a.invoices", "b.customers", "b.invoices"]
    assert summary["accounts"] == 2
