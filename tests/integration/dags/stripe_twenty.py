"""Twenty tasks that all hold the same access token when it dies."""

from __future__ import annotations

import time
from pathlib import Path

from airflow.sdk import DAG, task

from airflow_provider_stripe_app.hooks.stripe_app import StripeAppHook

TASKS = 20
HERE = Path(__file__).resolve().parent

with DAG(dag_id="stripe_twenty", schedule=None) as dag:

    @task
    def ask(number: int) -> str:
        """Use the token, wait until all have and it is dead, and use it again."""
        hook = StripeAppHook("stripe_acme")
        hook.request("GET", "/v1/customers", {"limit": 1})
        (HERE / f"ready-{number}").touch()
        deadline = time.monotonic() + 240
        while not (HERE / "expired").exists():
            if time.monotonic() > deadline:
                raise TimeoutError("nobody expired the token")
            time.sleep(0.05)
        return hook.request("GET", "/v1/customers", {"limit": 1}).json()["object"]

    ask.expand(number=list(range(TASKS)))
