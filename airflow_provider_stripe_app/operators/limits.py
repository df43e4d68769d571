"""How many requests a task may make, and when: arguments that can come from templates, as text."""

from __future__ import annotations

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.sync.budget import LEAST_CAP

Number = int | str | None
"""A number of requests, as it is written in a DAG or rendered from a template."""


def read_budget(value: Number) -> int | None:
    """Return the requests that an account may make in 30 days; ``None`` if nobody has said.

    :raises ConfigurationError: if it is no number.
    """
    return _whole("read_budget", value, 1)


def daily_cap(value: Number) -> int | None:
    """Return the requests that an account may make on a day; ``None`` for any number.

    :raises ConfigurationError: if it is no number, or too small for anything beside the change
        feed.
    """
    return _whole("max_requests_per_day", value, LEAST_CAP)


def relist_days(value: Number | float) -> float | None:
    """Return the longest time between two full lists in days; ``None`` for any time.

    :raises ConfigurationError: if it is no number, or none that time could pass in.
    """
    text = str(value).strip()
    if value is None or text in {"", "None"}:
        return None
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days < float("inf"):
        raise ConfigurationError(
            f"relist_days must be a number of days above 0, or None for never, not {value!r}."
        )
    return days


def _whole(name: str, value: Number, least: int) -> int | None:
    text = str(value).strip().replace("_", "")
    if value is None or text in {"", "None"}:  # what a template makes of nothing
        return None
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise ConfigurationError(
            f"{name} must be a whole number of at least {least}, not {value!r}: it is a number of "
            "requests to Stripe."
        )
    return int(text)
