"""One writer, many readers: what must not happen to a grant, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import stat
import time
from dataclasses import replace

import pytest

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    TokenUnavailable,
)
from airflow_provider_stripe_app.oauth import adoption, cipher, database
from airflow_provider_stripe_app.oauth.access_grant import AccessGrant, fingerprint
from airflow_provider_stripe_app.oauth.broker import BrokerTokens
from airflow_provider_stripe_app.oauth.broker_client import BrokerClient
from airflow_provider_stripe_app.oauth.broker_server import answer_token_request
from airflow_provider_stripe_app.oauth.refresh_rules import ACTIVE, LOST
from airflow_provider_stripe_app.oauth.token_endpoint import Granted, Refused
from airflow_provider_stripe_app.testing import SimulatedStripe
from tests.integration.oauth_lab import (
    broker_over_http,
    in_processes,
    in_threads,
    metadata_database,
    new_lab,
    session,
)

TOKEN = "/v1/oauth/token"


@pytest.fixture(scope="module", params=["sqlite", pytest.param("pg", marks=pytest.mark.postgres)])
def metadata_db(request, tmp_path_factory):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('oauth')}/airflow.db"
    else:
        url = request.getfixturevalue("postgres").url("postgresql+psycopg2")
    with metadata_database(url) as used:
        yield used


@pytest.fixture(scope="module")
def sim():
    with SimulatedStripe(seed=3) as stripe:
        yield stripe


@pytest.fixture
def lab(metadata_db, sim, tmp_path):
    yield new_lab(sim, tmp_path / "spool")
    sim.faults.remove()
    sim.switches.reset()


# -- tables


def test_migrations_make_the_same_tables_as_the_models_and_a_missing_table_says_what_to_run(lab):
    from airflow import settings
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from airflow_provider_stripe_app.oauth.db_manager import VERSION_TABLE, StripeAppDBManager
    from airflow_provider_stripe_app.oauth.models import metadata

    with session() as s:
        manager = StripeAppDBManager(s)
        assert manager.check_migration(), "airflow db migrate has stamped the newest revision"
        s.commit()
        manager.downgrade("base")
        with pytest.raises(ConfigurationError, match="airflow db migrate"):
            lab.store().live_token(lab.conn_id)
        s.commit()
        manager.upgradedb(use_migration_files=True)
    ours = {table.name for table in metadata.tables.values()}
    with settings.get_engine().connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": VERSION_TABLE,
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "table" or name in ours,
            },
        )
        assert compare_metadata(context, metadata) == []


# -- the usual life


def test_installation_gives_a_token_without_asking_stripe_and_a_copy_beside_the_users_keys(lab):
    grant = lab.store().live_token(lab.conn_id)
    assert lab.works(grant.access_token)
    assert lab.counts["refresh"] == 0
    extra = lab.extra()
    assert extra["colour"] == "blue"
    assert (extra["account"], extra["livemode"]) == (lab.account, False)
    assert AccessGrant.from_copy(extra["access_grant_token"]) == grant
    assert [line.event for line in lab.store().history(lab.conn_id)] == ["installed"]


def test_tokens_and_broker_token_are_not_in_the_tables_as_text(lab):
    from sqlalchemy import text

    grant = lab.store().live_token(lab.conn_id)
    secrets = [grant.access_token, lab.extra()["broker_token"], "rt_"]
    with session() as s:
        for table in ("stripe_app_installation", "stripe_app_history"):
            dump = str(s.execute(text(f"SELECT * FROM {table}")).all())
            assert not [secret for secret in secrets if secret in dump]


@pytest.mark.parametrize("account_field", ["stripe_user_id", "account_id"])
def test_expired_token_is_renewed_and_the_copy_with_it(lab, account_field):
    lab.sim.oauth.switches.account_field = account_field
    old = lab.store().live_token(lab.conn_id)
    lab.expire()
    new = lab.store().live_token(lab.conn_id)
    assert new.access_token != old.access_token
    assert (new.generation, new.account_id) == (old.generation + 1, lab.account)
    assert AccessGrant.from_copy(lab.extra()["access_grant_token"]) == new
    assert lab.row().lease_until is None
    assert lab.counts["refresh"] == 1


@pytest.fixture
def slow_lab(lab):
    """Stripe is slow and honours no key: one request too many shows, and costs the grant."""
    lab.sim.oauth.switches.token_idempotency = False
    lab.sim.fail("stall", TOKEN, seconds=0.4)
    lab.asked_before = len(lab.sim.requests(TOKEN))
    return lab


@pytest.mark.parametrize("at_once", [in_processes, in_threads])
def test_twenty_with_an_expired_token_refresh_once(slow_lab, at_once):
    lab = slow_lab
    lab.expire()
    grants = at_once(20, lambda: lab.store().live_token(lab.conn_id))
    assert {type(grant) for grant in grants} == {AccessGrant}, grants
    assert len({grant.access_token for grant in grants}) == 1
    assert len(lab.sim.requests(TOKEN)) == lab.asked_before + 1
    assert lab.works(grants[0].access_token)


@pytest.mark.parametrize("at_once", [in_processes, in_threads])
def test_twenty_with_the_same_refused_token_refresh_once(slow_lab, at_once):
    lab = slow_lab
    refused = lab.store().live_token(lab.conn_id).fingerprint
    grants = at_once(20, lambda: lab.store().live_token(lab.conn_id, refused))
    assert {type(grant) for grant in grants} == {AccessGrant}, grants
    assert refused not in {grant.fingerprint for grant in grants}
    assert lab.store().live_token(lab.conn_id, refused).fingerprint == grants[0].fingerprint
    assert len(lab.sim.requests(TOKEN)) == lab.asked_before + 1, "an older token is no reason"


def test_reinstallation_is_the_next_generation_and_another_account_needs_a_confirmation(lab):
    before = lab.extra()["broker_token"]
    grant = lab.install()
    assert grant.generation == 2
    assert lab.extra()["broker_token"] == before
    other = replace(lab, account="acct_other")
    with pytest.raises(ConfigurationError, match="acct_other"):
        other.install()
    assert lab.row().account_id == lab.account


@pytest.mark.parametrize("kept", [True, False])
def test_reinstallation_works_whether_or_not_it_ends_the_old_tokens(lab, kept):
    lab.sim.switches.set(reinstall_keeps_old_tokens=kept, revoke_after_refresh=0.0)
    old = lab.store().live_token(lab.conn_id)
    lab.install()
    assert lab.works(old.access_token) is kept
    new = lab.store().live_token(lab.conn_id, old.fingerprint)
    assert lab.works(new.access_token)
    assert lab.counts["refresh"] == 0
    lab.expire()
    assert lab.works(lab.store().live_token(lab.conn_id).access_token)


def test_forgetting_leaves_no_token_and_the_next_installation_starts_afresh(lab):
    old = lab.extra()["broker_token"]
    assert lab.store().forget(lab.conn_id)
    assert not lab.store().forget(lab.conn_id)
    assert lab.extra() == {"app_conn_id": lab.app_conn_id, "colour": "blue"}
    with pytest.raises(ReauthorizationRequired, match=r"not installed.*/stripe-app/"):
        lab.store().live_token(lab.conn_id)
    assert lab.install().generation == 1
    assert lab.extra()["broker_token"] != old


# -- trouble at Stripe


def test_lost_answer_is_recovered_by_the_idempotency_key_where_stripe_honours_it(lab):
    lab.expire()
    lab.sim.fail("reset", TOKEN, when="after", count=1)
    grant = lab.store().live_token(lab.conn_id)
    assert lab.works(grant.access_token)
    assert (lab.counts["refresh"], lab.counts["replay"]) == (1, 1)


@pytest.mark.parametrize("words", ["stated", "none"])
def test_lost_answer_without_idempotency_needs_a_person_and_says_so(lab, words):
    lab.sim.switches.set(token_idempotency=False, invalid_grant_words=words)
    lab.expire()
    lab.sim.fail("reset", TOKEN, when="after", count=1)
    with pytest.raises(ReauthorizationRequired, match=r"acme.*/stripe-app/.*invalid_grant"):
        lab.store().live_token(lab.conn_id)
    assert lab.row().status == LOST
    with pytest.raises(ReauthorizationRequired):
        lab.store().live_token(lab.conn_id)
    assert lab.counts["spent_refresh"] == 1, "a lost grant is not tried again and again"
    lab.install()
    assert lab.row().status == ACTIVE


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "truncate"},
        {"action": "status", "status": 502, "body": "html", "when": "after"},
        {"action": "status", "status": 200, "body": "html", "when": "after"},
    ],
)
def test_answer_that_a_proxy_or_the_network_spoilt_is_fetched_again(lab, fault):
    lab.expire()
    lab.sim.fail(path=TOKEN, count=1, **fault)
    assert lab.works(lab.store().live_token(lab.conn_id).access_token)
    assert lab.counts["refresh"] == 1


def test_stored_500_is_not_replayed_for_a_day_because_the_key_changes(lab):
    lab.expire()
    lab.sim.oauth.fail_next(status=500, effect=False)
    assert lab.works(lab.store().live_token(lab.conn_id).access_token)
    assert lab.counts["refresh"] == 1
    assert lab.counts["replay"] == 0


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "reset"},
        {"action": "rate_limit"},
        {"action": "status", "status": 503},
        {"action": "status", "status": 404},
    ],
)
def test_trouble_changes_no_status_and_a_later_success_clears_it(lab, fault):
    lab.expire()
    lab.sim.fail(path=TOKEN, **fault)
    store = lab.store(sleep=lambda _: None)
    with pytest.raises(TokenUnavailable, match=r"acme .* right now"):
        store.live_token(lab.conn_id, wait_seconds=0)
    row = lab.row()
    assert (row.status, row.lease_until) == (ACTIVE, None)
    assert row.last_error
    asked = len(lab.sim.requests(TOKEN))
    with pytest.raises(TokenUnavailable):
        store.live_token(lab.conn_id, wait_seconds=0)
    assert len(lab.sim.requests(TOKEN)) == asked, "waiting workers do not all ask Stripe"
    lab.sim.faults.remove()
    later = time.time() + 3600
    grant = lab.store(clock=lambda: later).live_token(lab.conn_id, min_remaining=0 - 3600)
    assert lab.works(grant.access_token)
    assert lab.row().last_error is None


def test_while_stripe_is_down_a_token_with_life_left_is_still_handed_out(lab):
    old = lab.store().live_token(lab.conn_id)
    lab.set(access_expires_at=time.time() + 60)
    lab.sim.fail("status", TOKEN, status=500)
    assert lab.store(sleep=lambda _: None).live_token(lab.conn_id).fingerprint == old.fingerprint


def test_wrong_secret_key_names_the_app_connection_and_keeps_the_grant(lab):
    lab.expire()
    right = lab.app
    lab.app = lab.sim.register_app(redirect_uris=["https://x"], permissions=["customer_read"])
    with pytest.raises(ConfigurationError, match=r"secret key of connection the_app"):
        lab.store().live_token(lab.conn_id)
    assert lab.row().status == ACTIVE
    lab.app = right
    lab.set(retry_at=None)
    assert lab.works(lab.store().live_token(lab.conn_id).access_token)


def test_wrong_secret_key_that_stripe_does_not_tell_from_a_dead_token_is_mended_by_renewing(lab):
    lab.sim.switches.set(invalid_grant_words="none")
    lab.expire()
    right = lab.app
    lab.app = lab.sim.register_app(redirect_uris=["https://x"], permissions=["customer_read"])
    with pytest.raises(ReauthorizationRequired, match="invalid_grant"):
        lab.store().live_token(lab.conn_id)
    assert lab.row().status == LOST
    lab.app = right
    assert lab.works(lab.store().renew(lab.conn_id).access_token)
    assert lab.row().status == ACTIVE


def test_only_the_secret_key_of_the_app_connection_is_needed_to_renew(lab, monkeypatch):
    from airflow_provider_stripe_app.oauth.connections import token_endpoint

    monkeypatch.setenv("AIRFLOW__STRIPE_APP__API_BASE", lab.sim.url)
    lab.expire()
    assert lab.works(lab.store(endpoint_of=token_endpoint).live_token(lab.conn_id).access_token)
    lab.set(app_conn_id="nowhere")
    lab.set_extra({**lab.extra(), "app_conn_id": "nowhere"})
    lab.expire()
    with pytest.raises(ConfigurationError, match="app connection nowhere does not exist"):
        lab.store(endpoint_of=token_endpoint).live_token(lab.conn_id)


def test_false_401s_cannot_roll_one_good_token_after_another(lab):
    lab.policy = replace(lab.policy, max_refreshes_per_hour=3)
    store = lab.store()
    grant = store.live_token(lab.conn_id)
    for _ in range(3):
        grant = store.live_token(lab.conn_id, grant.fingerprint)
    with pytest.raises(TokenUnavailable, match="more than 3 times within an hour"):
        store.live_token(lab.conn_id, grant.fingerprint)
    assert lab.counts["refresh"] == 3
    lab.expire()
    assert lab.works(store.live_token(lab.conn_id).access_token), "expiry is no false 401"


def test_young_token_is_not_rolled(lab):
    lab.policy = replace(lab.policy, min_token_age=60)
    grant = lab.store().live_token(lab.conn_id)
    with pytest.raises(TokenUnavailable):
        lab.store().live_token(lab.conn_id, grant.fingerprint, wait_seconds=0.2)
    assert lab.counts["refresh"] == 0


# -- invalid_grant and other holders


class _Meanwhile:
    """An endpoint during whose call something else happens."""

    def __init__(self, outcome, event):
        self.outcome = outcome
        self.event = event

    def refresh(self, *_):
        self.event()
        return self.outcome


def test_invalid_grant_after_somebody_stored_newer_tokens_uses_those(lab):
    lab.expire()
    refused = _Meanwhile(Refused("invalid_grant", "not the latest"), lab.install)
    grant = lab.store(endpoint_of=lambda *_: refused).live_token(lab.conn_id)
    assert lab.works(grant.access_token)
    assert lab.row().status == ACTIVE


def _other_holder_takes_the_tokens(lab):
    """Another process refreshed and has not stored yet; its lease is over (it was paused)."""
    from airflow_provider_stripe_app.oauth import rows
    from airflow_provider_stripe_app.oauth.spool import Spooled

    lab.expire()
    seen = database.transaction(lambda s: rows.read(s, lab.conn_id, now=time.time()))
    granted = lab.endpoint().refresh(seen.refresh_token, "the-other's-key")
    assert isinstance(granted, Granted)
    lab.set(
        attempt_id="other",
        attempt_started_at=time.time() - 90,
        attempt_fingerprint=fingerprint(seen.refresh_token),
        lease_owner="other",
        lease_until=time.time() - 30,
    )
    return Spooled(lab.conn_id, seen.generation, fingerprint(seen.refresh_token), granted)


def test_paused_holder_may_still_store_what_it_got_although_its_lease_is_over(lab):
    lab.policy = replace(lab.policy, lost_after=30)
    entry = _other_holder_takes_the_tokens(lab)
    with pytest.raises(TokenUnavailable, match="renewed by another process"):
        lab.store().live_token(lab.conn_id, wait_seconds=0.2)
    assert lab.row().status == ACTIVE, "somebody else may hold the next tokens"
    lab.store()._adoption.adopt(entry, "refreshed", "expiring")
    grant = lab.store().live_token(lab.conn_id)
    assert grant.access_token == entry.granted.access_token
    assert lab.works(grant.access_token)


def test_holder_that_never_comes_back_costs_a_wait_and_then_a_person(lab):
    _other_holder_takes_the_tokens(lab)
    with pytest.raises(ReauthorizationRequired):
        lab.store().live_token(lab.conn_id)
    assert lab.counts["spent_refresh"] == 2
    assert lab.row().status == LOST


def test_late_holder_heals_even_a_grant_that_was_given_up(lab):
    entry = _other_holder_takes_the_tokens(lab)
    with pytest.raises(ReauthorizationRequired):
        lab.store().live_token(lab.conn_id)
    lab.store()._spool.put(entry)
    assert lab.works(lab.store().live_token(lab.conn_id).access_token)
    assert lab.row().status == ACTIVE


def test_uninstalled_app_is_found_out_and_a_person_may_try_again(lab):
    lab.sim.oauth.uninstall(lab.account, lab.app.client_id)
    lab.expire()
    with pytest.raises(ReauthorizationRequired):
        lab.store().live_token(lab.conn_id)
    with pytest.raises(ReauthorizationRequired):
        lab.store().renew(lab.conn_id)
    assert lab.counts["invalid_grant"] == 2


class _StoreTokens:
    """What a worker's tokens do, without a broker between."""

    def __init__(self, lab):
        self.lab = lab

    def get(self):
        return self.lab.store().live_token(self.lab.conn_id).access_token

    def replace(self, refused):
        return self.lab.store().live_token(self.lab.conn_id, fingerprint(refused)).access_token


