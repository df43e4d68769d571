"""Many accounts, two tasks for each; how many is said by the environment."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_stripe_app.operators.task_group import stripe_sync_task_group

with DAG(dag_id="stripe_many", schedule=None):
    stripe_sync_task_group(
        streams=[["customers"], ["invoices", "invoice_line_items"]],
        warehouse_conn_id="warehouse",
        accounts=[f"stripe_{n:03}" for n in range(int(os.environ["STRIPE_MANY"]))],
        retries=4,
        retry_delay=timedelta(seconds=1),
    )
