"""Every route asks Airflow's auth manager: each role is tried against each, under both managers.

The table below says who may do what. A route that is registered and not in it fails the test, so a
new one has to be thought about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import pytest
from plugin_server import Answer, Browser
from security_lab import (
    READER,
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

from airflow_provider_stripe_app.plugin.app import create_app

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(280)]

APP, INSTALLATION = "the_app", "the_shop"
GRANT = {
    "access_token": "at",
    "refresh_token": "rt",
    "account_id": "acct_1AnotherShop",
    "livemode": False,
    "expires_at": 4e9,
}
SEERS = frozenset({"op", "admin", READER})
CHANGERS = frozenset({"op", "admin"})
NOBODY: frozenset[str] = frozenset()

Fields = Callable[[SecureServer, str], dict[str, str]]


def nothing(server: SecureServer, user: str) -> dict[str, str]:
    return {}


def installation(server: SecureServer, user: str) -> dict[str, str]:
    return {"conn_id": INSTALLATION}


def of_app(server: SecureServer, user: str) -> dict[str, str]:
    return {"conn_id": APP}


def again(server: SecureServer, user: str) -> dict[str, str]:
    return {"conn_id": APP, "installation_conn_id": INSTALLATION}


def adopted(server: SecureServer, user: str) -> dict[str, str]:
    more = {"account": SHOP, "account_id": SHOP, "app_conn_id": APP}
    return {**again(server, user), **more}


def own_state(server: SecureServer, user: str) -> dict[str, str]:
    """A genuine state of this very user, with a code: only their rights are in the way."""
    state = server.one_time_value("state", user, APP, INSTALLATION)
    return {"state": state, "code": "ac_of_the_test"}


def own_question(server: SecureServer, user: str) -> dict[str, str]:
    old = [SHOP, False]
    value = server.one_time_value("confirm", user, APP, INSTALLATION, secret=GRANT, old=old)
    return {"handle": value}


@dataclass(frozen=True)
class Rule:
    """Who may use a route.

    :param roles: who may, of those who are logged in.
    :param fields: what a well-formed request says.
    :param anybody: whether it tells nothing and needs no login.
    :param worker: whether a broker token is its only key, so that no login opens it.
    """

    roles: frozenset[str] = NOBODY
    fields: Fields = field(default=nothing)
    anybody: bool = False
    worker: bool = False


RULES: dict[tuple[str, str], Rule] = {
    ("GET", "/"): Rule(SEERS),
    ("GET", "/status.json"): Rule(SEERS),
    ("GET", "/installation"): Rule(SEERS, installation),
    ("GET", "/accounts"): Rule(SEERS, of_app),
    ("GET", "/manifest"): Rule(SEERS, of_app),
    ("GET", "/manifest/stripe-app.json"): Rule(SEERS, of_app),
    ("GET", "/confirm"): Rule(CHANGERS, own_question),
    ("GET", "/callback"): Rule(CHANGERS, own_state),
    ("POST", "/install"): Rule(CHANGERS, again),
    ("POST", "/test"): Rule(CHANGERS, installation),
    ("POST", "/take-over"): Rule(CHANGERS, installation),
    ("POST", "/reconcile"): Rule(CHANGERS, of_app),
    ("POST", "/adopt"): Rule(CHANGERS, adopted),
    ("POST", "/confirm"): Rule(CHANGERS, own_question),
    ("POST", "/uninstall"): Rule(CHANGERS, installation),
    ("POST", "/disconnect"): Rule(CHANGERS, installation),
    ("POST", "/token"): Rule(worker=True),
    ("POST", "/report"): Rule(worker=True),
    ("GET", "/health"): Rule(anybody=True),
}
STATIC = "/static"


def registered() -> list[tuple[str, str]]:
    """Return method and path of every route of the app; the one mount is the static files."""
    from starlette.routing import Mount, Route

    found: list[tuple[str, str]] = []
    for route in create_app().routes:
        if isinstance(route, Mount):
            assert route.path == STATIC, f"who may use what is mounted at {route.path}?"
            continue
        assert isinstance(route, Route), route
        found += [
            (method, route.path) for method in sorted(route.methods or ()) if method != "HEAD"
        ]
    return found


ROUTES = registered()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated_database(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="module", params=["simple", "fab"])
def server(
    request: pytest.FixtureRequest, database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecureServer]:
    auth: AuthManager = request.param
    with secure_server(tmp_path_factory.mktemp(auth), auth, database) as running:
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
    if method == "GET" and not path.endswith(".json"):
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
