"""A sync that is retried at once."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_stripe_app.operators.sync import StripeSyncOperator

with DAG(dag_id="stripe_killed", schedule=None) as dag:
    StripeSyncOperator(
        task_id="sync",
        stripe_app_conn_id="stripe_acme",
        streams=[
            "customers",
            "invoices",
            "invoice_line_items",
            "subscriptions",
            "subscription_items",
        ],
        warehouse_conn_id="warehouse",
        retries=2,
        retry_delay=timedelta(seconds=1),
    )
