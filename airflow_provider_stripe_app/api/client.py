"""The client that everything uses to talk to Stripe: tokens, pace, retries, meaning.

>>> client = StripeClient(StaticToken("rk_…"), limiter=RateLimiter.for_mode(False))
>>> for page in client.iterate("/v1/customers"):
...     print([item.id for item in page.items])
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import requests

from airflow_provider_stripe_app.api.answer import (
    Answer,
    EventPage,
    Page,
    PageOf,
    ParentPage,
    answer_of,
    says_deleted,
    sent_at_of,
)
from airflow_provider_stripe_app.api.errors import (
    NotStripe,
    ObjectMissing,
    RateLimited,
    ServerTrouble,
    StripeApiError,
    classify,
    looks_like_html,
    not_stripe,
)
from airflow_provider_stripe_app.api.events import split_events
from airflow_provider_stripe_app.api.paging import follow
from airflow_provider_stripe_app.api.params import encode
from airflow_provider_stripe_app.api.pulse import Pulse
from airflow_provider_stripe_app.api.rate_limit import Pacer, operation
from airflow_provider_stripe_app.api.retry import (
    RetryPolicy,
    Trouble,
    delay,
    may_retry,
    stated_wait,
    trouble_of,
)
from airflow_provider_stripe_app.api.split import MalformedBody, split_page, split_parents
from airflow_provider_stripe_app.api.tokens import TokenProvider
from airflow_provider_stripe_app.api.transport import NetworkTrouble, Reply, Transport, date_of
from airflow_provider_stripe_app.exceptions import ConfigurationError

__all__ = ["Answer", "EventPage", "Page", "ParentPage", "StripeClient"]

log = logging.getLogger(__name__)
T = TypeVar("T")

API_BASE = "https://api.stripe.com"
LOUD_AFTER = 4
"""Tries after which another one is worth a warning."""

REPLACEMENTS = 2
"""Tokens that one call may have replaced: with its waits it can outlive two of them."""

_PLAIN_PATH = ("/v1/", "/v2/")


@dataclass(slots=True)
class _Call:
    """One logical request, over all its tries."""

    method: str
    path: str
    query: list[tuple[str, str]]
    form: list[tuple[str, str]] | None
    headers: dict[str, str]
    purpose: str
    permission: str | None
    began: float
    tries: int = 0
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = operation(self.method, self.path)


class StripeClient:
    """Stripe's API as one account sees it. Thread-safe; share it, for the sake of its connections.

    :param tokens: where tokens come from; asked again when Stripe refuses one.
    :param api_base: scheme and host.
    :param limiter: paces the requests; ``None`` sends as fast as it is called.
    :param timeout: seconds to (connect, read).
    :param session: a :class:`requests.Session` of the caller's.
    :param retry: how patient to be.
    :param sleep: waits for seconds (tests).

    ``requests`` counts every HTTP request sent, by purpose, retries included: reads are a cost.
    ``throttled`` counts the answers 429 by Stripe's reason; ``lock_timeout`` and other codes stand
    for those without. ``pulse`` knows how long answers take. ``date`` is Stripe's time of the
    newest answer, unix seconds. ``gate`` is called with the purpose before each request; what it
    raises ends the call, and nothing is sent.
    """

    def __init__(
        self,
        tokens: TokenProvider,
        *,
        api_base: str = API_BASE,
        limiter: Pacer | None = None,
        timeout: tuple[float, float] = (10.0, 80.0),
        session: requests.Session | None = None,
        retry: RetryPolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.requests: Counter[str] = Counter()
        self.throttled: Counter[str] = Counter()
        self.date: int | None = None
        self.gate: Callable[[str], None] | None = None
        self.pulse = Pulse()
        self.limiter = limiter
        self._tokens = tokens
        self._transport = Transport(api_base, timeout, session)
        self._retry = retry or RetryPolicy()
        self._sleep = sleep
        self._lock = threading.Lock()

    # -- single requests

    def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        purpose: str = "other",
        permission: str | None = None,
        missing_ok: bool = False,
    ) -> Answer:
        """Send a request, repeatedly if need be, and return the answer.

        :param method: ``GET``, ``POST`` or ``DELETE``.
        :param path: begins with ``/v1/``.
        :param params: query parameters, nested ones too.
        :param body: form parameters of a POST.
        :param idempotency_key: of a POST or DELETE; made up if not given. All tries send the same.
        :param purpose: under which the request is counted.
        :param permission: what it is known to need, for the error message.
        :param missing_ok: return a 404 for the object as an answer with ``missing`` set.
        :raises StripeApiError: one of the classes in :mod:`.errors`.
        """
        call = self._new_call(method, path, params, body, purpose, permission)
        if call.method in ("POST", "DELETE"):
            call.headers["Idempotency-Key"] = idempotency_key or str(uuid.uuid4())
        try:
            reply, deleted = self._run(call, says_deleted)
        except ObjectMissing as missing:
            if not missing_ok or missing.reply is None:
                raise
            answer = answer_of(missing.reply, missing=True)
        else:
            answer = answer_of(reply, deleted=deleted)
        self.date = answer.date
        return answer

    # -- lists

    def list_page(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        purpose: str = "list",
        permission: str | None = None,
    ) -> Page:
        """Return one page of a list, its items cut out byte for byte.

        :raises CursorDeleted: if the object in ``starting_after`` does not exist any more.
        :raises StripeApiError: as :meth:`request`.
        """
        return self._page(path, params, split_page, purpose, permission)

    def list_parents(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        inlined: str | None,
        purpose: str = "list",
        permission: str | None = None,
    ) -> ParentPage:
        """Return one page of a list, each item with its inlined children cut out too.

        :param inlined: key of the children's list object, for example ``lines``.
        :raises StripeApiError: as :meth:`list_page`.
        """

        def split(body: bytes) -> tuple[list[Any], bool]:
            return split_parents(body, inlined=inlined)

        return self._page(path, params, split, purpose, permission)

    def events_page(
        self, params: Mapping[str, Any] | None = None, *, purpose: str = "events"
    ) -> EventPage:
        """Return one page of ``/v1/events``.

        :raises StripeApiError: as :meth:`list_page`.
        """
        return self._page("/v1/events", params, split_events, purpose, "event_read")

    def iterate(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        purpose: str = "list",
        permission: str | None = None,
    ) -> Iterator[Page]:
        """Yield the pages of a list, one in memory at a time; nothing is sent before the first.

        When the object at the end of a page is deleted before the next page is read, it goes on
        from that object's second and drops what it has yielded already (EQUALITY §5).

        :raises CursorDeleted: if that happens in a list whose objects have no ``created``.
        :raises StripeApiError: as :meth:`list_page`.
        """

        def fetch(wanted: dict[str, Any]) -> Page:
            return self.list_page(path, wanted, purpose=purpose, permission=permission)

        return follow(fetch, {"limit": 100, **(params or {})})

    def close(self) -> None:
        """Close the open connections."""
        self._transport.close()

    # -- inside

    def _new_call(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,
        purpose: str,
        permission: str | None,
    ) -> _Call:
        if not path.startswith(_PLAIN_PATH):
            # A whole URL, or a path like //host/, would carry the token to another server.
            raise ConfigurationError(
                f"The path must begin with /v1/ (got {path[:40]!r}): the host is set by api_base."
            )
        method = method.upper()
        form = encode(body) if method == "POST" else None
        query = encode(params)
        return _Call(method, path, query, form, {}, purpose, permission, time.monotonic())

    def _page(
        self,
        path: str,
        params: Mapping[str, Any] | None,
        split: Callable[[bytes], tuple[list[T], bool]],
        purpose: str,
        permission: str | None,
    ) -> PageOf[T]:
        call = self._new_call("GET", path, params, None, purpose, permission)
        reply, (items, has_more) = self._run(call, split)
        self.date = date = date_of(reply.headers)
        return PageOf(items, has_more, sent_at_of(reply, date), date)

    def _run(self, call: _Call, parse: Callable[[bytes], T]) -> tuple[Reply, T]:
        """Send until it works or there is no hope; ``parse`` failing means a damaged answer."""
        token = self._tokens.get()
        refused: set[str] = set()
        while True:
            try:
                reply = self._send(call, token)
                if 200 <= reply.status < 300:
                    return reply, self._parsed(call, reply, parse)
            except (NetworkTrouble, MalformedBody) as trouble:
                self._wait_or_raise(call, "network", self._network_error(call, trouble))
                continue
            if reply.status == 401 and token not in refused and len(refused) < REPLACEMENTS:
                refused.add(token)
                token = self._tokens.replace(token)
                continue
            self._after_refusal(call, reply)

    def counted(self) -> Counter[str]:
        """Return a copy of ``requests`` as of one moment, while others go on counting."""
        with self._lock:
            return self.requests.copy()

    def _send(self, call: _Call, token: str) -> Reply:
        if self.gate is not None:
            self.gate(call.purpose)
        if self.limiter is not None:
            self.limiter.acquire(call.name)
        with self._lock:
            self.requests[call.purpose] += 1
        call.tries += 1
        began = time.monotonic()
        reply = self._transport.send(
            call.method,
            call.path,
            token=token,
            query=call.query,
            form=call.form,
            headers=call.headers,
        )
        if reply.status < 400:
            self.pulse.note(call.name, time.monotonic() - began)
        return reply

    def _parsed(self, call: _Call, reply: Reply, parse: Callable[[bytes], T]) -> T:
        try:
            return parse(reply.body)
        except MalformedBody:
            if looks_like_html(reply.headers.get("Content-Type"), reply.body):
                raise not_stripe(reply.status, self._transport.host, reply.body) from None
            raise

    def _after_refusal(self, call: _Call, reply: Reply) -> None:
        """Wait when another try can help, else raise what the answer means."""
        trouble = trouble_of(reply.status)
        error = self._meaning(call, reply)
        if isinstance(error, RateLimited):
            self._throttled(call, error)
        replayed = reply.headers.get("Idempotent-Replayed", "").lower() == "true"
        should_retry = reply.headers.get("Stripe-Should-Retry")
        if isinstance(error, NotStripe) and trouble == "other":
            raise error
        if not may_retry(trouble, should_retry, replayed=replayed):
            raise error
        at_least = stated_wait(reply.headers.get("Retry-After"))
        self._wait_or_raise(call, trouble, error, at_least)

    def _throttled(self, call: _Call, error: RateLimited) -> None:
        with self._lock:
            self.throttled[error.reason or error.code or "without a reason"] += 1
        if self.limiter is not None:
            # Without the header a lock_timeout is nobody's rate; rate_limit blames what we did.
            unnamed = "endpoint-rate" if error.code == "rate_limit" else None
            self.limiter.throttled(call.name, error.reason or unnamed)

    def _meaning(self, call: _Call, reply: Reply) -> StripeApiError:
        redirected = 300 <= reply.status < 400
        if redirected or looks_like_html(reply.headers.get("Content-Type"), reply.body):
            return not_stripe(reply.status, self._transport.host, reply.body)
        try:
            sent_at = sent_at_of(reply, date_of(reply.headers))
        except StripeApiError:
            sent_at = None
        error = classify(
            reply.status,
            reply.headers,
            reply.body,
            what=call.name,
            permission=call.permission,
            sent_at=sent_at,
        )
        if isinstance(error, ObjectMissing):
            if sent_at is None:
                date_of(reply.headers)  # raises: an absence needs a time as much as an object does
            error.reply = reply
        return error

    def _network_error(self, call: _Call, trouble: Exception) -> ServerTrouble:
        return ServerTrouble(
            f"No whole answer from Stripe to {call.name} after {call.tries} tries in "
            f"{time.monotonic() - call.began:.0f} s ({trouble}). If this lasts, check the network "
            "and the proxy settings between this machine and Stripe."
        )

    def _wait_or_raise(
        self, call: _Call, trouble: Trouble, error: StripeApiError, at_least: float = 0.0
    ) -> None:
        seconds = delay(
            self._retry,
            trouble,
            tries=call.tries,
            elapsed=time.monotonic() - call.began,
            luck=random.random(),  # noqa: S311 - jitter
            at_least=at_least,
        )
        if seconds is None:
            raise error
        level = logging.DEBUG if call.tries < LOUD_AFTER else logging.WARNING
        next_try = call.tries + 1
        log.log(level, "%s: %s trouble, try %d in %.1f s", call.name, trouble, next_try, seconds)
        self._sleep(seconds)
