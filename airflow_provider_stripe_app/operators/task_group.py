"""Many accounts over Airflow's workers: a task for each, and one that says how all of them went.

>>> stripe_sync_task_group(
...     streams=["customers", "invoices"],
...     warehouse_conn_id="warehouse",
...     accounts=["stripe_acme", "stripe_bolt"],
... )

docs/many-accounts.md says what Airflow allows and what it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, cast

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
    TaskGroup,
)

from airflow_provider_stripe_app.exceptions import ConfigurationError, StripeAppError
from airflow_provider_stripe_app.oauth.accounts_client import installed_accounts
from airflow_provider_stripe_app.operators.sync import StripeSyncOperator, translated
from airflow_provider_stripe_app.streams.catalog import resolve_streams

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["installed_accounts", "stripe_sync_task_group"]

CONN_ID = "{conn_id}"
"""Stands for an account's connection in ``schema`` and ``pool``."""

LABEL_LENGTH = 200
"""Airflow keeps 250 characters of a mapped task's name."""


EVERYWHERE = ("retries", "retry_delay", "queue", "executor")
"""Arguments that the tasks ``accounts`` and ``summary`` get as well."""


class SyncArguments(TypedDict):
    """What differs between the tasks of a group: arguments of :class:`.StripeSyncOperator`."""

    stripe_app_conn_id: str
    streams: list[str]
    schema: str | None


def stripe_sync_task_group(
    group_id: str = "stripe_sync",
    *,
    streams: Sequence[str] | Sequence[Sequence[str]],
    warehouse_conn_id: str,
    accounts: Sequence[str] | Callable[[], Iterable[str]],
    schema: str | None = None,
    pool: str | None = None,
    **sync: Any,
) -> TaskGroup:
    """Make the tasks that keep the tables of many accounts equal to Stripe.

    One mapped task ``sync`` for each account, or for each account and group of streams; a task
    ``summary`` at the end, which fails if an account failed: the others go on to their end all the
    same. An account whose request cap ended its run early is *unfinished*, and skips the summary.

    :param group_id: id of the task group.
    :param streams: names of the tables. A list of names: one task for an account syncs all of them,
        with one pass over its events. A list of lists: a task for each.
    :param warehouse_conn_id: connection of the warehouse.
    :param accounts: connection ids (type ``stripe_app``), one for each account; or a function that
        returns them, called by a task ``accounts`` at each run, for example
        ``partial(installed_accounts, "stripe_acme")``.
    :param schema: schema of the tables. ``{conn_id}`` in it becomes the account's connection id: a
        schema for each account. Without it all accounts share tables; ``account_id`` is part of
        their primary key.
    :param pool: Airflow's pool for the ``sync`` tasks. With ``{conn_id}`` in it each account has a
        pool of its own; Airflow cannot map over pools, so each account then is a task of its own
        (``sync.stripe_acme``) and ``accounts`` must be a list.
    :param sync: any other argument of :class:`.StripeSyncOperator`, for example ``retries``,
        ``retry_delay``, ``max_active_tis_per_dagrun``, ``execution_timeout``, ``queue``.
    :return: the group, to be chained with other tasks.
    :raises ConfigurationError: if an argument is wrong.
    """
    groups = stream_groups(streams)
    # Several tasks on one account share its rate out, unless they share it exactly.
    arguments = {
        "warehouse_conn_id": warehouse_conn_id,
        "rate_share": 1 / len(groups),
        **({"pool": pool} if pool else {}),
        **sync,
    }
    apart = CONN_ID in (pool or "")
    if apart and callable(accounts):
        raise ConfigurationError(
            f"pool={pool!r} needs accounts as a list: a mapped task has one pool, so a pool for "
            "each account needs a task for each, known when the DAG is read. Leave "
            f"{CONN_ID} out, or list the accounts."
        )
    beside = {name: sync[name] for name in EVERYWHERE if name in sync}
    with TaskGroup(group_id) as group:
        planned: Any
        if callable(accounts):
            planned = AccountsOperator(
                task_id="accounts", list_accounts=accounts, groups=groups, schema=schema, **beside
            ).output
        else:
            planned = plan(accounts, groups, schema)
        if apart:
            tasks = [_alone(one, groups, arguments) for one in planned]
        else:
            tasks = [_mapped(planned, groups, arguments)]
        summary = SyncSummaryOperator(
            task_id="summary",
            planned=planned,
            sync_tasks=[task.task_id for task in tasks],
            mapped=not apart,
            **beside,
        )
        tasks >> summary
    return group


