"""The official ``stripe`` SDK, pointed at the simulated Stripe: proof that it speaks Stripe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest
import stripe  # noqa: TID253 - the subject of this test

from airflow_provider_stripe_app.testing import SimulatedStripe, Switches
from airflow_provider_stripe_app.testing.resources import COLLECTIONS, Resource

MADE = [row for row in COLLECTIONS if not row.writable]
FILLED: dict[str, Any] = {row.plural: 12 for row in MADE}


@pytest.fixture(scope="module")
def sim() -> Iterator[SimulatedStripe]:
    with SimulatedStripe(seed=7, switches=Switches(rate_limits=False)) as running:
        running.populate(customers=230, invoices=120, subscriptions=110, **FILLED)
        yield running


@pytest.fixture
def client(sim: SimulatedStripe) -> stripe.StripeClient:
    return stripe.StripeClient(
        sim.secret_key(), base_addresses={"api": sim.url}, max_network_retries=0
    )


def test_auto_paging_lists_every_object_once_and_newest_first(
    sim: SimulatedStripe, client: stripe.StripeClient
) -> None:
    found = list(client.v1.customers.list({"limit": 100}).auto_paging_iter())
    assert [c.id for c in found] == [c["id"] for c in reversed(sim.objects(None, "customer"))]
    assert [c.created for c in found] == sorted((c.created for c in found), reverse=True)
    newest = found[0].created
    later = client.v1.customers.list({"created": {"gte": newest}, "limit": 100})
    assert [c.id for c in later.data] == [c.id for c in found if c.created >= newest]


def test_paging_backwards(client: stripe.StripeClient) -> None:
    first = client.v1.customers.list({"limit": 100})
    second = first.next_page()
    back = client.v1.customers.list({"limit": 100, "ending_before": second.data[0].id})
    assert [c.id for c in back.data] == [c.id for c in first.data]
    assert back.has_more is False


def test_an_object_equals_what_the_list_shows(client: stripe.StripeClient) -> None:
    invoice = client.v1.invoices.list({"limit": 1}).data[0]
    assert client.v1.invoices.retrieve(invoice.id) == invoice


def test_invoice_lines_beyond_the_inlined_ten_are_paged(
    sim: SimulatedStripe, client: stripe.StripeClient
) -> None:
    big = next(i for i in sim.objects(None, "invoice") if i["lines"]["total_count"] == 250)
    invoice = client.v1.invoices.retrieve(big["id"])
    assert (len(invoice.lines.data), invoice.lines.has_more) == (10, True)
    lines = list(client.v1.invoices.line_items.list(invoice.id, {"limit": 100}).auto_paging_iter())
    assert len({line.id for line in lines}) == 250
    assert {line.invoice for line in lines} == {invoice.id}
    assert sum(line.amount for line in lines) == invoice.subtotal


def test_subscription_items_beyond_the_inlined_ten_are_paged(
    sim: SimulatedStripe, client: stripe.StripeClient
) -> None:
    big = next(s for s in sim.objects(None, "subscription") if s["items"]["total_count"] == 30)
    pages = client.v1.subscription_items.list({"subscription": big["id"], "limit": 12})
    assert len({item.id for item in pages.auto_paging_iter()}) == 30


def test_the_life_of_a_customer(sim: SimulatedStripe, client: stripe.StripeClient) -> None:
    made = client.v1.customers.create(
        {
            "name": "Łukasz 🦄",
            "email": "l@example.com",
            "metadata": {"6735": "a", "b": "ü"},
            "preferred_locales": ["pl", "en"],
            "address": {"city": "Łódź", "country": "PL"},
        }
    )
    assert made.preferred_locales == ["pl", "en"]
    assert made.to_dict()["metadata"] == {"6735": "a", "b": "ü"}
    assert client.v1.customers.list({"limit": 1}).data[0].id == made.id
    changed = client.v1.customers.update(made.id, {"balance": -250, "metadata": {"b": ""}})
    assert (changed.balance, changed.to_dict()["metadata"]) == (-250, {"6735": "a"})
    assert changed.address is not None
    assert changed.address.city == "Łódź"
    assert client.v1.customers.delete(made.id).deleted is True
    assert client.v1.customers.retrieve(made.id).deleted is True
    assert made.id not in [c.id for c in client.v1.customers.list({"limit": 100}).data]
    events = client.v1.events.list({"limit": 3, "type": "customer.*"}).data
    assert sorted(event.type for event in events) == [
        "customer.created",
        "customer.deleted",
        "customer.updated",
    ]
    updated = next(event for event in events if event.type == "customer.updated").to_dict()
    assert updated["data"]["previous_attributes"] == {"balance": 0, "metadata": {"b": "ü"}}
    assert updated["data"]["object"]["balance"] == -250
    assert updated["request"]["id"].startswith("req_")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.customers.list({"starting_after": made.id})
    assert (caught.value.http_status, caught.value.code) == (400, "resource_missing")
    assert caught.value.param == "starting_after"


def test_the_life_of_an_invoice(client: stripe.StripeClient) -> None:
    customer = client.v1.customers.create({"name": "Payer"})
    draft = client.v1.invoices.create({"customer": customer.id, "currency": "jpy"})
    assert (draft.status, draft.customer, draft.lines.data) == ("draft", customer.id, [])
    lines = [{"amount": 100 + n, "description": f"line {n}"} for n in range(12)]
    client.v1.invoices.add_lines(draft.id, {"lines": lines})
    filled = client.v1.invoices.retrieve(draft.id)
    assert (filled.total, filled.lines.has_more) == (1266, True)
    first = filled.lines.data[0]
    assert client.v1.invoices.line_items.update(draft.id, first.id, {"amount": 1}).amount == 1
    client.v1.invoices.remove_lines(
        draft.id, {"lines": [{"id": filled.lines.data[1].id, "behavior": "delete"}]}
    )
    assert client.v1.invoices.finalize_invoice(draft.id).status == "open"
    paid = client.v1.invoices.pay(draft.id)
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 1066, 0)
    types = {event.type for event in client.v1.events.list({"limit": 20}).data}
    assert {"invoice.created", "invoice.updated", "invoice.finalized", "invoice.paid"} <= types
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.invoices.delete(draft.id)
    other = client.v1.invoices.create({"customer": customer.id})
    assert client.v1.invoices.delete(other.id).deleted is True
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.invoices.retrieve(other.id)
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


def test_the_life_of_a_subscription(client: stripe.StripeClient) -> None:
    customer = client.v1.customers.create({"name": "Subscriber"})
    product = client.v1.products.create({"name": "Gold"})
    price = client.v1.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "unit_amount": 500,
            "recurring": {"interval": "month"},
        }
    )
    made = client.v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": price.id, "quantity": 2}]}
    )
    item = made["items"].data[0]
    assert (made.status, item.quantity, item.price.unit_amount) == ("active", 2, 500)
    added = client.v1.subscription_items.create({"subscription": made.id, "price": price.id})
    changed = client.v1.subscriptions.update(
        made.id, {"items": [{"id": item.id, "quantity": 7}], "metadata": {"k": "v"}}
    )
    assert [i.quantity for i in changed["items"].data] == [7, 1]
    assert client.v1.subscription_items.update(added.id, {"quantity": 3}).quantity == 3
    assert client.v1.subscription_items.retrieve(added.id).quantity == 3
    assert client.v1.subscription_items.delete(added.id).deleted is True
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.subscription_items.retrieve(added.id)
    updates = client.v1.events.list({"type": "customer.subscription.updated"}).data
    assert "items" in updates[0].to_dict()["data"]["previous_attributes"]
    assert len(updates) == 4
    assert client.v1.subscriptions.cancel(made.id).status == "canceled"
    mine = {"customer": customer.id}
    assert client.v1.subscriptions.list({**mine}).data == []
    for status in ("all", "canceled", "ended"):
        found = client.v1.subscriptions.list({**mine, "status": status}).data
        assert [s.id for s in found] == [made.id]
    ended = client.v1.events.list({"type": "customer.subscription.deleted"}).data[0]
    assert ended.to_dict()["data"]["object"]["status"] == "canceled"


def test_errors_arrive_as_the_sdk_knows_them(
    sim: SimulatedStripe, client: stripe.StripeClient
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.customers.create({"nmae": "typo"})  # type: ignore[typeddict-unknown-key]
    assert (caught.value.code, caught.value.param) == ("parameter_unknown", "nmae")
    assert (caught.value.request_id or "").startswith("req_")
    with pytest.raises(stripe.AuthenticationError):
        stripe.StripeClient("sk_test_wrong", base_addresses={"api": sim.url}).v1.customers.list()
    key = sim.restricted_key(["customer_read"])
    reader = stripe.StripeClient(key, base_addresses={"api": sim.url})
    assert reader.v1.customers.list().data
    with pytest.raises(stripe.PermissionError, match="invoice_read"):
        reader.v1.invoices.list()
    with pytest.raises(stripe.PermissionError, match="customer_write"):
        reader.v1.customers.create({})


def test_a_429_raises_rate_limit_error(client: stripe.StripeClient, sim: SimulatedStripe) -> None:
    rule = sim.fail("rate_limit", "/v1/products", count=1)
    with pytest.raises(stripe.RateLimitError):
        client.v1.products.list()
    assert client.v1.products.list().data
    sim.faults.remove(rule.id)


def test_a_lost_answer_is_mended_by_the_sdks_own_idempotency_key(sim: SimulatedStripe) -> None:
    client = stripe.StripeClient(
        sim.secret_key(), base_addresses={"api": sim.url}, max_network_retries=2
    )
    rule = sim.fail("reset", "/v1/customers", method="POST", when="after", count=1)
    before = len(sim.objects(None, "customer"))
    made = client.v1.customers.create({"name": "Once"})
    sim.faults.remove(rule.id)
    assert len(sim.objects(None, "customer")) == before + 1
    assert client.v1.customers.retrieve(made.id).name == "Once"


def test_expanding_replaces_references(client: stripe.StripeClient) -> None:
    invoice = client.v1.invoices.list({"limit": 1, "expand": ["data.customer"]}).data[0]
    assert isinstance(invoice.customer, stripe.Customer)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        client.v1.invoices.list({"expand": ["data.nothing"]})


def test_what_only_expanding_brings_is_left_out_otherwise(client: stripe.StripeClient) -> None:
    subscription = client.v1.subscriptions.list({"limit": 1, "status": "active"}).data[0]
    who = str(subscription.customer)
    assert "subscriptions" not in client.v1.customers.retrieve(who)
    wanted = ["subscriptions", "sources", "tax_ids"]
    customer = client.v1.customers.retrieve(who, {"expand": wanted})
    assert subscription.id in [found["id"] for found in customer["subscriptions"]["data"]]
    assert customer["sources"]["data"] == []
    discounts = (
        client.v1.invoices.list({"limit": 1, "expand": ["data.discounts"]}).data[0].discounts
    )
    assert discounts == []
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        client.v1.customers.retrieve(who, {"expand": ["preferred_locales"]})


def test_a_signed_webhook_verifies(sim: SimulatedStripe) -> None:
    made = sim.create(None, "customer", {"name": "hook"})["id"]
    sent = next(e for e in sim.objects(None, "event") if e["data"]["object"]["id"] == made)
    payload = json.dumps(sent)
    header = sim.sign(payload, "whsec_secret")
    event = stripe.Webhook.construct_event(payload, header, "whsec_secret")  # type: ignore[no-untyped-call]
    assert event.type == "customer.created"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(payload + " ", header, "whsec_secret")  # type: ignore[no-untyped-call]


def test_the_account_is_the_keys_own(client: stripe.StripeClient, sim: SimulatedStripe) -> None:
    account = client.v1.accounts.retrieve_current()
    assert account.id == sim.account().id
    assert client.v1.accounts.retrieve(account.id).id == account.id
    with pytest.raises(stripe.PermissionError):
        client.v1.accounts.retrieve("acct_other")


def service(client: stripe.StripeClient, row: Resource) -> Any:
    """Return the SDK's service of a resource."""
    found: Any = client.v1
    for part in row.path.replace("invoiceitems", "invoice_items").split("/"):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("row", MADE, ids=lambda row: row.kind)
