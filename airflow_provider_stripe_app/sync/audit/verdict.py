"""What a difference between a row and Stripe means: pure decisions.

Equal means: the same living ids, and ``_raw`` is, as canonical JSON, what Stripe returns now.
Fields that differ at every read do not count; fields that Stripe changes without an event count
apart (*silent*). Beyond that the columns must hold what ``_raw`` says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from airflow_provider_stripe_app.streams.model import Stream
from airflow_provider_stripe_app.streams.rows import canonical_value
from airflow_provider_stripe_app.warehouse.base import Marks, Obligation, StoredRow

Kind = Literal["missing", "extra", "different", "silent"]
KINDS: tuple[Kind, ...] = ("missing", "extra", "different", "silent")

COLUMN = "column "
"""Stands before the name of a column that does not hold what ``_raw`` says."""

MOST_FIELDS = 20
"""Fields named per row."""

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One row that is not what it should be.

    :param parent: id of the top-level object that it belongs to; its own for a top-level row.
    :param fields: paths in the JSON, and columns behind :data:`COLUMN`.
    :param heals: a sync mends it when it reads the object again. It does not rewrite columns of
        rows whose JSON is right.
    """

    table: str
    id: str
    parent: str
    kind: Kind
    fields: tuple[str, ...] = ()
    heals: bool = True


def differences(stream: Stream, stored: str, true: str) -> tuple[list[str], list[str]]:
    """Return which fields of two JSON texts differ.

    :param stored: ``_raw`` of a row; anything, since a person may have edited it.
    :param true: what Stripe returns.
    :return: (fields that must not differ, fields that Stripe changes without an event).
    """
    if stored == true:
        return [], []
    try:
        one = canonical_value(stored)
    except (ValueError, RecursionError):
        return ["_raw"], []
    paths = [
        path
        for path in differing_paths(one, canonical_value(true))
        if not _under(path, stream.volatile)
    ]
    loud = [".".join(path) or "_raw" for path in paths if not _under(path, stream.silent)]
    silent = [".".join(path) for path in paths if _under(path, stream.silent)]
    return loud, silent


def differing_paths(one: Any, other: Any, path: Path = ()) -> list[Path]:
    """Return where two decoded values differ; ``[]`` in a path is any element of a list."""
    if isinstance(one, dict) and isinstance(other, dict):
        found: list[Path] = []
        for key in sorted(one.keys() | other.keys()):
            if key in one and key in other:
                found += differing_paths(one[key], other[key], (*path, key))
            else:
                found.append((*path, key))
        return found
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        inner = (differing_paths(a, b, (*path, "[]")) for a, b in zip(one, other, strict=True))
        return list(dict.fromkeys(chain.from_iterable(inner)))
    # True equals 1 in Python, not in JSON; 1 and 1.0 are the same number in both.
    same = one == other and isinstance(one, bool) == isinstance(other, bool)
    return [] if same else [path]


def _under(path: Path, prefixes: Iterable[Path]) -> bool:
    return any(path[: len(prefix)] == prefix for prefix in prefixes)


def judge(
    stream: Stream, object_id: str, parent: str, stored: StoredRow | None, true: str
) -> Finding | None:
    """Say what is wrong with the row of an object that Stripe has.

    :param stored: the row; ``None`` if there is none.
    :param true: the object's JSON as Stripe returns it.
    :return: ``None`` if it is right.
    """
    if stored is None:
        return Finding(stream.name, object_id, parent, "missing")
    loud, silent = differences(stream, stored.raw, true)
    columns = [COLUMN + name for name in stored.wrong]
    if stored.is_deleted:
        fields = ("is_deleted", *loud, *columns)
        return Finding(stream.name, object_id, parent, "missing", fields[:MOST_FIELDS])
    if loud or columns:
        fields = (*loud, *columns)[:MOST_FIELDS]
        return Finding(stream.name, object_id, parent, "different", fields, heals=bool(loud))
    if silent:
        return Finding(stream.name, object_id, parent, "silent", tuple(silent[:MOST_FIELDS]))
    return None


Fate = Literal["moved", "due", "stands"]


def fate(seen_at: int | None, now: Marks, event: Obligation | None) -> Fate:
    """Say whether what was found of an object can be called a difference.

    :param seen_at: version of the top-level row when it was looked at.
    :param now: how far that row is now, after every event that could explain it is visible.
    :param event: the newest event that the change feed has still to read.
    :return: ``moved``: a sync has written it meanwhile; ``due``: a sync will, because it has not
        closed an event of it; ``stands``: nobody will.
    """
    if now.version != seen_at:
        return "moved"
    open_ones = (one for one in (event, now.owed) if one is not None and is_open(one, now))
    return "due" if any(open_ones) else "stands"


def is_due(finding: Finding, of_object: Fate) -> bool:
    """Tell whether a sync will mend a finding by itself, or was just about to."""
    healing = of_object == "moved" or (of_object == "due" and finding.heals)
    return healing and finding.kind != "silent"


def is_open(owed: Obligation, row: Marks) -> bool:
    """Tell whether a row does not close an event, by the rule of EQUALITY §1."""
    if row.version is None:
        return True
    by_itself = row.version == owed.closes_at * 10 + 1 and row.event_id == owed.event_id
    return row.version < owed.closes_at * 10 + 2 and (owed.ambiguous or not by_itself)


def cheaper_to_list(suspects: int, objects: int) -> bool:
    """Tell whether listing everything again costs fewer requests than one for each suspect.

    A list of halved ranges takes up to half as many pages again as there are objects in hundreds.
    """
    return suspects > 200 and suspects > objects / 100 * 1.5
