"""Forged forms, states, hosts and names against a real API server behind a proxy."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from plugin_server import Answer, Browser
from security_lab import OTHER, SHOP, SecureServer, is_login, migrated_database, secure_server
from security_rules import APP, INSTALLATION, RULES, registered

from airflow_provider_stripe_app.plugin import security
from airflow_provider_stripe_app.plugin.guesses import ALLOWED
from airflow_provider_stripe_app.plugin.shield import BODY_LIMIT, security_headers

pytestmark = [pytest.mark.airflow, pytest.mark.matrix, pytest.mark.timeout(280)]

PUBLIC = "https://airflow.example.com/data/af"
EVIL = "evil.example.net"
STRIPE = ("https://dashboard.stripe.com/", "https://docs.stripe.com/")
"""Where links may lead besides."""
ROUTES = registered()
POSTS = [path for method, path in ROUTES if method == "POST" and not RULES[method, path].worker]
PAGES = [path for method, path in ROUTES if method == "GET"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    home = tmp_path_factory.mktemp("airflow")
    with secure_server(home, "simple", migrated_database(), public_url=PUBLIC) as running:
        running.sim.account(OTHER)
        running.installed(APP, INSTALLATION)
        yield running


@pytest.fixture(scope="module")
def ann(server: SecureServer) -> Browser:
    return server.browser("ann")


def fields_of(server: SecureServer, method: str, path: str) -> dict[str, str]:
    return RULES[method, path].fields(server, "ann")


def page(server: SecureServer, browser: Browser, path: str, **options: object) -> Answer:
    fields = fields_of(server, "GET", path)
    return browser.get(f"/stripe-app{path}?{urlencode(fields)}", **options)


# -- forms


@pytest.mark.parametrize("path", POSTS)
def test_form_that_is_not_from_the_users_own_page_changes_nothing(
    server: SecureServer, ann: Browser, path: str
) -> None:
    address, fields = f"/stripe-app{path}", fields_of(server, "POST", path)
    good = server.form(ann, "ann", **fields)
    before, calls = server.rows(), dict(server.sim.oauth.counts)
    secret = server.env["AIRFLOW__API__SECRET_KEY"]
    now = time.time()

    def signed(user: str, nonce: str = "nonce", key: str = secret, at: float = now) -> dict:
        return {**good, "csrf": security.csrf_token(key, f"airflow:{user}", nonce, at)}

    tries: dict[str, tuple[dict[str, str], dict[str, str]]] = {
        "no token": ({name: text for name, text in good.items() if name != "csrf"}, {}),
        "empty token": ({**good, "csrf": ""}, {}),
        "made up token": ({**good, "csrf": "1.2.3"}, {}),
        "token of another user": (signed("op_1"), {}),
        "token for another cookie": (signed("ann", nonce="other"), {}),
        "token of yesterday": (signed("ann", at=now - 86400), {}),
        "token of another server": (signed("ann", key="another key"), {}),
        "another site": (good, {"Origin": f"https://{EVIL}"}),
        "no site at all": (good, {"Origin": "null"}),
        "another port": (good, {"Origin": "https://airflow.example.com:444"}),
        "plain http": (good, {"Origin": "http://airflow.example.com"}),
        "a longer name": (good, {"Origin": f"https://airflow.example.com.{EVIL}"}),
        "cross-site": (good, {"Sec-Fetch-Site": "cross-site"}),
        "same-site": (good, {"Sec-Fetch-Site": "same-site"}),
    }
    wrong = []
    for what, (data, headers) in tries.items():
        answer = ann.post(address, data, headers=headers)
        if answer.status != 403:
            wrong.append(f"{what}: {answer.status} {answer.location}")
    for what, body in {"json": {"json": good}, "multipart": {"files": {"a": ("b", b"c")}}}.items():
        answer = ann._open("POST", address, **body)
        if answer.status not in {400, 403}:
            wrong.append(f"{what}: {answer.status} {answer.location}")
    ann.session.cookies.clear()
    ann.login("ann")
    if ann.post(address, good).status != 403:
        wrong.append("no cookie")
    assert not wrong
    assert (server.rows(), dict(server.sim.oauth.counts)) == (before, calls)


def test_forms_may_come_from_the_public_and_from_the_inner_name(
    server: SecureServer, ann: Browser
) -> None:
    for origin in ("https://airflow.example.com", f"http://127.0.0.1:{server.port}"):
        form = server.form(ann, "ann", conn_id=APP, installation_conn_id=INSTALLATION)
        headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
        assert ann.post("/stripe-app/install", form, headers=headers).status == 303, origin


def test_server_with_another_secret_key_is_named(server: SecureServer, ann: Browser) -> None:
    form = server.form(ann, "ann", conn_id=INSTALLATION)
    form["csrf"] = security.csrf_token("another key", "airflow:ann", "nonce", time.time())
    answer = ann.post("/stripe-app/test", form)
    assert answer.status == 403
    assert "set the same [api] secret_key on every API server" in answer.text


def test_cookie_of_the_forms_is_for_these_pages_only(server: SecureServer) -> None:
    fresh = server.browser("ann")
    (cookie,) = [one for one in fresh.page().response.cookies if one.name == security.CSRF_COOKIE]
    assert cookie.path == "/data/af/stripe-app/"
    assert cookie.secure, "the public address is https"
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "strict"


def test_large_forms_are_refused(server: SecureServer, ann: Browser) -> None:
    form = server.form(ann, "ann", conn_id="x" * (BODY_LIMIT + 1))
    assert ann.post("/stripe-app/test", form).status == 413


# -- addresses


FORGED = {
    "Host": EVIL,
    "X-Forwarded-Host": EVIL,
    "X-Forwarded-Server": EVIL,
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Prefix": f"//{EVIL}",
    "X-Original-URL": f"//{EVIL}/",
    "Forwarded": f"host={EVIL};proto=http",
    "Referer": f"https://{EVIL}/",
}
TRICKS = {
    "next": f"//{EVIL}",
    "conn_id": f"//{EVIL}",
    "notice": f"https://{EVIL}",
    "redirect_uri": f"https://{EVIL}",
    "resume": f"//{EVIL}/&code=ac_1&state=1",
    "handle": f"https://{EVIL}",
    "q": f"javascript:alert('{EVIL}')",
    "app": f"//{EVIL}",
}


class Addresses(HTMLParser):
    """Everything on a page that a browser follows, loads or runs."""

    NAMES = frozenset(
        {"href", "src", "action", "formaction", "content", "data", "poster", "srcset"}
    )

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.problems: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        for name, value in attrs:
            if name in self.NAMES:
                self.found.append(value or "")
            if name.startswith("on") or name in {"style", "srcdoc"} or "xss" in name:
                self.problems.append(f"<{tag} {name}>")
        if tag == "script" and "src" not in dict(attrs):
            self.problems.append("script within the page")
        if tag in {"style", "base", "iframe", "object", "embed"} or "xss" in tag:
            self.problems.append(f"<{tag}>")
        if tag == "meta" and "http-equiv" in dict(attrs):
            self.problems.append("<meta http-equiv>")

    def handle_data(self, data: str) -> None:
        if self._inside in {"script", "style"} and data.strip():
            self.problems.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def addresses(answer: Answer) -> Addresses:
    parser = Addresses()
    parser.feed(answer.text)
    return parser


def leads_astray(answer: Answer, allowed: tuple[str, ...] = ()) -> list[str]:
    """Return the addresses in an answer that are not on this site."""
    found = [answer.location] if answer.location else []
    if "html" in answer.response.headers.get("Content-Type", ""):
        found += addresses(answer).found
    return [
        one
        for one in found
        if one.startswith(("//", "/\\", "\\"))
        or EVIL in urlsplit(one).netloc
        or (urlsplit(one).scheme and not one.startswith((PUBLIC, *allowed)))
        or (one.startswith("/") and not one.startswith("/data/af/"))
    ]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("user", ["ann", None])
def test_no_address_leads_away_whatever_the_request_says(
    server: SecureServer, user: str | None, path: str
) -> None:
    browser = server.browser(user)
    fields = {**TRICKS, **fields_of(server, "GET", path)}
    for query in (TRICKS, fields):
        answer = browser.get(f"/stripe-app{path}?{urlencode(query)}", headers=FORGED)
        assert answer.status < 500
        assert not leads_astray(answer, STRIPE), answer.text
        if is_login(answer):
            (back,) = parse_qs(urlsplit(answer.location).query)["next"]
            assert back.startswith("/data/af/stripe-app/"), back
            assert not urlsplit(back).netloc


def test_link_to_stripe_names_the_public_address_whoever_claims_to_be_the_host(
    server: SecureServer, ann: Browser
) -> None:
    for headers in ({}, FORGED):
        form = server.form(ann, "ann", conn_id=APP, installation_conn_id=INSTALLATION)
        started = ann.post("/stripe-app/install", form, headers=headers)
        assert started.status == 303, started.text
        assert started.location.startswith(server.sim.url)
        sent = parse_qs(urlsplit(started.location).query)["redirect_uri"]
        assert sent == [f"{PUBLIC}/stripe-app/callback"]
        assert f"{PUBLIC}/stripe-app/callback" in ann.get("/stripe-app/", headers=headers).text


def test_login_leads_back_by_airflows_own_rules(server: SecureServer) -> None:
    """The address that we send to the login is one that Airflow's check of ``next`` accepts."""
    address = server.browser(None).page().location
    followed = requests.get(
        f"http://127.0.0.1:{server.port}{address}", timeout=20, allow_redirects=False
    )
    assert followed.status_code == 307
    assert "stripe-app" in followed.headers["Location"]


