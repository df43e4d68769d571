"""Random batches: a warehouse ends where a few lines of Python say it must."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

import pytest

from airflow_provider_stripe_app.api.split import Json
from airflow_provider_stripe_app.testing.warehouses.lab import Place, gone, merge, part, thing
from airflow_provider_stripe_app.warehouse.base import StagedChild, StagedRow, TableChange
from airflow_provider_stripe_app.warehouse.transaction import SqlWarehouse


@dataclass
class Model:
    """What base.py promises, one row at a time.

    :ivar things: id → (version, raw, deleted).
    :ivar parts: id → (version, parent, raw, deleted).
    """

    things: dict[str, tuple[int, Json, bool]] = field(default_factory=dict)
    parts: dict[str, tuple[int, str, Json, bool]] = field(default_factory=dict)

    def merge(self, rows: list[StagedRow], parts: list[StagedChild]) -> dict[str, TableChange]:
        best: dict[str, StagedRow] = {}
        for row in rows:
            if row.id not in best or row.version >= best[row.id].version:
                best[row.id] = row
        won = {
            id_: row
            for id_, row in best.items()
            if id_ not in self.things or row.version > self.things[id_][0]
        }
        inserted = updated = deleted = 0
        for id_, row in won.items():
            _, raw, dead = self.things.get(id_, (0, row.raw, False))
            if row.deleted_at is not None:
                deleted += not dead
                self.things[id_] = (row.version, raw, True)
                continue
            inserted += id_ not in self.things
            updated += id_ in self.things and (dead or raw != row.raw)
            self.things[id_] = (row.version, row.raw, False)
        unchanged = len(best) - inserted - updated - deleted
        return {
            "things": TableChange(inserted, updated, deleted, unchanged),
            "parts": self._merge_parts(won, parts),
        }

    def _merge_parts(self, won: dict[str, StagedRow], parts: list[StagedChild]) -> TableChange:
        inserted = updated = deleted = 0
        living = {id_: row.version for id_, row in won.items() if row.deleted_at is None}
        staged: dict[str, StagedChild] = {}
        for child in parts:
            if child.parent_id in living and (
                child.id not in staged
                or living[child.parent_id] >= living[staged[child.id].parent_id]
            ):
                staged[child.id] = child
        for id_, child in staged.items():
            version = living[child.parent_id]
            old = self.parts.get(id_)
            if old is not None and version <= old[0]:
                continue
            inserted += old is None
            updated += old is not None and (old[3] or old[2] != child.raw)
            self.parts[id_] = (version, child.parent_id, child.raw, False)
        for id_, (version, parent, raw, dead) in self.parts.items():
            if parent in won and not dead and version < won[parent].version:
                deleted += 1
                self.parts[id_] = (won[parent].version, parent, raw, True)
        unchanged = len({child.id for child in parts}) - inserted - updated
        return TableChange(inserted, updated, deleted, unchanged)


def random_batch(rng: random.Random) -> tuple[list[StagedRow], list[StagedChild]]:
    """Return rows with few ids and few versions, so that repeats, ties and stale rows abound."""
    rows, parts = [], []
    for id_ in rng.choices(["t1", "t2", "t3", "t4"], k=rng.randint(0, 5)):
        version = rng.randint(1, 40)
        if rng.random() < 0.25:
            rows.append(gone(id_, version, version // 10))
        else:
            rows.append(thing(id_, version, amount=rng.randint(1, 2)))
    for parent in dict.fromkeys(row.id for row in rows):
        parts += [
            part(parent, rng.choice("abcdef"), rng.randint(1, 2)) for _ in range(rng.randint(0, 3))
        ]
    return rows, parts


class ModelContract:
    """What base.py promises holds for any sequence of batches."""

    @pytest.mark.parametrize("seed", range(3))
    def test_random_batches_end_where_the_model_says(
        self, place: Place, warehouse: SqlWarehouse, seed: int
    ) -> None:
        model, rng = Model(), random.Random(seed)
        for turn in range(15):
            rows, parts = random_batch(rng)
            assert (turn, merge(warehouse, rows, parts)) == (turn, model.merge(rows, parts))
        things = {
            r["id"]: (r["_version"], r["_raw"], r["is_deleted"]) for r in place.rows("things")
        }
        found = {
            r["id"]: (r["_version"], r["thing"], r["_raw"], r["is_deleted"])
            for r in place.rows("parts")
        }
        assert (things, found) == (model.things, model.parts)
        for row in place.rows("things"):
            # Typed columns follow the row's own JSON, tombstone or not.
            assert row["amount"] == json.loads(row["_raw"]).get("amount")
