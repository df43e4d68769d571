"""Secrets leave the query string before anything can log it."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_stripe_app.plugin.shield import (
    BODY_LIMIT,
    QueryShield,
    query_of,
    shield_query,
)


@pytest.mark.parametrize(
    "query",
    [
        b"code=ac_secret&state=st_secret",
        b"state=st_secret&code=ac_secret",
        b"c%6Fde=ac_secret&stat%65=st_secret",
        b"code=ac_sec%72et&code=ac_secret2&x=1",
        b"error=&code=ac_secret",
    ],
)
def test_code_and_state_never_stay_in_the_query_string(query):
    scope = {"type": "http", "query_string": query}
    shield_query(scope)
    assert b"secret" not in scope["query_string"]
    assert b"code=***" in scope["query_string"]
    assert query_of(scope)["code"] == "ac_secret"


@pytest.mark.parametrize(
    "query",
    [
        b"error=ac_0123456789secret&state=st",
        b"Code=ac_0123456789secret",
        b"x=1;code=ac_0123456789secret",
        b"rt_0123456789secret",
        b"a=sk_test_0123456789secret&b=rk_live_0123456789secret",
    ],
)
def test_what_looks_like_a_secret_of_stripes_is_masked_under_any_name(query):
    scope = {"type": "http", "query_string": query}
    shield_query(scope)
    assert b"secret" not in scope["query_string"]
    assert b"***" in scope["query_string"]


def test_other_parameters_stay_readable():
    scope = {"type": "http", "query_string": b"notice=installed&conn_id=a%20b"}
    shield_query(scope)
    assert scope["query_string"] == b"notice=installed&conn_id=a%20b"
    assert query_of(scope) == {"notice": "installed", "conn_id": "a b"}


@pytest.mark.parametrize("query", [b"", b"%ff=%zz&&==&\xff", b"&" * 1000])
def test_odd_query_strings_do_not_raise(query):
    scope = {"type": "http", "query_string": query}
    shield_query(scope)
    assert "code" not in query_of(scope)


def run(app, scope):
    sent = []

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        sent.append(message)

    asyncio.run(QueryShield(app)(scope, receive, send))
    return sent


def test_error_that_nobody_caught_is_masked_and_gets_the_headers_too(caplog):
    async def broken(scope, receive, send):
        raise RuntimeError("boom")

    scope = {"type": "http", "query_string": b"code=ac_secret"}
    started, body = run(broken, scope)
    assert scope["query_string"] == b"code=***"
    assert started["status"] == 500
    headers = dict(started["headers"])
    assert b"default-src 'none'" in headers[b"content-security-policy"]
    assert headers[b"cache-control"] == b"no-store"
    assert b"boom" not in body["body"]
    assert "boom" in caplog.text


def test_error_in_the_middle_of_an_answer_ends_the_connection():
    async def broken(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        run(broken, {"type": "http", "query_string": b""})


def test_large_bodies_are_not_read_to_their_end():
    read = []

    async def app(scope, receive, send):
        while True:
            read.append(len((await receive()).get("body", b"")))

    async def receive():
        return {"type": "http.request", "body": b"x" * 20_000, "more_body": True}

    async def send(message):
        sent.append(message)

    sent = []
    asyncio.run(QueryShield(app)({"type": "http", "query_string": b""}, receive, send))
    assert sum(read) <= BODY_LIMIT
    assert len(sent) == 2


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_websockets_are_masked_like_requests(kind):
    async def app(scope, receive, send):
        pass

    scope = {"type": kind, "query_string": b"code=ac_secret"}
    run(app, scope)
    assert scope["query_string"] == b"code=***"


def test_every_answer_is_private_and_unframed_and_a_header_of_the_route_wins():
    async def app(scope, receive, send):
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"Referrer-Policy", b"no-referrer")],
            }
        )

    headers = run(app, {"type": "http", "query_string": b""})[0]["headers"]
    found = {name.lower(): value for name, value in headers}
    assert found[b"cache-control"] == b"no-store"
    assert found[b"x-frame-options"] == b"DENY"
    assert found[b"referrer-policy"] == b"no-referrer"
    policy = found[b"content-security-policy"].decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert len([1 for name, _ in headers if name.lower() == b"referrer-policy"]) == 1


def test_lifespan_messages_pass_untouched():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    scope = {"type": "lifespan"}
    run(app, scope)
    assert seen == [{"type": "lifespan"}]
