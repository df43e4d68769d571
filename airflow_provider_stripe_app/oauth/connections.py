"""The server's dealings with connection rows: an app's settings, the disposable copy."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.exceptions import ConfigurationError, TokenUnavailable
from airflow_provider_stripe_app.oauth import config
from airflow_provider_stripe_app.oauth.cipher import unseal
from airflow_provider_stripe_app.oauth.credentials import (
    CONN_TYPE,
    AppSettings,
    check_secret_key,
    key_livemode,
    read_app,
    read_app_id,
    read_extra,
)
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.installs_api import InstallsApi
from airflow_provider_stripe_app.oauth.key_client import KeyClient
from airflow_provider_stripe_app.oauth.lookup import look_up, multi_team
from airflow_provider_stripe_app.oauth.reinstall import AppAccess
from airflow_provider_stripe_app.oauth.token_endpoint import TokenEndpoint

if TYPE_CHECKING:
    from airflow.models import Connection
    from sqlalchemy.orm import Session

    from airflow_provider_stripe_app.oauth.models import Installation

log = logging.getLogger(__name__)


class AppConnectionMissing(ConfigurationError):
    """No connection has the name under which an installation knows its app."""


class AppConnectionNotFound(TokenUnavailable):
    """The same, where a secrets backend may have failed to answer: Airflow does not tell."""


NO_APP_CONNECTION = (AppConnectionMissing, AppConnectionNotFound)


def app_settings(app_conn_id: str, *, team_name: str | None = None) -> AppSettings:
    """Return the settings of an app connection, from wherever connections live.

    :param app_conn_id: the app's connection, possibly in Vault or the environment.
    :param team_name: team of the installation: a global connection or one of the same team is used.
    :raises ConfigurationError: if it does not exist or is not an app's.
    :raises TokenUnavailable: if a secrets backend may have failed to answer.
    """
    return read_app(_read(app_conn_id, team_name))


def _read(app_conn_id: str, team_name: str | None, hint: str = "") -> Connection:
    from airflow.configuration import conf

    found = look_up(app_conn_id, team_name)
    if found.connection is not None:
        return found.connection
    mend = f"create it (type Stripe App, with install link and secret key){hint}."
    # Many backends say "not found" when they cannot be reached.
    if found.failed or conf.get("secrets", "backend", fallback=""):
        raise AppConnectionNotFound(
            f"The app connection {app_conn_id} was not found. If it is in your secrets backend, "
            "that may have failed to answer (see the server's log), and is asked again; else "
            f"{mend}"
        )
    raise AppConnectionMissing(f"The app connection {app_conn_id} does not exist: {mend}")


def token_endpoint(
    app_conn_id: str, team_name: str | None = None, timeout: float = 20
) -> TokenEndpoint:
    """Return Stripe's token endpoint with the key of an app connection.

    :param app_conn_id: the app's connection.
    :param team_name: team of the installation.
    :param timeout: seconds one call may take in all.
    :raises ConfigurationError: if it does not exist or has no secret key.
    :raises TokenUnavailable: if a secrets backend may have failed to answer.
    """
    # Only the key is looked at: tokens must live on when somebody spoils the install link.
    hint = ", or, if it has another name now, write that as app_conn_id into the installation's"
    found = _read(app_conn_id, team_name, f"{hint} connection")
    key = check_secret_key(found.password or "", app_conn_id)
    return TokenEndpoint(key, api_base=config.api_base(), timeout=timeout)


def app_access(app_conn_id: str, team_name: str | None = None, timeout: float = 20) -> AppAccess:
    """Return Stripe's Install API with the key and the app id of an app connection.

    :param app_conn_id: the app's connection.
    :param team_name: team of the installation.
    :param timeout: seconds one call may take in all.
    :raises ConfigurationError: if the connection has no secret key or no app id.
    """
    conn = _read(app_conn_id, team_name)
    key = check_secret_key(conn.password or "", app_conn_id)
    return AppAccess(
        app_conn_id=app_conn_id,
        app_id=read_app_id(conn),
        api=InstallsApi(KeyClient(key, api_base=config.api_base(), timeout=timeout)),
        endpoint=TokenEndpoint(key, api_base=config.api_base(), timeout=timeout),
        livemode=key_livemode(key),
    )


def write_copy(conn_id: str) -> bool:
    """Bring our keys in an installation connection's extra up to date, and leave all others alone.

    Writes only if something differs, and only over what was read, so that a form that is saved in
    the same moment is not overwritten. What is written comes from the installation's row in the
    same transaction, so that a slow process cannot put an older token over a newer one.

    A connection that became another type gets nothing, and what it had of ours is taken out: the
    HTTP provider, for one, sends every key of extra as a header. Nor does one that was made again
    for another team: names of connections are unique across teams.

    :param conn_id: the installation's connection.
    :return: whether the row now says so; ``False`` if there is no such row (an environment variable
        or Vault cannot be written), or if it is not this installation's any more.
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

    def remove(session: Session) -> bool | None:
        stored = _stored(session, conn_id)
        return _merge(session, stored, gone) if stored is not None else True

    for _ in range(5):
        if transaction(remove) is not None:
            return