@pytest.mark.parametrize("words", ["stated", "none"])
@pytest.mark.parametrize("answer", ["expired", "invalid"])
def test_request_after_an_uninstall_says_to_install_again_in_whatever_words_stripe_refuses(
    lab, answer, words
):
    lab.sim.switches.set(revoked_answer=answer, invalid_grant_words=words)
    client = StripeClient(_StoreTokens(lab), api_base=lab.sim.url)
    client.request("GET", "/v1/customers")
    lab.sim.oauth.uninstall(lab.account, lab.app.client_id)
    with pytest.raises(ReauthorizationRequired, match=r"acme.*/stripe-app/.*invalid_grant"):
        client.request("GET", "/v1/customers")
    assert lab.row().status == LOST


@pytest.mark.parametrize("answer", ["expired", "invalid"])
@pytest.mark.parametrize("grace", [0.0, 5.0, None])
def test_request_with_a_token_that_somebody_else_rolled_goes_on(lab, answer, grace):
    lab.sim.switches.set(expired_answer=answer, revoke_after_refresh=grace)
    tokens = _StoreTokens(lab)
    held = tokens.get()
    client = StripeClient(tokens, api_base=lab.sim.url)
    lab.store().renew(lab.conn_id)
    lab.sim.clock.advance(6)
    tokens.get = lambda: held
    client.request("GET", "/v1/customers")
    assert lab.counts["refresh"] == 1, "the refused token is not the stored one: no reason to renew"


