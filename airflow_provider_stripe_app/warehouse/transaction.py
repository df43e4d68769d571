"""What all warehouses share: opening a transaction, checking that its commit took effect."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from airflow_provider_stripe_app.streams.catalog import SCHEMA_VERSION
from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.warehouse import (
    inspection,
    opened,
    owed,
    requests,
    state,
    tables,
)
from airflow_provider_stripe_app.warehouse.base import (
    Batch,
    Capabilities,
    Claim,
    Marks,
    Obligation,
    OwedSecond,
    StagedChild,
    StagedRow,
    StateKey,
    StoredRow,
    TableChange,
)
from airflow_provider_stripe_app.warehouse.inspection import Scope
from airflow_provider_stripe_app.warehouse.merge import Merge
from airflow_provider_stripe_app.warehouse.session import Fault, Session
from airflow_provider_stripe_app.warehouse.sql import identifier

DEFAULT_TTL = 300.0
"""Seconds for which a claim is renewed when another warehouse instance took it."""


class SqlTransaction:
    """:class:`~airflow_provider_stripe_app.warehouse.base.Transaction` on a session.

    :param ttls: lease seconds per key, remembered from claims of the same warehouse instance.
    """

    def __init__(
        self,
        session: Session,
        capabilities: Capabilities,
        schema_version: int,
        ttls: dict[StateKey, float],
    ) -> None:
        self._session = session
        self._capabilities = capabilities
        self._schema_version = schema_version
        self._ttls = ttls
        self._expected: dict[StateKey, tuple[int, int]] = {}

    def claim(self, key: StateKey, owner: str, ttl: float, run: str) -> Claim:
        """See the protocol."""
        claim, batch = state.claim(self._session, key, owner, ttl, run)
        self._ttls[key] = ttl
        self._expected[key] = (claim.fence, batch)
        return claim

    def advance(self, claim: Claim, state: str | None) -> None:
        """See the protocol."""
        batch = _advance(self._session, claim, state, self._ttls.get(claim.key, DEFAULT_TTL))
        self._expected[claim.key] = (claim.fence, batch)

    def release(self, claim: Claim) -> None:
        """See the protocol."""
        state.release(self._session, claim)

    def states(self, account_id: str, livemode: bool) -> dict[str, str]:
        """See the protocol."""
        return state.states(self._session, account_id, livemode)

    def merge(self, batch: Batch, children: Mapping[str, Stream]) -> dict[str, TableChange]:
        """See the protocol."""
        return Merge(self._session, self._capabilities, self._schema_version).run(batch, children)

    def unseen(
        self,
        stream: Stream,
        account_id: str,
        livemode: bool,
        load_id: int,
        below_version: int,
        limit: int,
    ) -> list[str]:
        """See the protocol."""
        if not tables.exists(self._session, stream.name):
            return []
        rows = self._session.rows(
            "unseen",
            f"SELECT id FROM {self._session.table(stream.name)} "
            "WHERE account_id = ? AND livemode = ? AND NOT is_deleted AND _version < ? "
            f"AND (_load_id IS NULL OR _load_id <> ?) ORDER BY id LIMIT {int(limit)}",
            (account_id, livemode, below_version, load_id),
        )
        return [row[0] for row in rows]

    def owe(self, account_id: str, livemode: bool, obligations: Sequence[Obligation]) -> None:
        """See the protocol."""
        state.owe(self._session, account_id, livemode, obligations)

    def due(
        self,
        account_id: str,
        livemode: bool,
        stream: str,
        limit: int,
        free_after: tuple[int, str] | None = None,
    ) -> list[Obligation]:
        """See the protocol."""
        return state.due(self._session, account_id, livemode, stream, limit, free_after)

    def owed_seconds(
        self, stream: Stream, account_id: str, livemode: bool, after: int, limit: int
    ) -> list[OwedSecond]:
        """See the protocol."""
        created = self._created(stream)
        return owed.seconds(self._session, stream, account_id, livemode, created, after, limit)

    def owed_ids(
        self, stream: Stream, account_id: str, livemode: bool, first: int, last: int
    ) -> set[str]:
        """See the protocol."""
        created = self._created(stream)
        return owed.ids(self._session, stream, account_id, livemode, created, first, last)

    def _created(self, stream: Stream) -> str | None:
        """Return the column that says when objects were created; ``None`` without such a table."""
        table = tables.existing(self._session, self._capabilities, stream, self._schema_version)
        slots = table.slots if table else ()
        return next((s.name for s in slots if tuple(s.path) == (stream.created_field,)), None)

    def spend(self, account_id: str, livemode: bool, day: str, requests: Mapping[str, int]) -> None:
        """See the protocol."""
        _spend(self._session, account_id, livemode, day, requests)

    def spent(self, account_id: str, livemode: bool, since: str) -> dict[tuple[str, str], int]:
        """See the protocol."""
        return requests.spent(self._session, account_id, livemode, since)

    def spenders(self) -> list[tuple[str, bool]]:
        """See the protocol."""
        return requests.spenders(self._session)

    def tidy_requests(self, account_id: str, livemode: bool, keep: str, today: str) -> None:
        """See the protocol."""
        requests.tidy(self._session, account_id, livemode, keep, today)

    def owing(self, account_id: str, livemode: bool) -> set[str]:
        """See the protocol."""
        return state.owing(self._session, account_id, livemode)

    def settle(
        self, stream: Stream, account_id: str, livemode: bool, forgive: Sequence[str] = ()
    ) -> int:
        """See the protocol."""
        there = tables.exists(self._session, stream.name)
        return state.settle(self._session, stream, account_id, livemode, forgive, has_table=there)

    def count_open(self, stream: Stream, account_id: str, livemode: bool) -> tuple[int, int]:
        """See the protocol."""
        table = tables.existing(self._session, self._capabilities, stream, self._schema_version)
        if table is None or not opened.tells(stream, table):
            return 0, 0
        return opened.count(self._session, stream, table, account_id, livemode)

    def owe_open(self, stream: Stream, account_id: str, livemode: bool, now: int) -> None:
        """See the protocol."""
        table = tables.existing(self._session, self._capabilities, stream, self._schema_version)
        if table is not None and opened.tells(stream, table):
            opened.owe(self._session, stream, table, account_id, livemode, now)

    def compare(
        self,
        stream: Stream,
        account_id: str,
        livemode: bool,
        rows: Sequence[StagedRow | StagedChild],
        newest: int,
    ) -> dict[str, StoredRow | None]:
        """See the protocol."""
        table = tables.existing(self._session, self._capabilities, stream, self._schema_version)
        scope = Scope(self._session, account_id, livemode)
        return inspection.compare(scope, stream, table, rows, newest)

    def living(
        self, stream: Stream, account_id: str, livemode: bool, after: str, limit: int
    ) -> list[tuple[str, str | None]]:
        """See the protocol."""
        table = tables.existing(self._session, self._capabilities, stream, self._schema_version)
        return inspection.living(
            Scope(self._session, account_id, livemode), stream, table, after, limit
        )

    def children_of(
        self, child: Stream, account_id: str, parents: Sequence[str]
    ) -> list[tuple[str, str]]:
        """See the protocol."""
        table = tables.existing(self._session, self._capabilities, child, self._schema_version)
        return inspection.children_of(self._session, account_id, child, table, parents)

    def marks(
        self, stream: Stream, account_id: str, livemode: bool, ids: Sequence[str]
    ) -> dict[str, Marks]:
        """See the protocol."""
        there = tables.exists(self._session, stream.name)
        scope = Scope(self._session, account_id, livemode)
        return inspection.marks(scope, stream, ids, has_table=there)

    def reopen(self, stream: Stream, account_id: str, ids: Sequence[str], *, rewrite: bool) -> None:
        """See the protocol."""
        if tables.exists(self._session, stream.name):
            inspection.reopen(self._session, stream, account_id, ids, rewrite=rewrite)

    def verify(self) -> None:
        """After COMMIT: re-read what was claimed and advanced.

        :raises WarehouseError: if it is not there.
        """
        for key, (fence, batch) in self._expected.items():
            state.check_committed(self._session, key, fence, batch)


_advance = state.advance  # the methods' parameters of the contract are called like the modules
_spend = requests.spend


class SqlWarehouse(ABC):
    """:class:`~airflow_provider_stripe_app.warehouse.base.Warehouse` on SQL.

    :param connect: opens a DB-API connection; called when one is needed.
    :ivar fault: called with a label before each statement (for tests).
    :ivar schema_version: of this writer; a table written by a higher one is refused.
    """

    capabilities: Capabilities

    def __init__(self, connect: Callable[[], Any], schema: str | None) -> None:
        self._connect = connect
        self.schema = schema
        self.fault: Fault | None = None
        self.schema_version = SCHEMA_VERSION
        self._ttls: dict[StateKey, float] = {}

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        """See the protocol."""
        session = self._open()
        try:
            try:
                session.begin()
                state.ensure_tables(session)
                transaction = SqlTransaction(
                    session, self.capabilities, self.schema_version, self._ttls
                )
                yield transaction
                session.commit()
            except BaseException:
                session.rollback()
                raise
            try:
                transaction.verify()
            finally:
                session.after_commit()
        finally:
            self._done(session)

    def table(self, name: str) -> str:
        """See the protocol."""
        if self.schema is None:
            return identifier(name)
        return f"{identifier(self.schema)}.{identifier(name)}"

    @abstractmethod
    def close(self) -> None:
        """See the protocol."""

    @abstractmethod
    def _open(self) -> Session: ...

    @abstractmethod
    def _done(self, session: Session) -> None:
        """After a transaction, whatever became of it: keep or close the connection."""
