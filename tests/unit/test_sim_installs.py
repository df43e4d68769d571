"""Where apps are installed in the simulated Stripe, and whose keys reach them."""

from __future__ import annotations

import base64
import hashlib
from random import Random
from typing import Any

import pytest

from airflow_provider_stripe_app.testing.installs import covers
from airflow_provider_stripe_app.testing.oauth import (
    AppRecord,
    Grant,
    OAuthServer,
    OAuthSwitches,
)
from airflow_provider_stripe_app.testing.oauth_model import AuthError
from airflow_provider_stripe_app.testing.token_form import (
    challenge_of,
    proves,
    refuse_form,
    valid_challenge,
)

ACCOUNT = "acct_1"


class FakeClock:
    time = 1_800_000_000.0

    def now(self) -> float:
        return self.time


class Told(list[tuple[str, str, Any]]):
    """The events, in their order."""

    def __call__(self, type_: str, account: str, live: bool, obj: Any, previous: Any) -> None:
        self.append((type_, account, previous))


@pytest.fixture
def server() -> OAuthServer:
    return OAuthServer(FakeClock(), OAuthSwitches(), Random(1))


@pytest.fixture
def app(server: OAuthServer) -> AppRecord:
    return server.register_app(redirect_uris=["http://localhost/cb"], permissions=["customer_read"])


def allow(server: OAuthServer, app: AppRecord, account: str = ACCOUNT) -> None:
    server.authorize({"client_id": app.client_id}, account, "allow")


def access_token(server: OAuthServer, app: AppRecord, account: str) -> str:
    code = server.install_from_stripe(account, app.client_id).location.partition("code=")[2]
    form = {"grant_type": "authorization_code", "code": code}
    return str(server.token(app.secret_key, form, {})[2]["access_token"])


def bearer(server: OAuthServer, key: str) -> tuple[str, Grant]:
    grant = server.authenticate(key)
    assert isinstance(grant, Grant)
    return key, grant


def test_an_allowed_consent_installs_and_a_denied_one_does_not(server, app):
    server.authorize({"client_id": app.client_id}, ACCOUNT, "deny")
    assert server.installs() == []
    allow(server, app)
    record = server.install_of(ACCOUNT, app.client_id)
    assert (record.channel, record.granted) == ("testing", {"customer_read"})
    server.install_from_stripe("acct_2", app.client_id)
    assert [r.account_id for r in server.installs()] == [ACCOUNT, "acct_2"]


def test_what_happens_to_an_install_is_told_once_and_in_order(server, app):
    told = server.notify = Told()
    allow(server, app)
    allow(server, app)  # again, nothing new
    server.release(app.client_id, ["customer_read", "event_read"])
    allow(server, app)
    server.kill_grant(ACCOUNT, app.client_id)  # nobody is told of a lost grant
    server.uninstall(ACCOUNT, app.client_id)
    server.uninstall(ACCOUNT, app.client_id)
    assert [(type_, account) for type_, account, _ in told] == [
        ("apps.install.created", ACCOUNT),
        ("apps.install.updated", ACCOUNT),
        ("apps.install.updated", ACCOUNT),
        ("account.application.deauthorized", ACCOUNT),
        ("apps.install.deleted", ACCOUNT),
    ]
    assert told[1][2] == {"approval_required": False, "permissions_pending": []}
    assert told[2][2]["permissions_granted"] == ["customer_read"]


@pytest.mark.parametrize("frozen", [True, False])
def test_a_new_version_leaves_permissions_pending_unless_consents_follow_it(server, app, frozen):
    server.switches.frozen_permissions = frozen
    allow(server, app)
    server.release(app.client_id, ["customer_write", "event_read"])
    shown = server.show(server.install_of(ACCOUNT, app.client_id))
    assert shown["approval_required"] is frozen
    assert shown["permissions_pending"] == (["customer_write", "event_read"] if frozen else [])


def test_writing_includes_reading():
    assert covers(["customer_write"], "customer_read")
    assert not covers(["customer_read"], "customer_write")
    assert not covers([], "customer_read")


def test_a_lost_grant_leaves_nothing_but_the_install(server, app):
    server.authorize({"client_id": app.client_id}, "acct_bystander", "allow")
    access = access_token(server, app, ACCOUNT)
    server.kill_grant(ACCOUNT, app.client_id)
    assert isinstance(server.authenticate(access), AuthError)
    assert server.current_tokens(ACCOUNT, app.client_id) is None
    assert len(server.installs()) == 2


def test_only_the_developers_keys_own_an_app(server, app):
    sibling = server.register_app(redirect_uris=["http://localhost/cb"], permissions=[])
    developer = app.developer_account
    for key, owns in (
        (app.secret_key, True),
        (sibling.secret_key, False),  # the key of another app's sandbox
        (server.register_key("secret", developer), True),
        (server.register_key("restricted", developer, permissions=["app_install_read"]), True),
        (server.register_key("secret", developer, livemode=True), False),
        (server.register_key("secret", ACCOUNT), False),
        (access_token(server, app, developer), False),
    ):
        assert server.owns(*bearer(server, key), app) is owns


def test_a_developer_reaches_accounts_that_have_its_app(server, app):
    allow(server, app)
    mine = bearer(server, app.secret_key)
    foreign = bearer(server, server.register_key("secret", "acct_devil"))
    assert server.reaches(*mine, ACCOUNT)
    assert server.reaches(*mine, app.developer_account)
    assert not server.reaches(*mine, "acct_stranger")
    assert not server.reaches(*foreign, ACCOUNT)
    server.uninstall(ACCOUNT, app.client_id)
    assert not server.reaches(*mine, ACCOUNT)
    server.switches.install_after_uninstall = True
    assert server.reaches(*mine, ACCOUNT)
    assert not server.reaches(*mine, "acct_stranger")


def test_a_challenge_is_the_hash_of_its_verifier():
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    # the example of RFC 7636, appendix B
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert proves(verifier, challenge_of(verifier))
    assert not proves(verifier + "x", challenge_of(verifier))
    padded = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode()
    assert proves(verifier, padded)
    assert not valid_challenge(padded)
    assert valid_challenge(challenge_of(verifier))
    assert not valid_challenge("a" * 42)


def test_a_verifier_belongs_to_codes_only():
    form = {"grant_type": "refresh_token", "refresh_token": "rt_1", "code_verifier": "v"}
    refusal = refuse_form(form, strict=True)
    assert refusal is not None
    assert refusal.body["error_description"] == "Received unknown parameter: code_verifier"
    assert refuse_form(form, strict=False) is None
