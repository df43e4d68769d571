"""A sync through an app whose consent leaves out a permission: it must fail and name it."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_stripe_app.operators.sync import StripeSyncOperator

with DAG(
    dag_id="stripe_narrow",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["stripe"],
    doc_md=__doc__,
) as dag:
    StripeSyncOperator(
        task_id="sync",
        stripe_app_conn_id="stripe_narrow",
        streams=["customers", "subscriptions"],
        warehouse_conn_id="warehouse",
        schema="narrow",
    )
