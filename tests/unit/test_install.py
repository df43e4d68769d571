"""Installing: one-time values, what Stripe's answers lead to, and what is never accepted."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth import install, install_target
from airflow_provider_stripe_app.oauth.credentials import AppSettings
from airflow_provider_stripe_app.oauth.install import (
    DifferentAccount,
    Holder,
    Installer,
    InstallError,
)
from airflow_provider_stripe_app.oauth.install_link import parse_install_link
from airflow_provider_stripe_app.oauth.install_states import (
    LIFETIME,
    InstallStateError,
    InstallStates,
    Pending,
)
from airflow_provider_stripe_app.oauth.models import Base, InstallState
from airflow_provider_stripe_app.oauth.token_endpoint import Granted, Refused, Trouble, WrongKey

ANN, BOB = "airflow:ann", "airflow:bob"
LINK = "https://marketplace.stripe.com/oauth/v2/chnlink_1/authorize?client_id=ca_abc"
URI = "https://airflow.example.com/af/stripe-app/callback"


class Now:
    value = 1_800_000_000.0

    def __call__(self) -> float:
        return self.value


@pytest.fixture
def database(tmp_path: Path):
    engine = create_engine(f"sqlite:///{tmp_path}/states.db", connect_args={"timeout": 20})
    Base.metadata.create_all(engine)

    def transaction(work):
        with Session(engine) as session:
            result = work(session)
            session.commit()
            return result

    yield transaction
    engine.dispose()


@pytest.fixture
def clock() -> Now:
    return Now()


@pytest.fixture
def states(database, clock) -> InstallStates:
    return InstallStates(database, clock)


# -- one-time values


def test_value_leads_back_once_to_its_own_user(states):
    value = states.issue("state", Pending("app", ANN, data={"installation_conn_id": "shop"}))
    assert states.use(value, "state", ANN) == Pending(
        "app", ANN, data={"installation_conn_id": "shop"}
    )
    with pytest.raises(InstallStateError, match="used before"):
        states.use(value, "state", ANN)


def test_only_the_hash_of_a_value_and_sealed_secrets_are_stored(states, database):
    value = states.issue("parked", Pending("app", ANN, secret={"code": "ac_verysecret"}))
    rows = database(
        lambda session: [
            (row.state_hash, row.conn_id, row.data) for row in session.scalars(select(InstallState))
        ]
    )
    assert value not in repr(rows)
    assert "ac_verysecret" not in repr(rows)
    assert states.use(value, "parked", ANN).secret == {"code": "ac_verysecret"}
    rows = database(lambda session: [row.data for row in session.scalars(select(InstallState))])
    assert "sealed" not in rows[0], "what was used is not kept"


def test_value_of_another_kind_user_or_time_is_refused(states, clock):
    value = states.issue("state", Pending("app", ANN))
    with pytest.raises(InstallStateError, match="not started from this Airflow"):
        states.use(value, "confirm", ANN)
    with pytest.raises(InstallStateError, match="another Airflow user"):
        states.use(value, "state", BOB)
    clock.value += LIFETIME + 1
    with pytest.raises(InstallStateError, match="10 minutes"):
        states.use(value, "state", ANN)


def test_made_up_value_is_refused(states):
    with pytest.raises(InstallStateError, match="not started from this Airflow"):
        states.use("", "state", ANN)


def test_of_many_at_once_one_wins(states):
    value = states.issue("state", Pending("app", ANN))
    won, refused = [], []
    barrier = threading.Barrier(8)

    def run() -> None:
        barrier.wait()
        try:
            won.append(states.use(value, "state", ANN))
        except InstallStateError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(refused)) == (1, 7)


def test_old_values_are_swept_when_a_new_one_is_made(states, database, clock):
    states.issue("state", Pending("app", ANN))
    clock.value += 2 * 86400
    states.issue("state", Pending("app", ANN))
    assert len(database(lambda session: session.scalars(select(InstallState)).all())) == 1


# -- the flow


class Store:
    def __init__(self) -> None:
        self.saved: list[tuple] = []

    def save_grant(self, conn_id, granted, **facts):
        self.saved.append((conn_id, granted, facts))


def granted(account="acct_1", livemode=False):
    return Granted("at", "rt", account, livemode, 1e10)


@pytest.fixture
def flow(states, monkeypatch):
    """An installer whose connections are always fine; ``flow.outcomes`` are Stripe's answers."""
    monkeypatch.setattr(install_target, "check_target", lambda *_: None)
    monkeypatch.setattr(install_target, "ensure_target", lambda *_: None)
    monkeypatch.setattr(install_target, "find_row", lambda _: install_target.Row("stripe_app", "t"))
    installed = {}
    monkeypatch.setattr(install, "_installed_holder", installed.get)
    settings = AppSettings("app", parse_install_link(LINK), "sk_test_x", livemode=False)
    outcomes: list = []
    asked: list = []

    def exchange(app_conn_id, code):
        asked.append(code)
        return outcomes.pop(0)

    store = Store()
    steps = Installer(
        store,
        URI,
        states=states,
        app_settings=lambda _: settings,
        exchange=exchange,
        pause=lambda _: None,
        look_closer=lambda *_: None,
    )
    steps.outcomes, steps.asked, steps.store, steps.installed = outcomes, asked, store, installed
    return steps


