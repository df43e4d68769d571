"""The simulated Stripe's OAuth keeps the rules of STRIPE.md §1."""

from __future__ import annotations

import threading
from random import Random
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_stripe_app.testing.oauth import (
    AppRecord,
    AuthError,
    ErrorPage,
    Grant,
    OAuthServer,
    OAuthSwitches,
    Redirect,
    parse_basic,
)

ACCOUNT = "acct_1"
CALLBACK = "https://airflow.example/stripe-app/callback"


class FakeClock:
    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server(clock: FakeClock) -> OAuthServer:
    return OAuthServer(clock, OAuthSwitches(), Random(1))


@pytest.fixture
def app(server: OAuthServer) -> AppRecord:
    return server.register_app(
        redirect_uris=[CALLBACK, CALLBACK + "2"],
        permissions=["customer_read", "invoice_read"],
        livemode=True,
    )


def params(location: str) -> dict[str, str]:
    return {k: v[0] for k, v in parse_qs(urlsplit(location).query).items()}


def code_of(server: OAuthServer, app: AppRecord, account: str = ACCOUNT) -> str:
    answer = server.authorize({"client_id": app.client_id, "state": "s"}, account, "allow")
    assert isinstance(answer, Redirect)
    return params(answer.location)["code"]


def exchange(server: OAuthServer, app: AppRecord, code: str, **headers: str):
    form = {"grant_type": "authorization_code", "code": code}
    return server.token(app.secret_key, form, headers)


def refresh(server: OAuthServer, app: AppRecord, token: str, key: str = ""):
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return server.token(app.secret_key, form, {"Idempotency-Key": key} if key else {})


def install(server: OAuthServer, app: AppRecord, account: str = ACCOUNT) -> dict:
    status, _, body = exchange(server, app, code_of(server, app, account))
    assert status == 200
    return body


def assert_invalid_grant(answer: tuple) -> str:
    status, _, body = answer
    assert status == 400
    assert body["error"] == "invalid_grant"
    return body["error_description"]


def code_of_error(answer: Grant | AuthError) -> str | None:
    assert isinstance(answer, AuthError), answer
    assert answer.status == 401
    return answer.body["error"].get("code")


# -- consent


def test_consent_sends_code_and_state_to_the_exact_redirect_uri(server, app):
    query = {"client_id": app.client_id, "redirect_uri": CALLBACK + "2", "state": "a b&c"}
    answer = server.authorize(query, ACCOUNT, "allow")
    assert answer.location.startswith(CALLBACK + "2?")
    assert params(answer.location)["state"] == "a b&c"
    assert params(answer.location)["code"].startswith("ac_")


def test_denied_consent_carries_error_and_state_and_no_code(server, app):
    answer = server.authorize({"client_id": app.client_id, "state": "s"}, ACCOUNT, "deny")
    got = params(answer.location)
    assert got["error"] == "access_denied"
    assert got["error_description"]
    assert got["state"] == "s"
    assert "code" not in got


@pytest.mark.parametrize("uri", [CALLBACK + "/", CALLBACK + "?x=1", "https://evil.example/"])
def test_redirect_uri_must_match_exactly(server, app, uri):
    answer = server.authorize({"client_id": app.client_id, "redirect_uri": uri}, ACCOUNT, "allow")
    assert isinstance(answer, ErrorPage)
    assert "redirect URI" in answer.message


def test_redirect_uri_is_not_checked_by_switch(server, app):
    server.switches.check_redirect_uri = False
    query = {"client_id": app.client_id, "redirect_uri": "https://other.example/"}
    answer = server.authorize(query, ACCOUNT, "allow")
    assert answer.location.startswith("https://other.example/?code=")


@pytest.mark.parametrize(("livemode", "allowed"), [(True, False), (False, True)])
def test_plain_http_redirect_is_for_test_mode_only(server, livemode, allowed):
    app = server.register_app(
        redirect_uris=["http://localhost:1/cb"], permissions=[], livemode=livemode
    )
    answer = server.authorize({"client_id": app.client_id}, ACCOUNT, "allow")
    assert isinstance(answer, Redirect) is allowed


def test_link_of_the_wrong_form_or_of_an_unknown_app_is_invalid(server, app):
    query = {"client_id": app.client_id}
    assert app.authorize_path.startswith("/oauth/v2/chnlink_")
    wrong = server.authorize(query, ACCOUNT, "allow", path="/oauth/v2/authorize")
    unknown = server.authorize({"client_id": "ca_no"}, ACCOUNT, "allow", path=app.authorize_path)
    for page in (wrong, unknown):
        assert isinstance(page, ErrorPage)
        assert page.message == "The provided OAuth link is invalid"
    right = server.authorize(query, ACCOUNT, "allow", path=urlsplit(app.install_link).path)
    assert isinstance(right, Redirect)