def test_two_who_renew_at_once_renew_once(lab):
    class Slow:
        def refresh(self, *arguments):
            time.sleep(0.5)  # so that the other one comes while this one renews
            return lab.endpoint().refresh(*arguments)

    grants = in_threads(2, lambda: lab.store(endpoint_of=lambda *_: Slow()).renew(lab.conn_id))
    assert {grant.generation for grant in grants} == {2}
    assert lab.counts["refresh"] == 1


def test_renew_renews_now(lab):
    old = lab.store().live_token(lab.conn_id)
    new = lab.store().renew(lab.conn_id)
    assert new.generation == old.generation + 1
    assert lab.counts["refresh"] == 1


# -- the database is away, the key is another


def _database_refuses_stores(monkeypatch, lab):
    real = adoption.transaction

    def transaction(work, *, patience=10.0):
        if patience == lab.policy.store_seconds:
            raise TokenUnavailable("Airflow's metadata database does not answer.")
        return real(work, patience=patience)

    monkeypatch.setattr(adoption, "transaction", transaction)


def test_answer_that_cannot_be_stored_waits_sealed_on_disk_for_the_next_one(lab, monkeypatch):
    lab.expire()
    with monkeypatch.context() as patch:
        _database_refuses_stores(patch, lab)
        first = lab.store().live_token(lab.conn_id)
    (path,) = lab.spool_files
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert first.access_token not in path.read_text()
    assert lab.conn_id not in path.name
    lab.set(lease_until=time.time() - 1)
    second = lab.store().live_token(lab.conn_id)
    assert second.access_token == first.access_token
    assert lab.works(second.access_token)
    assert (lab.counts["refresh"], lab.spool_files) == (1, [])
    assert lab.store().history(lab.conn_id)[0].event == "recovered"


