"""The accounts that Stripe says have an app: installed here, or to be adopted."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_stripe_app.plugin.views.common import (
    Mode,
    Moment,
    channel_words,
    mode,
    moment,
    plain,
)
from airflow_provider_stripe_app.plugin.views.paging import Part, address, part_of

if TYPE_CHECKING:
    from airflow_provider_stripe_app.oauth.installs import KnownAccount

SUFFIX = 8
"""Last characters of an account's id that are enough to tell it apart, most of the time."""

_STATUS: Mapping[str, tuple[str, str]] = {
    "installed": ("installed", "ok"),
    "installing": ("being installed", ""),
    "install_failed": ("installing failed", "bad"),
    "uninstalling": ("being uninstalled", "warn"),
    "uninstall_failed": ("uninstalling failed", "bad"),
}


@dataclass(frozen=True)
class Account:
    """One account that has the app.

    :param conn_id: connection of its installation, empty if there is none or the user may not see
        it.
    :param href: address of that installation's page.
    :param suggestion: name for a new connection, empty if it cannot be adopted.
    """

    account_id: str
    name: str
    mode: Mode
    status: str
    kind: str
    channel: str
    granted: str
    pending: tuple[str, ...]
    conn_id: str
    href: str
    suggestion: str


def accounts(
    known: Sequence[KnownAccount],
    *,
    names: Mapping[str, str],
    visible: Collection[str],
    taken: Collection[str],
    page: str,
) -> Part[Account]:
    """Return a page of an app's accounts, those without an installation here first.

    :param known: what Stripe last said.
    :param names: names of accounts that are known, by connection.
    :param visible: connections that the user may see.
    :param taken: connections that exist.
    :param page: number of the page, as the address says it.
    """
    ordered = sorted(known, key=lambda one: (one.conn_id is not None, one.account_id))
    part = part_of(ordered, page)
    items = tuple(_account(one, names, visible, taken) for one in part.items)
    return Part(items, part.total, part.page, part.pages, part.first)


def _account(
    one: KnownAccount, names: Mapping[str, str], visible: Collection[str], taken: Collection[str]
) -> Account:
    words, kind = _STATUS.get(one.status, (one.status.replace("_", " "), ""))
    shown = one.conn_id if one.conn_id in visible else None
    free = one.conn_id is None and one.status == "installed"
    return Account(
        account_id=one.account_id,
        name=plain(names.get(shown)) if shown else "",
        mode=mode(one.livemode),
        status=words,
        kind=kind,
        channel=channel_words(one.channel),
        granted=f"{len(one.permissions_granted)} granted",
        pending=tuple(one.permissions_pending),
        conn_id=shown or ("" if one.conn_id is None else "another connection"),
        href=address("installation", conn_id=shown) if shown else "",
        suggestion=suggest(one.app_conn_id, one.account_id, taken) if free else "",
    )


def suggest(app_conn_id: str, account_id: str, taken: Collection[str]) -> str:
    """Return a name for the connection of an adopted installation that no other has.

    :param app_conn_id: the app's connection.
    :param account_id: ``acct_…``.
    :param taken: connections that exist.
    """
    text = re.sub(r"\W", "", account_id.removeprefix("acct_"))
    name = f"{app_conn_id}_{text[-SUFFIX:]}"[:200]
    return name if name not in taken else f"{app_conn_id}_{text}"[:200]


def looked_at(known: Sequence[KnownAccount], now: float) -> Moment:
    """Return when Stripe was last asked, as far as the accounts tell."""
    return moment(max((one.seen_at for one in known), default=None), now)
