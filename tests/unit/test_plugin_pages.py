"""What the page says, in words, and that it never says what an attacker wants."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth.credentials import (
    AppSettings,
    InstallationSettings,
    RestrictedKeySettings,
)
from airflow_provider_stripe_app.oauth.install_link import parse_install_link
from airflow_provider_stripe_app.plugin import pages

NOW = 1_800_000_000.0
DAY = 86400.0


@dataclass
class Status:
    conn_id: str = "shop"
    app_conn_id: str = "app"
    account_id: str = "acct_1"
    livemode: bool = True
    status: str = "active"
    permissions_granted: list[str] | None = None
    access_expires_at: float = NOW + 2900
    refresh_expires_at: float = NOW + 300 * DAY
    last_refreshed_at: float = NOW - 700
    last_error: str | None = None
    last_error_at: float | None = None


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (None, "never"),
        (NOW + 2900, "in 48 minutes"),
        (NOW - 60, "1 minute ago"),
        (NOW - 90000, "1 day ago"),
        (NOW - 3 * DAY, "3 days ago"),
        (NOW, "a moment ago"),
    ],
)
def test_times_are_words(moment, words):
    assert pages.relative(moment, NOW) == words


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({}, "ok", "renewed by themselves"),
        ({"status": "reauthorization_required", "last_error": "gone"}, "bad", "gone"),
        ({"refresh_expires_at": NOW - 1}, "bad", "Reauthorize"),
        ({"last_error": "HTTP 503", "last_error_at": NOW - 60}, "warn", "tried again by itself"),
        ({"refresh_expires_at": NOW + 5 * DAY}, "warn", "in 5 days"),
    ],
)
def test_health_is_one_sentence(change, kind, words):
    _, found, sentence = pages.health_of(Status(**change), NOW)
    assert found == kind
    assert words in sentence


def test_notices_come_from_a_fixed_list_and_about_visible_connections():
    assert pages.notice_for({"notice": "installed", "conn_id": "shop"}, ["shop"]).kind == "ok"
    assert pages.notice_for({"notice": "installed", "conn_id": "other"}, ["shop"]) is None
    assert pages.notice_for({"notice": "made up", "conn_id": "shop"}, ["shop"]) is None
    assert pages.notice_for({}, ["shop"]) is None


def test_braces_in_a_connection_id_are_text():
    found = pages.notice_for({"notice": "installed", "conn_id": "{0}"}, ["{0}"])
    assert "{0}" in found.text


def test_restricted_keys_are_shown_without_the_key():
    view = pages.connection_view(
        "own", RestrictedKeySettings("own", "rk_live_secret", True), can_change=True
    )
    assert view.kind == "ok"
    assert not view.can_install
    assert "rk_live_secret" not in repr(view)


def test_app_that_is_installed_elsewhere_asks_for_another_name():
    settings = AppSettings("app", parse_install_link("ca_abc"), "sk_test_x", livemode=False)
    first = pages.connection_view("app", settings, can_change=True)
    assert (first.label, first.target, first.can_install) == ("not installed", "app", True)
    more = pages.connection_view("app", settings, can_change=True, installed_as=["shop"])
    assert (more.label, more.target, more.can_install) == ("app", "", True)
    assert "Installed as shop" in more.sentence
    assert not pages.connection_view("app", settings, can_change=False).can_install


def test_everything_shown_is_escaped():
    evil = '"><script>alert(1)</script>'
    html = pages.render(
        "page.html",
        airflow_url="/",
        page_url="/stripe-app/",
        csrf=evil,
        notice=pages.Notice(evil),
        problems=[pages.Notice(evil, href="/connections", link=evil)],
        installations=[
            pages.installation_view(
                Status(conn_id=evil, app_conn_id=evil, account_id=evil, last_error=evil),
                now=NOW,
                can_change=True,
            )
        ],
        connections=[pages.connection_view(evil, ConfigurationError(evil), can_change=True)],
        redirect_uri=evil,
        redirect_warning=evil,
    )
    assert "<script>alert" not in html
    assert html.count("<script ") == 1


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
def test_redirect_uri_that_cannot_work_is_warned_about(base, opened_at, words):
    warning = pages.redirect_warning(f"{base}/stripe-app/callback", opened_at)
    assert (words is None and warning == "") or (words is not None and words in warning)


def test_connection_without_its_installation_offers_to_install_into_it():
    settings = InstallationSettings("shop", "app")
    view = pages.connection_view("shop", settings, can_change=True)
    assert (view.app_conn_id, view.target, view.can_install) == ("app", "shop", True)
