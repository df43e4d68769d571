"""What the tests do to the metadata database, in processes forked by the zygote.

The test's own process stays without Airflow: several deployments are alive in it at once.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any


def prepare() -> None:
    """Import what the steps need, once for all that are forked."""
    import airflow.models
    import airflow.utils.session
    from airflow.exceptions import AirflowNotFoundException

    import airflow_provider_stripe_app.oauth.rotation
    import airflow_provider_stripe_app.oauth.store  # noqa: F401

    with contextlib.suppress(AirflowNotFoundException):
        airflow.models.Connection.get_connection_from_secrets("none")


def connections(conn_id: str, app_conn_id: str, link: str, key: str, app_extra: str = "") -> None:
    """Make an app's connection and an installation's, in place of what is there."""
    from airflow.models import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session(scoped=False) as session:
        session.execute(delete(Connection).where(Connection.conn_id.in_([conn_id, app_conn_id])))
        session.add(
            Connection(
                conn_id=app_conn_id,
                conn_type="stripe_app",
                login=link,
                password=key,
                extra=app_extra or None,
            )
        )
        extra = json.dumps({"app_conn_id": app_conn_id, "colour": "blue"})
        session.add(Connection(conn_id=conn_id, conn_type="stripe_app", extra=extra))


def install(conn_id: str, app_conn_id: str, code: str, change: bool = False) -> int:
    """Exchange a code and store the grant; return its generation."""
    from airflow_provider_stripe_app.oauth.connections import token_endpoint
    from airflow_provider_stripe_app.oauth.store import TokenStore
    from airflow_provider_stripe_app.oauth.token_endpoint import Granted

    granted = token_endpoint(app_conn_id).exchange(code)
    assert isinstance(granted, Granted), granted
    grant = TokenStore().save_grant(
        conn_id,
        granted,
        app_conn_id=app_conn_id,
        installed_by="ann",
        allow_account_change=change,
    )
    return grant.generation


def extra(conn_id: str) -> dict[str, Any]:
    """Return a connection's extra."""
    from airflow.models import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        conn = session.scalar(select(Connection).where(Connection.conn_id == conn_id))
        return dict(json.loads(conn.extra or "{}"))


def set_extra(conn_id: str, values: dict[str, Any]) -> None:
    """Overwrite a connection's extra as a form or a PATCH does."""
    from airflow.models import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        conn = session.scalar(select(Connection).where(Connection.conn_id == conn_id))
        conn.extra = json.dumps(values)


def delete_connection(conn_id: str) -> None:
    """Delete a connection's row, as the UI does."""
    from airflow.models import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session(scoped=False) as session:
        session.execute(delete(Connection).where(Connection.conn_id == conn_id))


def live_token(conn_id: str, refused: str | None = None) -> dict[str, Any]:
    """Return the living token, as a process with the database gets it."""
    from airflow_provider_stripe_app.exceptions import StripeAppError
    from airflow_provider_stripe_app.oauth.store import TokenStore

    try:
        grant = TokenStore().live_token(conn_id, refused)
    except StripeAppError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"token": grant.access_token, "generation": grant.generation}


def renew_due(conn_id: str) -> bool:
    """Do what the keep-alive does about one installation; return whether it was due."""
    import time

    from airflow_provider_stripe_app.oauth import config, due
    from airflow_provider_stripe_app.oauth.store import TokenStore
    from airflow_provider_stripe_app.plugin.keepalive import KeepAlive

    now = time.time()
    found = due.due(due.read(now, config.deployment_id()), now)
    renewed: list[str] = []
    for one in found:
        if one.conn_id == conn_id:
            KeepAlive(TokenStore, lambda: True)._see_to(TokenStore(), one, renewed)
    return renewed == [conn_id]


def recover_all() -> int:
    """Do what the keep-alive's thread does in every process about its machine's disk."""
    from airflow_provider_stripe_app.oauth.store import TokenStore

    return TokenStore()._adoption.recover_all(min_age=0.0)


def rotate() -> int:
    """Do what ``airflow rotate-fernet-key`` and ``airflow stripe-app rotate-fernet`` do.

    :return: how many installations were sealed anew.
    """
    from airflow.models import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from airflow_provider_stripe_app.oauth.rotation import rotate_keys

    with create_session(scoped=False) as session:
        for connection in session.scalars(select(Connection)):
            connection.rotate_fernet_key()
    return rotate_keys()


def history(conn_id: str) -> list[dict[str, Any]]:
    """Return the newest lines of an installation's history, newest first."""
    from airflow_provider_stripe_app.oauth.store import TokenStore

    lines = TokenStore().history(conn_id, 12)
    return [{"event": line.event, "detail": (line.detail or "")[:150]} for line in lines]


def expire_copy(conn_id: str) -> None:
    """Write the copy anew after the row's expiry was changed."""
    from airflow_provider_stripe_app.oauth.connections import write_copy

    assert write_copy(conn_id)
