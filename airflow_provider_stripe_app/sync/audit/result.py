"""What an audit tells: bounded, however much differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_stripe_app.sync.audit.verdict import Kind


@dataclass(slots=True)
class TableAudit:
    """What an audit found in one table.

    :param checked: living objects that Stripe lists.
    :param equal: those of them whose row is right.
    :param missing: objects without a living row.
    :param extra: living rows without an object.
    :param different: rows that hold something else.
    :param silent: rows that differ only in fields that Stripe changes without an event.
    :param not_yet_due: rows that the next sync changes by itself.
    :param repaired: rows that are right now; they stay in the other numbers.
    :param unrepaired: missing, extra and different rows that are still so.
    :param examples: kind → id → the fields that differ, for the first ids of each kind.
    :param requests: made for this stream (children count with their parent).
    """

    checked: int = 0
    equal: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    silent: int = 0
    not_yet_due: int = 0
    repaired: int = 0
    unrepaired: int = 0
    examples: dict[Kind, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    requests: int = 0
    seconds: float = 0.0

    @property
    def found(self) -> int:
        """How many rows were wrong."""
        return self.missing + self.extra + self.different

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        out: dict[str, Any] = {
            name: getattr(self, name)
            for name in (
                "checked",
                "equal",
                "missing",
                "extra",
                "different",
                "silent",
                "not_yet_due",
                "repaired",
                "requests",
            )
        }
        out["seconds"] = round(self.seconds, 2)
        if self.examples:
            out["examples"] = {
                kind: {id_: list(fields) for id_, fields in ids.items()}
                for kind, ids in self.examples.items()
            }
        return out


@dataclass(slots=True)
class AuditResult:
    """What an audit found.

    :param requests: purpose → number of requests to Stripe.
    :param reads: what the account's reads have cost in 30 days, against its budget.
    """

    account_id: str
    livemode: bool
    tables: dict[str, TableAudit] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=dict)
    reads: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def unrepaired(self) -> int:
        """How many rows are wrong and stay so."""
        return sum(table.unrepaired for table in self.tables.values())

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types, small enough for an XCom."""
        return {
            "account": self.account_id,
            "livemode": self.livemode,
            "equal": self.unrepaired == 0,
            "tables": {name: table.as_dict() for name, table in self.tables.items()},
            "requests": dict(self.requests),
            "reads": dict(self.reads),
            "seconds": round(self.seconds, 2),
        }

    def lines(self, shown: int = 3) -> list[str]:
        """Return what a person wants to read.

        :param shown: ids per table and kind.
        """
        return [line for name, table in self.tables.items() for line in _lines(name, table, shown)]


def _lines(name: str, table: TableAudit, shown: int) -> list[str]:
    verdict = "equal" if table.found == 0 else f"{table.found:,} DIFFER"
    if table.found and table.unrepaired == 0:
        verdict += ", all repaired"
    counts = ", ".join(
        f"{number:,} {word}"
        for number, word in (
            (table.missing, "missing"),
            (table.extra, "too many"),
            (table.different, "different"),
            (table.silent, "changed silently"),
            (table.not_yet_due, "not yet due"),
            (table.repaired, "repaired"),
        )
        if number
    )
    head = f"{name}: {table.checked:,} checked, {table.equal:,} equal: {verdict}"
    lines = [f"{head} ({counts})" if counts else head]
    for kind, ids in table.examples.items():
        for id_, fields in list(ids.items())[:shown]:
            lines.append(f"    {kind} {id_}" + (f": {', '.join(fields)}" if fields else ""))
    return lines
