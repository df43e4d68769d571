"""The statements of a merge, as text; pure functions that know tables but no connection.

A merge stages rows into the temporary table :data:`STAGE`, decides once which of them win
(:data:`WON`, narrow: keys and flags only), types the winners and writes. Documents that fit their
columns are typed while they are written; the others by way of :data:`TYPED` (from :data:`PARSED`
where that pays), so that what does not fit can be counted. The winning *parents* are kept in
:data:`PARENTS` while their children are merged.

Whatever differs between engines is in :class:`~.dialect.Dialect`; what is here is plain SQL.
Values that come from outside are either staged or passed through :func:`literal`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from airflow_provider_stripe_app.streams.model import ColumnType

STAGE = "_stripe_sync_stage"
WON = "_stripe_sync_won"
SAME = "_stripe_sync_same"
PARSED = "_stripe_sync_parsed"
TYPED = "_stripe_sync_typed"
PARENTS = "_stripe_sync_parents"
VANISHED = "_stripe_sync_vanished"

STAGE_COLUMNS: tuple[tuple[str, ColumnType], ...] = (
    ("seq", "bigint"),
    ("account_id", "text"),
    ("id", "text"),
    ("version", "bigint"),
    ("deleted_at", "bigint"),
    ("event_id", "text"),
    ("livemode", "boolean"),
    ("parent_id", "text"),
    ("fits", "boolean"),
    ("raw", "text"),
    ("typed_from", "text"),
)
"""Name and :data:`~airflow_provider_stripe_app.streams.model.ColumnType` of what is staged."""

KEY = ("account_id", "id")
"""Primary key of every stream's table."""

BY_KEY = "t.account_id = w.account_id AND t.id = w.id"

TO_CONFIRM = "w.deleted_at IS NULL AND w.same_raw AND NOT w.is_new"
"""Living winners whose JSON is what we have: version and marks only."""

TO_BURY = "w.deleted_at IS NOT NULL AND NOT w.is_new"
"""Rows that become tombstones; their columns and ``_raw`` stay (base.StagedRow)."""

_TO_TYPE = "(w.is_new OR (w.deleted_at IS NULL AND NOT w.same_raw))"


def identifier(name: str) -> str:
    """Quote an identifier.

    :param name: any text without NUL.
    """
    if "\0" in name:
        raise ValueError("an identifier cannot hold NUL")
    return '"' + name.replace('"', '""') + '"'


def names(columns: Iterable[str]) -> str:
    """Return a list of quoted identifiers."""
    return ", ".join(map(identifier, columns))


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


def assign(assignments: Iterable[tuple[str, str]]) -> str:
    """Return what follows SET."""
    return ", ".join(f"{identifier(name)} = {expression}" for name, expression in assignments)


def insert(target: str, columns: Iterable[str], select: str) -> str:
    """Insert the rows of a select, none of which is there."""
    return f"INSERT INTO {target} ({names(columns)}) {select}"


def beats(version: str, pinned: str, *, with_children: bool) -> str:
    """Return the condition under which a staged version overwrites the row ``t``.

    A living row in the shape of another API version does not count as read: whatever was read in
    ours is let in. Nor does a living parent whose children were never read (they were not synced
    then): a version that brings its children is let in. Should the one let in be older, then the
    change between the two lies within the feed's overlap, which reopens the row.

    :param version: the staged version.
    :param pinned: our API version.
    :param with_children: whether the batch brings complete child sets.
    """
    ways = [f"t._version < {version}", f"({of_another(pinned)} AND {version} % 10 = 2)"]
    if with_children:
        ways.append("(t._children_version IS NULL AND NOT t.is_deleted)")
    return f"({' OR '.join(ways)})"


def of_another(pinned: str) -> str:
    """Return the condition that the living row ``t`` has the shape of another API version."""
    return f"(t._api_version <> {literal(pinned)} AND NOT t.is_deleted)"


def winners(target: str, stage: str, pinned: str, *, with_children: bool) -> str:
    """Select the staged rows that win: one per id, newer than the target's row or new.

    Highest version first, the last staged among equals (EQUALITY §5). Whether the JSON is the same
    is looked at later (:func:`same`), and only if a winner has a row already: documents are not
    read here.
    """
    newer = beats("s.version", pinned, with_children=with_children)
    return f"""
        SELECT s.seq, s.account_id, s.id, s.version, s.deleted_at, s.event_id, s.fits,
               t.id IS NULL AS is_new,
               coalesce(t.is_deleted, FALSE) AS was_deleted,
               FALSE AS same_raw,
               t._load_id AS load_id, t._children_version AS children_version
        FROM (SELECT seq, account_id, id, version, deleted_at, event_id, fits,
                     row_number() OVER (PARTITION BY account_id, id
                                        ORDER BY version DESC, seq DESC) AS place
              FROM {stage}) AS s
        LEFT JOIN {target} AS t ON t.account_id = s.account_id AND t.id = s.id
        WHERE s.place = 1 AND (t.id IS NULL OR {newer})"""


