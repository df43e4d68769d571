"""A sync can die at every request and every statement, and the next one ends with equal tables.

``make test`` takes some of these points, ``make chaos`` (``CRASH_EVERY=1``) all.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.sync.figures import TALLY
from tests.chaos.sync.points import points
from tests.chaos.sync.processes import Process
from tests.chaos.sync.sizes import EVERY
from tests.integration.sync_lab import ALL


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.parametrize("loaded", [False, True], ids=["first load", "later run"])
def test_a_sync_that_dies_at_any_step_is_finished_by_the_next(
    tmp_path: Path, kind: str, loaded: bool
) -> None:
    with points(tmp_path, kind, loaded=loaded) as some:
        total = some.steps()
        for point in range(1, total + 1, EVERY if kind == "sqlite" else EVERY * 20):
            TALLY["crash points"] += 1
            assert some.differences(point) == [], point


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_a_process_that_kills_itself_at_a_step_is_succeeded(tmp_path: Path, kind: str) -> None:
    with points(tmp_path, kind, loaded=True) as some, Process() as process:
        total = some.steps()
        for point in range(1, total + 1, EVERY * (5 if kind == "sqlite" else 40)):
            some.begin_again()
            process.start(some.lab, ALL, dies_at=point, workers=1)
            assert process.end().killed, point
            TALLY["crash points"] += 1
            assert some.finish() == [], point
