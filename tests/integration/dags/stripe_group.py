"""All accounts that have the app, and one whose connection is not there."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_stripe_app.operators.task_group import (
    installed_accounts,
    stripe_sync_task_group,
)


def accounts() -> list[str]:
    return [*installed_accounts("stripe_acme"), "stripe_nobody"]


with DAG(dag_id="stripe_group", schedule=None):
    stripe_sync_task_group(
        streams=[["customers"], ["invoices", "invoice_line_items"]],
        warehouse_conn_id="warehouse",
        accounts=accounts,
    )