def test_everything_that_stripe_lists_is_listed_and_read_as_its_own_class(
    sim: SimulatedStripe, client: stripe.StripeClient, row: Resource
) -> None:
    service_ = service(client, row)
    found = list(service_.list({"limit": 5}).auto_paging_iter())
    assert [one.id for one in found] == [o["id"] for o in reversed(sim.objects(None, row.kind))]
    assert len(found) == 12
    assert {type(one).OBJECT_NAME for one in found} == {row.kind}
    for one in found[:3]:
        assert service_.retrieve(one.id) == one
    if row.created_field is not None:
        times = [one[row.created_field] for one in found]
        assert times == sorted(times, reverse=True)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        service_.list({"nonsense": "1"})
    assert (caught.value.code, caught.value.param) == ("parameter_unknown", "nonsense")


@pytest.mark.parametrize("row", MADE, ids=lambda row: row.kind)
def test_a_range_of_created_cuts_the_lists_that_take_one(
    sim: SimulatedStripe, client: stripe.StripeClient, row: Resource
) -> None:
    service_ = service(client, row)
    if "created" not in row.params:
        with pytest.raises(stripe.InvalidRequestError) as caught:
            service_.list({"created": {"gte": 1}})
        assert (caught.value.code, caught.value.param) == ("parameter_unknown", "created")
    elif row.created_field is not None:
        times = sorted(obj[row.created_field] for obj in sim.objects(None, row.kind))
        bounds = {"gte": times[3], "lt": times[8]}
        found = service_.list({"created": bounds, "limit": 100}).data
        shown = sorted(one[row.created_field] for one in found)
        assert shown == [at for at in times if times[3] <= at < times[8]]
    else:  # its objects do not say when they were made
        assert len(service_.list({"created": {"gte": 1}, "limit": 100}).data) == 12
        assert service_.list({"created": {"lt": 1}}).data == []


