"""Every point at which a sync can die, one after the other.

``make test`` takes some; ``CRASH_EVERY=1 pytest tests/integration/test_sync_every_crash.py``
takes all.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sync_lab import Lab, lab
from tests.integration.test_sync_equality import change_everything

EVERY = int(os.environ.get("CRASH_EVERY", "17"))


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it, the transaction is never committed."""


def sync_dying_at(one: Lab, point: int) -> int:
    """Sync, and die before statement ``point`` (0: never); return how many there were."""
    warehouse: Any = one.warehouse()
    made = 0

    def count(_: str) -> None:
        nonlocal made
        made += 1
        if point and made >= point:
            raise Killed

    warehouse.fault = count
    one.sync(warehouse=warehouse)
    return made


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.parametrize("loaded", [False, True], ids=["first load", "later run"])
def test_a_sync_that_dies_before_any_statement_is_finished_by_the_next(
    tmp_path: Path, kind: str, loaded: bool
) -> None:
    with lab(tmp_path, kind) as one:
        one.sim.populate(one.account, customers=12, invoices=6, subscriptions=4)
        one.settle()
        base = tmp_path / "base"
        if loaded:
            one.sync()
            change_everything(one)
            one.settle()
            shutil.copy(one.where, base)

        def begin_again() -> None:
            for leftover in tmp_path.glob("warehouse*"):
                leftover.unlink()
            if loaded:
                shutil.copy(base, one.where)

        begin_again()
        total = sync_dying_at(one, 0)
        one.assert_equal()
        step = EVERY if kind == "sqlite" else EVERY * 6
        for point in range(1, total + 1, step):
            begin_again()
            with pytest.raises(Killed):
                sync_dying_at(one, point)
            one.sync()
            wrong = [str(c) for c in one.compare() if not c.equal]
            assert not wrong, (point, wrong)
