"""What an audit has to remember, on the worker's disk, so that its memory does not grow.

About 50 bytes for each object, in a SQLite file that is deleted at the end. One thread uses it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.sync.audit.verdict import KINDS, Finding, Kind
from airflow_provider_stripe_app.sync.fetch import Whole
from airflow_provider_stripe_app.sync.reduce import newest
from airflow_provider_stripe_app.warehouse.base import Obligation

if TYPE_CHECKING:
    import sqlite3

_TABLES = """
    CREATE TABLE seen (name TEXT, id TEXT, PRIMARY KEY (name, id)) WITHOUT ROWID;
    CREATE TABLE suspect (unit TEXT, id TEXT, PRIMARY KEY (unit, id)) WITHOUT ROWID;
    CREATE TABLE look (unit TEXT, id TEXT, version INTEGER, whole BLOB, PRIMARY KEY (unit, id));
    CREATE TABLE event (unit TEXT, id TEXT, owed TEXT, PRIMARY KEY (unit, id)) WITHOUT ROWID;
    CREATE TABLE finding (
        name TEXT, id TEXT, unit TEXT, parent TEXT, kind TEXT, fields TEXT, heals INTEGER,
        due INTEGER, repaired INTEGER, PRIMARY KEY (name, id));
    CREATE INDEX finding_of ON finding (unit, parent);