def test_a_credit_notes_lines_beyond_the_inlined_ten_are_paged(
    sim: SimulatedStripe, client: stripe.StripeClient
) -> None:
    big = next(n for n in sim.objects(None, "credit_note") if n["lines"]["has_more"])
    assert len(big["lines"]["data"]) == 10
    pages = client.v1.credit_notes.line_items.list(big["id"], {"limit": 100})
    found = list(pages.auto_paging_iter())
    assert len({line.id for line in found}) == big["lines"]["total_count"] > 10
    assert {type(line) for line in found} == {stripe.CreditNoteLineItem}


def test_ids_that_people_chose_are_read_whatever_is_in_them(
    sim: SimulatedStripe, client: stripe.StripeClient
) -> None:
    for id_ in ("50%off", "a/b?c&d=e#f", "夏-2026", "plus+plus"):
        sim.create(None, "coupon", {"id": id_})
        assert client.v1.coupons.retrieve(id_).id == id_
        sim.delete(None, id_)
        with pytest.raises(stripe.InvalidRequestError, match="No such coupon"):
            client.v1.coupons.retrieve(id_)


def test_a_closed_review_leaves_its_list_but_can_be_read(
    sim: SimulatedStripe, client: stripe.StripeClient
) -> None:
    review = sim.create(None, "review")["id"]
    assert client.v1.reviews.list({"limit": 1}).data[0].id == review
    sim.advance_status(None, review, "closed")
    assert review not in [found.id for found in client.v1.reviews.list({"limit": 100}).data]
    assert client.v1.reviews.retrieve(review).open is False
    sim.delete(None, review, force=True)


