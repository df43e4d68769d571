"""Which records a list's parameters let through.

Most parameters are understood from their name and kind, as the ``stripe`` package has them; the odd
ones are in a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_stripe_app.testing.errors import invalid, unknown_param
from airflow_provider_stripe_app.testing.lists import bounds
from airflow_provider_stripe_app.testing.objects.sampled import look
from airflow_provider_stripe_app.testing.objects.shapes import fields_of
from airflow_provider_stripe_app.testing.resources import Resource, names
from airflow_provider_stripe_app.testing.store import Record
from airflow_provider_stripe_app.testing.wire import JsonObject, decode

Test = Callable[[JsonObject], bool]

_STATUSES = names(
    "active all canceled ended incomplete incomplete_expired past_due paused trialing unpaid"
)
_INVOICE_STATUSES = names("draft open paid uncollectible void")
_ENDED = ("canceled", "incomplete_expired")
_NOT_SIMULATED = {
    "billing.credit_balance_transaction": names("customer customer_account"),
    "subscription": names("current_period_end current_period_start plan"),
}
"""Parameters that are refused although Stripe has them."""


def accepted(row: Resource) -> frozenset[str]:
    """Return the parameters that a list takes beside those of every list and ``created``."""
    known = {*row.filters, *row.params} - {"created"}
    return frozenset(known - _NOT_SIMULATED.get(row.kind, frozenset()))


def record_tests(row: Resource, filters: Mapping[str, Any]) -> list[Callable[[Record], bool]]:
    """Return the tests that a record has to pass.

    :param filters: the list's parameters, without those of every list.
    :raises ApiError: for values that Stripe refuses.
    """
    tests: list[Callable[[Record], bool]] = []
    rest = dict(filters)
    if row.kind == "invoice" and rest.get("status", "open") not in _INVOICE_STATUSES:
        raise _unknown_status(_INVOICE_STATUSES)
    if row.kind == "subscription":
        tests.append(_by_subscription_status(rest.pop("status", None)))
    elif "status" in rest and (row.kind, "status") not in _ODD:
        tests.append(_by_status(str(rest.pop("status"))))
    if "ids" in rest:
        tests.append(_by_ids(_several(rest.pop("ids"))))
    tests += [_on_object(_object_test(row, name, value)) for name, value in rest.items()]
    if row.hidden is not None:
        path, hidden = tuple(row.hidden[0].split(".")), row.hidden[1]
        tests.append(_on_object(lambda obj: look(obj, path) != hidden))
    return tests


def _on_object(test: Test) -> Callable[[Record], bool]:
    return lambda record: test(decode(record.raw))


def _object_test(row: Resource, name: str, value: Any) -> Test:
    odd = _ODD.get((row.kind, name))
    if odd is not None:
        return lambda obj: odd(obj, value)
    kind = row.params.get(name, "text")
    field = row.filters.get(name, name[:-1] if kind == "list" else name)
    path = tuple(field.split("."))
    if kind == "range":
        low, high = bounds(name, value)
        return lambda obj: _within(look(obj, path), low, high)
    if kind == "list":
        wanted = _several(value)
        return lambda obj: _same(look(obj, path), wanted)
    if kind == "object":
        return _nested(row, name, value)
    return lambda obj: _same(look(obj, path), frozenset({str(value)}))


def _nested(row: Resource, name: str, value: Any) -> Test:
    if not isinstance(value, Mapping):
        raise invalid(f"Invalid object: {name}", name)
    fields = fields_of(f"{row.kind}.{name}")
    for key in value:
        if key not in fields:
            raise unknown_param(f"{name}[{key}]")
    wanted = {key: frozenset({str(one)}) for key, one in value.items()}
    return lambda obj: all(_same(look(obj, (name, key)), one) for key, one in wanted.items())


def _same(value: Any, wanted: frozenset[str]) -> bool:
    if isinstance(value, bool):
        return ("true" if value else "false") in wanted
    if isinstance(value, dict):  # an object that Stripe shows whole; parameters name its id
        value = value.get("id")
    return value is not None and str(value) in wanted


def _within(value: Any, low: int | None, high: int | None) -> bool:
    if not isinstance(value, int):
        return False
    return (low is None or value >= low) and (high is None or value < high)


def _several(value: Any) -> frozenset[str]:
    return frozenset(str(one) for one in (value if isinstance(value, list) else [value]))


def _by_ids(wanted: frozenset[str]) -> Callable[[Record], bool]:
    return lambda record: record.id in wanted


def _by_status(wanted: str) -> Callable[[Record], bool]:
    return lambda record: record.status == wanted


def _by_subscription_status(status: Any) -> Callable[[Record], bool]:
    """Without ``status`` canceled subscriptions are hidden (a silent default filter)."""
    if status is None:
        return lambda record: record.status not in ("canceled",)
    if status not in _STATUSES:
        raise _unknown_status(_STATUSES)
    if status == "all":
        return lambda _: True
    if status == "ended":
        return lambda record: record.status in _ENDED
    return _by_status(status)


def _unknown_status(statuses: frozenset[str]) -> Exception:
    return invalid(f"Invalid status: must be one of {', '.join(sorted(statuses))}", "status")


def _has_price(obj: JsonObject, value: Any) -> bool:
    return any(item["price"]["id"] == value for item in obj["items"]["data"])


_ODD: Mapping[tuple[str, str], Callable[[JsonObject, Any], bool]] = {
    ("subscription", "price"): _has_price,
    ("entitlements.feature", "archived"): lambda obj, value: obj["active"] == (value == "false"),
    ("invoiceitem", "pending"): lambda obj, value: (obj["invoice"] is None) == (value == "true"),
    ("subscription_schedule", "scheduled"): lambda obj, value: (
        (obj["status"] == "not_started") == (value == "true")
    ),
    ("tax.registration", "status"): lambda obj, value: value in ("all", obj["status"]),
    ("payment_record", "created_after"): lambda obj, value: obj["created"] > int(value),
    ("payment_record", "created_before"): lambda obj, value: obj["created"] < int(value),
    # What a session collected and what a value list holds is not simulated.
    ("financial_connections.account", "session"): lambda _obj, _value: False,
    ("radar.value_list", "contains"): lambda _obj, _value: False,
}
"""(Object, parameter) → the test, for parameters whose name says nothing."""
