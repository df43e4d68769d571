"""With multi-team on, apps and their installations stay within their team."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
import requests
from plugin_server import PERMISSIONS, Answer, Browser
from security_lab import OTHER, SHOP, SecureServer, migrated_database, secure_server
from security_rules import APP, INSTALLATION, RULES, registered

pytestmark = pytest.mark.airflow

USERS = {"tina": "op:team_a", "tom": "op:team_b"}
ROUTES = [route for route in registered() if not (RULES[route].worker or RULES[route].anybody)]
OTHERS = ("/", "/status.json", "/manifest", "/manifest/stripe-app.json")
"""Routes that are about no connection, or about all those that one may see."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    home, teams = tmp_path_factory.mktemp("airflow"), ("team_a", "team_b")
    with secure_server(home, "simple", migrated_database(), users=USERS, teams=teams) as running:
        running.sim.account(OTHER)
        team_app(running, APP, "team_a")
        team_app(running, "b_app", "team_b")
        team_app(running, "global_app", None)
        running.install(APP, INSTALLATION, "tina")
        yield running


@pytest.fixture(scope="module")
def tina(server: SecureServer) -> Browser:
    return server.browser("tina")


@pytest.fixture(scope="module")
def tom(server: SecureServer) -> Browser:
    return server.browser("tom")


def team_app(server: SecureServer, conn_id: str, team: str | None) -> None:
    app = server.sim.oauth.register_app(
        redirect_uris=[server.redirect_uri], permissions=PERMISSIONS
    )
    fields = {"login": app.install_link, "password": app.secret_key}
    server.connection(conn_id, **fields, **({"team_name": team} if team else {}))


def try_route(server: SecureServer, browser: Browser, user: str, method: str, path: str) -> Answer:
    fields = RULES[method, path].fields(server, user)
    if method == "POST":
        return browser.post(f"/stripe-app{path}", server.form(browser, user, **fields))
    return browser.get(f"/stripe-app{path}?{urlencode(fields)}")


def teams_of(server: SecureServer, conn_id: str) -> tuple[list, list]:
    """Return the team of a connection and that of its installation."""
    row = server.sql("SELECT team_name FROM connection WHERE conn_id = ?", conn_id)
    kept = server.sql("SELECT team_name FROM stripe_app_installation WHERE conn_id = ?", conn_id)
    return row, kept


def test_installation_inherits_the_team_of_its_app(server: SecureServer, tina: Browser) -> None:
    assert teams_of(server, INSTALLATION) == ([("team_a",)], [("team_a",)])
    assert INSTALLATION in tina.page().text
    found = server.browser("ann").get(f"/api/v2/connections/{INSTALLATION}").response.json()
    assert found["team_name"] == "team_a"


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_route_shows_and_changes_nothing_of_another_team(
    server: SecureServer, tom: Browser, tina: Browser, method: str, path: str
) -> None:
    before, calls = server.rows(), dict(server.sim.oauth.counts)
    answer = try_route(server, tom, "tom", method, path)
    after = server.rows()
    states = "stripe_app_install_state"
    assert {**after, states: 0} == {**before, states: 0}
    assert dict(server.sim.oauth.counts) == calls
    assert SHOP not in answer.text
    if path in OTHERS:
        assert answer.status == 200
        assert INSTALLATION not in answer.text
    else:
        assert answer.status in {403, 404}, answer.text
    own = try_route(server, tina, "tina", method, path)
    assert own.status in {200, 303, 400, 409}, own.text
    server.restore(before)


@pytest.mark.parametrize(
    ("app", "installation"),
    [(APP, "new_shop"), ("b_app", INSTALLATION), (APP, "b_app"), ("global_app", INSTALLATION)],
)
def test_app_and_place_must_both_be_the_users_teams(
    server: SecureServer, tom: Browser, app: str, installation: str
) -> None:
    form = server.form(tom, "tom", conn_id=app, installation_conn_id=installation)
    answer = tom.post("/stripe-app/install", form)
    assert answer.status == 403, answer.text
    assert SHOP not in answer.text


