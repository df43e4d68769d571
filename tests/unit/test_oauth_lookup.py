"""An app's connection is found where Airflow finds it; trouble there is not taken for absence."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth import connections, install_target
from airflow_provider_stripe_app.oauth.lookup import look_up


class Backend:
    def __init__(self, answer=None) -> None:
        self.answer = answer
        self.asked: list[dict] = []

    def get_connection(self, **options):
        self.asked.append(options)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class VaultBackend(Backend):
    pass


class EnvironmentVariablesBackend(Backend):
    pass


class MetastoreBackend(Backend):
    pass


ROW, SECRET = SimpleNamespace(conn_id="row"), SimpleNamespace(conn_id="secret")


@pytest.fixture
def backends(monkeypatch):
    def use(*found):
        monkeypatch.setattr("airflow.configuration.ensure_secrets_loaded", lambda: list(found))
        return found

    return use


def test_first_backend_that_has_it_wins_and_is_named(backends):
    vault, variables, database = backends(
        VaultBackend(), EnvironmentVariablesBackend(SECRET), MetastoreBackend(ROW)
    )
    found = look_up("app")
    assert (found.connection, found.failed) == (SECRET, ())
    assert found.place == "an environment variable (AIRFLOW_CONN_APP)"
    assert (len(vault.asked), len(variables.asked), len(database.asked)) == (1, 1, 0)
    vault.answer = SECRET
    assert look_up("app").place == "the secrets backend VaultBackend"
    assert install_target.hidden_by("app") == "the secrets backend VaultBackend"


def test_database_is_no_place_that_hides_anything(backends):
    *_, database = backends(VaultBackend(), MetastoreBackend(ROW))
    assert look_up("app").place is None
    assert look_up("app").connection is ROW
    database.asked.clear()
    assert install_target.hidden_by("app") is None
    assert database.asked == []


def test_backend_that_fails_is_passed_over_as_airflow_does_but_not_forgotten(backends):
    backends(VaultBackend(OSError("down")), MetastoreBackend())
    assert look_up("app").failed == ("VaultBackend",)
    with pytest.raises(connections.AppConnectionNotFound, match="may have failed to answer"):
        connections.app_settings("app")


def test_backend_that_denies_ends_the_search(backends):
    _, database = backends(VaultBackend(PermissionError("policy")), MetastoreBackend(ROW))
    with pytest.raises(ConfigurationError, match="VaultBackend does not let Airflow read"):
        look_up("app")
    assert database.asked == []


def test_what_is_nowhere_does_not_exist(backends):
    backends(EnvironmentVariablesBackend(), MetastoreBackend())
    with pytest.raises(connections.AppConnectionMissing, match="app does not exist: create it"):
        connections.app_settings("app")
    with pytest.raises(connections.AppConnectionMissing, match="has another name now"):
        connections.token_endpoint("app")


def test_team_counts_only_where_teams_are_kept_apart(backends, monkeypatch):
    (database,) = backends(MetastoreBackend(ROW))
    look_up("app", "sales")
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    look_up("app", "sales")
    assert database.asked == [{"conn_id": "app"}, {"conn_id": "app", "team_name": "sales"}]
