"""Stripe's rate limits: token buckets per account and per named operation, in real time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_stripe_app.testing.switches import Switches


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimits:
    """Decides which requests are answered with 429 (https://docs.stripe.com/rate-limits).

    An operation is a method with a path whose ids are left open: the list and the retrieval of one
    resource are two.

    :param switches: hold the rates; may change at any time.
    :param monotonic: real time, since clients wait in real time.
    """

    def __init__(self, switches: Switches, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._switches = switches
        self._monotonic = monotonic
        self._buckets: dict[tuple[str, bool, str], _Bucket] = {}

    def refuse(self, account_id: str, livemode: bool, operation: str) -> str | None:
        """Take a token, or say why there is none.

        :return: value for ``Stripe-Rate-Limited-Reason``, ``None`` if the request may go on.
        """
        switches = self._switches
        if not switches.rate_limits:
            return None
        account_rate = switches.account_rate_live if livemode else switches.account_rate_test
        whole = self._bucket((account_id, livemode, ""), account_rate)
        if whole.tokens < 1:
            return "global-rate"
        rate = switches.endpoint_rate
        if _is_file(operation):
            rate = min(rate, switches.files_rate)
        endpoint = self._bucket((account_id, livemode, operation), rate)
        if endpoint.tokens < 1:
            return "endpoint-rate"
        whole.tokens -= 1
        endpoint.tokens -= 1
        return None

    def _bucket(self, key: tuple[str, bool, str], rate: float) -> _Bucket:
        now = self._monotonic()
        size = max(1.0, rate * self._switches.rate_burst_seconds)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(size, now)
        else:
            bucket.tokens = min(size, bucket.tokens + (now - bucket.at) * rate)
            bucket.at = now
        return bucket


def _is_file(operation: str) -> bool:
    return operation.partition(" ")[2].split("/")[2:3] == ["files"]
