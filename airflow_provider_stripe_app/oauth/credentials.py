"""What a ``stripe_app`` connection says, read once into frozen dataclasses.

One connection type has three uses, told apart by content:

* a restricted key: password ``rk_…`` and nothing else; no app, no renewal;
* the app: login is the pasted install link (or its client id), password the app's secret key;
* an installation: ``app_conn_id`` in extra, plus ``account``, ``livemode``, ``broker_token`` and
  ``access_grant_token``, which the provider writes.

An app connection that also holds ``broker_token`` is both in one, the quick start. Extra is decoded
with ``json.loads`` because ``extra_dejson`` registers every secret in it as a log mask for the life
of the process (AIRFLOW.md).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Protocol

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth.access_grant import AccessGrant
from airflow_provider_stripe_app.oauth.install_link import InstallLink, parse_install_link

CONN_TYPE = "stripe_app"
_APP_ID = re.compile(r"app_\w{3,250}")
MODES = {"live": True, "test": False, "sandbox": False}


class ConnectionLike(Protocol):
    """What is read of a connection: Airflow's model and the Task SDK's connection both have it."""

    @property
    def conn_id(self) -> Any:
        """Return the id."""

    @property
    def login(self) -> Any:
        """Return the login."""

    @property
    def password(self) -> Any:
        """Return the decrypted password."""

    @property
    def extra(self) -> Any:
        """Return the decrypted extra, JSON text."""


@dataclass(frozen=True)
class AppSettings:
    """The app as its developer knows it: its install link and the key that exchanges codes.

    :param conn_id: the connection that says so.
    :param link: the install link.
    :param secret_key: the app's secret key, ``sk_…``.
    :param livemode: whether the key is a live one; ``None`` when its prefix does not tell.
    """

    conn_id: str
    link: InstallLink
    secret_key: str = field(repr=False)
    livemode: bool | None = None


@dataclass(frozen=True)
class InstallationSettings:
    """One account that has installed the app, as a task may know it.

    :param conn_id: the connection that says so.
    :param app_conn_id: the app's connection; the same as ``conn_id`` in a quick start.
    :param account_id: Stripe account ``acct_…``, ``None`` before the first installation.
    :param livemode: live or test, ``None`` when not known.
    :param broker_token: what the broker asks for; empty before the first installation.
    :param copy: the disposable copy of the access token, ``None`` when absent or damaged.
    :param app: the app's settings when they are in the same connection.
    """

    conn_id: str
    app_conn_id: str
    account_id: str | None = None
    livemode: bool | None = None
    broker_token: str = field(default="", repr=False)
    copy: AccessGrant | None = None
    app: AppSettings | None = None


@dataclass(frozen=True)
class RestrictedKeySettings:
    """A restricted key of the user's own account: no app, no renewal."""

    conn_id: str
    key: str = field(repr=False)
    livemode: bool | None = None


class EmptyConnection(ConfigurationError):
    """A connection of our type says nothing: it is new, or somebody emptied or remade it."""


Settings = AppSettings | InstallationSettings | RestrictedKeySettings


def key_livemode(key: str) -> bool | None:
    """Return the mode that a key's prefix tells (``sk_live_…``, ``rk_test_…``).

    :param key: a secret or restricted key.
    :return: ``True`` for live, ``False`` for test, ``None`` when the prefix does not tell.
    """
    parts = key.split("_", 2)
    if len(parts) < 3:
        return None
    return MODES.get(parts[1])


def check_secret_key(key: str, where: str) -> str:
    """Return an app's secret key, or say what was pasted instead of it.

    :param key: what was pasted.
    :param where: the connection, for the message.
    :raises ConfigurationError: if it is no secret key.
    """
    key = key.strip()
    if key.startswith("sk_"):
        return key
    wanted = (
        "paste the secret key of the app's developer account (it starts with sk_live_ or sk_test_; "
        "Stripe Dashboard > Developers > API keys)"
    )
    kinds = {
        "pk_": "a publishable key, which cannot exchange anything",
        "rk_": "a restricted key, which cannot exchange codes for an app",
        "whsec_": "a webhook signing secret",
        "absec_": "an app signing secret",
        "ca_": "a client id",
        "acct_": "an account id",
        "http": "a link",
    }
    if not key:
        raise ConfigurationError(f"Connection {where} has no secret key: {wanted}.")
    for prefix, kind in kinds.items():
        if key.startswith(prefix):
            raise ConfigurationError(f"The secret key of connection {where} is {kind}: {wanted}.")
    raise ConfigurationError(f"The secret key of connection {where} is not a Stripe key: {wanted}.")


def check_pair(link: InstallLink, key: str) -> None:
    """Refuse a live link with a test key and the reverse, as far as either tells its mode.

    Live and test mode have different links and keys; a wrong pair fails at Stripe only after
    consent, with "Authorization code provided does not belong to you" (STRIPE.md §1).

    :param link: the install link.
    :param key: the app's secret key.
    :raises ConfigurationError: if the two are known to be of different modes.
    """
    key_mode = key_livemode(key)
    if link.livemode is None or key_mode is None or link.livemode == key_mode:
        return
    names = {True: "live", False: "test"}
    raise ConfigurationError(
        f"The install link is for {names[link.livemode]} mode, but the secret key is a "
        f"{names[key_mode]} key: paste the {names[link.livemode]} key, or the install link of "
        f"{names[key_mode]} mode."
    )


