"""Many linked objects at once, spread over time."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import Any, Literal

from airflow_provider_stripe_app.testing import lives, objects
from airflow_provider_stripe_app.testing.ledger import Ledger, Space, born_types, watch
from airflow_provider_stripe_app.testing.objects.sampled import Context, sample
from airflow_provider_stripe_app.testing.resources import BY_KIND, Resource, named
from airflow_provider_stripe_app.testing.store import Record
from airflow_provider_stripe_app.testing.wire import JsonObject, decode

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
    **others: int,
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
    :param events: emit what tells of new ones for those of the last 30 days.
    :param others: numbers of objects of other types, as in ``charges=100``, by
        :attr:`.Resource.plural` or ``object`` value. They refer to what there is, and nothing else
        is made with them.
    :return: how many there are now, by type.
    :raises ValueError: for an unknown spread or type.
    """
    if spread not in SPREADS:
        raise ValueError(f"spread is one of {', '.join(SPREADS)}, not {spread!r}")
    wanted = {named(name).kind: number for name, number in others.items()}
    with ledger.lock:
        maker = _Maker(ledger, space, spread, events)
        few_products, few_prices = min(20, subscriptions // 50), min(60, subscriptions // 20)
        maker.make("product", max(1, products, few_products), maker.product)
        maker.make("price", max(1, prices, few_prices), maker.price)
        maker.make("customer", customers, maker.small if small else maker.customer)
        maker.make("subscription", subscriptions, maker.subscription)
        maker.make("invoice", invoices, maker.small if small else maker.invoice)
        for kind in in_order(wanted):
            maker.make(kind, wanted[kind], maker.little if small else maker.sampled)
        return space.counts()


def in_order(kinds: Collection[str]) -> list[str]:
    """Return types in an order in which others are there when they are referred to."""
    done: list[str] = []
    on_the_way: set[str] = set()

    def visit(kind: str) -> None:
        if kind not in kinds or kind in on_the_way:
            return
        on_the_way.add(kind)
        for other in _REFERENCE.findall(BY_KIND[kind].values):
            visit(other)
        done.append(kind)

    for kind in kinds:
        visit(kind)
    return done


_REFERENCE = re.compile(r"[@&]([a-z_.]+)")


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
        row = BY_KIND[kind]
        records: list[Record] = []
        for index, created in enumerate(self._times(number)):
            id_ = self.ledger.id_for(row) if row.chosen_ids else self.ledger.new_id(row.prefix)
            obj = maker(id_, created, index)
            records.append(collection.build(obj, created=created))
            if kind == "subscription":
                for item in obj["items"]["data"]:
                    self.space.item_parent[item["id"]] = obj["id"]
        collection.put_many(records)
        if self.events:
            self._emit(row, records)

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

    def sampled(self, id_: str, created: int, index: int) -> JsonObject:
        """Make an object of a type that is made from data."""
        row = BY_KIND[self.kind]
        context = self._context(row, id_, created)
        made = lives.dress(self.space, row, sample(row.kind, row.values, context), id_, created)
        if row.children_key:
            entries: list[JsonObject] = [{}] * (MANY_LINES if index == 5 else self._pick(_LINES))
            children = lives.birth_children(self.ledger, self.space, row, made, entries)
            made[row.children_key] = children
        return self._dated(row, made)

    def little(self, id_: str, created: int, _: int) -> JsonObject:
        """Make the same with a few fields."""
        row = BY_KIND[self.kind]
        kept = {"object", "livemode", "metadata", "amount", "currency", "status"}
        kept |= {field.split(".")[0] for field in row.timers} | {
            row.hidden[0] if row.hidden else ""
        }
        spec = " ".join(
            part for part in row.values.split() if part.split("=")[0] in kept - {"metadata"}
        )
        made = sample(row.kind, spec, self._context(row, id_, created), rare=False)
        few = {name: value for name, value in made.items() if name in kept}
        if row.children_key:
            url = f"/v1/{row.path}/{id_}/{row.children_key}"
            few[row.children_key] = objects.inline_list([], url)
        return self._dated(row, lives.dress(self.space, row, few, id_, created))

    def _dated(self, row: Resource, made: JsonObject) -> JsonObject:
        lives.grown_up(row, made, self.now)
        watch(self.space, row, made, self.now)
        return made

    def _context(self, row: Resource, id_: str, created: int) -> Context:
        return Context(self.rng, created, self._refer, self._whole, f"/v1/{row.path}/{id_}")

    def _refer(self, kind: str, needed: bool) -> str | None:
        living = self.space.collections[kind].ordered
        if living:
            return str(self._pick(living).id)
        return self.ledger.id_for(BY_KIND[kind]) if needed else None

    def _whole(self, kind: str) -> JsonObject:
        living = self.space.collections[kind]
        if living.ordered:
            return living.whole(self._pick(living.ordered))
        row, id_ = BY_KIND[kind], self.ledger.id_for(BY_KIND[kind])
        made = sample(kind, row.values, self._context(row, id_, self.now), rare=False)
        return lives.dress(self.space, row, made, id_, self.now)

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

    def _emit(self, row: Resource, records: list[Record]) -> None:
        oldest = self.now - self.ledger.switches.event_retention
        for record in records:
            if record.created <= oldest:
                continue
            for type_ in born_types(row, decode(record.raw)):
                self.space.events.emit(
                    self.ledger.new_id("evt_"), type_, record.raw, float(record.created)
                )