def follow_renamed_app(conn_id: str, app_conn_id: str) -> bool:
    """Let another app connection renew an installation, if a person named one.

    Airflow cannot rename connections: people make another and delete the first. The installation's
    connection may then name the new one; as long as the old one is there, it does not count.

    :param conn_id: the installation's connection.
    :param app_conn_id: the app's connection that is missing.
    :return: whether another one was named and is this installation's now.
    :raises ConfigurationError: if the named connection does not exist or is not an app's.
    """
    named = transaction(lambda session: _named_app(session, conn_id))
    if named is None or named[0] == app_conn_id:
        return False
    token_endpoint(named[0], named[1])
    return transaction(lambda session: _take_app(session, conn_id, app_conn_id, named[0]))


def _named_app(session: Session, conn_id: str) -> tuple[str, str | None] | None:
    """Return the app connection that extra names, and the team that may use it."""
    row, stored = _installation(session, conn_id), _stored(session, conn_id)
    if row is None or stored is None or not _is_ours(stored, row):
        return None
    named = stored.extra.get("app_conn_id")
    return (named.strip(), row.team_name) if isinstance(named, str) and named.strip() else None


def _take_app(session: Session, conn_id: str, old: str, new: str) -> bool:
    from airflow_provider_stripe_app.oauth import rows

    row, now = _installation(session, conn_id), time.time()
    if row is None or row.app_conn_id != old:
        return False
    if not rows.write(session, row.id, row.version, now, app_conn_id=new):
        return False
    detail = f"its app is in connection {new} now, before in {old}"
    rows.record(session, conn_id, "app_changed", now, detail=detail)
    return True


@dataclass(frozen=True)
class _Stored:
    """A connection's row as it was read."""

    id: int
    conn_type: str | None
    team_name: str | None
    raw: str | None = field(repr=False)
    extra: dict[str, Any] = field(repr=False)


def _stored(session: Session, conn_id: str) -> _Stored | None:
    from airflow.models import Connection
    from sqlalchemy import select

    columns = (
        Connection.id,
        Connection.conn_type,
        Connection.team_name,
        Connection._extra,
        Connection.is_extra_encrypted,
    )
    row = session.execute(select(*columns).where(Connection.conn_id == conn_id)).one_or_none()
    if row is None:
        return None
    scratch = Connection(conn_id=conn_id)
    scratch._extra, scratch.is_extra_encrypted = row[3], row[4]
    return _Stored(row[0], row[1], row[2], row[3], read_extra(scratch))


def _installation(session: Session, conn_id: str) -> Installation | None:
    from sqlalchemy import select

    from airflow_provider_stripe_app.oauth.models import Installation

    return session.scalar(select(Installation).where(Installation.conn_id == conn_id))


def _is_ours(stored: _Stored, row: Installation) -> bool:
    same_team = stored.team_name == row.team_name or not multi_team()
    return stored.conn_type == CONN_TYPE and same_team


def _merge_current(session: Session, conn_id: str) -> bool | None:
    row, stored = _installation(session, conn_id), _stored(session, conn_id)
    if row is None or stored is None:
        return False
    if _is_ours(stored, row):
        return _merge(session, stored, _our_keys(session, row, stored.extra))
    ours: dict[str, Any] = {"access_grant_token": None}
    if stored.extra.get("broker_token") == unseal(row.broker_token_sealed):
        ours["broker_token"] = None
    return None if _merge(session, stored, ours) is None else False


def _our_keys(session: Session, row: Installation, extra: dict[str, Any]) -> dict[str, Any]:
    """Return what extra should say."""
    from airflow_provider_stripe_app.oauth.rows import grant_of

    ours: dict[str, Any] = {
        "account": row.account_id,
        "livemode": row.livemode,
        "broker_token": unseal(row.broker_token_sealed),
        "access_grant_token": grant_of(row).to_copy(),
    }
    if row.app_conn_id != row.conn_id and not _names_successor(session, row, extra):
        ours["app_conn_id"] = row.app_conn_id
    return ours


def _names_successor(session: Session, row: Installation, extra: dict[str, Any]) -> bool:
    """Tell whether extra names another app's connection while ours is not in the database."""
    from airflow.models import Connection
    from sqlalchemy import select

    named = extra.get("app_conn_id")
    if not isinstance(named, str) or named.strip() in {"", row.app_conn_id, row.conn_id}:
        return False
    found = session.scalar(select(Connection.id).where(Connection.conn_id == row.app_conn_id))
    return found is None


def _merge(session: Session, stored: _Stored, ours: dict[str, Any]) -> bool | None:
    """Return whether the row says so, ``None`` if somebody wrote to it in between.

    :param ours: keys to set; those with ``None`` are removed.
    """
    from airflow.models import Connection
    from sqlalchemy import update

    gone = {name for name, value in ours.items() if value is None}
    merged = {name: value for name, value in {**stored.extra, **ours}.items() if name not in gone}
    if merged == stored.extra:
        return True
    scratch = Connection(extra=json.dumps(merged))
    same = Connection._extra.is_(None) if stored.raw is None else Connection._extra == stored.raw
    result = session.execute(
        update(Connection)
        .where(Connection.id == stored.id, same)
        .values(_extra=scratch._extra, is_extra_encrypted=scratch.is_extra_encrypted)
        .execution_options(synchronize_session=False)
    )
    return True if result.rowcount == 1 else None  # type: ignore[attr-defined]
