"""What every test has: an Airflow home of its own, and servers started once, when asked for."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator

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


def pytest_unconfigure() -> None:
    _TEMPORARY.remove()


@pytest.fixture(scope="session")
def postgres() -> Iterator[object]:
    """A real PostgreSQL server; see demo.embedded_postgres."""
    from demo.embedded_postgres import EmbeddedPostgres

    with EmbeddedPostgres() as server:
        yield server
