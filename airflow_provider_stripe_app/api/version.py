"""The one Stripe API version that requests, schema and stored rows are pinned to."""

from __future__ import annotations

API_VERSION = "2026-10-28.endive"
"""Sent as ``Stripe-Version`` with every request (https://docs.stripe.com/api/versioning)."""
