"""From an Airflow connection to a warehouse: the right class, or one clear sentence."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.hooks.warehouse import warehouse_from_connection


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(**fields: Any) -> str:
        monkeypatch.setenv("AIRFLOW_CONN_WH", json.dumps(fields))
        return "wh"

    return make


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_a_file_is_written_through_the_providers_hook(
    connection: Any, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / f"with space.{kind}"
    warehouse = warehouse_from_connection(connection(conn_type=kind, host=str(file)))
    assert not file.exists()  # nothing happens before it is used
    with warehouse.transaction() as tx:
        assert tx.states("acct", False) == {}
    warehouse.close()
    assert file.exists()
    assert warehouse.capabilities.name == kind


def test_a_schema_is_created_in_duckdb(connection: Any, tmp_path: Path) -> None:
    conn_id = connection(conn_type="duckdb", host=str(tmp_path / "w.duckdb"))
    warehouse = warehouse_from_connection(conn_id, "stripe")
    with warehouse.transaction() as tx:
        assert tx.states("acct", False) == {}
    assert warehouse.table("invoices") == '"stripe"."invoices"'


def test_postgres_goes_to_the_public_schema_unless_told_otherwise(connection: Any) -> None:
    conn_id = connection(conn_type="postgres", host="127.0.0.1", password="pw-secret")
    assert warehouse_from_connection(conn_id).table("t") == '"public"."t"'
    assert warehouse_from_connection(conn_id, "stripe").table("t") == '"stripe"."t"'


@pytest.mark.parametrize(
    ("kind", "host"),
    [("duckdb", ""), ("duckdb", ":memory:"), ("sqlite", ":memory:"), ("sqlite", "")],
)
def test_memory_is_refused_because_nothing_would_last(
    connection: Any, kind: str, host: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"'wh' is an in-memory.*set its.*to a file"):
        warehouse_from_connection(connection(conn_type=kind, host=host))


def test_another_type_is_refused_naming_those_that_work(connection: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'mssql'.*duckdb, mysql, postgres, sqlite"):
        warehouse_from_connection(connection(conn_type="mssql", host="h"))


def test_a_schema_for_sqlite_is_refused(connection: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="SQLite has no schemas"):
        warehouse_from_connection(connection(conn_type="sqlite", host=str(tmp_path / "x")), "s")


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        ("duckdb", "airflow.providers.duckdb.hooks.duckdb"),
        ("duckdb", "pyarrow"),
        ("postgres", "airflow.providers.postgres.hooks.postgres"),
        ("sqlite", "airflow.providers.sqlite.hooks.sqlite"),
    ],
)
def test_a_missing_package_is_named_by_its_extra(
    connection: Any, monkeypatch: pytest.MonkeyPatch, kind: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"airflow-provider-stripe-app\[{kind}\]"):
        warehouse_from_connection(connection(conn_type=kind, host="h"))


def test_an_unreachable_server_is_one_sentence_without_the_password(connection: Any) -> None:
    conn_id = connection(
        conn_type="postgres", host="127.0.0.1", port=1, login="u", password="pw-secret"
    )
    warehouse = warehouse_from_connection(conn_id)
    with (
        pytest.raises(Exception, match="PostgreSQL cannot be reached") as caught,
        warehouse.transaction(),
    ):
        pass
    assert "pw-secret" not in str(caught.value)