# -- headers


CLIMBING = ("static/../app.py", "static/%2e%2e/app.py", "static/..%2fapp.py", "static//etc/passwd")


def test_every_answer_has_the_strict_headers(server: SecureServer, ann: Browser) -> None:
    nobody = server.browser(None)
    answers: dict[str, Answer] = {}
    for method, path in ROUTES:
        fields = fields_of(server, method, path)
        if method == "GET":
            answers[f"{path} as admin"] = page(server, ann, path)
            answers[f"{path} as nobody"] = page(server, nobody, path)
        else:
            answers[f"POST {path} without form"] = ann.post(f"/stripe-app{path}", {})
            answers[f"POST {path} as nobody"] = nobody.post(f"/stripe-app{path}", fields)
        answers[f"DELETE {path}"] = ann._open("DELETE", f"/stripe-app{path}")
    for path in ("nothing", "static/", "static/nothing.css", "docs", "openapi.json"):
        answers[path] = ann.get(f"/stripe-app/{path}")
        assert answers[path].status == 404, path
    for name in ("page.css", "copy.js", "icon.svg"):
        answers[name] = ann.get(f"/stripe-app/static/{name}")
        assert answers[name].status == 200
    for bad in CLIMBING:
        prepared = requests.Request("GET", f"{server.url}/stripe-app/").prepare()
        prepared.url = f"{server.url}/stripe-app/{bad}"
        answers[bad] = Answer(ann.session.send(prepared, timeout=20))
        assert answers[bad].status == 404, bad
    token = f"{server.url}/stripe-app/token"
    answers["too large"] = Answer(requests.post(token, data=b"x" * 20_000, timeout=20))
    answers["large form"] = ann.post("/stripe-app/test", {"csrf": "x" * (BODY_LIMIT + 1)})
    wanted = security_headers((server.sim.url,))
    missing = [
        f"{what} ({answer.status}): {name}"
        for what, answer in answers.items()
        for name, value in wanted.items()
        if answer.response.headers.get(name) != value
    ]
    assert not missing
    assert {200, 303, 400, 401, 403, 404, 405, 413} <= {one.status for one in answers.values()}


