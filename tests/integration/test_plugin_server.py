"""Installing in a real API server, below a path, with real users and roles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from plugin_server import Answer, Browser, PluginServer, plugin_server

from airflow_provider_stripe_app.plugin import security

pytestmark = pytest.mark.airflow

SHOP = "acct_1SimulatedStripe"
OTHER = "acct_1AnotherShop"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluginServer]:
    with plugin_server(tmp_path_factory.mktemp("airflow")) as running:
        running.sim.account(OTHER)
        yield running


@pytest.fixture(scope="module")
def ann(server: PluginServer) -> Browser:
    return server.browser("ann")


def sql(server: PluginServer, statement: str, *values: object) -> list[tuple]:
    import sqlite3

    with sqlite3.connect(server.home / "airflow.db", timeout=20) as database:
        return database.execute(statement, values).fetchall()


def fields(server: PluginServer, conn_id: str) -> tuple[str, dict]:
    """Return a connection's password and extra unmasked, as a task would get them."""
    from cryptography.fernet import Fernet

    key = Fernet(server.env["AIRFLOW__CORE__FERNET_KEY"])
    query = "SELECT password, extra FROM connection WHERE conn_id = ?"
    (row,) = sql(server, query, conn_id)
    password, text = (key.decrypt(value).decode() if value else "" for value in row)
    return password, json.loads(text or "{}")


def extra(server: PluginServer, conn_id: str) -> dict:
    return fields(server, conn_id)[1]


def forged_form(server: PluginServer, browser: Browser, user: str, **fields: str) -> dict:
    """Return a form with a valid token, as if the user's own page had sent it."""
    import time

    browser.session.cookies.set(security.CSRF_COOKIE, "nonce")
    secret = server.env["AIRFLOW__API__SECRET_KEY"]
    return {
        "csrf": security.csrf_token(secret, f"airflow:{user}", "nonce", time.time()),
        **fields,
    }


def install(server: PluginServer, browser: Browser, app: str, **options: str) -> Answer:
    account = options.pop("account", SHOP)
    started = browser.install(app, **options)
    assert started.status == 303, started.text
    return browser.get(server.consent(started.location, account))


# -- who may do what


def test_anonymous_visitor_is_sent_to_the_login_and_back(server: PluginServer) -> None:
    answer = server.browser(None).page()
    assert answer.status == 303
    address = urlsplit(answer.location)
    assert address.path == "/af/api/v2/auth/login"
    assert parse_qs(address.query)["next"] == ["/af/stripe-app/"]
    followed = requests.get(f"{server.url[:-3]}{answer.location}", timeout=20)
    assert followed.status_code == 200


@pytest.mark.parametrize("path", ["install", "confirm", "test", "disconnect"])
def test_anonymous_forms_are_refused(server: PluginServer, path: str) -> None:
    assert server.browser(None).post(f"/stripe-app/{path}", {"conn_id": "x"}).status == 401


def test_viewer_sees_no_connection_and_can_start_nothing(server: PluginServer) -> None:
    server.app_connection("viewer_app")
    vera = server.browser("vera")
    page = vera.page()
    assert page.status == 403
    assert "viewer_app" not in page.text
    for path in ("install", "test", "disconnect"):
        form = forged_form(server, vera, "vera", conn_id="viewer_app")
        answer = vera.post(f"/stripe-app/{path}", form)
        assert answer.status == 403, path
        assert "You may not" in answer.text


def test_form_of_another_site_is_refused(server: PluginServer, ann: Browser) -> None:
    server.app_connection("csrf_app")
    form = ann.page().form("install", conn_id="csrf_app")
    evil = {"Origin": "https://evil.example.com"}
    assert ann.post("/stripe-app/install", form, headers=evil).status == 403
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert ann.post("/stripe-app/install", form, headers=cross).status == 403
    assert ann.post("/stripe-app/install", {**form, "csrf": ""}).status == 403
    olga = server.browser("olga")
    olga.page()
    assert olga.post("/stripe-app/install", form).status == 403
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    assert ann.post("/stripe-app/install", form, headers=own).status == 303


# -- installing