def test_tokens_on_the_disk_of_an_idle_machine_are_stored_before_another_spends_the_old_ones(
    lab, monkeypatch
):
    lab.sim.oauth.switches.token_idempotency = False
    lab.expire()
    with monkeypatch.context() as patch:
        _database_refuses_stores(patch, lab)
        first = lab.store().live_token(lab.conn_id)
        assert len(lab.spool_files) == 1
        (path,) = lab.spool_files
        os.utime(path, (time.time() - 60,) * 2)
        with pytest.raises(TokenUnavailable):
            lab.store().recover_all()
        assert lab.spool_files == [path], "what was not stored stays"
    assert lab.store().recover_all() == 1
    assert (lab.row().generation, lab.spool_files) == (2, [])
    assert lab.store().live_token(lab.conn_id).access_token == first.access_token
    assert lab.store().recover_all() == 0
    assert lab.counts["refresh"] == 1


def test_process_killed_between_answer_and_store_loses_nothing(lab):
    lab.sim.oauth.switches.token_idempotency = False
    lab.expire()

    def killed():
        real = adoption.transaction

        def transaction(work, *, patience=10.0):
            if patience == lab.policy.store_seconds:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(work, patience=patience)

        adoption.transaction = transaction
        lab.store().live_token(lab.conn_id)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert lab.counts["refresh"] == 1
    lab.set(lease_until=time.time() - 1)
    assert lab.works(lab.store().live_token(lab.conn_id).access_token)
    assert lab.counts["refresh"] == 1
    assert lab.spool_files == []