def test_policy_allows_own_files_only_and_no_frame() -> None:
    policy = security_headers()["Content-Security-Policy"]
    rules = dict(part.split(None, 1) for part in policy.split("; "))
    assert rules.pop("form-action") == "'self' https://*.stripe.com"
    assert rules.pop("frame-ancestors") == rules.pop("base-uri") == "'none'"
    assert rules.pop("default-src") == "'none'"
    assert set(rules.values()) == {"'self'"}


# -- what is shown


MARKUP = (
    "<xss-tag onload=alert(1)>\"'><script>alert(2)</script><img src=//evil.example.net onerror=x>"
)
ODD_NAME = "javascript:alert(1)//evil.example.net/#!(x)"
"""Airflow's command line accepts such a name for a connection."""
SHOWN = """
stripe_app_installation account_name account_id status install_id install_channel install_status
stripe_app_installation installed_by last_error last_error_request_id
stripe_app_installation permissions_granted permissions_pending
stripe_app_history event reason request_id detail
stripe_app_stream stream warehouse_conn_id dag_id task_id run_id error permission
stripe_app_account account_id install_id channel status permissions_granted
"""


@contextlib.contextmanager
def put_back(server: SecureServer) -> Iterator[None]:
    before, history = server.rows(), server.sql("SELECT * FROM stripe_app_history")
    try:
        yield
    finally:
        server.restore({**before, "stripe_app_history": history})


