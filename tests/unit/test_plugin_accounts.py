"""The accounts that Stripe says have an app, and what a page offers to do with them."""

from __future__ import annotations

import pytest

from airflow_provider_stripe_app.oauth.installs import KnownAccount
from airflow_provider_stripe_app.plugin import pages
from airflow_provider_stripe_app.plugin.views import accounts, paging

NOW = 1_800_000_000.0
EVIL = '"><script>alert(1)</script>'


def known(account_id: str, conn_id: str | None = None, **changes: object) -> KnownAccount:
    values = {
        "app_conn_id": "app",
        "livemode": True,
        "install_id": "inst_1",
        "channel": "private_live",
        "status": "installed",
        "permissions_granted": ["a", "b"],
        "permissions_pending": [],
        "seen_at": NOW - 60,
        **changes,
    }
    return KnownAccount(account_id=account_id, conn_id=conn_id, **values)  # type: ignore[arg-type]


def show(*of: KnownAccount, visible: set[str] | None = None, page: str = "") -> paging.Part:
    return accounts.accounts(
        of, names={"shop": "The shop"}, visible=visible or {"shop"}, taken={"app"}, page=page
    )


def test_accounts_without_an_installation_come_first_and_can_be_adopted() -> None:
    part = show(known("acct_1A", "shop"), known("acct_1SomeShopHere"))
    new, old = part.items
    assert (new.account_id, new.suggestion) == ("acct_1SomeShopHere", "app_ShopHere")
    assert (old.conn_id, old.name, old.suggestion) == ("shop", "The shop", "")
    assert old.href == "installation?conn_id=shop"


def test_installation_of_another_team_is_not_named() -> None:
    (one,) = show(known("acct_1", "secret_project")).items
    assert one.conn_id == "another connection"
    assert (one.href, one.name, one.suggestion) == ("", "", "")


@pytest.mark.parametrize(
    ("status", "words", "adoptable"),
    [
        ("installed", "installed", True),
        ("uninstalling", "being uninstalled", False),
        ("something_new", "something new", False),
    ],
)
def test_only_what_is_installed_can_be_adopted(status: str, words: str, adoptable: bool) -> None:
    (one,) = show(known("acct_1", status=status)).items
    assert (one.status, bool(one.suggestion)) == (words, adoptable)


def test_suggested_names_are_free_and_fit_for_airflow() -> None:
    assert accounts.suggest("app", "acct_1QyAbCdEfGh", ()) == "app_AbCdEfGh"
    assert accounts.suggest("app", "acct_1QyAbCdEfGh", {"app_AbCdEfGh"}) == "app_1QyAbCdEfGh"
    assert accounts.suggest("app", 'acct_"><b>', ()) == "app_b"
    assert len(accounts.suggest("a" * 250, "acct_1", ())) == 200


def test_a_thousand_accounts_come_a_page_at_a_time() -> None:
    part = show(*(known(f"acct_{n:04}") for n in range(1000)), page="20")
    assert (len(part.items), part.pages, part.words) == (50, 20, "951 to 1,000 of 1,000")
    assert show(page="7").words == "1 to 0 of 0"


def test_everything_about_an_account_is_escaped() -> None:
    part = show(known(EVIL, status=EVIL, channel=EVIL, permissions_pending=[EVIL]))
    html = pages.render(
        "accounts.html",
        airflow_url="/",
        page_url="/stripe-app/",
        csrf=EVIL,
        app_conn_id=EVIL,
        notice=None,
        problems=[pages.Notice(EVIL)],
        part=part,
        seen=accounts.looked_at([known("acct_1")], NOW),
        can_change=True,
        may_add=True,
        previous="",
        following="",
    )
    assert EVIL not in html
    assert "1 minute ago" in html
