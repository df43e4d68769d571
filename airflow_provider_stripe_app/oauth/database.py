"""Short transactions on the metadata database, and whether this process may use it at all."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError, SQLAlchemyError

from airflow_provider_stripe_app.exceptions import ConfigurationError, TokenUnavailable

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

T = TypeVar("T")


def may_use_metadata_db() -> bool:
    """Return whether this process can use the metadata database, by trying.

    Airflow blocks it in tasks, triggers and DAG parsing; ``airflow dags test`` may have it or not,
    and no environment variable tells (AIRFLOW.md).
    """
    try:
        from airflow.utils.session import create_session

        with create_session(scoped=False) as session:
            session.execute(text("SELECT 1"))
    except Exception:  # blocked: RuntimeError, AttributeError, SQL errors …
        return False
    return True


def transaction(work: Callable[[Session], T], *, patience: float = 10.0) -> T:
    """Run ``work`` in one short transaction, again when the database was locked or gone.

    :param work: gets a session of its own; it is committed when it returns. It may run several
        times.
    :param patience: seconds during which a failing database is tried again.
    :return: what ``work`` returned.
    :raises ConfigurationError: if the provider's tables are missing.
    :raises TokenUnavailable: if the database does not answer for that long.
    """
    from airflow.utils.session import create_session

    deadline = time.monotonic() + patience
    pause = 0.02
    while True:
        try:
            with create_session(scoped=False) as session:
                return work(session)
        except (OperationalError, ProgrammingError) as error:
            if lacking := _what_is_missing():
                raise ConfigurationError(
                    f"The tables of the Stripe App provider are {lacking} in Airflow's metadata "
                    "database: run `airflow db migrate`."
                ) from None
            if isinstance(error, ProgrammingError):
                raise
            failure: DBAPIError = error
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            failure = error
        if time.monotonic() + pause > deadline:
            raise TokenUnavailable(
                "Airflow's metadata database does not answer "
                f"({type(failure.orig).__name__}): try again when it is back."
            ) from None
        # Writers of a locked SQLite file must not come back all at once.
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
        pause = min(pause * 2, 1.0)


def _what_is_missing() -> str:
    """Return ``missing`` or ``not up to date`` if the tables are, else nothing.

    The package is often upgraded before anybody migrates; then a table or a column is not there.
    """
    from airflow import settings

    from airflow_provider_stripe_app.oauth.models import Installation, metadata

    try:
        found = inspect(settings.get_engine())  # type: ignore[no-untyped-call]
        if not found.has_table(Installation.__tablename__, schema=metadata.schema):
            return "missing"
        for table in metadata.sorted_tables:
            if not found.has_table(table.name, schema=metadata.schema):
                return "not up to date"
            there = {one["name"] for one in found.get_columns(table.name, schema=metadata.schema)}
            if not {column.name for column in table.columns} <= there:
                return "not up to date"
    except SQLAlchemyError:
        return ""
    return ""