def test_tokens_on_disk_that_are_out_of_date_are_dropped(lab, monkeypatch):
    lab.expire()
    with monkeypatch.context() as patch:
        _database_refuses_stores(patch, lab)
        spooled = lab.store().live_token(lab.conn_id)
    installed = lab.install()
    assert lab.store().live_token(lab.conn_id).access_token == installed.access_token
    lab.expire()
    grant = lab.store().live_token(lab.conn_id)
    assert grant.access_token != spooled.access_token
    assert grant.generation == 3
    assert lab.spool_files == []


def test_directory_that_cannot_be_written_costs_nothing_while_the_database_works(lab, tmp_path):
    from airflow_provider_stripe_app.oauth.spool import Spool

    (tmp_path / "file").write_text("")
    lab.expire()
    store = lab.store(spool=Spool(tmp_path / "file" / "spool"))
    assert lab.works(store.live_token(lab.conn_id).access_token)


def test_locked_database_is_waited_for(metadata_db, lab):
    if not metadata_db.startswith("sqlite"):
        pytest.skip("PostgreSQL has no lock of the whole database")
    import sqlite3
    import threading

    lab.expire()
    holder = sqlite3.connect(metadata_db.removeprefix("sqlite:///"), check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.7, holder.rollback)
    timer.start()
    assert lab.works(lab.store().live_token(lab.conn_id).access_token)
    timer.join()
    holder.close()


