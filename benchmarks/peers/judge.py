"""What a loader's tables say, held against what Stripe has. Pure: no peer, no server, no files.

A table is judged by the rows a user takes for living. Of each row only the fields of
:data:`COMPARED` are looked at: every loader keeps them, every API version has them, and the round
of changes changes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

COMPARED: Mapping[str, tuple[str, ...]] = {
    "customers": ("email", "name", "description", "phone", "balance"),
    "invoices": ("customer", "status", "description", "total", "amount_due", "number"),
    "invoice_line_items": ("amount", "currency", "description", "quantity"),
    "subscriptions": ("customer", "status", "cancel_at_period_end", "collection_method"),
    "subscription_items": ("quantity", "price"),
}
"""Stream → fields that are compared; ``price`` is the id of the price."""

CHILDREN = ("invoice_line_items", "subscription_items")
STREAMS = tuple(COMPARED)


class Row(NamedTuple):
    """A row as a user finds it.

    :param values: the fields of :data:`COMPARED`.
    :param deleted: whether the loader says that it is gone.
    """

    values: Mapping[str, Any]
    deleted: bool = False


class Record(NamedTuple):
    """A row on its way to a destination.

    :param order: the loader's own cursor, where its destination goes by one.
    """

    id: str
    row: Row
    order: tuple[Any, ...] = ()


Table = Mapping[str, Row]

WORDS: Mapping[str, str] = {
    "missing": "missing",
    "stale": "stale",
    "ghosts": "living though deleted at Stripe",
    "buried": "marked as deleted though living at Stripe",
}
"""Kind of difference → how it is told; the kinds are the lists of :class:`Verdict`."""


@dataclass(slots=True)
class Verdict:
    """How one table differs from Stripe; all are ids.

    :param missing: living at Stripe, not in the table.
    :param stale: living in both, but a field differs.
    :param ghosts: living in the table, gone at Stripe.
    :param buried: said to be deleted, living at Stripe.
    :param rows: living rows of the table.
    """

    missing: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    buried: list[str] = field(default_factory=list)
    rows: int = 0

    def differences(self) -> dict[str, list[str]]:
        """Return the ids by the kind of difference."""
        return {kind: getattr(self, kind) for kind in WORDS}

    def counts(self) -> dict[str, int]:
        """Return the figures for the report."""
        return {kind: len(ids) for kind, ids in self.differences().items()} | {"rows": self.rows}


def judge(truth: Mapping[str, Mapping[str, Any]], table: Table) -> Verdict:
    """Compare a table with the objects that live at Stripe.

    Numbers are equal by value, whichever type a warehouse gives them.

    :param truth: id → the fields of :data:`COMPARED`.
    :param table: id → the row.
    """
    verdict = Verdict(rows=sum(not row.deleted for row in table.values()))
    for id_, values in truth.items():
        row = table.get(id_)
        if row is None:
            verdict.missing.append(id_)
        elif row.deleted:
            verdict.buried.append(id_)
        elif any(row.values.get(name) != value for name, value in values.items()):
            verdict.stale.append(id_)
    verdict.ghosts = [id_ for id_, row in table.items() if not row.deleted and id_ not in truth]
    return verdict


def upserted(records: Iterable[Record]) -> dict[str, Row]:
    """Return the table of a destination that upserts in the order of arrival: the last one wins."""
    return {record.id: record.row for record in records}


def deduplicated(records: Iterable[Record]) -> dict[str, Row]:
    """Return the table of a destination that keeps the record with the greatest cursor.

    Among equal cursors the one that arrived last is kept.
    """
    best: dict[str, Record] = {}
    for record in records:
        held = best.get(record.id)
        if held is None or record.order >= held.order:
            best[record.id] = record
    return {id_: record.row for id_, record in best.items()}


def compared(stream: str, obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return the compared fields of an object as Stripe or a loader that keeps its shape has it."""
    values = {name: obj.get(name) for name in COMPARED[stream]}
    price = values.get("price")
    if isinstance(price, Mapping):
        values["price"] = price.get("id")
    return values


def explained(
    verdicts: Mapping[str, Verdict], touched: Mapping[str, str], known: Mapping[str, str]
) -> dict[str, int]:
    """Say of each difference what was done to the object, and count.

    :param verdicts: stream → verdict.
    :param touched: id → what the round of changes did to it.
    :param known: id → stream, for all that was ever at Stripe.
    """
    found: Counter[str] = Counter()
    for stream, verdict in verdicts.items():
        for kind, ids in verdict.differences().items():
            for id_ in ids:
                other = known.get(id_, stream)
                of_another = other != stream and f"a row of {other} in their place"
                why = of_another or touched.get(id_, "not touched")
                found[f"{stream} {WORDS[kind]}: {why}"] += 1
    return dict(found.most_common())
