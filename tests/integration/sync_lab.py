"""A simulated Stripe, a real warehouse and a sync between them, for tests that break things."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.retry import RetryPolicy
from airflow_provider_stripe_app.api.tokens import StaticToken, TokenProvider
from airflow_provider_stripe_app.streams.catalog import DEFAULT_STREAMS, resolve_streams
from airflow_provider_stripe_app.sync.options import SyncOptions
from airflow_provider_stripe_app.sync.run import run_sync
from airflow_provider_stripe_app.sync.summary import RunSummary
from airflow_provider_stripe_app.testing import SimulatedStripe
from airflow_provider_stripe_app.warehouse.base import Warehouse
from airflow_provider_stripe_app.warehouse.duckdb import DuckDBWarehouse
from airflow_provider_stripe_app.warehouse.mysql import MySQLWarehouse
from airflow_provider_stripe_app.warehouse.postgres import PostgresWarehouse
from airflow_provider_stripe_app.warehouse.sqlite import SQLiteWarehouse
from demo.compare import Comparison, StripeReader, compare_tables

ALL = DEFAULT_STREAMS


class Lab:
    """One account of a simulated Stripe and the tables that shall equal it.

    :param sim: running.
    :param kind: ``duckdb``, ``sqlite``, ``postgres`` or ``mariadb``.
    :param where: database file, or connection string; of MariaDB ``socket|database``.
    """

    def __init__(self, sim: SimulatedStripe, kind: str, where: str) -> None:
        self.sim = sim
        self.kind = kind
        self.where = where
        self.account = sim.account()
        self.key = sim.secret_key(self.account)

    def connect(self) -> Any:
        """Open the warehouse as its own client would."""
        if self.kind == "duckdb":
            import duckdb

            return duckdb.connect(self.where)
        if self.kind == "sqlite":
            import sqlite3

            return sqlite3.connect(self.where)
        if self.kind == "mariadb":
            import mysql.connector

            socket, database = self.where.split("|")
            return mysql.connector.connect(unix_socket=socket, user="root", database=database)
        try:
            import psycopg as driver
        except ImportError:  # what Airflow's provider of Airflow 3.2.0's time brings
            import psycopg2 as driver

        return driver.connect(self.where)

    def warehouse(self) -> Warehouse:
        """Return the warehouse as the provider sees it."""
        if self.kind == "duckdb":
            return DuckDBWarehouse(self.connect)
        if self.kind == "sqlite":
            return SQLiteWarehouse(self.connect)
        if self.kind == "mariadb":
            return MySQLWarehouse(self.connect)
        return PostgresWarehouse(self.connect)

    def client(self, tokens: TokenProvider | None = None) -> StripeClient:
        """Return a client that retries fast."""
        return StripeClient(
            tokens or StaticToken(self.key),
            api_base=self.sim.url,
            retry=RetryPolicy(),
        )

    def patient_client(self) -> StripeClient:
        """Return a client that hardly waits between its many tries."""
        policy = RetryPolicy(attempts=30, rate_attempts=60, base=0.01, cap=0.05)
        return StripeClient(StaticToken(self.key), api_base=self.sim.url, retry=policy)

    def beside(self, kind: str, where: str) -> Lab:
        """Return another warehouse for the same account."""
        return Lab(self.sim, kind, where)

    def sync(
        self,
        streams: Sequence[str] = ALL,
        *,
        client: StripeClient | None = None,
        warehouse: Warehouse | None = None,
        **options: Any,
    ) -> RunSummary:
        """Run a sync in this process."""
        return run_sync(
            client or self.client(),
            warehouse or self.warehouse(),
            account_id=self.account.id,
            livemode=self.account.livemode,
            streams=resolve_streams(streams),
            options=SyncOptions(**{"owner": "lab", "workers": 6, **options}),
        )

    def settle(self) -> None:
        """Let so much time pass at Stripe that every event made so far is due."""
        self.sim.clock.advance(15)

    def compare(self, streams: Sequence[str] = ALL) -> list[Comparison]:
        """Compare the tables with what Stripe's API returns now."""
        truth = StripeReader(self.sim.url, self.key).read(resolve_streams(streams))
        return compare_tables(self.cursor(), truth, self.account.id)

    def assert_equal(self, streams: Sequence[str] = ALL) -> None:
        """Fail with every difference unless the tables equal Stripe."""
        wrong = [str(c) for c in self.compare(streams) if not c.equal]
        assert not wrong, "\n".join(wrong)

    def cursor(self) -> Any:
        """Return something to execute SQL with."""
        if self.kind == "duckdb":
            return self.connect()
        self._connection = self.connect()  # kept: a cursor of MariaDB's driver does not hold it
        return self._connection.cursor()

    def query(self, sql: str) -> list[Any]:
        """Return all rows of a query."""
        cursor = self.cursor()
        cursor.execute(sql)
        return list(cursor.fetchall())


@contextmanager
def lab(path: Path, kind: str = "duckdb", **switches: Any) -> Iterator[Lab]:
    """Start a simulated Stripe without rate limits beside an empty embedded warehouse."""
    with SimulatedStripe(seed=1) as sim:
        sim.switches.set(**{"rate_limits": False, **switches})
        yield Lab(sim, kind, str(path / f"warehouse.{kind}"))
