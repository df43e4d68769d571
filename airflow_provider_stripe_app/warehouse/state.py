"""State, leases and obligations: small tables beside the rows, written in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from airflow_provider_stripe_app.streams.model import ColumnType, Stream
from airflow_provider_stripe_app.warehouse.base import (
    Claim,
    LeaseHeld,
    Obligation,
    StaleWriter,
    StateKey,
    WarehouseError,
)
from airflow_provider_stripe_app.warehouse.dialect import Dialect
from airflow_provider_stripe_app.warehouse.session import Row, Session
from airflow_provider_stripe_app.warehouse.sql import literal, names

STATE = "_stripe_sync_state"
OBLIGATIONS = "_stripe_sync_obligations"
COLUMN_MAP = "_stripe_sync_columns"
TABLES = "_stripe_sync_tables"
REQUESTS = "_stripe_sync_requests"

_OWED = "_stripe_sync_owed"
_FORGIVE_AT_ONCE = 500

_Layout = tuple[tuple[tuple[str, ColumnType | str], ...], tuple[str, ...]]

LAYOUTS: dict[str, _Layout] = {
    STATE: (
        (
            ("account_id", "text"),
            ("livemode", "boolean"),
            ("stream", "text"),
            ("fence", "bigint"),
            ("batch", "bigint"),
            ("owner", "text"),
            ("run", "text"),
            ("lease_until", "double"),
            ("state", "text"),
            ("updated_at", "timestamp"),
        ),
        ("account_id", "livemode", "stream"),
    ),
    OBLIGATIONS: (
        (
            ("account_id", "text"),
            ("livemode", "boolean"),
            ("stream", "text"),
            ("id", "text"),
            ("closes_at", "bigint"),
            ("event_id", "text"),
            ("effect", "text"),
            ("ambiguous", "boolean"),
            ("payload", "text"),
            ("created", "bigint"),
        ),
        ("account_id", "livemode", "stream", "id"),
    ),
    COLUMN_MAP: (
        (
            ("table_name", "text"),
            ("path", "text"),
            ("column_name", "text"),
            ("type", "text"),
            ("position", "bigint"),
        ),
        ("table_name", "path"),
    ),
    TABLES: ((("table_name", "text"), ("schema_version", "bigint")), ("table_name",)),
    # No key: writers only add rows, so that parallel ones never wait for each other.
    REQUESTS: (
        (
            ("account_id", "text"),
            ("livemode", "boolean"),
            ("day", "text"),
            ("purpose", "text"),
            ("stream", "text"),
            ("requests", "bigint"),
        ),
        (),
    ),
}
"""Columns and primary key of the tables that are not a stream's.

