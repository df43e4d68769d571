"""The connection that an installation is kept in: its name, its row, its team.

Either the app's own connection (a quick start: one connection to make, one name to use in DAGs) or
one of its own (recommended: tasks can read the installation's connection whole, so with two
connections they never see the app's secret key, and one app can be installed in several accounts).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth.credentials import CONN_TYPE
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.lookup import look_up

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_CONN_ID = re.compile(r"[\w.-]{1,200}")
"""What Airflow's API accepts as a connection id."""


@dataclass(frozen=True)
class Row:
    """What the metadata database says of a connection: its type and team."""

    conn_type: str
    team_name: str | None


def find_row(conn_id: str) -> Row | None:
    """Return a connection of the metadata database, None if it is not there (or only in Vault
    …).
    """
    from airflow.models import Connection
    from sqlalchemy import select

    query = select(Connection.conn_type, Connection.team_name).where(Connection.conn_id == conn_id)
    found = transaction(lambda session: session.execute(query).one_or_none())
    return None if found is None else Row(found[0] or "", found[1])


def check_name(conn_id: str) -> None:
    """Raise unless Airflow takes a connection of this id.

    :param conn_id: what somebody typed.
    :raises ConfigurationError: saying what it may consist of.
    """
    if not _CONN_ID.fullmatch(conn_id):
        raise ConfigurationError(
            f"{conn_id[:80]!r} cannot be a connection id: use letters, digits, '_', '-' and '.', "
            "at most 200 of them."
        )


def check_target(app_conn_id: str, conn_id: str) -> None:
    """Raise unless the installation of an app can be kept in ``conn_id``.

    :param app_conn_id: the app's connection.
    :param conn_id: where the installation is to be kept; may not exist yet.
    :raises ConfigurationError: saying what to choose instead.
    """
    check_name(conn_id)
    row = find_row(conn_id)
    place = hidden_by(conn_id, row.team_name if row is not None else None)
    if conn_id == app_conn_id and (row is None or place is not None):
        raise ConfigurationError(
            f"Connection {app_conn_id} is not read from Airflow's database but from "
            f"{place or 'elsewhere'}, so the installation cannot be kept in it: give the "
            f"installation a connection of its own, for example {app_conn_id}_installation."
        )
    if place is not None:
        raise ConfigurationError(
            f"Connection {conn_id} comes from {place} and cannot be written: choose another name "
            "for the installation."
        )
    if row is None:
        return
    if row.conn_type != CONN_TYPE:
        raise ConfigurationError(
            f"Connection {conn_id} exists and is of type {row.conn_type!r}, not Stripe App: choose "
            "another name for the installation."
        )
    if conn_id != app_conn_id:
        team = find_row(app_conn_id)
        if team is not None and team.team_name and team.team_name != row.team_name:
            raise ConfigurationError(
                f"Connection {conn_id} belongs to another team than {app_conn_id}: choose "
                "another name for the installation."
            )


def hidden_by(conn_id: str, team_name: str | None = None) -> str | None:
    """Return where a connection comes from that is read before Airflow's database, if any.

    :param conn_id: the connection.
    :param team_name: its team.
    :return: words for a sentence.
    """
    return look_up(conn_id, team_name, database=False).place


def ensure_target(app_conn_id: str, conn_id: str) -> None:
    """Create the installation's connection if it is not there; it inherits the app's team.

    :param app_conn_id: the app's connection.
    :param conn_id: where the installation is kept.
    """
    if find_row(conn_id) is not None:
        return
    app = find_row(app_conn_id)

    def work(session: Session) -> None:
        from airflow.models import Connection

        connection = Connection(
            conn_id=conn_id,
            conn_type=CONN_TYPE,
            description=f"Stripe App installation of {app_conn_id}",
            extra=json.dumps({"app_conn_id": app_conn_id}),
        )
        connection.team_name = app.team_name if app is not None else None
        session.add(connection)

    transaction(work)
