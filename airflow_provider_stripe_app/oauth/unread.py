"""Whether tasks read an installation's connection where the provider keeps it up to date.

They do not if somebody deleted it, made it another type, or gave its name to another team, or if an
environment variable or a secrets backend brings a connection of that name: those come first, and
cannot be written. The tokens are kept all the same.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth.credentials import CONN_TYPE
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.install_target import Row, find_row, hidden_by
from airflow_provider_stripe_app.oauth.lookup import multi_team, variable

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.status import InstallationStatus


def refuse_unread(one: InstallationStatus) -> None:
    """Raise unless tasks read an installation's connection where new tokens are written.

    :param one: the installation.
    :raises ConfigurationError: saying what to do.
    """
    place = hidden_by(one.conn_id, one.team_name)
    why = why_unread(one.conn_id, one.team_name, find_row(one.conn_id), place, teams=multi_team())
    if why:
        raise ConfigurationError(why)


def unread(found: Collection[InstallationStatus]) -> dict[str, str]:
    """Return why tasks do not read installations' connections, by connection.

    One query however many there are. Environment variables of this process count, secrets backends
    are not asked: that would be a request for each connection.

    :param found: installations.
    """
    from airflow.models import Connection
    from sqlalchemy import select

    if not found:
        return {}
    query = select(Connection.conn_id, Connection.conn_type, Connection.team_name)
    if len(found) == 1:
        query = query.where(Connection.conn_id == next(iter(found)).conn_id)
    rows = {
        str(conn_id): Row(conn_type or "", team_name)
        for conn_id, conn_type, team_name in transaction(lambda s: s.execute(query).all())
    }
    teams = multi_team()
    sentences = {
        one.conn_id: why_unread(
            one.conn_id, one.team_name, rows.get(one.conn_id), _variable(one.conn_id), teams=teams
        )
        for one in found
    }
    return {conn_id: why for conn_id, why in sentences.items() if why}


def _variable(conn_id: str) -> str | None:
    return variable(conn_id) if f"AIRFLOW_CONN_{conn_id.upper()}" in os.environ else None


def why_unread(
    conn_id: str, team_name: str | None, row: Row | None, place: str | None, *, teams: bool
) -> str:
    """Return the sentence for a connection that tasks do not read here, nothing if they do.

    :param conn_id: the connection.
    :param team_name: the installation's team.
    :param row: what the metadata database says of the connection.
    :param place: where it comes from instead, in words.
    :param teams: whether Airflow keeps teams apart.
    """
    if place is not None:
        return (
            f"Connection {conn_id} comes from {place}, which hides the one in Airflow's database "
            "that the provider keeps up to date: remove it there, or install the app under "
            "another name."
        )
    if row is None:
        what, mend = "was deleted", "create it again"
    elif row.conn_type != CONN_TYPE:
        what, mend = f"is of type {row.conn_type!r} now", "change it back"
    elif teams and row.team_name != team_name:
        what, mend = f"belongs to {_whose(row.team_name)} now", f"give it to {_whose(team_name)}"
    else:
        return ""
    return (
        f"Connection {conn_id} {what}, but its installation is kept: {mend} (same id, type Stripe "
        "App; the rest comes back by itself), or forget the installation with Disconnect."
    )


def _whose(team_name: str | None) -> str:
    return f"team {team_name}" if team_name else "all teams"
