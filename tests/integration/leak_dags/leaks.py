"""Syncs and mistakes of every kind, for the test that looks for secrets in what they leave."""

from __future__ import annotations

import logging
import os

from airflow.sdk import DAG, task

from airflow_provider_stripe_app.operators.sync import StripeSyncOperator

PLANTED = "rt_PLANTEDq7Xv2mB9cL4tR8wZ1kJ6yH3nD5sPLANTED"
"""No secret of anybody's: the scanner must find it wherever it was put."""

log = logging.getLogger(__name__)
log.info("Read with %s", PLANTED)

# The second is for `airflow dags test`: it stays paused, so that the scheduler leaves it alone.
for dag_id in ("leak_sync", "leak_foreground"):
    with DAG(dag_id=dag_id, schedule=None):
        StripeSyncOperator(
            task_id="sync",
            stripe_app_conn_id="shop",
            streams=["customers"],
            warehouse_conn_id="warehouse",
        )

with DAG(dag_id="leak_errors", schedule=None):
    StripeSyncOperator(
        task_id="no_warehouse",
        stripe_app_conn_id="shop",
        streams=["customers"],
        warehouse_conn_id="warehouse_down",
    )
    StripeSyncOperator(
        task_id="uninstalled",
        stripe_app_conn_id="shop_cli",
        streams=["customers"],
        warehouse_conn_id="warehouse",
    )

    @task
    def mistakes() -> None:
        """Make every mistake, write it down with its traceback, and fail."""
        from airflow_provider_stripe_app.hooks.stripe_app import StripeAppHook
        from airflow_provider_stripe_app.oauth.broker import BrokerTokens, token_provider

        hook = StripeAppHook("shop")
        token = token_provider("shop").get()
        print(hook, hook.get_conn(), token_provider("shop"), BrokerTokens("shop").grant())

        def refused_by_the_broker() -> None:
            BrokerTokens("shop_cli", patience=1).replace(BrokerTokens("shop_cli").get())

        def no_broker() -> None:
            os.environ["AIRFLOW__STRIPE_APP__BROKER_URL"] = "http://127.0.0.1:1"
            BrokerTokens("shop", patience=1).replace(token)

        for mistake in (
            lambda: hook.request("GET", "/v1/nothing_here"),
            lambda: hook.request("GET", "/v1/invoices", {"limit": 1}),
            lambda: StripeAppHook("own_key").request("GET", "/v1/invoices", {"limit": 1}),
            lambda: StripeAppHook("shop_app").request("GET", "/v1/customers"),
            refused_by_the_broker,
            no_broker,
        ):
            try:
                mistake()
            except Exception:
                log.exception("A mistake, as planned")
        raise RuntimeError("The last mistake, as planned")

    mistakes()

with DAG(dag_id="leak_plants", schedule=None):

    @task
    def plant(value: str) -> str:
        """Put the planted secret into log, XCom and rendered template."""
        print(value)
        return value

    plant("{{ params.get('nothing', '') }}" + PLANTED)
