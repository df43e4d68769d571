"""Webhook signatures as Stripe makes them (https://docs.stripe.com/webhooks/signature)."""

from __future__ import annotations

import hashlib
import hmac


def sign(payload: bytes | str, secret: str, timestamp: float) -> str:
    """Return the value of a ``Stripe-Signature`` header.

    :param payload: the raw body.
    :param secret: ``whsec_…`` or, for apps, ``absec_…``; used as it is.
    :param timestamp: unix seconds.
    """
    body = payload.encode() if isinstance(payload, str) else payload
    second = int(timestamp)
    signed = f"{second}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={second},v1={digest}"
