"""The pages in a real API server below a path: what each shows, does and refuses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urljoin, urlsplit

import pytest
import requests
from plugin_server import Answer, Browser, PluginServer

from airflow_provider_stripe_app.testing import SimulatedStripe

if TYPE_CHECKING:
    import sqlite3

pytestmark = pytest.mark.airflow

SHOP = "acct_1SimulatedStripe"
PARTNER = "acct_1QyPartner0001"
PERMISSIONS = ("customer_read", "event_read", "invoice_read")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluginServer]:
    with SimulatedStripe(seed=7) as sim:
        running = PluginServer(tmp_path_factory.mktemp("airflow"), sim)
        app = sim.oauth.register_app(redirect_uris=[running.redirect_uri], permissions=PERMISSIONS)
        running.env["AIRFLOW_CONN_ENV_APP"] = json.dumps(
            {"conn_type": "stripe_app", "login": app.install_link, "password": app.secret_key}
        )
        running.env["AIRFLOW__STRIPE_APP__KEEPALIVE"] = "False"
        sim.account(PARTNER)
        try:
            running.start()
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="module")
def ann(server: PluginServer) -> Browser:
    return server.browser("ann")


@pytest.fixture(scope="module")
def store(server: PluginServer, ann: Browser) -> str:
    """An app with its id, installed as ``store_shop``; return the app's client id."""
    app = server.sim.oauth.register_app(
        redirect_uris=[server.redirect_uri], permissions=PERMISSIONS
    )
    server.connection(
        "store",
        login=app.install_link,
        password=app.secret_key,
        extra=json.dumps({"app_id": app.app_id}),
    )
    install(server, ann, "store", "store_shop")
    return str(app.client_id)


def install(
    server: PluginServer, browser: Browser, app: str, to: str, account: str = SHOP
) -> Answer:
    started = browser.install(app, to)
    assert started.status == 303, started.text
    return browser.get(server.consent(started.location, account))


def database(server: PluginServer) -> sqlite3.Connection:
    import sqlite3

    return sqlite3.connect(server.home / "airflow.db", timeout=30)


def change(server: PluginServer, conn_id: str, **columns: object) -> None:
    names = ", ".join(f"{name} = ?" for name in columns)
    with database(server) as rows:
        rows.execute(
            f"UPDATE stripe_app_installation SET {names} WHERE conn_id = ?",
            [*columns.values(), conn_id],
        )


def column(server: PluginServer, conn_id: str, name: str) -> object:
    query = f"SELECT {name} FROM stripe_app_installation WHERE conn_id = ?"
    with database(server) as rows:
        found = rows.execute(query, [conn_id]).fetchone()
    return found[0] if found else None


def clone(server: PluginServer, conn_id: str, **changes: object) -> None:
    """Make another installation like ``store_shop``, without its connection."""
    with database(server) as rows:
        found = rows.execute("SELECT * FROM stripe_app_installation WHERE conn_id = 'store_shop'")
        names = [one[0] for one in found.description]
        values = {**dict(zip(names, found.fetchone(), strict=True)), **changes, "conn_id": conn_id}
        del values["id"]
        marks = ", ".join("?" * len(values))
        rows.execute(
            f"INSERT INTO stripe_app_installation ({', '.join(values)}) VALUES ({marks})",
            list(values.values()),
        )


def remove(server: PluginServer, pattern: str) -> None:
    with database(server) as rows:
        rows.execute("DELETE FROM stripe_app_installation WHERE conn_id LIKE ?", [pattern])


def report(server: PluginServer, conn_id: str, stream: str, **values: object) -> None:
    row = {
        "conn_id": conn_id,
        "stream": stream,
        "warehouse_conn_id": "warehouse",
        "ok": True,
        "at": time.time() - 60,
        "dag_id": "stripe_sync",
        "task_id": "sync",
        "run_id": "manual__2026-11-24T13:00:00+00:00",
        **values,
    }
    marks = ", ".join("?" * len(row))
    with database(server) as rows:
        rows.execute(
            f"INSERT INTO stripe_app_stream ({', '.join(row)}) VALUES ({marks})",
            list(row.values()),
        )


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.forms: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.found += [str(values[name]) for name in ("href", "src") if values.get(name)]
        self.forms += [str(values["action"])] if values.get("action") else []


