"""Which path leads to which handler, under which permission, as which operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from airflow_provider_stripe_app.testing import endpoints, install_routes, writes
from airflow_provider_stripe_app.testing.endpoints import Handler
from airflow_provider_stripe_app.testing.resources import COLLECTIONS


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API.

    :param operation: its name for rate limits: method and path with open ids.
    :param permission: what a caller needs, ``None`` for nothing.
    :param since: API version before which it is an unknown URL.
    """

    operation: str
    permission: str | None
    handler: Handler
    since: str = ""

    @property
    def is_install_api(self) -> bool:
        """Whether it belongs to the Install API, where ``Stripe-Account`` may name another."""
        return self.since == install_routes.SINCE


def find(method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
    """Return the route of a path under ``/v1/`` and the ids in it.

    :param path: without ``/v1/``; percent-encoded, since ids that people choose may have anything.
    """
    parts = [unquote(part) for part in path.strip("/").split("/")]
    for shape in _shapes(parts):
        route = ROUTES.get((method, shape))
        if route is not None:
            names = shape.split("/")
            ids = tuple(p for p, n in zip(parts, names, strict=True) if n == "{id}")
            return route, ids
    return None


_NAMESPACES = frozenset({"apps", *(r.path.split("/")[0] for r in COLLECTIONS if "/" in r.path)})


def _shapes(parts: list[str]) -> list[str]:
    """Return the templates that a path may be of, the literal one first."""
    if parts[0] in _NAMESPACES and len(parts) > 1:
        return [f"{parts[0]}/{shape}" for shape in _shapes(parts[1:])]
    if len(parts) == 1:
        return [parts[0]]
    if len(parts) == 2:
        return [f"{parts[0]}/{{id}}"]
    if len(parts) == 3:
        return [f"{parts[0]}/{{id}}/{parts[2]}"]
    return [f"{parts[0]}/{{id}}/{parts[2]}/{{id}}"] if len(parts) == 4 else []


def _table() -> dict[tuple[str, str], Route]:
    table: dict[tuple[str, str], Route] = {}

    def add(method: str, shape: str, stem: str, handler: Handler) -> None:
        permission = f"{stem}_{'read' if method == 'GET' else 'write'}"
        table[method, shape] = Route(f"{method} /v1/{shape}", permission, handler)

    for row in COLLECTIONS:
        add("GET", row.path, row.permission, endpoints.list_of(row))
        add("GET", f"{row.path}/{{id}}", row.permission, endpoints.retrieve(row))
        if row.children_key and not row.writable:
            shape = f"{row.path}/{{id}}/{row.children_key}"
            add("GET", shape, row.permission, endpoints.children_of(row))
        if not row.writable:
            continue
        add("POST", row.path, row.permission, writes.create(row))
        add("POST", f"{row.path}/{{id}}", row.permission, writes.update(row))
        if row.deletion != "never":
            add("DELETE", f"{row.path}/{{id}}", row.permission, writes.delete(row))
    for action in ("finalize", "pay", "void", "mark_uncollectible"):
        add("POST", f"invoices/{{id}}/{action}", "invoice", writes.move(action))
    add("GET", "invoices/{id}/lines", "invoice", endpoints.lines)
    add("POST", "invoices/{id}/add_lines", "invoice", writes.add_lines)
    add("POST", "invoices/{id}/remove_lines", "invoice", writes.remove_lines)
    add("POST", "invoices/{id}/update_lines", "invoice", writes.update_lines)
    add("POST", "invoices/{id}/lines/{id}", "invoice", writes.update_line)
    add("GET", "subscription_items", "subscription", endpoints.items)
    add("GET", "subscription_items/{id}", "subscription", endpoints.item)
    add("POST", "subscription_items", "subscription", writes.create_item)
    add("POST", "subscription_items/{id}", "subscription", writes.update_item)
    add("DELETE", "subscription_items/{id}", "subscription", writes.delete_item)
    add("GET", "account", "connected_account", endpoints.account)
    add("GET", "accounts/{id}", "connected_account", endpoints.account_by_id)
    add("GET", "events", "event", endpoints.events)
    add("GET", "events/{id}", "event", endpoints.event)
    for (method, shape), handler in install_routes.HANDLERS.items():
        permission = f"app_install_{'read' if method == 'GET' else 'write'}"
        operation = f"{method} /v1/{shape}"
        table[method, shape] = Route(operation, permission, handler, install_routes.SINCE)
    return table


ROUTES: Mapping[tuple[str, str], Route] = _table()
