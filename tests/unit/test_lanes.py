"""A lane has as many calls under way as its rate and latency take, and no lane stops another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_stripe_app.api.pulse import Pulse, in_flight
from airflow_provider_stripe_app.api.rate_limit import RateLimiter
from airflow_provider_stripe_app.sync.lanes import RATES_EVERY, UNPACED, Call, Lanes

LIST, LINES = "GET /v1/invoices", "GET /v1/invoices/{id}/lines"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as threads:
        yield threads


def client(*used: str, account: float = 100.0, seconds: float | None = None) -> Any:
    """Return what lanes ask of a client: a pacer that knows some operations, and answer times."""
    limiter = RateLimiter(account, 25.0, headroom=1, sleep=lambda _: None)
    pulse = Pulse()
    for name in used:
        limiter.acquire(name)
        if seconds is not None:
            for _ in range(50):
                pulse.note(name, seconds)
    return SimpleNamespace(limiter=limiter, pulse=pulse)


class Gate:
    """Calls that are under way until they are let go."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.landed: list[str] = []

    def call(self, owner: str = "x") -> Call:
        def done(future: Any) -> None:
            future.result()
            self.landed.append(owner)

        return Call(owner, lambda: self.event.wait(10), done)


def flying(lanes: Lanes, operation: str) -> int:
    return lanes._lanes[operation].flying


def land(lanes: Lanes, gate: Gate, number: int) -> None:
    gate.event.set()
    until = time.monotonic() + 10
    while len(gate.landed) < number and time.monotonic() < until:
        for done, future in lanes.finished(1):
            done(future)
        lanes.fill()
    assert len(gate.landed) == number


@pytest.mark.parametrize(
    ("rate", "seconds", "needed"), [(25, 0.0, 2), (25, 0.004, 2), (25, 0.4, 11), (6.25, 0.4, 4)]
)
def test_in_flight_is_rate_times_latency_and_one_in_reserve(rate, seconds, needed):
    assert in_flight(rate, seconds) == needed


def test_answer_times_allow_for_how_much_they_differ():
    steady, changing = Pulse(), Pulse()
    for n in range(100):
        steady.note(LIST, 0.3)
        changing.note(LIST, 0.1 if n % 2 else 0.5)
    assert steady.seconds(LIST) == pytest.approx(0.3, rel=0.02)
    assert 0.5 < changing.seconds(LIST) < 0.8
    assert steady.seconds("GET /v1/other") == 0.0


def test_a_lane_is_as_wide_as_its_latency_takes(pool):
    assert Lanes(pool, client(LIST, seconds=0.39), 40).width(LIST) == 11
    assert Lanes(pool, client(LIST, seconds=0.01), 40).width(LIST) == 2
    assert Lanes(pool, client(LIST, seconds=0.4), 3).width(LIST) == 3, "workers are the most"


def test_a_sandbox_is_shared_by_the_lanes_that_are_under_way(pool):
    lanes = Lanes(pool, client(LIST, LINES, account=25.0, seconds=0.4), 40)
    alone = lanes.width(LIST)
    gate = Gate()
    for _ in range(20):
        lanes.put(LINES, gate.call())
    lanes.fill()
    assert lanes.width(LIST) < alone
    land(lanes, gate, 20)
    assert lanes.width(LIST) >= alone - 1


def test_a_429_narrows_a_lane(pool):
    slowed = client(LIST, seconds=0.4)
    lanes = Lanes(pool, slowed, 40)
    before = lanes.width(LIST)
    slowed.limiter.throttled(LIST, "endpoint-concurrency")
    assert lanes.width(LIST) == before, "rates may have to be asked for elsewhere"
    time.sleep(RATES_EVERY + 0.01)
    assert lanes.width(LIST) < before


def test_without_a_limit_the_processor_is(pool):
    unpaced = SimpleNamespace(limiter=None, pulse=Pulse())
    assert Lanes(pool, unpaced, 40).width(LIST) == UNPACED


def test_a_hundred_children_do_not_stop_the_list(pool):
    lanes, gate = Lanes(pool, client(LIST, LINES, seconds=0.1), 40), Gate()
    for _ in range(100):
        lanes.put(LINES, gate.call())
    lanes.fill()
    assert flying(lanes, LINES) == lanes.width(LINES) < 10
    assert lanes.room(LIST)
    assert not lanes.room(LINES)
    land(lanes, gate, 100)
    assert lanes.room(LINES)


def test_calls_of_a_failed_owner_that_have_not_gone_are_forgotten(pool):
    lanes, gate = Lanes(pool, client(LINES, seconds=0.1), 40), Gate()
    for n in range(20):
        lanes.put(LINES, gate.call("bad" if n % 2 else "good"))
    lanes.fill()
    gone = flying(lanes, LINES)
    dropped = lanes.drop("bad")
    assert 0 < dropped < 10
    land(lanes, gate, 20 - dropped)
    assert gate.landed.count("good") == 10
    assert gate.landed.count("bad") <= gone


def test_waiting_for_answers_can_be_ended(pool):
    lanes = Lanes(pool, client(), 4)
    threading.Timer(0.05, lanes.wake).start()
    began = time.monotonic()
    assert lanes.finished(30) == []
    assert time.monotonic() - began < 10


def test_in_a_crowd_the_lane_with_least_under_way_goes_first(pool):
    lanes, first, gate = Lanes(pool, client(LIST, LINES, seconds=1.0), 10), Gate(), Gate()
    lanes.put(LIST, first.call())
    for n in range(29):
        lanes.put(LIST if n < 25 else LINES, gate.call())
        lanes.fill()
    assert flying(lanes, LIST) == 10, "they came first"
    land(lanes, first, 1)
    assert flying(lanes, LINES) == 1
    land(lanes, gate, 29)
