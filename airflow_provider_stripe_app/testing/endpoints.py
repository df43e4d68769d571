"""What each endpoint of the API does once a request is admitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.testing.errors import (
    missing,
    missing_param,
    unknown_param,
)
from airflow_provider_stripe_app.testing.list_filters import accepted, record_tests
from airflow_provider_stripe_app.testing.lists import (
    paginate,
    paginate_children,
    parse_query,
    render_page,
)
from airflow_provider_stripe_app.testing.resources import Resource, event_permission
from airflow_provider_stripe_app.testing.store import Record
from airflow_provider_stripe_app.testing.wire import (
    decode,
    encode,
    in_version,
    is_old_shape,
    with_volatile_urls,
)

if TYPE_CHECKING:
    from airflow_provider_stripe_app.testing.events import Cause, Event
    from airflow_provider_stripe_app.testing.ledger import Ledger, Space
    from airflow_provider_stripe_app.testing.oauth import Grant, OAuthServer


@dataclass(frozen=True, slots=True)
class Call:
    """An admitted request.

    :param ids: the ids in the path.
    :param params: parsed query or body; all leaves are text.
    :param version: in which the answer is rendered.
    :param oauth: the apps and their installs.
    :param bearer: the caller's key.
    """

    ledger: Ledger
    space: Space
    grant: Grant
    path: str
    ids: tuple[str, ...]
    params: Mapping[str, Any]
    version: str
    cause: Cause
    oauth: OAuthServer
    bearer: str = field(repr=False)

    def show(self, raw: bytes) -> bytes:
        """Render an object for this caller."""
        raw = in_version(raw, self.version)
        if self.ledger.switches.volatile_urls:
            raw = with_volatile_urls(raw, f"{self.ledger.rng.getrandbits(64):016x}")
        return raw


Handler = Callable[[Call], bytes]


def list_of(resource: Resource) -> Handler:
    """Return the handler of ``GET /v1/<resource>``."""
    filters, ranged = accepted(resource), "created" in resource.params

    def handle(call: Call) -> bytes:
        query = parse_query(call.params, filters, created=ranged)
        ledger, collection = call.ledger, call.space.collections[resource.kind]
        records = _state(call, resource.kind)
        if records is collection.ordered and isinstance(query.filters.get("customer"), str):
            records = collection.where("customer", query.filters["customer"])
        keep = _keeper(call, resource, query.filters)
        found, more = paginate(records, query, collection.by_id.get, resource.label, keep)
        body = render_page(_shown(call, found), more, call.path)
        ledger.page_served(call.space, resource.kind, found)
        return body

    return handle


def retrieve(resource: Resource) -> Handler:
    """Return the handler of ``GET /v1/<resource>/{id}``."""

    def handle(call: Call) -> bytes:
        _only(call.params, ())
        collection = call.space.collections[resource.kind]
        id_ = call.ids[0]
        if resource.deletion == "tombstone" and id_ in collection.gone:
            return encode({"id": id_, "object": resource.kind, "deleted": True})
        return call.show(call.space.record(resource.kind, id_).raw)

    return handle


def lines(call: Call) -> bytes:
    """Answer ``GET /v1/invoices/{id}/lines``."""
    query = parse_query(call.params, (), created=False)
    record = call.space.record("invoice", call.ids[0])
    children = _children(call, "invoice", record)
    found, more = paginate_children(children, query, "invoice line item")
    return render_page([in_version(raw, call.version) for raw in found], more, call.path)


def children_of(resource: Resource) -> Handler:
    """Return the handler of ``GET /v1/<resource>/{id}/<children>``."""

    def handle(call: Call) -> bytes:
        query = parse_query(call.params, (), created=False)
        record = call.space.record(resource.kind, call.ids[0])
        children = _children(call, resource.kind, record)
        found, more = paginate_children(children, query, str(resource.child))
        return render_page(found, more, call.path)

    return handle


def items(call: Call) -> bytes:
    """Answer ``GET /v1/subscription_items?subscription=…``."""
    query = parse_query(call.params, ("subscription",), created=False)
    parent = query.filters.get("subscription")
    if not isinstance(parent, str) or not parent:
        raise missing_param("subscription")
    record = call.space.record("subscription", parent, "subscription", 400)
    children = _children(call, "subscription", record)
    found, more = paginate_children(children, query, "subscription_item")
    return render_page([in_version(raw, call.version) for raw in found], more, call.path)


def item(call: Call) -> bytes:
    """Answer ``GET /v1/subscription_items/{id}``."""
    from airflow_provider_stripe_app.testing.actions import item as find

    _only(call.params, ())
    return in_version(encode(find(call.space, call.ids[0])), call.version)


def account(call: Call) -> bytes:
    """Answer ``GET /v1/account``: the caller's own."""
    _only(call.params, ())
    return encode(call.space.account)


def account_by_id(call: Call) -> bytes:
    """Answer ``GET /v1/accounts/{id}``: the caller's own account, or a connected one."""
    if call.ids[0] == call.space.account_id:
        return account(call)
    _only(call.params, ())
    return call.show(call.space.record("account", call.ids[0]).raw)


def events(call: Call) -> bytes:
    """Answer ``GET /v1/events``."""
    found, more = call.space.events.page(call.params, call.ledger.clock.now(), _may_see(call))
    return render_page([event.render() for event in found], more, call.path)


def event(call: Call) -> bytes:
    """Answer ``GET /v1/events/{id}``."""
    _only(call.params, ())
    found = call.space.events.get(call.ids[0], call.ledger.clock.now())
    may_see = _may_see(call)
    if found is None or (may_see is not None and not may_see(found)):
        raise missing("event", call.ids[0])
    return found.render()


def _only(params: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    parse_query({k: v for k, v in params.items() if k != "expand"}, allowed, created=False)
    for name in ("limit", "starting_after", "ending_before"):
        if name in params:
            raise unknown_param(name)


def _may_see(call: Call) -> Callable[[Event], bool] | None:
    """Return the test for events whose objects the caller may read, ``None`` if all."""
    if call.grant.permissions is None or not call.ledger.switches.event_permissions:
        return None
    return lambda event: call.grant.allows(f"{event_permission(event.type)}_read")


def _state(call: Call, kind: str) -> list[Record]:
    """Return the records that a list sees now: those of a while ago when lists are stale."""
    stale = call.ledger.switches.stale_lists
    collection = call.space.collections[kind]
    if stale[1] <= 0:
        return collection.ordered
    return collection.as_of(call.ledger.clock.now() - call.ledger.rng.uniform(*stale))


def _shown(call: Call, records: list[Record]) -> list[bytes]:
    if call.ledger.switches.volatile_urls or is_old_shape(call.version):
        return [call.show(record.raw) for record in records]
    return [record.raw for record in records]


def _children(call: Call, kind: str, record: Record) -> list[tuple[str, bytes]]:
    raws = call.space.collections[kind].children_of(record)
    return [(decode(raw)["id"], raw) for raw in raws]


def _keeper(
    call: Call, resource: Resource, filters: Mapping[str, Any]
) -> Callable[[Record], bool] | None:
    """Return the test a record has to pass, ``None`` when all do."""
    tests = record_tests(resource, filters)
    if call.ledger.switches.test_clocks_hidden and "test_clock" not in filters:
        tests.insert(0, lambda record: record.test_clock is None)
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda record: all(test(record) for test in tests)