def test_install_consent_callback_installed(server: PluginServer, ann: Browser) -> None:
    app = server.app_connection("shop")
    started = ann.install("shop")
    link = urlsplit(started.location)
    query = parse_qs(link.query)
    assert link.path == app.authorize_path
    assert query["client_id"] == [app.client_id]
    assert query["redirect_uri"] == [server.redirect_uri]
    done = ann.get(server.consent(started.location, SHOP))
    assert done.location == "/af/stripe-app/installation?notice=installed&conn_id=shop"
    page = ann.get("/stripe-app/installation?notice=installed&conn_id=shop")
    assert "Installed: shop is ready" in page.text
    assert "healthy" in page.text
    assert SHOP in page.text
    stored = extra(server, "shop")
    assert stored["account"] == SHOP
    assert stored["broker_token"]
    assert "code=ac_" not in page.text


def test_installation_of_its_own_connection_holds_no_secret_key(
    server: PluginServer, ann: Browser
) -> None:
    app = server.app_connection("team_app")
    assert install(server, ann, "team_app", installation="team_app_shop").status == 303
    assert fields(server, "team_app")[0] == app.secret_key
    password, stored = fields(server, "team_app_shop")
    assert not password
    assert app.secret_key not in repr(stored)
    assert stored["app_conn_id"] == "team_app"
    assert stored["account"] == SHOP
    page = ann.page()
    page.form("install", conn_id="team_app", installation_conn_id="")
    assert "Installed as team_app_shop" in page.text
    page = ann.installation("team_app_shop")
    page.form("install", conn_id="team_app", installation_conn_id="team_app_shop")
    form = page.form("disconnect", conn_id="team_app_shop")
    assert ann.post("/stripe-app/disconnect", form).status == 303
    again = ann.page().form("install", installation_conn_id="team_app_shop")
    assert again["conn_id"] == "team_app"


def test_the_test_button_of_airflows_own_form_knows_every_kind_of_connection(
    server: PluginServer, ann: Browser
) -> None:
    server.app_connection("form_app")
    assert install(server, ann, "form_app", installation="form_shop").status == 303
    server.connection("form_key", password=server.sim.restricted_key())
    base = f"{server.url}/api/v2/connections"

    def button(conn_id: str, **changes: object) -> dict:
        shown = ann.session.get(f"{base}/{conn_id}", timeout=20).json()
        body = {name: shown[name] for name in ("connection_id", "conn_type", "login", "extra")}
        body = {**body, "password": shown["password"], **changes}
        answer = ann.session.post(f"{base}/test", json=body, timeout=20)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    for conn_id in ("form_shop", "form_key"):
        told = button(conn_id)
        assert told["status"], told
        assert "Connected to acct_" in told["message"]
    told = button("form_app")
    assert told["status"], told
    assert "press Install" in told["message"]
    server.sim.oauth.expire_access_tokens(SHOP)
    told = button("form_shop")
    assert not told["status"]
    assert "page Stripe App" in told["message"]
    stale = json.dumps({**extra(server, "form_shop"), "access_grant_token": "damaged"})
    told = button("form_shop", extra=stale)
    assert not told["status"]
    assert "press Test there" in told["message"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("not a name!", "cannot be a connection id"), ("a_postgres", "not Stripe App")],
)
def test_installation_does_not_take_over_other_connections(
    server: PluginServer, ann: Browser, name: str, sentence: str
) -> None:
    server.app_connection("careful_app")
    server.connection("a_postgres", conn_type="postgres")
    answer = ann.install("careful_app", name)
    assert answer.status == 400
    assert sentence in answer.text


def test_replayed_callback_is_refused(server: PluginServer, ann: Browser) -> None:
    server.app_connection("replay_app")
    back = server.consent(ann.install("replay_app").location, SHOP)
    assert ann.get(back).status == 303
    again = ann.get(back)
    assert again.status == 400
    assert "used before" in again.text


def test_link_checkers_do_not_use_the_code_up(server: PluginServer, ann: Browser) -> None:
    server.app_connection("head_app")
    back = server.consent(ann.install("head_app").location, SHOP)
    head = ann.session.head(back, timeout=20, allow_redirects=False)
    assert head.status_code == 405
    assert ann.get(back).status == 303


def test_forged_state_is_refused_and_nothing_is_exchanged(
    server: PluginServer, ann: Browser
) -> None:
    before = server.sim.oauth.counts["exchange"]
    answer = ann.get("/stripe-app/callback?code=ac_forged&state=made-up")
    assert answer.status == 400
    assert "not started from this Airflow" in answer.text
    assert server.sim.oauth.counts["exchange"] == before