def begin(flow, user=ANN) -> str:
    from urllib.parse import parse_qs, urlsplit

    link = urlsplit(flow.begin("app", "shop", user))
    query = parse_qs(link.query)
    assert link.path == "/oauth/v2/chnlink_1/authorize"
    assert query["redirect_uri"] == [URI]
    return query["state"][0]


def allow(*_) -> None:
    return None


def test_grant_is_stored_with_its_team_and_user(flow):
    state = begin(flow)
    flow.outcomes.append(granted())
    done = flow.complete(state, "ac_1", ANN, allow)
    assert (done.conn_id, done.account_id, done.livemode) == ("shop", "acct_1", False)
    ((conn_id, _, facts),) = flow.store.saved
    assert conn_id == "shop"
    assert facts["team_name"] == "t"
    assert facts["installed_by"] == ANN
    assert facts["allow_account_change"] is False


def test_nothing_is_exchanged_before_state_user_and_rights_are_checked(flow):
    state = begin(flow)

    def deny(app_conn_id, conn_id):
        assert (app_conn_id, conn_id) == ("app", "shop")
        raise InstallError("no right")

    for attempt in (
        lambda: flow.complete("made up", "ac_1", ANN, allow),
        lambda: flow.complete(state, "ac_1", BOB, allow),
        lambda: flow.complete(state, "ac_1", ANN, deny),
    ):
        with pytest.raises((InstallStateError, InstallError)):
            attempt()
    assert flow.asked == []
    flow.outcomes.append(granted())
    assert flow.complete(state, "ac_1", ANN, allow).conn_id == "shop"


def test_trouble_is_tried_again_within_the_life_of_the_code(flow):
    flow.outcomes += [Trouble("reset", False), Trouble("HTTP 503", True), granted()]
    assert flow.complete(begin(flow), "ac_1", ANN, allow).account_id == "acct_1"
    assert len(flow.asked) == 3


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (Refused("invalid_grant", "expired"), "works once and for 5 minutes"),
        (WrongKey("does not belong to you"), "secret key of connection app"),
        (granted(account=None), "does not say which account"),
        (granted(livemode=True), "a test key"),
    ],
)
def test_what_is_no_good_grant_is_not_stored(flow, outcome, sentence):
    flow.outcomes.append(outcome)
    with pytest.raises(InstallError, match=sentence):
        flow.complete(begin(flow), "ac_1", ANN, allow)
    assert flow.store.saved == []
    assert len(flow.asked) == 1


def test_unreachable_stripe_is_a_sentence_and_stores_nothing(flow):
    flow.outcomes += [Trouble("no answer", False)] * 3
    with pytest.raises(InstallError, match="could not be reached"):
        flow.complete(begin(flow), "ac_1", ANN, allow)
    assert flow.store.saved == []


def test_another_account_waits_for_its_own_user_to_confirm(flow):
    flow.installed["shop"] = Holder("acct_0", False)
    flow.outcomes.append(granted())
    with pytest.raises(DifferentAccount) as caught:
        flow.complete(begin(flow), "ac_1", ANN, allow)
    different = caught.value
    assert (different.old_account, different.new_account) == ("acct_0", "acct_1")
    assert flow.store.saved == []
    with pytest.raises(InstallStateError, match="another Airflow user"):
        flow.confirm(different.handle, BOB, allow)
    assert flow.confirm(different.handle, ANN, allow).account_id == "acct_1"
    assert flow.store.saved[0][2]["allow_account_change"] is True
    with pytest.raises(InstallStateError, match="used before"):
        flow.confirm(different.handle, ANN, allow)


