"""Prove once a week that the tables equal Stripe, and mend them where they do not.

Lists everything that Stripe has (one request for a hundred objects) and compares every row and
every column. A sync may run meanwhile: what it is about to change is no difference. The task fails
if rows are wrong and stay so; its XCom names them.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_stripe_app.operators.audit import StripeAuditOperator

with DAG(
    dag_id="stripe_audit",
    schedule="@weekly",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["stripe"],
    doc_md=__doc__,
) as dag:
    StripeAuditOperator(
        task_id="audit",
        stripe_app_conn_id="stripe_acme",
        streams=None,  # all that are synced into the warehouse
        warehouse_conn_id="warehouse",
        repair=False,  # True writes what differs as Stripe has it
        fail_on_difference=True,
    )