def test_state_of_another_user_is_refused_and_stays_usable_for_its_own(
    server: PluginServer, ann: Browser
) -> None:
    server.app_connection("others_app")
    back = server.consent(ann.install("others_app").location, SHOP)
    answer = server.browser("otto").get(back)
    assert answer.status == 400
    assert "another Airflow user" in answer.text
    assert ann.get(back).status == 303


def test_expired_state_is_refused(server: PluginServer, ann: Browser) -> None:
    server.app_connection("late_app")
    back = server.consent(ann.install("late_app").location, SHOP)
    sql(
        server,
        "UPDATE stripe_app_install_state SET created_at = created_at - 601 WHERE conn_id = ?",
        "late_app",
    )
    answer = ann.get(back)
    assert answer.status == 400
    assert "more than 10 minutes ago" in answer.text


def test_state_is_stored_as_a_hash_only(server: PluginServer, ann: Browser) -> None:
    server.app_connection("hash_app")
    state = parse_qs(urlsplit(ann.install("hash_app").location).query)["state"][0]
    rows = sql(server, "SELECT * FROM stripe_app_install_state WHERE conn_id = ?", "hash_app")
    assert rows
    assert state not in repr(rows)


def test_rights_are_checked_again_at_the_callback(server: PluginServer) -> None:
    server.app_connection("revoked_app")
    olga = server.browser("olga")
    back = server.consent(olga.install("revoked_app").location, SHOP)
    # The same user comes back with a role that may not see connections any more.
    token = olga.session.cookies["_token"]
    olga.session.cookies.set("_token", _with_role(server, token, "viewer"))
    assert olga.get(back).status == 403
    assert not sql(server, "SELECT 1 FROM stripe_app_installation WHERE conn_id = ?", "revoked_app")


def _with_role(server: PluginServer, token: str, role: str) -> str:
    import jwt

    claims = jwt.decode(token, options={"verify_signature": False})
    secret = server.env["AIRFLOW__API_AUTH__JWT_SECRET"]
    algorithm = jwt.get_unverified_header(token)["alg"]
    return jwt.encode({**claims, "role": role}, secret, algorithm=algorithm)


def test_denied_consent_is_a_sentence(server: PluginServer, ann: Browser) -> None:
    server.app_connection("denied_app")
    back = server.consent(ann.install("denied_app").location, SHOP, "deny")
    answer = ann.get(back)
    assert answer.status == 400
    assert "consent was denied in Stripe" in answer.text
    assert "used before" in ann.get(back).text


def test_install_from_stripe_itself_is_told_to_start_from_airflow(
    server: PluginServer, ann: Browser
) -> None:
    app = server.app_connection("market_app")
    back = server.sim.oauth.install_from_stripe(SHOP, app.client_id).location
    for browser in (ann, server.browser(None)):
        answer = browser.get(back)
        assert answer.status == 400
        assert "started from Airflow" in answer.text


def test_callback_before_login_is_parked_without_the_code(server: PluginServer) -> None:
    server.app_connection("parked_app")
    olga = server.browser("olga")
    back = server.consent(olga.install("parked_app").location, SHOP)
    values = parse_qs(urlsplit(back).query)
    fresh = server.browser(None)
    asked = fresh.get(back)
    assert asked.status == 303
    assert values["code"][0] not in asked.location
    assert values["state"][0] not in asked.location
    resume = parse_qs(urlsplit(asked.location).query)["next"][0]
    rows = sql(server, "SELECT * FROM stripe_app_install_state WHERE conn_id = ?", "parked_app")
    assert values["code"][0] not in repr(rows)

    stranger = server.browser("otto").get(f"{server.url[:-3]}{resume}")
    assert "another Airflow user" in stranger.text
    fresh.login("olga")
    assert fresh.get(f"{server.url[:-3]}{resume}").location.endswith("conn_id=parked_app")
    assert "used before" in fresh.get(f"{server.url[:-3]}{resume}").text


