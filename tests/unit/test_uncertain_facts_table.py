"""The table of unverified facts names switches and tests that exist, and leaves no switch out."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

from airflow_provider_stripe_app.testing import SimulatedStripe
from airflow_provider_stripe_app.testing.faults import ACTIONS
from airflow_provider_stripe_app.testing.oauth_model import OAuthSwitches
from airflow_provider_stripe_app.testing.switches import Switches

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "uncertain-facts.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| fact")
]
ARGUMENTS = {
    name
    for method in (SimulatedStripe.register_app, SimulatedStripe.install)
    for name in inspect.signature(method).parameters
}
KNOWN = {
    "": {field.name for field in dataclasses.fields(Switches)},
    "argument": ARGUMENTS,
    "fault": set(ACTIONS),
}


def test_every_row_names_switches_that_exist() -> None:
    assert len(ROWS) >= 30
    for row in ROWS:
        kind = row[2].partition("`")[0].strip()
        named = re.findall(r"`(\w+)`", row[2])
        assert named, row
        assert set(named) <= KNOWN[kind], row


def test_every_test_of_the_table_exists() -> None:
    sources = "\n".join(
        p.read_text(encoding="utf-8")
        for p in (ROOT / "tests").rglob("test_*.py")
        if "test_sim" not in p.name
    )
    for row in ROWS:
        named = re.findall(r"`(test_\w+)`", row[4])
        assert named, row
        for name in named:
            assert f"def {name}(" in sources, f"no test of the provider is called {name}"


def test_every_switch_that_is_reported_or_inferred_is_in_the_table() -> None:
    doubtful: set[str] = set()
    for switches in (Switches, OAuthSwitches):
        for entry in (switches.__doc__ or "").split(":param ")[1:]:
            if re.search(r"\[[^\]]*(?:field|infer)|: field|field,|infer\]", entry):
                doubtful.add(entry.partition(":")[0])
    assert {"revoke_after_refresh", "token_idempotency", "permission_answer"} <= doubtful
    named = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[2])}
    assert doubtful <= named, f"not in docs/uncertain-facts.md: {sorted(doubtful - named)}"
