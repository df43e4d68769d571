"""Keep five tables equal to one Stripe account, every hour.

Needs two connections: ``stripe_acme`` (type *Stripe App*, installed on the page Stripe App) and
``warehouse`` (DuckDB, SQLite or PostgreSQL). The first run lists everything; each later one follows
Stripe's events, so a run without changes costs Stripe one request.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG

from airflow_provider_stripe_app.operators.sync import StripeSyncOperator

with DAG(
    dag_id="stripe_sync",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1),
    catchup=False,  # one run catches up with everything
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=2)},
    tags=["stripe"],
    doc_md=__doc__,
) as dag:
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
        schema=None,  # of the tables; None is the warehouse's default
        mode="auto",  # list what is new, follow events for the rest; "full" lists all again
    )
