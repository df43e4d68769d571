"""What the pages say, in words, and that they never say what an attacker wants."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth.credentials import (
    AppSettings,
    InstallationSettings,
    RestrictedKeySettings,
)
from airflow_provider_stripe_app.oauth.install_link import parse_install_link
from airflow_provider_stripe_app.oauth.permissions import permissions_of
from airflow_provider_stripe_app.oauth.status import HistoryLine, InstallationStatus
from airflow_provider_stripe_app.oauth.stream_reports import StreamReport
from airflow_provider_stripe_app.plugin import gather, pages
from airflow_provider_stripe_app.plugin.views import common, connections, detail, listing

NOW = 1_800_000_000.0
DAY = 86400.0
EVIL = '"><script>alert(1)</script>'
SITE = {"airflow_url": "/af/", "page_url": "/af/stripe-app/", "csrf": "token"}


def status(conn_id: str = "shop", **changes: object) -> InstallationStatus:
    made = dict.fromkeys(InstallationStatus.__dataclass_fields__)
    made.update(
        conn_id=conn_id,
        app_conn_id="app",
        account_id="acct_1",
        livemode=True,
        status="active",
        access_expires_at=NOW + 2900,
        refresh_expires_at=NOW + 300 * DAY,
        generation=3,
        heal_tries=0,
        last_refreshed_at=NOW - 700,
        created_at=NOW - DAY,
        updated_at=NOW,
    )
    made.update(changes)
    return InstallationStatus(**made)  # type: ignore[arg-type]


def sync(stream: str = "customers", **changes: object) -> StreamReport:
    values = {"ok": True, "at": NOW - 60, "inserted": 2, "updated": 0, "deleted": 1, **changes}
    return StreamReport(stream, "warehouse", **values)  # type: ignore[arg-type]


def checked(one: InstallationStatus, *syncs: StreamReport) -> listing.Checked:
    return listing.check(one, syncs, now=NOW, deployment="production")


def show_list(visible: list[listing.Checked], **query: str) -> listing.Listing:
    found, part = listing.select(visible, query)
    rows = tuple(listing.row(one, now=NOW, can_change=True) for one in part)
    return replace(found, rows=rows)


# -- permissions


def test_what_is_missing_is_a_fact_when_stripe_told_what_is_granted() -> None:
    one = status(permissions_granted=["event_read", "customer_read"], reconciled_at=NOW)
    found = permissions_of(one, [sync("customers"), sync("invoices")])
    assert found.needed == ("customer_read", "event_read", "invoice_read")
    assert found.missing == ("invoice_read",)


def test_what_is_missing_is_what_was_refused_when_stripe_told_nothing() -> None:
    refused = sync("invoices", ok=False, permission="invoice_read")
    found = permissions_of(status(), [sync("customers"), refused])
    assert found.granted is None
    assert found.missing == found.refused == ("invoice_read",)
    assert permissions_of(status(), []).missing == ()


def test_refusal_from_before_stripes_own_list_is_forgotten() -> None:
    old = sync("invoices", ok=False, permission="invoice_read", at=NOW - 500)
    granted = {"permissions_granted": ["invoice_read", "event_read"]}
    assert permissions_of(status(**granted, reconciled_at=NOW - 60), [old]).missing == ()
    newer = status(**granted, reconciled_at=NOW - 900)
    assert permissions_of(newer, [old]).missing == ("invoice_read",)


def test_streams_of_a_newer_version_need_nothing_that_is_known_here() -> None:
    assert permissions_of(status(), [sync("made_of_cheese")]).needed == ()


# -- the list


def test_the_worst_come_first_and_are_counted() -> None:
    lost = status("zz", status="reauthorization_required")
    found = show_list([checked(status("aa")), checked(lost), checked(status("bb"))])
    assert [row.conn_id for row in found.rows] == ["zz", "aa", "bb"]
    assert [(one.word, one.number) for one in found.counts] == [("reauthorize", 1), ("healthy", 2)]


@pytest.mark.parametrize(
    "query", ["ger", "ACCT_9", "müller", "müller sons", "team_b", "the_app", "  "]
)
def test_search_finds_by_connection_account_name_app_and_team(query: str) -> None:
    one = status(
        "germany",
        account_id="acct_9",
        account_name="Müller & Sons",
        team_name="team_b",
        app_conn_id="the_app",
    )
    others = [checked(status("other", account_id="acct_2"))]
    found = show_list([checked(one), *others], q=query)
    assert "germany" in [row.conn_id for row in found.rows]
    assert found.found == (2 if not query.strip() else 1)


def test_search_for_nothing_that_is_there_finds_nothing() -> None:
    found = show_list([checked(status())], q="nowhere")
    assert (found.rows, found.total, found.found, found.counts) == ((), 1, 0, ())


def test_filter_by_health_keeps_the_search_and_can_be_taken_off() -> None:
    visible = [checked(status("a1")), checked(status("a2", status="reauthorization_required"))]
    found = show_list(visible, q="a", health="reauthorize")
    assert [row.conn_id for row in found.rows] == ["a2"]
    on, off = found.counts
    assert (on.current, on.href) == (True, ".?q=a")
    assert (off.current, off.href) == (False, ".?q=a&health=healthy")
    assert show_list(visible, health="made up").found == 2


@pytest.mark.parametrize(
    ("page", "first", "size"),
    [("", 1, 50), ("2", 51, 50), ("3", 101, 20), ("99", 101, 20), ("0", 1, 50), ("²", 1, 50)],
)
def test_hundreds_come_a_page_at_a_time(page: str, first: int, size: int) -> None:
    visible = [checked(status(f"shop_{n:03}")) for n in range(120)]
    found = show_list(visible, page=page)
    assert (len(found.rows), found.found) == (size, 120)
    assert found.part == f"{first} to {first + size - 1} of 120"
    assert bool(found.previous) == (first > 1)
    assert bool(found.following) == (first < 101)


def test_syncs_and_permissions_at_a_glance() -> None:
    assert listing.sync_words([], NOW).words == "none reported"
    assert listing.sync_words([sync(), sync("invoices")], NOW).words == "2 streams"
    failed = listing.sync_words([sync(), sync("invoices", ok=False)], NOW)
    assert (failed.words, failed.kind) == ("1 of 2 streams failed", "bad")
    words = [
        listing.permission_words(checked(status(**changes)).permissions)
        for changes in (
            {},
            {"permissions_granted": ["a"]},
            {"permissions_granted": ["a"], "permissions_pending": ["b", "c"]},
        )
    ]
    assert words == ["not told by Stripe", "1 granted", "1 granted, 2 to approve"]


# -- one installation


def test_permissions_say_who_needs_them_and_the_missing_come_first() -> None:
    one = status(permissions_granted=["event_read", "product_read"], permissions_pending=["a_read"])
    lines = detail.grants(checked(one, sync("customers")))
    assert [(line.name, line.state, line.streams) for line in lines] == [
        ("customer_read", "missing", "customers"),
        ("a_read", "to approve", ""),
        ("event_read", "granted", "all streams"),
        ("product_read", "granted", ""),
    ]


def test_without_stripes_list_the_page_says_so_and_shows_what_worked_and_what_was_refused() -> None:
    refused = sync("invoices", ok=False, permission="invoice_read")
    one = checked(status(), refused)
    assert "has not told" in detail.told(one, NOW)
    states = {line.name: line.state for line in detail.grants(one)}
    assert states == {"invoice_read": "refused", "event_read": "not known"}
    states = {
        line.name: line.state
        for line in detail.grants(checked(status(), refused, sync("customers")))
    }
    assert states == {"invoice_read": "refused", "event_read": "worked", "customer_read": "worked"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "2 new, 1 deleted"),
        ({"inserted": 0, "deleted": 0}, "nothing new"),
        ({"inserted": None, "updated": None, "deleted": None}, ""),
        ({"inserted": 1234567}, "1,234,567 new, 1 deleted"),
    ],
)
def test_changed_rows_are_words(changes: dict, words: str) -> None:
    assert detail.row_words(sync(**changes)) == words


def test_a_sync_links_to_its_task_below_the_path_of_airflow() -> None:
    one = sync(dag_id="my dag", task_id="sync/it", run_id="manual__2026-11-24T13:00:00+00:00")
    address = detail.run_address(one, "/af")
    assert address == (
        "/af/dags/my%20dag/runs/manual__2026-11-24T13%3A00%3A00%2B00%3A00/tasks/sync%2Fit"
    )
    assert detail.run_address(sync(), "/af") == ""


def test_history_is_words_with_who_and_stripes_request_id() -> None:
    line = HistoryLine(NOW - 60, "installed", None, 1, "req_1", "account acct_1, by airflow:ann")
    shown = detail.history_line(line, NOW)
    assert (shown.event, shown.by, shown.request_id) == ("Installed", "ann", "req_1")
    assert shown.detail == "account acct_1"
    other = detail.history_line(HistoryLine(NOW, "brand_new", "some_thing", 1, None, None), NOW)
    assert (other.event, other.reason, other.by) == ("Brand new", "some thing", "")


def test_history_is_paged() -> None:
    lines = [HistoryLine(NOW - n, "refreshed", None, n, None, None) for n in range(41)]
    first = detail.history_page(lines[:21], "my shop", 1, now=NOW)
    assert (len(first.lines), first.previous) == (20, "")
    assert first.following == "installation?conn_id=my+shop&history=2#history"
    last = detail.history_page(lines, "my shop", 3, now=NOW)
    assert (len(last.lines), last.following) == (1, "")


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("airflow:ann", "ann"),
        ("cli:root", "root (command line)"),
        (None, "unknown"),
        ("someone", "someone"),
    ],
)
def test_people_are_named_without_prefix(user: str | None, words: str) -> None:
    assert common.person(user) == words


# -- connections


def test_restricted_keys_are_shown_without_the_key() -> None:
    view = connections.connection_view(
        "own", RestrictedKeySettings("own", "rk_live_secret", True), can_change=True
    )
    assert view.kind == "ok"
    assert not view.can_install
    assert "rk_live_secret" not in repr(view)


APP = AppSettings("app", parse_install_link("ca_abc"), "sk_test_x", livemode=False)


def test_app_that_is_installed_elsewhere_asks_for_another_name() -> None:
    first = connections.connection_view("app", APP, can_change=True)
    assert (first.label, first.target, first.can_install) == ("not installed", "app", True)
    more = connections.connection_view("app", APP, can_change=True, installed_as=["shop"])
    assert (more.label, more.target, more.can_install) == ("app", "", True)
    assert "Installed as shop" in more.sentence
    many = connections.connection_view("app", APP, can_change=True, installed_as=list("abcd"))
    assert "4 accounts" in many.sentence
    assert many.found == ".?q=app"
    assert not connections.connection_view("app", APP, can_change=False).can_install


def test_app_of_the_environment_needs_a_connection_for_its_installation() -> None:
    view = connections.connection_view("app", APP, can_change=True, source=connections.ENVIRONMENT)
    assert (view.target, view.can_install, view.source) == ("", True, "environment variable")


def test_app_of_a_secrets_backend_is_known_by_its_installations() -> None:
    view = connections.unlisted_app_view("vault_app", can_change=True, installed_as=["a", "b"])
    assert "2 accounts" in view.sentence
    assert (view.can_install, view.target, view.source) == (True, "", "not in the database")
    assert view.accounts == "accounts?conn_id=vault_app"


def test_connection_without_its_installation_offers_to_install_into_it() -> None:
    settings = InstallationSettings("shop", "app")
    view = connections.connection_view("shop", settings, can_change=True)
    assert (view.app_conn_id, view.target, view.can_install) == ("app", "shop", True)


LINK = "https://marketplace.stripe.com/oauth/v2/authorize?client_id=ca_abc"


@pytest.mark.parametrize(
    "value",
    [
        f'{{"conn_type": "stripe_app", "login": "{LINK}", "password": "sk_test_1"}}',
        f'{{"conn_type": "stripe-app", "login": "{LINK}", "password": "sk_test_1", "extra": {{}}}}',
        "stripe-app://https%3A%2F%2Fmarketplace.stripe.com%2Foauth%2Fv2%2Fauthorize%3Fclient_id"
        "%3Dca_abc:sk_test_1@",
    ],
)
def test_apps_of_environment_variables_are_found(value: str) -> None:
    found = gather.from_environment({"AIRFLOW_CONN_STRIPE_MAIN": value, "PATH": "/bin"})
    (known,) = found.values()
    assert list(found) == ["stripe_main"]
    assert isinstance(known.settings, AppSettings)
    assert known.settings.link.client_id == "ca_abc"
    assert known.settings.secret_key == "sk_test_1"
    assert "sk_test_1" not in repr(found)


def test_other_environment_variables_are_nobodys_business() -> None:
    values = {
        "AIRFLOW_CONN_PG": "postgresql://user:password@host/db",
        "AIRFLOW_CONN_JSON": '{"conn_type": "http"}',
        "AIRFLOW_CONN_BROKEN": "{not json",
        "AIRFLOW_CONN_BAD_URI": "stripe-app://[::1",
        "AIRFLOW_CONN__TEAM___APP": '{"conn_type": "stripe_app"}',
        "AIRFLOW_CONN_": '{"conn_type": "stripe_app"}',
    }
    assert gather.from_environment(values) == {}


def test_broken_app_of_the_environment_says_what_is_wrong() -> None:
    value = '{"conn_type": "stripe_app", "login": "nonsense", "password": "sk_test_1"}'
    (known,) = gather.from_environment({"AIRFLOW_CONN_APP": value}).values()
    assert isinstance(known.settings, ConfigurationError)


def test_own_parameters_of_a_uri_are_extra() -> None:
    plain = gather.parse_environment("shop", "stripe-app://?app_conn_id=stripe&mode=live")
    assert plain is not None
    assert plain.extra == '{"app_conn_id": "stripe", "mode": "live"}'
    packed = gather.parse_environment("shop", "stripe-app://?__extra__=%7B%22a%22%3A+1%7D")
    assert packed is not None
    assert packed.extra == '{"a": 1}'


# -- notices and warnings


def test_notices_come_from_a_fixed_list_and_about_visible_connections() -> None:
    shown = pages.notice_for({"notice": "installed", "conn_id": "shop"}, ["shop"])
    assert shown is not None
    assert shown.kind == "ok"
    assert pages.notice_for({"notice": "installed", "conn_id": "other"}, ["shop"]) is None
    assert pages.notice_for({"notice": "made up", "conn_id": "shop"}, ["shop"]) is None
    assert pages.notice_for({}, ["shop"]) is None


def test_braces_in_a_connection_id_are_text() -> None:
    found = pages.notice_for({"notice": "installed", "conn_id": "{0}"}, ["{0}"])
    assert found is not None
    assert "{0}" in found.text


@pytest.mark.parametrize(
    ("base", "opened_at", "words"),
    [
        ("https://a.example.com", "https://a.example.com", None),
        ("https://a.example.com", "http://airflow-internal:8080", None),
        ("http://localhost:8080", "http://localhost:8080", "plain http"),
        ("http://a.example.com", "http://a.example.com", "plain http"),
        ("http://localhost:8080", "http://localhost:9090", "at http://localhost:9090, but"),
        ("http://localhost:8080", "https://a.example.com", "Set [api] base_url"),
    ],
)
def test_redirect_uri_that_cannot_work_is_warned_about(
    base: str, opened_at: str, words: str | None
) -> None:
    warning = pages.redirect_warning(f"{base}/stripe-app/callback", opened_at)
    assert (words is None and warning == "") or (words is not None and words in warning)


# -- markup


def scripts(html: str) -> list[str]:
    return re.findall(r"<script\b[^>]*>", html)


def assert_clean(html: str) -> None:
    assert "<script>alert" not in html
    assert scripts(html) == [
        '<script src="/af/stripe-app/static/theme.js">',
        '<script src="/af/stripe-app/static/copy.js" defer>',
    ]
    assert "style=" not in html
    assert not re.search(r"\son\w+=", html)
    assert not re.search(r"javascript:", html, re.IGNORECASE)


def evil_installation() -> listing.Checked:
    one = status(
        EVIL,
        app_conn_id=EVIL,
        account_id=EVIL,
        account_name=EVIL,
        team_name=EVIL,
        deployment_id=EVIL,
        installed_by=EVIL,
        install_status=EVIL,
        last_error=EVIL,
        last_error_at=NOW,
        last_error_request_id=EVIL,
        permissions_granted=[EVIL],
        permissions_pending=[EVIL],
    )
    failed = sync(
        EVIL,
        ok=False,
        error=EVIL,
        permission=EVIL,
        dag_id=EVIL,
        task_id=EVIL,
        run_id="javascript:alert(1)" + EVIL,
    )
    return checked(one, failed)


def test_everything_on_the_list_is_escaped() -> None:
    view = connections.connection_view(EVIL, ConfigurationError(EVIL), can_change=True)
    app = connections.connection_view(EVIL, APP, can_change=True, installed_as=[EVIL])
    html = pages.render(
        "list.html",
        **{**SITE, "csrf": EVIL},
        notice=pages.Notice(EVIL),
        problems=[pages.Notice(EVIL, href="/connections", link=EVIL)],
        listing=show_list([evil_installation()], q="script"),
        narrowed=False,
        apps=[app],
        connections=[view],
        unshown=3,
        may_add=True,
        redirect_uri=EVIL,
        redirect_warning=EVIL,
        connections_url="/af/connections",
    )
    assert EVIL not in html
    assert_clean(html)


def test_everything_about_an_installation_is_escaped() -> None:
    line = HistoryLine(NOW, EVIL, EVIL, 1, EVIL, f"{EVIL}, by {EVIL}")
    one = detail.detail(
        evil_installation(),
        detail.history_page([line], EVIL, 1, now=NOW),
        now=NOW,
        can_change=True,
        base_path="/af",
    )
    html = pages.render("detail.html", **SITE, notice=pages.Notice(EVIL), one=one)
    assert EVIL not in html
    assert_clean(html.replace("javascript%3A", ""))


def test_names_keep_their_letters_and_lose_what_turns_text_around() -> None:
    assert common.plain(" \u202eevil\u2066 name\x00 ") == "\ufffdevil\ufffd name\ufffd"
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467 शॉप \u05e9\u05dc\u05d5\u05dd"
    assert common.plain(family) == family
    assert common.plain(None) == ""


def test_moments_are_words_with_the_exact_time() -> None:
    assert common.moment(NOW - 60, NOW) == common.Moment("1 minute ago", "2027-01-15T07:59:00Z")
    assert common.moment(None, NOW) == common.Moment("never", "")


def test_a_channel_is_told_in_the_words_of_stripes_dashboard():
    from airflow_provider_stripe_app.plugin.views.common import channel_words

    assert channel_words("testing") == "external test"
    assert channel_words("private_live") == "private live"
    assert channel_words(None) == ""
