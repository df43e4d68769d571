"""The broker tells nobody which installations exist, and takes no odd input."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth import broker_access, broker_server
from airflow_provider_stripe_app.oauth.broker_access import WorkerRequest, may_ask
from airflow_provider_stripe_app.oauth.cipher import seal
from airflow_provider_stripe_app.oauth.models import Base, Installation

NAMES = ("shop", "other", "third")


@pytest.fixture
def database(tmp_path, monkeypatch):
    """Three installations; ``work`` lists the statements, decryptions and comparisons."""
    engine = create_engine(f"sqlite:///{tmp_path}/broker.db")
    Base.metadata.create_all(engine)
    work: list[str] = []

    def transaction(run):
        with Session(engine) as session:
            return run(session)

    with Session(engine) as session:
        for name in NAMES:
            session.add(installation(name))
        session.commit()
    monkeypatch.setattr(broker_access, "transaction", transaction)
    event.listen(engine, "before_cursor_execute", lambda *a: work.append(a[2].split("WHERE")[0]))
    unseal = broker_access.unseal
    digest = broker_access._digest
    monkeypatch.setattr(broker_access, "unseal", lambda text: work.append("unseal") or unseal(text))
    monkeypatch.setattr(
        broker_access, "_digest", lambda token: work.append("digest") or digest(token)
    )
    yield SimpleNamespace(engine=engine, work=work)
    engine.dispose()


def installation(name: str) -> Installation:
    return Installation(
        conn_id=name,
        app_conn_id="app",
        account_id="acct_1",
        livemode=False,
        status="active",
        access_token_sealed=seal("at"),
        refresh_token_sealed=seal("rt"),
        broker_token_sealed=seal(f"token of {name}"),
        access_expires_at=1.0,
        refresh_expires_at=1.0,
        generation=1,
        version=1,
        idempotency_suffix=0,
        last_refreshed_at=1.0,
        created_at=1.0,
        updated_at=1.0,
    )


def test_only_the_own_token_opens(database):
    assert may_ask("shop", "token of shop")
    wrong = ["token of other", "", "token of shop ", "Token of shop", "é", "\ud800"]
    assert not any(may_ask("shop", token) for token in wrong)
    assert not any(may_ask("unknown", token) for token in ["token of shop", *wrong])


def test_the_same_work_is_done_whether_an_installation_exists_or_not(database):
    done = {}
    for conn_id in ("shop", "other", "unknown"):
        database.work.clear()
        assert not may_ask(conn_id, "wrong")
        done[conn_id] = list(database.work)
    assert done["shop"] == done["other"] == done["unknown"]
    assert done["shop"].count("unseal") == 1


def test_a_wrong_fernet_key_shows_for_every_name_alike(database, monkeypatch):
    def fail(text):
        raise ConfigurationError("another key")

    monkeypatch.setattr(broker_access, "unseal", fail)
    store = SimpleNamespace()
    answers = [
        broker_server.answer_token_request({"conn_id": name, "broker_token": "x"}, store)
        for name in ("shop", "unknown")
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 422


def test_without_any_installation_the_answer_is_the_same(database):
    with Session(database.engine) as session:
        session.query(Installation).delete()
        session.commit()
    assert not may_ask("shop", "token of shop")


def test_refused_worker_gets_one_answer_and_its_connection_is_mended_by_the_caller(database):
    mended: list[str] = []
    answers = [
        broker_server.answer_token_request(
            {"conn_id": name, "broker_token": token}, SimpleNamespace(), mend=mended.append
        )
        for name, token in (("shop", "wrong"), ("shop", ""), ("unknown", "token of shop"))
    ]
    assert [status for status, _ in answers] == [401] * 3
    assert len({json.dumps(body) for _, body in answers}) == 1
    assert mended == ["shop", "shop", "unknown"]


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "shop",
        {},
        {"conn_id": "shop"},
        {"conn_id": "", "broker_token": "x"},
        {"conn_id": ["shop"], "broker_token": "x"},
        {"conn_id": {"a": 1}, "broker_token": "x"},
        {"conn_id": 1, "broker_token": "x"},
        {"conn_id": True, "broker_token": "x"},
        {"conn_id": "shop", "broker_token": None},
        {"conn_id": "shop", "broker_token": 7},
        {"conn_id": "shop", "broker_token": "x" * 513},
        {"conn_id": "s" * 251, "broker_token": "x"},
        {"conn_id": "shop\x00", "broker_token": "x"},
        {"conn_id": "shop\nINFO", "broker_token": "x"},
        {"conn_id": "\ud800", "broker_token": "x"},
        {"conn_id": "shop", "broker_token": "\udfff"},
        {"conn_id": "shop", "broker_token": "x", "refused_fingerprint": 1},
        {"conn_id": "shop", "broker_token": "x", "refused_fingerprint": "\x00"},
        {"conn_id": "shop", "broker_token": "x", "refused_fingerprint": "f" * 129},
    ],
)
def test_what_no_worker_sends_is_refused_before_anything_is_looked_up(database, body):
    assert broker_server.answer_token_request(body, SimpleNamespace())[0] == 400
    assert database.work == []


def test_request_does_not_show_its_token():
    asked = WorkerRequest.of({"conn_id": "shop", "broker_token": "secret", "more": 1})
    assert asked is not None
    assert asked.refused_fingerprint is None
    assert "secret" not in repr(asked)
