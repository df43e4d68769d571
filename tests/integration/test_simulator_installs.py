"""The Install API as its clients see it: over HTTP, and by the official ``stripe`` package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import stripe  # noqa: TID253 - proof that its client is understood

from airflow_provider_stripe_app.testing import SimulatedStripe
from airflow_provider_stripe_app.testing.oauth import AppRecord
from airflow_provider_stripe_app.testing.scripting import Account
from airflow_provider_stripe_app.testing.token_form import challenge_of

CALLBACK = "http://localhost:8080/stripe-app/callback"
FIELDS = set(stripe.apps.Install.__annotations__) - {"OBJECT_NAME", "_inner_class_types"}


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatedStripe]:
    with SimulatedStripe(seed=11) as running:
        yield running


@pytest.fixture
def sim(server: SimulatedStripe) -> SimulatedStripe:
    server.reset()
    server.switches.set(rate_limits=False)
    return server


@pytest.fixture
def app(sim: SimulatedStripe) -> AppRecord:
    return sim.register_app(redirect_uris=[CALLBACK], permissions=["customer_read", "event_read"])


def call(
    sim: SimulatedStripe,
    key: str,
    method: str,
    path: str = "",
    *,
    account: str | None = None,
    idempotency_key: str | None = None,
    version: str | None = None,
    **params: str,
) -> requests.Response:
    headers = {
        "Authorization": f"Bearer {key}",
        "Stripe-Account": account,
        "Idempotency-Key": idempotency_key,
        "Stripe-Version": version,
    }
    return requests.request(
        method,
        f"{sim.url}/v1/apps/installs{path}",
        headers={name: value for name, value in headers.items() if value is not None},
        params=params if method == "GET" else None,
        data=params if method == "POST" else None,
        timeout=10,
    )


def exchange(sim: SimulatedStripe, app: AppRecord, code: str, **more: str) -> requests.Response:
    form = {"grant_type": "authorization_code", "code": code, **more}
    url = f"{sim.url}/v1/oauth/token"
    return requests.post(url, auth=(app.secret_key, ""), data=form, timeout=10)


def install(sim: SimulatedStripe, app: AppRecord, account: str | None = None) -> dict[str, Any]:
    location = sim.install(app.client_id, sim.account(account))
    grant: dict[str, Any] = exchange(sim, app, parse_qs(urlsplit(location).query)["code"][0]).json()
    return grant


def works(sim: SimulatedStripe, token: str) -> bool:
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.get(f"{sim.url}/v1/customers", headers=headers, timeout=10)
    return answer.status_code == 200


def reinstall(sim: SimulatedStripe, app: AppRecord, account: str, **more: Any) -> Any:
    more.setdefault("channel", "testing")
    return call(sim, app.secret_key, "POST", account=account, app=app.app_id, **more)


def test_a_lost_grant_is_mended_by_a_reinstall(sim: SimulatedStripe, app: AppRecord) -> None:
    grant = install(sim, app)
    account = grant["stripe_user_id"]
    listed = call(sim, app.secret_key, "GET", app=app.app_id).json()["data"]
    assert [i["account"] for i in listed] == [account]
    control = {"client_id": app.client_id}
    requests.post(f"{sim.url}/_sim/kill_grant", json=control, timeout=10).raise_for_status()
    form = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    lost = requests.post(
        f"{sim.url}/v1/oauth/token", auth=(app.secret_key, ""), data=form, timeout=10
    )
    assert (lost.status_code, lost.json()["error"]) == (400, "invalid_grant")
    assert not works(sim, grant["access_token"])
    installs = requests.get(f"{sim.url}/_sim/installs", timeout=10).json()["installs"]
    assert installs == listed
    answer = reinstall(sim, app, account)
    assert answer.status_code == 200
    assert answer.json() == {**listed[0], "auth_code": answer.json()["auth_code"]}
    mended = exchange(sim, app, answer.json()["auth_code"]).json()
    assert (mended["stripe_user_id"], works(sim, mended["access_token"])) == (account, True)
    assert sim.oauth.counts["reinstall"] == sim.oauth.counts["kill_grant"] == 1


def test_uninstalling_ends_the_grant_and_the_install(sim: SimulatedStripe, app: AppRecord) -> None:
    grant = install(sim, app)
    path = f"/{sim.installs()[0]['id']}"
    answer = call(sim, app.secret_key, "POST", f"{path}/uninstall")
    assert (answer.status_code, answer.json()["status"]) == (200, "uninstalling")
    assert not works(sim, grant["access_token"])
    assert call(sim, app.secret_key, "GET", path).status_code == 404
    assert call(sim, app.secret_key, "GET", app=app.app_id).json()["data"] == []
    assert (sim.oauth.counts["uninstall"], sim.oauth.counts["owner_uninstall"]) == (1, 0)
    types = sorted(event["type"] for event in sim.objects(None, "event"))
    assert types == [
        "account.application.deauthorized",
        "apps.install.created",
        "apps.install.deleted",
    ]


def test_the_stripe_package_understands_every_answer(sim: SimulatedStripe, app: AppRecord) -> None:
    for number in range(3):
        install(sim, app, f"acct_{number}")
    client = stripe.StripeClient(app.secret_key, base_addresses={"api": sim.url})
    installs = client.v1.apps.installs
    found = list(installs.list({"app": app.app_id, "limit": 2}).auto_paging_iter())
    assert [i.account for i in found] == ["acct_2", "acct_1", "acct_0"]
    assert set(found[0].to_dict()) == FIELDS
    assert installs.retrieve(found[0].id) == found[0]
    options: stripe.RequestOptions = {"stripe_account": "acct_1"}
    made = installs.create({"app": app.app_id, "channel": "testing"}, options)
    assert (made.id, made.status, made.channel) == (found[1].id, "installed", "testing")
    assert made.auth_code is not None
    assert "access_token" in exchange(sim, app, made.auth_code).json()
    assert installs.update(made.id, {}, options).permissions_pending == []
    assert installs.uninstall(made.id, {}, options).status == "uninstalling"
    left = installs.list({"app": app.app_id})
    assert [i.account for i in left.data] == ["acct_2", "acct_0"]


def error(answer: requests.Response) -> tuple[int, str | None, str | None]:
    body = answer.json()["error"]
    return answer.status_code, body.get("code"), body.get("param")


def test_lists_are_filtered_and_paged(sim: SimulatedStripe, app: AppRecord) -> None:
    sim.clock.freeze()
    for number in range(5):
        install(sim, app, f"acct_{number}")
        sim.clock.advance(10)
    middle = sim.installs()[2]
    sim.set_install_status(app.client_id, "install_failed", Account("acct_4"))
    sim.oauth.release(app.client_id, [*app.permissions, "invoice_read"])
    install(sim, app, "acct_1")

    def accounts(**params: str) -> tuple[list[str], bool]:
        page = call(sim, app.secret_key, "GET", app=app.app_id, **params).json()
        return [i["account"].removeprefix("acct_") for i in page["data"]], page["has_more"]

    assert accounts() == (["4", "3", "2", "1", "0"], False)
    assert accounts(limit="2") == (["4", "3"], True)
    assert accounts(limit="2", starting_after=middle["id"]) == (["1", "0"], False)
    assert accounts(limit="1", ending_before=middle["id"]) == (["3"], True)
    assert accounts(account="acct_3") == (["3"], False)
    assert accounts(status="install_failed") == (["4"], False)
    assert accounts(channel="public") == ([], False)
    assert accounts(approval_required="true") == (["4", "3", "2", "0"], False)
    assert accounts(approval_required="false") == (["1"], False)
    assert accounts(**{"created[gte]": str(middle["created"])}) == (["4", "3", "2"], False)
    assert accounts(created_by="acct_platform") == ([], False)
    for wrong in ({"status": "on"}, {"channel": "tv"}, {"approval_required": "1"}, {"limit": "0"}):
        refused = call(sim, app.secret_key, "GET", app=app.app_id, **wrong)
        assert error(refused)[::2] == (400, *wrong)
    gone = call(sim, app.secret_key, "GET", app=app.app_id, starting_after="appinst_test_no")
    assert error(gone) == (400, "resource_missing", "starting_after")


def test_everyone_else_sees_the_own_accounts_installs_only(
    sim: SimulatedStripe, app: AppRecord
) -> None:
    mine, other = install(sim, app), install(sim, app, "acct_other")
    foreign = sim.register_app(
        redirect_uris=[CALLBACK], permissions=["app_install_read"], developer_account="acct_devil"
    )
    token = install(sim, foreign)["access_token"]
    owner, reader = sim.secret_key(), sim.restricted_key(["app_install_read"])
    for key, seen in ((owner, 2), (reader, 2), (token, 2), (foreign.secret_key, 0)):
        listed = call(sim, key, "GET").json()["data"]
        assert [i["account"] for i in listed] == [mine["stripe_user_id"]] * seen
        listed = call(sim, key, "GET", app=app.app_id).json()["data"]
        assert len(listed) == seen // 2
    there = next(i["id"] for i in sim.installs(Account("acct_other")))
    for key in (owner, token, foreign.secret_key):
        assert error(call(sim, key, "GET", f"/{there}"))[0] == 404
        assert error(call(sim, key, "GET", account=other["stripe_user_id"])) == (
            403,
            "account_invalid",
            None,
        )
    assert error(call(sim, owner, "GET", account=None, **{"app": "app_no"})) == (
        400,
        "resource_missing",
        "app",
    )
    account = other["stripe_user_id"]
    # the developer may ask on behalf of an account, about that account only
    aside = call(sim, app.secret_key, "GET", f"/{there}", account=mine["stripe_user_id"])
    assert aside.status_code == 404
    assert call(sim, app.secret_key, "GET", f"/{there}", account=account).status_code == 200
    stolen = call(sim, foreign.secret_key, "POST", account=account, app=app.app_id)
    assert error(stolen) == (403, "account_invalid", None)
    stolen = call(sim, foreign.secret_key, "POST", account=mine["stripe_user_id"], app=app.app_id)
    assert error(stolen) == (400, "resource_missing", "app")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_keys_without_the_permission_are_refused(
    sim: SimulatedStripe, app: AppRecord, method: str
) -> None:
    token = install(sim, app)["access_token"]
    answer = call(sim, token, method)
    assert error(answer)[:2] == (403, "more_permissions_required_for_application")
    answer = call(sim, sim.restricted_key(["customer_read"]), method)
    assert error(answer)[:2] == (403, "more_permissions_required")
    assert call(sim, "sk_test_unknown", method).status_code == 401


def test_what_a_reinstall_must_say(sim: SimulatedStripe, app: AppRecord) -> None:
    account = install(sim, app)["stripe_user_id"]
    key = app.secret_key
    assert error(call(sim, key, "POST", account=account)) == (400, "parameter_missing", "app")
    assert error(reinstall(sim, app, account, channel="public"))[::2] == (400, "channel")
    assert error(reinstall(sim, app, account, channel="radio"))[::2] == (400, "channel")
    without = call(sim, key, "POST", account=account, app=app.app_id)
    assert error(without)[::2] == (400, "channel")
    here = call(sim, key, "POST", app=app.app_id, channel="testing")
    assert error(here)[0] == 400
    assert error(reinstall(sim, app, account, scope="all"))[1:] == ("parameter_unknown", "scope")
    assert error(reinstall(sim, app, "acct_stranger")) == (403, "account_invalid", None)
    published = sim.register_app(redirect_uris=[CALLBACK], permissions=[], channel=None)
    install(sim, published)
    made = call(sim, published.secret_key, "POST", account=account, app=published.app_id)
    assert (made.status_code, made.json()["channel"]) == (200, "public")


def test_a_key_of_the_other_mode_sees_and_installs_nothing(sim: SimulatedStripe) -> None:
    live = sim.register_app(
        redirect_uris=["https://airflow.example/cb"], permissions=[], livemode=True
    )
    test = sim.register_app(redirect_uris=[CALLBACK], permissions=[], app_id=live.app_id)
    account = install(sim, live)["stripe_user_id"]
    assert call(sim, test.secret_key, "GET", app=live.app_id).json()["data"] == []
    listed = call(sim, live.secret_key, "GET", app=live.app_id).json()["data"]
    assert [(i["livemode"], i["id"][:13]) for i in listed] == [(True, "appinst_live_")]
    path = f"/{listed[0]['id']}"
    assert call(sim, test.secret_key, "GET", path).status_code == 404
    owner, live_owner = sim.secret_key(), sim.secret_key(Account(account, livemode=True))
    assert call(sim, owner, "GET").json()["data"] == []
    assert call(sim, owner, "GET", path).status_code == 404
    assert call(sim, live_owner, "GET").json()["data"] == listed
    assert call(sim, live_owner, "GET", path).status_code == 200
    only_live = sim.register_app(
        redirect_uris=["https://airflow.example/cb"], permissions=[], livemode=True
    )
    install(sim, test)
    wrong = call(sim, test.secret_key, "POST", account=account, app=only_live.app_id)
    assert error(wrong) == (400, "resource_missing", "app")
    assert "live mode" in wrong.json()["error"]["message"]


def test_a_developer_grants_nothing_new_but_the_owner_does(
    sim: SimulatedStripe, app: AppRecord
) -> None:
    grant = install(sim, app)
    account = grant["stripe_user_id"]
    sim.oauth.release(app.client_id, [*app.permissions, "invoice_read"])
    path = f"/{sim.installs()[0]['id']}"
    for answer in (
        call(sim, app.secret_key, "POST", path, account=account),
        reinstall(sim, app, account),
        call(sim, app.secret_key, "GET", path),
    ):
        shown = answer.json()
        assert (shown["permissions_granted"], shown["permissions_pending"]) == (
            ["customer_read", "event_read"],
            ["invoice_read"],
        )
        assert shown["approval_required"] is True
    shown = call(sim, sim.secret_key(), "POST", path).json()
    assert (shown["permissions_pending"], shown["approval_required"]) == ([], False)
    assert "invoice_read" in shown["permissions_granted"]
    types = {event["type"] for event in sim.objects(None, "event")}
    assert types == {"apps.install.created", "apps.install.updated"}


def test_a_challenge_asks_for_its_verifier(sim: SimulatedStripe, app: AppRecord) -> None:
    account = install(sim, app)["stripe_user_id"]
    verifier = "v" * 43
    pkce = {"code_challenge": challenge_of(verifier), "code_challenge_method": "S256"}
    for wrong, param in (
        ({**pkce, "code_challenge_method": "plain"}, "code_challenge_method"),
        ({"code_challenge": pkce["code_challenge"]}, "code_challenge_method"),
        ({"code_challenge_method": "S256"}, "code_challenge"),
        ({**pkce, "code_challenge": "short"}, "code_challenge"),
    ):
        assert error(reinstall(sim, app, account, **wrong))[::2] == (400, param)
    code = reinstall(sim, app, account, **pkce).json()["auth_code"]
    for given in ({}, {"code_verifier": "w" * 43}):
        refused = exchange(sim, app, code, **given)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert exchange(sim, app, code, code_verifier=verifier).status_code == 200
    code = reinstall(sim, app, account).json()["auth_code"]
    unasked = exchange(sim, app, code, code_verifier=verifier)
    assert unasked.json()["error"] == "invalid_request"
    assert exchange(sim, app, code).status_code == 200


def test_a_lost_answer_is_replayed_by_its_idempotency_key(
    sim: SimulatedStripe, app: AppRecord
) -> None:
    account = install(sim, app)["stripe_user_id"]
    install(sim, app, "acct_second")
    for when, status in (("after", 500), ("after", 0), ("before", 503)):
        path = r"^/v1/apps/installs$"
        if status:
            sim.fail("status", path, method="POST", when=when, count=1, status=status)
            answer = reinstall(sim, app, account, idempotency_key=f"{when}{status}")
            assert answer.status_code == status
        else:
            sim.fail("reset", path, method="POST", when=when, count=1)
            with pytest.raises(requests.ConnectionError):
                reinstall(sim, app, account, idempotency_key=f"{when}{status}")
    assert sim.oauth.counts["reinstall"] == 2  # the two whose answers were lost after their effect
    again = reinstall(sim, app, account, idempotency_key="after0")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert sim.oauth.counts["reinstall"] == 2
    assert exchange(sim, app, again.json()["auth_code"]).status_code == 200
    assert reinstall(sim, app, account, idempotency_key="after500").status_code == 500
    assert reinstall(sim, app, account, idempotency_key="before503").status_code == 200
    # a key is an account's own: it means nothing on another
    other = reinstall(sim, app, "acct_second", idempotency_key="after0")
    assert "Idempotent-Replayed" not in other.headers
    assert other.json()["account"] == "acct_second"


@pytest.mark.parametrize(
    ("switch", "version", "status"),
    [
        ("works", None, 200),
        ("works", "2026-09-30.endive", 200),
        ("works", "2026-08-26.dahlia", 404),
        ("unknown", None, 404),
        ("refused", None, 403),
    ],
)
def test_the_install_api_may_be_refused_or_unknown(
    sim: SimulatedStripe, app: AppRecord, switch: str, version: str | None, status: int
) -> None:
    grant = install(sim, app)
    path = f"/{sim.installs()[0]['id']}"
    sim.switches.set(install_api=switch)
    key, account = app.secret_key, grant["stripe_user_id"]
    made = reinstall(sim, app, account, version=version)
    listed = call(sim, key, "GET", version=version, app=app.app_id)
    ended = call(sim, key, "POST", f"{path}/uninstall", version=version)
    assert {made.status_code, listed.status_code, ended.status_code} == {status}
    if status == 404:
        assert "Unrecognized request URL" in listed.json()["error"]["message"]
    if status == 403:
        assert "app_install_write" in made.json()["error"]["message"]
    assert works(sim, grant["access_token"]) is (status != 200)


def test_the_code_may_be_absent_or_come_later(sim: SimulatedStripe, app: AppRecord) -> None:
    account = install(sim, app)["stripe_user_id"]
    sim.clock.freeze()
    sim.switches.set(install_auth_code="absent")
    made = reinstall(sim, app, account).json()
    assert (made["status"], made["auth_code"]) == ("installed", None)
    sim.clock.advance(60)
    path = f"/{made['id']}"
    assert call(sim, app.secret_key, "GET", path).json()["auth_code"] is None
    sim.switches.set(install_auth_code="later", install_seconds=3)
    made = reinstall(sim, app, account).json()
    assert (made["status"], made["auth_code"]) == ("installing", None)
    soon = call(sim, app.secret_key, "GET", path).json()
    assert (soon["status"], soon["auth_code"]) == ("installing", None)
    sim.clock.advance(3)
    listed = call(sim, app.secret_key, "GET", app=app.app_id).json()["data"][0]
    assert (listed["status"], listed["auth_code"]) == ("installed", None)
    assert call(sim, sim.secret_key(), "GET", path).json()["auth_code"] is None
    there = call(sim, app.secret_key, "GET", path, account=account).json()
    assert there["status"] == "installed"
    assert exchange(sim, app, there["auth_code"]).status_code == 200
    assert call(sim, app.secret_key, "GET", path).json()["auth_code"] is None


@pytest.mark.parametrize("revokes", [False, True])
def test_the_tokens_of_before_may_end_with_the_reinstall(
    sim: SimulatedStripe, app: AppRecord, revokes: bool
) -> None:
    grant = install(sim, app)
    sim.switches.set(install_reinstall_revokes=revokes)
    code = reinstall(sim, app, grant["stripe_user_id"]).json()["auth_code"]
    assert works(sim, grant["access_token"]) is not revokes
    sim.switches.set(revoke_after_refresh=0)
    fresh = exchange(sim, app, code).json()["access_token"]
    assert (works(sim, grant["access_token"]), works(sim, fresh)) == (False, True)


@pytest.mark.parametrize("allowed", [False, True])
def test_an_uninstalled_app_may_come_back_or_not(
    sim: SimulatedStripe, app: AppRecord, allowed: bool
) -> None:
    grant = install(sim, app)
    first = sim.installs()[0]
    sim.uninstall(app.client_id)
    assert (sim.installs(), sim.oauth.counts["owner_uninstall"]) == ([], 1)
    sim.switches.set(install_after_uninstall=allowed)
    sim.oauth.release(app.client_id, [*app.permissions, "invoice_read"])
    answer = reinstall(sim, app, grant["stripe_user_id"])
    if not allowed:
        assert error(answer) == (403, "account_invalid", None)
        return
    made = answer.json()
    assert made["id"] != first["id"]
    assert made["permissions_granted"] == first["permissions_granted"]
    assert exchange(sim, app, made["auth_code"]).status_code == 200


def test_an_uninstall_may_be_seen_going_on(sim: SimulatedStripe, app: AppRecord) -> None:
    sim.clock.freeze()
    grant = install(sim, app)
    sim.switches.set(uninstall_seconds=5)
    path = f"/{sim.installs()[0]['id']}"
    for _ in range(2):
        answer = call(sim, app.secret_key, "POST", f"{path}/uninstall").json()
        assert answer["status"] == "uninstalling"
    assert sim.oauth.counts["uninstall"] == 1
    assert not works(sim, grant["access_token"])
    listed = call(sim, app.secret_key, "GET", app=app.app_id, status="uninstalling").json()
    assert len(listed["data"]) == 1
    assert reinstall(sim, app, grant["stripe_user_id"]).status_code == 400
    sim.clock.advance(5)
    assert call(sim, app.secret_key, "GET", path).status_code == 404
    install(sim, app)
    sim.uninstall(app.client_id)  # by the owner: gone at once
    assert sim.installs() == []


def test_the_control_routes_reach_installs_of_any_account(
    sim: SimulatedStripe, app: AppRecord
) -> None:
    grants = [install(sim, app, f"acct_{n}") for n in range(2)]

    def control(name: str, **arguments: str) -> Any:
        arguments = {"client_id": app.client_id, "account": "acct_1", **arguments}
        return requests.post(f"{sim.url}/_sim/{name}", json=arguments, timeout=10)

    shown = requests.get(f"{sim.url}/_sim/apps", timeout=10).json()["apps"][0]
    assert shown["app_id"] == app.app_id
    assert control("kill_grant").status_code == 200
    assert [works(sim, g["access_token"]) for g in grants] == [True, False]
    assert control("install_status", status="install_failed").json()["status"] == "install_failed"
    assert control("install_status", status="gone").status_code == 400
    url = f"{sim.url}/_sim/installs"
    found = requests.get(url, params={"account": "acct_1"}, timeout=10).json()["installs"]
    assert [(i["account"], i["status"]) for i in found] == [("acct_1", "install_failed")]
    assert reinstall(sim, app, "acct_1").json()["status"] == "installed"
    counts = requests.get(f"{sim.url}/_sim/stats", timeout=10).json()["oauth"]
    assert (counts["kill_grant"], counts["reinstall:acct_1"]) == (1, 1)
