"""Syncs under both settings of what nobody could verify on live Stripe.

The table of facts, switches and tests is docs/uncertain-facts.md.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.errors import PermissionMissing
from airflow_provider_stripe_app.api.rate_limit import RateLimiter
from airflow_provider_stripe_app.api.retry import RetryPolicy
from airflow_provider_stripe_app.oauth.install_link import parse_install_link
from airflow_provider_stripe_app.oauth.token_endpoint import Granted, Refused, TokenEndpoint
from airflow_provider_stripe_app.sync.summary import SyncFailed
from tests.integration.sync_lab import Lab, lab
from tests.integration.test_sync_equality import change_everything

REDIRECT = "https://airflow.example/stripe-app/callback"
PERMISSIONS = ["customer_read", "invoice_read", "subscription_read", "event_read"]


class AppTokens:
    """An app's tokens, exchanged and rolled by the provider's own token endpoint client."""

    def __init__(self, one: Lab, permissions: list[str] = PERMISSIONS) -> None:
        self.sim, self.account = one.sim, one.account
        self.app = one.sim.register_app(redirect_uris=[REDIRECT], permissions=permissions)
        self.endpoint = TokenEndpoint(self.app.secret_key, api_base=one.sim.url, timeout=5)
        self.lock = threading.Lock()
        self.refreshes = self.asked = self.rolled_before = 0
        self.grant = self.granted(self.endpoint.exchange(self.code()))

    def code(self) -> str:
        place = self.sim.install(self.app.client_id, self.account)
        return parse_qs(urlsplit(place).query)["code"][0]

    @staticmethod
    def granted(outcome: object) -> Granted:
        assert isinstance(outcome, Granted), outcome
        return outcome

    def get(self) -> str:
        """Hand out a token; before request ``rolled_before`` somebody rolls it in between."""
        with self.lock:
            self.asked += 1
            held = self.grant.access_token
            if self.asked == self.rolled_before:
                self.roll()
                self.sim.clock.advance(1)
            return held

    def replace(self, refused: str) -> str:
        with self.lock:
            if self.grant.access_token == refused:
                self.roll()
            return self.grant.access_token

    def roll(self) -> None:
        self.refreshes += 1
        token = self.grant.refresh_token
        self.grant = self.granted(self.endpoint.refresh(token, f"key-{self.refreshes}"))


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path, "sqlite") as made:
        made.sim.populate(made.account, customers=350, invoices=30, subscriptions=20)
        made.settle()
        yield made


OLD_TOKEN = {"at once": 0.0, "after seconds": 0.5, "when it expires": None}
ANSWERS = [{"account_field": "stripe_user_id"}, {"account_field": "account_id", "expires_in": True}]


def refused(one: Lab) -> int:
    """How many requests Stripe answered with 401."""
    return sum(line.status == 401 for line in one.sim.requests("/v1/"))


@pytest.mark.parametrize(
    ("dies", "answer"),
    list(itertools.product(OLD_TOKEN, ANSWERS)),
    ids=lambda v: v if isinstance(v, str) else v["account_field"],
)
def test_a_token_rolled_by_somebody_else_during_a_sync_costs_nothing(
    one: Lab, dies: str, answer: dict[str, Any]
) -> None:
    one.sim.switches.set(revoke_after_refresh=OLD_TOKEN[dies], **answer)
    tokens = AppTokens(one)
    first = tokens.grant.access_token
    tokens.rolled_before = 5
    one.sync(client=one.client(tokens))
    one.assert_equal()
    assert tokens.grant.access_token != first
    assert tokens.grant.account_id == one.account.id
    assert tokens.refreshes == 1, "who was refused takes the new token and renews nothing"
    assert (refused(one) > 0) == (dies != "when it expires")


@pytest.mark.parametrize("answer", ["expired", "invalid"])
def test_a_token_that_ends_during_a_sync_is_replaced_once(one: Lab, answer: str) -> None:
    one.sim.switches.set(expired_answer=answer)
    tokens = AppTokens(one)
    one.sim.before(
        r"/v1/customers\?", lambda _: one.sim.oauth.expire_access_tokens(one.account.id), nth=2
    )
    one.sync(client=one.client(tokens))
    one.assert_equal()
    assert tokens.refreshes == 1
    assert refused(one) > 0


@pytest.mark.parametrize("stated", [True, False])
def test_a_lifetime_that_stripe_states_wins_over_the_documented_hour(
    one: Lab, stated: bool
) -> None:
    one.sim.switches.set(expires_in=stated, access_token_seconds=600.0)
    tokens = AppTokens(one)
    for _ in range(2):  # as exchanged, and as refreshed
        assert abs(tokens.grant.expires_at - time.time() - (600 if stated else 3600)) < 30
        tokens.roll()


@pytest.mark.parametrize("revokes", [True, False])
def test_a_code_used_up_by_a_failed_exchange_is_refused_and_the_next_install_works(
    one: Lab, revokes: bool
) -> None:
    one.sim.switches.set(reused_code_revokes=revokes)
    tokens = AppTokens(one)
    one.sim.oauth.fail_next(status=500, effect=True)
    assert isinstance(tokens.endpoint.exchange(tokens.code()), Refused)
    assert one.sim.oauth.counts["reused_code"] == 1
    tokens.grant = tokens.granted(tokens.endpoint.exchange(tokens.code()))
    one.sync(client=one.client(tokens))
    one.assert_equal()


@pytest.mark.parametrize("channel", [None, "chnlink_61Abc", "channellink*AXq%23EhcK"])
def test_every_form_of_install_link_opens_stripes_consent_page(
    one: Lab, channel: str | None
) -> None:
    app = one.sim.register_app(redirect_uris=[REDIRECT], permissions=PERMISSIONS, channel=channel)
    link = parse_install_link(app.install_link, marketplace_base=one.sim.url)
    page = requests.get(link.with_parameters(REDIRECT, "opaque"), timeout=10)
    assert (page.status_code, "opaque" in page.text) == (200, True)
    other = "chnlink_other/" if channel is None else ""
    wrong = link.authorize_url.replace(
        urlsplit(link.authorize_url).path, f"/oauth/v2/{other}authorize"
    )
    assert "link is invalid" in requests.get(wrong, timeout=10).text


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("answer", ["application", "shared", "bare"])
def test_a_permission_of_a_newer_app_version_is_named_or_works(
    one: Lab, frozen: bool, answer: str
) -> None:
    one.sim.switches.set(frozen_permissions=frozen, permission_answer=answer)
    tokens = AppTokens(one, [name for name in PERMISSIONS if name != "invoice_read"])
    one.sim.oauth.release(tokens.app.client_id, PERMISSIONS)
    if frozen:
        with pytest.raises(SyncFailed, match="invoice_read") as failed:
            one.sync(client=one.client(tokens))
        assert isinstance(failed.value.errors["invoices"], PermissionMissing)
        one.assert_equal(["customers", "subscriptions", "subscription_items"])
        tokens.grant = tokens.granted(tokens.endpoint.exchange(tokens.code()))  # reauthorized
    one.sync(client=one.client(tokens))
    one.assert_equal()


@pytest.mark.parametrize("answer", ["application", "shared", "bare"])
def test_without_event_read_the_sync_says_so_in_whatever_words_stripe_refuses(
    one: Lab, answer: str
) -> None:
    one.sim.switches.set(permission_answer=answer)
    tokens = AppTokens(one, [name for name in PERMISSIONS if name != "event_read"])
    with pytest.raises(PermissionMissing, match="event_read"):
        one.sync(client=one.client(tokens))


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("answer", ["application", "shared", "bare"])
def test_a_permission_lost_for_a_day_leaves_no_gap_in_whatever_words_stripe_refuses(
    one: Lab, hidden: bool, answer: str
) -> None:
    one.sim.switches.set(permission_answer=answer, event_permissions=hidden)
    tokens = AppTokens(one)
    one.sync(client=one.client(tokens))
    client_id, allowed = tokens.app.client_id, tokens.app.permissions
    one.sim.oauth.set_permissions(one.account.id, client_id, allowed - {"invoice_read"})
    change_everything(one)
    one.sim.clock.advance(86400)
    tokens.roll()
    with pytest.raises(SyncFailed, match="invoice_read"):
        one.sync(client=one.client(tokens))
    one.sim.oauth.set_permissions(one.account.id, client_id, allowed)
    one.sync(client=one.client(tokens))
    one.assert_equal()


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize("delay", [(0.0, 0.0), (0.0, 8.0)], ids=["at once", "late"])
@pytest.mark.parametrize("version", ["2026-10-28.endive", "2024-06-20"])
def test_three_changes_of_one_second_end_in_the_last(
    one: Lab, shuffled: bool, delay: tuple[float, float], version: str
) -> None:
    one.sim.switches.set(event_shuffle=shuffled, event_delay=delay, event_api_version=version)
    one.sync(["customers"])
    one.sim.clock.freeze()
    for customer in one.sim.objects(one.account, "customer")[:15]:
        for name in ("first", "second", "third"):
            one.sim.update(one.account, customer["id"], {"name": name})
    one.sim.clock.unfreeze()
    one.sim.clock.advance(3)
    one.sync(["customers"])
    one.settle()
    one.sync(["customers"])
    one.assert_equal(["customers"])
    assert one.query("SELECT count(*) FROM customers WHERE name = 'third'") == [(15,)]


@pytest.mark.parametrize("shown", [True, False])
def test_a_changed_price_leaves_items_equal_and_a_full_sync_brings_it_where_stripe_shows_it(
    one: Lab, shown: bool
) -> None:
    one.sim.switches.set(embedded_prices=shown)
    one.sync()
    item = one.sim.objects(one.account, "subscription_item")[0]
    one.sim.update(one.account, item["price"]["id"], {"metadata": {"tier": "gold"}})
    one.settle()
    one.sync()
    one.assert_equal()
    one.sync(mode="full")
    one.assert_equal()
    (raw,) = one.query(f"SELECT _raw FROM subscription_items WHERE id = '{item['id']}'")
    assert (json.loads(raw[0])["price"]["metadata"] == {"tier": "gold"}) is shown


@pytest.mark.parametrize("reused", [1.0, 0.0], ids=["the same id", "another id"])
@pytest.mark.parametrize("between", [True, False], ids=["synced between", "at once"])
def test_a_customer_made_after_a_deletion_lives_under_whatever_id(
    one: Lab, reused: float, between: bool
) -> None:
    one.sim.switches.set(reuse_ids=reused)
    one.sync()
    old = one.sim.objects(one.account, "customer")[0]["id"]
    one.sim.delete(one.account, old)
    one.sim.clock.advance(2)
    if between:
        one.settle()
        one.sync()
    new = one.sim.create(one.account, "customer", {"name": "second life"})["id"]
    assert (new == old) == (reused > 0)
    one.settle()
    one.sync()
    one.assert_equal()
    living = one.query("SELECT id FROM customers WHERE name = 'second life' AND NOT is_deleted")
    assert living == [(new,)]


@pytest.mark.parametrize("reason", [True, False], ids=["with a reason", "without"])
@pytest.mark.parametrize(
    "limit",
    [
        {"rate_limits": True, "endpoint_rate": 4.0, "account_rate_test": 60.0},
        {"rate_limits": True, "endpoint_rate": 60.0, "account_rate_test": 6.0},
        {"concurrency_limit": 2, "latency": (0.02, 0.04)},
    ],
    ids=["endpoint", "account", "concurrency"],
)
def test_limits_lower_than_promised_are_found_out_and_kept(
    one: Lab, limit: dict[str, Any], reason: bool
) -> None:
    one.sim.switches.set(**limit, rate_limit_reason=reason)
    client = StripeClient(
        AppTokens(one),
        api_base=one.sim.url,
        limiter=RateLimiter(100.0, 80.0),
        retry=RetryPolicy(base=0.1, cap=1.0),
    )
    one.sync(client=client, workers=10)
    one.sim.switches.set(rate_limits=False, concurrency_limit=0)
    assert any(line.status == 429 for line in one.sim.requests("/v1/"))
    assert client.limiter is not None
    rates = client.limiter.rates()
    assert rates.pop("account") < 97 or min(rates.values()) < 78, "no bucket was lowered"
    one.assert_equal()


@pytest.mark.parametrize(
    "switches",
    [
        {"expand_refused": True},
        {"expand_refused": False},
        {"event_permissions": True},
        {"event_permissions": False},
        {"pretty_json": True},
        {"require_version": True},
        {"event_delay": (0.0, 8.0)},
        {"event_api_version": "2024-06-20"},
    ],
    ids=lambda s: "-".join(f"{k}={v}" for k, v in s.items()),
)
def test_an_apps_sync_ends_equal(one: Lab, switches: dict[str, Any]) -> None:
    one.sim.switches.set(**switches)
    tokens = AppTokens(one)
    one.sync(client=one.client(tokens))
    change_everything(one)
    one.settle()
    one.sync(client=one.client(tokens))
    one.assert_equal()
    assert not one.sim.requests("expand"), "a sync asks for no expansion"


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "rate_limit", "reason": "endpoint-rate"},
        {"action": "rate_limit", "reason": "global-concurrency"},
        {"action": "lock_timeout"},
        {"action": "status", "status": 503, "should_retry": True},
        {"action": "status", "status": 500, "body": "none"},
    ],
    ids=lambda f: str(f.get("reason") or f.get("status") or f["action"]),
)
def test_refusals_with_and_without_a_reason_are_waited_out(one: Lab, fault: dict[str, Any]) -> None:
    one.sim.fail(**{"path": "/v1/", "every": 4, "count": 12, **fault})
    one.sync(client=one.patient_client())
    one.sim.faults.remove()
    one.assert_equal()