def test_published_app_has_the_plain_link(server):
    app = server.register_app(redirect_uris=[CALLBACK], permissions=[], channel=None)
    assert urlsplit(app.install_link).path == "/oauth/v2/authorize"


def test_install_begun_at_stripe_arrives_without_state(server, app):
    got = params(server.install_from_stripe(ACCOUNT, app.client_id).location)
    assert "state" not in got
    assert exchange(server, app, got["code"])[0] == 200


# -- exchange


def test_exchange_answers_what_stripe_documents_and_no_expiry(server, app):
    body = install(server, app)
    assert set(body) == {
        "access_token",
        "refresh_token",
        "livemode",
        "scope",
        "stripe_publishable_key",
        "stripe_user_id",
        "token_type",
    }
    assert body["access_token"].startswith("rk_live_")
    assert body["stripe_publishable_key"].startswith("pk_live_")
    assert (body["stripe_user_id"], body["livemode"]) == (ACCOUNT, True)
    assert (body["scope"], body["token_type"]) == ("stripe_apps", "bearer")
    grant = server.authenticate(body["access_token"])
    assert isinstance(grant, Grant)
    assert (grant.account_id, grant.client_id) == (ACCOUNT, app.client_id)
    assert grant.permissions == app.permissions


def test_expires_in_appears_by_switch(server, app):
    server.switches.expires_in = True
    server.switches.access_token_seconds = 600
    assert install(server, app)["expires_in"] == 600


def test_code_is_single_use(server, app):
    code = code_of(server, app)
    first = exchange(server, app, code)[2]
    assert "already been used" in assert_invalid_grant(exchange(server, app, code))
    assert isinstance(server.authenticate(first["access_token"]), Grant)
    assert server.counts["reused_code"] == 1


def test_reused_code_kills_its_tokens_by_switch(server, app):
    server.switches.reused_code_revokes = True
    code = code_of(server, app)
    first = exchange(server, app, code)[2]
    assert_invalid_grant(exchange(server, app, code))
    assert isinstance(server.authenticate(first["access_token"]), AuthError)
    assert_invalid_grant(refresh(server, app, first["refresh_token"]))


@pytest.mark.parametrize(("age", "status"), [(299, 200), (300, 400)])
def test_code_lives_five_minutes(server, app, clock, age, status):
    code = code_of(server, app)
    clock.time += age
    assert exchange(server, app, code)[0] == status


def test_key_of_another_environment_is_told_that_the_code_is_not_its_own(server, app):
    code = code_of(server, app)
    other = server.register_app(redirect_uris=[CALLBACK], permissions=[], livemode=False)
    message = assert_invalid_grant(exchange(server, other, code))
    assert message == "Authorization code provided does not belong to you"
    assert exchange(server, app, code)[0] == 200, "a stranger's attempt does not spend the code"


def test_unknown_code_is_an_invalid_grant(server, app):
    assert_invalid_grant(exchange(server, app, "ac_unknown"))


@pytest.mark.parametrize("extra", ["client_id", "client_secret", "redirect_uri", "scope"])
def test_body_with_anything_else_is_refused_unless_lenient(server, app, extra):
    form = {"grant_type": "authorization_code", "code": code_of(server, app), extra: "x"}
    status, _, body = server.token(app.secret_key, form, {})
    assert (status, body["error"]) == (400, "invalid_request")
    assert extra in body["error_description"]
    server.switches.strict_token_body = False
    assert server.token(app.secret_key, form, {})[0] == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "authorization_code", "code": ""}, "invalid_request"),
    ],
)
def test_malformed_bodies_are_refused(server, app, form, error):
    status, _, body = server.token(app.secret_key, form, {})
    assert (status, body["error"]) == (400, error)


def test_client_must_be_a_secret_key_with_an_empty_password(server, app):
    code = code_of(server, app)
    form = {"grant_type": "authorization_code", "code": code}
    publishable = server.publishable_key(ACCOUNT, True)
    restricted = server.register_key("restricted", ACCOUNT, livemode=True)
    for user in (None, "", "sk_live_wrong", publishable, restricted):
        assert server.token(user, form, {})[0] in (401, 403), user
    assert server.token(app.secret_key, form, {}, basic_password="x")[0] == 401
    assert server.token(app.secret_key, form, {})[0] == 200


