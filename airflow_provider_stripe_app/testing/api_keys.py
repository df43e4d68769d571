"""The API keys and access tokens of the simulated Stripe, and what each may do."""

from __future__ import annotations

import base64
import binascii
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random
from threading import RLock

from airflow_provider_stripe_app.testing.oauth_model import (
    AuthError,
    Clock,
    Grant,
    Installation,
    KeyKind,
    OAuthSwitches,
    api_error,
)

_PREFIX: Mapping[KeyKind, str] = {
    "access_token": "rk",  # Stripe's message for an expired one says rk_live_… [field]
    "restricted": "rk",
    "secret": "sk",
    "publishable": "pk",
}
_PUBLISHABLE = (
    "This API call cannot be made with a publishable API key. Please use a secret API key."
)
_ALPHABET = string.ascii_letters + string.digits


@dataclass(slots=True)
class KeyRecord:
    """A key or access token: what it may do and until when (``None``: for ever)."""

    grant: Grant
    expires: float | None = None
    revoked: bool = False
    installation: Installation | None = None


class ApiKeys:
    """All bearers of the simulated Stripe. Thread-safe.

    :param clock: Stripe's time.
    :param switches: how to behave.
    :param rng: source of the keys.
    """

    def __init__(self, clock: Clock, switches: OAuthSwitches, rng: Random) -> None:
        self.switches = switches
        self._clock = clock
        self._rng = rng
        self._lock = RLock()
        self._keys: dict[str, KeyRecord] = {}
        self._publishable: dict[tuple[str, bool], str] = {}

    def register_key(
        self,
        kind: KeyKind,
        account_id: str,
        *,
        livemode: bool = False,
        permissions: Iterable[str] | None = None,
    ) -> str:
        """Make an API key of an account and return it.

        :param permissions: of a restricted key; ``None`` for everything.
        """
        with self._lock:
            allowed = None if permissions is None else frozenset(permissions)
            grant = Grant(account_id, livemode, allowed, kind)
            key = self._random(f"{_PREFIX[kind]}_{'live' if livemode else 'test'}_", 40)
            self._keys[key] = KeyRecord(grant)
            return key

    def set_key_permissions(self, key: str, permissions: Iterable[str] | None) -> None:
        """Edit a restricted key."""
        with self._lock:
            record = self._keys[key]
            allowed = None if permissions is None else frozenset(permissions)
            record.grant = replace(record.grant, permissions=allowed)

    def revoke_key(self, key: str) -> None:
        """Roll or delete an API key: it is refused from now on."""
        with self._lock:
            self._keys[key].revoked = True

    def authenticate(self, bearer: str | None) -> Grant | AuthError:
        """Tell who a bearer is, or why it is refused."""
        with self._lock:
            if not bearer:
                return api_error(401, "You did not provide an API key.")
            key = self._keys.get(bearer)
            if key is None:
                return self._refusal(bearer, "invalid")
            expired = key.expires is not None and key.expires <= self._clock.now()
            if key.revoked or expired:
                told = self.switches.revoked_answer if key.revoked else self.switches.expired_answer
                return self._refusal(bearer, told)
            if key.grant.kind == "publishable":
                return api_error(403, _PUBLISHABLE, code="secret_key_required")
            if key.installation is not None:
                return replace(key.grant, permissions=key.installation.permissions)
            return key.grant

    @staticmethod
    def _refusal(bearer: str, answer: str) -> AuthError:
        if answer == "invalid":
            return api_error(401, f"Invalid API Key provided: {mask(bearer)}")
        text = f"Expired API Key provided: {mask(bearer)}"
        return api_error(401, text, code="api_key_expired")

    def publishable_key(self, account_id: str, livemode: bool) -> str:
        """Return the account's publishable key, the same at every call."""
        with self._lock:
            slot = (account_id, livemode)
            if slot not in self._publishable:
                key = self.register_key("publishable", account_id, livemode=livemode)
                self._publishable[slot] = key
            return self._publishable[slot]

    def issue(self, app_grant: Grant, installation: Installation) -> str:
        """Make an access token for an installation and return it."""
        with self._lock:
            mode = "live" if app_grant.livemode else "test"
            token = self._random(f"{_PREFIX['access_token']}_{mode}_", 98)
            expires = self._clock.now() + self.switches.access_token_seconds
            self._keys[token] = KeyRecord(app_grant, expires, installation=installation)
            return token

    def end_after(self, token: str, grace: float | None) -> None:
        """Let an access token die in ``grace`` seconds; ``None``: when it expires by itself."""
        if grace is None:
            return
        with self._lock:
            key = self._keys[token]
            key.expires = min(key.expires or 0.0, self._clock.now() + grace)

    def revoke_app(self, account_id: str, client_id: str) -> None:
        """Revoke every access token that an app holds for an account."""
        with self._lock:
            for key in self._keys.values():
                if (key.grant.account_id, key.grant.client_id) == (account_id, client_id):
                    key.revoked = True

    def follow_app(self, client_id: str, permissions: frozenset[str]) -> None:
        """Let consents already given follow a new app version, unless they are frozen."""
        for key in self._keys.values() if not self.switches.frozen_permissions else ():
            if key.installation is not None and key.grant.client_id == client_id:
                key.installation.permissions = permissions

    def expire_access_tokens(self, account_id: str) -> int:
        """Let every living access token of an account expire now; return how many."""
        with self._lock:
            now, ended = self._clock.now(), 0
            for key in self._keys.values():
                mine = key.grant.kind == "access_token" and key.grant.account_id == account_id
                if mine and not key.revoked and (key.expires or 0) > now:
                    key.expires, ended = now, ended + 1
            return ended

    def _random(self, prefix: str, length: int) -> str:
        return prefix + "".join(self._rng.choices(_ALPHABET, k=length))


def parse_basic(authorization: str | None) -> tuple[str, str] | None:
    """Split the value of an HTTP Basic ``Authorization`` header.

    :return: (user, password), ``None`` if it is not a valid Basic header.
    """
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


def mask(key: str) -> str:
    """Hide a key as Stripe's messages do: prefix and the last four characters stay."""
    prefix = key[: key.rfind("_") + 1]
    return f"{prefix}{'*' * 20}{key[-4:]}" if prefix else "*" * 20
