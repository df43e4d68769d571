"""``docs/equality.md`` says which test holds which rule, and those tests are there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from rules_of_equality import AWAY, Away  # noqa: E402
from take_rules_away import table  # noqa: E402


def test_the_page_has_the_table_of_the_rules() -> None:
    page = (ROOT / "docs/equality.md").read_text().splitlines()
    assert [line for line in table() if line not in page] == []


@pytest.mark.parametrize("away", AWAY, ids=lambda a: f"{a.section} {a.rule}")
def test_the_test_of_a_rule_exists(away: Away) -> None:
    path, _, name = away.test.partition("::")
    name = name.rpartition("::")[2].partition("[")[0]
    places = [ROOT / path]
    if "TestWarehouse" in away.test:  # inherited from the contract's parts
        places = sorted((ROOT / "airflow_provider_stripe_app/testing/warehouses").glob("*.py"))
    assert any(f"def {name}(" in place.read_text() for place in places)
    assert (ROOT / away.file).exists()