def winning_children(target: str, stage: str, parents: str, pinned: str) -> str:
    """Select the staged children of living parents that won; version and event are the parent's."""
    return f"""
        SELECT s.seq, s.account_id, s.id, s.parent_version AS version,
               s.deleted_at, s.parent_event AS event_id, s.fits,
               t.id IS NULL AS is_new,
               coalesce(t.is_deleted, FALSE) AS was_deleted,
               FALSE AS same_raw,
               t._load_id AS load_id, t._children_version AS children_version
        FROM (SELECT c.seq, c.account_id, c.id, c.deleted_at, c.fits,
                     p.version AS parent_version, p.event_id AS parent_event,
                     row_number() OVER (PARTITION BY c.account_id, c.id
                                        ORDER BY p.version DESC, c.seq DESC) AS place
              FROM {stage} AS c
              JOIN {parents} AS p ON p.id = c.parent_id AND p.deleted_at IS NULL) AS s
        LEFT JOIN {target} AS t ON t.account_id = s.account_id AND t.id = s.id
        WHERE s.place = 1 AND (t.id IS NULL OR s.parent_version > t._version
                               OR {of_another(pinned)})"""


def same(rows: str, won: str, stage: str) -> str:
    """Select the winners whose JSON is what their row has.

    :param rows: the target, see :meth:`~.dialect.Dialect.keyed`.
    """
    return f"""
        SELECT w.seq
        FROM {won} AS w JOIN {stage} AS s ON s.seq = w.seq
        JOIN {rows} AS t ON {BY_KEY}
        WHERE NOT w.is_new AND t._raw = s.raw"""


def note_same(won: str, seqs: str) -> str:
    """Note which winners :func:`same` found."""
    return f"UPDATE {won} SET same_raw = TRUE WHERE seq IN (SELECT seq FROM {seqs})"


def parents(won: str) -> str:
    """Select what children need to know of the parents that won."""
    return f"SELECT id, version, deleted_at, event_id FROM {won}"


def counts(won: str, stage: str) -> str:
    """Count distinct staged ids, winners, new ones, those that were deleted, and that delete."""
    return f"""
        SELECT (SELECT count(DISTINCT id) FROM {stage}), count(*),
               {_count("w.is_new")},
               {_count("w.is_new AND w.deleted_at IS NULL")},
               {_count("w.deleted_at IS NOT NULL AND NOT w.was_deleted")}
        FROM {won} AS w"""


def kinds(won: str) -> str:
    """Count the updated; what is to be typed, fitting and not; to be confirmed; to be buried."""
    changed = "NOT w.is_new AND w.deleted_at IS NULL AND (w.was_deleted OR NOT w.same_raw)"
    return f"""
        SELECT {_count(changed)}, {_count(f"{_TO_TYPE} AND w.fits")},
               {_count(f"{_TO_TYPE} AND NOT w.fits")}, {_count(TO_CONFIRM)}, {_count(TO_BURY)}
        FROM {won} AS w"""


def to_write(won: str, stage: str, fits: bool | None) -> str:
    """Select the winners to be typed and written: new ones, and living ones whose JSON changed.

    ``doc`` is the JSON text that is safe to type.

    :param fits: only those that fit their columns, or only the others; ``None`` for all.
    """
    which = {True: " AND w.fits", False: " AND NOT w.fits", None: ""}[fits]
    return f"""
        SELECT w.seq, w.account_id, w.id, w.version, w.deleted_at, w.event_id, s.livemode,
               s.parent_id, s.raw, coalesce(s.typed_from, s.raw) AS doc,
               w.load_id, w.children_version
        FROM {stage} AS s JOIN {won} AS w ON w.seq = s.seq
        WHERE {_TO_TYPE}{which}"""


def displaced(target: str, won: str) -> str:
    """Delete the rows that are about to be written anew; ``won`` has all that is kept of them."""
    return f"DELETE FROM {target} AS t USING {won} AS w WHERE {BY_KEY} AND {_TO_TYPE}"


def vanished(
    target: str, parents_table: str, parent_column: str, account_id: str, pinned: str
) -> str:
    """Select the children that the winning parents no longer have.

    Children that were in the set carry the parent's version by now, so the older ones were not
    in it; a dead parent has no set, so all of its living children are older. Nor were those in it
    that still have the shape of another API version.
    """
    # CROSS JOIN: SQLite reads the tables in the order written, and the child's index helps.
    return f"""
        SELECT t.account_id, t.id, w.version, w.deleted_at, w.event_id
        FROM {parents_table} AS w CROSS JOIN {target} AS t
        WHERE t.account_id = {literal(account_id)} AND t.{identifier(parent_column)} = w.id
          AND NOT t.is_deleted AND (t._version < w.version OR {of_another(pinned)})"""


def mark_seen(target: str, stage: str, account_id: str, load_id: int) -> str:
    """Note on every staged row, winner or not, that a full load has seen it (EQUALITY §3)."""
    return f"""
        UPDATE {target} SET _load_id = {int(load_id)}
        WHERE account_id = {literal(account_id)} AND id IN (SELECT id FROM {stage})
          AND (_load_id IS NULL OR _load_id <> {int(load_id)})"""


def count(table: str) -> str:
    """Count the rows of a table."""
    return f"SELECT count(*) FROM {table}"


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


def _count(condition: str) -> str:
    return f"coalesce(sum(CASE WHEN {condition} THEN 1 ELSE 0 END), 0)"
