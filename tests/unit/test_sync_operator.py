"""The operator's own decisions: arguments, assets, and which errors end a task for good."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    BaseOperator,
)

from airflow_provider_stripe_app.api.errors import PermissionMissing, ServerTrouble
from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    TokenUnavailable,
)
from airflow_provider_stripe_app.operators.sync import (
    StripeSyncOperator,
    translated,
    unix_seconds,
)
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
