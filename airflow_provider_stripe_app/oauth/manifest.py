"""``stripe-app.json``: what the Stripe CLI uploads, for exactly the streams that are wanted.

Rules are those of Stripe's published manifest schema and guides
(https://docs.stripe.com/stripe-apps/reference/app-manifest).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_stripe_app.exceptions import ConfigurationError

DEFAULT_APP_ID = "com.example.airflow-sync"
DEFAULT_NAME = "Airflow sync"
DEFAULT_VERSION = "0.0.1"
DEFAULT_ICON = "./icon.png"

_APP_ID = re.compile(r"[a-zA-Z0-9_\-.]+")
_FORBIDDEN_WORDS = re.compile(r"stripe|\b(?:apps?|free|paid)\b", re.IGNORECASE)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def check_app_id(app_id: str) -> str:
    """Return ``app_id`` if Stripe accepts it: reverse DNS of letters, digits, ``_``, ``-`` and
    dots.

    :raises ConfigurationError: naming what is wrong with it.
    """
    if not _APP_ID.fullmatch(app_id) or "." not in app_id.strip("."):
        raise ConfigurationError(
            f"The app id {app_id!r} is not usable: write it like com.yourcompany.airflow-sync "
            "(letters, digits, '_', '-' and dots)."
        )
    return app_id


def check_name(name: str) -> str:
    """Return ``name`` if Stripe accepts it: it must not contain Stripe, App, free or paid.

    :raises ConfigurationError: naming the word.
    """
    if not name.strip():
        raise ConfigurationError("The app needs a name, for example 'Airflow sync'.")
    if found := _FORBIDDEN_WORDS.search(name):
        raise ConfigurationError(
            f"The app name {name!r} contains {found.group(0)!r}, which Stripe does not allow in "
            "names (Stripe, App, free, paid): choose another, for example 'Airflow sync'."
        )
    return name


def check_version(version: str) -> str:
    """Return ``version`` if it is one word; raise :class:`ConfigurationError` otherwise."""
    if not re.fullmatch(r"[0-9A-Za-z.+\-]+", version):
        raise ConfigurationError(
            f"The app version {version!r} is not usable: write it like 0.0.1 and raise it at "
            "every upload."
        )
    return version


def check_icon(icon: str) -> str:
    """Return ``icon`` if it is a relative PNG path; raise :class:`ConfigurationError` otherwise."""
    if not re.fullmatch(r"\./[^\s]+\.png", icon):
        raise ConfigurationError(
            f"The icon {icon!r} is not usable: write a path like ./icon.png, next to "
            "stripe-app.json."
        )
    return icon


def check_redirect_uri(uri: str) -> str:
    """Return ``uri`` if Stripe can send a browser there: HTTPS, or HTTP to this very machine.

    Live installs need HTTPS. Plain HTTP to a loopback address is fine for trying out, though some
    versions of the Stripe CLI refuse to upload it.

    :raises ConfigurationError: naming what is wrong with it.
    """
    parts = urlsplit(uri)
    loopback = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or not (parts.scheme == "https" or loopback):
        raise ConfigurationError(
            f"The redirect URI {uri!r} is not usable: Stripe wants https:// (http:// only for "
            "localhost). Set [api] base_url to Airflow's public https address."
        )
    if parts.fragment or parts.query:
        raise ConfigurationError(
            f"The redirect URI {uri!r} must have no '?' and no '#', for Stripe compares it exactly."
        )
    return uri


def permissions_with_purpose(streams: Sequence[str]) -> dict[str, str]:
    """Return the permissions that ``streams`` need, each with the reason shown at consent.

    :param streams: names of streams; empty means all of the catalogue.
    :raises ConfigurationError: if a name is not in the catalogue.
    """
    from airflow_provider_stripe_app.streams.catalog import (
        STREAMS,
        permissions_for,
        resolve_streams,
    )

    return dict(permissions_for(resolve_streams(streams or tuple(STREAMS))))


def build_manifest(
    *,
    redirect_uris: Iterable[str],
    permissions: Mapping[str, str],
    app_id: str = DEFAULT_APP_ID,
    name: str = DEFAULT_NAME,
    version: str = DEFAULT_VERSION,
    icon: str = DEFAULT_ICON,
) -> dict[str, Any]:
    """Return the manifest as plain data.

    :param redirect_uris: addresses of callback pages; the first is Stripe's default.
    :param permissions: permission name to the purpose that the consent page shows.
    :param app_id: reverse DNS id; it can never be changed after the first upload.
    :param name: what people see at consent.
    :param version: raised by you at every upload.
    :param icon: path of a PNG next to the manifest.
    :raises ConfigurationError: if Stripe would refuse one of the values.
    """
    uris = [check_redirect_uri(uri) for uri in redirect_uris]
    if not uris:
        raise ConfigurationError("The manifest needs at least one redirect URI.")
    if not permissions:
        raise ConfigurationError("The manifest needs at least one permission: choose a stream.")
    return {
        "id": check_app_id(app_id),
        "version": check_version(version),
        "name": check_name(name),
        "icon": check_icon(icon),
        "distribution_type": "public",
        "stripe_api_access_type": "oauth",
        "sandbox_install_compatible": True,
        "allowed_redirect_uris": uris,
        "permissions": [
            {"permission": permission, "purpose": purpose}
            for permission, purpose in sorted(permissions.items())
        ],
        "ui_extension": {"views": []},
    }


def manifest_json(manifest: Mapping[str, Any]) -> str:
    """Return the text of ``stripe-app.json``."""
    return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
