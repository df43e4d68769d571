"""Whether a worker's ``broker_token`` is an installation's, without telling which exist."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_provider_stripe_app.oauth.cipher import seal, unseal
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.models import CONN_ID_LENGTH, Installation

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

TOKEN_LENGTH = 512
"""Characters; a broker token has 43."""

FINGERPRINT_LENGTH = 128
"""Characters; ``access_grant.fingerprint`` has 16."""


@dataclass(frozen=True)
class WorkerRequest:
    """What a worker shows.

    :param conn_id: the installation's connection.
    :param broker_token: may be empty: a connection's form can have taken it out.
    :param refused_fingerprint: of an access token that Stripe refused.
    """

    conn_id: str
    broker_token: str = field(repr=False)
    refused_fingerprint: str | None = None

    @classmethod
    def of(cls, body: object) -> WorkerRequest | None:
        """Return what a decoded JSON body says, None if a worker cannot have sent it.

        Nothing stored is looked at, and what passes is text that every database takes: no NUL, no
        lone surrogate.

        :param body: with ``conn_id``, ``broker_token`` and perhaps ``refused_fingerprint``; other
            keys are ignored.
        """
        asked = body if isinstance(body, dict) else {}
        conn_id = _text(asked.get("conn_id"), CONN_ID_LENGTH)
        broker_token = _text(asked.get("broker_token"), TOKEN_LENGTH)
        refused = asked.get("refused_fingerprint")
        if not conn_id or broker_token is None:
            return None
        if refused is not None and _text(refused, FINGERPRINT_LENGTH) is None:
            return None
        return cls(conn_id, broker_token, refused)


def _text(value: object, most: int) -> str | None:
    fits = isinstance(value, str) and len(value) <= most and value.isprintable()
    return str(value) if fits else None


def may_ask(conn_id: str, broker_token: str) -> bool:
    """Return whether ``broker_token`` is that of the installation in ``conn_id``.

    The same is done whether there is such an installation or not: two queries, one decryption, one
    comparison in constant time. Where there is none, another one's token is decrypted in its place,
    so that a wrong Fernet key shows for every name alike.

    :param conn_id: the installation's connection; an unknown one is treated like a wrong token.
    :param broker_token: what the worker sent.
    :raises ConfigurationError: if tables are missing or the Fernet key is another one.
    """

    def read(session: Session) -> tuple[str | None, str | None]:
        tokens = select(Installation.broker_token_sealed)
        own = session.scalar(tokens.where(Installation.conn_id == conn_id))
        return own, session.scalar(tokens.order_by(Installation.id).limit(1))

    own, other = transaction(read)
    expected = unseal(own or other or _decoy())
    equal = hmac.compare_digest(_digest(expected), _digest(broker_token))
    return equal and own is not None


def _digest(token: str) -> bytes:
    """Of one length for all, and fit for text that is not ASCII."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


@cache
def _decoy() -> str:
    return seal(secrets.token_urlsafe(32))
