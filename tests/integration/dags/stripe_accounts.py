"""Mapped over connections, so that no DAG names the assets of ``stripe_second``."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_stripe_app.operators.sync import StripeSyncOperator

with DAG(dag_id="stripe_accounts", schedule=None):
    StripeSyncOperator.partial(
        task_id="sync", streams=["customers"], warehouse_conn_id="warehouse"
    ).expand(stripe_app_conn_id=["stripe_second"])
