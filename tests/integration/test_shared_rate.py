"""One rate budget for many processes, with real Redis servers."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_stripe_app.api.rate_limit import BURST_SECONDS, DECREASE, HEADROOM
from airflow_provider_stripe_app.api.shared_rate import (
    KEEP_SECONDS,
    PREFIX,
    RETRY_SECONDS,
    SharedRateLimiter,
    connect,
)
from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.hooks.stripe_app import StripeAppHook
from airflow_provider_stripe_app.oauth import config
from airflow_provider_stripe_app.testing import SimulatedStripe
from demo.embedded_redis import EmbeddedRedis, redis_servers
from demo.processes import inherited_environment

CUSTOMERS = "GET /v1/customers"
INVOICES = "GET /v1/invoices"
CHILD = """
import sys
from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.shared_rate import SharedRateLimiter, connect
from airflow_provider_stripe_app.api.tokens import StaticToken

url, stripe, key, count = sys.argv[1:]
client = StripeClient(
    StaticToken(key), api_base=stripe, limiter=SharedRateLimiter(connect(url), "acct_1:test", 25)
)
for _ in range(int(count)):
    client.list_page("/v1/customers", {"limit": 1})
print(sum(client.throttled.values()))
"""


@pytest.fixture(scope="module", params=redis_servers().values(), ids=redis_servers())
def redis(request: pytest.FixtureRequest) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(request.param) as server:
        yield server


@pytest.fixture
def limiter(redis: EmbeddedRedis) -> Callable[..., SharedRateLimiter]:
    connect(redis.url()).flushall()

    def make(account: str = "acct_1:live", *rates: float, **more: object) -> SharedRateLimiter:
        more = {"sleep": lambda _: None, **more}
        return SharedRateLimiter(connect(redis.url()), account, *rates, **more)  # type: ignore[arg-type]

    return make


def test_many_processes_get_the_places_of_one_schedule(limiter):
    """The n-th request waits until the rate allows n, whoever sends it."""
    began = time.monotonic()
    waits: list[float] = []

    def worker() -> None:
        mine = limiter("acct_1:live", 1e9, 25)
        waits.extend(mine.acquire(CUSTOMERS) for _ in range(25))

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    last = 99 / (25 * HEADROOM) - BURST_SECONDS
    assert len(waits) == 100
    assert last - took <= max(waits) <= last + 0.001


def test_all_endpoints_together_keep_the_accounts_rate(limiter):
    began = time.monotonic()
    makers = [limiter("acct_1:live", 100, 1e9) for _ in range(2)]
    waits = [makers[n % 2].acquire(f"GET /v1/kind_{n % 10}") for n in range(200)]
    took = time.monotonic() - began
    last = 199 / (100 * HEADROOM) - BURST_SECONDS
    assert last - took <= max(waits) <= last + 0.001


def test_accounts_do_not_wait_for_each_other(limiter):
    one, other = limiter("acct_1:live"), limiter("acct_2:live")
    assert [one.acquire(CUSTOMERS) for _ in range(50)][-1] > 0
    assert other.acquire(CUSTOMERS) == 0


def test_a_429_lowers_the_rate_of_everybody_and_only_what_its_reason_names(limiter):
    one, other = limiter(), limiter()
    one.acquire(CUSTOMERS)
    other.acquire(CUSTOMERS)
    other.acquire(INVOICES)
    one.throttled(CUSTOMERS, "endpoint-rate")
    lowered = other.rates()
    assert lowered[CUSTOMERS] == pytest.approx(25 * HEADROOM * DECREASE, rel=0.02)
    assert lowered[INVOICES] == pytest.approx(25 * HEADROOM)
    assert lowered["account"] == pytest.approx(100 * HEADROOM)
    other.throttled(INVOICES, "global-rate")
    # What the endpoints in use, of all processes, can make together is what was too much.
    together = 25 * HEADROOM * (1 + DECREASE)
    assert one.rates()["account"] == pytest.approx(together * DECREASE, rel=0.02)


def test_a_wave_of_429s_is_one_decrease(limiter):
    makers = [limiter() for _ in range(5)]
    for maker in makers:
        maker.throttled(CUSTOMERS, "global-rate")
    assert makers[0].rates()["account"] == pytest.approx(100 * HEADROOM * DECREASE, rel=0.02)


def test_an_objects_lock_is_nobodys_rate(limiter):
    one = limiter()
    one.throttled(CUSTOMERS, None)
    assert one.rates()["account"] == pytest.approx(100 * HEADROOM)


def test_a_lowered_rate_recovers(limiter, redis):
    one = limiter()
    one.throttled(CUSTOMERS, "global-rate")
    key, field = f"{PREFIX}:acct_1:live", "account|changed"
    store = connect(redis.url())
    store.hset(key, field, str(float(store.hget(key, field)) - 10))
    assert one.rates()["account"] == pytest.approx(100 * HEADROOM * (DECREASE + 0.1), rel=0.02)
    store.hset(key, field, str(float(store.hget(key, field)) - 100))
    assert one.rates()["account"] == pytest.approx(100 * HEADROOM)


def test_what_nobody_uses_is_forgotten(limiter, redis):
    limiter().acquire(CUSTOMERS)
    store = connect(redis.url())
    keys = list(store.scan_iter(f"{PREFIX}:*"))
    assert len(keys) == 1
    assert 0 < store.ttl(keys[0]) <= KEEP_SECONDS + 1


def test_without_redis_a_task_paces_itself_warns_once_and_comes_back(caplog):
    now = [1000.0]
    slept: list[float] = []
    with EmbeddedRedis() as server:
        one = SharedRateLimiter(
            connect(server.url()), "acct_1", clock=lambda: now[0], sleep=slept.append
        )
        one.acquire(CUSTOMERS)
        server.crash()
        with caplog.at_level(logging.WARNING):
            waits = [one.acquire(CUSTOMERS) for _ in range(10)]
            one.throttled(CUSTOMERS, "global-rate")
            assert one.rates()["account"] == pytest.approx(25 * HEADROOM * DECREASE)
            now[0] += RETRY_SECONDS + 1
            one.rates()  # tried again, in vain
        assert waits[-1] == pytest.approx(9 / (25 * HEADROOM) - BURST_SECONDS)
        [said] = [r.getMessage() for r in caplog.records if "rate_limit_url" in r.getMessage()]
        assert "does not answer" in said
        server.start()
        one.acquire(CUSTOMERS)
        assert not connect(server.url()).keys("*")  # left alone for a while
        now[0] += RETRY_SECONDS + 1
        one.acquire(CUSTOMERS)
        assert connect(server.url()).keys("*")


def test_processes_at_the_limit_get_no_429():
    """Three processes send what Stripe allows one account, and Stripe refuses none of it."""
    with EmbeddedRedis() as redis, SimulatedStripe(seed=1) as sim:
        sim.switches.set(rate_limits=True, rate_burst_seconds=0.5)
        sim.populate(customers=3)
        command = [sys.executable, "-c", CHILD, redis.url(), sim.url, sim.secret_key(), "14"]
        children = [
            subprocess.Popen(
                command, env=inherited_environment(), stdout=subprocess.PIPE, text=True
            )
            for _ in range(3)
        ]
        counts = [int(child.communicate(timeout=60)[0]) for child in children]
        assert [child.returncode for child in children] == [0, 0, 0]
        assert counts == [0, 0, 0]
        assert len(sim.requests("GET /v1/customers")) == 42


@pytest.mark.parametrize("url", ["localhost:6379", "http://h:1", "redis://:pass/word@host:6379"])
def test_an_address_that_is_none_is_named_without_its_password(url):
    with pytest.raises(ConfigurationError, match="rate_limit_url is not an address") as caught:
        connect(url)
    assert "pass" not in str(caught.value).replace("password", "")
    assert caught.value.__suppress_context__


def test_the_hook_shares_an_accounts_budget_where_the_option_is_set(redis, monkeypatch):
    with SimulatedStripe() as sim:
        monkeypatch.setenv("AIRFLOW__STRIPE_APP__API_BASE", sim.url)
        monkeypatch.setenv("AIRFLOW__STRIPE_APP__RATE_LIMIT_URL", redis.url())
        connect(redis.url()).flushall()
        for name in ("A", "B"):
            monkeypatch.setenv(
                f"AIRFLOW_CONN_{name}",
                f'{{"conn_type": "stripe_app", "password": "{sim.restricted_key()}", '
                f'"extra": {{"account": "{sim.account().id}"}}}}',
            )
        a, b = StripeAppHook("a"), StripeAppHook("b", rate_share=0.5)
        a.request("GET", "/v1/customers")
        a.get_conn().limiter.throttled(CUSTOMERS, "global-rate")
        b.request("GET", "/v1/customers")
        shared = b.get_conn().limiter.rates()["account"]
        assert shared == pytest.approx(25 * HEADROOM * DECREASE, rel=0.05)


def test_without_the_option_a_share_of_the_accounts_rate_is_used(monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_A", '{"conn_type": "stripe_app", "password": "rk_test_0123456789abcdef"}'
    )
    limiter = StripeAppHook("a", rate_share=0.2).get_conn().limiter
    assert limiter.rates()["account"] == pytest.approx(5 * HEADROOM)
    with pytest.raises(ConfigurationError, match="rate_share"):
        StripeAppHook("a", rate_share=0).get_conn()


def test_the_address_may_come_from_a_command_as_other_secrets(monkeypatch):
    monkeypatch.setenv("AIRFLOW__STRIPE_APP__RATE_LIMIT_URL_CMD", "echo redis://secret/1")
    assert config.rate_limit_url() == "redis://secret/1"
