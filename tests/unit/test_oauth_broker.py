"""A worker gets a live token with as few requests as possible, and says clearly why it cannot."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field

import pytest
import requests

from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    TokenUnavailable,
)
from airflow_provider_stripe_app.oauth import broker_client, config
from airflow_provider_stripe_app.oauth.access_grant import AccessGrant, fingerprint
from airflow_provider_stripe_app.oauth.broker import BrokerTokens
from airflow_provider_stripe_app.oauth.broker_client import (
    Busy,
    Given,
    Unauthorized,
    Unreachable,
    candidates,
    read_answer,
)
from airflow_provider_stripe_app.oauth.credentials import read_settings


def grant(token, seconds=3000.0, generation=1):
    return AccessGrant(token, time.time() + seconds, generation, "acct_1", False)


@dataclass
class Conn:
    extra: str
    conn_id: str = "stripe"
    login: str | None = None
    password: str | None = None


@dataclass
class World:
    """A connection that can change and a broker that answers from a list."""

    copy: AccessGrant | None = None
    broker_token: str = "b1"
    answers: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    reads: int = 0
    slept: list = field(default_factory=list)

    def read(self, conn_id):
        self.reads += 1
        copy = self.copy.to_copy() if self.copy else "***"
        extra = {"app_conn_id": "app", "broker_token": self.broker_token}
        return Conn(json.dumps({**extra, "access_grant_token": copy}))

    def ask(self, conn_id, broker_token, refused):
        self.asked.append((broker_token, refused))
        answer = self.answers.pop(0)
        return answer() if callable(answer) else answer

    def tokens(self, **more):
        return BrokerTokens(
            "stripe",
            read_connection=self.read,
            client=self,
            direct=lambda: None,
            sleep=self.slept.append,
            **more,
        )


def test_fresh_copy_costs_no_request_and_is_read_once():
    world = World(copy=grant("t1"))
    tokens = world.tokens()
    assert [tokens.get() for _ in range(5)] == ["t1"] * 5
    assert (world.asked, world.reads) == ([], 1)


@pytest.mark.parametrize("copy", [None, grant("old", seconds=30)])
def test_missing_damaged_or_dying_copy_asks_the_broker_once(copy):
    world = World(copy=copy, answers=[Given(grant("t2"))])
    tokens = world.tokens()
    assert [tokens.get(), tokens.get()] == ["t2", "t2"]
    assert world.asked == [("b1", None)]


def test_after_a_401_the_connection_is_read_again_before_the_broker_is_asked():
    world = World(copy=grant("t1"))
    tokens = world.tokens()
    tokens.get()
    world.copy = grant("t2", generation=2)
    assert tokens.replace("t1") == "t2"
    assert world.asked == []


def test_broker_learns_the_fingerprint_of_the_refused_token_and_not_the_token():
    world = World(copy=grant("t1"), answers=[Given(grant("t2"))])
    tokens = world.tokens()
    assert tokens.replace(tokens.get()) == "t2"
    assert world.asked == [("b1", fingerprint("t1"))]


def _unreadable(world, error, *, after):
    """Let the connection be read so often, then not any more: the API server restarts."""
    real = world.read

    def read(conn_id):
        if world.reads >= after:
            raise error
        return real(conn_id)

    world.read = read


@pytest.mark.parametrize("known", [True, False])
def test_connection_that_cannot_be_read_again_does_not_end_the_waiting_for_a_token(known):
    world = World(answers=[Unreachable(["x"]), Busy("no database"), Given(grant("t2"))])
    settings = read_settings(world.read("stripe"))
    world.reads = 0
    _unreadable(world, KeyError("The conn_id `stripe` isn't defined"), after=0 if known else 1)
    tokens = world.tokens(known=settings if known else None)
    assert tokens.get() == "t2"
    assert [token for token, _ in world.asked] == ["b1"] * 3


@pytest.mark.parametrize(("error", "after"), [(KeyError("gone"), 0), (PermissionError("no"), 1)])
def test_connection_that_was_never_read_or_is_forbidden_is_an_error_at_once(error, after):
    world = World(answers=[Busy("no database")])
    _unreadable(world, error, after=after)
    with pytest.raises(type(error)):
        world.tokens().get()


@pytest.mark.parametrize("way", ["copy", "broker"])
def test_token_is_masked_in_logs_before_anybody_has_it(way):
    from airflow.providers.common.compat.sdk import redact

    token = f"rk_test_masked_{way}"
    world = World(copy=grant(token)) if way == "copy" else World(answers=[Given(grant(token))])
    assert redact(f"Bearer {token}") == f"Bearer {token}"
    world.tokens().get()
    assert redact(f"Bearer {token}") == "Bearer ***"


def test_many_threads_with_one_refused_token_ask_once():
    world = World(copy=grant("t1"), answers=[Given(grant("t2"))])
    tokens = world.tokens()
    tokens.get()
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(tokens.replace("t1"))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["t2"] * 20
    assert len(world.asked) == 1


def test_refused_broker_token_is_read_once_more_because_a_form_may_have_been_saved():
    world = World()

    def form_is_mended():
        world.broker_token = "b2"
        return Unauthorized()

    world.answers = [form_is_mended, Given(grant("t2"))]
    assert world.tokens().get() == "t2"
    assert [token for token, _ in world.asked] == ["b1", "b2"]


def test_broker_token_refused_again_and_again_names_the_connection():
    world = World(answers=[Unauthorized()] * 3)
    with pytest.raises(ConfigurationError, match="broker_token of connection stripe"):
        world.tokens().get()


def test_while_no_broker_answers_the_keep_alive_may_renew_the_copy():
    world = World()

    def keep_alive():
        world.copy = grant("t3")
        return Unreachable(["http://a"])

    world.answers = [Unreachable(["http://a"]), keep_alive]
    assert world.tokens().get() == "t3"


def test_no_broker_at_all_names_the_option_and_the_addresses():
    world = World(answers=[Unreachable(["http://a", "http://b"])])
    with pytest.raises(TokenUnavailable, match=r"http://a, http://b.*\[stripe_app\] broker_url"):
        world.tokens(patience=0).get()


def test_busy_broker_passes_its_reason_on():
    world = World(answers=[Busy("Stripe answered HTTP 500")])
    with pytest.raises(TokenUnavailable, match="HTTP 500"):
        world.tokens(patience=0).get()


def test_threads_that_waited_for_a_failure_do_not_wait_as_long_again():
    world = World()

    def slow():
        time.sleep(0.3)
        return Busy("Stripe is down")

    world.answers = [slow]
    tokens = world.tokens(patience=0)
    errors = []

    def work():
        try:
            tokens.get()
        except TokenUnavailable as error:
            errors.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(errors)) == 1
    assert (len(errors), len(world.asked)) == (5, 1)


@pytest.mark.parametrize("extra", ["", '{"app_conn_id": "app"}', '{"broker_token": ""}'])
def test_connection_that_lost_its_keys_gets_them_back_from_the_server(extra):
    world = World(broker_token="")
    kept = world.read
    lost = Conn(extra)

    def server_mends_the_connection():
        world.broker_token = "b1"
        return Unauthorized()

    world.read = lambda conn_id: kept(conn_id) if world.broker_token else lost
    world.answers = [server_mends_the_connection, Given(grant("t1"))]
    assert world.tokens().get() == "t1"
    assert [token for token, _ in world.asked] == ["", "b1"]


def test_without_installation_the_page_is_named():
    world = World(broker_token="", answers=[Unauthorized()] * 3)
    with pytest.raises(ReauthorizationRequired, match="/stripe-app/") as caught:
        world.tokens().get()
    assert sum(world.slept) < 3
    assert "environment variable AIRFLOW_CONN_STRIPE or a secrets backend" in str(caught.value)


def test_connection_without_keys_is_not_called_uninstalled_while_nobody_can_be_asked():
    world = World(broker_token="", answers=[Unreachable(["http://a"])])
    with pytest.raises(
        TokenUnavailable, match=r"press Install.*no API server.*answers at http://a"
    ):
        world.tokens().get()
    assert world.slept == []


def test_environment_variable_that_hides_the_connection_is_named(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_STRIPE", "{}")
    world = World(answers=[Unauthorized()] * 3)
    with pytest.raises(ConfigurationError, match="variable AIRFLOW_CONN_STRIPE hides"):
        world.tokens().get()


def test_older_copy_that_a_form_brought_back_is_not_tried_after_a_401():
    world = World(copy=grant("t7", generation=7), answers=[Given(grant("t8", generation=8))])
    tokens = world.tokens()
    assert tokens.get() == "t7"
    world.copy = grant("t6", generation=6)
    assert tokens.replace("t7") == "t8"
    assert len(world.asked) == 1


def test_where_the_database_may_be_used_no_broker_is_asked():
    asked = []

    class Store:
        def live_token(self, conn_id, refused_fingerprint=None):
            asked.append((conn_id, refused_fingerprint))
            return grant(f"t{len(asked)}")

    tokens = BrokerTokens("stripe", direct=Store, client=World())
    assert tokens.get() == "t1"
    assert tokens.replace("t1") == "t2"
    assert asked == [("stripe", None), ("stripe", fingerprint("t1"))]


GOOD = {
    "stripe_app": 1,
    "access_token": "t",
    "expires_at": 5,
    "generation": 1,
    "account_id": "acct_1",
    "livemode": True,
}


def test_only_json_with_the_marker_is_an_answer():
    assert read_answer(200, b"<html>Airflow</html>", "c") is None
    assert read_answer(200, b'{"access_token": "t"}', "c") is None
    assert read_answer(404, b'{"detail": "Not Found"}', "c") is None
    assert read_answer(200, json.dumps(GOOD).encode(), "c") == Given(
        AccessGrant("t", 5.0, 1, "acct_1", True)
    )
    assert isinstance(read_answer(200, b'{"stripe_app": 1}', "c"), Busy)


def test_statuses_of_the_broker_become_the_providers_errors():
    body = b'{"stripe_app": 1, "message": "say it"}'
    assert isinstance(read_answer(401, body, "c"), Unauthorized)
    assert read_answer(503, body, "c") == Busy("say it")
    with pytest.raises(ReauthorizationRequired, match="say it"):
        read_answer(409, body, "c")
    with pytest.raises(ConfigurationError, match="say it"):
        read_answer(422, body, "c")


def test_broker_address_is_our_option_else_base_url_with_its_path(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://air.example/flow/")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://exec:9091/execution/")
    monkeypatch.setenv("AIRFLOW__API__PORT", "8081")
    assert candidates() == [
        "https://air.example/flow",
        "http://exec:9091",
        "http://localhost:8081/flow",
    ]
    monkeypatch.setenv("AIRFLOW__STRIPE_APP__BROKER_URL", "http://api:1/x/")
    assert candidates() == ["http://api:1/x"]


def test_client_goes_on_to_the_next_address_and_remembers_which_one_answered(monkeypatch):
    posted = []

    def post(self, address, body, conn_id):
        posted.append(address)
        return Given(grant("t")) if address == "http://b" else None

    monkeypatch.setattr(broker_client.BrokerClient, "_post", post)
    monkeypatch.setattr(broker_client, "speaks", lambda address, timeout: True)
    client = broker_client.BrokerClient(lambda: ["http://a", "http://b"])
    for _ in range(2):
        assert isinstance(client.ask("c", "b", None), Given)
    assert posted == ["http://a", "http://b", "http://b"]


@pytest.mark.parametrize(
    "stranger", [b"<html>Airflow</html>", b"[]", b'{"status": "ok"}', b'{"provider": "other"}']
)
def test_a_stranger_at_a_guessed_address_never_sees_the_broker_token(monkeypatch, stranger):
    def get(url, **_):
        answer = requests.Response()
        answer.status_code, answer._content = 200, stranger
        return answer

    def post(url, **_):
        raise AssertionError("the broker token was sent")

    monkeypatch.setattr(requests, "get", get)
    monkeypatch.setattr(requests, "post", post)
    client = broker_client.BrokerClient(lambda: ["http://stranger"])
    assert isinstance(client.ask("c", "secret", None), Unreachable)


def test_options_have_one_source_for_metadata_and_defaults(monkeypatch):
    described = config.CONFIG_SECTION["stripe_app"]["options"]
    assert set(described) == set(config.OPTIONS)
    assert config.api_base() == described["api_base"]["default"] == "https://api.stripe.com"
    assert config.token_policy() == config.TokenPolicy(), "the dataclass repeats the defaults"
    monkeypatch.setenv("AIRFLOW__STRIPE_APP__KEEPALIVE", "no")
    assert config.keepalive() is False
    for name, value in {"API_BASE": "ftp://x", "MIN_TOKEN_AGE": "-1", "KEEPALIVE": "maybe"}.items():
        monkeypatch.setenv(f"AIRFLOW__STRIPE_APP__{name}", value)
    for function in (config.api_base, config.token_policy, config.keepalive):
        with pytest.raises(ConfigurationError, match=r"\[stripe_app\]"):
            function()


def test_refused_without_time_to_ask_again_does_not_blame_the_address():
    world = World(answers=[Unauthorized()])
    with pytest.raises(TokenUnavailable, match="refused the broker_token of connection stripe"):
        world.tokens(patience=0.0).get()