# ---- which tasks there are


def stream_groups(streams: Sequence[str] | Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the names of the streams that each task of an account syncs, parents included.

    :param streams: names, or lists of names.
    :raises ConfigurationError: if a name is unknown, there is none, or two tasks would sync the
        same table: the second would wait for the first and do nothing.
    """
    nested = bool(streams) and not isinstance(streams, str) and not isinstance(streams[0], str)
    lists = cast("Sequence[Sequence[str]]", streams if nested else [streams])
    groups = [[stream.name for stream in resolve_streams(names)] for names in lists]
    every = [name for names in groups for name in names]
    twice = sorted({name for name in every if every.count(name) > 1})
    if twice:
        raise ConfigurationError(
            f"{', '.join(twice)} would be synced by two tasks of one account: put a table, its "
            "parent and its other children into one list."
        )
    return groups


def plan(
    conn_ids: Iterable[str], groups: Sequence[Sequence[str]], schema: str | None
) -> list[SyncArguments]:
    """Return the arguments of each ``sync`` task, in the order of its map index.

    :param conn_ids: connections of the accounts.
    :param groups: see :func:`stream_groups`.
    :param schema: with ``{conn_id}`` or without.
    :raises ConfigurationError: if there is no account, or one is there twice.
    """
    if isinstance(conn_ids, str):
        raise ConfigurationError(f"accounts must be a list of connection ids: [{conn_ids!r}]")
    ids = list(conn_ids)
    if not ids or not all(isinstance(one, str) and one for one in ids):
        raise ConfigurationError(
            f"accounts must name at least one connection of type stripe_app, not {ids!r}: a group "
            "that syncs nothing would be green."
        )
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise ConfigurationError(f"accounts has {', '.join(twice)} twice.")
    return [
        {
            "stripe_app_conn_id": conn_id,
            "streams": list(names),
            "schema": schema.replace(CONN_ID, conn_id) if schema else None,
        }
        for conn_id in ids
        for names in groups
    ]


def label(arguments: SyncArguments, groups: int) -> str:
    """Return what a task is called: its account, and its first table if it has not all of them."""
    conn_id, names = arguments["stripe_app_conn_id"], arguments["streams"]
    return conn_id if groups == 1 else f"{conn_id}.{names[0]}"


def _mapped(planned: Any, groups: Sequence[Sequence[str]], arguments: Mapping[str, Any]) -> Any:
    template = "{{ task.stripe_app_conn_id }}"
    if len(groups) > 1:
        template += ": {{ task.streams | join(', ') }}"
    return StripeSyncOperator.partial(
        task_id="sync", **{"map_index_template": _cut(template), **arguments}
    ).expand_kwargs(planned)


def _cut(template: str) -> str:
    return f"{{% filter truncate({LABEL_LENGTH}) %}}{template}{{% endfilter %}}"


def _alone(
    one: SyncArguments, groups: Sequence[Sequence[str]], arguments: Mapping[str, Any]
) -> StripeSyncOperator:
    pool = str(arguments["pool"]).replace(CONN_ID, one["stripe_app_conn_id"])
    return StripeSyncOperator(
        task_id=f"sync.{label(one, len(groups))}", **{**arguments, **one, "pool": pool}
    )


class AccountsOperator(BaseOperator):
    """Ask at each run which accounts there are.

    :param list_accounts: returns connection ids.
    :param groups: see :func:`stream_groups`.
    :param schema: with ``{conn_id}`` or without.
    :return: the arguments of each ``sync`` task.
    """

    def __init__(
        self,
        *,
        list_accounts: Callable[[], Iterable[str]],
        groups: Sequence[Sequence[str]],
        schema: str | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.list_accounts = list_accounts
        self.groups = groups
        self.schema = schema

    def execute(self, context: Context) -> list[SyncArguments]:
        """Ask; see the class.

        :raises AirflowFailException: if there are none, or one is named twice.
        :raises AirflowException: if a retry may mend what went wrong.
        """
        try:
            return plan(self.list_accounts(), self.groups, self.schema)
        except StripeAppError as error:
            raise translated(error, "") from error


# ---- how it went


class SyncSummaryOperator(BaseOperator):
    """Say how the accounts of a group went, and fail if one of them did.

    :param planned: the arguments of each ``sync`` task.
    :param sync_tasks: their ids.
    :param mapped: they are one mapped task.
    :return: the number of accounts, and of each state which tasks; of each task the rows it
        changed, its requests and how often Stripe answered 429.
    :raises AirflowFailException: if a task failed or did not run; the others stay as they are.
    :raises AirflowSkipException: if none failed and one is unfinished.
    """

    template_fields: Sequence[str] = ("planned",)

    def __init__(
        self, *, planned: Any, sync_tasks: Sequence[str], mapped: bool, **kwargs: Any
    ) -> None:
        super().__init__(**{"trigger_rule": "all_done", **kwargs})
        self.planned = planned
        self.sync_tasks = list(sync_tasks)
        self.mapped = mapped

    def execute(self, context: Context) -> dict[str, Any]:
        """Collect; see the class."""
        planned: Sequence[SyncArguments] = self.planned or ()
        if not planned:
            raise AirflowFailException(
                "No account was synced: the task accounts has not told which there are. Its log "
                "says why."
            )
        ti: Any = context["ti"]
        states = ti.get_task_states(
            dag_id=ti.dag_id, task_ids=self.sync_tasks, run_ids=[ti.run_id]
        ).get(ti.run_id, {})
        places = self._places(len(planned))
        ended = [states.get(task_id if at < 0 else f"{task_id}_{at}") for task_id, at in places]
        results = [
            ti.xcom_pull(task_ids=task_id, map_indexes=at) if state in TOLD else None
            for (task_id, at), state in zip(places, ended, strict=True)
        ]
        summary = summarize(planned, ended, results)
        if self.do_xcom_push:  # a task that fails returns nothing
            ti.xcom_push(key="return_value", value=summary)
        self._say(summary)
        return summary

    def _places(self, count: int) -> list[tuple[str, int]]:
        """Return task id and map index of each ``sync`` task."""
        if self.mapped:
            return [(self.sync_tasks[0], index) for index in range(count)]
        return [(task_id, -1) for task_id in self.sync_tasks]

    def _say(self, summary: Mapping[str, Any]) -> None:
        for name, task in summary["tasks"].items():
            self.log.info("%s: %s", name, ", ".join(f"{v} {k}" for k, v in task.items()))
        failed, unfinished = summary["failed"], summary["unfinished"]
        if failed:
            raise AirflowFailException(
                f"{len(failed)} of {len(summary['tasks'])} tasks failed: {shortened(failed)}. "
                "Their logs say why. The others are synced."
            )
        if unfinished:
            raise AirflowSkipException(
                f"{len(unfinished)} of {len(summary['tasks'])} tasks are unfinished: "
                f"{shortened(unfinished)}. The next run goes on where they stopped."
            )


TOLD = frozenset({"success", "skipped"})
"""States of tasks that leave a result behind."""


def summarize(
    planned: Sequence[SyncArguments],
    states: Sequence[str | None],
    results: Sequence[Mapping[str, Any] | None],
) -> dict[str, Any]:
    """Return how the tasks of a group ended.

    :param planned: their arguments.
    :param states: Airflow's states; ``None`` for a task that has none.
    :param results: what they returned; ``None`` for nothing.
    """
    groups = len(planned) // len({one["stripe_app_conn_id"] for one in planned})
    names = [label(one, groups) for one in planned]
    ended = list(zip(names, states, strict=True))
    return {
        "accounts": len(planned) // groups,
        "failed": [name for name, state in ended if state not in TOLD],
        "unfinished": [name for name, state in ended if state == "skipped"],
        "tasks": {
            name: {"state": state, **totals(result)}
            for (name, state), result in zip(ended, results, strict=True)
        },
    }


def totals(result: Mapping[str, Any] | None) -> dict[str, int]:
    """Return the sums over the tables of a run's result.

    :param result: of :class:`.StripeSyncOperator`; ``None`` if it has none.
    """
    if not result:
        return {}
    tables = result["streams"].values()
    changes = ("inserted", "updated", "deleted")
    return {
        **{change: sum(table[change] for table in tables) for change in changes},
        "requests": sum(result["requests"].values()),
        "throttled": sum(result["throttled"].values()),
    }


def shortened(names: Sequence[str], most: int = 20) -> str:
    """Return names for a message.

    :param names: all of them.
    :param most: how many are named.
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
