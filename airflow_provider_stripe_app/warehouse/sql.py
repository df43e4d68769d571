"""The statements of a merge, as text; pure functions that know tables but no connection.

A merge stages rows into the temporary table :data:`STAGE`, decides once which of them win
(:data:`WON`, narrow: keys and flags only), types the winners (:data:`TYPED`, from :data:`PARSED`
where that pays; both made by the dialect) and then writes. The winning *parents* are kept in
:data:`PARENTS` while their children are merged.

Values that come from outside are either staged or passed through :func:`literal`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from airflow_provider_stripe_app.streams.model import ColumnType

STAGE = "_stripe_sync_stage"
WON = "_stripe_sync_won"
PARSED = "_stripe_sync_parsed"
TYPED = "_stripe_sync_typed"
PARENTS = "_stripe_sync_parents"

STAGE_COLUMNS: tuple[tuple[str, ColumnType], ...] = (
    ("seq", "bigint"),
    ("account_id", "text"),
    ("id", "text"),
    ("version", "bigint"),
    ("deleted_at", "bigint"),
    ("event_id", "text"),
    ("livemode", "boolean"),
    ("parent_id", "text"),
    ("raw", "text"),
    ("typed_from", "text"),
)
"""Name and :data:`~airflow_provider_stripe_app.streams.model.ColumnType` of what is staged."""


_TO_TYPE = "(w.is_new OR (w.deleted_at IS NULL AND NOT w.same_raw))"
_TO_CONFIRM = "w.deleted_at IS NULL AND w.same_raw AND NOT w.is_new"
_TO_BURY = "w.deleted_at IS NOT NULL AND NOT w.is_new"


def identifier(name: str) -> str:
    """Quote an identifier.

    :param name: any text without NUL.
    """
    if "\0" in name:
        raise ValueError("an identifier cannot hold NUL")
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | int | bool | None) -> str:
    """Return a value as a SQL literal (standard-conforming strings: only ``'`` is special)."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if "\0" in value:
        raise ValueError("a SQL text cannot hold NUL")
    return "'" + value.replace("'", "''") + "'"


def beats(version: str, *, with_children: bool) -> str:
    """Return the condition under which a staged version overwrites the row ``t``.

    A living parent whose children were never read (they were not synced then) does not count as
    read: a version that brings its children is let in. Should that one be older, then the change
    between the two lies within the feed's overlap, which reopens the row.

    :param version: the staged version.
    :param with_children: whether the batch brings complete child sets.
    """
    newer = f"t._version < {version}"
    unread = "t._children_version IS NULL AND NOT t.is_deleted"
    return f"({newer} OR ({unread}))" if with_children else newer


def winners(target: str, stage: str, *, with_children: bool) -> str:
    """Select the staged rows that win: one per id, newer than the target's row or new.

    Highest version first, the last staged among equals (EQUALITY §5).
    """
    newer = beats("s.version", with_children=with_children)
    return f"""
        SELECT s.seq, s.account_id, s.id, s.version, s.deleted_at, s.event_id,
               t.id IS NULL AS is_new,
               coalesce(t.is_deleted, FALSE) AS was_deleted,
               coalesce(t._raw = s.raw, FALSE) AS same_raw
        FROM (SELECT *, row_number() OVER (PARTITION BY account_id, id
                                           ORDER BY version DESC, seq DESC) AS place
              FROM {stage}) AS s
        LEFT JOIN {target} AS t ON t.account_id = s.account_id AND t.id = s.id
        WHERE s.place = 1 AND (t.id IS NULL OR {newer})"""


def winning_children(target: str, stage: str, parents: str) -> str:
    """Select the staged children of living parents that won; version and event are the parent's."""
    return f"""
        SELECT s.seq, s.account_id, s.id, s.parent_version AS version,
               s.deleted_at, s.parent_event AS event_id,
               t.id IS NULL AS is_new,
               coalesce(t.is_deleted, FALSE) AS was_deleted,
               coalesce(t._raw = s.raw, FALSE) AS same_raw
        FROM (SELECT c.seq, c.account_id, c.id, c.deleted_at, c.raw,
                     p.version AS parent_version, p.event_id AS parent_event,
                     row_number() OVER (PARTITION BY c.account_id, c.id
                                        ORDER BY p.version DESC, c.seq DESC) AS place
              FROM {stage} AS c
              JOIN {parents} AS p ON p.id = c.parent_id AND p.deleted_at IS NULL) AS s
        LEFT JOIN {target} AS t ON t.account_id = s.account_id AND t.id = s.id
        WHERE s.place = 1 AND (t.id IS NULL OR s.parent_version > t._version)"""


def parents(won: str) -> str:
    """Select what children need to know of the parents that won."""
    return f"SELECT id, version, deleted_at, event_id FROM {won}"


def to_type(won: str, stage: str) -> str:
    """Select the winners whose JSON must be typed: new rows, and living rows whose JSON changed.

    Columns: ``seq`` and ``doc``, the JSON text that is safe to type.
    """
    return f"""
        SELECT w.seq AS seq, coalesce(s.typed_from, s.raw) AS doc
        FROM {won} AS w JOIN {stage} AS s ON s.seq = w.seq
        WHERE {_TO_TYPE}"""


KEEP_IF_NULL = frozenset({"_load_id", "_children_version"})
"""Columns whose stored value survives a write that brings none."""


def upsert(
    target: str, cells: Sequence[tuple[str, str]], *, typed: str, won: str, stage: str
) -> str:
    """Insert or update the typed winners; that they win was decided under the fence.

    :param cells: (column name, SQL expression over ``y`` typed, ``w`` won, ``s`` stage).
    """
    names = ", ".join(identifier(name) for name, _ in cells)
    values = ", ".join(expression for _, expression in cells)
    updates = ", ".join(
        f"{quoted} = coalesce(excluded.{quoted}, t.{quoted})"
        if name in KEEP_IF_NULL
        else f"{quoted} = excluded.{quoted}"
        for name, quoted in ((name, identifier(name)) for name, _ in cells)
        if name not in ("account_id", "id")
    )
    return f"""
        INSERT INTO {target} AS t ({names})
        SELECT {values}
        FROM {typed} AS y JOIN {won} AS w ON w.seq = y.seq JOIN {stage} AS s ON s.seq = y.seq
        WHERE TRUE
        ON CONFLICT (account_id, id) DO UPDATE SET {updates}"""


def confirm(target: str, won: str, assignments: Sequence[tuple[str, str]]) -> str:
    """Update the living winners whose JSON is what we have already: version and seen marks only.

    :param assignments: (column, expression over ``t`` target and ``w`` won).
    """
    return f"""
        UPDATE {target} AS t SET {_set(assignments)}
        FROM {won} AS w
        WHERE t.account_id = w.account_id AND t.id = w.id
          AND {_TO_CONFIRM}"""


def bury(target: str, won: str, assignments: Sequence[tuple[str, str]]) -> str:
    """Make tombstones of existing rows; their columns and ``_raw`` stay (base.StagedRow)."""
    return f"""
        UPDATE {target} AS t SET {_set(assignments)}
        FROM {won} AS w
        WHERE t.account_id = w.account_id AND t.id = w.id
          AND {_TO_BURY}"""


def bury_children(
    target: str,
    parents_table: str,
    parent_column: str,
    account_id: str,
    assignments: Sequence[tuple[str, str]],
) -> str:
    """Make tombstones of the children that the winning parents no longer have.

    Children that were in the set carry the parent's version by now, so the older ones were not
    in it; a dead parent has no set, so all of its living children are older.
    """
    return f"""
        UPDATE {target} AS t SET {_set(assignments)}
        FROM {parents_table} AS w
        WHERE t.account_id = {literal(account_id)} AND t.{identifier(parent_column)} = w.id
          AND NOT t.is_deleted AND t._version < w.version"""


def mark_seen(target: str, stage: str, account_id: str, load_id: int) -> str:
    """Note on every staged row, winner or not, that a full load has seen it (EQUALITY §3)."""
    return f"""
        UPDATE {target} SET _load_id = {int(load_id)}
        WHERE account_id = {literal(account_id)} AND id IN (SELECT id FROM {stage})
          AND (_load_id IS NULL OR _load_id <> {int(load_id)})"""


def counts(won: str, stage: str) -> str:
    """Count distinct staged ids; inserted, updated, newly deleted; to type, to confirm, to bury."""
    return f"""
        SELECT (SELECT count(DISTINCT id) FROM {stage}),
               {_count("is_new AND deleted_at IS NULL")},
               {_count("NOT is_new AND deleted_at IS NULL AND (was_deleted OR NOT same_raw)")},
               {_count("deleted_at IS NOT NULL AND NOT was_deleted")},
               {_count(_TO_TYPE)}, {_count(_TO_CONFIRM)}, {_count(_TO_BURY)}
        FROM {won} AS w"""


def refill(target: str, typed: str, stage: str, columns: Sequence[str]) -> str:
    """Copy freshly typed columns into existing rows (back-fill of new columns)."""
    sets = ", ".join(f"{identifier(name)} = y.{identifier(name)}" for name in columns)
    return f"""
        UPDATE {target} AS t SET {sets}
        FROM {typed} AS y JOIN {stage} AS s ON s.seq = y.seq
        WHERE t.account_id = s.account_id AND t.id = s.id"""


def raws_holding(target: str, keys: Sequence[str], parameter: str, limit: int) -> str:
    """Page through rows whose ``_raw`` may hold one of the keys, in key order.

    Takes account id, account id and id as parameters: the last row of the page before.

    :param parameter: the placeholder.
    """
    # "_" stands for any character in LIKE: more rows than needed at worst, and nothing to escape.
    patterns = (re.sub(r"[^A-Za-z0-9]", "_", key) for key in keys)
    likes = " OR ".join(f"_raw LIKE '%\"{pattern}\"%'" for pattern in patterns)
    return f"""
        SELECT account_id, id, _raw FROM {target}
        WHERE (account_id > {parameter} OR (account_id = {parameter} AND id > {parameter}))
          AND ({likes})
        ORDER BY account_id, id LIMIT {int(limit)}"""


def _set(assignments: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{identifier(name)} = {expression}" for name, expression in assignments)


def _count(condition: str) -> str:
    return f"coalesce(sum(CASE WHEN {condition} THEN 1 ELSE 0 END), 0)"
