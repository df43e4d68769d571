"""One health for page, status.json, command line and metrics: a word, how bad, what to do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from airflow_provider_stripe_app.oauth import health
from airflow_provider_stripe_app.oauth.words import NOT_MENDED, duration, iso, mode_words, relative

NOW = 1_800_000_000.0
DAY = 86400.0


@dataclass
class Status:
    conn_id: str = "shop"
    app_conn_id: str = "app"
    account_id: str = "acct_1"
    account_name: str | None = "Shop"
    livemode: bool = True
    status: str = "active"
    permissions_granted: list[str] | None = None
    permissions_pending: list[str] | None = None
    team_name: str | None = None
    installed_by: str | None = "airflow:ann"
    deployment_id: str | None = "production"
    access_expires_at: float = NOW + 2900
    refresh_expires_at: float = NOW + 300 * DAY
    generation: int = 3
    lease_until: float | None = None
    last_refreshed_at: float = NOW - 700
    last_used_at: float | None = None
    last_error: str | None = None
    last_error_at: float | None = None
    last_error_request_id: str | None = None
    created_at: float = NOW - 90 * DAY
    updated_at: float = NOW - 700
    heal_tries: int = 0
    heal_after: float | None = None


LOST = {"status": "reauthorization_required", "last_error": "the owner uninstalled the app."}


@dataclass
class Case:
    word: str
    kind: str
    says: str
    change: dict = field(default_factory=dict)
    deployment: str = ""
    missing: tuple[str, ...] = ()
    unread: str = ""


@pytest.mark.parametrize(
    "case",
    [
        Case(health.HEALTHY, "ok", "renewed by themselves"),
        Case(health.HEALTHY, "ok", "In order", deployment="production"),
        Case(health.REAUTHORIZE, "bad", "(the owner uninstalled the app). Press", LOST),
        Case(
            health.REAUTHORIZE,
            "bad",
            "(it is dead). Press Reauthorize: DAGs that use it fail until then. It could not be "
            "mended by itself: Stripe refused.",
            {**LOST, "last_error": f"it is dead{NOT_MENDED}Stripe refused"},
        ),
        Case(health.MENDING, "bad", "in 5 minutes", {**LOST, "heal_after": NOW + 300}),
        Case(health.MENDING, "bad", "by itself now", {**LOST, "heal_after": NOW - 1}),
        Case(health.EXPIRED, "bad", "Reauthorize", {"refresh_expires_at": NOW - 1}),
        Case(health.REAUTHORIZE, "bad", "Press Reauthorize", LOST, unread="It was deleted."),
        Case(health.UNREAD, "bad", "It was deleted.", unread="It was deleted."),
        Case(health.ELSEWHERE, "warn", "Take over", deployment="staging"),
        Case(
            health.ELSEWHERE,
            "bad",
            "'production'",
            {"access_expires_at": NOW},
            deployment="staging",
        ),
        Case(health.HEALTHY, "ok", "In order", {"deployment_id": None}, deployment="staging"),
        Case(
            health.TROUBLE,
            "warn",
            "1 minute ago: HTTP 503. It is tried again by itself",
            {"last_error": "HTTP 503", "last_error_at": NOW - 60},
        ),
        Case(
            health.TROUBLE,
            "bad",
            "HTTP 503",
            {"last_error": "HTTP 503", "last_error_at": NOW, "access_expires_at": NOW - 5},
        ),
        Case(health.MISSING, "warn", "need invoice_read", missing=("invoice_read",)),
        Case(
            health.APPROVAL,
            "warn",
            "approve",
            {"permissions_pending": ["invoice_read"]},
            missing=("invoice_read",),
        ),
        Case(health.EXPIRES_SOON, "warn", "in 5 days", {"refresh_expires_at": NOW + 5 * DAY}),
    ],
    ids=lambda case: f"{case.word}-{case.kind}",
)
def test_health_says_how_bad_it_is_and_what_to_do(case: Case) -> None:
    found = health.health_of(
        Status(**case.change),
        NOW,
        deployment=case.deployment,
        missing=case.missing,
        unread=case.unread,
    )
    assert (found.word, found.kind) == (case.word, case.kind)
    assert case.says in found.sentence
    assert ".." not in found.sentence
    assert found.word in health.WORDS


def test_report_is_json_with_times_errors_and_healing() -> None:
    one = Status(
        **LOST,
        last_error_at=NOW - 60,
        last_error_request_id="req_9",
        heal_tries=2,
        heal_after=NOW + 60,
    )
    made = json.loads(json.dumps(health.report(one, NOW, missing=["b", "a"])))
    assert made["healthy"] is False
    assert made["severity"] == "bad"
    assert made["access_token"] == {"expires_at": "2027-01-15T08:48:20Z", "expires_in": 2900}
    assert made["last_error"]["request_id"] == "req_9"
    assert made["healing"] == {"tries": 2, "next_at": "2027-01-15T08:01:00Z"}
    assert made["permissions"]["missing"] == ["a", "b"]
    assert health.report(Status(), NOW)["last_error"] is None
    assert health.report(Status(), NOW)["healing"] is None


def test_overview_is_unhealthy_if_one_installation_is() -> None:
    fine, warned = Status(conn_id="fine"), Status(conn_id="warned")
    made = health.overview([fine, warned], NOW, missing={"warned": ["invoice_read"]})
    assert made["healthy"] is True  # nothing fails now
    assert made["counts"] == {health.MISSING: 1, health.HEALTHY: 1}
    made = health.overview([fine, warned], NOW, unread={"warned": "It was deleted."})
    assert made["counts"] == {health.UNREAD: 1, health.HEALTHY: 1}
    made = health.overview([fine, Status(**LOST)], NOW)
    assert made["healthy"] is False
    assert [one["conn_id"] for one in made["installations"]] == ["fine", "shop"]
    assert health.overview([], NOW)["healthy"] is True


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (None, "never"),
        (NOW + 2900, "in 48 minutes"),
        (NOW - 60, "1 minute ago"),
        (NOW - 90000, "1 day ago"),
        (NOW - 3 * DAY, "3 days ago"),
        (NOW, "a moment ago"),
    ],
)
def test_times_are_words(moment: float | None, words: str) -> None:
    assert relative(moment, NOW) == words


def test_exact_times_are_utc() -> None:
    assert iso(NOW) == "2027-01-15T08:00:00Z"
    assert iso(None) is None
    assert duration(1.5) == "a moment"
    assert (mode_words(True), mode_words(False), mode_words(None)) == ("live", "test", "")
