"""The client against a server that misbehaves on the wire as Stripe and networks do."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_stripe_app.api.client import StripeClient
from airflow_provider_stripe_app.api.errors import (
    CursorDeleted,
    InvalidRequest,
    NotStripe,
    ObjectMissing,
    PermissionMissing,
    RateLimited,
    ServerTrouble,
    StripeApiError,
    Unauthorized,
)
from airflow_provider_stripe_app.api.rate_limit import RateLimiter
from airflow_provider_stripe_app.api.retry import RetryPolicy
from airflow_provider_stripe_app.api.tokens import StaticToken
from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.exceptions import ConfigurationError

TOKEN = "rk_test_secretsecret1"
PRIVATE = {"email": "private@example.com"}
OK = b'{"id":"cus_1","created":5}'


@dataclass
class Reply:
    status: int = 200
    body: bytes = OK
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    reset: bool = False
    dated: bool = True


@dataclass
class Seen:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: str
    peer: int


Script = list[Reply] | Callable[[Seen], Reply]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        parts = urlsplit(self.path)
        seen = Seen(
            self.command,
            parts.path,
            parse_qs(parts.query),
            dict(self.headers.items()),
            self.rfile.read(length).decode(),
            self.client_address[1],
        )
        with self.server.lock:
            self.server.seen.append(seen)
            script = self.server.script
            reply = script(seen) if callable(script) else script.pop(0)
        if reply.reset:
            # SO_LINGER 0: close with RST instead of FIN
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()
            return
        self.send_response_only(reply.status)
        if reply.dated:
            self.send_header("Date", formatdate(self.server.now(), usegmt=True))
        for name, value in {"Request-Id": "req_1", **reply.headers}.items():
            self.send_header(name, value)
        if "Content-Length" not in reply.headers:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body[: len(reply.body) - reply.cut])
        self.close_connection = bool(reply.cut) or self.close_connection

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.seen: list[Seen] = []
        self.script: Script = []
        self.now: Callable[[], float] = time.time
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # the connections that a test breaks on purpose


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Tokens:
    """Hands out a new token for each refused one."""

    def __init__(self) -> None:
        self.number = 1
        self.refused: list[str] = []

    def get(self) -> str:
        return f"rk_test_secretsecret{self.number}"

    def replace(self, refused: str) -> str:
        self.refused.append(refused)
        self.number += 1
        return self.get()


@pytest.fixture
def naps() -> list[float]:
    return []


@pytest.fixture
def client(server: Server, naps: list[float]) -> StripeClient:
    return StripeClient(Tokens(), api_base=server.url, timeout=(2, 2), sleep=naps.append)


def failure(status: int, code: str = "", param: str = "", **headers: str) -> Reply:
    error = {"type": "api_error", "message": "It failed", "code": code, "param": param}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps({"error": error}).encode(), named)


def test_every_request_carries_version_agent_and_bearer(server, client):
    server.script = [Reply()]
    answer = client.request("GET", "/v1/customers/cus_1", {"expand": ["a"]})
    headers = server.seen[0].headers
    assert headers["Stripe-Version"] == API_VERSION
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["User-Agent"].startswith("airflow-provider-stripe-app/")
    assert "Idempotency-Key" not in headers
    assert server.seen[0].query == {"expand[0]": ["a"]}
    assert answer.json() == {"id": "cus_1", "created": 5}
    assert (answer.text, answer.request_id) == (OK.decode(), "req_1")
    assert (answer.deleted, answer.missing) == (False, False)


def test_netrc_does_not_replace_the_token(server, client, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.script = [Reply()]
    client.request("GET", "/v1/x")
    assert server.seen[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_connections_are_kept_open(server, client):
    server.script = [Reply() for _ in range(20)] + [failure(400)]
    for _ in range(20):
        client.request("GET", "/v1/x")
    with pytest.raises(InvalidRequest):
        client.request("GET", "/v1/x")
    assert len({seen.peer for seen in server.seen}) == 1


def test_threads_share_a_pool_of_connections(server, client):
    server.script = lambda _: Reply()

    def work() -> None:
        for _ in range(10):
            client.request("GET", "/v1/x", purpose="many")

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.requests == {"many": 100}
    assert len({seen.peer for seen in server.seen}) <= 10


# -- tokens


def test_refused_token_is_replaced_once_and_the_request_repeated(server, client, naps):
    server.script = [failure(401, "api_key_expired"), Reply()]
    assert client.request("GET", "/v1/x").status == 200
    tokens = [seen.headers["Authorization"][-1] for seen in server.seen]
    assert tokens == ["1", "2"]
    assert naps == []


def test_a_call_that_outlives_two_tokens_gets_a_third(server, client):
    server.script = [failure(401), failure(500), failure(401), Reply()]
    assert client.request("GET", "/v1/x").status == 200
    tokens = [seen.headers["Authorization"][-1] for seen in server.seen]
    assert tokens == ["1", "2", "2", "3"]


def test_tokens_refused_one_after_another_are_unauthorized(server, client):
    server.script = [failure(401)] * 4
    with pytest.raises(Unauthorized, match="reauthorize"):
        client.request("GET", "/v1/x")
    assert len(server.seen) == 3


def test_a_token_is_replaced_only_once_even_if_no_other_is_there(server):
    class Stubborn:
        replaced = 0

        def get(self) -> str:
            return TOKEN

        def replace(self, refused: str) -> str:
            self.replaced += 1
            return refused

    tokens = Stubborn()
    server.script = [failure(401)] * 4
    with pytest.raises(Unauthorized):
        StripeClient(tokens, api_base=server.url).request("GET", "/v1/x")
    assert tokens.replaced == 1
    assert len(server.seen) == 2


def test_a_post_keeps_its_idempotency_key_over_a_new_token(server, client):
    server.script = [failure(401), Reply()]
    client.request("POST", "/v1/customers", body={"name": "x", "metadata": {"a": "b"}})
    keys = {seen.headers["Idempotency-Key"] for seen in server.seen}
    assert len(keys) == 1
    assert parse_qs(server.seen[1].body) == {"name": ["x"], "metadata[a]": ["b"]}


# -- retries


def test_lost_answer_of_a_post_is_asked_for_again_with_the_same_key(server, client):
    effects: dict[str, bytes] = {}

    def stripe(seen: Seen) -> Reply:
        key = seen.headers["Idempotency-Key"]
        first = key not in effects
        effects.setdefault(key, b'{"id":"cus_%d"}' % (len(effects) + 1))
        return Reply(body=effects[key], reset=first)

    server.script = stripe
    made = [client.request("POST", "/v1/customers", body={}).json()["id"] for _ in range(2)]
    assert made == ["cus_1", "cus_2"]
    assert len(server.seen) == 4


def test_a_given_idempotency_key_is_used_for_delete_too(server, client):
    server.script = [failure(503), Reply(body=b'{"id":"cus_1","deleted":true}')]
    answer = client.request("DELETE", "/v1/customers/cus_1", idempotency_key="mine")
    assert [seen.headers["Idempotency-Key"] for seen in server.seen] == ["mine", "mine"]
    assert answer.deleted


@pytest.mark.parametrize(
    "bad",
    [
        Reply(cut=5),
        Reply(reset=True),
        Reply(body=OK[:-3]),
        Reply(body=b""),
        Reply(body=b'{"id":"a","x":"\xff"}'),
        Reply(body=OK, headers={"Content-Encoding": "gzip"}),
        failure(500),
        failure(409),
        failure(429, "lock_timeout"),
        failure(429, "rate_limit", Stripe_Rate_Limited_Reason="endpoint-rate"),
        failure(400, Stripe_Should_Retry="true"),
    ],
    ids=repr,
)
def test_passing_trouble_is_retried_with_growing_waits(server, client, naps, bad):
    server.script = [bad, bad, Reply()]
    assert client.request("GET", "/v1/x", purpose="p").body == OK
    assert len(naps) == 2
    assert 0.25 <= naps[0] <= 0.5 <= naps[1] <= 1
    assert client.requests == {"p": 3}, "every request sent is counted"


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (failure(500, Stripe_Should_Retry="false"), ServerTrouble),
        (failure(429, Stripe_Should_Retry="false"), RateLimited),
        (failure(500, Idempotent_Replayed="true"), ServerTrouble),
        (failure(400), InvalidRequest),
        (failure(402), InvalidRequest),
    ],
)
def test_what_a_retry_cannot_mend_is_raised_at_once(server, client, bad, kind):
    server.script = [bad]
    with pytest.raises(kind):
        client.request("GET", "/v1/x")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("bad", "kind", "tries"),
    [
        (failure(500), ServerTrouble, 8),
        (Reply(cut=1), ServerTrouble, 8),
        (failure(429, Stripe_Rate_Limited_Reason="global-rate"), RateLimited, 25),
    ],
    ids=["500", "truncated", "429"],
)
def test_retries_end_with_an_error_that_says_so(server, client, bad, kind, tries):
    server.script = lambda _: bad
    with pytest.raises(kind) as caught:
        client.request("GET", "/v1/x", PRIVATE)
    assert len(server.seen) == tries
    assert TOKEN not in str(caught.value)
    assert "private" not in str(caught.value)


def test_retries_are_bounded_by_time_too(server):
    server.script = lambda _: failure(500)
    policy = RetryPolicy(attempts=1000, seconds=0.4, base=0.02, cap=0.02)
    client = StripeClient(StaticToken(TOKEN), api_base=server.url, retry=policy)
    began = time.monotonic()
    with pytest.raises(ServerTrouble):
        client.request("GET", "/v1/x")
    assert time.monotonic() - began < 2


def test_unreachable_stripe_is_named_without_url_or_secret():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = StripeClient(
        StaticToken(TOKEN),
        api_base=f"http://user:pa55@127.0.0.1:{port}",
        retry=RetryPolicy(attempts=2),
        sleep=lambda _: None,
    )
    with pytest.raises(ServerTrouble) as caught:
        client.request("GET", "/v1/x", PRIVATE)
    text = str(caught.value)
    assert "Connection refused" in text
    assert f"127.0.0.1:{port}" in text
    shown = "".join(traceback.format_exception(caught.value))
    assert not any(secret in shown for secret in ("pa55", "private@", TOKEN))


def test_a_429_storm_is_survived_and_slows_the_limiter(server):
    window: list[float] = []

    def stripe(_: Seen) -> Reply:
        now = time.monotonic()
        window[:] = [t for t in window if t > now - 0.25]
        if len(window) >= 10:
            return failure(429, "rate_limit", Stripe_Rate_Limited_Reason="endpoint-rate")
        window.append(now)
        return Reply()

    server.script = stripe
    limiter = RateLimiter(400, 200)
    policy = RetryPolicy(base=0.05, cap=0.2)
    client = StripeClient(StaticToken(TOKEN), api_base=server.url, limiter=limiter, retry=policy)
    done: list[int] = []

    def work() -> None:
        done.extend(client.request("GET", "/v1/x").status for _ in range(8))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [200] * 64
    assert len(server.seen) > 64, "there was a storm"
    assert limiter.rates()["GET /v1/x"] < 196
    assert limiter.rates()["account"] == 392


def test_a_rate_limit_without_a_reason_slows_the_endpoint_but_a_lock_does_not(server):
    limiter = RateLimiter(100, 25, headroom=1)
    client = StripeClient(
        StaticToken(TOKEN), api_base=server.url, limiter=limiter, sleep=lambda _: None
    )
    server.script = [failure(429, "lock_timeout"), Reply(), failure(429, "rate_limit"), Reply()]
    client.request("GET", "/v1/x")
    assert limiter.rates()["GET /v1/x"] == 25
    client.request("GET", "/v1/x")
    assert limiter.rates()["GET /v1/x"] < 21
    assert limiter.rates()["account"] == 100


def test_429s_are_counted_by_their_reason(server, client):
    reasons = ("global-rate", "endpoint-rate", "endpoint-rate")
    server.script = [
        *(failure(429, "rate_limit", Stripe_Rate_Limited_Reason=reason) for reason in reasons),
        failure(429, "lock_timeout"),
        Reply(),
    ]
    client.request("GET", "/v1/x")
    assert client.throttled == {"global-rate": 1, "endpoint-rate": 2, "lock_timeout": 1}


def test_a_gateways_retry_after_is_kept(server, client, naps):
    server.script = [failure(503, Retry_After="3"), Reply()]
    client.request("GET", "/v1/x")
    assert naps == [3.0]


def test_long_trouble_is_logged_without_secrets(server, client, caplog):
    server.script = [*(failure(500) for _ in range(5)), Reply()]
    with caplog.at_level("WARNING", logger="airflow_provider_stripe_app"):
        client.request("GET", "/v1/customers/cus_1", PRIVATE)
    assert "GET /v1/customers/{id}: server trouble, try 5" in caplog.text
    assert TOKEN not in caplog.text
    assert "private" not in caplog.text


# -- what comes back


@pytest.mark.parametrize("status", [200, 404, 407])
def test_a_web_page_is_not_stripe(server, client, status):
    page = b"<!doctype html><title>Corporate login</title><p>rk_live_1"
    server.script = [Reply(status, page, {"Content-Type": "text/html"})]
    with pytest.raises(NotStripe, match=r"'Corporate login'.*proxy"):
        client.request("GET", "/v1/x")


def test_a_gateways_web_page_is_retried(server, client):
    page = Reply(502, b"<html><h1>Bad gateway", {"Content-Type": "text/html"})
    server.script = [page, Reply()]
    assert client.request("GET", "/v1/x").status == 200


def test_a_redirect_is_not_followed_with_the_token(server, client):
    server.script = [Reply(302, b"", {"Location": "/v1/elsewhere"})]
    with pytest.raises(NotStripe):
        client.request("GET", "/v1/x")
    assert len(server.seen) == 1


@pytest.mark.parametrize("path", ["https://evil.example/v1/x", "//evil/v1/x", "v1/x", "/_sim"])
def test_the_token_goes_nowhere_else(client, path):
    with pytest.raises(ConfigurationError, match="must begin with /v1/"):
        client.request("GET", path)


def test_missing_object_carries_its_time_or_is_an_answer_if_allowed(server, client):
    gone = failure(404, "resource_missing", "id")
    server.script = [gone, gone]
    with pytest.raises(ObjectMissing) as caught:
        client.request("GET", "/v1/customers/cus_1")
    assert abs(caught.value.sent_at - time.time()) < 3
    answer = client.request("GET", "/v1/customers/cus_1", missing_ok=True)
    assert answer.missing
    assert abs(answer.sent_at - time.time()) < 3


def test_missing_permission_names_what_the_caller_needs(server, client):
    server.script = [failure(403, "more_permissions_required_for_application")]
    with pytest.raises(PermissionMissing, match="invoice_read") as caught:
        client.list_page("/v1/invoices", permission="invoice_read")
    assert caught.value.permission == "invoice_read"


def test_answer_without_a_date_is_refused(server, client):
    server.script = [Reply(dated=False)]
    with pytest.raises(StripeApiError, match="no Date header"):
        client.request("GET", "/v1/x")


@pytest.mark.parametrize("skew", [-86_400.0, 86_400.0])
def test_sent_at_is_a_lower_bound_of_stripes_time_of_reading(server, client, skew):
    read_at: list[float] = []

    def stripe(_: Seen) -> Reply:
        read_at.append(time.time() + skew)
        time.sleep(1.05)  # so that Date, a whole second, is later than the read for sure
        return Reply()

    server.script = stripe
    server.now = lambda: time.time() + skew
    answer = client.request("GET", "/v1/x")
    assert answer.date > read_at[0], "Date alone would be too late"
    assert read_at[0] - 2 <= answer.sent_at <= read_at[0]


# -- lists


class Shop:
    """A list of customers that answers pages as Stripe does."""

    def __init__(self, created: list[int]) -> None:
        self.living = [(c, f"cus_{n:03}") for n, c in enumerate(created)]
        self.delete_after_page: set[int] = set()
        self.pages = 0

    def __call__(self, seen: Seen) -> Reply:
        query = {name: values[0] for name, values in seen.query.items()}
        assert set(query) <= {"limit", "starting_after", "created[lte]", "created[gte]"}, query
        low = int(query.get("created[gte]", 0))
        high = int(query.get("created[lte]", 10**12))
        listed = sorted((o for o in self.living if low <= o[0] <= high), reverse=True)
        cursor = query.get("starting_after")
        if cursor is not None:
            at = next((o for o in self.living if o[1] == cursor), None)
            if at is None:
                return failure(400, "resource_missing", "starting_after")
            listed = [o for o in listed if o < at]
        size = int(query["limit"])
        page, has_more = listed[:size], len(listed) > size
        self.pages += 1
        if self.pages in self.delete_after_page:
            self.living.remove(page[-1])
        data = [{"id": i, "created": c} for c, i in page]
        return Reply(body=json.dumps({"data": data, "has_more": has_more}).encode())


@pytest.mark.parametrize("deletions", [set(), {1}, {2, 3}, {1, 2, 3, 4}])
def test_iterate_yields_each_object_once_though_cursors_are_deleted(server, client, deletions):
    shop = Shop([10, 10, 10, 10, 10, 11, 12, 12, 12, 13, 9, 5])
    everything = {i for c, i in shop.living if c >= 9}
    shop.delete_after_page = deletions
    server.script = shop
    pages = client.iterate("/v1/customers", {"limit": 3, "created[gte]": 9})
    ids = [item.id for page in pages for item in page.items]
    assert len(ids) == len(set(ids))
    assert set(ids) == everything


def test_iterate_is_lazy(server, client):
    server.script = Shop(list(range(50)))
    pages = client.iterate("/v1/customers", {"limit": 10})
    assert len(next(pages).items) == 10
    assert len(server.seen) == 1


def test_deleted_cursor_without_created_is_told(server, client):
    server.script = [
        Reply(body=b'{"data":[{"id":"a"}],"has_more":true}'),
        failure(400, "resource_missing", "starting_after"),
    ]
    with pytest.raises(CursorDeleted):
        list(client.iterate("/v1/things"))


def test_pages_of_parents_and_events_know_their_time(server, client):
    lines = '{"data":[{"id":"il_1"}],"has_more":true}'
    event = '{"id":"evt_1","type":"a.b","created":3,"data":{"object":{"id":"cus_1"}}}'
    server.script = [
        Reply(body=f'{{"data":[{{"id":"in_1","lines":{lines}}}],"has_more":false}}'.encode()),
        Reply(body=f'{{"data":[{event}],"has_more":false}}'.encode()),
    ]
    parents = client.list_parents("/v1/invoices", inlined="lines", purpose="list:invoices")
    events = client.events_page({"limit": 1})
    assert parents.items[0].children[0].id == "il_1"
    assert not parents.items[0].children_complete
    assert events.items[0].object_id == "cus_1"
    assert abs(events.sent_at - time.time()) < 3
    assert client.requests == {"list:invoices": 1, "events": 1}


def test_a_damaged_page_is_fetched_again(server, client):
    whole = Reply(body=b'{"data":[{"id":"a"}],"has_more":false}')
    server.script = [Reply(body=whole.body[:-1]), Reply(body=b"{}"), whole]
    assert [item.id for item in client.list_page("/v1/x").items] == ["a"]
