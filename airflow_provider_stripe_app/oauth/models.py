"""The provider's own tables in Airflow's metadata database.

A connection row is no home for a grant: saving the form, a PATCH of ``extra``, a bulk overwrite or
an import silently destroys or rewinds rotating tokens (AIRFLOW.md, tried). Times are unix seconds
in double precision: they compare the same on every database and carry no time zone trap.
Imported only where the metadata database may be used.
"""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.configuration import conf
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

CONN_ID_LENGTH = 250
"""As Airflow's own ``connection.conn_id``."""

_schema = (conf.get("database", "sql_alchemy_schema", fallback="") or "").strip() or None

metadata = MetaData(schema=_schema)


class Base(DeclarativeBase):
    """Base of this provider's tables: a metadata of its own, apart from Airflow's."""

    metadata = metadata
    type_annotation_map: ClassVar[dict[Any, Any]] = {float: Double()}


class Installation(Base):
    """One Stripe account that has installed the app: its grant and what is being done to it.

    ``version`` grows with every write and is what conditional updates compare; ``generation`` grows
    with every new pair of tokens. Columns that end in ``_sealed`` are encrypted by ``cipher.seal``.
    ``install_…`` and ``permissions_…`` are what Stripe's Install API last said; ``heal_after`` is
    when a lost grant may next be mended by it, null for never.
    """

    __tablename__ = "stripe_app_installation"
    __table_args__ = (UniqueConstraint("conn_id", name="stripe_app_installation_conn_id_uq"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    conn_id: Mapped[str] = mapped_column(String(CONN_ID_LENGTH))
    app_conn_id: Mapped[str] = mapped_column(String(CONN_ID_LENGTH))
    account_id: Mapped[str] = mapped_column(String(255))
    livemode: Mapped[bool] = mapped_column(Boolean)
    status: Mapped[str] = mapped_column(String(50))
    permissions_granted: Mapped[list[str] | None] = mapped_column(JSON, nullable=True)
    team_name: Mapped[str | None] = mapped_column(String(50))
    installed_by: Mapped[str | None] = mapped_column(String(255))
    deployment_id: Mapped[str | None] = mapped_column(String(255))

    access_token_sealed: Mapped[str] = mapped_column(Text)
    refresh_token_sealed: Mapped[str] = mapped_column(Text)
    broker_token_sealed: Mapped[str] = mapped_column(Text)
    access_expires_at: Mapped[float]
    refresh_expires_at: Mapped[float]
    generation: Mapped[int] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(Integer)

    lease_owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[float | None]
    attempt_id: Mapped[str | None] = mapped_column(String(64))
    attempt_started_at: Mapped[float | None]
    attempt_fingerprint: Mapped[str | None] = mapped_column(String(64))
    idempotency_suffix: Mapped[int] = mapped_column(Integer)
    refused_at: Mapped[float | None]
    retry_at: Mapped[float | None]

    account_name: Mapped[str | None] = mapped_column(String(255))
    install_id: Mapped[str | None] = mapped_column(String(255))
    install_channel: Mapped[str | None] = mapped_column(String(50))
    install_status: Mapped[str | None] = mapped_column(String(50))
    permissions_pending: Mapped[list[str] | None] = mapped_column(JSON, nullable=True)
    reconciled_at: Mapped[float | None]
    heal_tries: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    heal_after: Mapped[float | None]

    last_refreshed_at: Mapped[float]
    last_used_at: Mapped[float | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    last_error_at: Mapped[float | None]
    last_error_request_id: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[float]
    updated_at: Mapped[float]

    def __repr__(self) -> str:
        return f"Installation(conn_id={self.conn_id!r}, account_id={self.account_id!r})"


class History(Base):
    """What happened to an installation, for people. Never holds a secret."""

    __tablename__ = "stripe_app_history"
    __table_args__ = (Index("stripe_app_history_conn_id_at_ix", "conn_id", "at"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    conn_id: Mapped[str] = mapped_column(String(CONN_ID_LENGTH))
    at: Mapped[float]
    event: Mapped[str] = mapped_column(String(50))
    reason: Mapped[str | None] = mapped_column(String(50))
    generation: Mapped[int | None] = mapped_column(Integer)
    request_id: Mapped[str | None] = mapped_column(String(255))
    detail: Mapped[str | None] = mapped_column(Text)


class InstallState(Base):
    """The ``state`` of a started installation: only its hash, used once, for 10 minutes."""

    __tablename__ = "stripe_app_install_state"

    state_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    conn_id: Mapped[str] = mapped_column(String(CONN_ID_LENGTH))
    user_id: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[float]
    used_at: Mapped[float | None]
    data: Mapped[dict[str, Any] | None] = mapped_column(JSON, nullable=True)


class InstalledAccount(Base):
    """An account that has installed an app, by Stripe's Install API; known here or not."""

    __tablename__ = "stripe_app_account"

    app_conn_id: Mapped[str] = mapped_column(String(CONN_ID_LENGTH), primary_key=True)
    account_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    livemode: Mapped[bool] = mapped_column(Boolean)
    install_id: Mapped[str] = mapped_column(String(255))
    channel: Mapped[str | None] = mapped_column(String(50))
    status: Mapped[str] = mapped_column(String(50))
    permissions_granted: Mapped[list[str]] = mapped_column(JSON)
    permissions_pending: Mapped[list[str]] = mapped_column(JSON)
    seen_at: Mapped[float]


class StreamSync(Base):
    """The last sync of one stream into one warehouse, as the worker told it."""

    __tablename__ = "stripe_app_stream"
    __table_args__ = (
        UniqueConstraint(
            "conn_id", "stream", "warehouse_conn_id", name="stripe_app_stream_conn_id_stream_uq"
        ),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    conn_id: Mapped[str] = mapped_column(String(CONN_ID_LENGTH))
    stream: Mapped[str] = mapped_column(String(100))
    warehouse_conn_id: Mapped[str] = mapped_column(String(CONN_ID_LENGTH))
    ok: Mapped[bool] = mapped_column(Boolean)
    at: Mapped[float]
    complete_to: Mapped[float | None]
    inserted: Mapped[int | None] = mapped_column(BigInteger)
    updated: Mapped[int | None] = mapped_column(BigInteger)
    deleted: Mapped[int | None] = mapped_column(BigInteger)
    dag_id: Mapped[str | None] = mapped_column(String(250))
    task_id: Mapped[str | None] = mapped_column(String(250))
    run_id: Mapped[str | None] = mapped_column(String(250))
    error: Mapped[str | None] = mapped_column(Text)
    permission: Mapped[str | None] = mapped_column(String(100))


class Job(Base):
    """Work that one of several processes does: who holds it until when, and when it was done."""

    __tablename__ = "stripe_app_job"

    name: Mapped[str] = mapped_column(String(300), primary_key=True)
    owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[float | None]
    done_at: Mapped[float | None]
