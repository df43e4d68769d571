"""The switches of EQUALITY §10 and the list quirks, asked for over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from airflow_provider_stripe_app.testing import SimulatedStripe
from airflow_provider_stripe_app.testing.errors import ApiError

Json = dict[str, Any]


class Browser:
    """Reads the API with a secret key and the control routes without one."""

    def __init__(self, sim: SimulatedStripe) -> None:
        self.sim = sim
        self.session = requests.Session()
        self.key = sim.secret_key()

    def get(self, path: str, /, version: str | None = None, **params: object) -> Json:
        headers = {"Authorization": f"Bearer {self.key}"}
        if version:
            headers["Stripe-Version"] = version
        answer = self.session.get(
            f"{self.sim.url}/v1/{path}",
            params=params,  # type: ignore[arg-type]
            headers=headers,
            timeout=5,
        )
        body: Json = answer.json()
        return body

    def ids(self, path: str, **params: object) -> list[str]:
        return [obj["id"] for obj in self.get(path, limit=100, **params)["data"]]

    def control(self, method: str, path: str, /, **body: object) -> Json:
        url = f"{self.sim.url}/_sim/{path}"
        how = {"params": body} if method == "GET" else {"json": body}
        answer = self.session.request(method, url, timeout=5, **how)  # type: ignore[arg-type]
        answer.raise_for_status()
        result: Json = answer.json()
        return result


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatedStripe]:
    with SimulatedStripe(seed=5) as running:
        yield running


@pytest.fixture
def sim(server: SimulatedStripe) -> SimulatedStripe:
    server.reset()
    server.switches.set(rate_limits=False)
    server.clock.freeze(1_790_000_000)
    return server


@pytest.fixture
def web(sim: SimulatedStripe) -> Browser:
    return Browser(sim)


def test_a_deleted_customer_leaves_the_list_but_can_still_be_retrieved(
    sim: SimulatedStripe, web: Browser
) -> None:
    customer = sim.create(None, "customer")["id"]
    subscription = sim.create(None, "subscription", {"customer": customer})["id"]
    sim.delete(None, customer)
    assert web.ids("customers") == []
    assert web.get(f"customers/{customer}") == {
        "id": customer,
        "object": "customer",
        "deleted": True,
    }
    assert web.get(f"subscriptions/{subscription}")["status"] == "canceled"
    assert sorted(e["type"] for e in web.get("events", type="customer.*")["data"]) == [
        "customer.created",
        "customer.deleted",
        "customer.subscription.created",
        "customer.subscription.deleted",
    ]


def test_canceled_subscriptions_are_hidden_unless_asked_for(
    sim: SimulatedStripe, web: Browser
) -> None:
    living = sim.create(None, "subscription")["id"]
    ended = sim.create(None, "subscription")["id"]
    sim.delete(None, ended)
    assert web.ids("subscriptions") == [living]
    assert sorted(web.ids("subscriptions", status="all")) == sorted([living, ended])
    assert web.ids("subscriptions", status="canceled") == [ended]
    assert web.get("subscriptions", status="dead")["error"]["param"] == "status"


def test_filters_of_lists(sim: SimulatedStripe, web: Browser) -> None:
    one = sim.create(None, "customer", {"email": "one@example.com"})["id"]
    two = sim.create(None, "customer", {"email": "two@example.com"})["id"]
    subscription = sim.create(None, "subscription", {"customer": one})["id"]
    first = sim.create(None, "invoice", {"customer": one, "subscription": subscription})["id"]
    second = sim.create(None, "invoice", {"customer": two, "status": "open"})["id"]
    assert web.ids("customers", email="two@example.com") == [two]
    assert web.ids("invoices", customer=one) == [first]
    assert web.ids("invoices", status="open") == [second]
    assert web.ids("invoices", subscription=subscription) == [first]
    assert web.ids("subscriptions", customer=two) == []
    assert web.get("invoices", status="lost")["error"]["param"] == "status"
    assert web.get("subscription_items")["error"]["code"] == "parameter_missing"


def test_stale_lists_show_the_past_and_retrieval_the_present(
    sim: SimulatedStripe, web: Browser
) -> None:
    sim.switches.set(stale_lists=5)
    kept = sim.create(None, "customer", {"name": "old"})["id"]
    sim.clock.advance(10)
    new = sim.create(None, "customer")["id"]
    sim.update(None, kept, {"name": "new"})
    assert [c["name"] for c in web.get("customers")["data"]] == ["old"]
    assert web.get(f"customers/{kept}")["name"] == "new"
    sim.delete(None, kept)
    sim.clock.advance(4.9)
    assert web.ids("customers") == [kept]
    sim.clock.advance(0.2)
    assert web.ids("customers") == [new]


def test_created_can_lie_before_an_object_appears(sim: SimulatedStripe, web: Browser) -> None:
    sim.switches.set(created_early=7)
    made = sim.create(None, "customer")
    assert made["created"] == sim.clock.now() - 7
    assert web.ids("customers", **{"created[lt]": int(sim.clock.now()) - 6}) == [made["id"]]
    assert web.get("events")["data"][0]["created"] == sim.clock.now()


def test_events_can_come_later_than_any_overlap(sim: SimulatedStripe, web: Browser) -> None:
    sim.switches.set(event_delay=3600)
    sim.create(None, "customer")
    sim.clock.advance(3599)
    assert web.ids("events") == []
    sim.clock.advance(1)
    assert len(web.ids("events")) == 1


def test_changes_can_be_silent(sim: SimulatedStripe, web: Browser) -> None:
    made = sim.create(None, "customer", silent=True)["id"]
    sim.switches.set(silent_changes=1.0)
    sim.update(None, made, {"name": "nobody said"})
    assert web.ids("events") == []
    assert web.get(f"customers/{made}")["name"] == "nobody said"


def test_the_cursor_of_every_nth_page_is_deleted(sim: SimulatedStripe, web: Browser) -> None:
    for _ in range(6):
        sim.create(None, "customer")
    sim.switches.set(delete_cursor_every=2)
    first = web.get("customers", limit=2)["data"]
    second = web.get("customers", limit=2, starting_after=first[-1]["id"])["data"]
    error = web.get("customers", limit=2, starting_after=second[-1]["id"])["error"]
    assert (error["code"], error["param"]) == ("resource_missing", "starting_after")
    assert "customer.deleted" in {e["type"] for e in web.get("events")["data"]}


def test_ids_can_be_used_again(sim: SimulatedStripe, web: Browser) -> None:
    first = sim.create(None, "customer")["id"]
    sim.delete(None, first)
    sim.switches.set(reuse_ids=1.0)
    assert sim.create(None, "customer", {"name": "second life"})["id"] == first
    assert web.get(f"customers/{first}")["name"] == "second life"
    product = sim.create(None, "product", {"id": "gold"})["id"]
    sim.delete(None, product)
    assert sim.create(None, "product", {"id": "gold"})["id"] == "gold"


def test_urls_differ_at_every_read(sim: SimulatedStripe, web: Browser) -> None:
    made = sim.create(None, "invoice", {"status": "open"})["id"]
    same = {web.get(f"invoices/{made}")["hosted_invoice_url"] for _ in range(3)}
    sim.switches.set(volatile_urls=True)
    reads = [web.get(f"invoices/{made}") for _ in range(3)]
    reads += web.get("invoices")["data"]
    assert len(same) == 1
    assert len({r["hosted_invoice_url"] for r in reads}) == 4
    assert len({r["invoice_pdf"] for r in reads}) == 4
    rest = [
        {k: v for k, v in r.items() if k not in ("hosted_invoice_url", "invoice_pdf")}
        for r in reads
    ]
    assert all(other == rest[0] for other in rest)


def test_payloads_and_answers_can_be_of_another_version(sim: SimulatedStripe, web: Browser) -> None:
    sim.switches.set(event_api_version="2024-06-20")
    subscription = sim.create(None, "subscription")["id"]
    invoice = sim.create(None, "invoice", {"subscription": subscription})["id"]
    event = web.get("events", type="invoice.created")["data"][0]
    assert event["api_version"] == "2024-06-20"
    assert event["data"]["object"]["subscription"] == subscription
    assert "subscription" not in web.get(f"invoices/{invoice}")
    old = web.get(f"invoices/{invoice}", version="2024-06-20")
    assert old["subscription"] == subscription
    assert web.get("invoices", version="2024-06-20")["data"][0] == old
    assert "Invalid Stripe API version" in web.get("invoices", version="latest")["error"]["message"]


def test_objects_on_a_test_clock_are_hidden_in_lists_and_present_in_events(
    sim: SimulatedStripe, web: Browser
) -> None:
    shown = sim.create(None, "customer")["id"]
    hidden = sim.create(None, "customer", {"test_clock": "clock_1"})["id"]
    sim.create(None, "subscription", {"customer": hidden})
    assert web.ids("customers") == [shown]
    assert web.ids("subscriptions") == []
    assert web.ids("customers", test_clock="clock_1") == [hidden]
    assert web.get(f"customers/{hidden}")["test_clock"] == "clock_1"
    assert len(web.get("events", type="customer.created")["data"]) == 2
    sim.switches.set(test_clocks_hidden=False)
    assert sorted(web.ids("customers")) == sorted([shown, hidden])


def test_children_changes_are_events_of_their_parent(sim: SimulatedStripe, web: Browser) -> None:
    invoice = sim.create(None, "invoice", {"lines": [{"amount": 5}] * 12})
    sim.add_lines(None, invoice["id"], [{"amount": 7}])
    sim.update_line(None, invoice["id"], invoice["lines"]["data"][11]["id"], {"amount": 6})
    sim.remove_lines(None, invoice["id"], [invoice["lines"]["data"][0]["id"]])
    types = [e["type"] for e in web.get("events")["data"] if e["type"].startswith("invoice")]
    assert sorted(types) == ["invoice.created"] + ["invoice.updated"] * 3
    now = web.get(f"invoices/{invoice['id']}")
    assert (now["total"], len(now["lines"]["data"])) == (11 * 5 + 6 - 5 + 7 + 0, 10)
    assert len(web.get(f"invoices/{invoice['id']}/lines", limit=100)["data"]) == 12


def test_an_unknown_field_and_hostile_bytes_go_through(sim: SimulatedStripe, web: Browser) -> None:
    fields = {"brand_new": {"a": [1, None]}, "name": "\ud800 half a pair", "description": "a\x00b"}
    made = sim.create(None, "customer", fields)["id"]
    answer = web.session.get(
        f"{sim.url}/v1/customers/{made}", headers={"Authorization": f"Bearer {web.key}"}, timeout=5
    )
    assert b"\\ud800 half" in answer.content
    assert b"a\\u0000b" in answer.content
    assert answer.json()["brand_new"] == {"a": [1, None]}


def test_answers_can_be_indented_as_stripe_does(sim: SimulatedStripe, web: Browser) -> None:
    sim.create(None, "customer")
    plain = web.get("customers")
    sim.switches.set(pretty_json=True)
    headers = {"Authorization": f"Bearer {web.key}"}
    answer = web.session.get(f"{sim.url}/v1/customers", headers=headers, timeout=5)
    assert answer.content.startswith(b'{\n  "object": "list",\n')
    assert answer.json() == plain


def test_time_comes_from_the_simulations_clock(sim: SimulatedStripe, web: Browser) -> None:
    headers = {"Authorization": f"Bearer {web.key}"}
    answer = web.session.get(f"{sim.url}/v1/customers", headers=headers, timeout=5)
    assert answer.headers["Date"] == "Mon, 21 Sep 2026 14:13:20 GMT"
    assert answer.headers["Stripe-Version"] == "2026-10-28.endive"
    assert web.control("POST", "advance", seconds=60)["now"] == 1_790_000_060


def test_everything_can_be_scripted_over_http(sim: SimulatedStripe, web: Browser) -> None:
    made = web.control("POST", "populate", customers=30, invoices=12, subscriptions=12)
    assert (made["customer"], made["invoice"]) == (30, 12)
    one = web.control("POST", "create", type="customer", fields={"name": "by http"})
    web.control("POST", "update", id=one["id"], changes={"balance": 3})
    assert web.get(f"customers/{one['id']}")["balance"] == 3
    dump = web.control("GET", "objects", type="customer")["data"]
    assert len(dump) == 31
    assert dump[-1]["balance"] == 3
    web.control("POST", "delete", id=one["id"])
    assert len(web.control("GET", "objects", type="customer")["data"]) == 30
    assert len(web.control("GET", "objects", type="line_item")["data"]) >= 250
    assert len(web.control("GET", "objects", type="subscription_item")["data"]) >= 30
    assert web.control("POST", "switches", event_delay=2)["event_delay"] == [2, 2]
    fault = web.control("POST", "faults", action="status", path="/v1/prices", status=503)
    assert web.get("prices")["error"]["type"] == "api_error"
    assert web.control("GET", "faults")["faults"][0]["fired"] == 1
    assert web.control("DELETE", "faults", id=fault["id"]) == {"removed": 1}
    assert web.control("GET", "requests", match="prices")["count"] == 1
    other = web.control("POST", "accounts", account="acct_other", livemode=True)
    web.control("POST", "populate", account="acct_other", livemode=True, customers=2)
    accounts = {(a["id"], a["livemode"]): a for a in web.control("GET", "accounts")["accounts"]}
    assert accounts[other["id"], True]["objects"]["customer"] == 2
    draft = web.control("POST", "create", type="invoice")["id"]
    lines = web.control("POST", "lines", invoice=draft, add=[{"amount": 5}])["lines"]["data"]
    assert len(lines) == 1
    assert web.control("POST", "move_invoice", invoice=draft, action="finalize")["status"] == "open"
    assert web.control("GET", "stats")["counts"]["requests"] >= 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("switches", {"evnt_delay": 1}),
        ("faults", {"action": "explode"}),
        ("faults", {"path": "x"}),
        ("create", {"type": "unicorn"}),
        ("update", {"id": "cus_none", "changes": {}}),
        ("populate", {"spread": "decades"}),
        ("nothing", {}),
    ],
)
def test_a_wrong_control_request_says_so(sim: SimulatedStripe, path: str, body: Json) -> None:
    answer = requests.post(f"{sim.url}/_sim/{path}", json=body, timeout=5)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]


def test_the_same_seed_makes_the_same_stripe() -> None:
    def dump(seed: int) -> list[bytes]:
        sim = SimulatedStripe(seed=seed)
        sim.clock.freeze(1_790_000_000)
        sim.populate(customers=20, invoices=20, subscriptions=20)
        sim.update(None, sim.objects(None, "customer")[3]["id"], {"name": "x"})
        return [*sim.raw_objects(None, "invoice"), *sim.raw_objects(None, "event")]

    assert dump(1) == dump(1)
    assert dump(1) != dump(2)


def test_populate_is_fast_and_linked_and_has_the_odd_ones() -> None:
    sim = SimulatedStripe()
    begin = time.process_time()
    sim.populate(customers=5000, invoices=3000, subscriptions=2000)
    assert time.process_time() - begin < 3
    customers = {c["id"] for c in sim.objects(None, "customer")}
    invoices = sim.objects(None, "invoice")
    subscriptions = {s["id"]: s for s in sim.objects(None, "subscription")}
    assert {i["customer"] for i in invoices} <= customers
    assert {s["customer"] for s in subscriptions.values()} <= customers
    named = {i["parent"]["subscription_details"]["subscription"] for i in invoices if i["parent"]}
    assert named <= set(subscriptions)
    assert "jpy" in {i["currency"] for i in invoices}
    assert max(i["lines"]["total_count"] for i in invoices) == 250
    assert max(s["items"]["total_count"] for s in subscriptions.values()) == 30
    assert "canceled" in {s["status"] for s in subscriptions.values()}
    spread = [c["created"] for c in sim.objects(None, "customer")]
    assert max(spread) - min(spread) > 2 * 365 * 86400


@pytest.mark.parametrize(("spread", "seconds"), [("minute", 60), ("burst", 1)])
def test_populate_can_crowd_objects(spread: Any, seconds: int) -> None:
    sim = SimulatedStripe()
    sim.populate(customers=300, spread=spread, events=True)
    created = {c["created"] for c in sim.objects(None, "customer")}
    assert 0 <= max(created) - min(created) < seconds
    events = [e for e in sim.objects(None, "event") if e["type"] == "customer.created"]
    assert len(events) == 300
    assert {e["created"] for e in events} == created


@pytest.mark.parametrize(
    ("spread", "days", "seconds"), [("decade", 3600, 300), ("day", 499, 300), ("seconds", 1, 20)]
)
def test_populate_can_skew_objects(spread: Any, days: int, seconds: int) -> None:
    sim = SimulatedStripe()
    sim.populate(products=300, prices=200, spread=spread)
    created = [p["created"] for p in sim.objects(None, "product")]
    assert len(created) == 300
    assert len(sim.objects(None, "price")) == 200
    assert max(created) - min(created) >= days * 86400
    assert len(set(created)) <= seconds


def test_a_changed_price_shows_in_subscription_items_without_an_event(
    sim: SimulatedStripe, web: Browser
) -> None:
    monthly = {"currency": "usd", "unit_amount": 5, "recurring": {"interval": "month"}}
    price = sim.create(None, "price", monthly)["id"]
    items = [{"price": price}] * 12
    subscription = sim.create(None, "subscription", {"items": items})["id"]
    other = sim.get(None, sim.create(None, "subscription")["id"])
    sim.update(None, price, {"nickname": "renamed"})
    shown = web.get("subscription_items", subscription=subscription, limit=100)["data"]
    assert {item["price"]["nickname"] for item in shown} == {"renamed"}
    assert {item["plan"]["nickname"] for item in shown} == {"renamed"}
    assert web.ids("events", type="customer.subscription.updated") == []
    sim.switches.set(embedded_prices=False)
    sim.update(None, price, {"nickname": "again"})
    first = web.get(f"subscriptions/{subscription}")["items"]["data"][0]
    assert first["price"]["nickname"] == "renamed"
    assert sim.get(None, other["id"]) == {**other, "items": sim.get(None, other["id"])["items"]}


def test_events_need_the_permission_of_their_object_too(sim: SimulatedStripe, web: Browser) -> None:
    customer = sim.create(None, "customer")["id"]
    sim.create(None, "invoice", {"customer": customer})
    web.key = sim.restricted_key(["event_read", "invoice_read"])
    assert [e["type"] for e in web.get("events")["data"]] == ["invoice.created"]
    hidden = next(e for e in sim.objects(None, "event") if e["type"] == "customer.created")
    assert web.get(f"events/{hidden['id']}")["error"]["code"] == "resource_missing"
    sim.switches.set(event_permissions=False)
    assert len(web.get("events")["data"]) == 2


def test_finalizing_gives_an_invoice_its_number_and_links(
    sim: SimulatedStripe, web: Browser
) -> None:
    draft = sim.create(None, "invoice", {"lines": [{"amount": 5}]})
    assert (draft["number"], draft["hosted_invoice_url"]) == (None, None)
    sim.move_invoice(None, draft["id"], "finalize")
    final = web.get(f"invoices/{draft['id']}")
    assert final["number"]
    assert final["hosted_invoice_url"].startswith("https://invoice.stripe.com/i/acct_")
    assert final["status_transitions"]["finalized_at"] == sim.clock.now()
    with pytest.raises(ApiError, match="draft"):
        sim.add_lines(None, draft["id"], [{"amount": 1}])
    with pytest.raises(ApiError, match="draft"):
        sim.delete(None, draft["id"])
    sim.delete(None, draft["id"], force=True)
    assert web.get(f"invoices/{draft['id']}")["error"]["code"] == "resource_missing"


def test_what_is_given_in_part_is_shown_whole(sim: SimulatedStripe, web: Browser) -> None:
    made = sim.create(None, "customer", {"address": {"city": "Łódź"}})
    assert made["address"] == {
        "city": "Łódź",
        "country": None,
        "line1": None,
        "line2": None,
        "postal_code": None,
        "state": None,
    }
    assert sim.update(None, made["id"], {"address": None})["address"] is None
    subscription = sim.create(None, "subscription")["id"]
    url = f"{sim.url}/v1/subscriptions/{subscription}"
    paused = web.session.post(
        url,
        data={"pause_collection[behavior]": "void"},
        headers={"Authorization": f"Bearer {web.key}"},
        timeout=5,
    )
    assert paused.json()["pause_collection"] == {"behavior": "void", "resumes_at": None}
    assert web.get(f"customers/{made['id']}")["address"] is None


def test_a_reset_forgets_everything_but_the_address(sim: SimulatedStripe, web: Browser) -> None:
    sim.create(None, "customer")
    sim.fail("status", "/v1/")
    sim.switches.set(event_delay=9)
    url, key = sim.url, web.key
    assert web.control("POST", "reset")["frozen"] is False
    assert sim.url == url
    assert sim.objects(None, "customer") == []
    assert sim.switches.event_delay == (0.0, 0.0)
    assert sim.faults.rules() == []
    answer = requests.get(
        f"{url}/v1/customers", headers={"Authorization": f"Bearer {key}"}, timeout=5
    )
    assert answer.status_code == 401


def test_starting_and_stopping_at_once_is_harmless() -> None:
    for _ in range(3):
        sim = SimulatedStripe()
        sim.start()
        sim.stop()
    sim.start()
    assert requests.get(f"{sim.url}/_sim/clock", timeout=5).status_code == 200
    sim.stop()


def test_a_hook_can_be_scripted_over_http(sim: SimulatedStripe, web: Browser) -> None:
    doomed = sim.create(None, "customer")["id"]
    step = {"route": "delete", "arguments": {"id": doomed}}
    web.control("POST", "hooks", **{"path": "/v1/customers", "nth": 2, "do": [step]})
    assert web.ids("customers") == [doomed]
    assert web.ids("customers") == []
    wrong = {"path": "x", "do": [{"route": "explode"}]}
    answer = requests.post(f"{sim.url}/_sim/hooks", json=wrong, timeout=5)
    assert (answer.status_code, "explode" in answer.text) == (400, True)


def test_requests_without_a_version_get_the_accounts(sim: SimulatedStripe, web: Browser) -> None:
    invoice = sim.create(None, "invoice")["id"]
    sim.switches.set(default_api_version="2024-06-20")
    assert "subscription" in web.get(f"invoices/{invoice}")
    sim.switches.set(require_version=True)
    assert "Stripe-Version" in web.get("invoices")["error"]["message"]
    assert web.get("invoices", version="2026-10-28.endive")["data"][0]["id"] == invoice


def test_how_long_events_are_kept_can_be_changed(sim: SimulatedStripe, web: Browser) -> None:
    sim.create(None, "customer")
    sim.switches.set(event_retention=60)
    sim.clock.advance(59)
    assert len(web.ids("events")) == 1
    sim.clock.advance(2)
    assert web.ids("events") == []