def test_another_account_has_to_be_confirmed(server: PluginServer, ann: Browser) -> None:
    server.app_connection("switch_app")
    assert install(server, ann, "switch_app").status == 303
    sent = install(server, ann, "switch_app", account=OTHER)
    assert urlsplit(sent.location).path == "/af/stripe-app/confirm"
    address = f"{server.url[:-3]}{sent.location}"
    asked = ann.get(address)
    assert asked.status == 200
    assert ann.get(address).status == 200, "reloading asks again"
    assert server.browser("otto").get(address).status == 400
    assert SHOP in asked.text
    assert OTHER in asked.text
    query = "SELECT account_id FROM stripe_app_installation WHERE conn_id = 'switch_app'"
    assert sql(server, query) == [(SHOP,)]
    form = asked.form("confirm")
    otto = server.browser("otto")
    stolen = forged_form(server, otto, "otto", handle=form["handle"])
    assert "another Airflow user" in otto.post("/stripe-app/confirm", stolen).text
    assert ann.post("/stripe-app/confirm", form).status == 303
    assert sql(server, query) == [(OTHER,)]
    assert "used before" in ann.post("/stripe-app/confirm", form).text


def test_wrong_secret_key_is_named(server: PluginServer, ann: Browser) -> None:
    app = server.app_connection("wrong_key_app")
    other = server.sim.oauth.register_app(
        redirect_uris=[server.redirect_uri],
        permissions=["event_read"],
        developer_account="acct_1SomebodyElse",
    )
    server.connection("wrong_key_app", login=app.install_link, password=other.secret_key)
    answer = install(server, ann, "wrong_key_app")
    assert answer.status == 400
    assert "secret key of connection wrong_key_app" in answer.text
    assert other.secret_key not in answer.text


def test_trouble_at_stripe_during_the_exchange_is_tried_again(
    server: PluginServer, ann: Browser
) -> None:
    server.app_connection("trouble_app")
    back = server.consent(ann.install("trouble_app").location, SHOP)
    server.sim.oauth.fail_next(status=500, count=1)
    assert ann.get(back).status == 303


# -- afterwards


def test_broker_hands_out_the_token_for_the_broker_token_only(
    server: PluginServer, ann: Browser
) -> None:
    app = server.app_connection("broker_app")
    install(server, ann, "broker_app")
    url = f"{server.url}/stripe-app/token"
    right = {"conn_id": "broker_app", "broker_token": extra(server, "broker_app")["broker_token"]}
    answer = requests.post(url, json=right, timeout=20)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    current = server.sim.oauth.current_tokens(SHOP, app.client_id)
    assert answer.json()["access_token"] == current[0]
    wrong = requests.post(url, json={**right, "broker_token": "x"}, timeout=20)
    unknown = requests.post(url, json={**right, "conn_id": "nobody"}, timeout=20)
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.content == unknown.content
    assert requests.post(url, data=b"[" * 9000, timeout=20).status_code == 400
    assert requests.post(url, data=b"x" * 20_000, timeout=20).status_code == 413


def test_test_and_disconnect_buttons(server: PluginServer, ann: Browser) -> None:
    server.app_connection("button_app")
    install(server, ann, "button_app")
    form = ann.installation("button_app").form("test", conn_id="button_app")
    assert ann.post("/stripe-app/test", form).location.endswith("notice=test_ok&conn_id=button_app")
    form = ann.installation("button_app").form("disconnect", conn_id="button_app")
    assert ann.post("/stripe-app/disconnect", form).status == 303
    page = ann.page()
    page.form("install", conn_id="button_app")
    assert ann.installation("button_app").status == 404


def test_page_lists_restricted_keys_and_says_what_is_wrong_with_the_rest(
    server: PluginServer, ann: Browser
) -> None:
    server.connection("own_key", password="rk_test_51abcdefghijkl")
    server.connection(
        "connect_link",
        login="https://connect.stripe.com/oauth/authorize?client_id=ca_x",
        password="sk_test_51abcdefghijkl",
    )
    page = ann.page()
    assert "Uses a restricted key" in page.text
    assert "Stripe Connect link" in page.text
    assert "rk_test_51abcdefghijkl" not in page.text