def test_another_fernet_key_is_a_setting_to_correct_and_not_a_lost_grant(lab, monkeypatch):
    from cryptography.fernet import Fernet, MultiFernet

    right = cipher.get_fernet()

    class Other:
        is_encrypted = True
        decrypt = MultiFernet([Fernet(Fernet.generate_key())]).decrypt

    class Missing:
        is_encrypted = False

        def decrypt(self, data):
            return data

    lab.expire()
    for wrong in (Other(), Missing()):
        monkeypatch.setattr(cipher, "get_fernet", lambda wrong=wrong: wrong)
        with pytest.raises(ConfigurationError, match="fernet_key"):
            lab.store().live_token(lab.conn_id)
    monkeypatch.setattr(cipher, "get_fernet", lambda: right)
    assert lab.works(lab.store().live_token(lab.conn_id).access_token)


def test_live_tokens_are_not_stored_without_a_fernet_key_and_test_tokens_with_a_warning(
    lab, monkeypatch, caplog
):
    class Missing:
        is_encrypted = False

        def encrypt(self, data):
            return data

    monkeypatch.setattr(cipher, "get_fernet", Missing)
    granted = Granted("a", "r", lab.account, True, time.time() + 3600)
    with pytest.raises(ConfigurationError, match="fernet_key is empty"):
        lab.store().save_grant("other", granted, app_conn_id="the_app")
    assert lab.store().status("other") is None
    with caplog.at_level("WARNING"):
        lab.store().save_grant("other", replace(granted, livemode=False), app_conn_id="the_app")
    assert "plain text" in caplog.text
    assert lab.store().live_token("other").access_token == "a"


