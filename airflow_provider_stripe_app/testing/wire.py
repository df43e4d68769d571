"""JSON as it goes over the wire: whole objects in, pre-rendered bytes out, and back."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from airflow_provider_stripe_app.testing.objects import render_as_version

JsonObject = dict[str, Any]

INLINED = 10
"""How many lines or items an object carries before they have to be paged (Stripe's own number)."""

_ENCODER = msgspec.json.Encoder()
_URL_TAIL = re.compile(
    rb'("(?:hosted_invoice_url|invoice_pdf|pdf|receipt_url)":\s*"[^"?]*)(?:\?[^"]*)?"'
)
_BASIL = "2025-03-31"


def encode(value: Any) -> bytes:
    """Render JSON without spaces; text with lone surrogates becomes ASCII with escapes."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:  # msgspec refuses lone surrogates, Stripe's users do not
        return json.dumps(value, separators=(",", ":")).encode()


def decode(raw: bytes) -> Any:
    """Parse JSON, lone surrogates included."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(raw)


def pretty(raw: bytes) -> bytes:
    """Indent JSON as Stripe does, without touching any value."""
    try:
        return msgspec.json.format(raw, indent=2)
    except msgspec.DecodeError:  # a lone surrogate, see encode()
        return json.dumps(json.loads(raw), indent=2).encode()


def with_volatile_urls(raw: bytes, token: str) -> bytes:
    """Give signed links such as ``hosted_invoice_url`` another tail, as each read does."""
    return _URL_TAIL.sub(rb"\g<1>?s=" + token.encode() + b'"', raw)


def is_old_shape(version: str) -> bool:
    """Tell whether an API version is older than Basil (2025-03-31)."""
    return version[:10] < _BASIL


def in_version(raw: bytes, version: str) -> bytes:
    """Render an object in an older API version, if it is one of before Basil."""
    return encode(render_as_version(decode(raw), version)) if is_old_shape(version) else raw
