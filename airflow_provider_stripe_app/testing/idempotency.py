"""Idempotency keys (https://docs.stripe.com/api/idempotent_requests)."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_stripe_app.testing.errors import ApiError

KEPT_SECONDS = 24 * 3600.0


@dataclass(slots=True)
class _Stored:
    fingerprint: str
    at: float
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


class IdempotencyKeys:
    """Remembers the answers of requests that carried a key, per account."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, bool, str], _Stored] = {}

    def begin(
        self, key: tuple[str, bool, str], fingerprint: str, now: float
    ) -> tuple[int, tuple[tuple[str, str], ...], bytes] | None:
        """Open a key, or return the answer stored under it.

        :param key: (account, livemode, ``Idempotency-Key``).
        :param fingerprint: of method, path and parameters.
        :return: status, headers and body to replay; ``None`` if the request is to be carried out.
        :raises ApiError: 400 for other parameters, 409 while the first request is running.
        """
        stored = self._stored.get(key)
        if stored is None or stored.at + KEPT_SECONDS <= now:
            self._stored[key] = _Stored(fingerprint, now)
            return None
        if stored.fingerprint != fingerprint:
            raise ApiError(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were "
                f"first used with. Try using a key other than '{key[2]}' if you meant to execute a "
                "different request.",
                type="idempotency_error",
            )
        if stored.body is None:
            raise ApiError(
                409,
                "There is currently another in-progress request using this Idempotency Key.",
                type="idempotency_error",
                code="idempotency_key_in_use",
                headers={"Stripe-Should-Retry": "true"},
            )
        return stored.status, stored.headers, stored.body

    def finish(
        self,
        key: tuple[str, bool, str],
        status: int,
        headers: tuple[tuple[str, str], ...],
        body: bytes,
    ) -> None:
        """Store the answer of a request that was carried out, whatever it is."""
        stored = self._stored[key]
        stored.status, stored.headers, stored.body = status, headers, body

    def known(self, key: tuple[str, bool, str]) -> bool:
        """Tell whether a key is open or holds an answer."""
        return key in self._stored

    def abandon(self, key: tuple[str, bool, str]) -> None:
        """Forget a key whose request was never carried out."""
        self._stored.pop(key, None)
