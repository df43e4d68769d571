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
ALL = "all"

_APP_ID = re.compile(r"[a-zA-Z0-9_\-.]+")
_ICON = re.compile(r"\./(?:\.\./|[a-zA-Z0-9_/\-])[^.\s]*\.png")
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
    """Return ``icon`` if it is a path as Stripe's schema wants it; raise
    :class:`ConfigurationError` otherwise.
    """
    if not _ICON.fullmatch(icon):
        raise ConfigurationError(
            f"The icon {icon!r} is not usable: write a path like ./icon.png, next to "
            "stripe-app.json, without spaces or other dots, to a PNG of 300 x 300 pixels."
        )
    return icon


def check_icon_file(data: bytes) -> tuple[int, int]:
    """Return the width and height of an icon if it is a square PNG; Stripe wants 300 x 300 pixels.

    :param data: the file; its first 24 bytes are enough.
    :raises ConfigurationError: saying what it is instead.
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR" or len(data) < 24:
        raise ConfigurationError(
            "The icon is not a PNG file, which Stripe wants: save the picture as PNG, 300 x 300 "
            "pixels."
        )
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    if width != height or not width:
        raise ConfigurationError(
            f"The icon is {width} x {height} pixels, but must be square: make it 300 x 300."
        )
    return width, height


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

    :param streams: names of streams, or ``all`` for every one whose permission is known for sure;
        empty means the usual few.
    :raises ConfigurationError: if a name is not in the catalogue.
    """
    from airflow_provider_stripe_app.streams.catalog import (
        DEFAULT_STREAMS,
        permissions_for,
        resolve_streams,
        usual_streams,
    )

    if list(streams) == [ALL]:
        return dict(permissions_for(usual_streams()))
    return dict(permissions_for(resolve_streams(streams or DEFAULT_STREAMS)))


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


REQUIRED = ("id", "version", "name", "icon", "permissions", "ui_extension")
KNOWN = frozenset(
    {
        *REQUIRED,
        "$schema",
        "allowed_redirect_uris",
        "constants",
        "distribution_type",
        "post_install_action",
        "sandbox_install_compatible",
        "stripe_api_access_type",
    }
)
_REDIRECT = re.compile(r"https?://.*/.+")


def schema_problems(manifest: Mapping[str, Any]) -> list[str]:
    """Return what Stripe's published schema does not accept in a manifest, nothing if it is fine.

    The schema is https://github.com/stripe/stripe-apps/blob/main/schema/stripe-app.schema.json, as
    far as it is about data-only apps with OAuth. Whether a permission exists is Stripe's to say:
    there are new ones now and then.

    :param manifest: the manifest, from here or edited by hand.
    """
    problems = [f"{name!r} is missing" for name in REQUIRED if name not in manifest]
    problems += [f"{name!r} is not known to Stripe" for name in manifest if name not in KNOWN]
    patterns = {"id": _APP_ID, "version": re.compile(r".+"), "name": re.compile(r".+")}
    for name, pattern in {**patterns, "icon": _ICON}.items():
        value = manifest.get(name, "")
        if name in manifest and not (isinstance(value, str) and pattern.fullmatch(value)):
            problems.append(f"{name!r} is {value!r}, which Stripe does not accept")
    permissions = manifest.get("permissions", [])
    entries = permissions if isinstance(permissions, list) else [permissions]
    problems += [f"a permission is {one!r}" for one in entries if not _is_permission(one)]
    uris = manifest.get("allowed_redirect_uris") or []
    entries = uris if isinstance(uris, list) else [uris]
    problems += [
        f"a redirect URI is {one!r}"
        for one in entries
        if not (isinstance(one, str) and _REDIRECT.fullmatch(one))
    ]
    if not isinstance(manifest.get("ui_extension", {}), Mapping):
        problems.append(
            "'ui_extension' must be an object; for an app without pages {\"views\": []}"
        )
    return problems


def _is_permission(one: Any) -> bool:
    if not isinstance(one, Mapping) or set(one) != {"permission", "purpose"}:
        return False
    return all(isinstance(value, str) and value for value in one.values())


def manifest_json(manifest: Mapping[str, Any]) -> str:
    """Return the text of ``stripe-app.json``."""
    return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
