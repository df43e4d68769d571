"""What a run tells its caller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.warehouse.base import TableChange


@dataclass(slots=True)
class StreamSummary:
    """What a run did to one table.

    :param requests: requests made for this stream (children count with their parent).
    :param seconds: wall time from the run's start until the stream was done.
    :param owed: objects that are still to be fetched by the next run.
    :param misfits: column → values that did not fit the column's type (``_raw`` keeps them).
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    requests: int = 0
    seconds: float = 0.0
    owed: int = 0
    misfits: Counter[str] = field(default_factory=Counter)
    new_columns: list[str] = field(default_factory=list)

    def add(self, change: TableChange) -> None:
        """Add what one merge did."""
        self.inserted += change.inserted
        self.updated += change.updated
        self.deleted += change.deleted
        self.unchanged += change.unchanged
        self.misfits.update(change.misfits)
        self.new_columns.extend(change.new_columns)

    @property
    def rows(self) -> int:
        """Rows that were merged."""
        return self.inserted + self.updated + self.deleted + self.unchanged

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types; empty lists and maps are left out."""
        out: dict[str, Any] = {
            "inserted": self.inserted,
            "updated": self.updated,
            "deleted": self.deleted,
            "unchanged": self.unchanged,
            "requests": self.requests,
            "seconds": round(self.seconds, 2),
        }
        if self.owed:
            out["owed"] = self.owed
        if self.misfits:
            out["misfits"] = dict(self.misfits)
        if self.new_columns:
            out["new_columns"] = list(self.new_columns)
        return out


@dataclass(slots=True)
class RunSummary:
    """What a run did.

    :param requests: purpose → number of requests to Stripe.
    :param throttled: reason → number of answers 429, each of which cost a request and a pause.
    :param complete_to: unix second up to which every change is in the tables; ``None`` if that is
        not so of every stream.
    :param reads: what the account's reads have cost in 30 days, against its budget.
    :param unfinished: stream → why it has not come to its end, though nothing is wrong.
    """

    account_id: str
    livemode: bool
    streams: dict[str, StreamSummary] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=dict)
    throttled: Mapping[str, int] = field(default_factory=dict)
    complete_to: int | None = None
    unknown_events: dict[str, int] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    reads: Mapping[str, Any] = field(default_factory=dict)
    unfinished: dict[str, str] = field(default_factory=dict)

    def table(self, name: str) -> StreamSummary:
        """Return the summary of one table, made on first use."""
        return self.streams.setdefault(name, StreamSummary())

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types, small enough for an XCom."""
        return {
            "account": self.account_id,
            "livemode": self.livemode,
            "streams": {n: s.as_dict() for n, s in self.streams.items()},
            "requests": dict(self.requests),
            "throttled": dict(self.throttled),
            "complete_to": self.complete_to,
            "reads": dict(self.reads),
            "unfinished": dict(self.unfinished),
        }


class SyncFailed(StripeAppError):
    """Some streams failed; what the others and earlier transactions merged stays.

    :param errors: stream → what went wrong.
    :param summary: what was done all the same.
    """

    def __init__(self, errors: Mapping[str, Exception], summary: RunSummary) -> None:
        parts = [f"{stream}: {error}" for stream, error in errors.items()]
        super().__init__("; ".join(parts))
        self.errors = dict(errors)
        self.summary = summary
