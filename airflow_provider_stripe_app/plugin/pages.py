"""What all pages share: notices, warnings, and rendering with everything escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from airflow_provider_stripe_app.oauth.health import health_of
from airflow_provider_stripe_app.oauth.words import mode_words, relative

if TYPE_CHECKING:
    from jinja2 import Environment

Kind = Literal["ok", "warn", "bad", ""]

__all__ = ["health_of", "mode_words", "relative"]

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Notice:
    """One sentence above a page.

    :param text: the sentence.
    :param kind: how it looks.
    :param href: where its link leads, empty for none.
    :param link: words of the link.
    """

    text: str
    kind: Kind = "bad"
    href: str = ""
    link: str = ""


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


NOTICES: Mapping[str, tuple[Kind, str]] = {
    "installed": ("ok", "Installed: {conn_id} is ready for your DAGs."),
    "disconnected": ("ok", "Forgotten: Airflow no longer holds tokens for {conn_id}."),
    "uninstalled": ("ok", "Uninstalled at Stripe and forgotten here: {conn_id}."),
    "test_ok": ("ok", "Stripe answered: {conn_id} works."),
    "taken_over": ("ok", "Taken over: this deployment renews the tokens of {conn_id} from now on."),
    "adopted": ("ok", "Adopted: {conn_id} is ready for your DAGs."),
    "reconciled": ("ok", "Stripe's list of the accounts of {conn_id} was read again."),
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
