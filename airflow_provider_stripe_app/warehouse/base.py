"""What the sync engine asks of a warehouse, and what a warehouse may differ in.

Versions (EQUALITY §1) are one integer: ``t * 10 + rank`` with ``t`` in unix seconds of Stripe's
clock, rank 2 for a list row or a refetch, rank 1 for an event payload or a tombstone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from airflow_provider_stripe_app.api.split import Json
from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.streams.model import Stream


class WarehouseError(StripeAppError):
    """The warehouse cannot do what was asked; the message names the table and what to do."""


class RoomMade(WarehouseError):
    """Memory was short, nothing was written, and there is more now: do the transaction again."""


class ForeignTable(WarehouseError):
    """A table of the wanted name exists but was not made by this provider."""


class StaleWriter(WarehouseError):
    """Another run has taken the lease over; this one must not write any more."""


class LeaseHeld(WarehouseError):
    """Another run holds the lease.

    :param owner: who holds it.
    :param seconds_left: until it expires unless renewed.
    """

    def __init__(self, owner: str, seconds_left: float) -> None:
        super().__init__(f"held by {owner} for another {seconds_left:.0f} s unless renewed")
        self.owner = owner
        self.seconds_left = seconds_left


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a warehouse can do.

    :param identifier_length: longest identifier in bytes.
    :param single_writer_process: the database file admits one writing process at a time.
    :param transactional_ddl: a rollback also undoes changes of tables.
    """

    name: str
    identifier_length: int
    single_writer_process: bool
    transactional_ddl: bool = True


@dataclass(frozen=True, slots=True)
class StateKey:
    """Whose state: one stream of one account and mode. The change feed is stream ``_events``."""

    account_id: str
    livemode: bool
    stream: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease that was taken, and the state found under it.

    :param fence: number that only the present holder has; goes up with each claim.
    :param state: JSON text as last stored, ``None`` if there was none.
    """

    key: StateKey
    owner: str
    fence: int
    state: str | None


@dataclass(slots=True)  # not frozen: that would triple what making one costs
class StagedRow:
    """One object as read from Stripe.

    :param raw: the object's JSON text as Stripe sent it, byte for byte.
    :param typed_from: a copy of ``raw`` that is safe to type (U+FFFD for NUL and lone surrogates),
        ``None`` when ``raw`` itself is.
    :param version: see module docstring.
    :param deleted_at: unix seconds; makes the row a tombstone (columns and ``_raw`` of an existing
        row stay as they were, an absent row is inserted with id and raw).
    :param event_id: the event whose payload or deletion this is.
    """

    id: str
    raw: Json
    version: int
    typed_from: str | None = None
    deleted_at: int | None = None
    event_id: str | None = None


@dataclass(slots=True)
class StagedChild:
    """One child object. Its version is its parent's."""

    parent_id: str
    id: str
    raw: Json
    typed_from: str | None = None


@dataclass(slots=True)
class Batch:
    """Rows of one stream, with the *complete* child sets of its non-deleted rows.

    A batch may hold an id twice: the highest version wins (the last one among equals). An invoice
    without lines has an empty set: all its children vanish.

    :param children: for each child stream that is synced, its rows; a stream named here is replaced
        whole for each parent in ``rows`` that wins the version guard and is not a tombstone; for a
        tombstone that wins, all children become tombstones.
    :param load_id: mark these rows as seen by that full load, even when they lose the guard.
    """

    stream: Stream
    account_id: str
    livemode: bool
    rows: list[StagedRow] = field(default_factory=list)
    children: dict[str, list[StagedChild]] = field(default_factory=dict)
    load_id: int | None = None


