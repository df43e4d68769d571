"""What the API's writing endpoints do: check the parameters, then let the ledger act."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from airflow_provider_stripe_app.testing import actions
from airflow_provider_stripe_app.testing.endpoints import Call, Handler
from airflow_provider_stripe_app.testing.errors import (
    invalid,
    missing,
    missing_param,
    unknown_param,
)
from airflow_provider_stripe_app.testing.forms import typed
from airflow_provider_stripe_app.testing.resources import ITEM, TRANSIENT, Resource, names
from airflow_provider_stripe_app.testing.wire import encode

_LINE = names(
    "amount description discountable discounts invoice_item metadata period price_data pricing "
    "quantity quantity_decimal tax_amounts tax_rates"
)
_MOVE = names("auto_advance forgive mandate off_session paid_out_of_band payment_method")
_CANCEL = names("cancellation_details invoice_now prorate")


def create(resource: Resource) -> Handler:
    """Return the handler of ``POST /v1/<resource>``."""

    def handle(call: Call) -> bytes:
        fields = _checked(call.params, resource.create, resource.required)
        made = call.ledger.create(call.space, resource.kind, _kept(fields), cause=call.cause)
        return _now(call, resource, made["id"])

    return handle


def update(resource: Resource) -> Handler:
    """Return the handler of ``POST /v1/<resource>/{id}``."""

    def handle(call: Call) -> bytes:
        changes = _checked(call.params, resource.update)
        id_ = call.ids[0]
        if resource.kind == "subscription":
            items = _entries(changes.pop("items", []), "items")
            actions.set_items(call.ledger, call.space, id_, items, _kept(changes), cause=call.cause)
        else:
            call.ledger.update(call.space, resource.kind, id_, _kept(changes), cause=call.cause)
        return _now(call, resource, id_)

    return handle


def delete(resource: Resource) -> Handler:
    """Return the handler of ``DELETE /v1/<resource>/{id}``."""

    def handle(call: Call) -> bytes:
        id_ = call.ids[0]
        if resource.deletion == "cancel":
            _checked(call.params, _CANCEL)
            actions.cancel(call.ledger, call.space, id_, cause=call.cause)
            return _now(call, resource, id_)
        _checked(call.params, ())
        if resource.deletion == "tombstone":
            actions.delete_customer(call.ledger, call.space, id_, cause=call.cause)
        elif resource.deletion == "draft_only":
            actions.delete_invoice(call.ledger, call.space, id_, cause=call.cause)
        else:
            actions.delete_product(call.ledger, call.space, id_, cause=call.cause)
        return encode({"id": id_, "object": resource.kind, "deleted": True})

    return handle


def move(action: str) -> Handler:
    """Return the handler of ``POST /v1/invoices/{id}/<action>``."""

    def handle(call: Call) -> bytes:
        _checked(call.params, _MOVE)
        actions.move_invoice(call.ledger, call.space, call.ids[0], action, cause=call.cause)
        return call.show(call.space.record("invoice", call.ids[0]).raw)

    return handle


def add_lines(call: Call) -> bytes:
    """Answer ``POST /v1/invoices/{id}/add_lines``."""
    fields = _checked(call.params, ("lines", "invoice_metadata"), ("lines",))
    lines = [_checked(entry, _LINE) for entry in _entries(fields["lines"], "lines")]
    actions.add_lines(call.ledger, call.space, call.ids[0], lines, cause=call.cause)
    return call.show(call.space.record("invoice", call.ids[0]).raw)


def remove_lines(call: Call) -> bytes:
    """Answer ``POST /v1/invoices/{id}/remove_lines``."""
    fields = _checked(call.params, ("lines", "invoice_metadata"), ("lines",))
    ids = [str(entry.get("id")) for entry in _entries(fields["lines"], "lines")]
    actions.remove_lines(call.ledger, call.space, call.ids[0], ids, cause=call.cause)
    return call.show(call.space.record("invoice", call.ids[0]).raw)


def update_lines(call: Call) -> bytes:
    """Answer ``POST /v1/invoices/{id}/update_lines``."""
    fields = _checked(call.params, ("lines", "invoice_metadata"), ("lines",))
    invoice_id = call.ids[0]
    for entry in _entries(fields["lines"], "lines"):
        changes = _checked(entry, _LINE | {"id"}, ("id",))
        line_id = changes.pop("id")
        actions.update_line(call.ledger, call.space, invoice_id, line_id, changes, cause=call.cause)
    return call.show(call.space.record("invoice", invoice_id).raw)


def update_line(call: Call) -> bytes:
    """Answer ``POST /v1/invoices/{id}/lines/{line id}``."""
    changes = _checked(call.params, _LINE - {"invoice_item"})
    line = actions.update_line(
        call.ledger, call.space, call.ids[0], call.ids[1], changes, cause=call.cause
    )
    return encode(line)


def create_item(call: Call) -> bytes:
    """Answer ``POST /v1/subscription_items``."""
    fields = _kept(_checked(call.params, ITEM.create, ITEM.required))
    parent = fields.pop("subscription")
    call.space.record("subscription", parent, "subscription", 400)
    new_id = call.ledger.new_id(ITEM.prefix)
    if not (fields.get("price") or fields.get("plan")):
        raise missing_param("price")
    actions.add_item(call.ledger, call.space, parent, {**fields, "id": new_id}, cause=call.cause)
    return encode(actions.item(call.space, new_id))


def update_item(call: Call) -> bytes:
    """Answer ``POST /v1/subscription_items/{id}``."""
    changes = _kept(_checked(call.params, ITEM.update))
    item_id = call.ids[0]
    parent = actions.item_parent(call.space, item_id)
    entry = {**changes, "id": item_id}
    actions.set_items(call.ledger, call.space, parent, [entry], {}, cause=call.cause)
    return encode(actions.item(call.space, item_id))


def delete_item(call: Call) -> bytes:
    """Answer ``DELETE /v1/subscription_items/{id}``."""
    _checked(
        call.params, ("clear_usage", "payment_behavior", "proration_behavior", "proration_date")
    )
    item_id = call.ids[0]
    parent = actions.item_parent(call.space, item_id)
    entry = {"id": item_id, "deleted": True}
    actions.set_items(call.ledger, call.space, parent, [entry], {}, cause=call.cause)
    return encode({"id": item_id, "object": ITEM.kind, "deleted": True})


def _checked(
    params: Mapping[str, Any], allowed: Collection[str], required: Sequence[str] = ()
) -> dict[str, Any]:
    """Type the parameters and refuse unknown and missing ones.

    :raises ApiError: as Stripe refuses them.
    """
    for name in params:
        if name not in allowed and name != "expand":
            raise unknown_param(name)
    for name in required:
        if params.get(name) in (None, ""):
            raise missing_param(name)
    return typed(params)


def _kept(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in TRANSIENT}


def _entries(value: Any, name: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise invalid(f"Invalid array: {name}", name)
    return value


def _now(call: Call, resource: Resource, id_: str) -> bytes:
    record = call.space.collections[resource.kind].by_id.get(id_)
    if record is None:
        raise missing(resource.label, id_)
    return call.show(record.raw)
