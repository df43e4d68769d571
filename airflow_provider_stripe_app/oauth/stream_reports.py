"""What workers tell about their syncs: one row per installation, stream and warehouse.

A report is said by a worker, so it is believed in nothing but what it is about: every field is
checked, its length bounded, and what looks like a secret is struck out (``clean``), though no error
of this provider holds one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.api.errors import scrub
from airflow_provider_stripe_app.exceptions import StripeAppError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MAX_REPORTS = 100
"""Reports in one request; the catalogue has fewer streams."""

ID_LENGTH = 250
ERROR_LENGTH = 1000
MAX_NUMBER = 2**53

_NAME = re.compile(r"[a-z0-9_]{1,100}")
_CONN_ID = re.compile(rf"[\w.\- ]{{1,{ID_LENGTH}}}")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")


class MalformedReport(StripeAppError):
    """A report is not one of this provider's workers."""


@dataclass(frozen=True)
class StreamReport:
    """One sync of one stream into one warehouse, as a worker tells it.

    :param stream: name of the stream.
    :param warehouse_conn_id: the warehouse's connection.
    :param ok: whether it succeeded.
    :param at: when it ended, unix seconds by the server's clock; a worker does not say it.
    :param complete_to: unix second up to which the table has every change; ``None`` if the run
        does not know, and then what was known before stands.
    :param inserted: rows; as ``updated`` and ``deleted`` ``None`` if unknown.
    :param dag_id: with ``task_id`` and ``run_id`` the task.
    :param error: what went wrong, one sentence.
    :param permission: the permission of the Stripe App that was missing.
    """

    stream: str
    warehouse_conn_id: str
    ok: bool
    at: float = 0.0
    complete_to: float | None = None
    inserted: int | None = None
    updated: int | None = None
    deleted: int | None = None
    dag_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    error: str | None = None
    permission: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what is sent: everything but what is not known, and no time."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        del values["at"]
        return values


def clean(text: str, limit: int = ERROR_LENGTH) -> str:
    """Return one line without what looks like a secret, cut to a length, that any database takes:
    no NUL, no lone surrogate.

    :param text: any text.
    :param limit: characters.
    """
    plain = "".join(one if one.isprintable() else " " for one in text)
    line = _PASSWORD.sub("***@", scrub(plain)).strip()
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def permission_name(text: str | None) -> str | None:
    """Return the name of a permission if it is one that can be reported."""
    return text if text is not None and _NAME.fullmatch(text) else None


def parse(values: object) -> list[StreamReport]:
    """Return the reports of a request's ``streams``.

    :param values: decoded JSON.
    :raises MalformedReport: if anything in it is not as ``as_dict`` makes it.
    """
    if not isinstance(values, list) or not 0 < len(values) <= MAX_REPORTS:
        raise MalformedReport(f"streams must be a list of 1 to {MAX_REPORTS} reports.")
    return [_parse_one(one) for one in values]


_KNOWN = {field.name for field in fields(StreamReport)} - {"at"}


def _parse_one(values: object) -> StreamReport:
    if not isinstance(values, dict) or not values.keys() <= _KNOWN:
        raise MalformedReport("A report has unknown fields.")
    ok = values.get("ok")
    if not isinstance(ok, bool):
        raise MalformedReport("A report does not say whether its sync succeeded.")
    return StreamReport(
        stream=_text(values, "stream", _NAME) or _missing("stream"),
        warehouse_conn_id=_text(values, "warehouse_conn_id", _CONN_ID)
        or _missing("warehouse_conn_id"),
        ok=ok,
        complete_to=_number(values, "complete_to"),
        inserted=_number(values, "inserted"),
        updated=_number(values, "updated"),
        deleted=_number(values, "deleted"),
        dag_id=_text(values, "dag_id"),
        task_id=_text(values, "task_id"),
        run_id=_text(values, "run_id"),
        error=_text(values, "error", limit=4 * ERROR_LENGTH, cut=ERROR_LENGTH),
        permission=_text(values, "permission", _NAME),
    )


def _missing(name: str) -> str:
    raise MalformedReport(f"A report has no {name}.")


