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
