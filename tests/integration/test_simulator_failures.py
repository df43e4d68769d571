"""Failures, limits and idempotency of the simulated Stripe, over real connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import requests

from airflow_provider_stripe_app.testing import SimulatedStripe


class Client:
    """A plain HTTP client with one connection."""

    def __init__(self, sim: SimulatedStripe) -> None:
        self.sim = sim
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {sim.secret_key()}"

    def get(self, path: str, **params: object) -> requests.Response:
        return self.session.get(f"{self.sim.url}{path}", params=params, timeout=5)  # type: ignore[arg-type]

    def post(self, path: str, data: dict[str, str], key: str | None = None) -> requests.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.session.post(f"{self.sim.url}{path}", data=data, headers=headers, timeout=5)


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatedStripe]:
    with SimulatedStripe(seed=3) as running:
        yield running


@pytest.fixture
def sim(server: SimulatedStripe) -> SimulatedStripe:
    server.reset()
    server.switches.set(rate_limits=False)
    server.populate(customers=120)
    return server


@pytest.fixture
def client(sim: SimulatedStripe) -> Client:
    return Client(sim)


def until_in_flight(sim: SimulatedStripe, number: int = 1) -> None:
    """Wait until that many requests have arrived and are not answered yet."""
    give_up = time.monotonic() + 10
    while sum(sim.service.api.in_flight.values()) < number:
        assert time.monotonic() < give_up
        time.sleep(0.005)


def count(sim: SimulatedStripe) -> int:
    return len(sim.objects(None, "customer"))


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize("body", ["json", "html", "none"])
def test_a_5xx_before_the_effect_has_none(
    sim: SimulatedStripe, client: Client, status: int, body: str
) -> None:
    sim.fail("status", "/v1/customers", status=status, body=body, count=1, should_retry=True)
    before = count(sim)
    answer = client.post("/v1/customers", {"name": "x"})
    assert answer.status_code == status
    assert answer.headers["Stripe-Should-Retry"] == "true"
    assert answer.headers["Request-Id"].startswith("req_")
    assert count(sim) == before
    assert client.post("/v1/customers", {"name": "x"}).status_code == 200


def test_a_5xx_after_the_effect_is_replayed_under_its_key(
    sim: SimulatedStripe, client: Client
) -> None:
    sim.fail("status", "/v1/customers", status=500, when="after", count=1)
    before = count(sim)
    assert client.post("/v1/customers", {"name": "x"}, "key-1").status_code == 500
    assert count(sim) == before + 1
    again = client.post("/v1/customers", {"name": "x"}, "key-1")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (500, "true")
    assert count(sim) == before + 1


@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
def test_a_reset_breaks_the_connection_before_or_after_the_effect(
    sim: SimulatedStripe, client: Client, when: str, made: int
) -> None:
    rule = sim.fail("reset", "/v1/customers", method="POST", when=when, count=1)
    before = count(sim)
    with pytest.raises(requests.ConnectionError) as caught:
        client.post("/v1/customers", {"name": "x"}, "key-2")
    assert "reset by peer" in str(caught.value)
    assert count(sim) == before + made
    assert rule.fired == 1
    again = client.post("/v1/customers", {"name": "x"}, "key-2")
    assert again.status_code == 200
    assert again.headers.get("Idempotent-Replayed") == ("true" if made else None)
    assert count(sim) == before + 1


def test_a_truncated_answer_promises_more_than_it_sends(
    sim: SimulatedStripe, client: Client
) -> None:
    sim.fail("truncate", "/v1/customers", count=1)
    answer = client.session.get(f"{sim.url}/v1/customers?limit=100", stream=True, timeout=5)
    promised = int(answer.headers["Content-Length"])
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        assert answer.content is None
    assert promised > 50_000
    assert len(client.get("/v1/customers", limit=100).content) == promised


def test_a_stall_delays_one_request_and_no_other(sim: SimulatedStripe, client: Client) -> None:
    sim.fail("stall", "starting_after=", seconds=1.0, count=1)
    newest = sim.objects(None, "customer")[-1]["id"]
    took: list[float] = []

    def slow() -> None:
        begin = time.perf_counter()
        Client(sim).get("/v1/customers", starting_after=newest)
        took.append(time.perf_counter() - begin)

    thread = threading.Thread(target=slow)
    thread.start()
    until_in_flight(sim)
    client.get("/v1/customers")
    assert not took
    thread.join()
    assert took[0] >= 1.0


def test_a_stall_can_hold_back_the_answer_of_what_was_done(
    sim: SimulatedStripe, client: Client
) -> None:
    before = count(sim)
    sim.fail("stall", "/v1/customers", method="POST", when="after", seconds=0.6, count=1)
    with pytest.raises(requests.ReadTimeout):
        client.session.post(f"{sim.url}/v1/customers", timeout=0.2)
    assert count(sim) == before + 1


def test_stopping_does_not_wait_for_what_stalls() -> None:
    with SimulatedStripe() as sim:
        sim.fail("stall", "/v1/customers", seconds=60)
        client = Client(sim)
        asking = threading.Thread(target=lambda: client.get("/v1/customers"), daemon=True)
        asking.start()
        until_in_flight(sim)
        begin = time.perf_counter()
    assert time.perf_counter() - begin < 10  # not the 60 of the stall


def test_rules_count_and_choose_their_requests(sim: SimulatedStripe, client: Client) -> None:
    sim.fail("status", "/v1/customers", nth=2)
    sim.fail("status", "/v1/invoices", every=3, status=503)
    customers = [client.get("/v1/customers").status_code for _ in range(3)]
    invoices = [client.get("/v1/invoices").status_code for _ in range(6)]
    assert customers == [200, 500, 200]
    assert invoices == [200, 200, 503, 200, 200, 503]
    sim.faults.remove()
    sim.fail("lock_timeout", "/v1/customers", probability=0.5)
    drawn = [client.get("/v1/customers").status_code for _ in range(40)]
    assert 8 < drawn.count(429) < 32


def test_injected_429s_carry_the_header_that_tells_them_apart(
    sim: SimulatedStripe, client: Client
) -> None:
    sim.fail("rate_limit", "/v1/customers", reason="global-concurrency", count=1)
    limited = client.get("/v1/customers")
    assert limited.headers["Stripe-Rate-Limited-Reason"] == "global-concurrency"
    assert limited.json()["error"]["code"] == "rate_limit"
    sim.fail("lock_timeout", "/v1/customers", count=1)
    locked = client.get("/v1/customers")
    assert locked.status_code == 429
    assert "Stripe-Rate-Limited-Reason" not in locked.headers
    assert locked.json()["error"]["code"] == "lock_timeout"


def test_the_buckets_answer_429_with_their_reason(sim: SimulatedStripe, client: Client) -> None:
    sim.switches.set(rate_limits=True, endpoint_rate=5, account_rate_test=8)
    lists = [client.get("/v1/customers") for _ in range(6)]
    assert [answer.status_code for answer in lists] == [200] * 5 + [429]
    assert lists[-1].headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    newest = sim.objects(None, "customer")[-1]["id"]
    ones = [client.get(f"/v1/customers/{newest}") for _ in range(5)]
    assert ones[0].status_code == 200
    assert ones[-1].headers["Stripe-Rate-Limited-Reason"] == "global-rate"
    assert sim.service.api.counts["429:global-rate"] >= 1
    time.sleep(0.3)
    assert client.get("/v1/customers").status_code == 200


def test_too_many_at_once_are_shed(sim: SimulatedStripe) -> None:
    sim.switches.set(concurrency_limit=2, latency=1.0)
    answers: list[requests.Response] = []

    def ask() -> None:
        answers.append(Client(sim).get("/v1/customers"))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shed = [a for a in answers if a.status_code == 429]
    assert len(shed) == 3
    assert {a.headers["Stripe-Rate-Limited-Reason"] for a in shed} == {"global-concurrency"}


def test_an_idempotency_key_makes_one_object(sim: SimulatedStripe, client: Client) -> None:
    first = client.post("/v1/customers", {"name": "x"}, "k")
    again = client.post("/v1/customers", {"name": "x"}, "k")
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert again.headers["Request-Id"] != first.headers["Request-Id"]
    other = client.post("/v1/customers", {"name": "y"}, "k")
    assert (other.status_code, other.json()["error"]["type"]) == (400, "idempotency_error")
    bad = client.post("/v1/customers", {"balance": "x"}, "bad")
    assert bad.status_code == 400
    assert client.post("/v1/customers", {"balance": "1"}, "bad").status_code == 200
    sim.clock.advance(86_401)
    assert client.post("/v1/customers", {"name": "x"}, "k").json() != first.json()


def test_a_key_in_use_answers_409(sim: SimulatedStripe, client: Client) -> None:
    sim.fail("stall", "/v1/customers", seconds=0.8, nth=1)
    answers: list[int] = []
    slow = threading.Thread(
        target=lambda: answers.append(Client(sim).post("/v1/customers", {}, "k").status_code)
    )
    slow.start()
    until_in_flight(sim)
    busy = client.post("/v1/customers", {}, "k")
    slow.join()
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    assert answers == [200]


def test_a_hook_changes_objects_in_the_middle_of_a_listing(
    sim: SimulatedStripe, client: Client
) -> None:
    first = client.get("/v1/customers", limit=50).json()["data"]
    sim.before("starting_after=", lambda _: sim.delete(None, first[-1]["id"]))
    answer = client.get("/v1/customers", limit=50, starting_after=first[-1]["id"])
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "starting_after"
    assert len(client.get("/v1/customers", limit=100).json()["data"]) == 100


def test_a_hook_after_the_effect_comes_before_the_answer(
    sim: SimulatedStripe, client: Client
) -> None:
    sim.after("/v1/customers", lambda _: sim.update(None, newest, {"name": "later"}))
    newest = sim.objects(None, "customer")[-1]["id"]
    shown = client.get("/v1/customers", limit=1).json()["data"][0]
    assert shown["id"] == newest
    assert shown["name"] != "later"
    assert sim.get(None, newest)["name"] == "later"


def test_the_log_tells_who_asked_what_and_keeps_no_secret(
    sim: SimulatedStripe, client: Client
) -> None:
    sim.fail("status", "/v1/invoices", count=1)
    client.get("/v1/customers", limit=3)
    client.get("/v1/invoices")
    requests.get(f"{sim.url}/v1/customers", headers={"Authorization": "Bearer sk_no"}, timeout=5)
    requests.get(f"{sim.url}/oauth/v2/authorize?client_id=ca_1&state=secret-state", timeout=5)
    log = [(line.method, line.target, line.status, line.fault) for line in sim.requests()]
    assert log == [
        ("GET", "/v1/customers?limit=3", 200, None),
        ("GET", "/v1/invoices", 500, "status"),
        ("GET", "/v1/customers", 401, None),
        ("GET", "/oauth/v2/authorize?client_id=ca_1&state=***", 400, None),
    ]
    assert len(sim.requests(r"GET /v1/customers\?")) == 1
    assert sim.requests()[0].account == sim.account().id
    key = client.session.headers["Authorization"]
    assert str(key).removeprefix("Bearer ") not in repr(sim.requests())
