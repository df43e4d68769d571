"""Errors, retries, pace and parameters: the client's decisions, without a network."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from airflow_provider_stripe_app.api.answer import PageOf
from airflow_provider_stripe_app.api.errors import (
    CursorDeleted,
    InvalidRequest,
    ObjectMissing,
    PermissionMissing,
    RateLimited,
    ServerTrouble,
    StripeApiError,
    Unauthorized,
    classify,
    scrub,
)
from airflow_provider_stripe_app.api.paging import follow, from_second
from airflow_provider_stripe_app.api.params import encode
from airflow_provider_stripe_app.api.rate_limit import (
    BURST_SECONDS,
    Bucket,
    RateLimiter,
    book,
    decrease,
    operation,
    rate_at,
    scope_of,
)
from airflow_provider_stripe_app.api.retry import (
    RetryPolicy,
    delay,
    may_retry,
    stated_wait,
    trouble_of,
)
from airflow_provider_stripe_app.api.split import Item
from airflow_provider_stripe_app.api.tokens import StaticToken
from airflow_provider_stripe_app.api.transport import Transport, date_of
from airflow_provider_stripe_app.exceptions import ConfigurationError, ReauthorizationRequired

# -- errors


def error(status: int, body: bytes = b"", permission: str | None = None, **headers: str):
    return classify(status, headers, body, what="GET /v1/x", permission=permission, sent_at=7)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error":{"message":"m"}}', InvalidRequest),
        (400, b'{"error":{"code":"resource_missing","param":"starting_after"}}', CursorDeleted),
        (400, b'{"error":{"code":"resource_missing","param":"customer"}}', InvalidRequest),
        (401, b'{"error":{"code":"api_key_expired"}}', Unauthorized),
        (403, b'{"error":{"code":"account_invalid","message":"no access"}}', InvalidRequest),
        (404, b'{"error":{"code":"resource_missing","param":"id"}}', ObjectMissing),
        (404, b'{"error":{"message":"Unrecognized request URL"}}', InvalidRequest),
        (409, b"{}", ServerTrouble),
        (429, b"{}", RateLimited),
        (500, b'{"error":"oops"}', ServerTrouble),
        (503, b"\xff", ServerTrouble),
        (402, b"[]", InvalidRequest),
    ],
)
def test_each_answer_has_its_exception(status, body, kind):
    found = error(status, body)
    assert type(found) is kind
    assert (found.status, found.sent_at) == (status, 7)


def test_errors_carry_what_support_asks_for():
    body = b'{"error":{"code":"parameter_unknown","type":"t","param":"foo","message":"Bad foo"}}'
    found = error(400, body, **{"Request-Id": "req_1"})
    assert (found.code, found.type, found.param, found.request_id) == (
        "parameter_unknown",
        "t",
        "foo",
        "req_1",
    )
    for word in ("GET /v1/x", "HTTP 400", "parameter_unknown", "foo", "req_1", "Bad foo"):
        assert word in str(found)


@pytest.mark.parametrize("named", ["invoice_read", "rak_invoice_read"])
def test_missing_permission_is_named_as_the_manifest_does_with_the_remedy(named):
    body = (
        '{"error":{"message":"The provided key \'rk_live_********\' does not have the required '
        f"permissions for this endpoint. Having the '{named}' permission would allow this "
        'request to continue."}}'
    ).encode()
    found = error(403, body, permission="charge_read")
    assert isinstance(found, PermissionMissing)
    assert found.permission == "invoice_read"
    for word in ("invoice_read", "stripe apps upload", "reauthorize", "restricted key"):
        assert word in str(found)


@pytest.mark.parametrize("code", ["", '"code":"more_permissions_required_for_application",'])
def test_permission_comes_from_the_caller_when_stripe_does_not_name_it(code):
    found = error(403, f'{{"error":{{{code}"message":"no"}}}}'.encode(), permission="a_read")
    assert isinstance(found, PermissionMissing)
    assert found.permission == "a_read"


def test_missing_permission_that_nobody_names_is_still_one():
    found = error(403, b'{"error":{"code":"more_permissions_required","message":"no"}}')
    assert isinstance(found, PermissionMissing)
    assert found.permission is None


@pytest.mark.parametrize(
    "secret", ["rk_live_51Abcdefghij", "sk_test_51Abcdefghij", "rt_Abcdefghij", "ac_Abcdefghij"]
)
def test_keys_are_scrubbed_from_messages(secret):
    assert secret[-8:] not in scrub(f"Expired API Key provided: {secret}.")
    found = error(400, f'{{"error":{{"message":"bad {secret}"}}}}'.encode())
    assert secret not in str(found)


def test_refused_restricted_key_needs_a_person():
    with pytest.raises(ReauthorizationRequired, match="create a new one"):
        StaticToken("rk_test_x").replace("rk_test_x")


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}, {"Date": ""}])
def test_answer_without_a_time_is_refused(headers):
    with pytest.raises(StripeApiError, match="Date header"):
        date_of(headers)


@pytest.mark.parametrize("base", ["api.stripe.com", "ftp://x", "https://", ""])
def test_api_base_must_be_an_address(base):
    with pytest.raises(ConfigurationError, match="not an address"):
        Transport(base, (1, 1))


# -- retries


def test_should_retry_header_decides_over_our_rule():
    assert may_retry("other", "true", replayed=False)
    assert not may_retry("server", "false", replayed=False)
    assert not may_retry("rate", "false", replayed=False)
    assert may_retry("rate", None, replayed=False)
    assert may_retry("conflict", None, replayed=False)
    assert not may_retry("other", None, replayed=False)
    assert not may_retry("server", "true", replayed=True), "a stored 500 stays one"


@pytest.mark.parametrize(
    ("status", "trouble"),
    [(429, "rate"), (409, "conflict"), (500, "server"), (599, "server"), (400, "other")],
)
def test_kinds_of_trouble(status, trouble):
    assert trouble_of(status) == trouble


def test_waits_double_up_to_the_cap_with_jitter():
    policy = RetryPolicy(base=1, cap=8)
    waits = [delay(policy, "server", tries=n, elapsed=0, luck=0) for n in range(1, 7)]
    assert waits == [0.5, 1, 2, 4, 4, 4]
    assert delay(policy, "server", tries=1, elapsed=0, luck=0.999) == pytest.approx(1, abs=0.01)


def test_tries_and_time_are_bounded():
    policy = RetryPolicy(attempts=3, rate_attempts=5, seconds=10, base=1, cap=1)
    assert delay(policy, "network", tries=2, elapsed=0, luck=0) is not None
    assert delay(policy, "network", tries=3, elapsed=0, luck=0) is None
    assert delay(policy, "rate", tries=4, elapsed=0, luck=0) is not None
    assert delay(policy, "rate", tries=5, elapsed=0, luck=0) is None
    assert delay(policy, "rate", tries=1, elapsed=9.8, luck=0) is None


# -- rate limit


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/invoices", "GET /v1/invoices"),
        ("/v1/invoices/in_1", "GET /v1/invoices/{id}"),
        ("/v1/invoices/in_1/lines?limit=1", "GET /v1/invoices/{id}/lines"),
        ("/v1/balance_transactions", "GET /v1/balance_transactions"),
        ("/v1/coupons/GOLD", "GET /v1/coupons/{id}"),
        ("/v1/issuing/cards/ic_1", "GET /v1/issuing/cards/{id}"),
        ("/v1/apps/installs", "GET /v1/apps/installs"),
        ("/v1/test_helpers/test_clocks/c/advance", "GET /v1/test_helpers/test_clocks/{id}/advance"),
        ("/v1/customers/search", "GET /v1/customers/search"),
        ("/v1/account", "GET /v1/account"),
    ],
)
def test_operations_are_paths_without_ids(path, name):
    assert operation("get", path) == name


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def limiter(clock: Clock, account: float = 100, endpoint: float = 25) -> RateLimiter:
    return RateLimiter(account, endpoint, headroom=1, clock=clock.now, sleep=clock.sleep)


def test_an_endpoint_gets_its_rate_and_no_more_than_a_tenth_of_a_second_at_once():
    clock = Clock()
    paced = limiter(clock)
    began, times = clock.time, []
    for _ in range(100):
        paced.acquire("GET /v1/a")
        times.append(clock.time)
    for at in times:
        inside = sum(1 for t in times if at <= t < at + 1)
        assert inside <= 25 * (1 + BURST_SECONDS) + 1
    assert clock.time - began == pytest.approx(100 / 25, rel=0.05)


def test_account_bounds_all_endpoints_together():
    clock = Clock()
    paced = limiter(clock, account=30)
    began = clock.time
    for n in range(120):
        paced.acquire(f"GET /v1/{n % 4}")
    assert clock.time - began == pytest.approx(120 / 30, rel=0.05)


def test_other_endpoints_do_not_wait_for_a_crowded_one():
    clock = Clock()
    paced = RateLimiter(100, 1, headroom=1, clock=clock.now, sleep=lambda _: None)
    waits = [paced.acquire("GET /v1/crowded") for _ in range(20)]
    assert waits[-1] > 15
    assert paced.acquire("GET /v1/other") < 0.5


def test_late_sleepers_catch_up_a_little_but_never_burst():
    bucket = Bucket(10, 10)
    assert book(bucket, 100.0) <= 100.0
    starts = [book(bucket, 200.0) for _ in range(5)]
    assert starts == pytest.approx([199.9, 200.0, 200.1, 200.2, 200.3])


def test_429_lowers_the_bucket_that_its_reason_names():
    clock = Clock()
    paced = limiter(clock)
    paced.acquire("GET /v1/a")
    paced.acquire("GET /v1/b")
    paced.throttled("GET /v1/a", "endpoint-rate")
    assert paced.rates() == {"GET /v1/a": 20, "GET /v1/b": 25, "account": 100}
    paced.throttled("GET /v1/b", "global-rate")
    assert paced.rates() == {"GET /v1/a": 20, "GET /v1/b": 25, "account": (20 + 25) * 0.8}
    paced.throttled("GET /v1/b", None)
    assert paced.rates()["GET /v1/b"] == 25, "an object lock is nobody's rate"


def test_one_stream_alone_slows_down_at_the_first_429_of_its_account():
    clock = Clock()
    paced = limiter(clock)
    paced.acquire("GET /v1/long_ago")
    clock.sleep(60)
    paced.acquire("GET /v1/a")
    paced.throttled("GET /v1/a", "global-concurrency")
    assert paced.rates()["account"] == 20
    clock.sleep(1)
    paced.throttled("GET /v1/a", "global-concurrency")
    assert paced.rates()["account"] == pytest.approx((20 + 1) * 0.8)


def test_an_account_of_many_streams_is_lowered_by_a_fifth():
    clock = Clock()
    paced = limiter(clock)
    for n in range(8):
        paced.acquire(f"GET /v1/{n}")
    paced.throttled("GET /v1/1", "global-rate")
    assert paced.rates()["account"] == 80


@pytest.mark.parametrize(
    ("reason", "scope"),
    [
        ("global-rate", "account"),
        ("global-concurrency", "account"),
        ("endpoint-rate", "endpoint"),
        ("endpoint-concurrency", "endpoint"),
        ("resource-specific", "endpoint"),
        ("something-new", "account"),
        (None, None),
    ],
)
def test_reasons_point_at_a_bucket(reason, scope):
    assert scope_of(reason) == scope


def test_a_wave_of_429s_is_one_decrease_and_the_rate_climbs_back():
    bucket = Bucket(100, 100)
    assert decrease(bucket, 10.0)
    assert not any(decrease(bucket, 10.0 + n / 100) for n in range(50))
    assert rate_at(bucket, 10.0) == 80
    assert rate_at(bucket, 15.0) == pytest.approx(85)
    assert rate_at(bucket, 99.0) == 100
    for n in range(60):
        decrease(bucket, 200.0 + 2 * n)
    assert 0 < rate_at(bucket, 318.0) < 12


def test_limits_follow_the_mode():
    assert RateLimiter.for_mode(True).rates()["account"] == pytest.approx(98)
    for sandbox in (False, None):
        assert RateLimiter.for_mode(sandbox).rates()["account"] == pytest.approx(24.5)


@pytest.mark.parametrize("rates", [(0, 25), (100, -1)])
def test_nonsense_rates_are_refused(rates):
    with pytest.raises(ValueError, match="positive"):
        RateLimiter(*rates)


def test_many_threads_together_keep_the_rate():
    paced = RateLimiter(2000, 500, headroom=1)
    count, lock = [0], threading.Lock()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            paced.acquire("GET /v1/a")
            with lock:
                count[0] += 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    stop.wait(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    allowed = 500 * (0.5 + BURST_SECONDS)
    assert count[0] <= allowed * 1.15 + 8
    assert count[0] >= allowed * 0.5


# -- parameters


def test_parameters_are_written_as_stripe_reads_them():
    assert encode(
        {
            "limit": 100,
            "created[gte]": 5,
            "created": {"lt": 9},
            "active": True,
            "none": None,
            "types[]": ["a", "b"],
            "expand": ["data.x"],
            "items": [{"price": "p", "quantity": 2}],
            "text": "",
        }
    ) == [
        ("limit", "100"),
        ("created[gte]", "5"),
        ("created[lt]", "9"),
        ("active", "true"),
        ("types[]", "a"),
        ("types[]", "b"),
        ("expand[0]", "data.x"),
        ("items[0][price]", "p"),
        ("items[0][quantity]", "2"),
        ("text", ""),
    ]
    assert encode(None) == []


# -- paging


@pytest.mark.parametrize(
    ("params", "again"),
    [
        ({"limit": 5}, {"limit": 5}),
        ({"created[gte]": 3, "created[lt]": 9}, {"created[gte]": 3}),
        ({"created": {"gt": 2, "lt": 9}}, {"created[gt]": 2}),
        ({"created": 7}, {"created[gte]": 7}),
        ({"created[lte]": 9, "customer": "cus_1"}, {"customer": "cus_1"}),
    ],
)
def test_beginning_again_at_a_second_keeps_the_lower_bound(params, again):
    assert from_second({**params, "starting_after": "x"}, 7) == {**again, "created[lte]": 7}


def test_callers_own_deleted_cursor_is_told():
    def fetch(_: dict) -> None:
        raise CursorDeleted("gone")

    with pytest.raises(CursorDeleted):
        next(follow(fetch, {"starting_after": "x"}))


# -- Retry-After


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), (None, 0.0), ("", 0.0), ("soon", 0.0), ("-1", 0.0), ("9" * 30, 0.0), ("²", 0.0)],
)
def test_a_gateways_wait_is_understood(header, seconds):
    assert stated_wait(header) == seconds


def test_a_stated_wait_is_kept_unless_it_takes_too_long():
    policy = RetryPolicy(seconds=10)
    assert delay(policy, "server", tries=1, elapsed=0, luck=0, at_least=7) == 7
    assert delay(policy, "server", tries=1, elapsed=0, luck=0, at_least=11) is None


def test_paging_remembers_one_second_only():
    def fetch(params: dict) -> PageOf[Item]:
        at = int(params.get("starting_after", 1000))
        items = [Item(str(n), n, "{}") for n in range(at - 1, at - 11, -1)]
        return PageOf(items, at > 10, 0, 0)

    pages = follow(fetch, {})
    assert sum(len(page.items) for page in pages if _remembered(pages) <= 1) == 1000


def _remembered(pages: Any) -> int:
    return len(pages.gi_frame.f_locals["second"])
