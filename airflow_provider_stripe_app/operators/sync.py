"""The operator that keeps tables equal to Stripe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    Asset,
    BaseOperator,
    BaseOperatorLink,
)

from airflow_provider_stripe_app.api.errors import PermissionMissing
from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    StripeAppError,
)
from airflow_provider_stripe_app.hooks.stripe_app import StripeAppHook
from airflow_provider_stripe_app.oauth import report_client
from airflow_provider_stripe_app.operators.limits import Number, daily_cap, read_budget, relist_days
from airflow_provider_stripe_app.operators.reports import (
    reports_of_error,
    reports_of_summary,
    task_of,
)
from airflow_provider_stripe_app.streams.catalog import resolve_streams
from airflow_provider_stripe_app.sync.budget import RequestCapReached
from airflow_provider_stripe_app.sync.options import MODES, SyncOptions
from airflow_provider_stripe_app.warehouse.base import ForeignTable, WarehouseError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_stripe_app.streams.model import Stream
    from airflow_provider_stripe_app.sync.summary import RunSummary

PERMANENT = (
    ConfigurationError,
    ReauthorizationRequired,
    PermissionMissing,
    ForeignTable,
    RequestCapReached,
)
"""Errors that a retry cannot mend."""


class StripeDashboardLink(BaseOperatorLink):
    """Opens the synced account in the Stripe Dashboard."""

    name = "Stripe Dashboard"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the link; called in the task's own process once it has run.

        :param operator: the operator that ran.
        :param ti_key: the task instance (the link does not depend on it).
        """
        return getattr(operator, "dashboard_url", "")