# -- the list


def test_list_finds_by_account_and_name_and_filters_by_health(
    server: PluginServer, ann: Browser, store: str
) -> None:
    clone(server, "find_me", account_id="acct_1Find", account_name="Überall GmbH", livemode=True)
    clone(server, "find_lost", status="reauthorization_required", last_error="was uninstalled")
    try:
        page = ann.page()
        assert "find_me" in page.text
        assert "Überall GmbH" in page.text
        assert "<b>1</b> reauthorize" in page.text
        assert page.form("install", installation_conn_id="find_lost")["conn_id"] == "store"
        found = ann.get(f"/stripe-app/?q={quote('überall')}").text
        assert "find_me" in found
        assert "find_lost" not in found
        lost = ann.get("/stripe-app/?health=reauthorize").text
        assert "find_lost" in lost
        assert "find_me" not in lost
        nothing = ann.get("/stripe-app/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").text
        assert "Nothing matches" in nothing
        assert "<script>alert" not in nothing
    finally:
        remove(server, "find_%")


def test_a_thousand_installations_are_shown_at_once_a_page_at_a_time(
    server: PluginServer, ann: Browser, store: str
) -> None:
    with database(server) as rows:
        names = [row[1] for row in rows.execute("PRAGMA table_info(stripe_app_installation)")]
        copied = ", ".join(name for name in names if name not in {"id", "conn_id"})
        rows.executemany(
            f"INSERT INTO stripe_app_installation (conn_id, {copied}) SELECT ?, {copied} "
            "FROM stripe_app_installation WHERE conn_id = 'store_shop'",
            [(f"many_{n:04}",) for n in range(1000)],
        )
        rows.executemany(
            "INSERT INTO stripe_app_stream (conn_id, stream, warehouse_conn_id, ok, at) "
            "VALUES (?, ?, 'warehouse', 1, 0)",
            [(f"many_{n:04}", stream) for n in range(1000) for stream in ("customers", "invoices")],
        )
    try:
        ann.page()
        started = time.monotonic()
        page = ann.get("/stripe-app/?q=many")
        seconds = time.monotonic() - started
        print(f"a page of 1,000 installations took {seconds * 1000:.0f} ms")
        assert "1 to 50 of 1,000" in page.text
        assert page.text.count("many_") < 400
        assert seconds < 5, "50 of 1,000 installations must be there at once"
        last = ann.get("/stripe-app/?q=many&page=20").text
        assert "951 to 1,000 of 1,000" in last
        assert "many_0999" in last
        assert len(page.text) < 200_000
    finally:
        remove(server, "many_%")
        with database(server) as rows:
            rows.execute("DELETE FROM stripe_app_stream WHERE conn_id LIKE 'many_%'")


def test_app_of_an_environment_variable_is_listed_and_installed_into_a_new_connection(
    server: PluginServer, ann: Browser
) -> None:
    page = ann.page()
    assert "environment variable" in page.text
    assert page.form("install", conn_id="env_app", installation_conn_id="")
    assert "choose" not in install(server, ann, "env_app", "env_shop").text
    shown = ann.installation("env_shop")
    assert "healthy" in shown.text
    assert "sk_test" not in ann.page().text
    test = ann.post("/stripe-app/test", shown.form("test"))
    assert test.location.endswith("notice=test_ok&conn_id=env_shop")


