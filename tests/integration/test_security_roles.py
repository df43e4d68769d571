"""Every route asks Airflow's auth manager: each role is tried against each, under both managers."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from plugin_server import PASSWORD, Answer, Browser, _Forms
from security_lab import (
    SHOP,
    AuthManager,
    Identity,
    Rows,
    SecureServer,
    browser_of,
    identities,
    is_login,
    migrated_database,
    secure_server,
)
from security_rules import APP, INSTALLATION, RULES, Rule, registered

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(280)]

ROUTES = registered()


@pytest.fixture(scope="module", params=["simple", "fab"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecureServer]:
    auth: AuthManager = request.param
    with secure_server(tmp_path_factory.mktemp(auth), auth, migrated_database()) as running:
        running.installed(APP, INSTALLATION)
        yield running


@pytest.fixture(scope="module")
def browsers(server: SecureServer) -> dict[Identity, Browser]:
    return {who: browser_of(server, who) for who in identities(server.auth)}


def send(
    server: SecureServer, browser: Browser, user: str, method: str, path: str, rule: Rule
) -> Answer:
    fields = rule.fields(server, user)
    address = f"/stripe-app{path}"
    if rule.worker:
        body = {"conn_id": INSTALLATION, "broker_token": "wrong"}
        return browser._open(method, address, json=body)
    if method == "POST":
        return browser.post(address, server.form(browser, user, **fields))
    return browser.get(f"{address}?{urlencode(fields)}" if fields else address)


def refused(who: Identity, method: str, path: str, answer: Answer) -> bool:
    if who.way != "nobody":
        return answer.status == 403
    if method == "GET" and path != "/status.json":  # that one is for programs
        return is_login(answer)
    return answer.status == 401


def test_every_route_has_a_rule() -> None:
    unknown = [route for route in ROUTES if route not in RULES]
    assert not unknown, f"say in RULES who may use {unknown}"
    assert {("GET", "/"), ("POST", "/install"), ("POST", "/token")} <= set(ROUTES)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_route_is_for_those_whom_the_auth_manager_lets(
    server: SecureServer, browsers: dict[Identity, Browser], method: str, path: str
) -> None:
    rule = RULES[method, path]
    wrong: list[str] = []
    for who, browser in browsers.items():
        before, calls = server.rows(), dict(server.sim.oauth.counts)
        answer = send(server, browser, who.user, method, path, rule)
        told = f"{who}: {answer.status} {answer.location} {answer.text[:300]}"
        if rule.anybody:
            fine = answer.status == 200 and SHOP not in answer.text
        elif rule.worker:
            fine = answer.status in {401, 429}
        elif who.role in rule.roles:
            fine = answer.status in {200, 303, 400, 409} and not is_login(answer)
        else:
            changed = [name for name, lines in server.rows().items() if lost(lines, before, name)]
            told = f"{told} changed {changed}"
            fine = refused(who, method, path, answer) and SHOP not in answer.text
            fine = fine and not changed and dict(server.sim.oauth.counts) == calls
        if not fine:
            wrong.append(told)
        server.restore(before)
    assert not wrong, "\n".join(wrong)


def lost(lines: list[tuple], before: Rows, table: str) -> bool:
    """Tell whether a table changed; of one-time values, the try brought one of its own."""
    if table == "stripe_app_install_state":
        return not set(map(repr, before[table])) <= set(map(repr, lines))
    return lines != before[table]


@pytest.mark.parametrize("server", ["fab"], indirect=True)
def test_login_form_of_fab_leads_back_to_the_page(server: SecureServer) -> None:
    browser = server.browser(None)
    asked = browser.session.get(f"{server.url}/stripe-app/", timeout=30)
    assert "/auth/login/" in asked.url, asked.url
    parser = _Forms()
    parser.feed(asked.text)
    (form,) = [one for one in parser.forms if "csrf_token" in one]
    form = {**form, "username": "op_1", "password": PASSWORD}
    form.pop("action")
    page = browser.session.post(asked.url, data=form, timeout=30)
    assert page.url == f"{server.url}/stripe-app/", page.url
    assert INSTALLATION in page.text


@pytest.mark.parametrize("server", ["fab"], indirect=True)
def test_history_names_people_and_not_the_numbers_that_fab_knows_them_by(
    server: SecureServer,
) -> None:
    query = "SELECT installed_by FROM stripe_app_installation WHERE conn_id = ?"
    assert server.sql(query, INSTALLATION) == [("airflow:ann",)]
