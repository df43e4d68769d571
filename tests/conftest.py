"""What every test has: an Airflow home of its own, and servers started once, when asked for."""

from __future__ import annotations

import base64
import importlib.util
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from demo.processes import TemporaryHome

# Before anything imports Airflow: it creates its home where this points to, and must not be a
# developer's own. The same key in every process that a test starts.
_TEMPORARY = TemporaryHome("stripe-app-tests-")
_HOME = str(_TEMPORARY.path)
os.environ["AIRFLOW_HOME"] = _HOME
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__FERNET_KEY"] = base64.urlsafe_b64encode(os.urandom(32)).decode()
os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{_HOME}/airflow.db"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let all unit tests run on the oldest Airflow too, and DuckDB's only where it is installed."""
    no_duckdb = pytest.mark.skip(reason="DuckDB's provider needs Python 3.11")
    has_duckdb = importlib.util.find_spec("duckdb") is not None
    for item in items:
        if "unit" in item.path.parts:
            item.add_marker(pytest.mark.matrix)
        if "duckdb" in item.nodeid and not has_duckdb:
            item.add_marker(no_duckdb)


def pytest_unconfigure() -> None:
    _TEMPORARY.remove()


@pytest.fixture(scope="session")
def postgres() -> Iterator[object]:
    """A real PostgreSQL server; see demo.embedded_postgres."""
    from demo.embedded_postgres import EmbeddedPostgres

    with EmbeddedPostgres() as server:
        yield server


@pytest.fixture
def postgres_warehouse(postgres: Any) -> str:
    """Address of an empty database: the server outlives the test, and others use it too."""
    import psycopg2

    name = f"w_{uuid.uuid4().hex}"
    connection = psycopg2.connect(postgres.url())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    connection.close()
    return str(postgres.url(database=name))
