"""Alembic's environment: Airflow's engine, our metadata, a version table of our own."""

from __future__ import annotations

from airflow import settings
from alembic import context

from airflow_provider_stripe_app.oauth.db_manager import VERSION_TABLE
from airflow_provider_stripe_app.oauth.models import metadata


def _include_name(name: str | None, type_: str, _parents: object) -> bool:
    """Look at our tables only; Airflow's are in the same database."""
    return type_ != "table" or name in {table.name for table in metadata.tables.values()}


def _run_offline() -> None:
    context.configure(
        url=settings.SQL_ALCHEMY_CONN,
        target_metadata=metadata,
        literal_binds=True,
        render_as_batch=True,
        include_name=_include_name,
        version_table=VERSION_TABLE,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run_online() -> None:
    given = context.config.attributes.get("connection")
    engine = settings.get_engine()  # type: ignore[no-untyped-call]
    connection = given if given is not None else engine.connect()
    try:
        context.configure(
            connection=connection,
            transaction_per_migration=True,
            target_metadata=metadata,
            render_as_batch=True,
            include_name=_include_name,
            version_table=VERSION_TABLE,
        )
        with context.begin_transaction():
            context.run_migrations()
    finally:
        if given is None:
            connection.close()


if context.is_offline_mode():
    _run_offline()
else:
    _run_online()