def _text(
    values: Mapping[str, object],
    name: str,
    pattern: re.Pattern[str] | None = None,
    *,
    limit: int = ID_LENGTH,
    cut: int = ID_LENGTH,
) -> str | None:
    value = values.get(name)
    if value is None:
        return None
    fits = isinstance(value, str) and 0 < len(value) <= limit
    if not fits or (pattern is not None and not pattern.fullmatch(str(value))):
        raise MalformedReport(f"A report's {name} is not a text of the right kind.")
    return clean(str(value), cut) or None


def _number(values: Mapping[str, object], name: str) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    # True is an int in Python.
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        raise MalformedReport(f"A report's {name} is not a whole number from 0 on.")
    return value


def record(conn_id: str, reports: Sequence[StreamReport], now: float) -> bool:
    """Store the last sync of some streams; a run also counts as use of the installation.

    :param conn_id: the installation's connection.
    :param reports: what the worker told.
    :param now: unix seconds.
    :return: whether there is such an installation; else nothing is stored.
    :raises StripeAppError: if the database cannot be used.
    """
    from sqlalchemy import or_, update
    from sqlalchemy.exc import IntegrityError

    from airflow_provider_stripe_app.oauth.database import transaction
    from airflow_provider_stripe_app.oauth.models import Installation

    one = Installation
    stale = or_(one.last_used_at.is_(None), one.last_used_at < now - 60)
    used = update(one).where(one.conn_id == conn_id, stale).values(last_used_at=now)

    def write(session: Session) -> bool:
        if session.query(one.id).filter(one.conn_id == conn_id).first() is None:
            return False
        # Without it a run with a fresh copy of the token would leave no trace, and the keep-alive
        # would take the installation for idle.
        session.execute(used.execution_options(synchronize_session=False))
        for report in reports:
            _store(session, conn_id, replace(report, at=now))
        return True

    while True:
        try:
            return transaction(write, patience=5.0)
        except IntegrityError:  # two first reports at once: the later updates
            continue


def _store(session: Session, conn_id: str, report: StreamReport) -> None:
    from sqlalchemy import insert, update

    from airflow_provider_stripe_app.oauth.models import StreamSync

    values = asdict(report)
    stream, warehouse = values.pop("stream"), values.pop("warehouse_conn_id")
    known = dict(values)
    if report.complete_to is None:  # the table is still complete up to what was known
        del known["complete_to"]
    statement = (
        update(StreamSync)
        .where(
            StreamSync.conn_id == conn_id,
            StreamSync.stream == stream,
            StreamSync.warehouse_conn_id == warehouse,
        )
        .values(**known)
        .execution_options(synchronize_session=False)
    )
    if session.execute(statement).rowcount == 0:  # type: ignore[attr-defined]
        row = {"conn_id": conn_id, "stream": stream, "warehouse_conn_id": warehouse, **values}
        session.execute(insert(StreamSync).values(**row))


def last_syncs(conn_id: str | None = None) -> dict[str, tuple[StreamReport, ...]]:
    """Return the last sync of each stream and warehouse, by the installation's connection.

    :param conn_id: only this installation's; ``None`` for all in one query: a page shows hundreds.
    :raises StripeAppError: if the database cannot be used.
    """
    from sqlalchemy import select

    from airflow_provider_stripe_app.oauth.database import transaction
    from airflow_provider_stripe_app.oauth.models import StreamSync

    columns = [getattr(StreamSync, field.name) for field in fields(StreamReport)]
    query = select(StreamSync.conn_id, *columns)
    query = query.order_by(StreamSync.stream, StreamSync.warehouse_conn_id)
    if conn_id is not None:
        query = query.where(StreamSync.conn_id == conn_id)

    def work(session: Session) -> dict[str, tuple[StreamReport, ...]]:
        found: dict[str, list[StreamReport]] = {}
        for owner, *values in session.execute(query):
            found.setdefault(owner, []).append(StreamReport(*values))
        return {name: tuple(lines) for name, lines in found.items()}

    return transaction(work)


def forget(session: Session, conn_id: str) -> None:
    """Delete what is known of the syncs of an installation that is deleted.

    :param session: an open session.
    :param conn_id: the installation's connection.
    """
    from sqlalchemy import delete

    from airflow_provider_stripe_app.oauth.models import StreamSync

    statement = delete(StreamSync).where(StreamSync.conn_id == conn_id)
    session.execute(statement.execution_options(synchronize_session=False))