def test_another_mode_of_the_same_account_has_to_be_confirmed(flow):
    flow.installed["shop"] = Holder("acct_1", True)
    flow.outcomes.append(granted(livemode=False))
    with pytest.raises(DifferentAccount, match="acct_1 in live mode, but acct_1 in test mode"):
        flow.complete(begin(flow), "ac_1", ANN, allow)
    assert flow.store.saved == []


def test_what_was_confirmed_is_only_what_was_asked(flow):
    flow.installed["shop"] = Holder("acct_0", False)
    flow.outcomes.append(granted())
    with pytest.raises(DifferentAccount) as first:
        flow.complete(begin(flow), "ac_1", ANN, allow)
    flow.installed["shop"] = Holder("acct_9", False)  # somebody else was faster
    with pytest.raises(DifferentAccount) as second:
        flow.confirm(first.value.handle, ANN, allow)
    assert (second.value.old_account, second.value.new_account) == ("acct_9", "acct_1")
    assert flow.store.saved == []
    assert flow.confirm(second.value.handle, ANN, allow).account_id == "acct_1"


def test_the_question_is_for_those_who_may_still_install(flow):
    flow.installed["shop"] = Holder("acct_0", False)
    flow.outcomes.append(granted())
    with pytest.raises(DifferentAccount) as caught:
        flow.complete(begin(flow), "ac_1", ANN, allow)

    def deny(app_conn_id, conn_id):
        assert (app_conn_id, conn_id) == ("app", "shop")
        raise InstallError("no right")

    with pytest.raises(InstallError, match="no right"):
        flow.waiting(caught.value.handle, ANN, deny)
    assert flow.waiting(caught.value.handle, ANN, allow).old_account == "acct_0"


def test_connection_that_became_something_else_meanwhile_gets_nothing(flow, monkeypatch):
    state = begin(flow)

    def refuse(app_conn_id, conn_id):
        assert (app_conn_id, conn_id) == ("app", "shop")
        raise ConfigurationError("shop is of another type now")

    monkeypatch.setattr(install_target, "check_target", refuse)
    with pytest.raises(ConfigurationError):
        flow.complete(state, "ac_1", ANN, allow)
    assert (flow.asked, flow.store.saved) == ([], [])


def test_history_names_the_person_and_the_state_their_id(flow):
    flow._by = "airflow:ann"
    state = begin(flow, "airflow:17")
    flow.outcomes.append(granted())
    flow.complete(state, "ac_1", "airflow:17", allow)
    assert flow.store.saved[0][2]["installed_by"] == "airflow:ann"


def test_two_tabs_install_into_the_connections_that_they_were_opened_for(flow):
    states = [begin(flow), begin(flow)]
    flow.outcomes += [granted(), granted()]
    for number, state in enumerate(reversed(states)):
        flow.installed["shop"] = Holder("acct_1", False)
        assert flow.complete(state, f"ac_{number}", ANN, allow).conn_id == "shop"
    assert len(flow.store.saved) == 2


def test_same_account_is_replaced_without_a_question(flow):
    flow.installed["shop"] = Holder("acct_1", False)
    flow.outcomes.append(granted())
    assert flow.complete(begin(flow), "ac_1", ANN, allow).account_id == "acct_1"


def test_denied_consent_uses_the_state_up(flow):
    state = begin(flow)
    with pytest.raises(InstallError, match="consent was denied"):
        flow.decline(state, ANN, "access_denied")
    with pytest.raises(InstallStateError, match="used before"):
        flow.complete(state, "ac_1", ANN, allow)


@pytest.mark.parametrize("error", ["<script>", "x" * 100, "a b", "é"])
def test_strange_error_words_are_not_repeated(flow, error):
    with pytest.raises(InstallError) as caught:
        flow.decline(begin(flow), ANN, error)
    assert error not in str(caught.value)


def test_callback_of_a_command_line_installation_is_not_parked(flow):
    state = begin(flow, "cli:root")
    with pytest.raises(InstallStateError, match="airflow stripe-app exchange"):
        flow.park(state, {"code": "ac_1", "state": state})


@pytest.mark.parametrize("base", ["https://a.example.com/af", "https://a.example.com/af/"])
def test_redirect_uri_has_one_form(base):
    assert install.callback_uri(base) == "https://a.example.com/af/stripe-app/callback"
