"""An audit between a simulated Stripe and a real warehouse, and the hands that spoil its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_provider_stripe_app.streams.catalog import resolve_streams
from airflow_provider_stripe_app.sync.audit.options import AuditOptions
from airflow_provider_stripe_app.sync.audit.result import AuditResult
from airflow_provider_stripe_app.sync.audit.run import run_audit
from airflow_provider_stripe_app.warehouse.base import Warehouse
from tests.integration.sync_lab import Lab, lab


def audit(
    one: Lab,
    streams: Sequence[str] | None = None,
    *,
    warehouse: Warehouse | None = None,
    **options: Any,
) -> AuditResult:
    """Audit in this process; waiting for events is done by moving Stripe's clock."""
    given = {"workers": 6, "owner": "audit", "sleep": one.sim.clock.advance, **options}
    return run_audit(
        one.client(),
        warehouse or one.warehouse(),
        account_id=one.account.id,
        livemode=one.account.livemode,
        streams=None if streams is None else resolve_streams(streams),
        options=AuditOptions(**given),
    )


def found(result: AuditResult) -> dict[str, dict[str, dict[str, tuple[str, ...]]]]:
    """Return table → kind → id → fields, of tables where anything was found."""
    return {
        name: {kind: ids for kind, ids in table.examples.items()}  # noqa: C416 -- plain strings
        for name, table in result.tables.items()
        if table.examples
    }


def spoil(one: Lab, *statements: str) -> None:
    """Let somebody's hands into the warehouse."""
    connection = one.connect()
    try:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        if one.kind != "duckdb":
            connection.commit()
    finally:
        connection.close()


def ids_of(one: Lab, kind: str) -> list[str]:
    """Return the ids of Stripe's objects of a type."""
    return [str(o["id"]) for o in one.sim.objects(one.account, kind)]


@contextmanager
def synced(path: Path, kind: str = "sqlite", where: str = "", **switches: Any) -> Iterator[Lab]:
    """Start a small account that was synced once."""
    with lab(path, "sqlite" if where else kind, **switches) as first:
        one = first.beside(kind, where) if where else first
        one.sim.populate(one.account, customers=40, invoices=20, subscriptions=12)
        one.settle()
        one.sync()
        one.settle()
        yield one
