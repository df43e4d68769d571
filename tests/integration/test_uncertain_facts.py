"""Syncs under both settings of what nobody could verify on live Stripe.

The table of facts, switches and tests is docs/uncertain-facts.md.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_stripe_app.oauth.token_endpoint import Granted, TokenEndpoint
from tests.integration.sync_lab import Lab, lab
from tests.integration.test_sync_equality import change_everything

REDIRECT = "https://airflow.example/stripe-app/callback"
PERMISSIONS = ["customer_read", "invoice_read", "subscription_read", "event_read"]


class AppTokens:
    """An app's tokens, exchanged and rolled by the provider's own token endpoint client."""

    def __init__(self, one: Lab) -> None:
        sim = one.sim
        app = sim.register_app(redirect_uris=[REDIRECT], permissions=PERMISSIONS)
        place = sim.install(app.client_id, one.account)
        self.endpoint = TokenEndpoint(app.secret_key, api_base=sim.url, timeout=5)
        self.lock = threading.Lock()
        self.refreshes = 0
        self.grant = self.granted(
            self.endpoint.exchange(parse_qs(urlsplit(place).query)["code"][0])
        )

    @staticmethod
    def granted(outcome: object) -> Granted:
        assert isinstance(outcome, Granted), outcome
        return outcome

    def get(self) -> str:
        return self.grant.access_token

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


OLD_TOKEN = {"at once": 0.0, "after seconds": 0.3, "when it expires": None}
ANSWERS = [{"account_field": "stripe_user_id"}, {"account_field": "account_id", "expires_in": True}]


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

    def roll_elsewhere(_: Any) -> None:
        with tokens.lock:
            tokens.roll()
        time.sleep(0.4)

    one.sim.before(
        r"/v1/customers\?", lambda r: threading.Thread(target=roll_elsewhere, args=(r,)).start()
    )
    one.sync(client=one.client(tokens))
    one.assert_equal()
    assert tokens.grant.access_token != first
    assert tokens.grant.account_id == one.account.id


@pytest.mark.parametrize("answer", ["expired", "invalid"])
def test_a_token_that_ends_during_a_sync_is_replaced_once(one: Lab, answer: str) -> None:
    one.sim.switches.set(revoked_answer=answer)
    tokens = AppTokens(one)
    one.sim.before(
        r"/v1/customers\?", lambda _: one.sim.oauth.expire_access_tokens(one.account.id), nth=2
    )
    one.sync(client=one.client(tokens))
    one.assert_equal()
    assert tokens.refreshes == 1


@pytest.mark.parametrize(
    "switches",
    [
        {"expand_refused": True},
        {"expand_refused": False},
        {"account_needs_permission": True},
        {"account_needs_permission": False},
        {"event_permissions": True},
        {"event_permissions": False},
        {"event_shuffle": True},
        {"event_shuffle": False},
        {"pretty_json": True},
        {"require_version": True},
        {"embedded_prices": False},
        {"concurrency_limit": 2},
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