A column that is added here is added to tables of an earlier version too.
"""

KEY = ("account_id", "livemode", "stream")

_KEY = "account_id = ? AND livemode = ? AND stream = ?"


def ensure_tables(session: Session) -> None:
    """Create the tables of this module if they are missing, and columns that an earlier version
    did not know; safe when two do it at once.
    """
    if not any(_missing(session, name) for name in LAYOUTS):
        return
    session.lock_ddl()
    session.ensure_schema()
    types: dict[str, str] = {**dict(session.dialect.types.items()), "double": "DOUBLE PRECISION"}
    for name, (columns, key) in LAYOUTS.items():
        cells = [
            session.dialect.column(column, types[type_], key=column in key)
            for column, type_ in columns
        ]
        if key:
            cells.append(f"PRIMARY KEY ({names(key)})")
        session.run(
            f"create {name}",
            f"CREATE TABLE IF NOT EXISTS {session.table(name)} ({', '.join(cells)})",
        )
        for column, type_ in _missing(session, name):
            session.run(
                f"widen {name}",
                f"ALTER TABLE {session.table(name)} ADD COLUMN "
                f"{session.dialect.column(column, types[type_], key=False)}",
            )


def _missing(session: Session, name: str) -> list[tuple[str, ColumnType | str]]:
    there = set(session.columns(name))
    return [cell for cell in LAYOUTS[name][0] if cell[0] not in there]


def claim(session: Session, key: StateKey, owner: str, ttl: float, run: str) -> tuple[Claim, int]:
    """Take a lease; see :meth:`airflow_provider_stripe_app.warehouse.base.Transaction.claim`.

    :return: the claim and the batch number found.
    """
    table, now = session.table(STATE), session.dialect.clock()
    values = _values(key)
    session.run(
        "claim: first",
        session.dialect.upsert(
            table,
            (*KEY, "fence", "batch", "lease_until"),
            f"SELECT {', '.join(literal(value) for value in values)}, 0, 0, 0 WHERE TRUE",
            KEY,
            (),
        ),
    )
    taken = session.run(
        "claim: take",
        f"UPDATE {table} SET fence = fence + 1, owner = ?, run = ?, lease_until = {now} + ?, "
        f"updated_at = {session.dialect.timestamp(now)} "
        f"WHERE {_KEY} AND (owner IS NULL OR owner = ? OR lease_until <= {now})",
        (owner, run, float(ttl), *values, owner),
    )
    found = session.rows(
        "claim: read",
        f"SELECT fence, batch, state, owner, lease_until - {now} FROM {table} WHERE {_KEY}",
        values,
    )
    fence, batch, state, holder, left = found[0]
    if taken != 1:
        raise LeaseHeld(str(holder), max(float(left or 0), 0.0))
    return Claim(key, owner, int(fence), state), int(batch)


def advance(session: Session, held: Claim, state: str | None, ttl: float) -> int:
    """Check the fence, store the state, renew the lease.

    ``fence = fence`` makes DuckDB see a conflict with a concurrent claim (EQUALITY §7).

    :return: the new batch number.
    :raises StaleWriter: if the fence has moved.
    """
    table, now = session.table(STATE), session.dialect.clock()
    written = session.run(
        "advance",
        f"UPDATE {table} SET fence = fence, batch = batch + 1, state = coalesce(?, state), "
        f"lease_until = {now} + ?, updated_at = {session.dialect.timestamp(now)} "
        f"WHERE {_KEY} AND fence = ?",
        (state, float(ttl), *_values(held.key), held.fence),
    )
    if written != 1:
        session.spoil("advance")
        raise StaleWriter(
            f"Stream {held.key.stream} of {held.key.account_id}: another run has taken over from "
            f"{held.owner}; this run stops and what it had not committed is discarded."
        )
    return read_marks(session, held.key, "advance: read")[1]


def read_marks(session: Session, key: StateKey, label: str = "verify") -> tuple[int, int]:
    """Return (fence, batch number) as stored, (0, 0) if there is nothing."""
    rows = session.rows(
        label,
        f"SELECT fence, batch FROM {session.table(STATE)} WHERE {_KEY}",
        _values(key),
    )
    return (int(rows[0][0]), int(rows[0][1])) if rows else (0, 0)


def release(session: Session, held: Claim) -> None:
    """Give a lease back if it is still ours."""
    session.run(
        "release",
        f"UPDATE {session.table(STATE)} SET owner = NULL, lease_until = 0 WHERE {_KEY} "
        "AND fence = ?",
        (*_values(held.key), held.fence),
    )


def states(session: Session, account_id: str, livemode: bool) -> dict[str, str]:
    """Return stream → state text, of those that have one."""
    rows = session.rows(
        "read states",
        f"SELECT stream, state FROM {session.table(STATE)} "
        "WHERE account_id = ? AND livemode = ? AND state IS NOT NULL ORDER BY stream",
        (account_id, livemode),
    )
    return dict(rows)


def fold(obligations: Iterable[Obligation]) -> list[Obligation]:
    """Reduce to one obligation per (stream, id): the highest ``closes_at``; a tie is ambiguous."""
    kept: dict[tuple[str, str], Obligation] = {}
    for new in obligations:
        old = kept.get((new.stream, new.id))
        if old is None or new.closes_at > old.closes_at:
            created = new.created if old is None or new.created is not None else old.created
            kept[new.stream, new.id] = _plain(replace(new, created=created))
        elif new.closes_at == old.closes_at and (new.ambiguous or new.event_id != old.event_id):
            kept[new.stream, new.id] = _plain(replace(old, ambiguous=True))
    return list(kept.values())


def _plain(obligation: Obligation) -> Obligation:
    """Take away what an ambiguous obligation cannot be trusted with: payload and effect."""
    if not obligation.ambiguous:
        return obligation
    return replace(obligation, payload=None, effect="upsert")


def owe(
    session: Session, account_id: str, livemode: bool, obligations: Sequence[Obligation]
) -> None:
    """Store obligations by the rule of :func:`fold`."""
    rows: list[Row] = [
        (o.stream, o.id, o.closes_at, o.event_id, o.effect, o.ambiguous, o.payload, o.created)
        for o in fold(obligations)
    ]
    if not rows:
        return
    columns: tuple[tuple[str, ColumnType], ...] = (
        ("stream", "text"),
        ("id", "text"),
        ("closes_at", "bigint"),
        ("event_id", "text"),
        ("effect", "text"),
        ("ambiguous", "boolean"),
        ("payload", "text"),
        ("created", "bigint"),
    )
    session.lock_obligations(account_id)
    session.load(_OWED, columns, list(zip(*rows, strict=True)))
    dialect, table = session.dialect, session.table(OBLIGATIONS)
    session.run("owe", owe_statement(dialect, table, dialect.temp(_OWED), account_id, livemode))
    session.drop(_OWED)


def owe_statement(
    dialect: Dialect, table: str, staged: str, account_id: str, livemode: bool
) -> str:
    """Return the upsert that folds staged obligations into the stored ones."""
    old, new = dialect.stored, dialect.incoming
    newer = f"{new('closes_at')} > {old('closes_at')}"
    tie = (
        f"{new('closes_at')} = {old('closes_at')} "
        f"AND ({new('ambiguous')} OR {new('event_id')} <> {old('event_id')})"
    )

    def pick(column: str, at_tie: str) -> tuple[str, str]:
        return column, (
            f"CASE WHEN {newer} THEN {new(column)} WHEN {tie} THEN {at_tie} ELSE {old(column)} END"
        )

    own = ("id", "closes_at", "event_id", "effect", "ambiguous", "payload", "created")
    select = (
        f"SELECT {literal(account_id)}, {literal(livemode)}, stream, {names(own)} "
        f"FROM {staged} WHERE TRUE ORDER BY stream, id"
    )
    updates = (
        pick("effect", "'upsert'"),
        pick("payload", "NULL"),
        ("created", f"coalesce({new('created')}, {old('created')})"),
        # In this order, for engines whose later assignments see what the earlier ones did: what
        # the conditions look at comes last.
        pick("ambiguous", "TRUE"),
        pick("event_id", old("event_id")),
        pick("closes_at", old("closes_at")),
    )
    return dialect.upsert(table, (*KEY, *own), select, (*KEY, "id"), updates)


def owing(session: Session, account_id: str, livemode: bool) -> set[str]:
    """Return the streams that have obligations."""
    rows = session.rows(
        "owing",
        f"SELECT DISTINCT stream FROM {session.table(OBLIGATIONS)} "
        "WHERE account_id = ? AND livemode = ?",
        (account_id, livemode),
    )
    return {row[0] for row in rows}


def due(
    session: Session,
    account_id: str,
    livemode: bool,
    stream: str,
    limit: int,
    free_after: tuple[int, str] | None,
) -> list[Obligation]:
    """Return obligations, the oldest ``closes_at`` first."""
    wanted, values = _KEY, [account_id, livemode, stream]
    if free_after is not None:
        at, id_ = free_after
        wanted += (
            " AND (closes_at > ? OR (closes_at = ? AND id > ?)) AND NOT ambiguous "
            "AND (payload IS NOT NULL OR effect = 'gone')"
        )
        values += [at, at, id_]
    rows = session.rows(
        "due",
        f"SELECT id, closes_at, event_id, effect, ambiguous, payload, created "
        f"FROM {session.table(OBLIGATIONS)} WHERE {wanted} "
        f"ORDER BY closes_at, id LIMIT {int(limit)}",
        values,
    )
    return [
        Obligation(stream, id_, int(closes_at), event_id, effect, bool(ambiguous), payload, created)
        for id_, closes_at, event_id, effect, ambiguous, payload, created in rows
    ]


def settle(
    session: Session,
    stream: Stream,
    account_id: str,
    livemode: bool,
    forgive: Sequence[str],
    *,
    has_table: bool,
) -> int:
    """Delete the obligations that the stream's rows close, and those of ``forgive``."""
    key = (account_id, livemode, stream.name)
    table = session.table(OBLIGATIONS)
    session.lock_obligations(account_id)
    deleted = 0
    for start in range(0, len(forgive), _FORGIVE_AT_ONCE):
        ids = list(forgive[start : start + _FORGIVE_AT_ONCE])
        marks = ", ".join("?" * len(ids))
        deleted += session.run(
            "settle: forgive", f"DELETE FROM {table} WHERE {_KEY} AND id IN ({marks})", (*key, *ids)
        )
    if has_table:
        deleted += session.run(
            "settle",
            f"""DELETE FROM {table} WHERE {_KEY} AND id IN (
                SELECT o.id FROM {table} AS o JOIN {session.table(stream.name)} AS t
                  ON t.account_id = o.account_id AND t.id = o.id
                WHERE o.account_id = ? AND o.livemode = ? AND o.stream = ?
                  AND (t._version >= o.closes_at * 10 + 2
                       OR (NOT o.ambiguous AND t._version = o.closes_at * 10 + 1
                           AND t._event_id = o.event_id)))""",
            (*key, *key),
        )
    return deleted


def check_committed(session: Session, key: StateKey, fence: int, batch: int) -> None:
    """Re-read what a committed transaction wrote (EQUALITY §7).

    Somebody may have claimed since: a higher fence is fine, the batch number only ever rises.

    :raises WarehouseError: if it is not there.
    """
    found = read_marks(session, key)
    if found == (fence, batch) or (found[0] > fence and found[1] >= batch):
        return
    raise WarehouseError(
        f"{session.where}: the commit for stream {key.stream} of {key.account_id} did not take "
        f"effect (expected fence {fence}, batch {batch}; found {found[0]}, {found[1]}): run again."
    )


def _values(key: StateKey) -> tuple[str, bool, str]:
    return key.account_id, key.livemode, key.stream
