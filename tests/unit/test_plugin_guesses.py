"""Wrong broker tokens are counted; right ones are never held up; memory stays bounded."""

from __future__ import annotations

import threading

import pytest

from airflow_provider_stripe_app.plugin.guesses import WINDOW, FailureLimit, Mender, network_of


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def limit(**options):
    clock = Clock()
    return FailureLimit(allowed=3, clock=clock, **options), clock


def test_one_address_may_be_wrong_a_few_times_a_minute():
    counted, clock = limit()
    said = [counted.too_many("10.0.0.1", f"conn_{number}") for number in range(5)]
    assert said == [False, False, False, True, True]
    assert not counted.too_many("10.0.0.2", "another")
    clock.now += WINDOW
    assert not counted.too_many("10.0.0.1", "later")


def test_one_connection_is_counted_over_all_addresses():
    counted, _ = limit()
    said = [counted.too_many(f"10.0.0.{number}", "shop") for number in range(5)]
    assert said == [False, False, False, True, True]


def test_addresses_of_one_ipv6_network_count_together():
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("not an address") == network_of("") == "unknown"


def test_memory_is_bounded_whatever_is_asked_for():
    counted, _ = limit(keys=10)
    for number in range(1000):
        counted.too_many(f"10.0.{number // 250}.{number % 250}", f"conn_{number}")
    assert len(counted._addresses) == len(counted._connections) == 10


def test_a_spray_of_names_does_not_make_an_address_forgotten():
    counted, _ = limit(keys=10)
    said = [counted.too_many("10.0.0.1", f"conn_{number}") for number in range(100)]
    assert said == [False] * 3 + [True] * 97


def test_flood_is_told_once_a_minute_and_the_name_cannot_forge_lines(caplog):
    counted, clock = limit()
    for _ in range(50):
        counted.too_many("10.0.0.1", "shop\nINFO all is well")
    assert len(caplog.messages) == 1
    assert "\n" not in caplog.messages[0]
    assert "10.0.0.1" in caplog.messages[0]
    clock.now += WINDOW
    for _ in range(50):
        counted.too_many("10.0.0.1", "shop")
    assert len(caplog.messages) == 2


def test_connections_are_mended_apart_each_once_and_not_without_end():
    begun, gate, mended = threading.Event(), threading.Event(), []

    def mend(conn_id):
        begun.set()
        gate.wait(10)
        mended.append((conn_id, threading.current_thread().name))

    mender = Mender(mend, most=3)
    mender.later("first")
    assert begun.wait(10)
    for conn_id in ("a", "a", "b", "c", "too many", "a"):
        mender.later(conn_id)
    gate.set()
    wait_until(lambda: len(mended) == 4 and not mender._running)
    assert [conn_id for conn_id, _ in mended] == ["first", "a", "b", "c"]
    assert {name for _, name in mended} == {"stripe-app-mender"}
    mender.later("again")
    wait_until(lambda: len(mended) == 5)


def wait_until(true):
    for _ in range(1000):
        if true():
            return
        threading.Event().wait(0.01)
    pytest.fail("it did not come about")
