"""When a stored token is used, renewed, waited for or given up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth.config import TokenPolicy
from airflow_provider_stripe_app.oauth.refresh_rules import (
    LOST,
    Decision,
    TokenState,
    decide,
    idempotency_key,
    is_lost,
)

NOW = 10_000.0
POLICY = TokenPolicy()
FRESH = TokenState("active", "stored", expires_at=NOW + 3000, refreshed_at=NOW - 600)
DYING = replace(FRESH, expires_at=NOW + 100)
DEAD = replace(FRESH, expires_at=NOW - 1)


def decision(state, refused=None, **more):
    return decide(state, refused=refused, now=NOW, policy=POLICY, **more)


def test_fresh_token_is_used_and_so_it_is_after_an_older_one_was_refused():
    assert decision(FRESH) is Decision.USE
    assert decision(FRESH, "older") is Decision.USE


def test_only_the_refused_or_nearly_expired_token_is_renewed():
    assert decision(FRESH, "stored") is Decision.RENEW
    assert decision(DYING) is Decision.RENEW
    assert decision(DEAD, "older") is Decision.RENEW
    assert decision(FRESH, min_remaining=3600) is Decision.RENEW


def test_while_somebody_renews_the_others_wait_and_a_dead_holder_stops_nobody():
    assert decision(replace(DEAD, lease_until=NOW + 1)) is Decision.WAIT
    assert decision(replace(DEAD, lease_until=NOW - 1)) is Decision.RENEW


def test_wave_of_false_refusals_does_not_roll_one_token_after_another():
    young = replace(FRESH, refreshed_at=NOW - POLICY.min_token_age + 1)
    assert decision(young, "stored") is Decision.WAIT
    many = replace(FRESH, recent_refusals=POLICY.max_refreshes_per_hour)
    assert decision(many, "stored") is Decision.CAPPED
    assert decision(replace(many, expires_at=NOW)) is Decision.RENEW, "expiry is never capped"


def test_refusal_with_an_unfinished_attempt_waits_for_it():
    state = replace(DEAD, refused_at=NOW - POLICY.lost_after + 1)
    assert decision(state) is Decision.WAIT
    assert decision(replace(state, refused_at=NOW - POLICY.lost_after)) is Decision.RENEW


def test_while_stripe_is_in_trouble_a_living_token_is_used_to_its_end():
    assert decision(replace(DYING, retry_at=NOW + 1)) is Decision.USE
    assert decision(replace(DYING, retry_at=NOW + 1), "stored") is Decision.WAIT
    assert decision(replace(DEAD, retry_at=NOW + 1)) is Decision.WAIT


def test_lost_grant_is_tried_only_when_a_person_asks():
    lost = replace(FRESH, status=LOST)
    assert decision(lost) is Decision.LOST
    assert decision(lost, min_remaining=float("inf"), even_lost=True) is Decision.RENEW


def test_key_is_stable_until_an_answer_and_does_not_tell_the_token():
    assert idempotency_key("rt_1", 0) == idempotency_key("rt_1", 0)
    assert (
        len({idempotency_key("rt_1", 0), idempotency_key("rt_1", 1), idempotency_key("rt_2", 0)})
        == 3
    )
    assert "rt_1" not in idempotency_key("rt_1", 0)


def test_invalid_grant_is_final_only_without_another_attempt_or_the_second_time():
    assert is_lost(someone_unfinished=False, refused_at=None)
    assert not is_lost(someone_unfinished=True, refused_at=None)
    assert is_lost(someone_unfinished=True, refused_at=1.0)


def test_lease_must_outlive_the_slowest_answer():
    with pytest.raises(ConfigurationError, match="lease_seconds"):
        TokenPolicy(token_timeout=31, lease_seconds=60)