def test_rotated_fernet_key_reads_old_rows_and_writes_new_ones(lab, monkeypatch):
    from airflow.models import crypto
    from cryptography.fernet import Fernet, MultiFernet

    from airflow_provider_stripe_app.oauth.rotation import rotate_keys

    grant = lab.store().live_token(lab.conn_id)
    old = Fernet(os.environ["AIRFLOW__CORE__FERNET_KEY"].encode())
    new = Fernet(Fernet.generate_key())
    keys = crypto._RealFernet(MultiFernet([new, old]))
    monkeypatch.setattr(cipher, "get_fernet", lambda: keys)
    assert rotate_keys() == 1
    only_new = crypto._RealFernet(MultiFernet([new]))
    monkeypatch.setattr(cipher, "get_fernet", lambda: only_new)
    assert lab.store().live_token(lab.conn_id) == grant


def test_tokens_of_another_deployment_are_not_rolled(lab, monkeypatch):
    lab.set(deployment_id="production")
    monkeypatch.setenv("AIRFLOW__STRIPE_APP__DEPLOYMENT_ID", "staging")
    lab.expire()
    with pytest.raises(ConfigurationError, match=r"'production'.*'staging'"):
        lab.store().live_token(lab.conn_id)
    assert lab.counts["refresh"] == 0


# -- copy and broker


def _ask(lab, refused=None, **more):
    body = {"conn_id": lab.conn_id, "broker_token": lab.extra().get("broker_token")}
    return answer_token_request({**body, "refused_fingerprint": refused, **more}, lab.store())


def test_broker_gives_a_token_to_who_shows_the_broker_token_and_nothing_to_others(lab):
    status, answer = _ask(lab)
    assert status == 200
    assert answer["stripe_app"] == 1
    assert lab.works(answer["access_token"])
    refusals = [
        _ask(lab, broker_token="x"),
        _ask(lab, conn_id="unknown"),
        _ask(lab, broker_token="é"),
    ]
    assert {status for status, _ in refusals} == {401}
    assert len({json.dumps(body) for _, body in refusals}) == 1
    for nonsense in (None, [], {"conn_id": 1}, {"conn_id": "acme", "broker_token": None}):
        assert answer_token_request(nonsense, lab.store())[0] == 400


def test_broker_says_when_a_person_is_needed_and_when_a_retry_helps(lab):
    lab.expire()
    lab.set(status=LOST)
    status, answer = _ask(lab)
    assert (status, answer["error"]) == (409, "reauthorization_required")
    assert "/stripe-app/" in answer["message"]
    lab.set(status=ACTIVE)
    lab.sim.fail("status", TOKEN, status=500)
    status, answer = answer_token_request(
        {"conn_id": lab.conn_id, "broker_token": lab.extra()["broker_token"]},
        lab.store(sleep=lambda _: None),
    )
    assert (status, answer["error"]) == (503, "unavailable")


