from __future__ import annotations

import dataclasses
import re
import time

import pytest

from airflow_provider_stripe_app.testing import SimClock, Switches
from airflow_provider_stripe_app.testing.idempotency import IdempotencyKeys
from airflow_provider_stripe_app.testing.oauth import OAuthSwitches
from airflow_provider_stripe_app.testing.rates import RateLimits
from airflow_provider_stripe_app.testing.switches import parse_switch


def test_every_switch_is_documented() -> None:
    text = f"{Switches.__doc__}{OAuthSwitches.__doc__}"
    documented = set(re.findall(r":param (\w+):", text))
    assert {field.name for field in dataclasses.fields(Switches)} == documented


def test_switches_are_set_all_or_none() -> None:
    switches = Switches()
    with pytest.raises(ValueError, match="did you mean event_delay"):
        switches.set(rate_limits=False, event_dely=3)
    assert switches.rate_limits is True
    switches.set(event_delay=3, stale_lists=[1, 2], revoke_after_refresh=None, rate_limits=False)
    assert switches.event_delay == (3.0, 3.0)
    assert switches.stale_lists == (1.0, 2.0)
    assert switches.revoke_after_refresh is None
    assert switches.as_dict()["rate_limits"] is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate_limits", "yes"),
        ("rate_limits", 1),
        ("event_delay", [3, 1]),
        ("event_delay", "soon"),
        ("concurrency_limit", 1.5),
        ("endpoint_rate", True),
        ("revoked_answer", "maybe"),
        ("default_api_version", None),
    ],
)
def test_a_switch_of_the_wrong_type_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        Switches().set(**{name: value})


def test_switches_can_be_written_on_a_command_line() -> None:
    assert parse_switch("event_delay=[1, 2]") == ("event_delay", [1, 2])
    assert parse_switch("event_api_version=2024-06-20") == ("event_api_version", "2024-06-20")
    with pytest.raises(ValueError, match="name=value"):
        parse_switch("rate_limits")


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_endpoint_has_its_rate_and_the_account_has_its_own() -> None:
    seconds = Seconds()
    rates = RateLimits(Switches(), seconds)
    live = [rates.refuse("acct_1", True, "GET /v1/invoices") for _ in range(26)]
    assert live == [None] * 25 + ["endpoint-rate"]
    assert rates.refuse("acct_1", True, "GET /v1/invoices/{id}") is None
    test = [rates.refuse("acct_1", False, f"op {n}") for n in range(26)]
    assert test == [None] * 25 + ["global-rate"]
    assert rates.refuse("acct_2", False, "op 1") is None


def test_a_client_at_the_limit_gets_the_whole_rate() -> None:
    seconds = Seconds()
    rates = RateLimits(Switches(), seconds)
    allowed = 0
    while seconds.now < 10:
        allowed += rates.refuse("acct_1", True, "GET /v1/invoices") is None
        seconds.now += 0.01
    assert 270 <= allowed <= 276  # a full bucket of 25, then 25 a second


def test_how_much_may_come_at_once_can_be_changed() -> None:
    rates = RateLimits(Switches(rate_burst_seconds=0.2), Seconds())
    burst = [rates.refuse("acct_1", True, "GET /v1/invoices") for _ in range(6)]
    assert burst == [None] * 5 + ["endpoint-rate"]


def test_rate_limits_can_be_switched_off() -> None:
    rates = RateLimits(Switches(rate_limits=False))
    assert {rates.refuse("acct_1", False, "op") for _ in range(500)} == {None}


def test_an_idempotency_key_is_kept_for_a_day() -> None:
    keys, key = IdempotencyKeys(), ("acct_1", False, "k")
    assert keys.begin(key, "a", 0.0) is None
    keys.finish(key, 200, (), b"{}")
    assert keys.begin(key, "a", 86399.0) == (200, (), b"{}")
    assert keys.begin(key, "a", 86400.0) is None


def test_the_clock_moves_stands_and_goes_on() -> None:
    clock = SimClock(1_000_000.0)
    assert 1_000_000 <= clock.now() < 1_000_010
    clock.advance(3600)
    assert clock.now() >= 1_003_600
    clock.freeze(5.5)
    assert clock.http_date() == b"Thu, 01 Jan 1970 00:00:05 GMT"
    time.sleep(0.002)
    assert clock.now() == 5.5
    assert clock.advance(-1) == 4.5
    clock.unfreeze()
    assert 4.5 <= clock.now() < 14.5


@pytest.mark.parametrize(
    ("operation", "allowed"),
    [
        ("GET /v1/files", 20),
        ("GET /v1/files/{id}", 20),
        ("GET /v1/file_links", 25),
        ("GET /v1/charges", 25),
    ],
)
def test_files_have_a_limit_of_their_own(operation: str, allowed: int) -> None:
    rates = RateLimits(Switches(), Seconds())
    answers = [rates.refuse("acct_1", True, operation) for _ in range(26)]
    assert answers.count(None) == allowed
    assert answers[-1] == "endpoint-rate"
