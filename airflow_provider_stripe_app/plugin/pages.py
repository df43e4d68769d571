"""What the pages show: plain data made by pure functions, then rendered with everything escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from airflow_provider_stripe_app.oauth.credentials import (
    AppSettings,
    InstallationSettings,
    Settings,
)
from airflow_provider_stripe_app.oauth.health import health_of
from airflow_provider_stripe_app.oauth.words import mode_words, relative

if TYPE_CHECKING:
    from jinja2 import Environment

    from airflow_provider_stripe_app.oauth.store import InstallationStatus

Kind = Literal["ok", "warn", "bad", ""]

__all__ = ["health_of", "mode_words", "relative"]

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Notice:
    """One sentence above the lists.

    :param text: the sentence.
    :param kind: how it looks.
    :param href: where its link leads, empty for none.
    :param link: words of the link.
    """

    text: str
    kind: Kind = "bad"
    href: str = ""
    link: str = ""


@dataclass(frozen=True)
class InstallationView:
    """One installation as the page shows it; every field is ready to print."""

    conn_id: str
    app_conn_id: str
    account_id: str
    livemode: bool
    status: str
    kind: Kind
    health: str
    token: str
    refreshed: str
    permissions: str
    can_change: bool


@dataclass(frozen=True)
class ConnectionView:
    """One connection of type ``stripe_app`` that holds no installation yet."""

    conn_id: str
    label: str
    kind: Kind
    sentence: str
    mode: str = ""
    can_install: bool = False
    app_conn_id: str = ""
    """The app's connection, when this one only waits for its installation."""
    target: str = ""
    """Suggested connection for the installation; empty when a name has to be chosen."""


def token_words(expires_at: float, now: float) -> str:
    """Return what is to be said of an access token that dies at ``expires_at``."""
    if expires_at > now:
        return f"expires {relative(expires_at, now)}, renewed by itself"
    return f"expired {relative(expires_at, now)}; renewed when a task needs it"


def permission_words(granted: Sequence[str] | None) -> str:
    """Return the permissions that the account granted, or that Stripe has not told them."""
    if granted is None:
        return "not told by Stripe; a missing one shows as an error of the stream that needs it"
    return ", ".join(sorted(granted)) or "none"


def installation_view(one: InstallationStatus, *, now: float, can_change: bool) -> InstallationView:
    """Return how an installation is shown.

    :param one: what the store says.
    :param now: unix seconds.
    :param can_change: whether the user may change its connection.
    """
    status, kind, health = health_of(one, now)
    return InstallationView(
        conn_id=one.conn_id,
        app_conn_id=one.app_conn_id,
        account_id=one.account_id,
        livemode=one.livemode,
        status=status,
        kind=kind,
        health=health,
        token=token_words(one.access_expires_at, now),
        refreshed=relative(one.last_refreshed_at, now),
        permissions=permission_words(one.permissions_granted),
        can_change=can_change,
    )


def redirect_warning(uri: str, opened_at: str) -> str:
    """Return what is wrong with a redirect URI, or nothing.

    :param uri: the redirect URI, made of ``[api] base_url``.
    :param opened_at: ``scheme://host`` that the page was opened at. It is compared only with a
        local base URL, which is what an unset option looks like: a proxy may hide the host.
    """
    parts = urlsplit(uri)
    if parts.hostname in LOCAL_HOSTS and opened_at != f"{parts.scheme}://{parts.netloc}":
        return (
            f"You opened this page at {opened_at}, but [api] base_url says "
            f"{parts.scheme}://{parts.netloc}, and that is where Stripe will send your browser. "
            "Set [api] base_url to the address that people open."
        )
    if parts.scheme == "https":
        return ""
    return (
        "This is plain http. Stripe accepts it for trying out at most; for live mode set [api] "
        "base_url to Airflow's public https address."
    )


def connection_view(
    conn_id: str,
    settings: Settings | Exception,
    *,
    can_change: bool,
    installed_as: Sequence[str] = (),
) -> ConnectionView:
    """Return how a connection without an installation is shown.

    :param conn_id: the connection.
    :param settings: what was read out of it, or why it cannot be used.
    :param can_change: whether the user may install into it.
    :param installed_as: connections that installations of this app are kept in.
    """
    if isinstance(settings, Exception):
        return ConnectionView(conn_id, "needs attention", "bad", str(settings))
    if isinstance(settings, AppSettings):
        return _app_view(conn_id, settings, can_change=can_change, installed_as=installed_as)
    if isinstance(settings, InstallationSettings):
        return ConnectionView(
            conn_id,
            "not installed",
            "warn",
            f"Is meant for an installation of {settings.app_conn_id}, and holds none.",
            mode=mode_words(settings.livemode),
            can_install=can_change,
            app_conn_id=settings.app_conn_id,
            target=conn_id,
        )
    return ConnectionView(
        conn_id,
        "restricted key",
        "ok",
        "Uses a restricted key of your own account: nothing to install and nothing to renew.",
        mode=mode_words(settings.livemode),
    )


def _app_view(
    conn_id: str, settings: AppSettings, *, can_change: bool, installed_as: Sequence[str]
) -> ConnectionView:
    """Return how an app is shown whose own connection holds no installation.

    The suggestion is to keep the first one in the app's own connection: a first user makes one
    connection and uses one name in DAGs. With more accounts each needs a name of its own.
    """
    if installed_as:
        label = "app"
        sentence = f"Installed as {', '.join(installed_as)}. It can be installed in more accounts."
    else:
        label = "not installed"
        sentence = "Ready to install: Stripe will ask you for the account and its consent."
    if not can_change:
        sentence = "You may see this connection but not change it."
    return ConnectionView(
        conn_id,
        label,
        "ok" if installed_as else "warn",
        sentence,
        mode=mode_words(settings.livemode),
        can_install=can_change,
        target="" if installed_as else conn_id,
    )


NOTICES: Mapping[str, tuple[Kind, str]] = {
    "installed": ("ok", "Installed: {conn_id} is ready for your DAGs."),
    "disconnected": ("ok", "Forgotten: Airflow no longer holds tokens for {conn_id}."),
    "test_ok": ("ok", "Stripe answered: {conn_id} works."),
}
"""What a redirect may say. The page's address chooses a sentence and never brings its own."""


def notice_for(query: Mapping[str, str], known: Sequence[str]) -> Notice | None:
    """Return the notice that the address asks for, about a connection that the user sees.

    :param query: ``notice`` and ``conn_id``.
    :param known: connections that are on the page.
    """
    conn_id = query.get("conn_id", "")
    if query.get("notice") not in NOTICES or conn_id not in known:
        return None
    kind, text = NOTICES[query["notice"]]
    return Notice(text.format(conn_id=conn_id), kind)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("airflow_provider_stripe_app.plugin"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: Any) -> str:
    """Return the HTML of a page.

    :param template: file name in ``templates/``.
    :param values: what it shows; all of it is escaped.
    """
    return _environment().get_template(template).render(**values)
