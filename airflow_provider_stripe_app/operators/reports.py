"""What a task tells about its run: pure functions from a run's end to reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_stripe_app.api.errors import PermissionMissing
from airflow_provider_stripe_app.exceptions import StripeAppError
from airflow_provider_stripe_app.oauth.stream_reports import (
    StreamReport,
    clean,
    permission_name,
)
from airflow_provider_stripe_app.sync.summary import RunSummary, SyncFailed

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_stripe_app.streams.model import Stream

ID_LENGTH = 250


@dataclass(frozen=True)
class Task:
    """Which task ran; ``None`` for what is not known."""

    dag_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None


def reports_of_summary(
    summary: RunSummary,
    streams: Sequence[Stream],
    warehouse_conn_id: str,
    task: Task,
) -> list[StreamReport]:
    """Return the reports of a run that came to its end; some of its streams may have failed.

    :param summary: what it did.
    :param streams: what it was to sync.
    :param warehouse_conn_id: the warehouse's connection.
    :param task: which task ran.
    """
    found = []
    for stream in streams:
        # A child is loaded with its parent, and fails with it.
        error = summary.errors.get(stream.name) or summary.errors.get(stream.parent or "")
        error = error or _unfinished(summary, stream)
        if error is not None:
            found.append(_failed(stream, error, warehouse_conn_id, task))
            continue
        table = summary.table(stream.name)
        found.append(
            StreamReport(
                stream.name,
                warehouse_conn_id,
                True,
                complete_to=summary.complete_to,
                inserted=table.inserted,
                updated=table.updated,
                deleted=table.deleted,
                dag_id=task.dag_id,
                task_id=task.task_id,
                run_id=task.run_id,
            )
        )
    return found


def reports_of_error(
    error: Exception,
    streams: Sequence[Stream],
    warehouse_conn_id: str,
    task: Task,
) -> list[StreamReport]:
    """Return the reports of a run that failed.

    :param error: why: a ``SyncFailed`` knows which streams failed, anything else failed all.
    :param streams: what it was to sync.
    :param warehouse_conn_id: the warehouse's connection.
    :param task: which task ran.
    """
    if isinstance(error, SyncFailed):
        return reports_of_summary(error.summary, streams, warehouse_conn_id, task)
    return [_failed(stream, error, warehouse_conn_id, task) for stream in streams]


def task_of(context: Context) -> Task:
    """Return which task ran, each name cut to what is stored."""
    ti: Any = context["ti"]
    dag, task, run = (str(one)[:ID_LENGTH] or None for one in (ti.dag_id, ti.task_id, ti.run_id))
    return Task(dag, task, run)


def _unfinished(summary: RunSummary, stream: Stream) -> StripeAppError | None:
    """Return why a stream is not finished: a person who looks shall not take a part for it all."""
    why = summary.unfinished.get(stream.name) or summary.unfinished.get(stream.parent or "")
    return StripeAppError(f"Not finished, the next run goes on: {why}") if why else None


def _failed(stream: Stream, error: Exception, warehouse_conn_id: str, task: Task) -> StreamReport:
    # Only this provider's own errors are known to hold no secret, such as a warehouse's address.
    known = isinstance(error, StripeAppError)
    text = str(error) if known else f"It failed by an error of its own ({type(error).__name__})."
    permission = error.permission if isinstance(error, PermissionMissing) else None
    return StreamReport(
        stream.name,
        warehouse_conn_id,
        False,
        error=clean(text) or type(error).__name__,
        permission=permission_name(permission),
        dag_id=task.dag_id,
        task_id=task.task_id,
        run_id=task.run_id,
    )