@dataclass(frozen=True, slots=True)
class TableChange:
    """What one merge did to one table.

    :param misfits: column → number of values present in JSON that did not fit the column's type.
    :param new_columns: columns added for fields that the catalogue does not know.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    misfits: Mapping[str, int] = field(default_factory=dict)
    new_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Obligation:
    """An object that an event says has changed, owed until a closing version is merged.

    EQUALITY §2 has the rule.

    :param id: the object's id.
    :param closes_at: ``event.created + L`` in unix seconds: the version second that closes it.
    :param event_id: the newest event.
    :param effect: ``upsert`` or ``gone``.
    :param ambiguous: several events in the newest second, so no payload can be trusted.
    :param payload: the object's JSON as of the event if it may be used instead of a refetch, else
        ``None``.
    :param created: unix second at which the object was created, ``None`` if the event does not say.
    """

    stream: str
    id: str
    closes_at: int
    event_id: str
    effect: str
    ambiguous: bool = False
    payload: str | None = None
    created: int | None = None


@dataclass(frozen=True, slots=True)
class OwedSecond:
    """Objects owed that were created in one second, and where they stand among all of the stream.

    :param created: unix second.
    :param owed: how many are owed.
    :param before: how many living objects of the stream were created before that second.
    :param through: how many were created before its end.
    """

    created: int
    owed: int
    before: int
    through: int


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row as a table has it, where that is not what it should be.

    :param raw: empty if somebody has emptied it.
    :param wrong: columns that do not hold what ``raw``, the parent and the account say; the typed
        ones are looked at only where ``raw`` is what it should be.
    """

    id: str
    raw: str
    is_deleted: bool
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Marks:
    """How far one row is.

    :param living: there is a row, and it is not a tombstone.
    :param version: ``None`` if there is no row, or somebody has emptied it.
    :param event_id: the event that it came from.
    :param owed: what is owed for it.
    """

    living: bool = False
    version: int | None = None
    event_id: str | None = None
    owed: Obligation | None = None


