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
            if _table_is_missing():
                raise ConfigurationError(
                    "The tables of the Stripe App provider are missing in Airflow's metadata "
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


def _table_is_missing() -> bool:
    from airflow import settings

    from airflow_provider_stripe_app.oauth.models import Installation, metadata

    try:
        engine = settings.get_engine()  # type: ignore[no-untyped-call]
        return not inspect(engine).has_table(Installation.__tablename__, schema=metadata.schema)
    except SQLAlchemyError:
        return False