@pytest.mark.parametrize("damaged", ["***", "", "eyJ9", None])
def test_damaged_copy_is_repaired_by_the_next_request_and_the_users_keys_stay(lab, damaged):
    good = lab.extra()
    lab.set_extra({**good, "access_grant_token": damaged, "colour": "green"})
    assert _ask(lab)[0] == 200
    assert lab.extra() == {**good, "colour": "green"}


def test_copy_of_an_older_generation_written_back_by_a_form_is_repaired(lab):
    old = lab.extra()
    lab.expire()
    lab.store().live_token(lab.conn_id)
    new = lab.extra()
    lab.set_extra({**old, "colour": "red"})
    assert _ask(lab)[0] == 200
    assert lab.extra() == {**new, "colour": "red"}


def test_form_saved_in_the_same_moment_is_not_overwritten(lab, monkeypatch):
    from airflow_provider_stripe_app.oauth import connections

    real, saved = connections.read_extra, []

    def read_then_form_is_saved(conn):
        extra = real(conn)
        if not saved:
            saved.append(1)
            lab.set_extra({**extra, "colour": "yellow"})
        return extra

    lab.set_extra({**lab.extra(), "access_grant_token": "***"})
    monkeypatch.setattr(connections, "read_extra", read_then_form_is_saved)
    assert connections.write_copy(lab.conn_id)
    assert lab.extra()["colour"] == "yellow"
    assert AccessGrant.from_copy(lab.extra()["access_grant_token"]) is not None


def test_connection_that_cannot_be_written_never_loses_the_grant(lab, monkeypatch):
    lab.set_extra({})
    with session() as s:
        from airflow.models import Connection
        from sqlalchemy import delete

        s.execute(delete(Connection).where(Connection.conn_id == lab.conn_id))
    lab.expire()
    assert lab.works(lab.store().live_token(lab.conn_id).access_token)

    def broken(_):
        raise RuntimeError("no")

    monkeypatch.setattr(adoption, "write_copy", broken)
    lab.expire()
    assert lab.works(lab.store().live_token(lab.conn_id).access_token)
    assert lab.row().generation == 3


def _worker(lab, url):
    from types import SimpleNamespace

    def read(conn_id):
        extra = json.dumps(lab.extra())
        return SimpleNamespace(conn_id=conn_id, login=None, password=None, extra=extra)

    client = BrokerClient(lambda: ["http://127.0.0.1:1", url, f"{url}/air"])
    return BrokerTokens(lab.conn_id, read_connection=read, client=client, direct=lambda: None)


def test_twenty_workers_with_a_revoked_token_get_one_new_one_over_http(lab):
    with broker_over_http(lab) as (url, statuses):
        refused = _worker(lab, url).get()
        assert statuses == [], "a fresh copy needs no request"
        found = in_threads(20, lambda: _worker(lab, url).replace(refused))
        assert len(set(found)) == 1
        assert found[0] != refused
        assert lab.works(found[0])
        assert lab.counts["refresh"] == 1
        assert set(statuses) == {200}


def test_worker_whose_broker_token_a_form_destroyed_comes_through(lab):
    with broker_over_http(lab) as (url, statuses):
        lab.set_extra({**lab.extra(), "broker_token": "***", "access_grant_token": "***"})
        assert lab.works(_worker(lab, url).get())
        assert statuses in ([401], [401, 200])


# -- which process may use the database


def test_process_that_airflow_keeps_from_the_database_is_told_apart(lab):
    def blocked():
        from airflow.sdk.execution_time.supervisor import block_orm_access

        block_orm_access()
        return database.may_use_metadata_db()

    assert database.may_use_metadata_db()
    assert in_processes(1, blocked) == [False]
