"""Mending a lost grant under every answer that Stripe's Install API may give.

One try of the provider's own code against the simulated Stripe, without a database. The table of
facts, switches and tests is docs/uncertain-facts.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_stripe_app.oauth.installs_api import Install, InstallsApi
from airflow_provider_stripe_app.oauth.key_client import KeyClient
from airflow_provider_stripe_app.oauth.reinstall import AppAccess, Mended, NotMended, mend
from airflow_provider_stripe_app.oauth.token_endpoint import Granted, Refused, TokenEndpoint
from airflow_provider_stripe_app.testing import SimulatedStripe
from airflow_provider_stripe_app.testing.api_keys import Grant
from tests.integration.sync_lab import lab

PERMISSIONS = ["connected_account_read", "customer_read", "event_read"]
RESET = r"^/v1/apps/installs$"


class LostGrant:
    """An installed app whose tokens are gone, and what may bring them back."""

    def __init__(self, sim: SimulatedStripe, channel: str | None = "chnlink_") -> None:
        self.sim = sim
        self.account = sim.account()
        self.app = sim.register_app(
            redirect_uris=["https://airflow.example/cb"], permissions=PERMISSIONS, channel=channel
        )
        self.endpoint = TokenEndpoint(self.app.secret_key, api_base=sim.url, timeout=5)
        self.api = InstallsApi(KeyClient(self.app.secret_key, api_base=sim.url, timeout=5))
        self.grant = self.install()

    def install(self) -> Granted:
        place = self.sim.install(self.app.client_id, self.account)
        granted = self.endpoint.exchange(parse_qs(urlsplit(place).query)["code"][0])
        assert isinstance(granted, Granted), granted
        return granted

    def lose(self) -> None:
        self.sim.kill_grant(self.app.client_id, self.account)
        assert isinstance(self.endpoint.refresh(self.grant.refresh_token, "lost"), Refused)

    def mend(self, key: str = "try-1") -> Mended | NotMended:
        """Make one try; waiting lets the simulation's time pass instead."""
        access = AppAccess("stripe_app", self.app.app_id, self.api, self.endpoint, livemode=False)
        return mend(access, self.account.id, False, key, sleep=self.sim.clock.advance)

    def assert_mended(self, outcome: Mended | NotMended) -> None:
        assert isinstance(outcome, Mended), outcome
        granted = outcome.granted
        assert (granted.account_id, granted.livemode) == (self.account.id, False)
        assert isinstance(self.sim.oauth.authenticate(granted.access_token), Grant)
        assert isinstance(self.endpoint.refresh(granted.refresh_token, "next"), Granted)


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatedStripe]:
    with SimulatedStripe(seed=5) as running:
        yield running


@pytest.fixture
def lost(server: SimulatedStripe) -> LostGrant:
    server.reset()
    made = LostGrant(server)
    made.lose()
    return made


@pytest.mark.parametrize(
    ("given", "revokes", "kept"),
    list(itertools.product(["given", "later"], [False, True], [False, True])),
)
def test_a_lost_grant_is_mended_once_whenever_stripe_gives_a_code(
    lost: LostGrant, given: str, revokes: bool, kept: bool
) -> None:
    lost.sim.switches.set(
        install_auth_code=given,
        install_seconds=4.0,
        install_reinstall_revokes=revokes,
        reinstall_keeps_old_tokens=kept,
    )
    lost.assert_mended(lost.mend())
    assert lost.sim.oauth.counts["reinstall"] == 1


@pytest.mark.parametrize("frozen", [True, False])
def test_mending_grants_nothing_new_and_says_what_is_pending(lost: LostGrant, frozen: bool) -> None:
    lost.sim.switches.set(frozen_permissions=frozen)
    lost.sim.oauth.release(lost.app.client_id, [*PERMISSIONS, "invoice_read"])
    outcome = lost.mend()
    lost.assert_mended(outcome)
    assert isinstance(outcome, Mended)
    assert outcome.install.permissions_pending == (("invoice_read",) if frozen else ())
    grant = lost.sim.oauth.authenticate(outcome.granted.access_token)
    assert isinstance(grant, Grant)
    assert grant.allows("invoice_read") is not frozen
    assert ("invoice_read" in outcome.install.permissions_granted) is not frozen


def test_a_published_app_is_mended_on_its_own_channel(server: SimulatedStripe) -> None:
    server.reset()
    published = LostGrant(server, channel=None)
    published.lose()
    published.assert_mended(published.mend())


