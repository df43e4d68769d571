"""From an Airflow connection to a warehouse; the only place where the two meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.warehouse.base import Warehouse
from airflow_provider_stripe_app.warehouse.duckdb import DuckDBWarehouse
from airflow_provider_stripe_app.warehouse.mysql import MySQLWarehouse
from airflow_provider_stripe_app.warehouse.postgres import PostgresWarehouse
from airflow_provider_stripe_app.warehouse.sqlite import SQLiteWarehouse

MEMORY = ":memory:"


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one connection type becomes a warehouse.

    :param extra: of this package, which brings what is needed.
    :param make: from the hook, its ``get_conn`` and the schema.
    :param needs: modules that the warehouse imports when it writes.
    """

    extra: str
    hook: str
    conn_id_argument: str
    make: Callable[[Any, Callable[[], Any], str | None], Warehouse]
    needs: tuple[str, ...] = ()


def warehouse_from_connection(conn_id: str, schema: str | None = None) -> Warehouse:
    """Return the warehouse of an Airflow connection; connects when first used.

    :param conn_id: a connection of type ``duckdb``, ``mysql`` (MariaDB), ``postgres``, ``sqlite``.
    :param schema: schema for the tables; the warehouse's default if ``None``.
    :raises ConfigurationError: if the type is not supported, its provider is not installed, or
        nothing written would last.
    """
    connection = BaseHook.get_connection(conn_id)
    kind = _KINDS.get(connection.conn_type or "")
    if kind is None:
        raise ConfigurationError(
            f"Connection {conn_id!r} has the type {connection.conn_type!r}, which cannot be a "
            f"warehouse: use one of the types {', '.join(sorted(_KINDS))}."
        )
    hook = _hook_class(kind, conn_id)(**{kind.conn_id_argument: conn_id})
    return kind.make(hook, hook.get_conn, schema)


def _hook_class(kind: _Kind, conn_id: str) -> Any:
    """Import the official provider's hook; by name, so that it need not be installed otherwise."""
    from importlib import import_module

    module, name = kind.hook.rsplit(".", 1)
    try:
        for needed in kind.needs:
            import_module(needed)
        return getattr(import_module(module), name)
    except ImportError as error:
        raise ConfigurationError(
            f"Connection {conn_id!r} needs a package that is not installed ({error.name}): "
            f"pip install 'airflow-provider-stripe-app[{kind.extra}]'."
        ) from error


def _duckdb(hook: Any, connect: Callable[[], Any], schema: str | None) -> Warehouse:
    database = str(hook.get_database())
    if not database or database.startswith(MEMORY):
        raise ConfigurationError(
            f"Connection {hook.get_conn_id()!r} is an in-memory DuckDB, so every row would be gone "
            "with the task: set its database path (host) to a file."
        )
    return DuckDBWarehouse(_opener(hook, database), schema)


def _opener(hook: Any, database: str) -> Callable[[], Any]:
    """Return what opens the hook's database as ``hook.get_conn`` does, but without a log line.

    A DuckDB file is opened for every transaction, and the hook would log each.
    """
    config = hook.get_connect_config()

    def connect() -> Any:
        import duckdb

        connection = duckdb.connect(database=database, config=config)
        try:
            hook.load_extensions(connection)
            hook.configure_secrets(connection)
        except Exception:
            connection.close()
            raise
        return connection

    return connect


def _sqlite(hook: Any, connect: Callable[[], Any], schema: str | None) -> Warehouse:
    if schema is not None:
        raise ConfigurationError(
            f"SQLite has no schemas: leave out schema={schema!r} for {hook.get_conn_id()!r}."
        )
    host = BaseHook.get_connection(hook.get_conn_id()).host or ""
    if not host or MEMORY in host:
        raise ConfigurationError(
            f"Connection {hook.get_conn_id()!r} is an in-memory SQLite, so every row would be gone "
            "with the task: set its host to a file."
        )
    return SQLiteWarehouse(connect)


def _postgres(hook: Any, connect: Callable[[], Any], schema: str | None) -> Warehouse:
    return PostgresWarehouse(connect, schema or "public")


def _mysql(hook: Any, connect: Callable[[], Any], schema: str | None) -> Warehouse:
    conn_id = hook.get_conn_id()
    if schema is None and not BaseHook.get_connection(conn_id).schema:
        raise ConfigurationError(
            f"Connection {conn_id!r} names no database: set its schema, or schema= of the operator."
        )
    return MySQLWarehouse(connect, schema)


_KINDS: Mapping[str, _Kind] = {
    "duckdb": _Kind(
        "duckdb",
        "airflow.providers.duckdb.hooks.duckdb.DuckDBHook",
        "duckdb_conn_id",
        _duckdb,
        needs=("pyarrow",),
    ),
    "mysql": _Kind(
        "mysql", "airflow.providers.mysql.hooks.mysql.MySqlHook", "mysql_conn_id", _mysql
    ),
    "postgres": _Kind(
        "postgres",
        "airflow.providers.postgres.hooks.postgres.PostgresHook",
        "postgres_conn_id",
        _postgres,
    ),
    "sqlite": _Kind(
        "sqlite", "airflow.providers.sqlite.hooks.sqlite.SqliteHook", "sqlite_conn_id", _sqlite
    ),
}