def test_administrator_does_not_mix_teams_by_mistake(server: SecureServer) -> None:
    ann = server.browser("ann")
    form = server.form(ann, "ann", conn_id="b_app", installation_conn_id=INSTALLATION)
    answer = ann.post("/stripe-app/install", form)
    assert answer.status == 400
    assert "belongs to another team" in answer.text


def test_app_of_all_teams_can_be_used_by_each(server: SecureServer) -> None:
    server.connection("b_place", team_name="team_b", extra='{"app_conn_id": "global_app"}')
    server.install("global_app", "b_place", "tom", OTHER)
    assert teams_of(server, "b_place") == ([("team_b",)], [("team_b",)])
    assert "b_place" not in server.browser("tina").page().text
    assert "b_place" in server.browser("tom").page().text


def test_accounts_of_such_an_app_do_not_tell_where_other_teams_keep_them(
    server: SecureServer, tina: Browser
) -> None:
    server.sql(
        "INSERT INTO stripe_app_account VALUES "
        "('global_app', ?, 0, 'ins_1', 'x', 'installed', '[]', '[]', ?)",
        OTHER,
        time.time(),
    )
    page = tina.get("/stripe-app/accounts?conn_id=global_app")
    assert OTHER in page.text
    assert "b_place" not in page.text
    app_id = {"extra": '{"app_id": "app_of_the_test"}'}
    changed = server.browser("ann").session.patch(
        f"{server.url}/api/v2/connections/global_app?update_mask=extra",
        json={"connection_id": "global_app", "conn_type": "stripe_app", **app_id},
        timeout=20,
    )
    assert changed.ok, changed.text
    fields = {"conn_id": "global_app", "account_id": OTHER, "installation_conn_id": "a_place"}
    answer = tina.post("/stripe-app/adopt", server.form(tina, "tina", **fields))
    assert answer.status == 400
    assert "is installed here already" in answer.text
    assert "b_place" not in answer.text


def test_installation_stays_its_teams_when_its_connection_is_deleted(
    server: SecureServer, tom: Browser, tina: Browser
) -> None:
    before = server.rows()
    server.sql("DELETE FROM connection WHERE conn_id = ?", INSTALLATION)
    assert INSTALLATION not in tom.page().text
    assert INSTALLATION in tina.page().text
    for path in ("test", "disconnect"):
        form = server.form(tom, "tom", conn_id=INSTALLATION)
        assert tom.post(f"/stripe-app/{path}", form).status == 403
    form = server.form(tom, "tom", conn_id="b_app", installation_conn_id=INSTALLATION)
    assert tom.post("/stripe-app/install", form).status == 403
    assert server.rows()["stripe_app_installation"] == before["stripe_app_installation"]
    server.restore(before)


def test_connection_of_that_name_in_another_team_gets_no_tokens(
    server: SecureServer, tom: Browser, tina: Browser
) -> None:
    before = server.rows()
    ((sealed,),) = server.sql(
        "SELECT broker_token_sealed FROM stripe_app_installation WHERE conn_id = ?", INSTALLATION
    )
    server.sql("DELETE FROM connection WHERE conn_id = ?", INSTALLATION)
    server.connection(INSTALLATION, team_name="team_b", extra='{"app_conn_id": "b_app"}')
    made = server.sql("SELECT extra FROM connection WHERE conn_id = ?", INSTALLATION)
    # Everything that writes the copy: a worker with a wrong token, one with the right one.
    for token in ("wrong", unsealed(server, sealed)):
        body = {"conn_id": INSTALLATION, "broker_token": token}
        requests.post(f"{server.url}/stripe-app/token", json=body, timeout=20)
    time.sleep(0.5)
    assert server.sql("SELECT extra FROM connection WHERE conn_id = ?", INSTALLATION) == made
    for browser in (tom, tina):
        assert SHOP not in browser.page().text
        form = server.form(browser, "tom" if browser is tom else "tina", conn_id=INSTALLATION)
        assert browser.post("/stripe-app/disconnect", form).status == 403
    server.restore(before)


def unsealed(server: SecureServer, sealed: str) -> str:
    from cryptography.fernet import Fernet

    key = Fernet(server.env["AIRFLOW__CORE__FERNET_KEY"])
    return key.decrypt(sealed.removeprefix("fernet:")).decode()
