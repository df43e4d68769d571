"""When a request is sent again, and after how long: decisions without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Trouble = Literal["network", "server", "conflict", "rate", "other"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient the client is.

    :param attempts: tries in all when the network or Stripe fails.
    :param rate_attempts: tries in all when Stripe limits the rate: waiting does help there.
    :param seconds: no new try begins later than this after the first.
    :param base: seconds before the second try; doubles each time.
    :param cap: most seconds between two tries.
    """

    attempts: int = 8
    rate_attempts: int = 25
    seconds: float = 300.0
    base: float = 0.5
    cap: float = 20.0


def trouble_of(status: int) -> Trouble:
    """Return what kind of trouble an error status is."""
    if status == 429:
        return "rate"
    if status == 409:
        return "conflict"
    return "server" if status >= 500 else "other"


def may_retry(trouble: Trouble, should_retry: str | None, *, replayed: bool) -> bool:
    """Tell whether another try can help.

    ``Stripe-Should-Retry`` decides over our own rule
    (https://docs.stripe.com/error-low-level). A *replayed* 5xx is stored under its idempotency key
    and would only be replayed again.

    :param should_retry: value of the header, ``None`` if absent.
    :param replayed: the answer is a stored one (``Idempotent-Replayed: true``).
    """
    if replayed and trouble == "server":
        return False
    stated = (should_retry or "").strip().lower()
    if stated in ("true", "false"):
        return stated == "true"
    return trouble != "other"


def delay(
    policy: RetryPolicy,
    trouble: Trouble,
    *,
    tries: int,
    elapsed: float,
    luck: float,
    at_least: float = 0.0,
) -> float | None:
    """Return the seconds to wait before the next try, ``None`` to give up.

    :param tries: tries so far, at least 1.
    :param elapsed: seconds since the first began.
    :param luck: random number in [0, 1): half of the wait is jitter, so that clients part.
    :param at_least: seconds that the answer asked for.
    """
    if tries >= (policy.rate_attempts if trouble == "rate" else policy.attempts):
        return None
    wait = min(policy.cap, policy.base * 2.0 ** min(tries - 1, 30)) * (0.5 + luck / 2)
    wait = max(wait, at_least)
    return wait if elapsed + wait <= policy.seconds else None


def stated_wait(retry_after: str | None) -> float:
    """Return the seconds that a ``Retry-After`` header asks for, 0 if none.

    Stripe documents no such header, but gateways on the way send it. Dates are not read: the
    worker's clock may be wrong.
    """
    text = (retry_after or "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0
