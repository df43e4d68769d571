"""Tasks that cannot work, each for a reason of its own."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_stripe_app.operators.sync import StripeSyncOperator

with DAG(dag_id="stripe_mistakes", schedule=None):
    StripeSyncOperator(
        task_id="wrong_stream",
        stripe_app_conn_id="stripe_acme",
        streams=["custmers"],
        warehouse_conn_id="warehouse",
        retries=3,
        retry_delay=timedelta(minutes=10),
    )
    StripeSyncOperator(
        task_id="no_warehouse",
        stripe_app_conn_id="stripe_acme",
        streams=["customers"],
        warehouse_conn_id="warehouse_down",
    )
    StripeSyncOperator(
        task_id="no_connection",
        stripe_app_conn_id="stripe_nobody",
        streams=["customers"],
        warehouse_conn_id="warehouse",
    )