def fill_tables(server: SecureServer) -> None:
    now = time.time()
    server.sql(
        "INSERT INTO stripe_app_stream (conn_id, stream, warehouse_conn_id, ok, at) "
        "VALUES (?, 'x', 'x', 0, ?)",
        INSTALLATION,
        now,
    )
    server.sql(
        "INSERT INTO stripe_app_account VALUES (?, 'acct_x', 0, 'x', 'x', 'x', '[]', '[]', ?)",
        APP,
        now,
    )
    for table, *columns in map(str.split, SHOWN.strip().splitlines()):
        for column in columns:
            text = json.dumps([MARKUP]) if column.startswith("permissions") else MARKUP
            server.sql(f"UPDATE {table} SET {column} = ?", text)


def test_script_and_markup_in_names_and_ids_stay_text(server: SecureServer, ann: Browser) -> None:
    shown = 0
    with put_back(server):
        fill_tables(server)
        for path in PAGES:
            if RULES["GET", path].anybody or path == "/callback":
                continue
            answer = page(server, ann, path)
            kind = answer.response.headers["Content-Type"]
            assert answer.status < 500, f"{path}: {answer.text}"
            if not kind.startswith("text/html"):
                assert kind.startswith("application/json"), path
                continue
            assert not addresses(answer).problems, f"{path}: {addresses(answer).problems}"
            assert not leads_astray(answer, STRIPE), path
            shown += answer.text.count("&lt;xss-tag")
    assert shown, "the markup has to be somewhere, as text"


def test_odd_names_of_connections_make_no_links_of_their_own(
    server: SecureServer, ann: Browser
) -> None:
    with put_back(server):
        for table in ("connection", "stripe_app_installation", "stripe_app_history"):
            server.sql(f"UPDATE {table} SET conn_id = ? WHERE conn_id = ?", ODD_NAME, INSTALLATION)
        answers = [ann.page()]
        for method, path in ROUTES:
            if method == "GET" and RULES[method, path].fields(server, "ann").get("conn_id"):
                answers.append(ann.get(f"/stripe-app{path}?{urlencode({'conn_id': ODD_NAME})}"))
        assert "javascript:alert(1)" in answers[0].text
        for answer in answers:
            assert answer.status < 500, answer.text
            assert not addresses(answer).problems
            assert not leads_astray(answer, STRIPE), answer.text


def test_markup_from_stripe_in_an_error_stays_text(server: SecureServer, ann: Browser) -> None:
    state = server.one_time_value("state", "ann", APP, INSTALLATION)
    answer = ann.get(f"/stripe-app/callback?{urlencode({'state': state, 'error': MARKUP})}")
    assert answer.status == 400
    assert "xss-tag" not in answer.text


# -- one-time values


def call_back(browser: Browser, **query: str) -> Answer:
    return browser.get(f"/stripe-app/callback?{urlencode(query)}")


