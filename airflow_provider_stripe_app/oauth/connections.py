"""The server's dealings with connection rows: an app's settings, the disposable copy."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth import config
from airflow_provider_stripe_app.oauth.cipher import unseal
from airflow_provider_stripe_app.oauth.credentials import (
    AppSettings,
    check_secret_key,
    read_app,
    read_extra,
)
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.token_endpoint import TokenEndpoint

if TYPE_CHECKING:
    from airflow.models import Connection
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)


def app_settings(app_conn_id: str, *, team_name: str | None = None) -> AppSettings:
    """Return the settings of an app connection, from wherever connections live.

    :param app_conn_id: the app's connection, possibly in Vault or the environment.
    :param team_name: team of the installation: a global connection or one of the same team is used.
    :raises ConfigurationError: if it does not exist or is not an app's.
    """
    return read_app(_read(app_conn_id, team_name))


def _read(app_conn_id: str, team_name: str | None) -> Connection:
    from airflow.configuration import conf
    from airflow.models import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    # Airflow refuses a team's name where multi_team is off; the row may have one from before.
    team = team_name if conf.getboolean("core", "multi_team", fallback=False) else None
    try:
        return Connection.get_connection_from_secrets(app_conn_id, team_name=team)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"The app connection {app_conn_id} does not exist: create it (type Stripe App, with "
            "install link and secret key), or name another one in the installation's connection."
        ) from None


def token_endpoint(
    app_conn_id: str, team_name: str | None = None, timeout: float = 20
) -> TokenEndpoint:
    """Return Stripe's token endpoint with the key of an app connection.

    :param app_conn_id: the app's connection.
    :param team_name: team of the installation.
    :param timeout: seconds one call may take in all.
    :raises ConfigurationError: if the connection has no secret key.
    """
    # Only the key is looked at: tokens must live on when somebody spoils the install link.
    key = check_secret_key(_read(app_conn_id, team_name).password or "", app_conn_id)
    return TokenEndpoint(key, api_base=config.api_base(), timeout=timeout)


def write_copy(conn_id: str) -> bool:
    """Bring our keys in an installation connection's extra up to date, and leave all others alone.

    Writes only if something differs, and only over what was read, so that a form that is saved in
    the same moment is not overwritten. What is written comes from the installation's row in the
    same transaction, so that a slow process cannot put an older token over a newer one.

    :param conn_id: the installation's connection.
    :return: whether the row now says so; ``False`` if there is no such row (an environment variable
        or Vault cannot be written).
    """
    for _ in range(5):
        done = transaction(lambda session: _merge_current(session, conn_id))
        if done is not None:
            return done
    return False


def remove_copy(conn_id: str) -> None:
    """Take our secrets out of a connection whose installation is forgotten.

    :param conn_id: the installation's connection.
    """
    gone = {"broker_token": None, "access_grant_token": None, "account": None, "livemode": None}
    for _ in range(5):
        if transaction(lambda session: _merge(session, conn_id, gone)) is not None:
            return


def _merge_current(session: Session, conn_id: str) -> bool | None:
    ours = _our_keys(session, conn_id)
    return _merge(session, conn_id, ours) if ours else False


def _our_keys(session: Session, conn_id: str) -> dict[str, Any]:
    """Return what extra should say, nothing if the installation is gone."""
    from sqlalchemy import select

    from airflow_provider_stripe_app.oauth.models import Installation
    from airflow_provider_stripe_app.oauth.rows import grant_of

    row = session.scalar(select(Installation).where(Installation.conn_id == conn_id))
    if row is None:
        return {}
    ours: dict[str, Any] = {
        "account": row.account_id,
        "livemode": row.livemode,
        "broker_token": unseal(row.broker_token_sealed),
        "access_grant_token": grant_of(row).to_copy(),
    }
    if row.app_conn_id != conn_id:
        ours["app_conn_id"] = row.app_conn_id
    return ours


def _merge(session: Session, conn_id: str, ours: dict[str, Any]) -> bool | None:
    """Return whether the row says so, ``None`` if somebody wrote to it in between.

    :param ours: keys to set; those with ``None`` are removed.
    """
    from airflow.models import Connection
    from sqlalchemy import select, update

    row = session.execute(
        select(Connection.id, Connection._extra, Connection.is_extra_encrypted).where(
            Connection.conn_id == conn_id
        )
    ).one_or_none()
    if row is None:
        return False
    scratch = Connection(conn_id=conn_id)
    scratch._extra, scratch.is_extra_encrypted = row[1], row[2]
    extra = read_extra(scratch)
    gone = {name for name, value in ours.items() if value is None}
    merged = {name: value for name, value in {**extra, **ours}.items() if name not in gone}
    if merged == extra:
        return True
    scratch.extra = json.dumps(merged)
    same = Connection._extra.is_(None) if row[1] is None else Connection._extra == row[1]
    result = session.execute(
        update(Connection)
        .where(Connection.id == row[0], same)
        .values(_extra=scratch._extra, is_extra_encrypted=scratch.is_extra_encrypted)
        .execution_options(synchronize_session=False)
    )
    return True if result.rowcount == 1 else None  # type: ignore[attr-defined]