def test_a_reinstall_without_a_code_says_so_and_needs_a_person(lost: LostGrant) -> None:
    lost.sim.switches.set(install_auth_code="absent")
    outcome = lost.mend()
    assert isinstance(outcome, NotMended)
    assert (outcome.final, outcome.uninstalled) == (True, False)
    assert "no authorization code" in outcome.message
    lost.grant = lost.install()  # the person
    assert isinstance(lost.endpoint.refresh(lost.grant.refresh_token, "after"), Granted)


@pytest.mark.parametrize("answer", ["refused", "unknown"])
def test_where_stripe_offers_no_install_api_a_lost_grant_needs_a_person(
    lost: LostGrant, answer: str
) -> None:
    lost.sim.switches.set(install_api=answer)
    outcome = lost.mend()
    assert isinstance(outcome, NotMended)
    assert (outcome.final, outcome.uninstalled) == (True, False)
    assert {"refused": "403", "unknown": "404"}[answer] in outcome.message
    assert lost.sim.oauth.counts["reinstall"] == 0


@pytest.mark.parametrize("possible", [False, True])
def test_what_its_owner_uninstalled_is_never_installed_again(
    lost: LostGrant, possible: bool
) -> None:
    lost.sim.switches.set(install_after_uninstall=possible)
    lost.sim.uninstall(lost.app.client_id, lost.account)
    outcome = lost.mend()
    assert isinstance(outcome, NotMended)
    assert (outcome.final, outcome.uninstalled) == (True, True)
    assert lost.sim.oauth.counts["reinstall"] == 0
    assert lost.sim.requests("POST /v1/apps") == []


@pytest.mark.parametrize("status", ["uninstalling", "uninstall_failed", "install_failed"])
def test_an_install_that_is_not_installed_is_let_alone(lost: LostGrant, status: str) -> None:
    lost.sim.set_install_status(lost.app.client_id, status, lost.account)
    assert isinstance(lost.mend(), NotMended)
    assert lost.sim.oauth.counts["reinstall"] == 0


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("action", ["reset", "status"])
def test_a_lost_answer_to_the_reinstall_does_not_reinstall_twice(
    lost: LostGrant, action: str, when: str
) -> None:
    rule = lost.sim.fail(action, RESET, method="POST", when=when, count=1, status=503)
    outcome = lost.mend()
    if (action, when) == ("status", "after"):
        # Stripe keeps a 5xx under the key; the next try has another one
        assert isinstance(outcome, NotMended)
        assert outcome.final is False
        lost.sim.faults.remove(rule.id)
        outcome = lost.mend("try-2")
    lost.assert_mended(outcome)
    tries = 2 if (action, when) == ("status", "after") else 1
    assert lost.sim.oauth.counts["reinstall"] == tries


@pytest.mark.parametrize("honoured", [True, False])
def test_a_lost_answer_to_the_exchange_of_its_code_costs_a_try_at_most(
    lost: LostGrant, honoured: bool
) -> None:
    lost.sim.switches.set(token_idempotency=honoured)
    lost.sim.fail("reset", "^/v1/oauth/token", when="after", count=1)
    outcome = lost.mend()
    if not honoured:
        assert isinstance(outcome, NotMended)
        assert outcome.final is False
        outcome = lost.mend("try-2")
    lost.assert_mended(outcome)
    assert lost.sim.oauth.counts["reinstall"] == (1 if honoured else 2)


@pytest.mark.parametrize("seconds", [0.0, 30.0])
def test_an_uninstall_is_understood_at_once_or_in_progress(lost: LostGrant, seconds: float) -> None:
    lost.sim.switches.set(uninstall_seconds=seconds)
    listed = lost.api.list(lost.app.app_id, lost.account.id)
    assert isinstance(listed, list)
    ended = lost.api.uninstall(listed[0].id, idempotency_key="u1")
    assert isinstance(ended, Install)
    assert ended.status == "uninstalling"
    again = lost.api.uninstall(listed[0].id, idempotency_key="u1")
    assert again == ended
    outcome = lost.mend()
    assert isinstance(outcome, NotMended)
    assert outcome.uninstalled


def test_news_of_installations_are_no_trouble_for_a_sync(tmp_path: Path) -> None:
    with lab(tmp_path, "sqlite") as one:
        one.sim.populate(one.account, customers=20)
        one.settle()
        one.sync()
        app = LostGrant(one.sim).app
        one.sim.oauth.release(app.client_id, [*PERMISSIONS, "invoice_read"])
        one.sim.create(one.account, "customer", {"name": "between"})
        one.sim.uninstall(app.client_id, one.account)
        types = {event["type"] for event in one.sim.objects(one.account, "event")}
        assert {
            "account.application.deauthorized",
            "apps.install.created",
            "apps.install.updated",
            "apps.install.deleted",
        } <= types
        one.settle()
        one.sync()
        one.assert_equal()
        assert one.query("SELECT count(*) FROM customers") == [(21,)]
