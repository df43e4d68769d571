"""One renewal of one installation's tokens: lease, attempt, Stripe, store, release (DESIGN §2.3).

Nothing here holds a transaction or a database lock while it talks to Stripe or waits.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.orm import Session

from airflow_provider_stripe_app.exceptions import ConfigurationError, TokenUnavailable
from airflow_provider_stripe_app.oauth import config, metrics, rows
from airflow_provider_stripe_app.oauth.access_grant import AccessGrant, fingerprint
from airflow_provider_stripe_app.oauth.adoption import Adoption
from airflow_provider_stripe_app.oauth.config import TokenPolicy
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.refresh_rules import LOST, idempotency_key, is_lost
from airflow_provider_stripe_app.oauth.token_endpoint import (
    Granted,
    Outcome,
    Refused,
    Trouble,
    WrongKey,
)

log = logging.getLogger(__name__)
TRIES = 3
FAILURE_PAUSE = 5.0
"""Seconds in which nobody tries again after a renewal failed: hundreds of waiting workers would."""


class RefreshEndpoint(Protocol):
    """What a renewal needs of ``TokenEndpoint``."""

    def refresh(
        self, refresh_token: str, idempotency_key: str, first_sent_at: float | None = None
    ) -> Outcome:
        """Roll the tokens."""
        ...


EndpointOf = Callable[[str, "str | None", float], RefreshEndpoint]
"""(app connection, team, timeout in seconds) → the token endpoint with that app's key."""


def check_deployment(seen: rows.Snapshot) -> None:
    """Refuse to roll tokens that belong to another deployment (a copied metadata database).

    :param seen: the row.
    :raises ConfigurationError: naming both deployments and how to take the tokens over.
    """
    own = config.deployment_id()
    if seen.deployment_id is None or seen.deployment_id == own:
        return
    raise ConfigurationError(
        f"The tokens of connection {seen.conn_id} belong to the Airflow deployment "
        f"{seen.deployment_id!r}, and this one is {own!r}: renewing them here would take them away "
        "from there. If this deployment has taken the other's place, press Take over on the page "
        "Stripe App or run `airflow stripe-app take-over`; if it is a copy, install the app again "
        "here; if it is the same one, set option [stripe_app] deployment_id in all components."
    )


@dataclass
class _Held:
    """The lease while it is held, and how far the attempt is."""

    seen: rows.Snapshot
    version: int
    suffix: int
    first_sent_at: float
    someone_unfinished: bool