def test_a_deleted_reader_says_so_and_a_deleted_list_is_unknown(
    sim: SimulatedStripe, client: stripe.StripeClient
) -> None:
    reader = sim.create(None, "terminal.reader")["id"]
    values = sim.create(None, "radar.value_list")["id"]
    for id_ in (reader, values):
        sim.delete(None, id_)
    assert client.v1.terminal.readers.retrieve(reader).to_dict()["deleted"] is True
    with pytest.raises(stripe.InvalidRequestError, match="No such radar value list"):
        client.v1.radar.value_lists.retrieve(values)


def test_a_platform_reads_its_connected_accounts_and_no_others(
    sim: SimulatedStripe, client: stripe.StripeClient
) -> None:
    connected = sim.create(None, "account")["id"]
    own = sim.account().id
    assert client.v1.accounts.retrieve(connected).id == connected
    assert connected in [found.id for found in client.v1.accounts.list({"limit": 100}).data]
    assert own not in [found.id for found in client.v1.accounts.list({"limit": 100}).data]
    sim.delete(None, connected)
    with pytest.raises(stripe.PermissionError, match="does not have access"):
        client.v1.accounts.retrieve(connected)


def test_requests_are_counted_per_second_and_operation(
    sim: SimulatedStripe, client: stripe.StripeClient
) -> None:
    sim.service.arrivals.clear()
    sim.fail("rate_limit", "/v1/topups", count=1)
    sim.fail("reset", "/v1/payouts", count=1)
    with pytest.raises(stripe.RateLimitError):
        client.v1.topups.list()
    client.v1.topups.list()
    with pytest.raises(stripe.APIConnectionError):
        client.v1.payouts.list()
    for id_ in [found.id for found in client.v1.payouts.list({"limit": 3}).data]:
        client.v1.payouts.retrieve(id_)
    counted: dict[str, dict[str, int]] = {}
    for row in sim.arrivals():
        assert row.account == sim.account().id
        for outcome, number in row.outcomes.items():
            here = counted.setdefault(row.operation, {})
            here[outcome] = here.get(outcome, 0) + number
    assert counted == {
        "GET /v1/payouts": {"lost": 1, "ok": 1},
        "GET /v1/payouts/{id}": {"ok": 3},
        "GET /v1/topups": {"429:endpoint-rate": 1, "ok": 1},
    }
    shown = json.loads(urlopen(f"{sim.url}/_sim/requests?per=second").read())["seconds"]
    assert sum(sum(row["outcomes"].values()) for row in shown) == 7