"""


@dataclass(frozen=True, slots=True)
class Look:
    """What a second look at an object saw.

    :param version: of its row when the table was looked at; ``None`` without one.
    :param whole: the object as Stripe has it.
    """

    id: str
    version: int | None
    whole: Whole


class Spool:
    """Ids seen, suspects, looks and findings."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    # -- what Stripe has

    def see(self, name: str, ids: Iterable[str]) -> None:
        """Note that Stripe has objects of a stream."""
        self._many("INSERT OR IGNORE INTO seen VALUES (?, ?)", ((name, id_) for id_ in ids))

    def unseen(self, name: str, ids: Iterable[str]) -> set[str]:
        """Return those of some ids that Stripe has not."""
        return set(ids) - self._known("SELECT 1 FROM seen WHERE name = ? AND id = ?", name, ids)

    def seen(self, name: str) -> int:
        """Return how many objects of a stream Stripe has."""
        return self._number("SELECT count(*) FROM seen WHERE name = ?", name)

    # -- what is to be looked at again

    def suspect(self, unit: str, ids: Iterable[str]) -> None:
        """Note top-level objects that have to be looked at again."""
        self._many("INSERT OR IGNORE INTO suspect VALUES (?, ?)", ((unit, id_) for id_ in ids))

    def suspects(self, unit: str) -> int:
        """Return how many there are."""
        return self._number("SELECT count(*) FROM suspect WHERE unit = ?", unit)

    def next_suspects(self, unit: str, limit: int) -> list[str]:
        """Return some of them."""
        rows = self._db.execute(
            "SELECT id FROM suspect WHERE unit = ? ORDER BY id LIMIT ?", (unit, limit)
        )
        return [row[0] for row in rows]

    def suspected(self, unit: str, ids: Iterable[str]) -> set[str]:
        """Return those of some ids that are suspects."""
        return self._known("SELECT 1 FROM suspect WHERE unit = ? AND id = ?", unit, ids)

    # -- second looks

    def keep(self, unit: str, looked: Iterable[tuple[Look, Sequence[Finding]]]) -> None:
        """Take objects off the suspects; they stay known only if something was found."""
        looks = list(looked)
        self._many(
            "DELETE FROM suspect WHERE unit = ? AND id = ?", ((unit, one.id) for one, _ in looks)
        )
        self._many(
            "INSERT OR REPLACE INTO look VALUES (?, ?, ?, ?)",
            (
                (unit, one.id, one.version, msgspec.msgpack.encode(one.whole))
                for one, found in looks
                if found
            ),
        )
        self.find(unit, (finding for _, found in looks for finding in found))

    def take_looks(self, unit: str, limit: int) -> list[tuple[Look, list[Finding]]]:
        """Return some looks with their findings, and forget the looks."""
        rows = self._db.execute(
            "SELECT id, version, whole FROM look WHERE unit = ? LIMIT ?", (unit, limit)
        ).fetchall()
        self._many("DELETE FROM look WHERE unit = ? AND id = ?", ((unit, row[0]) for row in rows))
        return [
            (Look(id_, version, _whole(whole)), self._findings(unit, id_))
            for id_, version, whole in rows
        ]

    def hopes(self, unit: str) -> bool:
        """Tell whether an event could explain anything that was found in a second look."""
        return bool(
            self._number(
                "SELECT count(*) FROM finding AS f JOIN look AS l "
                "ON l.unit = f.unit AND l.id = f.parent "
                "WHERE f.unit = ? AND f.heals AND f.kind <> 'silent'",
                unit,
            )
        )

    def remember_events(self, owed: Iterable[Obligation]) -> None:
        """Note events; the newest one of each object stays."""
        kept = [newest(self.event(o.stream, o.id), o) for o in owed]
        self._many(
            "INSERT OR REPLACE INTO event VALUES (?, ?, ?)",
            ((o.stream, o.id, msgspec.json.encode(o).decode()) for o in kept),
        )

    def event(self, unit: str, object_id: str) -> Obligation | None:
        """Return the newest event of an object."""
        row = self._db.execute(
            "SELECT owed FROM event WHERE unit = ? AND id = ?", (unit, object_id)
        ).fetchone()
        return msgspec.json.decode(row[0], type=Obligation) if row else None

    # -- findings

    def find(self, unit: str, findings: Iterable[Finding]) -> None:
        """Note what is wrong."""
        self._many(
            "INSERT OR REPLACE INTO finding VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0)",
            (
                (f.table, f.id, unit, f.parent, f.kind, json.dumps(f.fields), f.heals)
                for f in findings
            ),
        )

    def drop(self, findings: Iterable[Finding]) -> None:
        """Forget findings: they have to be looked at again."""
        keys = ((f.table, f.id) for f in findings)
        self._many("DELETE FROM finding WHERE name = ? AND id = ?", keys)

    def mark(self, column: str, findings: Iterable[Finding]) -> None:
        """Mark findings as ``due`` or ``repaired``."""
        if column not in ("due", "repaired"):
            raise ValueError(column)
        keys = ((f.table, f.id) for f in findings)
        self._many(f"UPDATE finding SET {column} = 1 WHERE name = ? AND id = ?", keys)

    def strays(self, unit: str) -> list[Finding]:
        """Return some rows too many that belong to no object and are not repaired yet."""
        rows = self._db.execute(
            "SELECT name, id, parent, kind, fields, heals FROM finding "
            "WHERE unit = ? AND parent = '' AND NOT repaired LIMIT 500",
            (unit,),
        )
        return [_finding(row) for row in rows]

    def counts(self, name: str) -> dict[tuple[Kind, bool, bool], int]:
        """Return (kind, due, repaired) → how many findings of a table."""
        rows = self._db.execute(
            "SELECT kind, due, repaired, count(*) FROM finding WHERE name = ? GROUP BY 1, 2, 3",
            (name,),
        )
        return {(kind, bool(due), bool(done)): number for kind, due, done, number in rows}

    def examples(self, name: str, limit: int) -> dict[Kind, dict[str, tuple[str, ...]]]:
        """Return kind → id → fields for the first ids of each kind that are not only due."""
        out: dict[Kind, dict[str, tuple[str, ...]]] = {}
        for kind in KINDS:
            rows = self._db.execute(
                "SELECT id, fields FROM finding WHERE name = ? AND kind = ? AND NOT due "
                "ORDER BY id LIMIT ?",
                (name, kind, limit),
            ).fetchall()
            if rows:
                out[kind] = {id_: tuple(json.loads(fields)) for id_, fields in rows}
        return out

    # -- inside

    def _findings(self, unit: str, parent: str) -> list[Finding]:
        rows = self._db.execute(
            "SELECT name, id, parent, kind, fields, heals FROM finding "
            "WHERE unit = ? AND parent = ? AND NOT due AND NOT repaired",
            (unit, parent),
        )
        return [_finding(row) for row in rows]

    def _many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        self._db.execute("BEGIN")
        self._db.executemany(statement, rows)
        self._db.execute("COMMIT")

    def _known(self, statement: str, name: str, ids: Iterable[str]) -> set[str]:
        return {id_ for id_ in ids if self._db.execute(statement, (name, id_)).fetchone()}

    def _number(self, statement: str, name: str) -> int:
        return int(self._db.execute(statement, (name,)).fetchone()[0])


_decode_whole = msgspec.msgpack.Decoder(Whole).decode


def _whole(blob: bytes) -> Whole:
    return _decode_whole(blob)


def _finding(row: Sequence[Any]) -> Finding:
    name, id_, parent, kind, fields, heals = row
    return Finding(name, id_, parent, kind, tuple(json.loads(fields)), bool(heals))


@contextmanager
def spool() -> Iterator[Spool]:
    """Open a spool in the temporary directory (``TMPDIR``), and delete it at the end.

    :raises StripeAppError: if that directory is full or cannot be written.
    """
    import sqlite3

    with tempfile.TemporaryDirectory(prefix="stripe-audit-") as folder:
        connection = sqlite3.connect(Path(folder) / "spool.db", isolation_level=None)
        try:
            # It need not survive anything.
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA cache_size = -8192")
            connection.executescript(_TABLES)
            yield Spool(connection)
        except sqlite3.Error as error:
            raise StripeAppError(
                f"An audit keeps the ids it has seen in a file under {folder}, and that failed "
                f"({error}). Make room there, or set TMPDIR to a directory with room: about 50 MB "
                "for a million objects."
            ) from error
        finally:
            connection.close()
