"""Every kind of answer of Stripe's token endpoint means the right thing."""

from __future__ import annotations

import json

import pytest
import requests

from airflow_provider_stripe_app.oauth.token_endpoint import (
    Granted,
    RawAnswer,
    Refused,
    Trouble,
    WrongKey,
    classify,
    scrub,
)

TOKENS = {
    "access_token": "rk_live_access1",
    "refresh_token": "rt_refresh1",
    "stripe_user_id": "acct_1",
    "livemode": True,
    "scope": "stripe_apps",
}
STRIPE_500 = b'{"error": {"type": "api_error", "message": "An unknown error occurred"}}'


def answer(status, body, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawAnswer(status, names, data)


def meaning(status, body, **headers):
    return classify(answer(status, body, **headers), sent_at=1000.0, first_sent_at=400.0)


def test_tokens_without_expires_in_live_an_hour_from_before_the_request():
    found = meaning(200, TOKENS, request_id="req_1")
    assert found == Granted(
        "rk_live_access1", "rt_refresh1", "acct_1", True, 4600.0, "req_1", False, "stripe_apps"
    )


def test_expires_in_wins_over_the_hour():
    assert meaning(200, {**TOKENS, "expires_in": 60}).expires_at == 1060.0
    for nonsense in (0, -5, True, "60", None):
        assert meaning(200, {**TOKENS, "expires_in": nonsense}).expires_at == 4600.0


def test_replayed_tokens_are_as_old_as_the_first_request():
    found = meaning(200, TOKENS, idempotent_replayed="true")
    assert found.replayed
    assert found.expires_at == 400.0 + 3600


def test_account_may_be_named_account_id():
    renamed = {name: value for name, value in TOKENS.items() if name != "stripe_user_id"}
    assert meaning(200, {**renamed, "account_id": "acct_2"}).account_id == "acct_2"
    assert meaning(200, renamed).account_id is None


def test_cut_off_tokens_are_no_received_answer_so_the_same_key_brings_them_back():
    found = meaning(200, json.dumps(TOKENS).encode()[:-5])
    assert isinstance(found, Trouble)
    assert not found.received


def test_spent_refresh_token_is_refused():
    body = {"error": "invalid_grant", "error_description": "Refresh token rt_abc is spent"}
    assert meaning(400, body, request_id="req_2") == Refused(
        "invalid_grant", "Refresh token rt_*** is spent", "req_2"
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            401,
            {"error": {"type": "invalid_request_error", "message": "Bad key sk_test_a1"}},
        ),
        (403, {"error": {"message": "no"}}),
        (401, b"<html>"),
        (400, {"error": "invalid_client", "error_description": "no"}),
        (
            400,
            {
                "error": "invalid_grant",
                "error_description": "Refresh token provided does not belong to you",
            },
        ),
    ],
)
def test_wrong_secret_key_says_nothing_about_the_grant(status, body):
    found = meaning(status, body)
    assert isinstance(found, WrongKey)
    assert "sk_test_a1" not in found.message


@pytest.mark.parametrize(
    ("status", "body", "received"),
    [
        (500, STRIPE_500, True),
        (503, STRIPE_500, True),
        (502, b"<html>Bad gateway</html>", False),
        (500, STRIPE_500[:-6], False),
        (500, b"", False),
        (429, {"error": {"message": "slow down"}}, False),
        (409, {"error": {"type": "idempotency_error", "message": "in use"}}, False),
        (400, {"error": {"type": "idempotency_error", "message": "other parameters"}}, True),
        (400, {"error": "invalid_request", "error_description": "No grant type"}, True),
        (404, {"error": {"message": "Unrecognized request URL"}}, True),
        (302, b"", False),
        (200, b"<html>login</html>", False),
        (200, {"access_token": "x"}, True),
        (200, b"[]", False),
    ],
)
def test_trouble_changes_the_key_only_after_an_answer_of_stripes_own(status, body, received):
    found = meaning(status, body)
    assert isinstance(found, Trouble)
    assert found.received is received


def test_retry_after_is_read_and_bounded():
    assert meaning(429, STRIPE_500, retry_after="7").retry_after == 7
    assert meaning(429, STRIPE_500, retry_after="1e9").retry_after == 3600
    assert meaning(429, STRIPE_500, retry_after="soon").retry_after is None


@pytest.mark.parametrize("error", [requests.ConnectionError("sk_live_a"), TimeoutError("rt_b")])
def test_no_answer_is_trouble_without_the_exceptions_text(error):
    found = classify(error, sent_at=1.0)
    assert isinstance(found, Trouble)
    assert not found.received
    assert "sk_live" not in found.message
    assert "rt_b" not in found.message


def test_no_token_is_in_a_repr_and_texts_are_scrubbed():
    found = meaning(200, TOKENS)
    assert "rk_live_access1" not in repr(found)
    assert "rt_refresh1" not in repr(found)
    assert scrub("code ac_ABC123 of sk_live_51H*****xyz") == "code ac_*** of sk_***"
    assert len(scrub("x" * 10_000)) == 500
