"""The install link that a user pastes, in every form Stripe gives out (STRIPE.md §1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from airflow_provider_stripe_app.exceptions import ConfigurationError

STRIPE_MARKETPLACE = "https://marketplace.stripe.com"
_PATH = re.compile(r"/oauth/v2/(?:[^/?#]+/)?authorize/?")
_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{3,255}")
_WANTED = (
    "paste the whole install link of your Stripe App, as the Dashboard shows it on the app's "
    "External test or Settings tab: "
    "https://marketplace.stripe.com/oauth/v2/…/authorize?client_id=ca_…"
)
_NOT_LINKS = {
    "sk_": "a secret key",
    "rk_": "a restricted key",
    "pk_": "a publishable key",
    "acct_": "an account id",
    "app_": "an app id",
    "chnlink_": "only a part of the link",
    "whsec_": "a webhook signing secret",
}


@dataclass(frozen=True)
class InstallLink:
    """Where an account owner consents to the app.

    :param client_id: the app's client id, ``ca_…``.
    :param authorize_url: the consent page with ``client_id`` and without ``redirect_uri`` and
        ``state``.
    :param livemode: ``None`` unless somebody said which mode the link is for: a link does not tell.
    """

    client_id: str
    authorize_url: str
    livemode: bool | None = None

    def with_parameters(self, redirect_uri: str, state: str) -> str:
        """Return the address to send the browser to.

        :param redirect_uri: a redirect URI of the app's manifest, matched exactly by Stripe.
        :param state: the opaque state of this installation.
        """
        extra = urlencode({"redirect_uri": redirect_uri, "state": state})
        return f"{self.authorize_url}&{extra}"


def parse_install_link(
    link: str, *, marketplace_base: str = "", livemode: bool | None = None
) -> InstallLink:
    """Read a pasted install link, or a client id of a published app.

    Published apps have ``/oauth/v2/authorize``, external tests ``/oauth/v2/chnlink_…/authorize`` or
    the older ``/oauth/v2/channellink*…%23…/authorize``. The path decides whether Stripe accepts the
    link, so it is kept byte for byte.

    :param link: what the user pasted.
    :param marketplace_base: scheme and host to use instead of the link's own, for the simulated
        Stripe.
    :param livemode: the mode that the user says the link is for.
    :raises ConfigurationError: saying what was pasted and what to paste instead.
    """
    text = link.strip().strip("<>\"'")
    if re.fullmatch(r"ca_[A-Za-z0-9_]+", text):
        base = marketplace_base or STRIPE_MARKETPLACE
        return InstallLink(text, f"{base}/oauth/v2/authorize?client_id={text}", livemode)
    _refuse_other_things(text)
    parts = urlsplit(text)
    _refuse_other_links(parts.scheme, parts.hostname or "", parts.path)
    _check_origin(parts.scheme, parts.netloc, marketplace_base)
    if not _PATH.fullmatch(parts.path):
        raise ConfigurationError(f"This link does not lead to an app's consent page: {_WANTED}.")
    query = parse_qsl(parts.query, keep_blank_values=True)
    client_ids = {value for name, value in query if name == "client_id"}
    if len(client_ids) != 1 or not _CLIENT_ID.fullmatch(next(iter(client_ids))):
        raise ConfigurationError(f"This link has no client_id: {_WANTED}.")
    client_id = client_ids.pop()
    # Ours are added at the start of an installation; a state in a pasted link is somebody else's.
    kept = [(name, value) for name, value in query if name not in {"redirect_uri", "state"}]
    origin = marketplace_base or f"https://{parts.hostname}"
    address = urlsplit(origin)
    url = urlunsplit(
        (address.scheme, address.netloc, address.path + parts.path, urlencode(kept), "")
    )
    return InstallLink(client_id, url, livemode)


def _refuse_other_things(text: str) -> None:
    if not text:
        raise ConfigurationError(
            f"The install link is empty: {_WANTED}. (To sync only your own account there is no "
            "link: put a restricted key, rk_…, in the place of the secret key.)"
        )
    for prefix, kind in _NOT_LINKS.items():
        if text.startswith(prefix):
            raise ConfigurationError(f"The install link is {kind}: {_WANTED}.")
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]", text):
        raise ConfigurationError(f"The install link is not a link: {_WANTED}.")


def _refuse_other_links(scheme: str, host: str, path: str) -> None:
    if host == "connect.stripe.com":
        raise ConfigurationError(
            "This is a Stripe Connect link, which connects accounts to a platform and gives no "
            f"Stripe App token: {_WANTED}."
        )
    if host == "dashboard.stripe.com":
        raise ConfigurationError(
            f"This is the address of a Dashboard page, not the install link shown on it: {_WANTED}."
        )
    if host.endswith("stripe.com") and path.startswith("/apps/"):
        raise ConfigurationError(f"This is the app's page in the marketplace: {_WANTED}.")
    if scheme == "http" and host.endswith("stripe.com"):
        raise ConfigurationError(
            f"This link is plain http, which anybody on the way can change: {_WANTED}."
        )


def _check_origin(scheme: str, netloc: str, marketplace_base: str) -> None:
    """Let a link lead to Stripe or to the configured simulation, nowhere else."""
    if marketplace_base and netloc == urlsplit(marketplace_base).netloc:
        return
    if scheme == "https" and netloc.endswith(".stripe.com"):
        return
    if scheme not in {"http", "https"}:
        raise ConfigurationError(f"The install link does not start with https://: {_WANTED}.")
    if scheme == "http":
        raise ConfigurationError(
            f"This link is plain http: {_WANTED}. (For the simulated Stripe set option "
            "[stripe_app] marketplace_base to its address.)"
        )
    raise ConfigurationError(
        f"This link leads to {netloc.rpartition('@')[2]!r}, which is not Stripe: {_WANTED}. (For "
        "the simulated Stripe set option [stripe_app] marketplace_base to its address.)"
    )
