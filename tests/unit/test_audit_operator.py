"""The audit operator's own decisions: when it fails, and what is left to read then."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_stripe_app.api.errors import PermissionMissing, ServerTrouble
from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.operators.audit import StripeAuditOperator
from airflow_provider_stripe_app.sync.audit.result import AuditResult, TableAudit
from airflow_provider_stripe_app.sync.audit.run import NotComparable
from airflow_provider_stripe_app.warehouse.base import WarehouseError


class Ti:
    """The part of a task instance that the operator uses."""

    dag_id, task_id, run_id, map_index = "prove", "audit", "manual", -1

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def run(monkeypatch: pytest.MonkeyPatch, outcome: Any, **arguments: Any) -> tuple[Any, Ti]:
    made = StripeAuditOperator(task_id="audit", warehouse_conn_id="w", **arguments)

    def audit(_: Any) -> AuditResult:
        if isinstance(outcome, Exception):
            raise outcome
        result: AuditResult = outcome
        return result

    monkeypatch.setattr(made, "_audit", audit)
    ti = Ti()
    try:
        return made.execute({"ti": ti}), ti  # type: ignore[typeddict-item]
    except AirflowException as error:
        return error, ti


def result(**numbers: int) -> AuditResult:
    return AuditResult("acct_1", False, {"customers": TableAudit(checked=10, **numbers)})


def test_differences_fail_the_task_for_good_and_stay_readable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error, ti = run(monkeypatch, result(different=2, unrepaired=2))
    assert type(error) is AirflowFailException
    assert "2 rows differ from Stripe (customers: 2)" in str(error)
    assert ti.pushed["return_value"]["tables"]["customers"]["different"] == 2


@pytest.mark.parametrize(
    ("outcome", "arguments"),
    [
        (result(equal=10), {}),
        (result(silent=3), {}),
        (result(not_yet_due=3), {}),
        (result(different=2, repaired=2), {"repair": True}),
        (result(different=2, unrepaired=2), {"fail_on_difference": False}),
    ],
)
def test_all_else_succeeds(
    monkeypatch: pytest.MonkeyPatch, outcome: AuditResult, arguments: dict[str, Any]
) -> None:
    told, ti = run(monkeypatch, outcome, **arguments)
    assert told == outcome.as_dict()
    assert ti.pushed == {}


def test_what_could_not_be_repaired_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    error, _ = run(monkeypatch, result(different=2, repaired=1, unrepaired=1), repair=True)
    assert type(error) is AirflowFailException


@pytest.mark.parametrize(
    ("error", "for_good"),
    [
        (PermissionMissing("the permission invoice_read is missing"), True),
        (ServerTrouble("Stripe could not answer"), False),
        (NotComparable("sync first"), False),  # a retry finds the sync done
        (WarehouseError("it is locked"), False),
    ],
)
def test_only_what_a_retry_cannot_mend_fails_for_good(
    monkeypatch: pytest.MonkeyPatch, error: StripeAppError, for_good: bool
) -> None:
    raised, _ = run(monkeypatch, error)
    assert isinstance(raised, AirflowFailException) is for_good
    assert str(error) in str(raised)
    assert ("'w'" in str(raised)) is isinstance(error, WarehouseError)
