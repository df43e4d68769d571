"""Every account that has installed the app, over all workers, every hour.

Which accounts there are is asked at each run: an account that was installed a minute ago is in. One
that fails does not stop the others; the task ``summary`` fails at the end and names it. The pool
``stripe`` bounds how many are synced at once: ``airflow pools set stripe 8 "Stripe accounts"``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from airflow.sdk import DAG

from airflow_provider_stripe_app.operators.task_group import (
    installed_accounts,
    stripe_sync_task_group,
)

with DAG(
    dag_id="stripe_accounts",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=2)},
    tags=["stripe"],
    doc_md=__doc__,
) as dag:
    stripe_sync_task_group(
        streams=[  # all in one task: one pass over an account's events serves all of them
            "customers",
            "invoices",
            "invoice_line_items",
            "subscriptions",
            "subscription_items",
        ],
        warehouse_conn_id="warehouse",
        accounts=partial(installed_accounts, "stripe_acme"),  # or a list of connections
        schema=None,  # "stripe_{conn_id}" gives each account a schema of its own
        pool="stripe",
    )
