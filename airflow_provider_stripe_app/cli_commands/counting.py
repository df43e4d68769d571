"""How many requests were made to Stripe, as the warehouse knows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.cli_commands.connections import connections_of_the_database
from airflow_provider_stripe_app.cli_commands.output import Result, command
from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.sync.budget import DAYS, FLOOR, KEEP_DAYS, day_before

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_stripe_app.warehouse.base import Transaction


@dataclass(frozen=True)
class Account:
    """One account's requests.

    :param spent: (ISO day, purpose) → requests.
    """

    id: str
    livemode: bool
    spent: Mapping[tuple[str, str], int]


@command
def requests(args: Namespace) -> Result:
    """Show requests by day and purpose."""
    from airflow_provider_stripe_app.hooks.warehouse import warehouse_from_connection

    if not 1 <= args.days <= KEEP_DAYS:
        raise ConfigurationError(f"--days must be 1 to {KEEP_DAYS}: older days are not kept.")
    today = datetime.now(timezone.utc).date().isoformat()
    with connections_of_the_database():
        warehouse = warehouse_from_connection(args.warehouse_conn_id, args.schema)
        try:
            with warehouse.transaction() as tx:
                found = _read(tx, args.account, day_before(today, args.days - 1))
        finally:
            warehouse.close()
    if not found:
        whose = args.account or "any account"
        raise ConfigurationError(
            f"No requests of {whose} are kept in {args.warehouse_conn_id} for the last "
            f"{args.days} days: sync into it first, or name the schema of the sync."
        )
    text = "\n\n".join("\n".join(lines(one, args.days)) for one in found)
    return Result(text, {"days": args.days, "accounts": [as_dict(one) for one in found]})


def _read(tx: Transaction, account: str | None, since: str) -> list[Account]:
    wanted = [one for one in tx.spenders() if account in (None, one[0])]
    found = [Account(id_, live, tx.spent(id_, live, since)) for id_, live in wanted]
    return [one for one in found if one.spent]


def lines(account: Account, days: int) -> list[str]:
    """Return a table, the newest day first, with a column for each purpose.

    :param days: over how many days.
    """
    total = sum(account.spent.values())
    mode = "live" if account.livemode else "test"
    head = f"{account.id} ({mode}): {total:,} requests in {days} days"
    if days == DAYS:
        head += f"; Stripe allots {FLOOR:,} reads at least, or 500 for each transaction"
    by_day: dict[str, Counter[str]] = {}
    for (day, purpose), number in account.spent.items():
        by_day.setdefault(day, Counter())[purpose.partition(":")[0]] += number
    verbs = sorted({verb for counts in by_day.values() for verb in counts})
    rows = [["day", *verbs, "all"]]
    for day, counts in sorted(by_day.items(), reverse=True):
        rows.append([day, *(f"{counts[verb]:,}" for verb in verbs), f"{counts.total():,}"])
    return [head, *_aligned(rows)]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def as_dict(account: Account) -> dict[str, Any]:
    """Return plain JSON types; here streams are told apart."""
    days: dict[str, dict[str, int]] = {}
    for (day, purpose), number in account.spent.items():
        days.setdefault(day, {})[purpose] = number
    return {
        "account": account.id,
        "livemode": account.livemode,
        "requests": sum(account.spent.values()),
        "by_day": days,
    }
