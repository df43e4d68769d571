"""What people paste into a connection is understood, or refused with what to paste instead."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import pytest

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth.access_grant import AccessGrant, fingerprint
from airflow_provider_stripe_app.oauth.credentials import (
    AppSettings,
    InstallationSettings,
    RestrictedKeySettings,
    check_pair,
    read_app,
    read_settings,
)
from airflow_provider_stripe_app.oauth.install_link import InstallLink, parse_install_link

MARKET = "https://marketplace.stripe.com"


@dataclass
class Conn:
    conn_id: str = "stripe"
    login: str | None = None
    password: str | None = None
    extra: str | None = None


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (
            f"{MARKET}/oauth/v2/authorize?client_id=ca_1&redirect_uri=https%3A%2F%2Fx&state=abc",
            f"{MARKET}/oauth/v2/authorize?client_id=ca_1",
        ),
        (
            f"{MARKET}/oauth/v2/chnlink_61Abc/authorize?client_id=ca_1",
            f"{MARKET}/oauth/v2/chnlink_61Abc/authorize?client_id=ca_1",
        ),
        (
            f"{MARKET}/oauth/v2/channellink*AXq%23EhcK/authorize?redirect_uri=x&client_id=ca_1",
            f"{MARKET}/oauth/v2/channellink*AXq%23EhcK/authorize?client_id=ca_1",
        ),
        (
            f"  <{MARKET}/oauth/v2/authorize?client_id=ca_1> ",
            f"{MARKET}/oauth/v2/authorize?client_id=ca_1",
        ),
        ("ca_1", f"{MARKET}/oauth/v2/authorize?client_id=ca_1"),
    ],
)
def test_every_form_of_install_link_keeps_its_path_and_loses_state_and_redirect(link, expected):
    parsed = parse_install_link(link)
    assert parsed == InstallLink("ca_1", expected)
    assert parsed.livemode is None


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("https://connect.stripe.com/oauth/authorize?client_id=ca_1", "Stripe Connect link"),
        ("https://dashboard.stripe.com/apps/com.example", "Dashboard page"),
        (f"{MARKET}/apps/example", "page in the marketplace"),
        ("pk_live_51Habcdefgh", "publishable key"),
        ("sk_live_51Habcdefgh", "secret key"),
        ("acct_1abc", "account id"),
        ("hello", "not a link"),
        ("", "empty"),
        (f"http{MARKET[5:]}/oauth/v2/authorize?client_id=ca_1", "plain http"),
        ("http://127.0.0.1:1/oauth/v2/authorize?client_id=ca_1", "marketplace_base"),
        ("https://evil.example/oauth/v2/authorize?client_id=ca_1", "not Stripe"),
        ("https://x.stripe.com@evil.example/oauth/v2/authorize?client_id=ca_1", "not Stripe"),
        ("https://evilstripe.com/oauth/v2/authorize?client_id=ca_1", "not Stripe"),
        (f"{MARKET}/oauth/v2/authorize", "no client_id"),
        (f"{MARKET}/oauth/v2/authorize?client_id=ca_1&client_id=ca_2", "no client_id"),
        (f"{MARKET}/oauth/v2/token?client_id=ca_1", "consent page"),
        ("javascript://x.stripe.com/oauth/v2/authorize?client_id=ca_1", "https"),
    ],
)
def test_anything_else_is_refused_saying_what_it_is_and_what_to_paste(link, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        parse_install_link(link)
    assert "paste the whole install link" in str(caught.value)
    assert "51Habcdefgh" not in str(caught.value)


def test_simulation_takes_the_place_of_stripes_host_only_by_option():
    link = "http://127.0.0.1:8/oauth/v2/chnlink_x/authorize?client_id=ca_1"
    assert parse_install_link(link, marketplace_base="http://127.0.0.1:8").authorize_url == link
    stripe = f"{MARKET}/oauth/v2/chnlink_x/authorize?client_id=ca_1"
    assert parse_install_link(stripe, marketplace_base="http://127.0.0.1:8").authorize_url == link
    with pytest.raises(ConfigurationError):
        parse_install_link("http://other/oauth/v2/authorize?client_id=ca_1", marketplace_base=link)


def test_redirect_uri_and_state_are_added_encoded():
    url = parse_install_link("ca_1").with_parameters("https://a.b/c?d=e", "s&t")
    assert url == (
        f"{MARKET}/oauth/v2/authorize?client_id=ca_1"
        "&redirect_uri=https%3A%2F%2Fa.b%2Fc%3Fd%3De&state=s%26t"
    )


@pytest.mark.parametrize(
    ("livemode", "key", "refused"),
    [
        (True, "sk_test_x1", True),
        (False, "sk_live_x1", True),
        (True, "sk_live_x1", False),
        (False, "sk_test_x1", False),
        (None, "sk_test_x1", False),
        (True, "sk_unknown", False),
    ],
)
def test_live_link_with_test_key_is_refused_and_the_reverse(livemode, key, refused):
    link = InstallLink("ca_1", "https://x", livemode)
    if refused:
        with pytest.raises(ConfigurationError, match="mode") as caught:
            check_pair(link, key)
        assert key not in str(caught.value)
    else:
        check_pair(link, key)


def test_one_connection_type_has_three_uses_by_content():
    key = read_settings(Conn(password="rk_test_abc"))
    assert key == RestrictedKeySettings("stripe", "rk_test_abc", False)
    app = read_settings(Conn(login="ca_1", password="sk_live_abc"))
    assert isinstance(app, AppSettings)
    assert (app.link.client_id, app.livemode) == ("ca_1", True)
    grant = AccessGrant("tok", time.time() + 99, 3, "acct_1", False)
    extra = {
        "app_conn_id": "the_app",
        "account": "acct_1",
        "livemode": False,
        "broker_token": "b",
        "access_grant_token": grant.to_copy(),
    }
    found = read_settings(Conn(extra=json.dumps(extra)))
    assert found == InstallationSettings("stripe", "the_app", "acct_1", False, "b", grant, None)


def test_quick_start_is_app_and_installation_in_one():
    extra = json.dumps({"broker_token": "b", "mode": "test"})
    found = read_settings(Conn(login="ca_1", password="sk_test_abc", extra=extra))
    assert isinstance(found, InstallationSettings)
    assert found.app is not None
    assert found.app_conn_id == "stripe"
    assert found.app.secret_key == "sk_test_abc"


def test_task_with_a_token_does_not_need_the_app_part_of_a_quick_start_in_order():
    extra = json.dumps({"broker_token": "b"})
    conn = Conn(login="http://127.0.0.1:1/x", password="sk_test_abc", extra=extra)
    assert read_settings(conn).app is None
    with pytest.raises(ConfigurationError, match="plain http"):
        read_app(conn)
    with pytest.raises(ConfigurationError, match="not a Stripe App's"):
        read_app(Conn(extra=extra))


@pytest.mark.parametrize(
    ("conn", "said"),
    [
        (Conn(), "fill in one of them"),
        (Conn(login="ca_1"), "no secret key"),
        (Conn(login="ca_1", password="pk_live_secretpart"), "publishable key"),
        (Conn(login="ca_1", password="rk_live_secretpart"), "both an install link and a"),
        (Conn(login="ca_1", password="whsec_secretpart"), "webhook signing secret"),
        (Conn(login="ca_1", password="secretpart"), "not a Stripe key"),
        (Conn(password="sk_live_secretpart"), "install link is empty.*only your own account.*rk_…"),
        (Conn(login="ca_1", password="sk_test_secretpart", extra='{"mode": "live"}'), "live mode"),
        (Conn(login="ca_1", password="sk_test_x", extra='{"mode": "prod"}'), "choose live or test"),
        (Conn(extra="[1]"), "not a JSON object"),
        (Conn(extra="{"), "not a JSON object"),
    ],
)
def test_bad_input_is_refused_without_repeating_secrets(conn, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_settings(conn)
    assert "secretpart" not in str(caught.value)


def test_secrets_are_in_no_repr():
    grant = AccessGrant("rk_live_token1", 1.0, 1, "acct_1", True)
    extra = {"broker_token": "brokersecret", "access_grant_token": grant.to_copy()}
    found = read_settings(Conn(login="ca_1", password="sk_live_keysecret", extra=json.dumps(extra)))
    for secret in ("rk_live_token1", "brokersecret", "keysecret"):
        assert secret not in repr(found)


@pytest.mark.parametrize(
    "damaged",
    ["", "***", "e30=", "bnVsbA==", "ÄÖ", "W10=", "eyJhY2Nlc3NfdG9rZW4iOiAieCJ9", "=" * 9],
)
def test_damaged_copy_is_no_copy(damaged):
    assert AccessGrant.from_copy(damaged) is None


def test_copy_survives_the_way_through_extra_and_any_cut_of_it_is_noticed():
    grant = AccessGrant("rk_live_token1", 1750000000.5, 7, "acct_1", True)
    text = grant.to_copy()
    assert AccessGrant.from_copy(text) == grant
    assert all(AccessGrant.from_copy(text[:end]) is None for end in range(len(text) - 4))


def test_fingerprint_tells_tokens_apart_and_does_not_tell_the_token():
    assert fingerprint("a") != fingerprint("b")
    assert len(fingerprint("rk_live_x")) == 16
