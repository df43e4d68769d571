"""What a request returns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from airflow_provider_stripe_app.api.events import EventItem
from airflow_provider_stripe_app.api.split import (
    Item,
    ParentItem,
    check_text,
    decode,
    sanitize,
)
from airflow_provider_stripe_app.api.transport import Reply, date_of

ItemT = TypeVar("ItemT")


class _Probe(msgspec.Struct):
    deleted: Any = None


_probe = msgspec.json.Decoder(_Probe)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of Stripe.

    :param status: HTTP status.
    :param headers: response headers, case-insensitive.
    :param body: as sent.
    :param sent_at: whole unix second by Stripe's clock that is not after the request left, hence
        not after Stripe read what it answers: ``floor(Date - round trip)``. ``Date`` is cut to the
        second and stamped after the read; the round trip is measured here with a monotonic clock,
        from before sending to the arrival of the headers, so it is never too short.
    :param date: Stripe's ``Date`` header in unix seconds.
    :param deleted: the object says ``"deleted": true``.
    :param missing: HTTP 404 for the object asked for, where the caller allowed it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_at: int
    date: int
    deleted: bool = False
    missing: bool = False

    @property
    def request_id(self) -> str | None:
        """The id that Stripe's support and Dashboard know."""
        return self.headers.get("Request-Id")

    @property
    def text(self) -> str:
        """The body as text, byte for byte."""
        return self.body.decode()

    def json(self) -> Any:
        """Return the decoded body; NUL and lone surrogates come as U+FFFD."""
        return msgspec.json.decode(sanitize(self.body) or self.body)


@dataclass(frozen=True, slots=True)
class PageOf(Generic[ItemT]):
    """A page of a list, newest first.

    :param items: what is on it.
    :param has_more: whether there is another page.
    :param sent_at: see :class:`Answer`.
    :param date: see :class:`Answer`.
    """

    items: list[ItemT]
    has_more: bool
    sent_at: int
    date: int


Page: TypeAlias = PageOf[Item]
ParentPage: TypeAlias = PageOf[ParentItem]
EventPage: TypeAlias = PageOf[EventItem]


def says_deleted(body: bytes) -> bool:
    """Tell whether an object says that it is deleted.

    :raises MalformedBody: if the body is not a whole JSON object.
    """
    check_text(body)
    return decode(_probe, sanitize(body) or body).deleted is True


def sent_at_of(reply: Reply, date: int) -> int:
    """Return the second that is not after the request left, see :class:`Answer`."""
    return math.floor(date - reply.round_trip)


def answer_of(reply: Reply, *, deleted: bool = False, missing: bool = False) -> Answer:
    """Return a reply as an answer.

    :raises StripeApiError: if it has no ``Date``.
    """
    date = date_of(reply.headers)
    at = sent_at_of(reply, date)
    return Answer(
        reply.status, reply.headers, reply.body, at, date, deleted=deleted, missing=missing
    )
