"""Permissions of an installation: granted by the account, needed by the DAGs, missing.

Pure functions. What is granted comes from Stripe's Install API where that is allowed; else nobody
knows until a stream is refused with a 403, which the worker reports with the permission's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.status import InstallationStatus
    from airflow_provider_stripe_app.oauth.stream_reports import StreamReport


@dataclass(frozen=True)
class Permissions:
    """Permissions of one installation, each list sorted.

    :param granted: what the account granted, None if Stripe has not told.
    :param pending: what waits for the account's approval.
    :param needed: what the streams that DAGs have synced need.
    :param refused: what Stripe's last answers (403) said is missing.
    :param missing: what is needed or was refused, and is not granted as far as anyone knows.
    """

    granted: tuple[str, ...] | None
    pending: tuple[str, ...]
    needed: tuple[str, ...]
    refused: tuple[str, ...]
    missing: tuple[str, ...]


def permissions_of(one: InstallationStatus, syncs: Sequence[StreamReport]) -> Permissions:
    """Return an installation's permissions.

    A 403 that is older than Stripe's own list does not count against the list: the account may
    have granted the permission since.

    :param one: what the store says.
    :param syncs: the last sync of each of its streams.
    """
    granted = None if one.permissions_granted is None else frozenset(one.permissions_granted)
    known_at = (one.reconciled_at or 0.0) if granted is not None else 0.0
    refused = {
        sync.permission for sync in syncs if sync.permission and not sync.ok and sync.at > known_at
    }
    needed = needed_by(sync.stream for sync in syncs)
    missing = refused if granted is None else refused | (needed.keys() - granted)
    return Permissions(
        granted=None if granted is None else tuple(sorted(granted)),
        pending=tuple(sorted(one.permissions_pending or ())),
        needed=tuple(sorted(needed)),
        refused=tuple(sorted(refused)),
        missing=tuple(sorted(missing)),
    )


def needed_by(streams: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the permissions that streams need, each with the streams that need it.

    :param streams: names; those that this version's catalogue does not have are left out.
    """
    from airflow_provider_stripe_app.streams.catalog import (
        STREAMS,
        permissions_for,
        resolve_streams,
    )

    names = sorted({name for name in streams if name in STREAMS})
    if not names:
        return {}
    return {
        permission: tuple(name for name in names if STREAMS[name].permission == permission)
        for permission, _ in permissions_for(resolve_streams(names))
    }
