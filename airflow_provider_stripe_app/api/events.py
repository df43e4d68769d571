"""Cuts pages of ``/v1/events`` into events, their objects byte for byte (see :mod:`.split`)."""

from __future__ import annotations

from typing import Any

import msgspec

from airflow_provider_stripe_app.api.split import Source, decode


class EventItem(msgspec.Struct, frozen=True):
    """One event and the object it is about (https://docs.stripe.com/api/events/object).

    :param id: ``evt_…``.
    :param type: for example ``invoice.paid``.
    :param created: unix seconds.
    :param api_version: version in which the object is rendered; ``None`` if Stripe does not say.
    :param object_id: the object's id, ``None`` when it has none (``invoice.upcoming``).
    :param object_raw: the object's JSON text as sent.
    :param object_typed_from: a copy that is safe to type, ``None`` when ``object_raw`` is.
    :param object_created: unix seconds, ``None`` if it has none.
    :param account: the connected account of the event, ``None`` for the own one.
    """

    id: str
    type: str
    created: int
    api_version: str | None
    object_id: str | None
    object_raw: str
    object_typed_from: str | None = None
    object_created: int | None = None
    account: str | None = None

    def lookup(self, *path: str) -> str | None:
        """Return the id at ``path`` of the object, of an expandable field too.

        :param path: keys from the outside in, for example ``"customer"``.
        :return: the id, ``None`` if there is none.
        """
        found: Any = msgspec.json.decode(self.object_typed_from or self.object_raw)
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, dict):
            found = found.get("id")
        return found if isinstance(found, str) and found else None


class _Data(msgspec.Struct):
    object: msgspec.Raw


class _Event(msgspec.Struct):
    id: str
    type: str
    created: int
    data: _Data
    api_version: str | None = None
    account: str | None = None


class _EventPage(msgspec.Struct):
    data: list[_Event]
    has_more: bool


class _Subject(msgspec.Struct):
    id: Any = None
    created: Any = None


_page = msgspec.json.Decoder(_EventPage)
_subject = msgspec.json.Decoder(_Subject)


def split_events(body: bytes | str) -> tuple[list[EventItem], bool]:
    """Split a page of events.

    :param body: a list object's JSON.
    :return: the events in order, and ``has_more``.
    :raises MalformedBody: if it is not a whole page of events.
    """
    source = Source(body)
    page = decode(_page, source.safe)
    source.skip_to("data")
    items = []
    for event in page.data:
        subject = decode(_subject, event.data.object)
        raw, typed_from = source.cut(event.data.object)
        items.append(
            EventItem(
                id=event.id,
                type=event.type,
                created=event.created,
                api_version=event.api_version,
                object_id=subject.id if isinstance(subject.id, str) and subject.id else None,
                object_raw=raw,
                object_typed_from=typed_from,
                object_created=subject.created if type(subject.created) is int else None,
                account=event.account,
            )
        )
    return items, page.has_more
