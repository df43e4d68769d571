"""Only what is unmistakably an install, a list of them or a refusal counts as one."""

from __future__ import annotations

import json

import pytest

from airflow_provider_stripe_app.oauth.account_name import name_of
from airflow_provider_stripe_app.oauth.config import TokenPolicy
from airflow_provider_stripe_app.oauth.installs_api import (
    Install,
    InstallsApi,
    InstallsRefused,
    InstallsTrouble,
    classify,
    read_install,
)
from airflow_provider_stripe_app.oauth.key_client import RawAnswer
from airflow_provider_stripe_app.oauth.refresh_rules import (
    MAX_MENDING_TRIES,
    Decision,
    TokenState,
    decide,
    next_mending,
)
from airflow_provider_stripe_app.oauth.reinstall import mending_key

NOW = 1_800_000_000.0
SECRET = "ac_" + "x" * 24


def install(number: int = 1, **changes: object) -> dict[str, object]:
    return {
        "id": f"appinst_{number}",
        "object": "apps.install",
        "app": "app_1",
        "account": f"acct_{number}",
        "livemode": True,
        "status": "installed",
        "channel": "public",
        "permissions_granted": ["invoice_read", "customer_read"],
        "permissions_pending": [],
        "approval_required": False,
        "auth_code": None,
        **changes,
    }


def answer(status: int, body: object) -> RawAnswer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawAnswer(status, {"request-id": "req_1"}, data)


class Pages:
    """Answers list requests with one page after the other."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.queries: list[dict[str, str]] = []

    def get(self, path: str, query: dict[str, str]) -> object:
        self.queries.append(dict(query))
        return self.answers.pop(0)


def page(*rows: object, has_more: bool = False) -> RawAnswer:
    return answer(200, {"object": "list", "data": list(rows), "has_more": has_more})


def test_an_install_is_read_and_its_code_is_in_no_repr():
    found = read_install(install(auth_code=SECRET))
    assert found is not None
    assert found.auth_code == SECRET
    assert SECRET not in repr(found)
    assert found.permissions_granted == ("customer_read", "invoice_read")


@pytest.mark.parametrize(
    "changes",
    [{"object": "customer"}, {"id": None}, {"account": 1}, {"livemode": "true"}, {"status": None}],
)
def test_what_is_no_install_is_none(changes):
    assert read_install(install(**changes)) is None


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (TimeoutError("sk_live_x"), InstallsTrouble),
        (answer(200, b'{"object": "li'), InstallsTrouble),
        (answer(200, b"<html>"), InstallsTrouble),
        (answer(502, b"<html>"), InstallsTrouble),
        (answer(404, b"<html>a proxy's page"), InstallsTrouble),
        (answer(500, {"error": {"message": "oops"}}), InstallsTrouble),
        (answer(429, {"error": {"code": "rate_limit"}}), InstallsTrouble),
        (answer(409, {"error": {"code": "idempotency_key_in_use"}}), InstallsTrouble),
        (answer(403, {"error": {"message": "no"}}), InstallsRefused),
        (answer(404, {"error": {"message": "Unrecognized request URL"}}), InstallsRefused),
        (answer(400, {"error": {"code": "resource_missing"}}), InstallsRefused),
        (answer(401, {"error": {"message": "Invalid API Key sk_live_51abc"}}), InstallsRefused),
    ],
)
def test_every_answer_has_a_meaning_and_no_key_in_it(given, kind):
    found = classify(given)
    assert isinstance(found, kind)
    assert "sk_live_x" not in found.message
    assert "51abc" not in found.message


def test_a_list_is_read_to_its_end():
    pages = Pages(page(install(1), install(2), has_more=True), page(install(3)))
    found = InstallsApi(pages).list("app_1")
    assert isinstance(found, list)
    assert [one.account for one in found] == ["acct_1", "acct_2", "acct_3"]
    assert pages.queries[1]["starting_after"] == "appinst_2"


@pytest.mark.parametrize(
    "answers",
    [
        [page(install(1), {"object": "apps.install"})],
        [page(has_more=True)],
        [page(install(1), has_more=True), answer(500, {"error": {}})],
        [page(install(1), has_more=True), page(install(1), has_more=True)],
        [answer(200, {"object": "list", "data": {}})],
        [answer(200, {"object": "list", "data": []})],
    ],
)
def test_half_a_list_is_no_list_for_it_would_look_like_uninstalls(answers):
    assert isinstance(InstallsApi(Pages(*answers)).list("app_1"), InstallsTrouble)


def test_an_answer_for_other_accounts_than_asked_for_is_left_out():
    found = InstallsApi(Pages(page(install(1), install(2)))).list("app_1", "acct_2")
    assert isinstance(found, list)
    assert [one.account for one in found if isinstance(one, Install)] == ["acct_2"]


def test_each_try_has_a_key_of_its_own_and_none_tells_the_token():
    keys = {mending_key("rt_secret", number) for number in range(3)} | {mending_key("rt_b", 1)}
    assert len(keys) == 4
    assert not any("secret" in key for key in keys)


def state(**changes: object) -> TokenState:
    values = {
        "status": "reauthorization_required",
        "stored": "f",
        "expires_at": NOW + 3000,
        "refreshed_at": NOW - 600,
        **changes,
    }
    return TokenState(**values)


@pytest.mark.parametrize(
    ("changes", "decision"),
    [
        ({}, Decision.LOST),
        ({"heal_after": NOW}, Decision.MEND),
        ({"heal_after": NOW + 1}, Decision.MEND_LATER),
        ({"heal_after": NOW, "lease_until": NOW + 5}, Decision.WAIT),
        ({"heal_after": NOW, "lease_until": NOW - 5}, Decision.MEND),
        ({"lease_until": NOW + 5}, Decision.WAIT),
    ],
)
def test_what_is_lost_is_mended_when_its_time_has_come_and_by_one(changes, decision):
    assert decide(state(**changes), refused=None, now=NOW, policy=TokenPolicy()) is decision


def test_tries_without_an_answer_become_rarer_and_end():
    policy = TokenPolicy()
    waits = [next_mending(tries, 0.0, policy) for tries in range(1, MAX_MENDING_TRIES + 1)]
    assert waits == [60.0, 300.0, 1500.0, 7500.0, None]


@pytest.mark.parametrize(
    ("account", "name"),
    [
        ({"settings": {"dashboard": {"display_name": " Acme \n GmbH "}}}, "Acme GmbH"),
        ({"settings": {"dashboard": None}, "business_profile": {"name": "Shop"}}, "Shop"),
        ({"settings": "odd", "business_profile": []}, None),
        ({"business_profile": {"name": "  "}}, None),
    ],
)
def test_an_accounts_name_is_one_line_or_nothing(account, name):
    assert name_of(account) == name
