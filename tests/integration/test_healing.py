"""A lost grant is mended where Stripe allows it: once a loss, never in a loop, never against the
owner; and an app's installs are what Stripe says they are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import replace

import pytest

from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    TokenUnavailable,
)
from airflow_provider_stripe_app.oauth import reinstall
from airflow_provider_stripe_app.oauth.installs import Installs, InstallsUnavailable
from airflow_provider_stripe_app.oauth.reconcile import reconcile_app
from airflow_provider_stripe_app.oauth.refresh_rules import MAX_MENDED_PER_DAY, MAX_MENDING_TRIES
from airflow_provider_stripe_app.testing import SimulatedStripe
from tests.integration.oauth_lab import POLICY, Lab, in_threads, metadata_database, new_lab

OTHER = "acct_sim2"


@pytest.fixture(scope="module", params=["sqlite", pytest.param("pg", marks=pytest.mark.postgres)])
def metadata_db(request, tmp_path_factory):
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("metadata") / "airflow.db"
        with metadata_database(f"sqlite:///{path}") as url:
            yield url
        return
    url = request.getfixturevalue("postgres").url("postgresql+psycopg2")
    with metadata_database(url) as used:
        yield used


@pytest.fixture(scope="module")
def sim():
    with SimulatedStripe(seed=5) as running:
        yield running


@pytest.fixture
def lab(metadata_db, sim, tmp_path):
    made = new_lab(sim, tmp_path)
    made.knows_app_id = True
    made.policy = replace(POLICY, heal_pause=0.0)
    yield made
    sim.faults.remove()
    sim.switches.reset()


def lose(lab: Lab) -> None:
    """Lose the grant: the refresh token is spent elsewhere, and the app stays installed."""
    lab.sim.kill_grant(lab.app.client_id, lab.sim.account(lab.account))
    lab.expire()


def events(lab: Lab) -> list[str]:
    return [line.event for line in lab.store().history(lab.conn_id)]


# -- mended


@pytest.mark.parametrize("code", ["given", "later"])
@pytest.mark.parametrize("revokes", [False, True])
def test_a_lost_grant_is_mended_by_the_request_that_finds_it(lab, code, revokes):
    lab.sim.switches.set(
        install_auth_code=code, install_reinstall_revokes=revokes, install_seconds=0.3
    )
    before = lab.row()
    lose(lab)
    grant = lab.store().live_token(lab.conn_id)
    assert lab.works(grant.access_token)
    assert (grant.generation, grant.account_id) == (before.generation + 1, lab.account)
    row = lab.row()
    assert (row.status, row.last_error, row.heal_tries, row.heal_after) == ("active", None, 0, None)
    assert row.permissions_granted == ["customer_read"]
    assert (row.install_status, row.install_channel) == ("installed", "testing")
    assert events(lab)[:2] == ["healed", "lost"]
    assert lab.counts["reinstall"] == 1
    assert lab.spool_files == []
    lab.expire()
    assert lab.works(lab.store().live_token(lab.conn_id).access_token), "and lives on as before"


def test_twenty_that_find_one_loss_mend_it_once(lab):
    lose(lab)
    lab.sim.switches.set(latency=0.1)
    grants = in_threads(20, lambda: lab.store().live_token(lab.conn_id))
    now = lab.store().live_token(lab.conn_id).access_token
    assert {grant.access_token for grant in grants} == {now}
    assert lab.counts["reinstall"] == 1


def asked_until_mended(lab: Lab):
    for _ in range(MAX_MENDING_TRIES):
        try:
            return lab.store(sleep=lambda _: None).live_token(lab.conn_id)
        except TokenUnavailable:
            lab.set(heal_after=time.time() - 1)
    raise AssertionError("not mended")


@pytest.mark.parametrize(
    ("method", "path", "nth"),
    [
        ("GET", "/v1/apps/installs", 1),
        ("POST", "/v1/apps/installs", 1),
        ("POST", "/v1/oauth/token", 2),  # the first one is the renewal that finds the loss
    ],
)
@pytest.mark.parametrize(
    "fault",
    [
        {"action": "reset", "when": "after"},
        {"action": "status", "status": 500, "when": "after"},
        {"action": "status", "status": 502, "body": "html"},
        {"action": "truncate"},
        {"action": "rate_limit"},
    ],
)
def test_trouble_on_the_way_delays_the_mending_and_loses_nothing(lab, method, path, nth, fault):
    lab.sim.switches.set(token_idempotency=False)
    lose(lab)
    lab.sim.fail(path=path, method=method, nth=nth, **fault)
    grant = asked_until_mended(lab)
    assert lab.works(grant.access_token)
    assert lab.row().status == "active"
    assert lab.spool_files == []


STEPS = ("list", "reinstall", "exchange", "store")


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_in_the_middle_of_it_costs_a_pause(lab, step, idempotent, monkeypatch):
    from airflow_provider_stripe_app.oauth.adoption import Adoption
    from airflow_provider_stripe_app.oauth.installs_api import InstallsApi
    from airflow_provider_stripe_app.oauth.token_endpoint import TokenEndpoint

    lab.sim.switches.set(token_idempotency=idempotent)
    lose(lab)

    def killed() -> None:
        places = {
            "list": (InstallsApi, "list"),
            "reinstall": (InstallsApi, "reinstall"),
            "exchange": (TokenEndpoint, "exchange"),
            "store": (Adoption, "adopt"),
        }
        owner, name = places[step]
        real = getattr(owner, name)

        def then_die(*args, **kwargs):
            if step != "store":
                real(*args, **kwargs)  # with its effect at Stripe
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, name, then_die)
        lab.store().live_token(lab.conn_id)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert lab.row().status == "reauthorization_required"
    lab.set(lease_until=time.time() - 1)
    grant = lab.store().live_token(lab.conn_id)
    assert lab.works(grant.access_token)
    assert lab.row().status == "active"
    assert lab.spool_files == []
    assert events(lab)[0] == "healed", "whoever stored it: it counts"


# -- not mended


def test_an_account_that_uninstalled_is_left_alone(lab):
    lab.sim.switches.set(install_after_uninstall=True)
    lab.sim.uninstall(lab.app.client_id, lab.sim.account(lab.account))
    lab.expire()
    for _ in range(2):
        with pytest.raises(ReauthorizationRequired, match="has uninstalled the app"):
            lab.store().live_token(lab.conn_id)
    assert lab.counts["reinstall"] == 0
    assert lab.row().install_status == "uninstalled"
    assert events(lab)[0] == "not_healed"


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        ({"install_api": "refused"}, "Install API refused"),
        ({"install_api": "unknown"}, "Install API refused"),
        ({"install_auth_code": "absent"}, "no authorization code"),
    ],
)
def test_where_stripe_does_not_allow_it_a_person_is_asked_at_once(lab, switches, words):
    lab.sim.switches.set(**switches)
    lose(lab)
    for _ in range(3):
        with pytest.raises(ReauthorizationRequired, match=words) as told:
            lab.store(sleep=lambda _: None).live_token(lab.conn_id)
        assert "press Reauthorize" in str(told.value)
    asked = lab.sim.requests("/v1/apps/installs")
    assert events(lab).count("not_healed") == 1, "asked once, not once a request"
    assert lab.row().heal_after is None
    assert lab.install().generation > 1, "a person installs again"
    assert lab.row().status == "active"
    assert asked


def test_without_the_apps_id_the_message_says_what_to_fill_in(lab):
    lab.knows_app_id = False
    lose(lab)
    with pytest.raises(ReauthorizationRequired, match="has no App id"):
        lab.store().live_token(lab.conn_id)


def test_switched_off_nothing_is_asked(lab):
    lab.policy = replace(lab.policy, self_heal=False)
    before = len(lab.sim.requests("/v1/apps/installs"))
    lose(lab)
    with pytest.raises(ReauthorizationRequired):
        lab.store().live_token(lab.conn_id)
    assert len(lab.sim.requests("/v1/apps/installs")) == before


def test_a_stripe_that_never_answers_is_asked_a_few_times_and_then_a_person(lab):
    lab.policy = replace(lab.policy, heal_pause=60.0)
    lose(lab)
    lab.sim.fail("reset", "/v1/apps/installs")
    store = lab.store(sleep=lambda _: None)
    for number in range(1, MAX_MENDING_TRIES):
        with pytest.raises(TokenUnavailable, match="tried again in"):
            store.live_token(lab.conn_id)
        row = lab.row()
        assert row.heal_tries == number
        assert row.heal_after - time.time() == pytest.approx(60 * 5 ** (number - 1), rel=0.2)
        with pytest.raises(TokenUnavailable, match="tried again in"):
            store.live_token(lab.conn_id)
        assert lab.row().heal_tries == number, "not before its time"
        lab.set(heal_after=time.time() - 1)
    with pytest.raises(ReauthorizationRequired, match="did not answer"):
        store.live_token(lab.conn_id)
    lab.sim.faults.remove()
    with pytest.raises(ReauthorizationRequired):
        store.live_token(lab.conn_id)
    assert lab.works(store.renew(lab.conn_id).access_token), "until a person asks for it"


def test_what_is_lost_again_and_again_is_not_mended_for_ever(lab):
    for _ in range(MAX_MENDED_PER_DAY):
        lose(lab)
        assert lab.works(lab.store().live_token(lab.conn_id).access_token)
    lose(lab)
    with pytest.raises(ReauthorizationRequired, match="something keeps taking its tokens"):
        lab.store().live_token(lab.conn_id)
    assert lab.counts["reinstall"] == MAX_MENDED_PER_DAY


def test_tokens_of_another_account_are_not_stored(lab, monkeypatch):
    real = reinstall.AppAccess
    lose(lab)
    stranger = lab.sim.install(lab.app.client_id, lab.sim.account(OTHER)).split("code=")[1]

    class Mixed:
        def exchange(self, code: str):
            return lab.endpoint().exchange(stranger.split("&")[0])

    store = lab.store(access_of=lambda *a: replace(lab.access(*a), endpoint=Mixed()))
    with pytest.raises(ReauthorizationRequired, match="another account"):
        store.live_token(lab.conn_id)
    assert lab.row().account_id == lab.account
    assert real is reinstall.AppAccess


def test_a_person_who_installs_meanwhile_wins(lab):
    lose(lab)
    installed = []
    lab.sim.after(
        "/v1/apps/installs", lambda _: installed.append(lab.install()), method="GET", nth=1
    )
    grant = lab.store().live_token(lab.conn_id)
    assert grant.access_token == installed[0].access_token
    assert lab.works(grant.access_token)


# -- a copied database


def test_a_copied_database_rolls_nothing_until_somebody_takes_it_over(lab, monkeypatch):
    lab.set(deployment_id="https://airflow.example")
    lab.expire()
    with pytest.raises(ConfigurationError, match=r"https://airflow\.example.*take-over"):
        lab.store().live_token(lab.conn_id)
    with pytest.raises(ConfigurationError, match="take-over"):
        lab.store().renew(lab.conn_id)
    assert lab.counts["refresh"] == 0
    assert lab.store().take_over(lab.conn_id, "ann")
    assert lab.works(lab.store().live_token(lab.conn_id).access_token)
    assert lab.counts["refresh"] == 1
    assert "taken_over" in events(lab)
    assert not lab.store().take_over(lab.conn_id, "ann"), "only once"


def test_a_copied_database_does_not_reinstall_either(lab):
    lose(lab)
    lab.set(
        status="reauthorization_required", heal_after=0.0, deployment_id="https://airflow.example"
    )
    with pytest.raises(ConfigurationError, match="take-over"):
        lab.store().live_token(lab.conn_id)
    assert lab.counts["reinstall"] == 0


# -- accounts of an app


def test_reconciling_tells_permissions_and_accounts(lab):
    lab.sim.install(lab.app.client_id, lab.sim.account(OTHER))
    lab.sim.oauth.release(lab.app.client_id, ["customer_read", "invoice_read"])
    found = reconcile_app(lab.app_conn_id, lab.store(), access_of=lab.access)
    assert (found.updated, found.missing, found.unknown) == ((lab.conn_id,), (), (OTHER,))
    row = lab.row()
    assert row.permissions_granted == ["customer_read"]
    assert row.permissions_pending == ["invoice_read"]
    accounts = Installs(lab.store(), access_of=lab.access).accounts(lab.app_conn_id)
    assert {one.account_id: one.conn_id for one in accounts} == {
        lab.account: lab.conn_id,
        OTHER: None,
    }


def test_an_uninstalled_account_is_noticed_and_what_lives_is_kept(lab):
    lab.sim.oauth.switches.set(install_after_uninstall=True)
    lab.sim.uninstall(lab.app.client_id, lab.sim.account(lab.account))
    found = reconcile_app(lab.app_conn_id, lab.store(), access_of=lab.access)
    assert found.missing == (lab.conn_id,)
    assert lab.row().status == "reauthorization_required"
    lab.install()
    access = lab.access(lab.app_conn_id)

    class Blind:
        def list(self, *_: object) -> list[object]:
            return []

    reconcile_app(lab.app_conn_id, lab.store(), access_of=lambda *_: replace(access, api=Blind()))
    row = lab.row()
    assert (row.status, row.install_status) == ("active", "uninstalled")
    assert lab.works(lab.store().live_token(lab.conn_id).access_token)


def test_uninstalling_here_uninstalls_at_stripe(lab):
    installs = Installs(lab.store(), access_of=lab.access)
    lab.sim.switches.set(install_api="refused")
    with pytest.raises(InstallsUnavailable, match="Stripe Dashboard"):
        installs.uninstall(lab.conn_id, "ann")
    assert lab.row() is not None, "nothing is forgotten that lives on at Stripe"
    lab.sim.switches.set(install_api="works")
    token = lab.store().live_token(lab.conn_id).access_token
    installs.uninstall(lab.conn_id, "ann")
    assert lab.row() is None
    assert not lab.works(token)
    assert "broker_token" not in lab.extra()
    assert events(lab)[0] == "uninstalled"
    with pytest.raises(ConfigurationError, match="no installation"):
        installs.uninstall(lab.conn_id, "ann")


def test_an_account_that_has_the_app_is_adopted(lab):
    lab.sim.install(lab.app.client_id, lab.sim.account(OTHER))
    installs = Installs(lab.store(), access_of=lab.access)
    with pytest.raises(ConfigurationError, match="holds an installation"):
        installs.adopt(lab.app_conn_id, OTHER, lab.conn_id, "ann")
    with pytest.raises(ConfigurationError, match="is installed here"):
        installs.adopt(lab.app_conn_id, lab.account, "another", "ann")
    adopted = installs.adopt(lab.app_conn_id, OTHER, "adopted", "ann")
    try:
        assert (adopted.conn_id, adopted.account_id) == ("adopted", OTHER)
        assert lab.works(lab.store().live_token("adopted").access_token)
        assert lab.store().status("adopted").permissions_granted == ["customer_read"]
        assert lab.store().history("adopted")[0].event == "adopted"
    finally:
        lab.store().forget("adopted")
    with pytest.raises(InstallsUnavailable, match="cannot be adopted"):
        installs.adopt(lab.app_conn_id, "acct_nobody", "nobody", "ann")
