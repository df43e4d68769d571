"""The operator that proves tables equal to Stripe, and mends them where they are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    BaseOperator,
)

from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.hooks.stripe_app import StripeAppHook
from airflow_provider_stripe_app.operators.limits import Number, daily_cap, read_budget
from airflow_provider_stripe_app.operators.sync import (
    StripeDashboardLink,
    dashboard_address,
    owner_of,
    translated,
)
from airflow_provider_stripe_app.streams.catalog import resolve_streams

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stripe_app.sync.audit.options import AuditOptions
    from airflow_provider_stripe_app.sync.audit.result import AuditResult


class StripeAuditOperator(BaseOperator):
    """List Stripe again and compare every row and column with the tables.

    A sync may run meanwhile: what is suspicious is looked at again on both sides, and what the next
    sync changes by itself is *not yet due*, no difference. Without ``repair`` nothing is written.

    :param streams: names of the tables to compare, with their children; ``None`` for all that are
        synced into the warehouse.
    :param warehouse_conn_id: connection of the warehouse.
    :param stripe_app_conn_id: connection of type ``stripe_app``: an installation, or a restricted
        key.
    :param schema: schema of the tables; ``None`` for the warehouse's default.
    :param repair: write what differs as Stripe has it. Waits for a running sync, at most
        ``lease_wait`` seconds.
    :param fail_on_difference: fail if rows are wrong and stay so.
    :param examples: ids named in the result, per table and kind of difference.
    :param workers: requests under way at once, at most; fewer where fewer use the rate up.
    :param lease_wait: seconds.
    :param read_budget: see :class:`.StripeSyncOperator`.
    :param max_requests_per_day: as above; an audit that reaches it fails, and cannot be resumed.
    :return: per table what was checked, equal, missing, extra, different, silently changed, not yet
        due and repaired, with the first ids and the fields that differ; requests and seconds.
    :raises AirflowFailException: if rows differ, or a retry cannot mend what went wrong.
    :raises AirflowException: when a retry may mend it.
    """

    template_fields: Sequence[str] = (
        "streams",
        "warehouse_conn_id",
        "stripe_app_conn_id",
        "schema",
        "read_budget",
        "max_requests_per_day",
    )
    operator_extra_links = (StripeDashboardLink(),)
    ui_color = "#635bff"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        warehouse_conn_id: str,
        streams: Sequence[str] | None = None,
        stripe_app_conn_id: str = StripeAppHook.default_conn_name,
        schema: str | None = None,
        repair: bool = False,
        fail_on_difference: bool = True,
        examples: int = 20,
        workers: int = 64,
        lease_wait: float = 900.0,
        read_budget: Number = None,
        max_requests_per_day: Number = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.streams = streams
        self.warehouse_conn_id = warehouse_conn_id
        self.stripe_app_conn_id = stripe_app_conn_id
        self.schema = schema
        self.repair = repair
        self.fail_on_difference = fail_on_difference
        self.examples = examples
        self.workers = workers
        self.lease_wait = lease_wait
        self.read_budget = read_budget
        self.max_requests_per_day = max_requests_per_day
        self.dashboard_url = ""

    def execute(self, context: Context) -> dict[str, Any]:
        """Audit; see the class."""
        try:
            result = self._audit(context)
        except StripeAppError as error:
            raise translated(error, self.warehouse_conn_id) from error
        return self._told(context, result)

    def _audit(self, context: Context) -> AuditResult:
        from airflow_provider_stripe_app.hooks.warehouse import warehouse_from_connection
        from airflow_provider_stripe_app.sync.audit.run import run_audit

        streams = None if self.streams is None else resolve_streams(self.streams)
        warehouse = warehouse_from_connection(self.warehouse_conn_id, self.schema)
        hook = StripeAppHook(self.stripe_app_conn_id)
        account_id, livemode = hook.identity()
        self.dashboard_url = dashboard_address(account_id, livemode)
        self.log.info("Comparing %s with %s", self.warehouse_conn_id, account_id)
        return run_audit(
            hook.get_conn(),
            warehouse,
            account_id=account_id,
            livemode=livemode,
            streams=streams,
            options=self._options(context),
        )

    def _options(self, context: Context) -> AuditOptions:
        from airflow_provider_stripe_app.sync.audit.options import AuditOptions

        owner = owner_of(context)
        return AuditOptions(
            repair=self.repair,
            examples=self.examples,
            owner=owner,
            run=owner,
            workers=self.workers,
            lease_wait=self.lease_wait,
            read_budget=read_budget(self.read_budget),
            max_requests=daily_cap(self.max_requests_per_day),
        )

    def _told(self, context: Context, result: AuditResult) -> dict[str, Any]:
        """Log what was found, and fail if it is bad.

        What was found is pushed first: a failed task returns nothing.
        """
        for line in result.lines():
            self.log.info("%s", line)
        if not result.unrepaired or not self.fail_on_difference:
            return result.as_dict()
        if self.do_xcom_push:
            context["ti"].xcom_push(key="return_value", value=result.as_dict())
        wrong = ", ".join(f"{n}: {t.unrepaired}" for n, t in result.tables.items() if t.unrepaired)
        raise AirflowFailException(
            f"{result.unrepaired} rows differ from Stripe ({wrong}). The log above and this task's "
            "XCom name them. repair=True writes them as Stripe has them."
        )