def test_every_link_of_every_page_works_and_stays_below_airflows_path(
    server: PluginServer, ann: Browser, store: str
) -> None:
    start, host = "/af/stripe-app/", server.url.removesuffix("/af")
    waiting, seen = [start], set()
    while waiting:
        path = waiting.pop()
        answer = ann.get(f"{host}{path}")
        assert answer.status == 200, path
        if "html" not in answer.response.headers["Content-Type"]:
            continue
        links = _Links()
        links.feed(answer.text)
        for link in [*links.found, *links.forms]:
            target = urlsplit(urljoin(f"{host}{path}", link))
            assert target.netloc == f"127.0.0.1:{server.port}", link
            assert target.path.startswith("/af/"), link
            address = f"{target.path}?{target.query}" if target.query else target.path
            if link in links.found and target.path.startswith(start) and address not in seen:
                seen.add(address)
                waiting.append(address)
    paths = {urlsplit(one).path.removeprefix(start) for one in seen}
    assert {"", "installation", "accounts", "manifest", "uninstall"} <= paths
    assert {"static/page.css", "static/theme.js", "static/copy.js", "static/icon.png"} <= paths


# -- one installation


def test_detail_shows_permissions_syncs_history_and_leads_to_the_task(
    server: PluginServer, ann: Browser, store: str
) -> None:
    report(server, "store_shop", "customers", inserted=5, updated=0, deleted=0)
    report(
        server,
        "store_shop",
        "subscriptions",
        ok=False,
        error="Stripe refused it: subscription_read is missing",
        permission="subscription_read",
        at=time.time() + 60,
    )
    page = ann.installation("store_shop").text
    assert "subscription_read" in page
    assert "refused" in page
    assert "5 new" in page
    link = "/af/dags/stripe_sync/runs/manual__2026-11-24T13%3A00%3A00%2B00%3A00/tasks/sync"
    assert f'href="{link}"' in page
    assert "Installed" in page
    assert "ann" in page
    assert "1 missing" in ann.get("/stripe-app/?q=store_shop").text
    for secret in ("rk_test", "sk_test", "rt_", "broker_token"):
        assert secret not in page


def test_names_of_others_are_text(server: PluginServer, ann: Browser, store: str) -> None:
    name = "\u202e<script>alert(1)</script>" + "Donaudampfschifffahrtsgesellschaft" * 4
    change(server, "store_shop", account_name=name)
    try:
        for page in (
            ann.page(),
            ann.installation("store_shop"),
            ann.get("/stripe-app/uninstall?conn_id=store_shop"),
        ):
            assert "&lt;script&gt;" in page.text
            assert "<script>alert" not in page.text
            assert "\u202e" not in page.text
    finally:
        change(server, "store_shop", account_name=None)


def test_another_deployments_tokens_are_taken_over_after_the_explanation(
    server: PluginServer, ann: Browser, store: str
) -> None:
    change(server, "store_shop", deployment_id="https://old.example.com")
    page = ann.installation("store_shop")
    assert "held elsewhere" in page.text
    assert "whose DAGs then fail" in page.text
    form = page.form("take-over", conn_id="store_shop")
    done = ann.post("/stripe-app/take-over", form)
    assert done.location.endswith("notice=taken_over&conn_id=store_shop")
    page = ann.installation("store_shop")
    assert "held elsewhere" not in page.text
    assert "Taken over by this deployment" in page.text
    assert column(server, "store_shop", "deployment_id") == server.url
    again = ann.post("/stripe-app/take-over", form)
    assert again.status == 400
    assert "nothing to take over" in again.text


# -- accounts


def test_account_that_stripe_knows_is_adopted_and_uninstalled(
    server: PluginServer, ann: Browser, store: str
) -> None:
    install(server, ann, "store", "store_partner", PARTNER)
    gone = ann.installation("store_partner").form("disconnect")
    assert ann.post("/stripe-app/disconnect", gone).status == 303

    page = ann.get("/stripe-app/accounts?conn_id=store")
    looked = ann.post("/stripe-app/reconcile", page.form("reconcile"))
    assert looked.location == "/af/stripe-app/accounts?notice=reconciled&conn_id=store"
    page = ann.get("/stripe-app/accounts?conn_id=store")
    assert "store_shop" in page.text
    form = page.form("adopt", account_id=PARTNER)
    assert form["installation_conn_id"] == "store_tner0001"
    done = ann.post("/stripe-app/adopt", form)
    assert done.location.endswith("notice=adopted&conn_id=store_tner0001"), done.text
    page = ann.installation("store_tner0001")
    assert "healthy" in page.text
    assert "granted" in page.text

    asked = ann.get("/stripe-app/uninstall?conn_id=store_tner0001")
    assert "fail from their next run on" in asked.text
    done = ann.post("/stripe-app/uninstall", asked.form("uninstall"))
    assert done.location.endswith("notice=uninstalled&conn_id=store_tner0001")
    assert ann.installation("store_tner0001").status == 404
    assert not [one for one in server.sim.installs() if one["account"] == PARTNER]


