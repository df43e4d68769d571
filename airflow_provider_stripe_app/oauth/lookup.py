"""Finding a connection where Airflow's server would find it, and saying where that is.

The same search as Airflow's ``Connection.get_connection_from_secrets``, which tells neither where a
connection came from nor whether a backend failed, and logs a warning about the ``_`` in our type
whenever it has found one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.exceptions import ConfigurationError

if TYPE_CHECKING:
    from airflow.models import Connection


@dataclass(frozen=True)
class Found:
    """What was found.

    :param connection: the connection, ``None`` if there is none.
    :param place: words for where it is, ``None`` for Airflow's database.
    :param failed: secrets backends that did not answer; they may have it all the same.
    """

    connection: Connection | None = field(default=None, repr=False)
    place: str | None = None
    failed: tuple[str, ...] = ()


def look_up(conn_id: str, team_name: str | None = None, *, database: bool = True) -> Found:
    """Search the environment, secrets backends and the database, in the order that tasks see.

    :param conn_id: the connection.
    :param team_name: its team; ignored where multi-team is off.
    :param database: whether to look into the database too.
    :raises ConfigurationError: if a secrets backend says that this connection may not be read: then
        Airflow looks no further either.
    """
    from airflow.configuration import ensure_secrets_loaded

    options: dict[str, Any] = {"conn_id": conn_id}
    if team_name and multi_team():
        options["team_name"] = team_name
    failed: list[str] = []
    for backend in ensure_secrets_loaded():
        name = type(backend).__name__
        if name == "MetastoreBackend" and not database:
            continue
        try:
            connection = backend.get_connection(**options)
        except PermissionError as denied:
            raise ConfigurationError(
                f"The secrets backend {name} does not let Airflow read connection {conn_id}: "
                f"{denied or 'access denied'}."
            ) from None
        except Exception:
            failed.append(name)
            continue
        if connection is not None:
            return Found(connection, _place(name, conn_id), tuple(failed))
    return Found(failed=tuple(failed))


def _place(backend: str, conn_id: str) -> str | None:
    if backend == "MetastoreBackend":
        return None
    return (
        variable(conn_id)
        if backend == "EnvironmentVariablesBackend"
        else (f"the secrets backend {backend}")
    )


def variable(conn_id: str) -> str:
    """Return words for the environment variable that brings a connection."""
    return f"an environment variable (AIRFLOW_CONN_{conn_id.upper()})"


def multi_team() -> bool:
    """Return whether Airflow keeps teams apart; it refuses a team's name where it does not."""
    from airflow.configuration import conf

    return bool(conf.getboolean("core", "multi_team", fallback=False))