def test_basic_header_is_parsed_strictly():
    assert parse_basic("Basic c2tfdGVzdF8xOg==") == ("sk_test_1", "")
    assert parse_basic("basic dTpw") == ("u", "p")
    for bad in (None, "", "Bearer x", "Basic !!", "Basic bm9jb2xvbg=="):
        assert parse_basic(bad) is None


# -- refresh


def test_refresh_rolls_both_tokens_and_spends_the_old_one(server, app):
    first = install(server, app)
    status, _, second = refresh(server, app, first["refresh_token"])
    assert status == 200
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert second["stripe_user_id"] == ACCOUNT
    assert "not the latest" in assert_invalid_grant(refresh(server, app, first["refresh_token"]))
    assert server.counts["spent_refresh"] == 1
    assert server.counts["refresh"] == server.counts[f"refresh:{ACCOUNT}"] == 1
    assert refresh(server, app, second["refresh_token"])[0] == 200


def test_refresh_may_name_the_account_differently(server, app):
    server.switches.account_field = "account_id"
    first = install(server, app)
    second = refresh(server, app, first["refresh_token"])[2]
    assert "stripe_user_id" in first
    assert second["account_id"] == ACCOUNT
    assert "stripe_user_id" not in second


@pytest.mark.parametrize(
    ("grace", "alive_until"), [(0.0, 0), (7.0, 7), (None, 3600), (99999.0, 3600)]
)
def test_old_access_token_dies_after_the_grace_or_at_its_own_expiry(
    server, app, clock, grace, alive_until
):
    server.switches.revoke_after_refresh = grace
    first = install(server, app)
    refresh(server, app, first["refresh_token"])
    if alive_until:
        clock.time += alive_until - 1
        assert isinstance(server.authenticate(first["access_token"]), Grant)
        clock.time += 1
    assert code_of_error(server.authenticate(first["access_token"])) == "api_key_expired"


def test_refresh_token_lives_a_year(server, app, clock):
    first = install(server, app)
    clock.time += 365 * 86400 - 1
    second = refresh(server, app, first["refresh_token"])[2]
    clock.time += 365 * 86400
    assert "expired" in assert_invalid_grant(refresh(server, app, second["refresh_token"]))


def test_refresh_with_another_environments_key_is_refused_and_spends_nothing(server, app):
    first = install(server, app)
    other = server.register_app(redirect_uris=[CALLBACK], permissions=[], livemode=True)
    assert_invalid_grant(refresh(server, other, first["refresh_token"]))
    assert refresh(server, app, first["refresh_token"])[0] == 200


def test_hundred_threads_with_one_refresh_token_get_one_new_generation(server, app):
    token = install(server, app)["refresh_token"]
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(refresh(server, app, token)[0]))
        for _ in range(100)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [400] * 99
    assert (server.counts["refresh"], server.counts["spent_refresh"]) == (1, 99)


# -- idempotency and failures


def test_idempotency_key_replays_the_same_tokens(server, app):
    token = install(server, app)["refresh_token"]
    first = refresh(server, app, token, key="k")
    again = refresh(server, app, token, key="k")
    assert again[2] == first[2]
    assert again[1] == {"Idempotent-Replayed": "true"}
    assert (server.counts["refresh"], server.counts["replay"]) == (1, 1)


def test_ignored_idempotency_key_makes_the_retry_an_invalid_grant(server, app):
    server.switches.token_idempotency = False
    token = install(server, app)["refresh_token"]
    assert refresh(server, app, token, key="k")[0] == 200
    assert_invalid_grant(refresh(server, app, token, key="k"))


def test_stored_500_is_replayed_for_the_same_key_only(server, app):
    token = install(server, app)["refresh_token"]
    server.fail_next(status=500)
    assert refresh(server, app, token, key="k")[0] == 500
    assert refresh(server, app, token, key="k")[0] == 500
    assert server.counts["refresh"] == 0
    assert refresh(server, app, token, key="k2")[0] == 200


def test_500_after_the_effect_has_rolled_the_tokens(server, app):
    token = install(server, app)["refresh_token"]
    server.fail_next(effect=True)
    assert refresh(server, app, token)[0] == 500
    assert server.counts["refresh"] == 1
    assert_invalid_grant(refresh(server, app, token))


def test_idempotency_key_with_other_parameters_is_refused(server, app):
    token = install(server, app)["refresh_token"]
    refresh(server, app, token, key="k")
    status, _, body = refresh(server, app, "rt_other", key="k")
    assert (status, body["error"]["type"]) == (400, "idempotency_error")


# -- bearers


