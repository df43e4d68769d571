"""What people may see of an installation: the row without its secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.models import Installation


@dataclass(frozen=True)
class InstallationStatus:
    """What people may see of an installation; times are unix seconds. Holds no secret."""

    conn_id: str
    app_conn_id: str
    account_id: str
    account_name: str | None
    livemode: bool
    status: str
    permissions_granted: list[str] | None
    permissions_pending: list[str] | None
    install_id: str | None
    install_channel: str | None
    install_status: str | None
    reconciled_at: float | None
    heal_tries: int
    heal_after: float | None
    team_name: str | None
    installed_by: str | None
    deployment_id: str | None
    access_expires_at: float
    refresh_expires_at: float
    generation: int
    lease_until: float | None
    last_refreshed_at: float
    last_used_at: float | None
    last_error: str | None
    last_error_at: float | None
    last_error_request_id: str | None
    created_at: float
    updated_at: float


@dataclass(frozen=True)
class HistoryLine:
    """One thing that happened to an installation."""

    at: float
    event: str
    reason: str | None
    generation: int | None
    request_id: str | None
    detail: str | None


def status_of(row: Installation) -> InstallationStatus:
    """Return what a row says."""
    names = InstallationStatus.__dataclass_fields__
    return InstallationStatus(**{name: getattr(row, name) for name in names})