class StripeSyncOperator(BaseOperator):
    """Make warehouse tables equal to what a Stripe account lists.

    The first run lists everything; later ones follow Stripe's events, so an idle run costs one
    request. It may be killed at any point: what was committed stays and the next try goes on from
    there.

    :param streams: names of the tables to sync; a child (``invoice_line_items``) brings its parent
        along.
    :param warehouse_conn_id: connection of the warehouse: ``duckdb``, ``mysql`` (MariaDB),
        ``postgres`` or ``sqlite``.
    :param stripe_app_conn_id: connection of type ``stripe_app``: an installation, or a restricted
        key.
    :param schema: schema of the tables; ``None`` for the warehouse's default.
    :param mode: ``auto`` (load what is new, follow the rest), ``full`` (list everything again) or
        ``incremental`` (fail where everything would have to be listed).
    :param sync_start_date: leave out objects created before it (ISO date or datetime, UTC unless it
        says otherwise). It is not called ``start_date`` because that is Airflow's own argument: one
        in ``default_args`` would silently filter data.
    :param workers: requests under way at once, at most; fewer where fewer use the rate up.
    :param rate_share: part of the account's requests per second that this task may use, for several
        tasks on one account; see :class:`.StripeAppHook`.
    :param read_budget: requests that the account may make in 30 days; a run that comes near or
        exceeds it says so. The result tells how much is spent in any case.
    :param max_requests_per_day: requests that the account may make on a UTC day, at least 250. A
        run that reaches it keeps its place and ends as skipped, the next one goes on from there, so
        a long load spreads over days. The change feed is read all the same.
    :param relist_days: longest time in days until a stream is listed again of which no event tells
        everything (``docs/streams.md`` says which); ``None`` for never.
    :return: per table what was inserted, updated, deleted and unchanged, requests and seconds.
    :raises AirflowSkipException: when ``max_requests_per_day`` has stopped the run; the XCom has
        what it did.
    :raises AirflowFailException: when a retry cannot mend it: a permission is missing, the app has
        to be installed again, an argument or a table is wrong.
    :raises AirflowException: when a retry may mend it.
    """

    template_fields: Sequence[str] = (
        "streams",
        "warehouse_conn_id",
        "stripe_app_conn_id",
        "schema",
        "mode",
        "sync_start_date",
        "read_budget",
        "max_requests_per_day",
        "relist_days",
    )
    operator_extra_links = (StripeDashboardLink(),)
    ui_color = "#635bff"
    ui_fgcolor = "#ffffff"

    def __init__(
        self,
        *,
        streams: Sequence[str],
        warehouse_conn_id: str,
        stripe_app_conn_id: str = StripeAppHook.default_conn_name,
        schema: str | None = None,
        mode: str = "auto",
        sync_start_date: str | None = None,
        workers: int = 64,
        rate_share: float = 1.0,
        read_budget: Number = None,
        max_requests_per_day: Number = None,
        relist_days: Number | float = 7,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.streams = streams
        self.warehouse_conn_id = warehouse_conn_id
        self.stripe_app_conn_id = stripe_app_conn_id
        self.schema = schema
        self.mode = mode
        self.sync_start_date = sync_start_date
        self.workers = workers
        self.rate_share = rate_share
        self.read_budget = read_budget
        self.max_requests_per_day = max_requests_per_day
        self.relist_days = relist_days
        self.outlets = [*self.outlets, *_assets(stripe_app_conn_id, streams)]
        self.dashboard_url = ""

    def execute(self, context: Context) -> dict[str, Any]:
        """Sync; see the class."""
        try:
            streams = resolve_streams(self.streams)
            summary = self._sync_and_tell(context, streams)
        except StripeAppError as error:
            raise translated(error, self.warehouse_conn_id) from error
        self._log_summary(summary)
        if summary.unfinished:
            self._skip(context, summary)
        return summary.as_dict()

    def _skip(self, context: Context, summary: RunSummary) -> None:
        """End without an asset event: nobody downstream shall take a part for the whole."""
        if self.do_xcom_push:
            context["ti"].xcom_push(key="return_value", value=summary.as_dict())
        why = next(iter(summary.unfinished.values()))
        raise AirflowSkipException(
            f"Not finished: {', '.join(summary.unfinished)}. {why} What was read is in the tables, "
            "and the next run goes on from there."
        )

    def _sync_and_tell(self, context: Context, streams: Sequence[Stream]) -> RunSummary:
        """Sync and tell the API server how it went, for the page that shows the last syncs."""
        task = task_of(context)
        try:
            summary = self._sync(context, streams)
        except Exception as error:
            told = reports_of_error(error, streams, self.warehouse_conn_id, task)
            report_client.send(self.stripe_app_conn_id, told)
            raise
        told = reports_of_summary(summary, streams, self.warehouse_conn_id, task)
        report_client.send(self.stripe_app_conn_id, told)
        return summary

    def _sync(self, context: Context, streams: Sequence[Stream]) -> RunSummary:
        from airflow_provider_stripe_app.hooks.warehouse import warehouse_from_connection
        from airflow_provider_stripe_app.sync.run import run_sync

        options = self._options(context)
        warehouse = warehouse_from_connection(self.warehouse_conn_id, self.schema)
        hook = StripeAppHook(self.stripe_app_conn_id, rate_share=self.rate_share)
        account_id, livemode = hook.identity()
        self.dashboard_url = dashboard_address(account_id, livemode)
        self.log.info(
            "Syncing %s of %s (%s) into %s",
            ", ".join(s.name for s in streams),
            account_id,
            "live" if livemode else "test",
            self.warehouse_conn_id,
        )
        summary = run_sync(
            hook.get_conn(),
            warehouse,
            account_id=account_id,
            livemode=livemode,
            streams=streams,
            options=options,
        )
        self._describe_assets(context, streams, summary)
        return summary

    def _options(self, context: Context) -> SyncOptions:
        if self.mode not in MODES:
            raise ConfigurationError(f"mode must be one of {', '.join(MODES)}, not {self.mode!r}")
        owner = owner_of(context)
        return SyncOptions(
            mode=self.mode,
            start_date=unix_seconds(self.sync_start_date),
            owner=owner,
            run=owner,
            group=f"{context['ti'].dag_id} {context['ti'].run_id}",
            workers=self.workers,
            read_budget=read_budget(self.read_budget),
            max_requests=daily_cap(self.max_requests_per_day),
            relist_days=relist_days(self.relist_days),
        )

    def _describe_assets(
        self, context: Context, streams: Sequence[Stream], summary: RunSummary
    ) -> None:
        names = {s.name for s in streams}
        for asset in self.outlets:
            table = asset.uri.rpartition("/")[2] if isinstance(asset, Asset) else ""
            if table in names:
                context["outlet_events"][asset].extra = {
                    "account": summary.account_id,
                    "livemode": summary.livemode,
                    "complete_to": summary.complete_to,
                    **summary.table(table).as_dict(),
                }

    def _log_summary(self, summary: RunSummary) -> None:
        for name, s in summary.streams.items():
            self.log.info(
                "%s: %d inserted, %d updated, %d deleted, %d unchanged (%d requests, %.1f s)",
                name,
                s.inserted,
                s.updated,
                s.deleted,
                s.unchanged,
                s.requests,
                s.seconds,
            )
            if s.misfits:
                self.log.warning(
                    "%s: values that do not fit their column (NULL there, kept in _raw): %s",
                    name,
                    dict(s.misfits),
                )
        reads = summary.reads
        self.log.info(
            "%s requests in this run, %s in %s days: %.1f%% of %s",
            f"{sum(summary.requests.values()):,}",
            f"{reads['spent']:,}",
            reads["days"],
            100 * reads["share"],
            f"{reads['budget']:,}",
        )


def translated(error: StripeAppError, warehouse_conn_id: str) -> AirflowException:
    """Return an error as Airflow's: without retries where none can mend it.

    :param error: what went wrong.
    :param warehouse_conn_id: named if it is the warehouse's.
    """
    from airflow_provider_stripe_app.sync.summary import SyncFailed

    causes = list(error.errors.values()) if isinstance(error, SyncFailed) else [error]
    permanent = all(isinstance(cause, PERMANENT) for cause in causes)
    where = f"Warehouse {warehouse_conn_id!r}: " if isinstance(error, WarehouseError) else ""
    return (AirflowFailException if permanent else AirflowException)(f"{where}{error}")


def owner_of(context: Context) -> str:
    """Return the name under which a task holds leases: it, and which of its runs."""
    ti = context["ti"]
    map_index = "" if ti.map_index is None or ti.map_index < 0 else f"[{ti.map_index}]"
    return f"{ti.dag_id}.{ti.task_id}{map_index} {ti.run_id}"


def dashboard_address(account_id: str, livemode: bool) -> str:
    """Return the address of an account in the Stripe Dashboard."""
    return f"https://dashboard.stripe.com/{account_id}{'' if livemode else '/test'}/dashboard"


def unix_seconds(text: str | None) -> int | None:
    """Return an ISO date or datetime as unix seconds.

    :param text: e.g. ``2024-01-01``; UTC unless it says otherwise; ``None`` or empty for no limit.
    :raises ConfigurationError: if it is neither.
    """
    if not text:
        return None
    try:
        at = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        raise ConfigurationError(
            f"sync_start_date must be an ISO date like 2024-01-31, not {text!r}"
        ) from None
    return int((at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp())


def _assets(conn_id: object, streams: object) -> list[Asset]:
    """Return the tables as assets, as far as they are known when the DAG is parsed."""
    if not isinstance(conn_id, str) or "{" in conn_id or not isinstance(streams, (list, tuple)):
        return []
    names = [s for s in streams if isinstance(s, str) and "{" not in s]
    return [Asset(name=f"stripe.{conn_id}.{n}", uri=f"stripe://{conn_id}/{n}") for n in names]