def test_access_token_expires_after_an_hour_with_stripes_confusing_message(server, app, clock):
    token = install(server, app)["access_token"]
    clock.time += 3599
    assert isinstance(server.authenticate(token), Grant)
    clock.time += 1
    refused = server.authenticate(token)
    assert code_of_error(refused) == "api_key_expired"
    message = refused.body["error"]["message"]
    assert message.startswith("Expired API Key provided: rk_live_********")
    assert token not in message


def test_expiring_tokens_by_hand_ends_the_living_ones(server, app):
    token = install(server, app)["access_token"]
    assert server.expire_access_tokens(ACCOUNT) == 1
    assert code_of_error(server.authenticate(token)) == "api_key_expired"
    assert server.expire_access_tokens(ACCOUNT) == 0


def test_uninstall_ends_everything_at_once(server, app):
    first = install(server, app)
    second = refresh(server, app, first["refresh_token"])[2]
    pending = code_of(server, app)
    bystander = install(server, app, "acct_2")
    server.uninstall(ACCOUNT, app.client_id)
    for token in (first["access_token"], second["access_token"]):
        assert code_of_error(server.authenticate(token)) == "api_key_expired"
    assert_invalid_grant(refresh(server, app, second["refresh_token"]))
    assert_invalid_grant(exchange(server, app, pending))
    assert server.current_tokens(ACCOUNT, app.client_id) is None
    assert isinstance(server.authenticate(bystander["access_token"]), Grant)


def test_revoked_token_may_be_called_invalid_by_switch(server, app):
    server.switches.revoked_answer = "invalid"
    token = install(server, app)["access_token"]
    server.uninstall(ACCOUNT, app.client_id)
    assert code_of_error(server.authenticate(token)) is None


@pytest.mark.parametrize("keep", [False, True])
def test_reinstalling_replaces_or_keeps_older_tokens(server, app, keep):
    server.switches.reinstall_keeps_old_tokens = keep
    server.switches.revoke_after_refresh = 0.0
    first = install(server, app)
    second = install(server, app)
    assert isinstance(server.authenticate(first["access_token"]), Grant) is keep
    assert isinstance(server.authenticate(second["access_token"]), Grant)
    assert (refresh(server, app, first["refresh_token"])[0] == 200) is keep
    assert server.current_tokens(ACCOUNT, app.client_id)[0] != first["access_token"]


def test_permissions_are_frozen_at_consent_until_reauthorized(server, app):
    first = install(server, app)
    pending = code_of(server, app)
    released = server.release(app.client_id, ["customer_read", "subscription_write"])
    assert released.version == 2
    second = refresh(server, app, first["refresh_token"])[2]
    grant = server.authenticate(second["access_token"])
    assert not grant.allows("subscription_read")
    assert grant.allows("invoice_read")
    frozen = exchange(server, app, pending)[2]
    assert not server.authenticate(frozen["access_token"]).allows("subscription_read")
    renewed = server.authenticate(install(server, app)["access_token"])
    assert renewed.allows("subscription_read")
    assert renewed.allows("subscription_write")
    assert not renewed.allows("invoice_read")


def test_permission_taken_away_takes_effect_on_living_tokens(server, app):
    token = install(server, app)["access_token"]
    server.set_permissions(ACCOUNT, app.client_id, ["customer_read"])
    grant = server.authenticate(token)
    assert grant.allows("customer_read")
    assert not grant.allows("invoice_read")


def test_keys_of_every_kind_are_told_apart(server):
    restricted = server.register_key("restricted", ACCOUNT, permissions=["customer_read"])
    secret = server.register_key("secret", ACCOUNT, livemode=True)
    assert restricted.startswith("rk_test_")
    assert secret.startswith("sk_live_")
    assert server.authenticate(secret).allows("anything_write")
    assert not server.authenticate(restricted).allows("invoice_read")
    server.set_key_permissions(restricted, ["invoice_read"])
    assert server.authenticate(restricted).allows("invoice_read")
    server.revoke_key(restricted)
    assert isinstance(server.authenticate(restricted), AuthError)
    publishable = server.authenticate(server.publishable_key(ACCOUNT, False))
    assert isinstance(publishable, AuthError)
    assert publishable.status == 403
    for nobody in (None, "", "sk_test_unknown"):
        assert isinstance(server.authenticate(nobody), AuthError)


def test_the_same_seed_gives_the_same_tokens(clock):
    def first_token() -> str:
        server = OAuthServer(clock, OAuthSwitches(), Random(7))
        app = server.register_app(redirect_uris=[CALLBACK], permissions=[])
        return install(server, app)["access_token"]

    assert first_token() == first_token()


def test_secret_key_is_not_in_the_records_repr(app):
    assert app.secret_key not in repr(app)
