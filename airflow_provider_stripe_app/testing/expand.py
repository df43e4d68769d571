"""``expand[]``: references replaced by objects, if the caller may read them.

Apps cannot expand what they have no permission for, and by one live report not even then (STRIPE.md
§1): the switch ``expand_refused``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.testing.errors import ApiError, invalid
from airflow_provider_stripe_app.testing.resources import COLLECTIONS, Resource
from airflow_provider_stripe_app.testing.wire import JsonObject, decode, encode

if TYPE_CHECKING:
    from airflow_provider_stripe_app.testing.ledger import Space

MAX_DEPTH = 4
Allowed = Callable[[Resource], bool]


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


def expand(body: bytes, wanted: list[list[str]], space: Space, allowed: Allowed) -> bytes:
    """Return an answer with references replaced.

    :param body: a rendered object or list.
    :param wanted: see :func:`paths`.
    :param allowed: whether the caller may read a type.
    :raises ApiError: 400 for what cannot be expanded, 403 for what may not be read.
    """
    answer: JsonObject = decode(body)
    for path in wanted:
        _expand(answer, path, path, space, allowed)
    return encode(answer)


def _expand(value: Any, rest: list[str], path: list[str], space: Space, allowed: Allowed) -> None:
    if isinstance(value, list):
        for item in value:
            _expand(item, rest, path, space, allowed)
        return
    name, *deeper = rest
    if not isinstance(value, dict) or name not in value:
        raise invalid(f"This property cannot be expanded ({'.'.join(path)}).", "expand")
    inner = value[name]
    if isinstance(inner, str):
        inner = value[name] = _find(inner, path, space, allowed)
    elif inner is not None and not deeper:
        raise invalid(f"This property cannot be expanded ({'.'.join(path)}).", "expand")
    if deeper and inner is not None:
        _expand(inner, deeper, path, space, allowed)


def _find(id_: str, path: list[str], space: Space, allowed: Allowed) -> JsonObject:
    for resource in COLLECTIONS:
        if not id_.startswith(resource.prefix):
            continue
        if not allowed(resource):
            raise ApiError(
                403,
                "This application does not have the required permissions to expand this property: "
                f"{'.'.join(path)}. Having the '{resource.permission}_read' permission would allow "
                "this request to continue.",
                code="more_permissions_required_for_application",
            )
        found = space.collections[resource.kind].by_id.get(id_)
        if found is None:
            return {"id": id_, "object": resource.kind, "deleted": True}
        whole: JsonObject = decode(found.raw)
        return whole
    raise invalid(f"This property cannot be expanded ({'.'.join(path)}).", "expand")
