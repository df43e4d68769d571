"""Forms are carried out only if the user's own page sent them."""

from __future__ import annotations

import os
import subprocess
import sys

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


def test_forms_are_signed_with_what_all_servers_share(monkeypatch):
    from airflow.configuration import conf

    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "shared by all")
    monkeypatch.setenv("AIRFLOW__API__SECRET_KEY", "set by somebody")
    assert security.signing_secret() == "set by somebody"
    # The default is random in every process.
    monkeypatch.setattr(conf, "get_default_value", lambda *_: "set by somebody")
    assert security.signing_secret() == "shared by all"
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "")
    assert security.signing_secret() == "set by somebody"


def test_default_of_the_secret_key_is_told_from_a_set_one(tmp_path):
    """In a process of its own, for Airflow reads its configuration once."""
    (tmp_path / "airflow.cfg").write_text("[core]\nload_examples = False\n")
    code = "from airflow_provider_stripe_app.plugin import security; "
    code += "print('key', security.signing_secret())"
    env = {name: text for name, text in os.environ.items() if not name.startswith("AIRFLOW__API")}
    env |= {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__API_AUTH__JWT_SECRET": "shared by all"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "key shared by all"


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
