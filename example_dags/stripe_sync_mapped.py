"""The same tables with one task for each group of streams, side by side.

Airflow's dynamic task mapping is also the way to many accounts: expand over ``stripe_app_conn_id``.
Each task takes the lease of its own streams. On DuckDB, where one process writes at a time, they
fetch from Stripe at once and take turns to write.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_stripe_app.operators.sync import StripeSyncOperator

with DAG(
    dag_id="stripe_sync_mapped",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["stripe"],
    doc_md=__doc__,
) as dag:
    StripeSyncOperator.partial(
        task_id="sync",
        stripe_app_conn_id="stripe_acme",
        warehouse_conn_id="warehouse",
    ).expand(
        streams=[  # a child stream goes with its parent
            ["customers"],
            ["invoices", "invoice_line_items"],
            ["subscriptions", "subscription_items"],
        ]
    )
