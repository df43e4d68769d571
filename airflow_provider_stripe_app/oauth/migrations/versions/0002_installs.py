"""What Stripe's Install API says, healing, last syncs, and jobs of which one process does each.

Revision ID: 0002_installs
Revises: 0001_installation
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from airflow_provider_stripe_app.oauth.models import metadata

revision = "0002_installs"
down_revision = "0001_installation"
branch_labels = None
depends_on = None

_INSTALLATION: tuple[tuple[str, Any], ...] = (
    ("account_name", sa.String(255)),
    ("install_id", sa.String(255)),
    ("install_channel", sa.String(50)),
    ("install_status", sa.String(50)),
    ("permissions_pending", sa.JSON()),
    ("reconciled_at", sa.Double()),
    ("heal_after", sa.Double()),
)


def upgrade() -> None:
    """Add the columns and the three tables."""
    with op.batch_alter_table("stripe_app_installation", schema=metadata.schema) as table:
        for name, kind in _INSTALLATION:
            table.add_column(sa.Column(name, kind, nullable=True))
        table.add_column(sa.Column("heal_tries", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "stripe_app_account",
        sa.Column("app_conn_id", sa.String(250), primary_key=True),
        sa.Column("account_id", sa.String(255), primary_key=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("install_id", sa.String(255), nullable=False),
        sa.Column("channel", sa.String(50), nullable=True),
        sa.Column("status", sa.String(50), nullable=False),
        sa.Column("permissions_granted", sa.JSON(), nullable=False),
        sa.Column("permissions_pending", sa.JSON(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        schema=metadata.schema,
    )
    _stream()
    op.create_table(
        "stripe_app_job",
        sa.Column("name", sa.String(300), primary_key=True),
        sa.Column("owner", sa.String(64), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("done_at", sa.Double(), nullable=True),
        schema=metadata.schema,
    )


def _stream() -> None:
    op.create_table(
        "stripe_app_stream",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("conn_id", sa.String(250), nullable=False),
        sa.Column("stream", sa.String(100), nullable=False),
        sa.Column("warehouse_conn_id", sa.String(250), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("complete_to", sa.Double(), nullable=True),
        sa.Column("inserted", sa.BigInteger(), nullable=True),
        sa.Column("updated", sa.BigInteger(), nullable=True),
        sa.Column("deleted", sa.BigInteger(), nullable=True),
        sa.Column("dag_id", sa.String(250), nullable=True),
        sa.Column("task_id", sa.String(250), nullable=True),
        sa.Column("run_id", sa.String(250), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("permission", sa.String(100), nullable=True),
        sa.UniqueConstraint(
            "conn_id", "stream", "warehouse_conn_id", name="stripe_app_stream_conn_id_stream_uq"
        ),
        schema=metadata.schema,
    )


def downgrade() -> None:
    """Drop the three tables and the columns; grants stay."""
    for name in ("stripe_app_job", "stripe_app_stream", "stripe_app_account"):
        op.drop_table(name, schema=metadata.schema)
    with op.batch_alter_table("stripe_app_installation", schema=metadata.schema) as table:
        for name in ("heal_tries", *(name for name, _ in _INSTALLATION)):
            table.drop_column(name)