class Transaction(Protocol):
    """One transaction: everything in it is committed together or not at all."""

    def claim(self, key: StateKey, owner: str, ttl: float, run: str) -> Claim:
        """Take the lease of ``key``: raise the fence by one.

        The holder's own name (``owner``) may take it over at once; so may anybody after it expired.
        Expiry goes by the warehouse's clock.

        :param ttl: seconds until it expires unless :meth:`advance` renews it.
        :param run: free text for people (DAG and run id).
        :raises LeaseHeld: if another owner's lease has not expired.
        """
        ...

    def advance(self, claim: Claim, state: str | None) -> None:
        """First statement of every writing transaction: fence, state, batch number + 1, renewal.

        :param state: new JSON text, ``None`` to keep it.
        :raises StaleWriter: if the fence has moved.
        """
        ...

    def release(self, claim: Claim) -> None:
        """Give the lease back; silently nothing when it is not ours any more."""
        ...

    def states(self, account_id: str, livemode: bool) -> dict[str, str]:
        """Return stream → state JSON for all streams of an account."""
        ...

    def merge(self, batch: Batch, children: Mapping[str, Stream]) -> dict[str, TableChange]:
        """Merge a batch and its children, creating tables and adding columns as needed.

        :param children: name → :class:`Stream` for each key of ``batch.children``.
        :return: table name → what changed.
        :raises ForeignTable: if a table of that name is not ours.
        """
        ...

    def unseen(
        self,
        stream: Stream,
        account_id: str,
        livemode: bool,
        load_id: int,
        below_version: int,
        limit: int,
    ) -> list[str]:
        """Return ids of living rows that load ``load_id`` has not seen.

        Only rows with ``_version < below_version``.
        """
        ...

    def owe(self, account_id: str, livemode: bool, obligations: Sequence[Obligation]) -> None:
        """Store obligations.

        Per (account, livemode, stream, id) the one with the highest ``closes_at`` stays. Equal
        ``closes_at`` with another ``event_id``: becomes ambiguous, without payload, effect
        ``upsert``.
        """
        ...

    def due(
        self,
        account_id: str,
        livemode: bool,
        stream: str,
        limit: int,
        free_after: tuple[int, str] | None = None,
    ) -> list[Obligation]:
        """Return up to ``limit`` obligations of a stream, oldest ``closes_at`` first.

        :param free_after: only those that may cost no request (a payload, or a deletion), behind
            this (``closes_at``, id); ``None`` for all.
        """
        ...

    def owed_seconds(
        self, stream: Stream, account_id: str, livemode: bool, after: int, limit: int
    ) -> list[OwedSecond]:
        """Return when the owed objects of a stream were created, as far as that is known.

        From the event, or from the table. What is owed counts as living.

        :param after: only seconds later than this one.
        :param limit: how many seconds, the earliest ones.
        """
        ...

    def owed_ids(
        self, stream: Stream, account_id: str, livemode: bool, first: int, last: int
    ) -> set[str]:
        """Return which objects created from one second to another (inclusive) are owed."""
        ...

    # -- requests to Stripe, which are a cost

    def spend(self, account_id: str, livemode: bool, day: str, requests: Mapping[str, int]) -> None:
        """Add to the requests made on a day.

        :param day: ISO date, UTC by Stripe's clock.
        :param requests: purpose (``verb`` or ``verb:stream``) → how many.
        """
        ...

    def spent(self, account_id: str, livemode: bool, since: str) -> dict[tuple[str, str], int]:
        """Return (day, purpose) → requests made, from a day on.

        :param since: ISO date.
        """
        ...

    def spenders(self) -> list[tuple[str, bool]]:
        """Return (account, livemode) of all whose requests are kept, in order."""
        ...

    def tidy_requests(self, account_id: str, livemode: bool, keep: str, today: str) -> None:
        """Forget the days before ``keep``; sum up the days that ended at least a day ago.

        To be called by one writer of an account at a time.

        :param keep: ISO date.
        :param today: ISO date.
        """
        ...

    def owing(self, account_id: str, livemode: bool) -> set[str]:
        """Return the streams of an account that have obligations."""
        ...

    def settle(
        self, stream: Stream, account_id: str, livemode: bool, forgive: Sequence[str] = ()
    ) -> int:
        """Delete the obligations that a stream's rows close, and those of the ids in ``forgive``.

        Closed: ``_version >= closes_at * 10 + 2``, or unambiguous and ``_version = closes_at * 10
        + 1`` with the same ``_event_id``. With a missing table only ``forgive`` counts.

        :return: how many were deleted.
        """
        ...

    def count_open(self, stream: Stream, account_id: str, livemode: bool) -> tuple[int, int]:
        """Return how many living objects of a stream are open, and how many there are.

        :param stream: one with ``open_while``.
        """
        ...

    def owe_open(self, stream: Stream, account_id: str, livemode: bool, now: int) -> None:
        """Make the open objects of a stream owed that were last read before ``now``.

        Those that do not change before a time of their own (``open_while.until``) only then.

        :param stream: one with ``open_while``.
        :param now: unix second by Stripe's clock: what is read from then on closes it.
        """
        ...

    # -- what an audit asks; nothing but reopen() writes

    def compare(
        self,
        stream: Stream,
        account_id: str,
        livemode: bool,
        rows: Sequence[StagedRow | StagedChild],
        newest: int,
    ) -> dict[str, StoredRow | None]:
        """Return id → the row as it is, for those that are not byte for byte what they should be.

        :param rows: what the rows should be, living.
        :param newest: a higher version than this is wrong.
        :return: ``None`` for an absent row; nothing for a row that is right.
        """
        ...

    def living(
        self, stream: Stream, account_id: str, livemode: bool, after: str, limit: int
    ) -> list[tuple[str, str | None]]:
        """Return (id, parent's id) of the next living rows behind the id ``after``, by id.

        The parent's id is ``None`` for a top-level stream.
        """
        ...

    def children_of(
        self, child: Stream, account_id: str, parents: Sequence[str]
    ) -> list[tuple[str, str]]:
        """Return (id, parent's id) of the living children of some parents."""
        ...

    def marks(
        self, stream: Stream, account_id: str, livemode: bool, ids: Sequence[str]
    ) -> dict[str, Marks]:
        """Return how far some rows are, and what is owed for them; every id is in the answer."""
        ...

    def reopen(self, stream: Stream, account_id: str, ids: Sequence[str], *, rewrite: bool) -> None:
        """Let rows lose against any version that is merged later in this transaction.

        A merge of each of them *must* follow: until then they are not what they were.

        :param rewrite: write all of their columns anew then, even if ``raw`` is what it was.
        """
        ...


class Warehouse(Protocol):
    """A place for tables. Instances are used by one thread."""

    capabilities: Capabilities

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a writing transaction; state tables are created on first use; any error rolls back.

        Verifies after COMMIT that the commit took effect (EQUALITY §7). Where only one process may
        have the database open, waits for it with a log message every few seconds.

        :raises WarehouseError: if the warehouse cannot be reached or stays locked.
        """
        ...

    def table(self, name: str) -> str:
        """Return the qualified, quoted name of a table, for people and for SQL."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...