def test_missing_app_id_says_where_to_find_it(server: PluginServer, ann: Browser) -> None:
    server.app_connection("no_id")
    page = ann.get("/stripe-app/accounts?conn_id=no_id")
    assert "has no App id" in page.text
    assert not [form for form in page.forms if form["action"] == "reconcile"]


def test_uninstalling_that_cannot_work_is_not_offered(
    server: PluginServer, ann: Browser, store: str
) -> None:
    clone(server, "idless", app_conn_id="no_id")
    try:
        page = ann.get("/stripe-app/uninstall?conn_id=idless")
        assert "has no App id" in page.text
        assert "Its owner can" in page.text
        assert not [form for form in page.forms if form["action"] == "uninstall"]
    finally:
        remove(server, "idless")


def test_app_that_airflow_cannot_list_is_there_by_its_installations(
    server: PluginServer, ann: Browser, store: str
) -> None:
    clone(server, "vaulted", app_conn_id="vault_app")
    try:
        page = ann.page()
        assert "not in the database" in page.text
        assert page.form("install", conn_id="vault_app", installation_conn_id="")
        assert "does not exist" in ann.get("/stripe-app/accounts?conn_id=vault_app").text
    finally:
        remove(server, "vaulted")


def test_refused_install_api_is_a_sentence_with_the_way_back(
    server: PluginServer, ann: Browser, store: str
) -> None:
    page = ann.get("/stripe-app/accounts?conn_id=store")
    before = server.sim.switches.install_api
    server.sim.switches.set(install_api="refused")
    try:
        answer = ann.post("/stripe-app/reconcile", page.form("reconcile"))
        assert answer.status == 400
        assert "Stripe refused its Install API" in answer.text
        assert "stripe-app/accounts?conn_id=store" in answer.text
        asked = ann.get("/stripe-app/uninstall?conn_id=store_shop").form("uninstall")
        answer = ann.post("/stripe-app/uninstall", asked)
        assert answer.status == 400
        assert "Installed apps" in answer.text
    finally:
        server.sim.switches.set(install_api=before)
    assert ann.installation("store_shop").status == 200


# -- manifest


def test_manifest_is_shown_and_downloaded(server: PluginServer, ann: Browser) -> None:
    page = ann.get("/stripe-app/manifest")
    assert "stripe apps upload" in page.text
    assert server.redirect_uri in page.text
    query = "typed=1&stream-customers=1&name=Data+copy&id=com.acme.copy&version=1.0"
    answer = ann.get(f"/stripe-app/manifest/stripe-app.json?{query}").response
    assert answer.headers["Content-Disposition"] == 'attachment; filename="stripe-app.json"'
    assert answer.json()["allowed_redirect_uris"] == [server.redirect_uri]
    wrong = ann.get("/stripe-app/manifest?typed=1&name=Stripe+copy")
    assert "'Stripe', which Stripe does not allow" in wrong.text.replace("&#39;", "'")
    assert 'value="Stripe copy"' in wrong.text
    assert ann.get("/stripe-app/manifest/stripe-app.json?typed=1").status == 400


# -- monitoring


