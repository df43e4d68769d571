"""Which accounts a task may learn of: those of the same app, mode and team, and by a key only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.exceptions import ConfigurationError, TokenUnavailable
from airflow_provider_stripe_app.oauth.accounts_client import installed_accounts
from airflow_provider_stripe_app.oauth.accounts_server import accounts_beside, answer_accounts
from airflow_provider_stripe_app.testing import SimulatedStripe
from tests.integration.oauth_lab import Lab, broker_over_http, new_lab, own_tables


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory: Path = tmp_path_factory.mktemp("accounts")
    with (
        own_tables(f"sqlite:///{directory}/airflow.db"),
        SimulatedStripe(seed=3) as sim,
    ):
        lab = new_lab(sim, directory / "spool")
        for conn_id, more in {
            "bolt": {},
            "dead": {},
            "other_app": {"app_conn_id": "another_app"},
            "live": {},
            "team": {"team_name": "blue"},
            "team_two": {"team_name": "blue"},
            "team_red": {"team_name": "red"},
        }.items():
            lab.account = f"acct_{conn_id.replace('_', '')}"
            granted = lab.endpoint().exchange(lab.code())
            given: dict[str, Any] = {"app_conn_id": lab.app_conn_id, **more}
            lab.store().save_grant(conn_id, granted, **given)
        for conn_id, changed in {"dead": {"status": "lost"}, "live": {"livemode": True}}.items():
            lab.conn_id = conn_id
            lab.set(**changed)
        lab.conn_id = "acme"
        yield lab


def test_accounts_of_the_same_app_mode_and_team_are_told_lost_ones_too(lab):
    assert accounts_beside("acme") == ["acme", "bolt", "dead"]
    assert accounts_beside("other_app") == ["other_app"]
    assert accounts_beside("live") == ["live"]
    assert accounts_beside("team") == ["team", "team_two"]


def test_a_worker_is_told_for_a_broker_token_and_for_nothing_else(lab):
    token = lab.extra()["broker_token"]
    mended: list[str] = []

    def ask(**body: Any) -> tuple[int, dict[str, Any]]:
        return answer_accounts(body, mend=mended.append)

    assert ask(conn_id="acme", broker_token=token) == (
        200,
        {"stripe_app": 1, "conn_ids": ["acme", "bolt", "dead"]},
    )
    refused = [
        ask(conn_id="acme", broker_token="x" * 43),
        ask(conn_id="bolt", broker_token=token),
        ask(conn_id="nobody", broker_token=token),
        ask(conn_id="acme", broker_token=""),
    ]
    assert {status for status, _ in refused} == {401}
    assert len({json.dumps(answer) for _, answer in refused}) == 1
    assert mended == ["acme", "bolt", "nobody", "acme"]
    assert ask(conn_id="acme")[0] == 400


def test_a_task_asks_the_api_server(lab, monkeypatch):
    fields = {"conn_type": "stripe_app", "extra": lab.extra()}
    monkeypatch.setenv("AIRFLOW_CONN_ACME", json.dumps(fields))
    with broker_over_http(lab) as (url, statuses):
        monkeypatch.setenv("AIRFLOW__STRIPE_APP__BROKER_URL", f"{url}/air")
        assert installed_accounts("acme", direct=lambda: False) == ["acme", "bolt", "dead"]
        assert statuses == [200]
        fields["extra"]["broker_token"] = "x" * 43
        monkeypatch.setenv("AIRFLOW_CONN_ACME", json.dumps(fields))
        with pytest.raises(TokenUnavailable, match="wrong broker_token"):
            installed_accounts("acme", direct=lambda: False)
        # Airflow's UI answers every path with 200: it is sent no token.
        monkeypatch.setenv("AIRFLOW__STRIPE_APP__BROKER_URL", url)
        with pytest.raises(TokenUnavailable, match="broker_url"):
            installed_accounts("acme", direct=lambda: False)
        assert statuses == [200, 401]


def test_where_the_database_may_be_used_it_is_asked(lab, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_ACME", json.dumps({"conn_type": "stripe_app", "extra": lab.extra()})
    )
    assert installed_accounts("acme", direct=lambda: True) == ["acme", "bolt", "dead"]


def test_a_restricted_key_has_no_neighbours(monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_KEY", '{"conn_type": "stripe_app", "password": "rk_test_0123456789"}'
    )
    with pytest.raises(ConfigurationError, match="is no installation of a Stripe App"):
        installed_accounts("key", direct=lambda: False)
