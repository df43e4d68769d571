"""One open transaction on a connection: the only place where statements are sent."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from airflow_provider_stripe_app.streams.model import ColumnType
from airflow_provider_stripe_app.warehouse.base import RoomMade, WarehouseError
from airflow_provider_stripe_app.warehouse.columns import Slot
from airflow_provider_stripe_app.warehouse.dialect import Dialect

log = logging.getLogger(__name__)

T = TypeVar("T")
Row = tuple[Any, ...]
Columns = Sequence[Sequence[Any]]
"""Values column by column, all of one length."""
Fault = Callable[[str], None]


class Session(ABC):
    """Sends statements, remembers whether one failed, and says so in one sentence.

    A failed statement spoils the session even if the caller swallows the error, because a COMMIT
    after it can succeed and commit nothing (EQUALITY §7).

    :param where: the warehouse, for people.
    :param fault: called with a label before each statement (tests stop a merge anywhere with it).
    """

    dialect: Dialect

    def __init__(self, where: str, fault: Fault | None) -> None:
        self.where = where
        self.fault = fault
        self.failed: str | None = None

    def run(self, label: str, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Execute and return how many rows were written (0 for DDL)."""
        return self._guarded(label, lambda: self._run(statement, parameters))

    def rows(self, label: str, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Execute and return all rows."""
        return self._guarded(label, lambda: self._rows(statement, parameters))

    def load(self, table: str, columns: Sequence[tuple[str, ColumnType]], values: Columns) -> None:
        """Make a temporary table and fill it by the warehouse's bulk path.

        :param columns: name and type.
        :param values: one sequence per column, all of one length. A text is a string or a
            :class:`msgspec.Raw` (UTF-8 bytes that were checked), never with NUL.
        """
        self._guarded(f"load {table}", lambda: self._load(table, columns, values))

    def drop(self, table: str) -> None:
        """Drop a temporary table if it is there, loaded or made by a statement."""
        self.run(f"drop {table}", self.dialect.drop_temp(table))

    def columns(self, table: str) -> list[str]:
        """Return the columns of a table of ours in table order; empty if there is none."""
        return self._guarded(f"look at {table}", lambda: self._columns(table))

    def spoil(self, label: str) -> None:
        """Make a commit impossible: what was asked cannot be done, whoever swallows the error."""
        self.failed = self.failed or label

    def begin(self) -> None:
        """Open the transaction."""
        self._guarded("begin", self._begin)

    def commit(self) -> None:
        """Commit, unless a statement has failed.

        :raises WarehouseError: if one has, or the commit itself fails.
        """
        if self.failed is not None:
            raise WarehouseError(
                f"{self.where}: nothing was committed because '{self.failed}' failed before"
            )
        self._guarded("commit", self._commit)

    def rollback(self) -> None:
        """Roll back; trouble in doing so is logged, never raised over the error that led here."""
        try:
            self._rollback()
        except Exception:
            log.warning("%s: the rollback failed; the connection is dropped", self.where)
            self.failed = "rollback"

    def after_commit(self) -> None:  # noqa: B027 -- most need nothing
        """Leave no transaction open after the reads that follow a commit."""

    @contextmanager
    def layout(self) -> Iterator[Session]:
        """Open what tables are changed with: this session, if a rollback undoes such changes.

        Otherwise one of its own that commits each statement, with :meth:`lock_ddl`'s lock.
        """
        yield self

    def type_documents(self, source: str, slots: Sequence[Slot]) -> Mapping[str, int] | None:
        """Make the temporary table ``TYPED`` without SQL, where the engine's SQL is no good at it.

        :param source: see :meth:`~.dialect.Dialect.parsed`.
        :return: column → values that did not fit; ``None`` to leave it to the dialect's SQL.
        """
        return None

    def lock_ddl(self) -> bool:
        """Let one transaction at a time change tables; a single writer needs no lock.

        :return: whether the layout of tables may have changed while waiting.
        """
        return False

    def lock_obligations(self, account_id: str) -> None:  # noqa: B027 -- a single writer needs no lock
        """Let one transaction at a time write an account's obligations.

        Two could wait for each other's rows. Nothing else is locked after this.
        """

    @abstractmethod
    def ensure_schema(self) -> None:
        """Create the schema if it is not there."""

    @abstractmethod
    def table(self, name: str) -> str:
        """Return a table's qualified, quoted name."""

    def _guarded(self, label: str, action: Callable[[], T]) -> T:
        if self.fault is not None:
            self.fault(label)
        try:
            return action()
        except WarehouseError:
            self.spoil(label)
            raise
        except Exception as error:
            self.spoil(label)
            # The first line only: what drivers append can quote a customer's data.
            lines = str(error).strip().splitlines()
            why = f"{type(error).__name__}: {lines[0] if lines else ''}"
            kind = RoomMade if self._made_room(error) else WarehouseError
            raise kind(f"{self.where}: '{label}' failed: {why}") from error

    def _made_room(self, error: Exception) -> bool:
        """Tell whether the same transaction may work now, because memory was short until now."""
        return False

    @abstractmethod
    def _run(self, statement: str, parameters: Sequence[Any]) -> int: ...

    @abstractmethod
    def _rows(self, statement: str, parameters: Sequence[Any]) -> list[Row]: ...

    @abstractmethod
    def _load(
        self, table: str, columns: Sequence[tuple[str, ColumnType]], values: Columns
    ) -> None: ...

    @abstractmethod
    def _columns(self, table: str) -> list[str]: ...

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _commit(self) -> None: ...

    @abstractmethod
    def _rollback(self) -> None: ...
