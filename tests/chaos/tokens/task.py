"""What a task does, in a process of its own that has no way to the metadata database.

The stand-in for Airflow's supervisor: in a real task a supervisor process holds the task's JWT and
asks the Execution API for connections on its behalf. Here the same SDK client (with its retries)
asks the same Execution API from within the process, under a JWT made with the deployment's own
key; everything from ``BaseHook.get_connection`` on is what runs in a task, and the database is
blocked by the supervisor's own ``block_orm_access``.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections import Counter
from typing import Any

MESSAGES = 5
"""How many different error texts a task reports."""


def prepare() -> None:
    """Import what a task needs, once for all that are forked."""

    import airflow_provider_stripe_app.api.client
    import airflow_provider_stripe_app.hooks.stripe_app
    import airflow_provider_stripe_app.oauth.broker  # noqa: F401


class Supervisor:
    """Answers what a task asks of its supervisor: connections, nothing else.

    :param address: of the API server.
    """

    def __init__(self, address: str) -> None:
        from airflow.api_fastapi.execution_api.app import _jwt_generator
        from airflow.sdk.api.client import Client

        token = _jwt_generator().generate({"sub": str(uuid.uuid4()), "scope": "execution"})
        self._client = Client(base_url=f"{address}/execution/", token=token)

    def send(self, message: Any) -> Any:
        """Answer one request."""
        from airflow.sdk.execution_time.comms import (
            ConnectionResult,
            ErrorResponse,
            GetConnection,
            MaskSecret,
        )

        if isinstance(message, MaskSecret):
            return None
        assert isinstance(message, GetConnection), message
        found = self._client.connections.get(message.conn_id)
        if isinstance(found, ErrorResponse):
            return found
        return ConnectionResult.from_conn_response(found)


def become_a_task(address: str, broker: str) -> None:
    """Cut this process off from the database and give it a supervisor.

    :param address: API server that answers the supervisor.
    :param broker: ``[stripe_app] broker_url``; several with spaces between: one of them.
    """
    from airflow.sdk.execution_time import supervisor, task_runner

    task_runner.SUPERVISOR_COMMS = Supervisor(address)
    supervisor.block_orm_access()
    os.environ.pop("CHAOS_KILL_FILE", None)
    os.environ.pop("_AIRFLOW_PROCESS_CONTEXT", None)
    os.environ["AIRFLOW__STRIPE_APP__BROKER_URL"] = random.choice(broker.split())


def run(order: dict[str, Any]) -> dict[str, Any]:
    """Call ``/v1/customers`` once or for a while with the hook, as a user's task would.

    :param order: ``api`` and ``broker`` (addresses), ``conn_id``, and where wanted ``start_at``
        (unix seconds), ``seconds`` (how long to go on), ``pause`` (between two calls), ``wrong``
        (seconds by which this worker's clock is wrong), ``patience`` (of ``BrokerTokens``).
    :return: ``ok``: how many calls succeeded; ``failed``: the others' texts with their counts.
    """
    from airflow_provider_stripe_app.hooks.stripe_app import StripeAppHook

    random.seed(os.getpid())
    become_a_task(random.choice(order["api"].split()), order["broker"])
    hook = StripeAppHook(order["conn_id"], account_rate=10_000, endpoint_rate=10_000)
    _set_up(hook, order)
    time.sleep(max(0.0, order.get("start_at", 0.0) - time.time()))
    begun = time.monotonic()
    end = begun + order.get("seconds", 0.0)
    ok, slowest, failed = 0, 0.0, Counter[str]()
    while True:
        before = time.monotonic()
        try:
            hook.request("GET", "/v1/customers", {"limit": 1})
            ok += 1
        except Exception as error:
            failed[f"{type(error).__name__}: {error}"[:600]] += 1
        now = time.monotonic()
        slowest = max(slowest, now - before)
        if now >= end:
            break
        time.sleep(order.get("pause", 0.5) * random.uniform(0.5, 1.5))
    return {"ok": ok, "slowest": slowest, "failed": dict(failed.most_common(MESSAGES))}


def _set_up(hook: Any, order: dict[str, Any]) -> None:
    """Give the hook's tokens a wrong clock or another patience: there is no libfaketime here."""
    from airflow_provider_stripe_app.oauth import broker

    wrong, patience = order.get("wrong", 0.0), order.get("patience")
    real = broker.BrokerTokens.__init__

    def init(self: Any, *args: Any, **options: Any) -> None:
        if patience is not None:
            options["patience"] = patience
        real(self, *args, clock=lambda: time.time() + wrong, **options)

    broker.BrokerTokens.__init__ = init  # type: ignore[method-assign]
