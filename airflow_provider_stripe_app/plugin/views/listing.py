"""The list of installations: searched, the worst first, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_stripe_app.oauth.health import MENDED_BY_PERSON, WORDS, Health, health_of
from airflow_provider_stripe_app.oauth.permissions import Permissions, permissions_of
from airflow_provider_stripe_app.plugin.views.common import (
    Mode,
    Moment,
    mode,
    moment,
    plain,
    plural,
)
from airflow_provider_stripe_app.plugin.views.paging import address, part_of

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.status import InstallationStatus
    from airflow_provider_stripe_app.oauth.stream_reports import StreamReport

_RANK = {word: number for number, word in enumerate(WORDS)}


@dataclass(frozen=True)
class Checked:
    """An installation with what follows from it and from its last syncs."""

    one: InstallationStatus
    syncs: tuple[StreamReport, ...]
    permissions: Permissions
    health: Health


def check(
    one: InstallationStatus,
    syncs: Sequence[StreamReport],
    *,
    now: float,
    deployment: str,
    unread: str = "",
) -> Checked:
    """Return an installation with its permissions and health.

    :param one: what the store says.
    :param syncs: the last sync of each of its streams.
    :param now: unix seconds.
    :param deployment: id of this deployment.
    :param unread: why tasks do not read its connection.
    """
    permissions = permissions_of(one, syncs)
    health = health_of(one, now, deployment=deployment, missing=permissions.missing, unread=unread)
    return Checked(one, tuple(syncs), permissions, health)


@dataclass(frozen=True)
class Sync:
    """The last syncs of an installation in a few words.

    :param words: e.g. ``5 streams``.
    :param kind: ``bad`` if one of them failed.
    :param at: when the newest was.
    """

    words: str
    kind: str
    at: Moment


@dataclass(frozen=True)
class Row:
    """One installation as the list shows it; every field is ready to print.

    :param dead: whether Stripe accepts its tokens no more, so that their ends mean nothing.
    """

    conn_id: str
    app_conn_id: str
    account_id: str
    account_name: str
    team: str
    mode: Mode
    health: Health
    access: Moment
    access_over: bool
    refresh: Moment
    permissions: str
    missing: tuple[str, ...]
    sync: Sync
    href: str
    can_change: bool
    reauthorize: bool
    dead: bool


@dataclass(frozen=True)
class Count:
    """How many installations have one health, and the address of the list of them."""

    word: str
    kind: str
    number: int
    href: str
    current: bool


@dataclass(frozen=True)
class Listing:
    """The list.

    :param rows: what is on this page.
    :param counts: by health, of everything that the search found.
    :param total: how many installations the user may see.
    :param found: how many the search and the filter left.
    :param part: which of them are on this page.
    :param previous: address of the page before; empty for none.
    :param following: address of the next page; empty for none.
    """

    rows: tuple[Row, ...]
    counts: tuple[Count, ...]
    total: int
    found: int
    part: str
    query: str
    word: str
    previous: str
    following: str


def matches(one: InstallationStatus, query: str) -> bool:
    """Tell whether every word of a search is in the installation's names.

    :param one: what the store says.
    :param query: words; upper and lower case are the same.
    """
    fields = (one.conn_id, one.app_conn_id, one.account_id, one.account_name, one.team_name)
    text = "\n".join(field for field in fields if field).casefold()
    return all(word in text for word in query.casefold().split())


def select(checked: Sequence[Checked], query: Mapping[str, str]) -> tuple[Listing, list[Checked]]:
    """Return the list without its rows, and the installations that are on this page of it.

    :param checked: everything that the user may see.
    :param query: ``q`` searches, ``health`` filters, ``page`` is counted from 1.
    """
    words, health = query.get("q", "").strip()[:200], query.get("health", "")
    hits = [one for one in checked if matches(one.one, words)]
    shown = [one for one in hits if health not in _RANK or one.health.word == health]
    shown.sort(key=lambda one: (_RANK[one.health.word], one.one.conn_id.casefold()))
    part = part_of(shown, query.get("page", ""))

    def at(number: int) -> str:
        return address(q=words, health=health, page=number if number > 1 else 0)

    listing = Listing(
        rows=(),
        counts=tuple(_counts(hits, words, health)),
        total=len(checked),
        found=len(shown),
        part=part.words,
        query=words,
        word=health if health in _RANK else "",
        previous=at(part.page - 1) if part.page > 1 else "",
        following=at(part.page + 1) if part.page < part.pages else "",
    )
    return listing, list(part.items)


def _counts(hits: Sequence[Checked], words: str, health: str) -> list[Count]:
    found: dict[str, list[Checked]] = {}
    for one in hits:
        found.setdefault(one.health.word, []).append(one)
    order = {"bad": 0, "warn": 1, "ok": 2}
    return [
        Count(
            word,
            min((one.health.kind for one in found[word]), key=order.__getitem__),
            len(found[word]),
            address(q=words, health="" if word == health else word),
            word == health,
        )
        for word in WORDS
        if word in found
    ]


def row(checked: Checked, *, now: float, can_change: bool) -> Row:
    """Return how an installation is shown in the list.

    :param checked: the installation.
    :param now: unix seconds.
    :param can_change: whether the user may change its connection.
    """
    one = checked.one
    return Row(
        conn_id=one.conn_id,
        app_conn_id=one.app_conn_id,
        account_id=one.account_id,
        account_name=plain(one.account_name),
        team=one.team_name or "",
        mode=mode(one.livemode),
        health=checked.health,
        access=moment(one.access_expires_at, now),
        access_over=one.access_expires_at <= now,
        refresh=moment(one.refresh_expires_at, now),
        permissions=permission_words(checked.permissions),
        missing=checked.permissions.missing,
        sync=sync_words(checked.syncs, now),
        href=address("installation", conn_id=one.conn_id),
        can_change=can_change,
        reauthorize=can_change and checked.health.word in MENDED_BY_PERSON,
        dead=checked.health.word in MENDED_BY_PERSON,
    )


def permission_words(permissions: Permissions) -> str:
    """Return the permissions of an installation at a glance."""
    if permissions.missing:
        return f"{len(permissions.missing)} missing"
    if permissions.granted is None:
        return "not told by Stripe"
    if permissions.pending:
        return f"{len(permissions.granted)} granted, {len(permissions.pending)} to approve"
    return f"{len(permissions.granted)} granted"


def sync_words(syncs: Sequence[StreamReport], now: float) -> Sync:
    """Return the last syncs of an installation in a few words.

    :param syncs: the last sync of each stream.
    :param now: unix seconds.
    """
    if not syncs:
        return Sync("none reported", "", Moment("", ""))
    newest = moment(max(sync.at for sync in syncs), now)
    failed = sum(not sync.ok for sync in syncs)
    if failed:
        return Sync(f"{failed} of {plural(len(syncs), 'stream')} failed", "bad", newest)
    return Sync(plural(len(syncs), "stream"), "ok", newest)
