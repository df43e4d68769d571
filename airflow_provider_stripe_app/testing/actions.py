"""What can be done to invoices and subscriptions besides plain updates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_stripe_app.testing import births, links
from airflow_provider_stripe_app.testing.births import birth_item, birth_line, totals
from airflow_provider_stripe_app.testing.errors import ApiError, invalid, missing, missing_param
from airflow_provider_stripe_app.testing.events import Cause
from airflow_provider_stripe_app.testing.forms import merged
from airflow_provider_stripe_app.testing.ledger import Ledger, Space
from airflow_provider_stripe_app.testing.resources import BY_KIND, TRANSIENT
from airflow_provider_stripe_app.testing.wire import JsonObject


def cancel(
    ledger: Ledger, space: Space, id_: str, *, cause: Cause | None = None, silent: bool = False
) -> JsonObject:
    """Cancel a subscription: it lives on, ``customer.subscription.deleted`` says so.

    :raises ApiError: 404 if it does not exist or is canceled already.
    """
    with ledger.lock:
        old = space.whole("subscription", id_)
        if old["status"] in ("canceled", "incomplete_expired"):
            raise missing("subscription", id_)
        now = int(ledger.clock.now())
        new = {**old, "status": "canceled", "canceled_at": now, "ended_at": now}
        return ledger.commit(
            space, "subscription", old, new, events=_CANCELED, cause=cause, silent=silent
        )


def delete_customer(
    ledger: Ledger, space: Space, id_: str, *, cause: Cause | None = None, silent: bool = False
) -> None:
    """Delete a customer; its active subscriptions are canceled at once, as Stripe does.

    :raises ApiError: 404 if it does not exist.
    """
    with ledger.lock:
        space.record("customer", id_)
        for record in list(space.collections["subscription"].where("customer", id_)):
            if record.status not in ("canceled", "incomplete_expired"):
                cancel(ledger, space, record.id, cause=cause, silent=silent)
        ledger.delete(space, "customer", id_, cause=cause, silent=silent)


def delete_invoice(
    ledger: Ledger,
    space: Space,
    id_: str,
    *,
    cause: Cause | None = None,
    silent: bool = False,
) -> None:
    """Delete a draft invoice.

    :raises ApiError: 400 if it is not a draft, 404 if it does not exist.
    """
    with ledger.lock:
        record = space.record("invoice", id_)
        if record.status != "draft":
            raise invalid("You can only delete draft invoices.", None, "invoice_not_editable")
        ledger.delete(space, "invoice", id_, cause=cause, silent=silent)


def delete_product(
    ledger: Ledger, space: Space, id_: str, *, cause: Cause | None = None, silent: bool = False
) -> None:
    """Delete a product that has no price.

    :raises ApiError: 400 if it has one, 404 if it does not exist.
    """
    with ledger.lock:
        space.record("product", id_)
        if space.collections["price"].where("product", id_):
            raise invalid(
                "This product cannot be deleted because it has one or more user-created prices."
            )
        ledger.delete(space, "product", id_, cause=cause, silent=silent)


def delete_any(
    ledger: Ledger, space: Space, id_: str, *, silent: bool = False, force: bool = False
) -> None:
    """Delete an object by its id as Stripe would; a subscription is canceled.

    :param force: delete it even where Stripe never does.
    :raises ApiError: if Stripe would refuse.
    """
    with ledger.lock:
        kind = space.kind_of(id_)
        if kind == "subscription_item":
            entry = {"id": id_, "deleted": True}
            set_items(ledger, space, item_parent(space, id_), [entry], {}, silent=silent)
        elif kind == "customer":
            delete_customer(ledger, space, id_, silent=silent)
        elif kind == "subscription":
            cancel(ledger, space, id_, silent=silent)
        elif kind == "invoice" and not force:
            delete_invoice(ledger, space, id_, silent=silent)
        elif kind == "product" and not force:
            delete_product(ledger, space, id_, silent=silent)
        elif force or BY_KIND[kind].deletion in ("tombstone", "gone"):
            ledger.delete(space, kind, id_, silent=silent)
        else:
            raise invalid(f"Stripe has no way to delete a {kind}.")


def move_invoice(
    ledger: Ledger, space: Space, id_: str, action: str, *, cause: Cause | None = None
) -> JsonObject:
    """Finalize, pay, void or give up an invoice.

    :param action: ``finalize``, ``pay``, ``void`` or ``mark_uncollectible``.
    :raises ApiError: 400 if its status does not allow it, 404 if it does not exist.
    """
    before, after, events = _MOVES[action]
    with ledger.lock:
        old = space.whole("invoice", id_)
        if old["status"] not in before:
            raise ApiError(
                400,
                f"This invoice is {old['status']}; the action {action} needs one of: "
                f"{', '.join(before)}.",
                code="invoice_not_editable",
            )
        now = int(ledger.clock.now())
        stamp = {"open": "finalized_at", "paid": "paid_at", "void": "voided_at"}.get(
            after, "marked_uncollectible_at"
        )
        transitions = {**(old.get("status_transitions") or {}), stamp: now}
        new = {**old, "status": after, "status_transitions": transitions}
        if after == "open":
            new.update(births.finalized(ledger, space, new, now))
        if after == "paid":
            new.update(amount_paid=old.get("amount_due"), amount_remaining=0, attempted=True)
        made = ledger.commit(space, "invoice", old, new, events=events, cause=cause)
        if after == "paid":
            links.paid(ledger, space, made)
        return made


_PAID = ("invoice.paid", "invoice.payment_succeeded", "invoice.updated")
_CANCELED = ("customer.subscription.deleted",)

_MOVES: Mapping[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "finalize": (("draft",), "open", ("invoice.finalized", "invoice.updated")),
    "pay": (("open", "uncollectible"), "paid", _PAID),
    "void": (("open", "uncollectible"), "void", ("invoice.voided", "invoice.updated")),
    "mark_uncollectible": (
        ("open",),
        "uncollectible",
        ("invoice.marked_uncollectible", "invoice.updated"),
    ),
}


def change_lines(
    ledger: Ledger,
    space: Space,
    invoice_id: str,
    change: Callable[[list[JsonObject], JsonObject], list[JsonObject]],
    *,
    cause: Cause | None = None,
    silent: bool = False,
) -> JsonObject:
    """Change the lines of a draft invoice and its totals with them; one ``invoice.updated``.

    :param change: gets the lines and the invoice, returns the new lines.
    :raises ApiError: 400 if it is not a draft, 404 if it does not exist.
    """
    with ledger.lock:
        old = space.whole("invoice", invoice_id)
        if old["status"] != "draft":
            raise invalid(
                "This invoice is no longer editable because it is not a draft.",
                None,
                "invoice_not_editable",
            )
        lines = change(list(old["lines"]["data"]), old)
        new = totals({**old, "lines": {**old["lines"], "data": lines}})
        return ledger.commit(space, "invoice", old, new, cause=cause, silent=silent)


def add_lines(
    ledger: Ledger,
    space: Space,
    invoice_id: str,
    lines: Sequence[Mapping[str, Any]],
    *,
    cause: Cause | None = None,
    silent: bool = False,
) -> JsonObject:
    """Add lines to a draft invoice."""

    def change(old: list[JsonObject], invoice: JsonObject) -> list[JsonObject]:
        return old + [birth_line(ledger, space, invoice, line) for line in lines]

    return change_lines(ledger, space, invoice_id, change, cause=cause, silent=silent)


def update_line(
    ledger: Ledger,
    space: Space,
    invoice_id: str,
    line_id: str,
    changes: Mapping[str, Any],
    *,
    cause: Cause | None = None,
    silent: bool = False,
) -> JsonObject:
    """Change a line of a draft invoice and return the line."""

    def change(old: list[JsonObject], _: JsonObject) -> list[JsonObject]:
        _find(old, line_id, "invoice line item")
        return [merged(line, changes) if line["id"] == line_id else line for line in old]

    invoice = change_lines(ledger, space, invoice_id, change, cause=cause, silent=silent)
    return _find(invoice["lines"]["data"], line_id, "invoice line item")


def remove_lines(
    ledger: Ledger,
    space: Space,
    invoice_id: str,
    line_ids: Sequence[str],
    *,
    cause: Cause | None = None,
    silent: bool = False,
) -> JsonObject:
    """Remove lines from a draft invoice."""

    def change(old: list[JsonObject], _: JsonObject) -> list[JsonObject]:
        for line_id in line_ids:
            _find(old, line_id, "invoice line item")
        return [line for line in old if line["id"] not in line_ids]

    return change_lines(ledger, space, invoice_id, change, cause=cause, silent=silent)


def set_items(
    ledger: Ledger,
    space: Space,
    subscription_id: str,
    wanted: Sequence[Mapping[str, Any]],
    others: Mapping[str, Any],
    *,
    cause: Cause | None = None,
    silent: bool = False,
) -> JsonObject:
    """Change a subscription with its items, as ``POST /v1/subscriptions/{id}`` does: one event.

    :param wanted: entries with ``id`` change an item (``deleted`` removes it), others add one.
    :param others: further changes of the subscription.
    :raises ApiError: if an item does not exist or none would be left.
    """
    with ledger.lock:
        old = space.whole("subscription", subscription_id)
        if old["status"] == "canceled" and wanted:
            raise invalid("A canceled subscription can only update its cancellation_details.")
        items = list(old["items"]["data"])
        for entry in wanted:
            items = _with_item(ledger, space, old, items, entry)
        if not items:
            raise invalid("A subscription must have at least one active plan.", "items")
        kept = {item["id"] for item in items}
        for item in old["items"]["data"]:
            if item["id"] not in kept:
                space.item_parent.pop(item["id"], None)
                space.gone_items.add(item["id"])
        new = births.completed("subscription", merged(old, others))
        new["items"] = {**old["items"], "data": items}
        return ledger.commit(space, "subscription", old, new, cause=cause, silent=silent)


def add_item(
    ledger: Ledger,
    space: Space,
    subscription_id: str,
    fields: Mapping[str, Any],
    *,
    cause: Cause | None = None,
    silent: bool = False,
) -> JsonObject:
    """Add an item to a subscription.

    :param fields: ``price`` is the id of a price; ``id`` may be given.
    """
    with ledger.lock:
        old = space.whole("subscription", subscription_id)
        new_item = birth_item(ledger, space, old, fields)
        data = [*old["items"]["data"], new_item]
        new = {**old, "items": {**old["items"], "data": data}}
        return ledger.commit(space, "subscription", old, new, cause=cause, silent=silent)


def item_parent(space: Space, item_id: str) -> str:
    """Return the id of an item's subscription.

    :raises ApiError: 404 if there is no such item.
    """
    parent = space.item_parent.get(item_id)
    if parent is None:
        raise missing("subscription_item", item_id, "item")
    return parent


def item(space: Space, item_id: str) -> JsonObject:
    """Return a subscription item."""
    whole = space.whole("subscription", item_parent(space, item_id))
    return _find(whole["items"]["data"], item_id, "subscription_item")


def _with_item(
    ledger: Ledger,
    space: Space,
    subscription: JsonObject,
    items: list[JsonObject],
    entry: Mapping[str, Any],
) -> list[JsonObject]:
    fields = {name: value for name, value in entry.items() if name not in TRANSIENT}
    item_id = fields.pop("id", None)
    deleted = fields.pop("deleted", False)
    if item_id is None:
        if not (fields.get("price") or fields.get("plan")):
            raise missing_param("items[0][price]")
        return [*items, birth_item(ledger, space, subscription, fields)]
    found = _find(items, item_id, "subscription_item")
    if deleted:
        return [item for item in items if item["id"] != item_id]
    if isinstance(fields.get("price"), str):
        fields["price"] = space.whole("price", fields["price"])
    return [merged(found, fields) if item["id"] == item_id else item for item in items]


def _find(children: Sequence[JsonObject], id_: str, kind: str) -> JsonObject:
    for child in children:
        if child["id"] == id_:
            return child
    raise missing(kind, id_)
