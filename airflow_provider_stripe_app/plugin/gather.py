"""What pages are made of, read from the metadata database and the environment. Blocking.

Connections are read column by column: Airflow's model registers every password that it loads as a
log mask for the life of the process, which pages of hundreds would turn into a leak of time.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from airflow_provider_stripe_app.exceptions import ConfigurationError, StripeAppError
from airflow_provider_stripe_app.oauth import config
from airflow_provider_stripe_app.oauth.credentials import CONN_TYPE, Settings, read_settings
from airflow_provider_stripe_app.oauth.stream_reports import last_syncs
from airflow_provider_stripe_app.oauth.unread import unread
from airflow_provider_stripe_app.plugin.views.connections import DATABASE, ENVIRONMENT
from airflow_provider_stripe_app.plugin.views.listing import Checked, check

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_provider_stripe_app.oauth.status import InstallationStatus

ENVIRONMENT_PREFIX = "AIRFLOW_CONN_"


@dataclass(frozen=True)
class Plain:
    """A connection's fields without Airflow's model."""

    conn_id: str
    login: str | None
    password: str | None = field(repr=False)
    extra: str | None = field(repr=False)


@dataclass(frozen=True)
class Known:
    """A connection of our type: what it says, where it is, whose it is."""

    settings: Settings | Exception
    source: str = DATABASE
    team: str | None = None


def checked_installations(conn_ids: Collection[str] | None = None) -> list[Checked]:
    """Return installations with permissions and health.

    :param conn_ids: only these; None for all.
    :raises ConfigurationError: if the tables are missing.
    """
    return check_all(installations(conn_ids), conn_ids)


def installations(conn_ids: Collection[str] | None = None) -> list[InstallationStatus]:
    """Return what the store says.

    :param conn_ids: only these; None for all.
    :raises ConfigurationError: if the tables are missing.
    """
    from airflow_provider_stripe_app.oauth.store import TokenStore

    if conn_ids is not None and len(conn_ids) == 1:
        one = TokenStore().status(next(iter(conn_ids)))
        return [] if one is None else [one]
    return [
        one for one in TokenStore().installations() if conn_ids is None or one.conn_id in conn_ids
    ]


def check_all(
    found: Iterable[InstallationStatus], conn_ids: Collection[str] | None = None
) -> list[Checked]:
    """Return installations with permissions and health, as of now."""
    only = next(iter(conn_ids)) if conn_ids is not None and len(conn_ids) == 1 else None
    syncs, now, deployment = last_syncs(only), time.time(), config.deployment_id()
    listed = list(found)
    gone = unread(listed)
    return [
        check(
            one,
            syncs.get(one.conn_id, ()),
            now=now,
            deployment=deployment,
            unread=gone.get(one.conn_id, ""),
        )
        for one in listed
    ]


def connections(without: Collection[str] = ()) -> dict[str, Known]:
    """Return the connections of our type in the metadata database and in environment variables.

    An environment variable hides the row of the same name, as it does for tasks.

    :param without: connections that need not be read.
    """
    found = {**_from_database(without), **from_environment(os.environ)}
    return {conn_id: found[conn_id] for conn_id in sorted(found)}


def _from_database(without: Collection[str]) -> dict[str, Known]:
    from airflow.models import Connection
    from sqlalchemy import select

    from airflow_provider_stripe_app.oauth.database import transaction

    names = select(Connection.conn_id).where(Connection.conn_type == CONN_TYPE)
    columns = select(
        Connection.conn_id,
        Connection.login,
        Connection._password,
        Connection.is_encrypted,
        Connection._extra,
        Connection.is_extra_encrypted,
        Connection.team_name,
    )

    def work(session: Session) -> dict[str, Known]:
        wanted = [conn_id for conn_id in session.scalars(names) if conn_id not in without]
        read: dict[str, Known] = {}
        for start in range(0, len(wanted), 500):
            part = columns.where(Connection.conn_id.in_(wanted[start : start + 500]))
            for conn_id, login, password, sealed, extra, extra_sealed, team in session.execute(
                part
            ):
                settings = _read(
                    conn_id, login, (password, bool(sealed)), (extra, bool(extra_sealed))
                )
                read[conn_id] = Known(settings, team=team)
        return read

    return transaction(work)


def _read(
    conn_id: str,
    login: str | None,
    password: tuple[str | None, bool],
    extra: tuple[str | None, bool],
) -> Settings | Exception:
    try:
        return read_settings(Plain(conn_id, login, _unsealed(*password), _unsealed(*extra)))
    except StripeAppError as error:
        return error
    except Exception as error:
        return ConfigurationError(
            f"Connection {conn_id} cannot be read ({type(error).__name__}): save it again."
        )


def _unsealed(text: str | None, sealed: bool) -> str | None:
    if not text or not sealed:
        return text
    from airflow.models.crypto import get_fernet

    return get_fernet().decrypt(text.encode("utf-8")).decode("utf-8")


def from_environment(environment: Mapping[str, str]) -> dict[str, Known]:
    """Return the connections of our type that environment variables bring.

    :param environment: e.g. ``os.environ``. Names of single teams (``AIRFLOW_CONN__TEAM___ID``) are
        left out: from the variable alone nobody can tell the team's real name.
    """
    found: dict[str, Known] = {}
    for name, value in environment.items():
        conn_id = name.removeprefix(ENVIRONMENT_PREFIX).lower()
        if conn_id == name.lower() or not conn_id or conn_id.startswith("_"):
            continue
        try:
            plain = parse_environment(conn_id, value)
        except ValueError:
            continue  # not ours to complain about: its type cannot be told
        if plain is None:
            continue
        try:
            found[conn_id] = Known(read_settings(plain), ENVIRONMENT)
        except StripeAppError as error:
            found[conn_id] = Known(error, ENVIRONMENT)
    return found


def parse_environment(conn_id: str, value: str) -> Plain | None:
    """Return a connection out of an environment variable, None if it is of another type.

    Both forms that Airflow knows: JSON, and a URI.

    :param conn_id: the connection.
    :param value: the variable's value.
    :raises ValueError: if it is neither.
    """
    value = value.strip()
    if value.startswith("{"):
        fields = json.loads(value)
        kind = str(fields.get("conn_type") or "")
        if kind.replace("-", "_").lower() != CONN_TYPE:
            return None
        extra = fields.get("extra")
        text = extra if isinstance(extra, str) or extra is None else json.dumps(extra)
        return Plain(conn_id, _text(fields.get("login")), _text(fields.get("password")), text)
    parts = urlsplit(value)
    if parts.scheme.replace("-", "_") != CONN_TYPE:
        return None
    query: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
    packed = query.pop("__extra__", None)
    return Plain(
        conn_id,
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
        packed or (json.dumps(query) if query else None),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def connection_ids() -> set[str]:
    """Return the ids of all connections that are known here, of whatever type."""
    from airflow.models import Connection
    from sqlalchemy import select

    from airflow_provider_stripe_app.oauth.database import transaction

    stored = transaction(lambda session: set(session.scalars(select(Connection.conn_id))))
    return stored | from_environment(os.environ).keys()