@pytest.mark.parametrize("kind", ["confirm", "parked"])
def test_value_of_another_kind_is_no_state(server: SecureServer, ann: Browser, kind: str) -> None:
    before = server.sim.oauth.counts["exchange"]
    value = server.one_time_value(kind, "ann", APP, INSTALLATION, secret={"code": "ac_1"})
    answer = call_back(ann, state=value, code="ac_1")
    assert answer.status == 400
    assert "not started from this Airflow" in answer.text
    assert server.sim.oauth.counts["exchange"] == before


def test_old_and_foreign_handles_are_refused(server: SecureServer, ann: Browser) -> None:
    secret = {"code": "ac_1", "state": "x"}
    old = server.one_time_value("parked", "ann", APP, INSTALLATION, secret=secret, age=601)
    foreign = server.one_time_value("parked", "op_1", APP, INSTALLATION, secret=secret)
    assert "more than 10 minutes ago" in call_back(ann, resume=old).text
    assert "another Airflow user" in call_back(ann, resume=foreign).text
    grant = {"access_token": "a", "refresh_token": "r", "account_id": OTHER, "livemode": False}
    grant = {**grant, "expires_at": 4e9}
    late = server.one_time_value("confirm", "ann", APP, INSTALLATION, secret=grant, age=601)
    form = server.form(ann, "ann", handle=late)
    assert "more than 10 minutes ago" in ann.post("/stripe-app/confirm", form).text
    assert "more than 10 minutes ago" in ann.get(f"/stripe-app/confirm?handle={late}").text


def test_state_decides_where_it_is_kept_not_the_address(server: SecureServer, ann: Browser) -> None:
    server.app_connection("state_app")
    form = server.form(ann, "ann", conn_id="state_app", installation_conn_id="state_shop")
    back = server.consent(ann.post("/stripe-app/install", form).location, SHOP)
    more = urlencode({"conn_id": INSTALLATION, "installation_conn_id": INSTALLATION})
    generation = "SELECT generation FROM stripe_app_installation WHERE conn_id = ?"
    before = server.sql(generation, INSTALLATION)
    assert ann.get(f"{server.inside(back)}&{more}").location.endswith("conn_id=state_shop")
    assert server.sql(generation, "state_shop") == [(1,)]
    assert server.sql(generation, INSTALLATION) == before


def test_second_value_of_a_parameter_does_not_replace_the_first(
    server: SecureServer, ann: Browser
) -> None:
    state = server.one_time_value("state", "ann", APP, INSTALLATION)
    answer = ann.get(f"/stripe-app/callback?code=ac_1&state=made-up&state={state}")
    assert "not started from this Airflow" in answer.text


def test_two_tabs_at_once_each_end_where_they_began(server: SecureServer, ann: Browser) -> None:
    server.app_connection("tab_app")
    backs = []
    for name in ("tab_one", "tab_two", "tab_one"):
        form = server.form(ann, "ann", conn_id="tab_app", installation_conn_id=name)
        backs.append(server.consent(ann.post("/stripe-app/install", form).location, SHOP))
    for back, name in zip(reversed(backs), ("tab_one", "tab_two", "tab_one"), strict=True):
        answer = ann.get(server.inside(back))
        assert answer.location.endswith(f"notice=installed&conn_id={name}"), answer.text
    kept = "SELECT conn_id, generation FROM stripe_app_installation WHERE app_conn_id = 'tab_app'"
    assert sorted(server.sql(kept)) == [("tab_one", 2), ("tab_two", 1)]


def test_live_over_test_has_to_be_confirmed(server: SecureServer, ann: Browser) -> None:
    server.installed("mode_app", "mode_shop")
    server.sim.account(SHOP, livemode=True)
    server.app_connection("mode_app", livemode=True)
    form = server.form(ann, "ann", conn_id="mode_app", installation_conn_id="mode_shop")
    back = server.consent(ann.post("/stripe-app/install", form).location, SHOP)
    sent = ann.get(server.inside(back))
    assert urlsplit(sent.location).path == "/data/af/stripe-app/confirm", sent.text
    asked = ann.get(f"http://127.0.0.1:{server.port}{sent.location}")
    assert f"{SHOP} in test mode" in asked.text
    assert f"{SHOP} in live mode" in asked.text
    mode = "SELECT livemode FROM stripe_app_installation WHERE conn_id = 'mode_shop'"
    assert server.sql(mode) == [(0,)]
    handle = asked.form("confirm")["handle"]
    answer = ann.post("/stripe-app/confirm", server.form(ann, "ann", handle=handle))
    assert answer.status == 303, answer.text
    assert server.sql(mode) == [(1,)]


