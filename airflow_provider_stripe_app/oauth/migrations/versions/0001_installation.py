"""Tables for installations, their history and installations under way.

Revision ID: 0001_installation
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from airflow_provider_stripe_app.oauth.models import metadata

revision = "0001_installation"
down_revision = None
branch_labels = None
depends_on = None


def _installation() -> None:
    op.create_table(
        "stripe_app_installation",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("conn_id", sa.String(250), nullable=False),
        sa.Column("app_conn_id", sa.String(250), nullable=False),
        sa.Column("account_id", sa.String(255), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(50), nullable=False),
        sa.Column("permissions_granted", sa.JSON(), nullable=True),
        sa.Column("team_name", sa.String(50), nullable=True),
        sa.Column("installed_by", sa.String(255), nullable=True),
        sa.Column("deployment_id", sa.String(255), nullable=True),
        sa.Column("access_token_sealed", sa.Text(), nullable=False),
        sa.Column("refresh_token_sealed", sa.Text(), nullable=False),
        sa.Column("broker_token_sealed", sa.Text(), nullable=False),
        sa.Column("access_expires_at", sa.Double(), nullable=False),
        sa.Column("refresh_expires_at", sa.Double(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(64), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("attempt_id", sa.String(64), nullable=True),
        sa.Column("attempt_started_at", sa.Double(), nullable=True),
        sa.Column("attempt_fingerprint", sa.String(64), nullable=True),
        sa.Column("idempotency_suffix", sa.Integer(), nullable=False),
        sa.Column("refused_at", sa.Double(), nullable=True),
        sa.Column("retry_at", sa.Double(), nullable=True),
        sa.Column("last_refreshed_at", sa.Double(), nullable=False),
        sa.Column("last_used_at", sa.Double(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_error_at", sa.Double(), nullable=True),
        sa.Column("last_error_request_id", sa.String(255), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.UniqueConstraint("conn_id", name="stripe_app_installation_conn_id_uq"),
        schema=metadata.schema,
    )


def upgrade() -> None:
    """Create the three tables."""
    _installation()
    op.create_table(
        "stripe_app_history",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("conn_id", sa.String(250), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("event", sa.String(50), nullable=False),
        sa.Column("reason", sa.String(50), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=True),
        sa.Column("request_id", sa.String(255), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        schema=metadata.schema,
    )
    op.create_index(
        "stripe_app_history_conn_id_at_ix",
        "stripe_app_history",
        ["conn_id", "at"],
        schema=metadata.schema,
    )
    op.create_table(
        "stripe_app_install_state",
        sa.Column("state_hash", sa.String(64), primary_key=True),
        sa.Column("conn_id", sa.String(250), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=True),
        schema=metadata.schema,
    )


def downgrade() -> None:
    """Drop the three tables, and with them every grant."""
    op.drop_table("stripe_app_install_state", schema=metadata.schema)
    op.drop_index("stripe_app_history_conn_id_at_ix", "stripe_app_history", schema=metadata.schema)
    op.drop_table("stripe_app_history", schema=metadata.schema)
    op.drop_table("stripe_app_installation", schema=metadata.schema)
