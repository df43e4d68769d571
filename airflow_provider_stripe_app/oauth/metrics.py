"""Numbers for monitoring, through Airflow's own ``[metrics]`` settings (StatsD, Datadog,
OpenTelemetry).

Nothing is sent while Airflow's metrics are off. Names are fixed and hold no account or connection;
what varies is a tag, out of a short list. Airflow's plain StatsD drops tags (``[metrics]
statsd_influxdb_enabled`` or Datadog keeps them).

=========================================  =======  ===============  ==============================
name (after Airflow's prefix)              type     tags             meaning
=========================================  =======  ===============  ==============================
``stripe_app.token.refreshed``             counter  ``reason``       a pair of tokens was stored
                                                                     (``expiring``, ``refused`` …)
``stripe_app.token.refresh_failed``        counter  ``kind``         a renewal ended without tokens
                                                                     (``trouble``, ``wrong_key`` …)
``stripe_app.token.lost``                  counter                   a grant counts as lost now
``stripe_app.token.healed``                counter                   a lost grant was mended
``stripe_app.token.age_max``               gauge                     seconds since the renewal that
                                                                     is longest ago
``stripe_app.token.access_left_min``       gauge                     seconds of life of the access
                                                                     token in use that ends first
``stripe_app.token.refresh_left_min``      gauge                     seconds until the first refresh
                                                                     token dies of age
``stripe_app.installations``               gauge    ``status``       how many there are
``stripe_app.keepalive.duration``          timer                     one look with its renewals
``stripe_app.keepalive.due``               gauge                     renewals that were due in it
``stripe_app.keepalive.failed``            counter                   looks that ended by an error
``stripe_app.reconcile.done``              counter  ``outcome``      daily comparison with Stripe
``stripe_app.broker.requests``             counter  ``route``,       what workers were answered
                                                    ``status``
=========================================  =======  ===============  ==============================

No function here raises: a number that cannot be sent is nobody's trouble.
"""

from __future__ import annotations

import inspect
import logging
import os
import re
import sys
from datetime import timedelta
from typing import Any

log = logging.getLogger(__name__)

PREFIX = "stripe_app."
TAG_LENGTH = 40
_known: tuple[int, Any] | None = None


def refreshed(reason: str) -> None:
    """Count a renewal whose tokens were stored.

    :param reason: why: ``expiring``, ``refused``, ``spool`` …
    """
    _send("incr", "token.refreshed", reason=reason)


def failed(kind: str) -> None:
    """Count a renewal that ended without tokens.

    :param kind: what it was: ``trouble``, ``wrong_key``, ``refused`` …
    """
    _send("incr", "token.refresh_failed", kind=kind)


def lost() -> None:
    """Count a grant that counts as lost now."""
    _send("incr", "token.lost")


def healed() -> None:
    """Count a lost grant that was mended without a person."""
    _send("incr", "token.healed")


def broker(route: str, status: int) -> None:
    """Count an answer to a worker.

    :param route: ``token`` or ``report``.
    :param status: its HTTP status.
    """
    _send("incr", "broker.requests", route=route, status=status)


def ages(
    age_max: float | None, access_left_min: float | None, refresh_left_min: float | None
) -> None:
    """Tell how old and how near to their end the tokens are; seconds, ``None`` if there is none.

    :param age_max: since the renewal that is longest ago.
    :param access_left_min: until the first access token in use ends.
    :param refresh_left_min: until the first refresh token ends.
    """
    for name, value in (
        ("token.age_max", age_max),
        ("token.access_left_min", access_left_min),
        ("token.refresh_left_min", refresh_left_min),
    ):
        if value is not None:  # StatsD takes a negative number for a difference
            _send("gauge", name, max(0, round(value)))


def installations(status: str, number: int) -> None:
    """Tell how many installations have a status."""
    _send("gauge", "installations", number, status=status)


def looked(seconds: float, due: int) -> None:
    """Tell about one look of the keep-alive.

    :param seconds: how long it took, renewals included.
    :param due: how many renewals were due.
    """
    _send("timing", "keepalive.duration", timedelta(seconds=seconds))
    _send("gauge", "keepalive.due", due)


def look_failed() -> None:
    """Count a look of the keep-alive that ended by an error."""
    _send("incr", "keepalive.failed")


def reconciled(outcome: str) -> None:
    """Count a daily comparison with Stripe.

    :param outcome: ``done``, ``failed``, or ``not_set_up`` for an app without key or app id.
    """
    _send("incr", "reconcile.done", outcome=outcome)


def _send(method: str, name: str, *values: Any, **tags: object) -> None:
    """Send one number.

    Tags are made of few plain characters, whatever a caller hands in: InfluxDB's syntax knows
    commas and equal signs, and a tag with endless values makes metrics useless.
    """
    try:
        plain = {key: re.sub(r"\W+", "_", str(value))[:TAG_LENGTH] for key, value in tags.items()}
        getattr(_stats(), method)(PREFIX + name, *values, tags=plain)
    except Exception as error:
        log.debug("Metric %s was not sent (%s)", name, type(error).__name__)


def _stats() -> Any:
    """Return Airflow's ``Stats``, found once per process (and again after a fork)."""
    global _known  # noqa: PLW0603 - one per process is the point
    pid = os.getpid()
    if _known is None or _known[0] != pid:
        _known = (pid, _find_stats())
    return _known[1]


def _find_stats() -> Any:
    """Return the ``Stats`` that this process set up, else set up common-compat's.

    Airflow has two copies, the server's and the Task SDK's (the one in common-compat), and a copy
    that nobody set up silently drops everything. API servers set up the server's from 3.3 on and
    none before (both read in their source and tried).
    """
    from airflow.providers.common.compat.sdk import Stats

    for candidate in (getattr(_server_stats(), "Stats", None), Stats):
        if candidate is not None and _is_set_up(candidate):
            return candidate
    from airflow.sdk.observability.metrics import stats_utils

    # Before 3.3 the factory is made for a class; from 3.3 on old names can be sent as well.
    make: Any = stats_utils.get_stats_factory
    factory = make(Stats) if inspect.signature(make).parameters else make()
    start: Any = Stats.initialize
    names = "export_legacy_names" in inspect.signature(start).parameters
    start(factory=factory, **({"export_legacy_names": False} if names else {}))
    return Stats


def _server_stats() -> Any:
    try:
        from airflow.observability import stats
    except ImportError:
        return None
    return stats


def _is_set_up(stats: Any) -> bool:
    """Tell whether somebody gave this copy a factory: an attribute, from 3.3 on of its module."""
    module = sys.modules.get(stats.__module__)
    factory = getattr(module, "_factory", None) or getattr(stats, "factory", None)
    return factory is not None and getattr(factory, "__name__", "") != "NoStatsLogger"
