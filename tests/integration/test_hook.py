"""The hook turns connections into Stripe, against the simulated one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.errors import PermissionMissing
from airflow_provider_stripe_app.exceptions import ConfigurationError, StripeAppError
from airflow_provider_stripe_app.hooks.stripe_app import StripeAppHook
from airflow_provider_stripe_app.oauth import broker
from airflow_provider_stripe_app.oauth.access_grant import AccessGrant
from airflow_provider_stripe_app.testing import SimulatedStripe

CONN = "stripe_hook_test"
CALLBACK = "https://airflow.example/stripe-app/callback"


@pytest.fixture
def sim(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedStripe]:
    with SimulatedStripe() as sim:
        sim.populate(customers=130)
        monkeypatch.setenv("AIRFLOW__STRIPE_APP__API_BASE", sim.url)
        monkeypatch.setenv("AIRFLOW__STRIPE_APP__MARKETPLACE_BASE", sim.url)
        # A task's process: no metadata database.
        monkeypatch.setattr(broker, "may_use_metadata_db", lambda: False)
        monkeypatch.setattr(broker, "PATIENCE", 1.0)
        yield sim


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch):
    def connect(**fields: Any) -> StripeAppHook:
        monkeypatch.setenv(
            f"AIRFLOW_CONN_{CONN.upper()}", json.dumps({"conn_type": "stripe_app", **fields})
        )
        return StripeAppHook(CONN)

    return connect


def installed(sim: SimulatedStripe, permissions: list[str]) -> dict[str, Any]:
    """Return the fields of an installation's connection, with a fresh copy of its token."""
    app = sim.register_app(redirect_uris=[CALLBACK], permissions=permissions)
    code = parse_qs(urlsplit(sim.install(app.client_id)).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code}
    _, _, body = sim.oauth.token(app.secret_key, form, {})
    grant = AccessGrant(
        access_token=str(body["access_token"]),
        expires_at=time.time() + 3600,
        generation=1,
        account_id=str(body["stripe_user_id"]),
        livemode=bool(body["livemode"]),
    )
    extra = {
        "app_conn_id": "app",
        "broker_token": "b" * 40,
        "account": grant.account_id,
        "livemode": grant.livemode,
        "access_grant_token": grant.to_copy(),
    }
    return {"extra": extra}


def test_making_a_hook_reads_nothing():
    assert StripeAppHook("no_such_connection").stripe_app_conn_id == "no_such_connection"
    assert StripeAppHook().stripe_app_conn_id == "stripe_app_default"


def test_restricted_key_reads_its_account_and_lists_it(sim, connect):
    hook = connect(password=sim.restricted_key())
    account = sim.account()
    assert hook.account()["id"] == account.id
    assert hook.identity() == (account.id, False)
    ids = [item.id for page in hook.iterate("/v1/customers") for item in page.items]
    assert len(set(ids)) == len(ids) == 130
    assert hook.request("GET", f"/v1/customers/{ids[0]}").json()["id"] == ids[0]
    assert isinstance(hook.get_conn(), StripeClient)
    assert hook.get_conn() is hook.get_conn()
    assert hook.get_conn().limiter.rates()["account"] == pytest.approx(24.5)
    assert hook.test_connection() == (True, f"Connected to {account.id} (test mode).")


def test_live_mode_gets_the_live_rate_unless_told_otherwise(sim, connect, monkeypatch):
    key = sim.restricted_key(account=sim.account(livemode=True))
    hook = connect(password=key)
    assert hook.identity()[1] is True
    assert hook.get_conn().limiter.rates()["account"] == pytest.approx(98)
    shared = StripeAppHook(CONN, account_rate=10)
    assert shared.get_conn().limiter.rates()["account"] == pytest.approx(9.8)


def test_restricted_key_whose_account_nobody_tells_says_where_to_put_it(sim, connect):
    sim.fail("status", "/v1/account", status=403, body="none")
    hook = connect(password=sim.restricted_key())
    with pytest.raises(ConfigurationError, match=r'\{"account": "acct_…"\}'):
        hook.identity()


@pytest.mark.parametrize("needed", [True, False])
def test_restricted_key_without_account_permission_still_knows_its_account(sim, connect, needed):
    sim.switches.set(account_needs_permission=needed)
    hook = connect(password=sim.restricted_key(["customer_read"]))
    if needed:
        with pytest.raises(PermissionMissing, match="connected_account_read"):
            hook.account()
    assert hook.identity() == (sim.account().id, False)
    worked, sentence = hook.test_connection()
    assert worked, sentence


def test_stated_account_costs_no_request(sim, connect):
    hook = connect(password=sim.restricted_key([]), extra={"account": "acct_stated"})
    assert hook.identity() == ("acct_stated", False)
    assert sim.requests() == []


def test_installation_acts_as_the_account_that_consented(sim, connect):
    hook = connect(**installed(sim, ["customer_read"]))
    assert hook.identity() == (sim.account().id, False)
    assert sim.requests("/v1/account") == []
    page = next(hook.iterate("/v1/customers", permission="customer_read"))
    assert len(page.items) == 100
    with pytest.raises(PermissionMissing, match="invoice_read"):
        hook.request("GET", "/v1/invoices")
    assert hook.test_connection()[0]


def test_refused_token_without_a_broker_says_what_to_set(sim, connect, monkeypatch):
    monkeypatch.setenv("AIRFLOW__STRIPE_APP__BROKER_URL", "http://127.0.0.1:9")
    hook = connect(**installed(sim, ["customer_read"]))
    sim.oauth.expire_access_tokens(sim.account().id)
    hook._tokens._patience = 0.1
    with pytest.raises(StripeAppError, match="broker_url"):
        hook.request("GET", "/v1/customers")
    worked, sentence = hook.test_connection()
    assert not worked
    assert "broker_url" in sentence


def test_refused_restricted_key_says_to_make_a_new_one(sim, connect):
    key = sim.restricted_key()
    hook = connect(password=key)
    sim.oauth.revoke_key(key)
    worked, sentence = hook.test_connection()
    assert not worked
    assert "create a new one" in sentence
    assert key not in sentence


def test_app_that_nobody_installed_yet_is_tried_with_its_key(sim, connect):
    app = sim.register_app(redirect_uris=[CALLBACK], permissions=[])
    hook = connect(login=app.install_link, password=app.secret_key)
    worked, sentence = hook.test_connection()
    assert worked, sentence
    assert "press Install" in sentence
    sim.oauth.revoke_key(app.secret_key)
    worked, sentence = StripeAppHook(CONN).test_connection()
    assert not worked
    assert "secret key" in sentence
    assert app.secret_key not in sentence


def test_unknown_and_unreadable_connections_are_told(sim, connect):
    worked, sentence = StripeAppHook("no_such_connection").test_connection()
    assert not worked
    assert "no_such_connection" in sentence
    hook = connect(login="https://connect.stripe.com/oauth/authorize?client_id=ca_1")
    worked, sentence = hook.test_connection()
    assert not worked
    assert sentence


def test_key_without_a_mode_is_refused(sim, connect):
    with pytest.raises(ConfigurationError, match="rk_live_ or rk_test_"):
        connect(password="rk_odd").identity()
