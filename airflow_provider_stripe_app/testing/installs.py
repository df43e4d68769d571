"""Apps and where they are installed: the objects ``apps.install`` of the simulated Stripe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random
from threading import RLock

from airflow_provider_stripe_app.testing.api_keys import ApiKeys
from airflow_provider_stripe_app.testing.forms import differences
from airflow_provider_stripe_app.testing.oauth_model import (
    AppRecord,
    Clock,
    Grant,
    OAuthSwitches,
)
from airflow_provider_stripe_app.testing.store import SEQUENCE_BITS
from airflow_provider_stripe_app.testing.wire import JsonObject

STATUSES = ("installed", "installing", "install_failed", "uninstalling", "uninstall_failed")

Notify = Callable[[str, str, bool, JsonObject, JsonObject | None], None]
"""Called with event type, account, livemode, object and previous attributes."""


def covers(granted: Iterable[str], permission: str) -> bool:
    """Tell whether what was granted includes a permission; a ``_write`` includes its ``_read``."""
    names = frozenset(granted)
    if permission in names:
        return True
    return permission.endswith("_read") and f"{permission[:-5]}_write" in names


@dataclass(slots=True)
class InstallRecord:
    """An app installed on an account.

    :param order: ``created`` second, then a sequence; sorts lists.
    :param granted: the permissions that the account's owner authorized.
    :param settles: when ``installing`` becomes ``installed``, or ``uninstalling`` ends it.
    :param auth_code: code that its retrieval shows once it has settled.
    """

    id: str
    account_id: str
    app_id: str
    client_id: str
    livemode: bool
    channel: str
    order: int
    granted: frozenset[str]
    status: str = "installed"
    settles: float | None = None
    auth_code: str | None = None

    @property
    def created(self) -> int:
        """Unix second of the installation."""
        return self.order >> SEQUENCE_BITS


class AppRegistry(ApiKeys):
    """Apps, their keys and their installs. Thread-safe.

    :param clock: Stripe's time.
    :param switches: how to behave.
    :param rng: source of ids and keys.
    :param marketplace_url: scheme and host of the install links.
    :param lock: guards everything; shared with what ``notify`` calls.

    ``notify`` is called, under the lock, with every event about an install.
    """

    def __init__(
        self,
        clock: Clock,
        switches: OAuthSwitches,
        rng: Random,
        marketplace_url: str,
        lock: RLock | None = None,
    ) -> None:
        super().__init__(clock, switches, rng)
        if lock is not None:
            self._lock = lock
        self.marketplace_url = marketplace_url
        self.counts: Counter[str] = Counter()
        self.notify: Notify = lambda *_: None
        self._apps: dict[str, AppRecord] = {}
        self._installs: dict[tuple[str, str], InstallRecord] = {}
        self._last_granted: dict[tuple[str, str], frozenset[str]] = {}
        self._sequence = 0

    # -- apps

    def register_app(
        self,
        *,
        redirect_uris: Iterable[str],
        permissions: Iterable[str],
        livemode: bool = False,
        channel: str | None = "chnlink_",
        developer_account: str = "acct_simdeveloper",
        app_id: str | None = None,
    ) -> AppRecord:
        """Upload an app for one environment.

        :param channel: ``None`` for a published app; ``chnlink_`` makes a new external test link.
        :param developer_account: the account that owns it; keys of others are refused.
        :param app_id: of the same app's other environment; ``None`` for a new app.
        """
        with self._lock:
            app = AppRecord(
                client_id=self._random("ca_", 32),
                secret_key=self.register_key("secret", developer_account, livemode=livemode),
                permissions=frozenset(permissions),
                redirect_uris=tuple(redirect_uris),
                livemode=livemode,
                developer_account=developer_account,
                channel=self._random("chnlink_", 16) if channel == "chnlink_" else channel,
                marketplace_url=self.marketplace_url,
                app_id=app_id or self._random("app_", 32),
            )
            self._apps[app.client_id] = app
            return app

    def app(self, client_id: str) -> AppRecord:
        """Return an app as it is now; ``KeyError`` if there is none."""
        return self._apps[client_id]

    def apps(self) -> list[AppRecord]:
        """Return all apps."""
        return list(self._apps.values())

    def release(self, client_id: str, permissions: Iterable[str]) -> AppRecord:
        """Publish a new app version; see the switch ``frozen_permissions`` for older consents."""
        with self._lock:
            before = [(r, self.show(r)) for r in self.installs() if r.client_id == client_id]
            old, granted = self._apps[client_id], frozenset(permissions)
            new = self._apps[client_id] = replace(old, permissions=granted, version=old.version + 1)
            self.follow_app(client_id, granted)
            for record, shown in before:
                if not self.switches.frozen_permissions:
                    record.granted = granted
                    self._last_granted[record.account_id, client_id] = granted
                self._changed(record, shown)
            return new

    def owns(self, bearer: str, grant: Grant, app: AppRecord) -> bool:
        """Tell whether a key is the developer's: the app's own or another one of its account.

        The secret key that another app was registered with counts as that of its sandbox.
        """
        if grant.kind == "access_token" or grant.livemode != app.livemode:
            return False
        foreign = any(a.secret_key == bearer and a.app_id != app.app_id for a in self.apps())
        return grant.account_id == app.developer_account and not foreign

    def reaches(self, bearer: str, grant: Grant, account_id: str) -> bool:
        """Tell whether a key may act on an account through ``Stripe-Account`` on the Install API.

        :return: whether it is the key's own, or has an app of the key's owner installed.
        """
        if account_id == grant.account_id:
            return True
        with self._lock:
            apps = [app for app in self.apps() if self.owns(bearer, grant, app)]
            return any(self.may_install(app, account_id) for app in apps)

    def may_install(self, app: AppRecord, account_id: str) -> bool:
        """Tell whether a developer may install its app on an account, which means again."""
        if self.install_of(account_id, app.client_id) is not None:
            return True
        known = (account_id, app.client_id) in self._last_granted
        return known and self.switches.install_after_uninstall

    # -- installs

    def installs(self) -> list[InstallRecord]:
        """Return all installs that Stripe would show now, oldest first."""
        with self._lock:
            now = self._clock.now()
            for place, record in list(self._installs.items()):
                if record.settles is None or record.settles > now:
                    continue
                if record.status == "uninstalling":
                    del self._installs[place]
                elif record.status == "installing":
                    record.status, record.settles = "installed", None
            return sorted(self._installs.values(), key=lambda record: record.order)

    def install_of(self, account_id: str, client_id: str) -> InstallRecord | None:
        """Return an account's install of an app."""
        with self._lock:
            self.installs()
            return self._installs.get((account_id, client_id))

    def show(self, record: InstallRecord, auth_code: str | None = None) -> JsonObject:
        """Return an install as Stripe's ``apps.install`` (https://docs.stripe.com/api/apps/installs).

        :param auth_code: shown in it.
        """
        wanted = self._apps[record.client_id].permissions
        pending = sorted(name for name in wanted if not covers(record.granted, name))
        return {
            "id": record.id,
            "object": "apps.install",
            "account": record.account_id,
            "app": record.app_id,
            "approval_required": bool(pending),
            "auth_code": auth_code,
            "channel": record.channel,
            "content_security_policy_granted": {"connect_src": [], "image_src": []},
            "content_security_policy_pending": {"connect_src": [], "image_src": []},
            "created": record.created,
            "created_by": None,
            "endpoints_granted": [],
            "endpoints_pending": [],
            "livemode": record.livemode,
            "permissions_granted": sorted(record.granted),
            "permissions_pending": pending,
            "status": record.status,
        }

    def set_install_status(self, account_id: str, client_id: str, status: str) -> InstallRecord:
        """Let an install be in a status that Stripe may get into by itself.

        :param status: one of :data:`STATUSES`.
        :raises ValueError: for another status.
        :raises KeyError: if the app is not installed there.
        """
        if status not in STATUSES:
            raise ValueError(f"There is no install status {status!r}; use one of {STATUSES}")
        with self._lock:
            record = self._installs[account_id, client_id]
            before = self.show(record)
            record.status, record.settles = status, None
            self._changed(record, before)
            return record

    def _put(
        self, app: AppRecord, account_id: str, granted: frozenset[str] | None
    ) -> InstallRecord:
        """Install an app or install it again.

        :param granted: permissions; ``None`` for all that the app asks for.
        """
        granted = app.permissions if granted is None else granted
        place = (account_id, app.client_id)
        self._last_granted[place] = granted
        record = self.install_of(*place)
        if record is not None:
            before = self.show(record)
            record.granted, record.channel = granted, app.install_channel
            record.status, record.settles, record.auth_code = "installed", None, None
            self._changed(record, before)
            return record
        self._sequence += 1
        mode = "live" if app.livemode else "test"
        record = self._installs[place] = InstallRecord(
            self._random(f"appinst_{mode}_", 32),
            account_id,
            app.app_id,
            app.client_id,
            app.livemode,
            app.install_channel,
            (int(self._clock.now()) << SEQUENCE_BITS) | self._sequence,
            granted,
        )
        self._tell("apps.install.created", record, None)
        return record

    def _remove(self, account_id: str, client_id: str, seconds: float) -> None:
        """Uninstall an app; its install is shown as ``uninstalling`` for some seconds."""
        record = self.install_of(account_id, client_id)
        if record is None:
            return
        record.status, record.settles = "uninstalling", self._clock.now() + seconds
        record.auth_code = None
        self._tell("apps.install.deleted", record, None)
        self.installs()

    def _grant_of(self, account_id: str, client_id: str) -> frozenset[str]:
        """Return what an account granted an app last."""
        return self._last_granted[account_id, client_id]

    def _regrant(self, account_id: str, client_id: str, granted: frozenset[str]) -> None:
        """Change what an install was granted, without a consent."""
        record = self.install_of(account_id, client_id)
        if record is not None:
            before = self.show(record)
            record.granted = self._last_granted[account_id, client_id] = granted
            self._changed(record, before)

    def _changed(self, record: InstallRecord, before: JsonObject) -> None:
        previous = differences(before, self.show(record))
        if previous:
            self._tell("apps.install.updated", record, previous)

    def _tell(self, type_: str, record: InstallRecord, previous: JsonObject | None) -> None:
        shown = self.show(record)
        self.notify(type_, record.account_id, record.livemode, shown, previous)
