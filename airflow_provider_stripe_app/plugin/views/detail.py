"""Everything about one installation: facts, permissions, last syncs, history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow_provider_stripe_app.oauth.health import ELSEWHERE, MENDED_BY_PERSON
from airflow_provider_stripe_app.oauth.permissions import needed_by
from airflow_provider_stripe_app.oauth.words import NOT_MENDED
from airflow_provider_stripe_app.plugin.views.common import (
    Moment,
    channel_words,
    moment,
    person,
)
from airflow_provider_stripe_app.plugin.views.listing import Checked, Row, row
from airflow_provider_stripe_app.plugin.views.paging import address

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.status import HistoryLine
    from airflow_provider_stripe_app.oauth.stream_reports import StreamReport

HISTORY_PAGE = 20

EVENTS: Mapping[str, tuple[str, str]] = {
    "installed": ("Installed", "ok"),
    "refreshed": ("Tokens renewed", ""),
    "recovered": ("Renewal of a stopped process finished", "warn"),
    "error": ("Renewal failed", "warn"),
    "refused": ("Stripe refused the refresh token", "warn"),
    "lost": ("Grant lost", "bad"),
    "healed": ("Mended through Stripe's Install API", "ok"),
    "not_healed": ("Could not be mended", "warn"),
    "forgotten": ("Forgotten here", "warn"),
    "uninstalled": ("Uninstalled at Stripe", "warn"),
    "taken_over": ("Taken over by this deployment", "ok"),
    "adopted": ("Adopted from Stripe", "ok"),
    "reconciled": ("Compared with Stripe", ""),
    "not_listed": ("Not in Stripe's list of installs", "warn"),
    "app_changed": ("App connection changed", ""),
}
"""Event of the history to its words and how it looks; others are shown as they are."""

REASONS: Mapping[str, str] = {
    "refused": "a token was refused",
    "expiring": "it was about to expire",
    "asked": "somebody asked for it",
    "upkeep": "to keep it alive",
    "later": "it is tried again",
    "final": "a person has to do it",
}


@dataclass(frozen=True)
class Grant:
    """One permission of the account.

    :param state: ``granted``, ``missing``, ``to approve``, ``refused``, ``not known``, or
        ``worked``: Stripe has not told, but a stream that needs it was synced.
    :param streams: streams that need it, in words.
    """

    name: str
    state: str
    kind: str
    streams: str


@dataclass(frozen=True)
class StreamLine:
    """The last sync of one stream into one warehouse.

    :param rows: what changed in the warehouse, in words.
    :param run: address of the task in Airflow, empty for none.
    :param task: words of that link.
    """

    stream: str
    warehouse: str
    ok: bool
    at: Moment
    complete_to: Moment
    rows: str
    error: str
    task: str
    run: str


@dataclass(frozen=True)
class HistoryView:
    """One line of the history."""

    at: Moment
    event: str
    kind: str
    by: str
    reason: str
    request_id: str
    detail: str


@dataclass(frozen=True)
class History:
    """A page of the history.

    :param previous: address of the newer page, empty for none.
    :param following: address of the older page, empty for none.
    """

    lines: tuple[HistoryView, ...]
    page: int
    previous: str
    following: str


@dataclass(frozen=True)
class Detail:
    """The page of one installation.

    :param token: what follows the access token's expiry.
    :param told: what Stripe said of the permissions, in a sentence.
    :param elsewhere: whether another deployment holds it, so that taking over is offered.
    :param accounts: address of the accounts that have installed its app.
    """

    row: Row
    token: str
    grants: tuple[Grant, ...]
    told: str
    streams: tuple[StreamLine, ...]
    history: History
    elsewhere: bool
    deployment_id: str
    installed_by: str
    installed_at: Moment
    refreshed: Moment
    used: Moment
    reconciled: Moment
    generation: int
    install: str
    last_error: str
    last_error_at: Moment
    request_id: str
    accounts: str
    uninstall: str


def detail(
    checked: Checked, history: History, *, now: float, can_change: bool, base_path: str
) -> Detail:
    """Return the page of an installation.

    :param checked: the installation.
    :param history: a page of its history.
    :param now: unix seconds.
    :param can_change: whether the user may change its connection.
    :param base_path: path of ``[api] base_url``, for links into Airflow.
    """
    one = checked.one
    install = [one.install_id, channel_words(one.install_channel), one.install_status]
    return Detail(
        row=row(checked, now=now, can_change=can_change),
        token=token_words(checked, now),
        grants=grants(checked),
        told=told(checked, now),
        streams=tuple(
            stream_line(sync, now, base_path) for sync in sorted(checked.syncs, key=_catalog_order)
        ),
        history=history,
        elsewhere=checked.health.word == ELSEWHERE,
        deployment_id=one.deployment_id or "",
        installed_by=person(one.installed_by),
        installed_at=moment(one.created_at, now),
        refreshed=moment(one.last_refreshed_at, now),
        used=moment(one.last_used_at, now),
        reconciled=moment(one.reconciled_at, now),
        generation=one.generation,
        install=", ".join(part for part in install if part),
        last_error=error_words(checked),
        last_error_at=moment(one.last_error_at, now),
        request_id=one.last_error_request_id or "",
        accounts=address("accounts", conn_id=one.app_conn_id),
        uninstall=address("uninstall", conn_id=one.conn_id),
    )


def error_words(checked: Checked) -> str:
    """Return the last error, unless the sentence of the health has told it already."""
    error = checked.one.last_error or ""
    told_already = error.partition(NOT_MENDED)[0].rstrip(". ") in checked.health.sentence
    return "" if told_already else error


def _catalog_order(sync: StreamReport) -> tuple[int, str, str]:
    """Return the place of a stream: as in the catalogue, parents before their children."""
    from airflow_provider_stripe_app.streams.catalog import STREAMS

    names = list(STREAMS)
    known = sync.stream in STREAMS
    place = names.index(sync.stream) if known else len(names)
    return place, sync.stream, sync.warehouse_conn_id


def token_words(checked: Checked, now: float) -> str:
    """Return what happens to the access token next, nothing if that is not certain."""
    if checked.health.kind == "bad" or checked.health.word == ELSEWHERE:
        return ""
    over = checked.one.access_expires_at <= now
    return ", renewed when a task needs it" if over else ", renewed by itself"


def grants(checked: Checked) -> tuple[Grant, ...]:
    """Return the permissions that are granted, waited for or needed, what is missing first."""
    found = checked.permissions
    streams = needed_by(sync.stream for sync in checked.syncs)
    names = {*(found.granted or ()), *found.pending, *found.needed, *found.refused}
    made = [Grant(name, *_state(name, checked), _needed_by(name, streams)) for name in names]
    return tuple(sorted(made, key=lambda one: (_ORDER[one.kind], one.name)))


def _needed_by(name: str, streams: Mapping[str, Sequence[str]]) -> str:
    if name not in streams:
        return ""
    return ", ".join(streams[name]) or "all streams"


_ORDER = {"bad": 0, "warn": 1, "": 2, "ok": 3}


def _state(name: str, checked: Checked) -> tuple[str, str]:
    found = checked.permissions
    if name in found.refused:
        return "refused", "bad"
    if name in found.pending:
        return "to approve", "warn"
    if name in found.missing:
        return "missing", "bad"
    if found.granted is not None:
        return "granted", "ok"
    worked = needed_by(sync.stream for sync in checked.syncs if sync.ok)
    return ("worked", "ok") if name in worked else ("not known", "")


def told(checked: Checked, now: float) -> str:
    """Return where the list of permissions comes from."""
    if checked.one.permissions_granted is None:
        return (
            "Stripe has not told what this account granted. It does when the app's id (app_…) is "
            "in the app's connection and Stripe lets the app use its Install API. Until then a "
            "missing permission shows when a stream is refused."
        )
    if checked.health.word in MENDED_BY_PERSON:
        return "As Stripe said while it accepted the installation."
    when = moment(checked.one.reconciled_at, now).words
    return f"As Stripe said {when}." if checked.one.reconciled_at else "As Stripe said."


def stream_line(sync: StreamReport, now: float, base_path: str) -> StreamLine:
    """Return how the last sync of a stream is shown.

    :param sync: the sync.
    :param now: unix seconds.
    :param base_path: path of ``[api] base_url``.
    """
    task = ".".join(part for part in (sync.dag_id, sync.task_id) if part)
    return StreamLine(
        stream=sync.stream,
        warehouse=sync.warehouse_conn_id,
        ok=sync.ok,
        at=moment(sync.at, now),
        complete_to=moment(sync.complete_to, now),
        rows=row_words(sync),
        error=sync.error or "",
        task=task,
        run=run_address(sync, base_path),
    )


def row_words(sync: StreamReport) -> str:
    """Return what a sync changed in the warehouse, e.g. ``12 new, 3 changed``."""
    counts = ((sync.inserted, "new"), (sync.updated, "changed"), (sync.deleted, "deleted"))
    known = [(count, word) for count, word in counts if count is not None]
    if not known:
        return ""
    return ", ".join(f"{count:,} {word}" for count, word in known if count) or "nothing new"


def run_address(sync: StreamReport, base_path: str) -> str:
    """Return the address of a task's run in Airflow's own pages, empty if it was no task."""
    if not (sync.dag_id and sync.run_id):
        return ""
    parts = ["dags", sync.dag_id, "runs", sync.run_id]
    if sync.task_id:
        parts += ["tasks", sync.task_id]
    return f"{base_path}/" + "/".join(quote(part, safe="") for part in parts)


def history_page(lines: Sequence[HistoryLine], conn_id: str, page: int, *, now: float) -> History:
    """Return a page of the history.

    :param lines: the newest lines, at least one more than the page needs if there are more.
    :param conn_id: the installation's connection.
    :param page: counted from 1.
    :param now: unix seconds.
    """
    start = (page - 1) * HISTORY_PAGE
    part = lines[start : start + HISTORY_PAGE]

    def at(number: int) -> str:
        return address("installation", conn_id=conn_id, history=number) + "#history"

    return History(
        lines=tuple(history_line(line, now) for line in part),
        page=page,
        previous=at(page - 1) if page > 1 else "",
        following=at(page + 1) if len(lines) > start + HISTORY_PAGE else "",
    )


def history_line(line: HistoryLine, now: float) -> HistoryView:
    """Return one line of the history in words."""
    words, kind = EVENTS.get(line.event, (line.event.replace("_", " ").capitalize(), ""))
    text, by = _who(line.detail or "")
    reason = line.reason or ""
    return HistoryView(
        at=moment(line.at, now),
        event=words,
        kind=kind,
        by=person(by) if by else "",
        reason=REASONS.get(reason, reason.replace("_", " ")),
        request_id=line.request_id or "",
        detail=text,
    )


def _who(text: str) -> tuple[str, str]:
    """Return a detail without the words that say who it was, and who it was."""
    if text.startswith("by "):
        return "", text[3:]
    start, found, by = text.rpartition(", by ")
    return (start, by) if found else (text, "")