def read_extra(conn: ConnectionLike) -> dict[str, Any]:
    """Return a connection's extra without registering its values as log masks.

    :param conn: the connection.
    :raises ConfigurationError: if extra is not a JSON object.
    """
    text = conn.extra
    if not text:
        return {}
    try:
        extra = json.loads(text)
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise ConfigurationError(
            f"Extra of connection {conn.conn_id} is not a JSON object: correct it."
        )
    return extra


def _text(extra: dict[str, Any], name: str) -> str:
    value = extra.get(name)
    return value.strip() if isinstance(value, str) else ""


def _mode(extra: dict[str, Any], conn_id: str) -> bool | None:
    """Read the mode: the provider writes ``livemode`` as a boolean, a person writes ``mode``."""
    livemode = extra.get("livemode")
    if isinstance(livemode, bool):
        return livemode
    text = (_text(extra, "livemode") or _text(extra, "mode")).lower()
    if not text:
        return None
    known = {**MODES, "true": True, "false": False}
    if text not in known:
        raise ConfigurationError(
            f"The mode of connection {conn_id} is {text!r}: choose live or test, or leave it empty."
        )
    return known[text]


def read_app(conn: ConnectionLike) -> AppSettings:
    """Return the settings of an app's connection.

    :param conn: the connection that holds install link and secret key.
    :raises ConfigurationError: if it does not, naming what to paste.
    """
    from airflow_provider_stripe_app.oauth import config

    conn_id = str(conn.conn_id)
    login, password = (conn.login or "").strip(), (conn.password or "").strip()
    if not login and (not password or password.startswith("rk_")):
        raise ConfigurationError(
            f"Connection {conn_id} is not a Stripe App's: paste the app's install link and its "
            "secret key (sk_…) into it, or name the connection that has them."
        )
    mode = _mode(read_extra(conn), conn_id)
    link = parse_install_link(login, marketplace_base=config.marketplace_base(), livemode=mode)
    key = check_secret_key(password, conn_id)
    check_pair(link, key)
    return AppSettings(conn_id=conn_id, link=link, secret_key=key, livemode=key_livemode(key))


def read_app_id(conn: ConnectionLike) -> str:
    """Return the app's id, which Stripe's Install API wants; nothing else needs it.

    :param conn: the app's connection.
    :raises ConfigurationError: if it has none, saying where to find it.
    """
    app_id = _text(read_extra(conn), "app_id")
    if _APP_ID.fullmatch(app_id):
        return app_id
    wrong = f"says {app_id[:40]!r}, which is no app id" if app_id else "has no App id"
    raise ConfigurationError(
        f"Connection {conn.conn_id} {wrong}: put the id that begins with app_ into its field App "
        "id (Stripe Dashboard > your app; it is in the address of that page)."
    )


def _restricted(conn_id: str, login: str, password: str) -> RestrictedKeySettings:
    if login:
        raise ConfigurationError(
            f"Connection {conn_id} has both an install link and a restricted key (rk_…). For a "
            "Stripe App paste the app's secret key (sk_…); to sync only your own account with the "
            "restricted key, empty the install link."
        )
    return RestrictedKeySettings(conn_id=conn_id, key=password, livemode=key_livemode(password))


def read_settings(conn: ConnectionLike) -> Settings:
    """Return what a connection of type ``stripe_app`` is for.

    :param conn: an Airflow connection.
    :return: settings of an app, of an installation (with ``app`` set in a quick start), or of a
        restricted key.
    :raises EmptyConnection: if it says nothing, naming what to paste.
    :raises ConfigurationError: if it is none of them.
    """
    conn_id = str(conn.conn_id)
    login = (conn.login or "").strip()
    password = (conn.password or "").strip()
    extra = read_extra(conn)
    mode = _mode(extra, conn_id)
    app_conn_id = _text(extra, "app_conn_id")
    broker_token = _text(extra, "broker_token")
    own_app = app_conn_id in {"", conn_id}
    if password.startswith("rk_") and own_app:
        return _restricted(conn_id, login, password)
    has_app = own_app and bool(login or password)
    if has_app and not broker_token:
        return read_app(conn)
    if not app_conn_id and not broker_token:
        raise EmptyConnection(
            f"Connection {conn_id} says neither how to install a Stripe App (install link and "
            "secret key), nor which installation it is (app_conn_id in extra), nor a restricted "
            "key (password rk_…): fill in one of them."
        )
    return InstallationSettings(
        conn_id=conn_id,
        app_conn_id=app_conn_id or conn_id,
        account_id=_text(extra, "account") or None,
        livemode=mode,
        broker_token=broker_token,
        copy=AccessGrant.from_copy(_text(extra, "access_grant_token")),
        app=_app_of_quick_start(conn) if has_app else None,
    )


def _app_of_quick_start(conn: ConnectionLike) -> AppSettings | None:
    """Return the app's settings if they are in order: a task with a token does without."""
    try:
        return read_app(conn)
    except ConfigurationError:
        return None
