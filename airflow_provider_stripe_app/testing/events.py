"""The event log: what happened, visible late, unordered within a second, gone after 30 days."""

from __future__ import annotations

import fnmatch
import re
from bisect import insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from airflow_provider_stripe_app.testing.errors import invalid
from airflow_provider_stripe_app.testing.lists import ListQuery, paginate, parse_query
from airflow_provider_stripe_app.testing.store import SEQUENCE_BITS
from airflow_provider_stripe_app.testing.switches import Switches
from airflow_provider_stripe_app.testing.wire import (
    JsonObject,
    encode,
    in_version,
)

FILTERS = ("type", "types", "delivery_success")
_TYPE = re.compile(r"^[a-z0-9_.]+$")


@dataclass(frozen=True, slots=True)
class Cause:
    """The request that made a change.

    :param request_id: ``req_…``, ``None`` for what Stripe does by itself.
    """

    request_id: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One event. It shares the bytes of the object's snapshot with the store.

    :param order: ``created`` second, then chance (or sequence).
    :param visible_at: when lists start to show it.
    :param raw: the object as of the event.
    :param previous: raw ``previous_attributes``; ``None`` when it is no update.
    """

    id: str
    order: int
    type: str
    visible_at: float
    raw: bytes
    previous: bytes | None
    api_version: str
    livemode: bool
    cause: Cause

    @property
    def created(self) -> int:
        """Unix second at which it happened."""
        return self.order >> SEQUENCE_BITS

    def render(self) -> bytes:
        """Return the event as Stripe sends it."""
        data = b'{"object":' + self.raw
        if self.previous is not None:
            data += b',"previous_attributes":' + self.previous
        request = {"id": self.cause.request_id, "idempotency_key": self.cause.idempotency_key}
        return b"".join(
            (
                b'{"id":"%b","object":"event","api_version":' % self.id.encode(),
                encode(self.api_version),
                b',"created":%d,"data":' % self.created,
                data,
                b'},"livemode":true' if self.livemode else b'},"livemode":false',
                b',"pending_webhooks":0,"request":',
                encode(request),
                b',"type":"%b"}' % self.type.encode(),
            )
        )


class EventLog:
    """The events of one account.

    :param rng: decides delays and the order within a second.
    """

    def __init__(self, switches: Switches, rng: Random, livemode: bool) -> None:
        self._switches = switches
        self._rng = rng
        self._livemode = livemode
        self._ordered: list[Event] = []
        self._by_id: dict[str, Event] = {}
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._ordered)

    def emit(
        self,
        id_: str,
        type_: str,
        raw: bytes,
        now: float,
        *,
        previous: JsonObject | None = None,
        cause: Cause | None = None,
        created: float | None = None,
    ) -> Event:
        """Record that something happened.

        :param id_: the event's id.
        :param type_: event type.
        :param raw: the object after the change.
        :param now: the time; visibility counts from it.
        :param created: when it happened, if not now.
        """
        switches = self._switches
        version = switches.event_api_version
        self._sequence += 1
        chance = self._rng.getrandbits(20) if switches.event_shuffle else 0
        tie = (chance << 20) | (self._sequence & 0xFFFFF)
        event = Event(
            id_,
            (int(now if created is None else created) << SEQUENCE_BITS) | tie,
            type_,
            now + self._delay(),
            in_version(raw, version),
            None if previous is None else encode(previous),
            version,
            self._livemode,
            cause or Cause(),
        )
        insort(self._ordered, event, key=_order)
        self._by_id[event.id] = event
        self._prune(now)
        return event

    def get(self, id_: str, now: float) -> Event | None:
        """Return an event that can be seen now, whoever asks."""
        event = self._by_id.get(id_)
        return event if event is not None and self._visible(event, now) else None

    def page(
        self,
        params: Mapping[str, Any],
        now: float,
        allowed: Callable[[Event], bool] | None = None,
    ) -> tuple[list[Event], bool]:
        """Answer ``GET /v1/events``.

        :param params: the parsed query.
        :param allowed: whether the caller may see an event; ``None`` if all.
        :return: the events, newest first, and whether there are more.
        :raises ApiError: for what Stripe refuses.
        """
        query = parse_query(params, FILTERS, created=True)
        matches = _type_filter(query)
        oldest = int(now - self._switches.event_retention)
        low = oldest if query.low is None else max(oldest, query.low)
        bounded = ListQuery(query.limit, query.starting_after, query.ending_before, low, query.high)

        def keep(event: Event) -> bool:
            wanted = matches is None or matches(event.type)
            return wanted and event.visible_at <= now and (allowed is None or allowed(event))

        return paginate(self._ordered, bounded, lambda id_: self.get(id_, now), "event", keep)

    def all(self) -> list[Event]:
        """Return every event, visible or not, oldest first."""
        return list(self._ordered)

    def _delay(self) -> float:
        switches = self._switches
        late = switches.late_events > 0 and self._rng.random() < switches.late_events
        return self._rng.uniform(*(switches.late_event_delay if late else switches.event_delay))

    def _visible(self, event: Event, now: float) -> bool:
        return event.visible_at <= now and event.created >= int(
            now - self._switches.event_retention
        )

    def _prune(self, now: float) -> None:
        """Let go of events long gone, a thousand at a time."""
        limit = now - self._switches.event_retention - 86400
        if len(self._ordered) > 1000 and self._ordered[999].created < limit:
            for event in self._ordered[:1000]:
                del self._by_id[event.id]
            del self._ordered[:1000]


def _order(event: Event) -> int:
    return event.order


def _type_filter(query: ListQuery) -> Callable[[str], bool] | None:
    """Return the test that ``type`` or ``types`` asks for, ``None`` when everything is wanted."""
    one, many = query.filters.get("type"), query.filters.get("types")
    success = query.filters.get("delivery_success")
    if success not in (None, "true", "false"):
        raise invalid(f"Invalid boolean: {success}", "delivery_success")
    if one is not None and many is not None:
        raise invalid("You may only specify one of these parameters: type, types.", "type")
    if many is not None:
        names = many if isinstance(many, list) else [many]
        if len(names) > 20:
            raise invalid("You may only specify up to 20 event types.", "types")
        for name in names:
            if not isinstance(name, str) or not _TYPE.match(name):
                raise invalid(f"Invalid types: {name}", "types")
        wanted = frozenset(names)
        return lambda type_: type_ in wanted
    if one is None:
        return None
    if not isinstance(one, str) or not _TYPE.match(one.replace("*", "")):
        raise invalid(f"Invalid type: {one}", "type")
    return lambda type_: fnmatch.fnmatchcase(type_, one)
