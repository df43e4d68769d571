"""The table of unverified facts names switches and tests that exist."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from airflow_provider_stripe_app.testing.faults import ACTIONS
from airflow_provider_stripe_app.testing.switches import Switches

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "uncertain-facts.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| fact")
]


def test_every_switch_of_the_table_exists() -> None:
    known = {field.name for field in dataclasses.fields(Switches)} | set(ACTIONS)
    named = [re.findall(r"`(\w+)`", row[2]) for row in ROWS]
    assert len(named) >= 19
    assert all(named)
    assert {name for names in named for name in names} <= known


def test_every_test_of_the_table_exists() -> None:
    sources = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("test_*.py"))
    named = [re.findall(r"`(test_\w+)`", row[4]) for row in ROWS]
    assert all(named)
    for name in {name for names in named for name in names}:
        assert f"def {name}(" in sources, name
