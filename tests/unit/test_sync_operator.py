"""The operator's own decisions: arguments, assets, and which errors end a task for good."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
)

from airflow_provider_stripe_app.api.errors import PermissionMissing, ServerTrouble
from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    TokenUnavailable,
)
from airflow_provider_stripe_app.operators.limits import daily_cap, read_budget, relist_days
from airflow_provider_stripe_app.operators.reports import Task, reports_of_summary
from airflow_provider_stripe_app.operators.sync import (
    StripeSyncOperator,
    translated,
    unix_seconds,
)
from airflow_provider_stripe_app.streams.catalog import resolve_streams
from airflow_provider_stripe_app.sync.budget import reached
from airflow_provider_stripe_app.sync.summary import RunSummary, SyncFailed
from airflow_provider_stripe_app.warehouse.base import WarehouseError


def operator(**arguments: object) -> StripeSyncOperator:
    given = {"task_id": "sync", "streams": ["customers"], "warehouse_conn_id": "w", **arguments}
    return StripeSyncOperator(**given)  # type: ignore[arg-type]


def test_tables_are_asset_outlets() -> None:
    made = operator(stripe_app_conn_id="acme", streams=["customers", "invoices"])
    assert [asset.uri for asset in made.outlets] == [
        "stripe://acme/customers",
        "stripe://acme/invoices",
    ]


def test_templates_are_no_asset_names() -> None:
    assert operator(stripe_app_conn_id="{{ params.account }}").outlets == []
    assert operator(streams="{{ params.streams }}").outlets == []


def test_airflows_own_start_date_filters_no_data() -> None:
    made = operator(start_date=datetime(2026, 1, 1, tzinfo=timezone.utc))
    assert made.sync_start_date is None
    assert isinstance(made, BaseOperator)
    assert made.start_date is not None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("2024-01-01", 1_704_067_200),
        ("2024-01-01T00:00:00Z", 1_704_067_200),
        ("2024-01-01T02:00:00+02:00", 1_704_067_200),
        (datetime(2024, 1, 1), 1_704_067_200),
    ],
)
def test_start_dates_are_utc_unless_they_say_otherwise(
    text: str | None, seconds: int | None
) -> None:
    assert unix_seconds(text) == seconds


def test_a_wrong_start_date_says_how_to_write_one() -> None:
    with pytest.raises(ConfigurationError, match="2024-01-31"):
        unix_seconds("last tuesday")


SUMMARY = RunSummary("acct_1", livemode=False)
DENIED = PermissionMissing("the permission invoice_read is missing", permission="invoice_read")
DOWN = ServerTrouble("Stripe could not answer")


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("wrong"),
        ReauthorizationRequired("install again"),
        SyncFailed({"invoices": DENIED}, SUMMARY),
    ],
)
def test_what_a_retry_cannot_mend_fails_for_good(error: Exception) -> None:
    made = translated(error, operator().warehouse_conn_id)  # type: ignore[arg-type]
    assert isinstance(made, AirflowFailException)
    assert str(error) in str(made)


def test_trouble_with_the_warehouse_names_its_connection() -> None:
    made = translated(WarehouseError("cannot be reached"), "snow")
    assert "'snow'" in str(made)
    assert not isinstance(made, AirflowFailException)


@pytest.mark.parametrize(
    "error",
    [
        TokenUnavailable("later"),
        SyncFailed({"customers": DOWN}, SUMMARY),
        SyncFailed({"customers": DOWN, "invoices": DENIED}, SUMMARY),
    ],
)
def test_what_a_retry_may_mend_is_retried(error: Exception) -> None:
    made = translated(error, operator().warehouse_conn_id)  # type: ignore[arg-type]
    assert isinstance(made, AirflowException)
    assert not isinstance(made, AirflowFailException)


@pytest.mark.parametrize("nothing", [None, "", "None", " "])
def test_no_limit_is_no_limit(nothing: str | None) -> None:
    assert daily_cap(nothing) is None
    assert read_budget(nothing) is None


def test_limits_come_as_numbers_or_from_templates() -> None:
    assert daily_cap(5000) == daily_cap("5000") == daily_cap(" 5_000 ") == 5000
    assert read_budget("1") == 1


@pytest.mark.parametrize("wrong", [249, "249", "-5", "many", "1.5", "²", True])
def test_a_wrong_limit_says_what_it_is(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_requests_per_day must be a whole number"):
        daily_cap(wrong)


def stopped() -> RunSummary:
    summary = RunSummary("acct_1", livemode=False)
    summary.reads = {"days": 30, "spent": 7, "budget": 10_000, "share": 0.0007}
    summary.unfinished["invoices"] = str(reached("acct_1", 100, 95, 5))
    return summary


def test_a_run_that_the_cap_stopped_is_skipped_and_tells_what_it_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = operator(streams=["customers", "invoices"])
    monkeypatch.setattr(made, "_sync_and_tell", lambda *_: stopped())
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    with pytest.raises(AirflowSkipException, match=r"Not finished: invoices.*95 of its 100"):
        made.execute({"ti": ti})  # type: ignore[typeddict-item]
    assert pushed["return_value"]["unfinished"] == stopped().unfinished


def test_an_unfinished_stream_is_reported_as_such_and_so_are_its_children() -> None:
    streams = resolve_streams(["customers", "invoice_line_items"])
    reports = reports_of_summary(stopped(), streams, "w", Task())
    told = {report.stream: (report.ok, report.error) for report in reports}
    assert told["customers"] == (True, None)
    for unfinished in ("invoices", "invoice_line_items"):
        ok, error = told[unfinished]
        assert not ok
        assert "Not finished, the next run goes on" in str(error)


@pytest.mark.parametrize(
    ("value", "days"),
    [(7, 7.0), ("14", 14.0), (0.5, 0.5), (None, None), ("", None), ("None", None)],
)
def test_days_until_everything_is_listed_again_come_from_numbers_and_templates(
    value: Any, days: float | None
) -> None:
    assert relist_days(value) == days


@pytest.mark.parametrize("value", [0, -1, "nan", "inf", "weekly"])
def test_days_that_cannot_be_are_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="relist_days must be a number of days above 0"):
        relist_days(value)


def test_a_week_passes_at_most_unless_the_dag_says_otherwise() -> None:
    context = {"ti": SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)}
    assert operator()._options(context).relist_days == 7.0  # type: ignore[arg-type]
    assert operator(relist_days=None)._options(context).relist_days is None  # type: ignore[arg-type]


def test_tasks_of_a_dag_run_share_what_they_read_and_others_do_not() -> None:
    def group(task: str, run: str) -> str:
        ti = SimpleNamespace(dag_id="d", task_id=task, run_id=run, map_index=-1)
        return operator()._options({"ti": ti}).group  # type: ignore[typeddict-item]

    assert group("a", "run 1") == group("b", "run 1") != group("a", "run 2")


def test_limits_reach_the_run() -> None:
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)
    made = operator(read_budget="20000", max_requests_per_day=1000)
    options = made._options({"ti": ti})  # type: ignore[typeddict-item]
    assert (options.read_budget, options.max_requests) == (20_000, 1000)
