"""Each of this package's warehouses, really there, as places for the contract's tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from airflow_provider_stripe_app.testing.warehouses.lab import Place
from airflow_provider_stripe_app.warehouse.duckdb import DuckDBWarehouse
from airflow_provider_stripe_app.warehouse.postgres import PostgresWarehouse
from airflow_provider_stripe_app.warehouse.sqlite import SQLiteWarehouse


def place_for(kind: str, tmp_path: Any, postgres_socket: str, schema: str, **options: Any) -> Place:
    """Return a fresh place of a kind: sqlite, duckdb, psycopg (3) or psycopg2.

    :param options: of the warehouse.
    """
    if kind == "sqlite":
        import sqlite3

        return Place(
            partial(SQLiteWarehouse, lambda: sqlite3.connect(tmp_path / "w.db"), **options)
        )
    if kind == "duckdb":
        import duckdb

        file = str(tmp_path / "w.duckdb")
        return Place(partial(DuckDBWarehouse, lambda: duckdb.connect(file), **options))
    driver = __import__(kind)
    connect: Callable[[], Any] = partial(
        driver.connect, host=postgres_socket, user="postgres", dbname="postgres"
    )
    return Place(partial(PostgresWarehouse, connect, schema, **options), decodes_json=True)
