"""Forms are carried out only if the user's own page sent them."""

from __future__ import annotations

import pytest

from airflow_provider_stripe_app.plugin import security
from airflow_provider_stripe_app.plugin.security import CsrfError

NOW = 1_800_000_000.0
OWN = ["https://airflow.example.com"]


def token(user="airflow:ann", nonce="n0nce", secret="s3cret", now=NOW):
    return security.csrf_token(secret, user, nonce, now)


def check(value, user="airflow:ann", nonce="n0nce", secret="s3cret", now=NOW):
    security.check_csrf(secret, user, nonce, value, now)


def test_own_form_is_accepted_for_a_working_day():
    check(token())
    check(token(), now=NOW + security.CSRF_LIFETIME - 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"user": "airflow:bob"},
        {"nonce": "other"},
        {"nonce": ""},
        {"secret": "another server's"},
        {"now": NOW + security.CSRF_LIFETIME + 61},
    ],
)
def test_form_of_another_user_browser_server_or_day_is_refused(changes):
    with pytest.raises(CsrfError):
        check(token(), **changes)


@pytest.mark.parametrize("value", ["", ".", "1800000000.", "x.y", "1800000000.é", "é"])
def test_forged_form_is_refused(value):
    with pytest.raises(CsrfError):
        check(value)


def test_server_with_another_key_is_told_apart_from_a_forgery():
    with pytest.raises(CsrfError, match=r"set the same \[api\] secret_key on every API server"):
        check(token(secret="another server's"))
    with pytest.raises(CsrfError, match="did not come from your own"):
        check(token(user="airflow:bob"))
    assert "s3cret" not in token()


def test_changed_time_breaks_the_signature():
    issued, _, signature = token().partition(".")
    with pytest.raises(CsrfError, match="did not come from your own"):
        check(f"{int(issued) + 1}.{signature}")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://airflow.example.com"},
        {"origin": "HTTPS://Airflow.example.com", "sec-fetch-site": "same-origin"},
    ],
)
def test_own_origin_passes(headers):
    security.check_origin(headers, OWN)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example.com"},
        {"origin": "null"},
        {"origin": "http://airflow.example.com"},
        {"origin": "https://airflow.example.com", "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_foreign_origin_is_refused(headers):
    with pytest.raises(CsrfError):
        security.check_origin(headers, OWN)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Airflow.example.com:443/a/b", "https://airflow.example.com"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
    ],
)
def test_origin_of_url(url, origin):
    assert security.origin_of(url) == origin
