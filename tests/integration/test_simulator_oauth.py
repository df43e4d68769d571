"""Installing an app as a browser and a token client see it, and the simulation as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from airflow_provider_stripe_app.testing import SimulatedStripe
from airflow_provider_stripe_app.testing.oauth import AppRecord

CALLBACK = "http://localhost:8080/stripe-app/callback"


class Form(HTMLParser):
    """The consent page as a person sees it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}
        self.accounts: list[str] = []
        self.decisions: list[str] = []
        self._tag = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        values = {name: value or "" for name, value in attrs}
        if tag == "input":
            self.hidden[values["name"]] = values["value"]
        if tag == "button":
            self.decisions.append(values["value"])

    def handle_data(self, data: str) -> None:
        if self._tag == "option":
            self.accounts.append(data)


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatedStripe]:
    with SimulatedStripe(seed=9) as running:
        yield running


@pytest.fixture
def sim(server: SimulatedStripe) -> SimulatedStripe:
    server.reset()
    server.switches.set(rate_limits=False)
    return server


@pytest.fixture
def app(sim: SimulatedStripe) -> AppRecord:
    return sim.register_app(
        redirect_uris=[CALLBACK], permissions=["customer_read", "event_read", "invoice_read"]
    )


def token(sim: SimulatedStripe, app: AppRecord, **form: str) -> requests.Response:
    return requests.post(
        f"{sim.url}/v1/oauth/token", auth=(app.secret_key, ""), data=form, timeout=5
    )


def exchange(sim: SimulatedStripe, app: AppRecord) -> dict[str, str]:
    code = parse_qs(urlsplit(sim.install(app.client_id)).query)["code"][0]
    answer = token(sim, app, grant_type="authorization_code", code=code)
    grant: dict[str, str] = answer.json()
    return grant


