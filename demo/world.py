"""Simulated Stripe, real Airflow and a warehouse, joined as a user joins them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from airflow_provider_stripe_app.streams.catalog import (
    DEFAULT_STREAMS,
    STREAMS,
    permissions_for,
    resolve_streams,
)
from demo.airflow_cluster import ALL_COMPONENTS, AirflowCluster, Component, User
from demo.browser import Browser, Page
from demo.compare import Comparison, compare_tables, count_tombstones
from demo.merchant import Merchant
from demo.processes import REPOSITORY, ProcessFailed, TemporaryHome
from demo.simulation import App, Simulation

EXAMPLES = REPOSITORY / "example_dags"


class World:
    """Everything that the main job needs. Use it as a context manager.

    :param objects: how many objects Stripe has at first, by type: ``customers``, ``invoices`` …
    :param dags: DAG files or directories.
    :param options: more options of the simulation.
    :param parallelism: how many tasks run at once.
    :param airflow_port: port of Airflow; 0 lets the system choose.
    """

    def __init__(
        self,
        objects: Mapping[str, int],
        *,
        dags: Sequence[Path] = (EXAMPLES,),
        options: Sequence[str] = (),
        components: Sequence[Component] = ALL_COMPONENTS,
        metadata: Literal["sqlite", "postgres"] = "sqlite",
        users: Sequence[User] = (),
        env: Mapping[str, str] | None = None,
        parallelism: int = 8,
        airflow_port: int = 0,
    ) -> None:
        numbers = [text for kind, n in objects.items() for text in (f"--{kind}", str(n))]
        self.stripe = Simulation(*numbers, *options)
        self._dags = TemporaryHome("stripe-app-dags-")
        self.dags = self._dags.path
        _copy_without_schedule(dags, self.dags)
        self._components = tuple(components)
        self._metadata: Literal["sqlite", "postgres"] = metadata
        self._users = tuple(users)
        self._env = dict(env or {})
        self._parallelism = parallelism
        self._airflow_port = airflow_port
        self._airflow: AirflowCluster | None = None
        self._exit = contextlib.ExitStack()

    @property
    def airflow(self) -> AirflowCluster:
        """The Airflow.

        :raises ProcessFailed: if it was not started.
        """
        if self._airflow is None:
            raise ProcessFailed("Airflow was not started.")
        return self._airflow

    @property
    def warehouse(self) -> Path:
        """The DuckDB file."""
        return self.airflow.home / "warehouse.duckdb"

    @property
    def page(self) -> str:
        """Address of the page Stripe App."""
        return f"{self.airflow.url}/stripe-app/"

    @property
    def redirect_uri(self) -> str:
        """What the app's manifest must allow."""
        return f"{self.page}callback"

    def __enter__(self) -> World:
        """Start everything."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._dags.remove)
            stack.enter_context(self.stripe)
            self._airflow = stack.enter_context(
                AirflowCluster(
                    stripe_url=self.stripe.url,
                    dags=[self.dags],
                    components=self._components,
                    metadata=self._metadata,
                    users=self._users,
                    env=self._env,
                    parallelism=self._parallelism,
                    port=self._airflow_port,
                )
            )
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything."""
        self._exit.__exit__(kind, error, trace)

    # ---- what a user does

    def make_app(self, conn_id: str, *, without: Sequence[str] = ()) -> App:
        """Upload an app at Stripe and enter it into Airflow's connection form.

        :param conn_id: the connection.
        :param without: permissions that the app does not ask for.
        """
        permissions = {name for name, _ in permissions_for(resolve_streams(DEFAULT_STREAMS))} - set(
            without
        )
        app = self.stripe.register_app([self.redirect_uri], permissions)
        self.airflow.api.put_connection(
            conn_id,
            "stripe_app",
            login=app.install_link,
            password=app.secret_key,
            extra={"app_id": app.app_id},
        )
        return app

    def install(self, app_conn_id: str, conn_id: str | None = None) -> Page:
        """Install an app as a browser does: page, Install, consent at Stripe, and back.

        :param app_conn_id: connection of the app.
        :param conn_id: connection that the installation gets; the app's own by default.
        :return: the page at the end.
        :raises PageError: if a page is not as expected.
        """
        browser = self.browser()
        page = browser.open(self.page)
        fill = {"installation_conn_id": conn_id or app_conn_id}
        consent = browser.press(page, "Install", fill, conn_id=app_conn_id)
        return browser.press(consent, "Authorize", {"account": self.stripe.account_id})

    def browser(self) -> Browser:
        """Return a browser that is logged in to Airflow."""
        browser = Browser()
        browser.log_in(self.airflow.url, self.airflow.api.token())
        return browser

    def connect_warehouse(self, conn_id: str = "warehouse") -> None:
        """Make the connection of the DuckDB warehouse."""
        self.airflow.api.put_connection(conn_id, "duckdb", host=str(self.warehouse))

    def merchant(self) -> Merchant:
        """Return somebody who changes things at Stripe."""
        return Merchant(self.stripe.url, self.stripe.secret_key)

    # ---- what they see afterwards

    def compare(self, tables: Sequence[str] = DEFAULT_STREAMS) -> list[Comparison]:
        """Compare tables of the DuckDB warehouse with Stripe."""
        truth = self.stripe.truth(STREAMS[name] for name in tables)
        with contextlib.closing(self.open_warehouse()) as cursor:
            return compare_tables(cursor, truth, self.stripe.account_id)

    def tombstones(self, tables: Sequence[str] = DEFAULT_STREAMS) -> dict[str, int]:
        """Return table → rows marked as deleted."""
        with contextlib.closing(self.open_warehouse()) as cursor:
            return {name: count_tombstones(cursor, name) for name in tables}

    def open_warehouse(self) -> Any:
        """Open the DuckDB file for reading."""
        import duckdb

        return duckdb.connect(str(self.warehouse), read_only=True)


def _copy_without_schedule(dags: Sequence[Path], target: Path) -> None:
    """Copy DAG files; runs are started by hand, so that none comes in between on the hour."""
    for path in dags:
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            text = file.read_text().replace('schedule="@hourly"', "schedule=None")
            (target / file.name).write_text(text)
