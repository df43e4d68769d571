"""The client and the simulated Stripe understand each other, in trouble too."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.errors import CursorDeleted, NotStripe, PermissionMissing
from airflow_provider_stripe_app.api.ranges import Range, after_page, query, without_cursor
from airflow_provider_stripe_app.api.rate_limit import RateLimiter
from airflow_provider_stripe_app.api.retry import RetryPolicy
from airflow_provider_stripe_app.api.split import split_object
from airflow_provider_stripe_app.api.tokens import StaticToken
from airflow_provider_stripe_app.testing import SimulatedStripe, Switches
from airflow_provider_stripe_app.testing.oauth import AppRecord

QUICK = RetryPolicy(base=0.02, cap=0.1)


@pytest.fixture
def sim() -> Iterator[SimulatedStripe]:
    with SimulatedStripe(seed=3, switches=Switches(rate_limits=False)) as sim:
        yield sim


@pytest.fixture
def client(sim: SimulatedStripe) -> StripeClient:
    return StripeClient(StaticToken(sim.secret_key()), api_base=sim.url, retry=QUICK)


class Installed:
    """An installation whose tokens are renewed at Stripe, as the store does it."""

    def __init__(self, sim: SimulatedStripe, app: AppRecord) -> None:
        code = parse_qs(urlsplit(sim.install(app.client_id)).query)["code"][0]
        self._sim, self._app, self._lock = sim, app, threading.Lock()
        self._tokens = self._ask(grant_type="authorization_code", code=code)

    def _ask(self, **form: str) -> dict[str, object]:
        status, _, body = self._sim.oauth.token(self._app.secret_key, form, {})
        assert status == 200, body
        return body

    def get(self) -> str:
        return str(self._tokens["access_token"])

    def replace(self, refused: str) -> str:
        with self._lock:
            if self.get() == refused:
                token = str(self._tokens["refresh_token"])
                self._tokens = self._ask(grant_type="refresh_token", refresh_token=token)
            return self.get()


def test_twenty_threads_with_an_expired_token_go_on_after_one_refresh(sim):
    sim.populate(customers=5)
    app = sim.register_app(redirect_uris=["https://a.example/"], permissions=["customer_read"])
    tokens = Installed(sim, app)
    sim.oauth.expire_access_tokens(sim.account().id)
    client = StripeClient(tokens, api_base=sim.url, retry=QUICK)
    found: list[int] = []

    def work() -> None:
        found.append(len(client.list_page("/v1/customers").items))

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [5] * 20
    assert sim.oauth.counts["refresh"] == 1


def test_permission_that_was_not_granted_is_named(sim):
    app = sim.register_app(redirect_uris=["https://a.example/"], permissions=["customer_read"])
    client = StripeClient(Installed(sim, app), api_base=sim.url)
    with pytest.raises(PermissionMissing) as caught:
        client.list_page("/v1/subscriptions")
    assert caught.value.permission == "subscription_read"
    assert "stripe apps upload" in str(caught.value)


def test_items_are_the_bytes_that_stripe_sent(sim, client):
    sim.populate(customers=20, invoices=30)
    sim.create(None, "customer", {"name": "nul \x00 here", "metadata": {"é😀": "\ud83d"}})
    for kind, path in (("customer", "/v1/customers"), ("invoice", "/v1/invoices")):
        sent = {json.loads(raw)["id"]: raw.decode() for raw in sim.raw_objects(None, kind)}
        page = client.list_parents(path, {"limit": 100}, inlined="lines")
        assert {item.id: item.raw for item in page.items} == sent
        one = page.items[0]
        assert split_object(client.request("GET", f"{path}/{one.id}").body).raw == one.raw


def test_lost_answer_of_a_create_makes_one_object(sim, client):
    sim.fail("reset", "/v1/customers", method="POST", when="after", nth=1)
    made = client.request("POST", "/v1/customers", body={"name": "once"}).json()
    assert [o["id"] for o in sim.objects(None, "customer")] == [made["id"]]
    assert client.requests["other"] == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "truncate"},
        {"action": "reset"},
        {"action": "status", "status": 503},
        {"action": "status", "status": 502, "body": "html"},
        {"action": "lock_timeout"},
        {"action": "rate_limit", "reason": "global-concurrency"},
        {"action": "conflict"},
    ],
    ids=lambda fault: fault["action"],
)
def test_each_passing_failure_is_outlived(sim, client, fault):
    sim.populate(customers=3)
    sim.fail(**fault, path="/v1/customers", count=3)
    assert len(client.list_page("/v1/customers").items) == 3
    assert client.requests["list"] == 4


def test_a_lasting_web_page_is_named(sim, client):
    sim.fail("status", "/v1/customers", status=502, body="html")
    with pytest.raises(NotStripe, match="502 Bad Gateway"):
        client.list_page("/v1/customers")


@pytest.mark.parametrize("spread", ["minute", "years"])
def test_ranges_read_everything_while_cursors_are_deleted(sim, client, spread):
    sim.populate(customers=500, spread=spread)
    before = {o["id"] for o in sim.objects(None, "customer")}
    sim.switches.set(delete_cursor_every=2)
    seen: set[str] = set()
    remaining = [Range(None, None)]
    while remaining:
        wanted = remaining.pop()
        try:
            page = client.list_page("/v1/customers", {**query(wanted), "limit": 20})
        except CursorDeleted:
            remaining.append(without_cursor(wanted))
            continue
        seen |= {item.id for item in page.items}
        if page.items:
            last = page.items[-1]
            assert last.created is not None
            lowest = wanted.gte or 1_293_840_000
            cut = len(remaining) < 4 and last.created > lowest
            remaining += after_page(
                wanted,
                oldest_created=last.created,
                oldest_id=last.id,
                has_more=page.has_more,
                cuts=[(lowest + last.created + 1) // 2] if cut else [],
            )
    assert before == seen
    assert len(sim.objects(None, "customer")) < 500, "cursors were deleted"


def test_the_limiter_keeps_below_stripes_limit_at_nearly_full_speed():
    with SimulatedStripe() as sim:
        sim.populate(customers=1)
        limiter = RateLimiter.for_mode(False)
        key = StaticToken(sim.secret_key())
        client = StripeClient(key, api_base=sim.url, limiter=limiter)
        done: list[int] = []

        def work() -> None:
            done.extend(len(client.list_page("/v1/customers").items) for _ in range(10))

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 60
        assert client.requests["list"] == 60, "no request was refused"
        assert limiter.rates()["account"] == pytest.approx(24.5)