# -- the broker


def ask(server: SecureServer, body: object, **options: object) -> requests.Response:
    return requests.post(f"{server.url}/stripe-app/token", json=body, timeout=20, **options)


def broker_token(server: SecureServer, conn_id: str = INSTALLATION) -> str:
    from cryptography.fernet import Fernet

    key = Fernet(server.env["AIRFLOW__CORE__FERNET_KEY"])
    query = "SELECT broker_token_sealed FROM stripe_app_installation WHERE conn_id = ?"
    ((sealed,),) = server.sql(query, conn_id)
    return key.decrypt(sealed.removeprefix("fernet:")).decode()


def test_broker_gives_an_access_token_and_nothing_else_of_value(server: SecureServer) -> None:
    right = {"conn_id": INSTALLATION, "broker_token": broker_token(server)}
    answer = ask(server, right)
    assert answer.status_code == 200
    keys = {"stripe_app", "access_token", "expires_at", "generation", "account_id", "livemode"}
    assert set(answer.json()) == keys
    secrets = {app.secret_key for app in server.sim.oauth.apps()} | set(server.sim.oauth._refresh)
    assert not [one for one in secrets if one in answer.text]


def test_a_login_opens_the_broker_to_nobody(server: SecureServer, ann: Browser) -> None:
    body = {"conn_id": INSTALLATION, "broker_token": ""}
    assert ann._open("POST", "/stripe-app/token", json=body).status == 401
    assert ann.get("/stripe-app/token").status == 405


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"conn_id": 1, "broker_token": "x"}',
        b'{"conn_id": "the_shop", "broker_token": ["x"]}',
        b'{"conn_id": "the_shop\\u0000", "broker_token": "x"}',
        b'{"conn_id": "the_shop", "broker_token": "\\ud800"}',
        b'{"conn_id": "the_shop", "broker_token": NaN}',
        b"[" * 9000,
        b"1" * 5000,
    ],
)
def test_odd_requests_of_the_broker_are_refused_in_one_word(
    server: SecureServer, body: bytes
) -> None:
    answer = requests.post(f"{server.url}/stripe-app/token", data=body, timeout=20)
    assert answer.status_code == 400
    assert answer.json()["error"] == "malformed"


def test_flood_of_wrong_tokens_is_slowed_and_holds_no_right_one_up(server: SecureServer) -> None:
    right = {"conn_id": INSTALLATION, "broker_token": broker_token(server)}
    answers = []
    for number in range(2 * ALLOWED):
        name = INSTALLATION if number % 2 else "unknown"
        answers.append(ask(server, {"conn_id": name, "broker_token": f"wrong {number}"}))
        if number % 10 == 0:
            assert ask(server, right).status_code == 200
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {401, 429}
    assert codes == sorted(codes), "once too many, always too many"
    late = [answer for answer in answers if answer.status_code == 429]
    assert {answer.headers["Retry-After"] for answer in late} == {"60"}
    for status in (401, 429):
        assert len({answer.content for answer in answers if answer.status_code == status}) == 1
    assert ask(server, right).status_code == 200
    log = server.log.read_text()
    assert log.count("requests with a wrong broker_token") in {1, 2}
    assert "wrong 1" not in log


def test_connection_that_lost_its_keys_has_them_when_the_worker_asks_again(
    server: SecureServer,
) -> None:
    server.sql("UPDATE connection SET extra = NULL WHERE conn_id = ?", "state_shop")
    body = {"conn_id": "state_shop", "broker_token": ""}
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert ask(server, body).status_code in {401, 429}
        time.sleep(0.3)
        if server.sql("SELECT extra FROM connection WHERE conn_id = 'state_shop'") != [(None,)]:
            return
    pytest.fail("the keys did not come back")
