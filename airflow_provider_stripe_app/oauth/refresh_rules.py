"""When a token is used, renewed, waited for or given up: DESIGN §2.3 as pure functions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum

from airflow_provider_stripe_app.oauth.config import TokenPolicy

ACTIVE = "active"
LOST = "reauthorization_required"
LAST_SECONDS = 5.0
"""A token with less life than this is not handed out even while Stripe is in trouble."""
MAX_MENDING_TRIES = 5
"""Tries to mend one loss."""
MAX_MENDED_PER_DAY = 3
"""Losses of one installation that are mended within a day: more are a loop, not an accident."""


class Decision(Enum):
    """What to do for one request for a token."""

    USE = "use the stored token"
    RENEW = "take the lease and ask Stripe"
    WAIT = "read again a little later"
    LOST = "a person has to install the app again"
    MEND = "take the lease and try to get new tokens by Stripe's Install API"
    MEND_LATER = "lost, but it will be tried to mend it again"
    CAPPED = "too many renewals were caused by refused tokens"


@dataclass(frozen=True)
class TokenState:
    """What the rules look at, all of one read of the row.

    :param stored: fingerprint of the stored access token.
    :param expires_at: when that token dies.
    :param refreshed_at: when it was stored.
    :param lease_until: until when another process may renew, ``None`` if nobody does.
    :param refused_at: when Stripe refused the refresh token while somebody else's attempt was
        unfinished.
    :param retry_at: not to be tried at Stripe before this.
    :param recent_refusals: renewals that refused tokens caused in the last hour.
    :param heal_after: when a lost grant may be mended by the Install API, ``None`` for never.
    """

    status: str
    stored: str
    expires_at: float
    refreshed_at: float
    lease_until: float | None = None
    refused_at: float | None = None
    retry_at: float | None = None
    recent_refusals: int = 0
    heal_after: float | None = None


def decide(
    state: TokenState,
    *,
    refused: str | None,
    now: float,
    policy: TokenPolicy,
    min_remaining: float | None = None,
    even_lost: bool = False,
) -> Decision:
    """Say what to do for a request for a token.

    :param state: the row.
    :param refused: fingerprint of the token that Stripe refused, if one was.
    :param now: unix seconds.
    :param policy: the numbers.
    :param min_remaining: seconds the token must have left, instead of the policy's margin.
    :param even_lost: try at Stripe although the grant counts as lost, because a person asked for
        it.
    """
    if state.status == LOST and not even_lost:
        return _lost(state, now)
    margin = policy.refresh_margin if min_remaining is None else min_remaining
    stored_was_refused = refused is not None and refused == state.stored
    fresh = state.expires_at - now > margin
    if fresh and not stored_was_refused:
        return Decision.USE
    blocked = _blocked(state, stored_was_refused=stored_was_refused, now=now, policy=policy)
    if blocked is not None:
        return blocked
    if fresh:  # refused while good: a wave of false 401s must not roll one token after another
        if now - state.refreshed_at < policy.min_token_age:
            return Decision.WAIT
        if state.recent_refusals >= policy.max_refreshes_per_hour:
            return Decision.CAPPED
    return Decision.RENEW


def _lost(state: TokenState, now: float) -> Decision:
    if state.lease_until is not None and state.lease_until > now:
        return Decision.WAIT
    if state.heal_after is None:
        return Decision.LOST
    return Decision.MEND if now >= state.heal_after else Decision.MEND_LATER


def next_mending(tries: int, now: float, policy: TokenPolicy) -> float | None:
    """Return when a lost grant may be tried to mend again, after ``tries`` tries have begun.

    A try that Stripe answered is the last one of its loss; this is for those that got no answer or
    whose process died.

    :param tries: how many tries of this loss have begun.
    :param now: unix seconds.
    :param policy: the numbers.
    :return: unix seconds, ``None`` for never.
    """
    if tries >= MAX_MENDING_TRIES:
        return None
    return now + policy.heal_pause * 5.0 ** (tries - 1)


def _blocked(
    state: TokenState, *, stored_was_refused: bool, now: float, policy: TokenPolicy
) -> Decision | None:
    """Say what to do while a renewal must not start, ``None`` if one may."""
    if state.lease_until is not None and state.lease_until > now:
        return Decision.WAIT
    if state.refused_at is not None and now < state.refused_at + policy.lost_after:
        return Decision.WAIT
    if state.retry_at is not None and now < state.retry_at:
        alive = state.expires_at - now > LAST_SECONDS and not stored_was_refused
        return Decision.USE if alive else Decision.WAIT
    return None


def idempotency_key(refresh_token: str, suffix: int) -> str:
    """Return the ``Idempotency-Key`` of a renewal.

    The same until an answer was received, so that a repetition after a lost answer may return the
    same tokens; Stripe replays a stored 500 for a day, so after an answer the suffix changes.

    :param refresh_token: the token that is spent.
    :param suffix: how many answers have been received for it.
    """
    digest = hashlib.sha256(f"stripe-app-refresh:{refresh_token}".encode()).hexdigest()
    return f"refresh-{digest[:40]}-{suffix}"


def is_lost(*, someone_unfinished: bool, refused_at: float | None) -> bool:
    """Say whether ``invalid_grant`` for the newest refresh token means that the grant is lost.

    If another process was using the same token and has not said how that ended, it may still store
    the tokens that it got; only a second refusal, after the wait, is final.

    :param someone_unfinished: whether another process's attempt with this token had no end.
    :param refused_at: when the first such refusal was written down.
    """
    return refused_at is not None or not someone_unfinished


def lost_message(conn_id: str, why: str | None) -> str:
    """Return what to tell a person whose installation is lost.

    :param conn_id: the connection.
    :param why: the last error.
    """
    reason = why or "The stored tokens are dead."
    return (
        f"The Stripe App has to be installed again for connection {conn_id}: open the page Stripe "
        f"App in Airflow (/stripe-app/) and press Reauthorize. ({reason})"
    )
