"""What differs between warehouses in SQL text. No connection here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from airflow_provider_stripe_app.streams.model import ColumnType
from airflow_provider_stripe_app.warehouse.columns import Slot
from airflow_provider_stripe_app.warehouse.sql import identifier

LATEST_SECOND = 253402300799
"""9999-12-31T23:59:59Z: later unix seconds are no time."""

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class Dialect(ABC):
    """One warehouse's SQL.

    :cvar types: column type per :data:`~airflow_provider_stripe_app.streams.model.ColumnType`.
    :cvar child_index: whether an index on the parent's id of child tables pays.
    """

    name: str
    types: Mapping[ColumnType, str]
    child_index: bool = True

    def temp(self, name: str) -> str:
        """Return the reference to a temporary table."""
        return f"temp.{identifier(name)}"

    def create_temp(self, name: str, select: str) -> str:
        """Return the statement that makes a temporary table from a select."""
        return f"CREATE TEMPORARY TABLE {identifier(name)} AS {select}"

    def differs(self, one: str, other: str) -> str:
        """Return the condition that two expressions differ; NULL equals NULL."""
        return f"({one} IS DISTINCT FROM {other})"

    def keyed(self, target: str, stage: str) -> str:
        """Return a table expression for those rows of a table whose key is staged."""
        return target

    @abstractmethod
    def clock(self) -> str:
        """Return an expression for now in unix seconds, by the warehouse's clock."""

    @abstractmethod
    def timestamp(self, seconds: str) -> str:
        """Return the expression that makes a timestamp column's value from unix seconds.

        :param seconds: a SQL expression; NULL gives NULL.
        """

    @abstractmethod
    def seconds(self, moment: str) -> str:
        """Return the expression that makes unix seconds from a timestamp column's value.

        :param moment: a SQL expression; NULL gives NULL.
        """

    def parsed(self, source: str, slots: Sequence[Slot]) -> str | None:
        """Return a select to keep as the temporary table ``PARSED`` before typing, if that pays.

        Where an engine would parse the document again for each mention of a field, the fields'
        JSON is taken out once.

        :param source: a select of ``seq`` and ``doc`` (JSON text that is safe to type).
        """
        return None

    @abstractmethod
    def typed(self, source: str, slots: Sequence[Slot]) -> str:
        """Return the select that types JSON: ``seq``, one column per slot, and what misfits need.

        :param source: as in :meth:`parsed`.
        :param slots: at least one.
        """

    @abstractmethod
    def misfits(self, typed: str, source: str, slots: Sequence[Slot]) -> str:
        """Return the select of one row: per slot how many values are present but did not fit.

        :param typed: the table made from :meth:`typed`.
        :param source: as in :meth:`parsed`.
        """


def lost(parsed: str, leaves: Sequence[str], typed: str, slots: Sequence[Slot]) -> str:
    """Return the select of one row: per slot the leaves that are there less the typed values.

    :param leaves: per slot an expression over ``parsed``, NULL for missing and null.
    """
    there = ", ".join(f"count({leaf}) AS n{place}" for place, leaf in enumerate(leaves))
    kept = ", ".join(
        f"count({identifier(slot.name)}) AS n{place}" for place, slot in enumerate(slots)
    )
    less = ", ".join(f"p.n{place} - t.n{place}" for place in range(len(slots)))
    return (
        f"SELECT {less} FROM (SELECT {there} FROM {parsed}) AS p, (SELECT {kept} FROM {typed}) AS t"
    )
