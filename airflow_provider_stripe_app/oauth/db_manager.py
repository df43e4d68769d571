"""Lets ``airflow db migrate`` create and upgrade the provider's tables.

Named under ``db-managers`` in the provider info.
"""

from __future__ import annotations

from pathlib import Path

from airflow.utils.db_manager import BaseDBManager

from airflow_provider_stripe_app.oauth import models

VERSION_TABLE = "alembic_version_stripe_app"
_HERE = Path(__file__).resolve().parent


class StripeAppDBManager(BaseDBManager):
    """Tables ``stripe_app_*`` and their Alembic history in ``alembic_version_stripe_app``."""

    metadata = models.metadata
    version_table_name = VERSION_TABLE
    migration_dir = str(_HERE / "migrations")
    alembic_file = str(_HERE / "alembic.ini")
    # `airflow db reset` promises an empty database; without this the old grants would survive it.
    supports_table_dropping = True
    revision_heads_map = {"0.1.0": "0002_installs"}  # noqa: RUF012

    def downgrade(
        self, to_revision: str, from_revision: str | None = None, show_sql_only: bool = False
    ) -> None:
        """Downgrade the tables.

        :param to_revision: revision to go to, ``base`` drops the tables and every grant in them.
        :param from_revision: revision to start from, for SQL output only.
        :param show_sql_only: print the statements instead of running them.
        """
        from alembic import command

        revision = f"{from_revision}:{to_revision}" if from_revision else to_revision
        config = self.get_alembic_config()  # type: ignore[no-untyped-call]
        command.downgrade(config, revision, sql=show_sql_only)