def test_names_are_escaped_and_notices_cannot_be_made_up(
    server: PluginServer, ann: Browser
) -> None:
    page = ann.get("/stripe-app/?notice=installed&conn_id=%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in page.text
    assert "is ready for your DAGs" not in page.text
    assert "Pay here" not in ann.get("/stripe-app/?notice=Pay%20here&conn_id=shop").text


def test_page_and_assets_are_private_and_own(server: PluginServer, ann: Browser) -> None:
    page = ann.page()
    headers = page.response.headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert server.sim.url in headers["Content-Security-Policy"]
    assert "unsafe-inline" not in headers["Content-Security-Policy"]
    assert "<script>" not in page.text
    assert "style=" not in page.text
    assert server.redirect_uri in page.text
    for name in ("page.css", "copy.js", "theme.js", "icon.svg"):
        assert ann.get(f"/stripe-app/static/{name}").status == 200


def test_airflow_lists_the_plugin_its_nav_entry_and_the_connection_form(
    server: PluginServer, ann: Browser
) -> None:
    plugins = ann.get("/api/v2/plugins").response.json()["plugins"]
    found = next(plugin for plugin in plugins if plugin["name"] == "stripe_app")
    (view,) = found["external_views"]
    assert view["href"] == "/af/stripe-app/"
    assert view["destination"] == "nav"
    assert view.get("url_route") is None
    assert not ann.get("/api/v2/plugins/importErrors").response.json()["import_errors"]
    forms = ann.get("/ui/connections/hook_meta").response.json()
    form = next(one for one in forms if one["connection_type"] == "stripe_app")
    assert form["hook_name"] == "Stripe App"
    assert form["standard_fields"]["url_schema"]["hidden"] is True
    assert form["standard_fields"]["password"]["title"] == "Secret key or restricted key"
    assert "app_conn_id" in form["extra_fields"]


def test_missing_tables_are_named_with_the_command(server: PluginServer, ann: Browser) -> None:
    server.app_connection("table_app")
    names = ("stripe_app_installation", "stripe_app_install_state")
    for name in names:
        sql(server, f"ALTER TABLE {name} RENAME TO {name}_away")
    try:
        page = ann.page()
        assert page.status == 200
        assert "airflow db migrate" in page.text
        assert "airflow db migrate" in ann.install("table_app").text
    finally:
        for name in names:
            sql(server, f"ALTER TABLE {name}_away RENAME TO {name}")


# -- without a browser in Airflow


def test_command_line_installs_refreshes_and_forgets(server: PluginServer, ann: Browser) -> None:
    app = server.app_connection("cli_app")
    printed = server.airflow("stripe-app", "install-url", "cli_app").stdout.strip()
    back = server.consent(printed, SHOP)
    refused = ann.get(back)
    assert refused.status == 400
    assert "airflow stripe-app exchange" in refused.text

    before = len(server.sim.oauth._refresh)
    installed, again, shown, renewed, rotated, forgot, gone = server.airflow_steps(
        (["stripe-app", "exchange"], back),
        (["stripe-app", "exchange"], back),
        (["stripe-app", "status", "cli_app", "--json"], ""),
        (["stripe-app", "refresh", "cli_app"], ""),
        (["stripe-app", "rotate-fernet"], ""),
        (["stripe-app", "disconnect", "cli_app", "--yes"], ""),
        (["stripe-app", "refresh", "cli_app"], ""),
    )
    assert installed[:2] == (0, f"Installed {SHOP} (test mode) in connection cli_app.\n")
    assert again[0] == 1
    assert "used before" in again[2]
    (status,) = json.loads(shown[1])["installations"]
    assert (status["status"], status["generation"]) == ("active", 1)
    assert renewed[0] == 0
    assert "generation 2" in renewed[1]
    assert len(server.sim.oauth._refresh) == before + 2
    assert rotated[0] == 0
    assert "with the first Fernet key" in rotated[1]
    assert forgot[:2] == (0, "Forgot cli_app.\n")
    assert gone[0] == 3
    assert "not installed" in gone[2]
    secrets = [app.secret_key, *server.sim.oauth._refresh]
    secrets += [refresh.access_token for refresh in server.sim.oauth._refresh.values()]
    said = repr((installed, again, shown, renewed, rotated, forgot, gone))
    assert not [secret for secret in secrets if secret in said]


# -- last: what all of the above left behind


def test_no_code_state_token_or_key_is_in_the_log(server: PluginServer, ann: Browser) -> None:
    log = server.log.read_text()
    assert "/stripe-app/callback" in log
    assert "code=ac_" not in log
    assert "ac_forged" not in log
    oauth = server.sim.oauth
    secrets = {app.secret_key for app in oauth.apps()} | set(oauth._codes) | set(oauth._refresh)
    secrets |= {refresh.access_token for refresh in oauth._refresh.values()}
    assert len(secrets) > 20
    page = ann.page().text
    assert not [secret for secret in secrets if secret in log or secret in page]