def test_status_is_json_for_a_bearer_token_and_a_session(
    server: PluginServer, ann: Browser, store: str
) -> None:
    token = requests.post(
        f"{server.url}/auth/token",
        json={"username": "olga", "password": "correct horse"},
        timeout=20,
    ).json()["access_token"]
    url = f"{server.url}/stripe-app/status.json"
    answer = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=20)
    assert answer.status_code == 200
    found = answer.json()
    assert found["healthy"] is True
    (one,) = [one for one in found["installations"] if one["conn_id"] == "store_shop"]
    assert one["account_id"] == SHOP
    assert one["access_token"]["expires_in"] > 0
    assert ann.get("/stripe-app/status.json?conn_id=store_shop").response.json()["installations"]

    change(
        server,
        "store_shop",
        status="reauthorization_required",
        last_error="was uninstalled",
        last_error_at=time.time(),
        last_error_request_id="req_7",
    )
    try:
        found = ann.get("/stripe-app/status.json").response.json()
        assert found["healthy"] is False
        (one,) = [one for one in found["installations"] if one["conn_id"] == "store_shop"]
        assert one["health"] == "reauthorize"
        assert one["last_error"]["request_id"] == "req_7"
    finally:
        change(server, "store_shop", status="active", last_error=None)


@pytest.mark.parametrize(("user", "status"), [(None, 401), ("vera", 403)])
def test_status_is_refused_as_json(server: PluginServer, user: str | None, status: int) -> None:
    answer = server.browser(user).get("/stripe-app/status.json")
    assert answer.status == status
    assert answer.response.json()["error"]


def test_status_of_what_is_not_there_is_not_found(ann: Browser) -> None:
    assert ann.get("/stripe-app/status.json?conn_id=nowhere").status == 404


# -- who may


PAGES = (
    "installation?conn_id=store_shop",
    "uninstall?conn_id=store_shop",
    "accounts?conn_id=store",
    "manifest",
    "manifest/stripe-app.json?typed=1&stream-customers=1",
)


@pytest.mark.parametrize("path", PAGES)
def test_pages_send_strangers_to_the_login_and_back(server: PluginServer, path: str) -> None:
    answer = server.browser(None).get(f"/stripe-app/{path}")
    assert answer.status == 303
    (back,) = parse_qs(urlsplit(answer.location).query)["next"]
    assert back == f"/af/stripe-app/{path}"


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_closed_to_who_may_not_see_connections(
    server: PluginServer, store: str, path: str
) -> None:
    answer = server.browser("vera").get(f"/stripe-app/{path}")
    assert answer.status == 403
    assert SHOP not in answer.text


@pytest.mark.parametrize("path", ["uninstall", "take-over", "reconcile", "adopt"])
def test_forms_need_the_users_own_page_and_the_right(
    server: PluginServer, ann: Browser, store: str, path: str
) -> None:
    fields = {"conn_id": "store_shop", "account_id": SHOP, "installation_conn_id": "new_one"}
    assert server.browser(None).post(f"/stripe-app/{path}", fields).status == 401
    ann.page()
    forged = ann.post(f"/stripe-app/{path}", {**fields, "csrf": "1.x"})
    assert forged.status == 403
    assert "open the page again" in forged.text
    page = server.browser("vera").get("/stripe-app/")
    assert page.status == 403
    assert column(server, "store_shop", "status") == "active"


def test_what_is_not_installed_is_not_found(server: PluginServer, ann: Browser) -> None:
    server.app_connection("empty_app")
    answer = ann.installation("empty_app")
    assert answer.status == 404
    assert "holds no installation" in answer.text


@pytest.mark.parametrize("what", ["table", "column"])
def test_tables_of_an_older_version_are_named_with_the_command_at_once(
    server: PluginServer, ann: Browser, store: str, what: str
) -> None:
    there, away = {
        "table": ("stripe_app_stream", "RENAME TO stripe_app_stream_away"),
        "column": ("stripe_app_installation", "RENAME COLUMN heal_tries TO heal_tries_away"),
    }[what]
    back = {
        "table": "ALTER TABLE stripe_app_stream_away RENAME TO stripe_app_stream",
        "column": "ALTER TABLE stripe_app_installation RENAME COLUMN heal_tries_away TO heal_tries",
    }[what]
    with database(server) as rows:
        rows.execute(f"ALTER TABLE {there} {away}")
    try:
        started = time.monotonic()
        page = ann.page()
        assert page.status == 200
        assert "not up to date" in page.text
        assert "airflow db migrate" in page.text
        assert ann.get("/stripe-app/status.json").status == 500
        assert time.monotonic() - started < 8
    finally:
        with database(server) as rows:
            rows.execute(back)
