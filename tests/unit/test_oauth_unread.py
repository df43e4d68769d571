"""A connection that tasks do not read from the database is told, with what mends it."""

from __future__ import annotations

import pytest

from airflow_provider_stripe_app.oauth.install_target import Row
from airflow_provider_stripe_app.oauth.unread import why_unread

OURS = Row("stripe_app", "sales")


@pytest.mark.parametrize(
    ("row", "place", "teams", "says"),
    [
        (OURS, None, True, ""),
        (Row("stripe_app", None), None, False, ""),
        (OURS, "the secrets backend VaultBackend", True, "from the secrets backend VaultBackend"),
        (None, "an environment variable (AIRFLOW_CONN_SHOP)", True, "(AIRFLOW_CONN_SHOP), which"),
        (None, None, True, "was deleted, but its installation is kept: create it again"),
        (Row("http", "sales"), None, True, "is of type 'http' now, but"),
        (Row("stripe_app", "other"), None, True, "to team other now, but its installation is kept"),
        (Row("stripe_app", None), None, True, "belongs to all teams now, but"),
    ],
)
def test_sentence_says_what_happened_and_what_mends_it(row, place, teams, says):
    found = why_unread("shop", "sales", row, place, teams=teams)
    assert bool(found) == bool(says)
    assert says in found
    assert not found or found.startswith("Connection shop ")
    assert row is None or row.team_name == "sales" or not teams or "give it to team sales" in found