def api(sim: SimulatedStripe, bearer: str, path: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {bearer}"}
    return requests.get(f"{sim.url}/v1/{path}", headers=headers, timeout=5)


def test_the_consent_page_leads_back_with_code_and_state(
    sim: SimulatedStripe, app: AppRecord
) -> None:
    sim.account("acct_second")
    assert app.install_link.startswith(f"{sim.url}/oauth/v2/chnlink_")
    url = f"{app.install_link}&redirect_uri={CALLBACK}&state=s%3D1"
    page = requests.get(url, timeout=5)
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "customer_read" in page.text
    form = Form(page.text)
    assert form.accounts == [sim.account().id, "acct_second"]
    assert form.decisions == ["allow", "deny"]
    data = {**form.hidden, "account": "acct_second", "decision": "allow"}
    back = requests.post(page.url, data=data, allow_redirects=False, timeout=5)
    assert back.status_code == 302
    location = urlsplit(back.headers["Location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == CALLBACK
    query = parse_qs(location.query)
    assert query["state"] == ["s=1"]
    grant = token(sim, app, grant_type="authorization_code", code=query["code"][0]).json()
    assert grant["stripe_user_id"] == "acct_second"
    assert grant["scope"] == "stripe_apps"
    assert "expires_in" not in grant
    denied = requests.post(
        page.url, data={**data, "decision": "deny"}, allow_redirects=False, timeout=5
    )
    assert parse_qs(urlsplit(denied.headers["Location"]).query)["error"] == ["access_denied"]


def test_a_wrong_link_shows_stripes_error_page(sim: SimulatedStripe, app: AppRecord) -> None:
    published = requests.get(f"{sim.url}/oauth/v2/authorize?client_id={app.client_id}", timeout=5)
    assert published.status_code == 400
    assert "The provided OAuth link is invalid" in published.text
    foreign = requests.get(f"{app.install_link}&redirect_uri=https://evil.example/", timeout=5)
    assert (foreign.status_code, "Invalid redirect URI" in foreign.text) == (400, True)


def test_an_app_may_do_what_it_was_granted_and_no_more(
    sim: SimulatedStripe, app: AppRecord
) -> None:
    access = exchange(sim, app)["access_token"]
    assert api(sim, access, "customers").status_code == 200
    refused = api(sim, access, "subscriptions")
    assert refused.status_code == 403
    error = refused.json()["error"]
    assert error["code"] == "more_permissions_required_for_application"
    assert "'subscription_read'" in error["message"]
    assert access not in refused.text
    assert api(sim, access, "prices").status_code == 403
    assert api(sim, access, "account").status_code == 403
    sim.switches.set(account_needs_permission=False)
    assert api(sim, access, "account").status_code == 200
    sim.oauth.release(app.client_id, [*app.permissions, "subscription_read"])
    assert api(sim, access, "subscriptions").status_code == 403
    assert api(sim, exchange(sim, app)["access_token"], "subscriptions").status_code == 200


def test_a_missing_permission_of_a_restricted_key_has_another_code(sim: SimulatedStripe) -> None:
    refused = api(sim, sim.restricted_key(["customer_read"]), "invoices").json()["error"]
    assert refused["code"] == "more_permissions_required"


def test_expand_can_be_refused_to_apps_even_with_the_permission(
    sim: SimulatedStripe, app: AppRecord
) -> None:
    access = exchange(sim, app)["access_token"]
    path = "invoices?expand[]=data.customer"
    sim.create(None, "invoice")
    assert api(sim, access, path).json()["data"][0]["customer"]["object"] == "customer"
    sim.switches.set(expand_refused=True)
    assert api(sim, access, path).status_code == 403
    assert api(sim, sim.secret_key(), path).status_code == 200


def test_tokens_expire_roll_and_end_with_the_installation(
    sim: SimulatedStripe, app: AppRecord
) -> None:
    grant = exchange(sim, app)
    sim.clock.advance(3601)
    expired = api(sim, grant["access_token"], "customers")
    assert (expired.status_code, expired.json()["error"]["code"]) == (401, "api_key_expired")
    form = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    fresh = token(sim, app, **form).json()
    assert api(sim, fresh["access_token"], "customers").status_code == 200
    spent = token(sim, app, **form)
    assert (spent.status_code, spent.json()["error"]) == (400, "invalid_grant")
    requests.post(f"{sim.url}/_sim/uninstall", json={"client_id": app.client_id}, timeout=5)
    assert api(sim, fresh["access_token"], "customers").status_code == 401
    told = api(sim, sim.secret_key(), "events").json()["data"][0]
    assert told["type"] == "account.application.deauthorized"
    assert told["data"]["object"]["id"] == app.client_id


def test_a_lost_answer_of_the_token_endpoint_has_rolled_the_token(
    sim: SimulatedStripe, app: AppRecord
) -> None:
    grant = exchange(sim, app)
    sim.fail("reset", "/v1/oauth/token", when="after", count=1)
    form = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    with pytest.raises(requests.ConnectionError):
        token(sim, app, **form)
    assert sim.oauth.counts["refresh"] == 1
    assert token(sim, app, **form).json()["error"] == "invalid_grant"


def test_live_and_test_data_never_meet(sim: SimulatedStripe) -> None:
    live = sim.account(livemode=True)
    mine = sim.create(live, "customer")
    sim.create(None, "customer")
    found = api(sim, sim.secret_key(live), "customers").json()["data"]
    assert [(c["id"], c["livemode"]) for c in found] == [(mine["id"], True)]


def test_a_key_acts_on_its_own_account_only(sim: SimulatedStripe) -> None:
    headers = {"Authorization": f"Bearer {sim.secret_key()}", "Stripe-Account": "acct_other"}
    answer = requests.get(f"{sim.url}/v1/customers", headers=headers, timeout=5)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "account_invalid")


def test_an_unknown_path_is_refused_as_stripe_does(sim: SimulatedStripe) -> None:
    key = sim.secret_key()
    answer = api(sim, key, "unicorns")
    assert answer.status_code == 404
    assert "Unrecognized request URL (GET: /v1/unicorns)" in answer.json()["error"]["message"]
    headers = {"Authorization": f"Bearer {key}"}
    json_body = requests.post(f"{sim.url}/v1/customers", json={}, headers=headers, timeout=5)
    assert json_body.status_code == 400
    assert requests.get(f"{sim.url}/v1/customers", timeout=5).status_code == 401


def test_the_simulation_runs_as_a_process_and_says_where() -> None:
    command = [sys.executable, "-m", "airflow_provider_stripe_app.testing", "--customers", "12"]
    command += ["--seed", "3", "--switch", "rate_limits=false", "--switch", "event_delay=2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        hello = json.loads(process.stdout.readline())
        switches = requests.get(f"{hello['url']}/_sim/switches", timeout=5).json()
        assert (switches["rate_limits"], switches["event_delay"]) == (False, [2, 2])
        headers = {"Authorization": f"Bearer {hello['secret_key']}"}
        url = f"{hello['url']}/v1/customers?limit=100"
        assert len(requests.get(url, headers=headers, timeout=5).json()["data"]) == 12
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in (0, -signal.SIGTERM)


def test_a_wrong_switch_on_the_command_line_is_a_clear_error() -> None:
    command = [sys.executable, "-m", "airflow_provider_stripe_app.testing"]
    done = subprocess.run(
        [*command, "--switch", "rate_limit=false"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "did you mean rate_limits?" in done.stderr
