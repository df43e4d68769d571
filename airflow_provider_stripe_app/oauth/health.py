"""How an installation is, in a word and in the sentence that says what to do.

Pure functions over ``InstallationStatus``, so that the page, ``status.json``, the command line and
the metrics cannot say different things.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airflow_provider_stripe_app.oauth.words import DAY, NOT_MENDED, iso, relative

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.status import InstallationStatus

Kind = Literal["ok", "warn", "bad"]

ACTIVE = "active"
EXPIRY_WARNING = 30 * DAY
"""Seconds before the death of a refresh token from which people are warned (DESIGN §2.5)."""

HEALTHY = "healthy"
REAUTHORIZE = "reauthorize"
MENDING = "mending itself"
EXPIRED = "expired"
ELSEWHERE = "held elsewhere"
UNREAD = "connection lost"
TROUBLE = "trouble"
MISSING = "permission missing"
APPROVAL = "waits for approval"
EXPIRES_SOON = "expires soon"

WORDS: tuple[str, ...] = (
    REAUTHORIZE,
    EXPIRED,
    MENDING,
    UNREAD,
    ELSEWHERE,
    TROUBLE,
    MISSING,
    APPROVAL,
    EXPIRES_SOON,
    HEALTHY,
)
"""Every word there is, the worst first."""


MENDED_BY_PERSON = frozenset({REAUTHORIZE, EXPIRED, MENDING})
"""What Reauthorize mends."""


class Health(NamedTuple):
    """How an installation is.

    :param word: one of :data:`WORDS`.
    :param kind: ``bad`` if DAGs that use it fail now, ``warn`` if somebody should look, ``ok``.
    :param sentence: what is the matter and what to do.
    """

    word: str
    kind: Kind
    sentence: str


def health_of(
    one: InstallationStatus,
    now: float,
    *,
    deployment: str = "",
    missing: Sequence[str] = (),
    unread: str = "",
) -> Health:
    """Return an installation's health.

    :param one: what the store says.
    :param now: unix seconds.
    :param deployment: id of this deployment (``config.deployment_id()``); empty does not compare.
    :param missing: permissions that the DAGs' streams need and the account has not granted.
    :param unread: why tasks do not read its connection where the provider keeps it up to date.
    """
    if one.status != ACTIVE or one.refresh_expires_at <= now:
        return _lost(one, now)
    if unread:
        return Health(UNREAD, "bad", unread)
    if deployment and one.deployment_id and one.deployment_id != deployment:
        return _elsewhere(one, now)
    if one.last_error:
        return Health(
            TROUBLE,
            _while_token_lives(one, now),
            f"The last renewal failed {relative(one.last_error_at, now)}: "
            f"{_no_stop(one.last_error)}. It is tried again by itself.",
        )
    return _missing(one, missing) if missing else _fine(one, now)


def _fine(one: InstallationStatus, now: float) -> Health:
    if one.refresh_expires_at - now < EXPIRY_WARNING:
        return Health(
            EXPIRES_SOON,
            "warn",
            f"Stripe ends it {relative(one.refresh_expires_at, now)} unless a renewal works before "
            "then. If none does within a day, press Reauthorize.",
        )
    return Health(HEALTHY, "ok", "In order. Tokens are renewed by themselves.")


def _while_token_lives(one: InstallationStatus, now: float) -> Kind:
    """Return how bad it is that nothing is renewed: tasks work until the access token ends."""
    return "warn" if one.access_expires_at > now else "bad"


def _lost(one: InstallationStatus, now: float) -> Health:
    if one.status == ACTIVE:
        return Health(
            EXPIRED,
            "bad",
            "Not renewed for a year, so Stripe has ended it. Press Reauthorize: DAGs that use it "
            "fail until then.",
        )
    reason, _, unmended = (one.last_error or "").partition(NOT_MENDED)
    said = f" ({_no_stop(reason)})" if reason else ""
    loss = f"Stripe no longer accepts this installation's tokens{said}."
    if one.heal_after is not None:
        when = f" {relative(one.heal_after, now)}" if one.heal_after > now else " now"
        return Health(
            MENDING,
            "bad",
            f"{loss} Airflow asks Stripe for new ones by itself{when}; press Reauthorize if you do "
            "not want to wait.",
        )
    todo = f"{loss} Press Reauthorize: DAGs that use it fail until then."
    tried = f" It could not be mended by itself: {_no_stop(unmended)}." if unmended else ""
    return Health(REAUTHORIZE, "bad", f"{todo}{tried}")


def _elsewhere(one: InstallationStatus, now: float) -> Health:
    return Health(
        ELSEWHERE,
        _while_token_lives(one, now),
        f"These tokens belong to the deployment {one.deployment_id!r} and are not renewed here, "
        "because that would take them away from it. If this deployment replaces that one, press "
        "Take over; else reauthorize with a connection of your own.",
    )


def _missing(one: InstallationStatus, missing: Sequence[str]) -> Health:
    names = ", ".join(sorted(missing))
    pending: Sequence[str] = one.permissions_pending or ()
    if set(missing) <= set(pending):
        return Health(
            APPROVAL,
            "warn",
            f"The account has not approved {names} yet: somebody there has to approve the app's "
            "new permissions in the Stripe Dashboard, or press Reauthorize together with them.",
        )
    return Health(
        MISSING,
        "warn",
        f"The streams of your DAGs need {names}, which this account has not granted. Put "
        f"{'it' if len(missing) == 1 else 'them'} into the app's manifest, upload it, and press "
        "Reauthorize.",
    )


def _no_stop(text: str | None) -> str:
    return (text or "").rstrip(". ")


def report(
    one: InstallationStatus,
    now: float,
    *,
    deployment: str = "",
    missing: Sequence[str] = (),
    unread: str = "",
) -> dict[str, Any]:
    """Return what monitoring is told of an installation: plain data for JSON, no secrets.

    :param one: what the store says.
    :param now: unix seconds.
    :param deployment: see :func:`health_of`.
    :param missing: see :func:`health_of`.
    :param unread: see :func:`health_of`.
    :return: ``healthy`` is False exactly when DAGs that use it fail now; times are ISO 8601 in UTC,
        ``expires_in`` is seconds (negative when over).
    """
    health = health_of(one, now, deployment=deployment, missing=missing, unread=unread)
    return {
        "conn_id": one.conn_id,
        "app_conn_id": one.app_conn_id,
        "account_id": one.account_id,
        "account_name": one.account_name,
        "livemode": one.livemode,
        "team_name": one.team_name,
        "healthy": health.kind != "bad",
        "health": health.word,
        "severity": health.kind,
        "message": health.sentence,
        "status": one.status,
        "generation": one.generation,
        "access_token": _expiry(one.access_expires_at, now),
        "refresh_token": _expiry(one.refresh_expires_at, now),
        "last_refreshed_at": iso(one.last_refreshed_at),
        "last_used_at": iso(one.last_used_at),
        "last_error": _last_error(one),
        "healing": _healing(one),
        "permissions": {
            "granted": one.permissions_granted,
            "pending": one.permissions_pending,
            "missing": sorted(missing),
        },
        "deployment_id": one.deployment_id,
        "installed_by": one.installed_by,
        "installed_at": iso(one.created_at),
    }


def _expiry(moment: float, now: float) -> dict[str, Any]:
    return {"expires_at": iso(moment), "expires_in": round(moment - now)}


def _last_error(one: InstallationStatus) -> dict[str, Any] | None:
    if not one.last_error:
        return None
    return {
        "message": one.last_error,
        "at": iso(one.last_error_at),
        "request_id": one.last_error_request_id,
    }


def _healing(one: InstallationStatus) -> dict[str, Any] | None:
    if not one.heal_tries and one.heal_after is None:
        return None
    return {"tries": one.heal_tries, "next_at": iso(one.heal_after)}


def overview(
    found: Sequence[InstallationStatus],
    now: float,
    *,
    deployment: str = "",
    missing: Mapping[str, Sequence[str]] | None = None,
    unread: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the report of many installations, as ``status.json`` and ``status --json`` print it.

    :param found: what the store says.
    :param now: unix seconds.
    :param deployment: see :func:`health_of`.
    :param missing: missing permissions by connection.
    :param unread: why tasks do not read a connection, by connection.
    :return: ``healthy`` is False if any installation is not; ``counts`` is installations by health.
    """
    lacking, gone = missing or {}, unread or {}
    reports = [
        report(
            one,
            now,
            deployment=deployment,
            missing=lacking.get(one.conn_id, ()),
            unread=gone.get(one.conn_id, ""),
        )
        for one in found
    ]
    counts = {word: sum(one["health"] == word for one in reports) for word in WORDS}
    return {
        "healthy": all(one["healthy"] for one in reports),
        "checked_at": iso(now),
        "counts": {word: count for word, count in counts.items() if count},
        "installations": reports,
    }
