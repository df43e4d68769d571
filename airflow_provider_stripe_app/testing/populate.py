"""Many linked objects at once, spread over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Literal

from airflow_provider_stripe_app.testing import objects
from airflow_provider_stripe_app.testing.ledger import Ledger, Space
from airflow_provider_stripe_app.testing.resources import BY_KIND
from airflow_provider_stripe_app.testing.store import Record
from airflow_provider_stripe_app.testing.wire import JsonObject

Spread = Literal["years", "minute", "burst", "decade", "day", "seconds"]
SPREADS: tuple[Spread, ...] = ("years", "minute", "burst", "decade", "day", "seconds")
YEAR = 365 * 86400
MANY_LINES, MANY_ITEMS = 250, 30
_LINES = (1, 1, 1, 2, 2, 3, 5, 12)


def populate(
    ledger: Ledger,
    space: Space,
    *,
    customers: int = 0,
    invoices: int = 0,
    subscriptions: int = 0,
    products: int = 0,
    prices: int = 0,
    spread: Spread = "years",
    small: bool = False,
    events: bool = False,
) -> dict[str, int]:
    """Make objects that refer to each other, with unicode, huge metadata and odd currencies.

    From ten of them on there is an invoice of 250 lines, a subscription of 30 items and a canceled
    one. The same seed makes the same objects.

    :param products: at least; subscriptions need a few.
    :param prices: the same.
    :param spread: ``years`` (three of them, denser towards the present), ``minute`` (an hour ago,
        within one minute), ``burst`` (all in one second), ``decade`` (evenly over ten years),
        ``day`` (one a day, and nine of ten on one day long ago) or ``seconds`` (in twenty seconds
        of 300 days).
    :param small: objects of a few fields, to try large numbers.
    :param events: emit ``….created`` for those of the last 30 days.
    :return: how many were made, by type.
    :raises ValueError: for an unknown spread.
    """
    if spread not in SPREADS:
        raise ValueError(f"spread is one of {', '.join(SPREADS)}, not {spread!r}")
    with ledger.lock:
        maker = _Maker(ledger, space, spread, events)
        few_products, few_prices = min(20, subscriptions // 50), min(60, subscriptions // 20)
        maker.make("product", max(1, products, few_products), maker.product)
        maker.make("price", max(1, prices, few_prices), maker.price)
        maker.make("customer", customers, maker.small if small else maker.customer)
        maker.make("subscription", subscriptions, maker.subscription)
        maker.make("invoice", invoices, maker.small if small else maker.invoice)
        return {kind: len(c) for kind, c in space.collections.items()}


class _Maker:
    """Makes the objects of one :func:`populate`."""

    def __init__(self, ledger: Ledger, space: Space, spread: Spread, events: bool) -> None:
        self.ledger = ledger
        self.space = space
        self.spread = spread
        self.events = events
        self.rng: Random = ledger.rng
        self.now = int(ledger.clock.now())
        self.prices = [
            price
            for record in space.collections["price"].ordered
            if (price := space.collections["price"].whole(record))["recurring"]
        ]
        self.products = [r.id for r in space.collections["product"].ordered]
        self.customers = [r.id for r in space.collections["customer"].ordered]
        self.subscriptions = [r.id for r in space.collections["subscription"].ordered]
        self.kind = ""

    def make(self, kind: str, number: int, maker: Callable[[str, int, int], JsonObject]) -> None:
        """Make a number of objects of one type, oldest first."""
        self.kind = kind
        collection = self.space.collections[kind]
        prefix = BY_KIND[kind].prefix
        records: list[Record] = []
        for index, created in enumerate(self._times(number)):
            obj = maker(self.ledger.new_id(prefix), created, index)
            records.append(collection.build(obj))
            if kind == "subscription":
                for item in obj["items"]["data"]:
                    self.space.item_parent[item["id"]] = obj["id"]
        collection.put_many(records)
        if self.events:
            self._emit(f"{BY_KIND[kind].event}.created", records)

    def customer(self, id_: str, created: int, _: int) -> JsonObject:
        self.customers.append(id_)
        return objects.make_customer(
            self.rng, id=id_, created=created, livemode=self.space.livemode
        )

    def small(self, id_: str, created: int, _: int) -> JsonObject:
        if self.kind == "customer":
            self.customers.append(id_)
        small: JsonObject = {
            "id": id_,
            "object": self.kind,
            "created": created,
            "email": f"{id_[-8:].lower()}@example.com",
            "livemode": self.space.livemode,
            "metadata": {},
        }
        if self.kind == "invoice":
            url = f"/v1/invoices/{id_}/lines"
            small |= {"status": "paid", "customer": self._customer()}
            small["lines"] = objects.inline_list([], url)
        return small

    def product(self, id_: str, created: int, _: int) -> JsonObject:
        self.products.append(id_)
        return objects.make_product(self.rng, id=id_, created=created, livemode=self.space.livemode)

    def price(self, id_: str, created: int, _: int) -> JsonObject:
        price = objects.make_price(
            self.rng,
            id=id_,
            created=created,
            product=self._pick(self.products),
            livemode=self.space.livemode,
        )
        self.prices.append(price)
        return price

    def subscription(self, id_: str, created: int, index: int) -> JsonObject:
        self.subscriptions.append(id_)
        number = MANY_ITEMS if index == 5 else 1 + (self.rng.random() < 0.2)
        items = [
            objects.make_subscription_item(
                self.rng,
                id=self.ledger.new_id("si_"),
                created=created,
                price=self._pick(self.prices),
                subscription=id_,
            )
            for _ in range(number)
        ]
        status = {5: "active", 7: "canceled"}.get(index)
        made = objects.make_subscription(
            self.rng,
            id=id_,
            created=created,
            customer=self._customer(),
            items=items,
            livemode=self.space.livemode,
            status=status,
        )
        made["items"]["data"] = items
        return made

    def invoice(self, id_: str, created: int, index: int) -> JsonObject:
        rng = self.rng
        number = MANY_LINES if index == 5 else self._pick(_LINES)
        subscription = (
            self._pick(self.subscriptions) if self.subscriptions and rng.random() < 0.7 else None
        )
        price = self._pick(self.prices)
        lines = [
            objects.make_line(
                rng,
                id=self.ledger.new_id("il_"),
                invoice=id_,
                created=created,
                currency=price["currency"],
                price=price["id"],
                product=price["product"],
                subscription=subscription,
                livemode=self.space.livemode,
            )
            for _ in range(number)
        ]
        made = objects.make_invoice(
            rng,
            id=id_,
            created=created,
            customer=self._customer(),
            lines=lines,
            livemode=self.space.livemode,
            subscription=subscription,
        )
        made["lines"]["data"] = lines
        return made

    def _customer(self) -> str:
        if not self.customers:
            self.customers.append(self.ledger.create(self.space, "customer", {})["id"])
        return str(self._pick(self.customers))

    def _pick(self, values: Sequence[Any]) -> Any:
        return values[int(self.rng.random() * len(values))]

    def _times(self, number: int) -> list[int]:
        if self.spread == "burst":
            return [self.now - 3600] * number
        if self.spread == "minute":
            return sorted(self.now - 3600 + int(60 * self.rng.random()) for _ in range(number))
        if self.spread == "decade":
            return [self.now - 60 - 10 * YEAR * (number - n) // number for n in range(number)]
        if self.spread == "day":
            daily = [self.now - 60 - 86400 * n for n in range(min(3650, number // 10))]
            day = self.now - 500 * 86400
            return sorted(
                daily + [day + int(86400 * self.rng.random()) for _ in range(number - len(daily))]
            )
        if self.spread == "seconds":
            seconds = [self.now - 60 - int(300 * 86400 * self.rng.random()) for _ in range(20)]
            return sorted(self._pick(seconds) for _ in range(number))
        # denser towards the present, as a growing business is
        return sorted(self.now - 60 - int(3 * YEAR * self.rng.random() ** 2) for _ in range(number))

    def _emit(self, type_: str, records: list[Record]) -> None:
        oldest = self.now - self.ledger.switches.event_retention
        for record in records:
            if record.created > oldest:
                self.space.events.emit(
                    self.ledger.new_id("evt_"), type_, record.raw, float(record.created)
                )
