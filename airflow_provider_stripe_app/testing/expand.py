"""``expand[]``: references replaced by objects, if the caller may read them.

Apps cannot expand what they have no permission for, and by one live report not even then (STRIPE.md
§1): the switch ``expand_refused``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.testing.errors import ApiError, invalid
from airflow_provider_stripe_app.testing.resources import BY_KIND, COLLECTIONS, Resource
from airflow_provider_stripe_app.testing.wire import INLINED, JsonObject, decode, encode, in_version

if TYPE_CHECKING:
    from airflow_provider_stripe_app.testing.ledger import Space

MAX_DEPTH = 4
_BY_PREFIX = sorted((r for r in COLLECTIONS if r.prefix), key=lambda r: -len(r.prefix))
"""The longest prefixes first: ``sub_sched_`` begins as ``sub_`` does."""

Allowed = Callable[[Resource], bool]

_INCLUDABLE: Mapping[str, Mapping[str, str | None]] = {
    "customer": {"sources": None, "subscriptions": "subscription", "tax_ids": None},
    "plan": {"tiers": None},
    "price": {"tiers": None},
}
"""Object → fields that it has only when they are expanded, and what they list
(https://docs.stripe.com/expand/use-cases); the simulation has no sources, tax ids and tiers."""

_REFERENCES = ("account_tax_ids", "default_tax_rates", "discounts", "tax_rates")
"""Fields that are lists of ids which can be expanded."""

_NOT_KEPT: Mapping[str, str] = {"di_": "discount", "txr_": "tax_rate"}
"""Prefix → type of what can be expanded but is not kept: its id and type are all there is."""


def paths(params: Mapping[str, Any], *, refused: bool) -> list[list[str]]:
    """Return what is to be expanded, each as the names on the way.

    :param params: parsed parameters; ``expand`` is a list.
    :param refused: whether to refuse any.
    :raises ApiError: 403 if refused, 400 if it is no list or too deep.
    """
    if "expand" not in params:
        return []
    wanted = params["expand"]
    if not isinstance(wanted, list) or not all(isinstance(path, str) for path in wanted):
        raise invalid("Invalid array: expand", "expand")
    if refused:
        raise ApiError(
            403,
            "This application does not have the required permissions to expand this property: "
            f"{wanted[0]}.",
            code="more_permissions_required_for_application",
        )
    split = [path.split(".") for path in wanted]
    for path in split:
        if len(path) > MAX_DEPTH:
            raise invalid("You cannot expand more than 4 levels of a property.", "expand")
    return split


def expand(
    body: bytes, wanted: list[list[str]], space: Space, allowed: Allowed, version: str
) -> bytes:
    """Return an answer with references replaced.

    :param body: a rendered object or list.
    :param wanted: see :func:`paths`.
    :param allowed: whether the caller may read a type.
    :param version: API version in which to render what is put in.
    :raises ApiError: 400 for what cannot be expanded, 403 for what may not be read.
    """
    answer: JsonObject = decode(body)
    for path in wanted:
        _Expansion(path, space, allowed, version).within(answer, path)
    return encode(answer)


@dataclass(frozen=True, slots=True)
class _Expansion:
    """One path that is expanded."""

    path: list[str]
    space: Space
    allowed: Allowed
    version: str

    def within(self, value: Any, rest: list[str]) -> None:
        """Replace what ``rest`` leads to from here."""
        if isinstance(value, list):
            for item in value:
                self.within(item, rest)
            return
        name, *deeper = rest
        if not isinstance(value, dict):
            raise self._refused()
        if name not in value:
            value[name] = self._included(value, name)
        inner = value[name]
        if isinstance(inner, str):
            inner = value[name] = self._find(inner)
        elif name in _REFERENCES and _is_references(inner):
            inner = value[name] = [self._find(id_) for id_ in inner]
        elif inner is not None and not deeper and name not in _includable(value):
            raise self._refused()
        if deeper and inner is not None:
            self.within(inner, deeper)

    def _refused(self) -> ApiError:
        where = ".".join(self.path)
        return invalid(f"This property cannot be expanded ({where}).", "expand")

    def _included(self, owner: JsonObject, name: str) -> JsonObject | None:
        """Return a field that the object has only when it is expanded."""
        if name not in _includable(owner):
            raise self._refused()
        if owner["object"] != "customer":
            return None
        kind = _INCLUDABLE["customer"][name]
        if kind is not None:
            _check(BY_KIND[kind], self.path, self.allowed)
        records = self.space.collections[kind].where("customer", owner["id"]) if kind else ()
        living = [record for record in records if record.status != "canceled"][::-1]
        data = [decode(in_version(record.raw, self.version)) for record in living[:INLINED]]
        url = f"/v1/customers/{owner['id']}/{name}"
        return {"object": "list", "data": data, "has_more": len(living) > INLINED, "url": url}

    def _find(self, id_: str) -> JsonObject:
        return _find(id_, self.path, self.space, self.allowed, self.version)


def _includable(value: JsonObject) -> Mapping[str, str | None]:
    return _INCLUDABLE.get(str(value.get("object")), {})


def _is_references(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _find(id_: str, path: list[str], space: Space, allowed: Allowed, version: str) -> JsonObject:
    for resource in _BY_PREFIX:
        if not id_.startswith(resource.prefix):
            continue
        _check(resource, path, allowed)
        found = space.collections[resource.kind].by_id.get(id_)
        if found is None and resource.kind in _NOT_KEPT.values():
            break
        if found is None:
            return {"id": id_, "object": resource.kind, "deleted": True}
        whole: JsonObject = decode(in_version(found.raw, version))
        return whole
    for prefix, kind in _NOT_KEPT.items():
        if id_.startswith(prefix):
            return {"id": id_, "object": kind}
    raise invalid(f"This property cannot be expanded ({'.'.join(path)}).", "expand")


def _check(resource: Resource, path: list[str], allowed: Allowed) -> None:
    if allowed(resource):
        return
    raise ApiError(
        403,
        "This application does not have the required permissions to expand this property: "
        f"{'.'.join(path)}. Having the '{resource.permission}_read' permission would allow "
        "this request to continue.",
        code="more_permissions_required_for_application",
    )