class Renewal:
    """Renews tokens.

    :param endpoint_of: finds the token endpoint of an app connection.
    :param policy: the numbers.
    :param adoption: stores what Stripe gives.
    :param clock: unix seconds.
    :param sleep: waits for seconds.
    """

    def __init__(
        self,
        *,
        endpoint_of: EndpointOf,
        policy: TokenPolicy,
        adoption: Adoption,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._endpoint_of = endpoint_of
        self._policy = policy
        self._adoption = adoption
        self._clock = clock
        self._sleep = sleep

    def run(self, seen: rows.Snapshot, reason: str) -> AccessGrant | None:
        """Renew the tokens of a row that was just read.

        :param seen: the row.
        :param reason: ``refused``, ``expiring``, ``asked`` or ``upkeep``, for the history.
        :return: the new token; ``None`` if somebody else was faster or the grant is lost: read the
            row again.
        :raises TokenUnavailable: if Stripe gave no answer; the status is as before.
        :raises ConfigurationError: if the app's connection or key is wrong.
        """
        check_deployment(seen)
        endpoint = self._endpoint_of(seen.app_conn_id, seen.team_name, self._policy.token_timeout)
        held = self._take(seen)
        return self._ask(held, endpoint, reason) if held is not None else None

    def _take(self, seen: rows.Snapshot) -> _Held | None:
        """Take the lease and write down the attempt."""
        now = self._clock()
        spent = fingerprint(seen.refresh_token)
        same = seen.attempt_fingerprint == spent and seen.attempt_started_at is not None
        started = seen.attempt_started_at if same and seen.attempt_started_at is not None else now
        attempt = uuid.uuid4().hex
        values = {
            "lease_owner": attempt,
            "lease_until": now + self._policy.lease_seconds,
            "attempt_id": attempt,
            "attempt_started_at": started,
            "attempt_fingerprint": spent,
        }
        if not transaction(lambda s: rows.write(s, seen.id, seen.version, now, **values)):
            return None
        return _Held(
            seen=seen,
            version=seen.version + 1,
            suffix=seen.idempotency_suffix,
            first_sent_at=started,
            someone_unfinished=same and seen.attempt_id is not None,
        )

    def _ask(self, held: _Held, endpoint: RefreshEndpoint, reason: str) -> AccessGrant | None:
        number = 0
        while True:
            number += 1
            key = idempotency_key(held.seen.refresh_token, held.suffix)
            outcome = endpoint.refresh(held.seen.refresh_token, key, held.first_sent_at)
            if isinstance(outcome, Granted):
                grant = self._adoption.keep(held.seen, outcome, "refreshed", reason)
                if grant is not None:
                    metrics.refreshed(reason)
                return grant
            if isinstance(outcome, WrongKey):
                raise self._wrong_key(held, outcome)
            if isinstance(outcome, Refused) and not outcome.replayed:
                self._refused(held, outcome)
                return None
            # Stripe replays a stored answer for a day: only another key gets a new one.
            if isinstance(outcome, Refused) or outcome.received:
                held.suffix, held.first_sent_at = held.suffix + 1, self._clock()
            if number == TRIES or not self._extend(held):
                raise self._give_up(held, outcome)
            wait = outcome.retry_after if isinstance(outcome, Trouble) else None
            self._sleep(min(wait or 0.5 * number, 5.0))

    def _note(self, held: _Held, **values: Any) -> bool:
        """Write to the row while it is still as we left it."""
        now = self._clock()
        written = transaction(lambda s: rows.write(s, held.seen.id, held.version, now, **values))
        held.version += 1
        return written

    def _extend(self, held: _Held) -> bool:
        return self._note(
            held,
            lease_until=self._clock() + self._policy.lease_seconds,
            idempotency_suffix=held.suffix,
            attempt_started_at=held.first_sent_at,
        )

    def _refused(self, held: _Held, outcome: Refused) -> None:
        """Handle ``invalid_grant``: lost only if nobody else can hold the next tokens."""
        seen, now = held.seen, self._clock()
        lost = is_lost(someone_unfinished=held.someone_unfinished, refused_at=seen.state.refused_at)
        error = self._error_columns(outcome, now)
        if lost:
            # Mending is a step of its own, so that it goes on whatever happens to this process.
            heal = {"heal_tries": 0, "heal_after": now if self._policy.self_heal else None}
            values = {"status": LOST, **heal, **rows.NO_ATTEMPT, **rows.NO_LEASE, **error}
        else:
            values = {"attempt_id": None, "refused_at": now, **rows.NO_LEASE, **error}

        def write(session: Session) -> bool:
            if not rows.write(session, seen.id, held.version, now, **values):
                return False
            rows.record(
                session,
                seen.conn_id,
                "lost" if lost else "refused",
                now,
                generation=seen.generation,
                request_id=outcome.request_id,
                detail=outcome.message,
            )
            return True

        # A row that moved has other tokens, or another holder who will find out by itself.
        if transaction(write) and lost:
            metrics.lost()

    def _wrong_key(self, held: _Held, outcome: WrongKey) -> ConfigurationError:
        self._fail(held, outcome, FAILURE_PAUSE)
        return ConfigurationError(
            f"The tokens of connection {held.seen.conn_id} cannot be renewed with the secret key "
            f"of connection {held.seen.app_conn_id}: it was rolled, or it is of another app or "
            f"mode. Correct the key. ({outcome.message})"
        )

    def _give_up(self, held: _Held, outcome: Trouble | Refused) -> TokenUnavailable:
        """End an attempt without usable answer; it says nothing about the grant's status."""
        wait = outcome.retry_after if isinstance(outcome, Trouble) else None
        self._fail(held, outcome, max(wait or 0.0, FAILURE_PAUSE))
        return TokenUnavailable(
            f"The token of connection {held.seen.conn_id} cannot be renewed right now: "
            f"{outcome.message}."
        )

    def _fail(self, held: _Held, outcome: WrongKey | Trouble | Refused, pause: float) -> None:
        metrics.failed("wrong_key" if isinstance(outcome, WrongKey) else "trouble")
        now, seen = self._clock(), held.seen
        values = {
            **rows.NO_LEASE,
            **self._error_columns(outcome, now),
            # Our attempt has ended; one of somebody else's that had no end still has none.
            "attempt_id": seen.attempt_id if held.someone_unfinished else None,
            "attempt_started_at": held.first_sent_at,
            "idempotency_suffix": held.suffix,
            "retry_at": now + pause,
        }

        def write(session: Session) -> None:
            if rows.write(session, seen.id, held.version, now, **values):
                rows.record(
                    session,
                    seen.conn_id,
                    "error",
                    now,
                    generation=seen.generation,
                    request_id=outcome.request_id,
                    detail=outcome.message,
                )

        transaction(write)

    @staticmethod
    def _error_columns(outcome: WrongKey | Trouble | Refused, now: float) -> dict[str, Any]:
        return {
            "last_error": outcome.message,
            "last_error_at": now,
            "last_error_request_id": outcome.request_id,
        }
