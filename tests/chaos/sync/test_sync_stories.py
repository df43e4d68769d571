"""Random writes, weather, kills and runs of all kinds; at rest every table equals Stripe.

``make chaos`` tells a thousand stories. A failing seed replays, and its steps are in the message:
``CHAOS_SEEDS=17 pytest tests/chaos/sync/test_sync_stories.py -k sqlite``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.chaos.sync.sizes import LONG, STEPS, is_over, seeds
from tests.chaos.sync.story import Story

CASES = [
    *(("sqlite", seed) for seed in seeds("1-2")),
    *(("duckdb", seed) for seed in seeds("4", share=25)),
    *(("postgres", seed) for seed in seeds("5", share=10)),
]


@pytest.mark.parametrize(("kind", "seed"), CASES, ids=str)
def test_at_rest_the_tables_equal_stripe(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, seed: int
) -> None:
    if is_over():
        pytest.skip("the time of CHAOS_MINUTES is over")
    where: Any = request.getfixturevalue("postgres_warehouse") if kind == "postgres" else ""
    story = Story(seed, tmp_path, kind, where)
    try:
        found = story.tell(STEPS if LONG or kind == "sqlite" else STEPS // 3)
    except BaseException:
        print("\n".join(story.steps))
        raise
    assert not found, "\n".join([*story.steps, "", *found])
