"""From events to what is owed: pure decisions (EQUALITY §1–3).

An event is a *signal*. Per object only the newest one counts; its payload may stand in for a
refetch only when it is rendered in our API version, is alone in its second, and carries all
children.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from airflow_provider_stripe_app.api.events import EventItem
from airflow_provider_stripe_app.api.version import API_VERSION
from airflow_provider_stripe_app.streams.catalog import rules_for
from airflow_provider_stripe_app.streams.model import EventRule, Stream
from airflow_provider_stripe_app.sync.state import Coverage
from airflow_provider_stripe_app.warehouse.base import Obligation

Key = tuple[str, str]
"""(stream, object id)."""


def newest(old: Obligation | None, new: Obligation) -> Obligation:
    """Return the obligation that stays, as :meth:`Transaction.owe` decides it in SQL.

    :param old: what is owed so far for the same object.
    :param new: what another event says.
    """
    if old is None:
        return new
    if new.closes_at > old.closes_at:
        return new if new.created is not None else replace(new, created=old.created)
    if new.closes_at < old.closes_at or new.event_id == old.event_id:
        return old
    return replace(old, ambiguous=True, payload=None, effect="upsert")


class Reducer:
    """Collects what events owe, for the streams that the feed covers.

    :param streams: name → stream, for the streams that the catalogue knows.
    :param coverage: stream → since when, and which objects are left out.
    :param lag: seconds after which an event's second is closed.
    """

    def __init__(
        self,
        streams: Mapping[str, Stream],
        coverage: Mapping[str, Coverage],
        *,
        lag: int,
    ) -> None:
        self._streams = streams
        self._coverage = coverage
        self._lag = lag
        self.owed: dict[Key, Obligation] = {}
        self.unknown: dict[str, int] = {}
        self.events = 0
        self.heard_at = 0

    def add(self, events: Iterable[EventItem]) -> None:
        """Take events in, in any order."""
        for event in events:
            self.events += 1
            self.heard_at = max(self.heard_at, event.created)
            rules = rules_for(event.type)
            if rules is None:
                self.unknown[event.type] = self.unknown.get(event.type, 0) + 1
                continue
            wanted = [r for r in rules if r.effect != "ignore" and r.stream in self._coverage]
            if wanted:
                data = msgspec.json.decode(event.object_typed_from or event.object_raw)
                for rule in wanted:
                    self._apply(event, rule, data)

    def take(self) -> list[Obligation]:
        """Return what was collected so far and forget it."""
        owed = list(self.owed.values())
        self.owed = {}
        return owed

    def _apply(self, event: EventItem, rule: EventRule, data: dict[str, Any]) -> None:
        stream = self._streams[rule.stream]
        object_id = _at(data, rule.id_path)
        own = rule.id_path == ("id",) and data.get("object") == stream.object
        if object_id is None or (own and is_left_out(data, self._coverage[rule.stream].start_date)):
            return
        usable = own and rule.effect == "upsert" and event.api_version == API_VERSION
        new = Obligation(
            stream=rule.stream,
            id=object_id,
            closes_at=event.created + self._lag,
            event_id=event.id,
            effect="gone" if rule.effect == "gone" else "upsert",
            payload=event.object_raw if usable else None,
            created=_second(data.get(stream.created_field or "")) if own else None,
        )
        key = (rule.stream, object_id)
        self.owed[key] = newest(self.owed.get(key), new)


def is_left_out(data: Mapping[str, Any], start_date: int | None) -> bool:
    """Tell whether an object does not belong into the table.

    Objects of test clocks are left out: lists hide them while events show them
    (https://docs.stripe.com/api/customers/list, parameter ``test_clock``).

    :param data: the decoded object.
    :param start_date: unix second before which objects are left out.
    """
    created = data.get("created", data.get("date"))  # invoice items have `date`
    if start_date is not None and isinstance(created, int) and created < start_date:
        return True
    return data.get("test_clock") is not None


def _second(value: Any) -> int | None:
    return value if type(value) is int else None


def _at(data: Any, path: tuple[str, ...]) -> str | None:
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    if isinstance(data, dict):
        data = data.get("id")
    return data if isinstance(data, str) and data else None
