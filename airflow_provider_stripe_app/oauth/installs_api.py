"""Stripe's Install API: which accounts have an app, reinstalling it, uninstalling it.

``/v1/apps/installs`` exists since API version 2026-09-30.endive (https://docs.stripe.com/api/apps/install).
It is called with the app developer's secret key. What it does for apps with OAuth has not been
tried on live Stripe, so every answer has a meaning here, and none that is not an unmistakable *yes*
changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from airflow_provider_stripe_app.oauth.key_client import KeyClient, RawAnswer, decode, scrub

PATH = "/v1/apps/installs"
PAGE = 100
INSTALLED = "installed"
INSTALLING = "installing"


@dataclass(frozen=True)
class Install:
    """One account that has the app (object ``apps.install``).

    :param id: of the install.
    :param app: ``app_…``.
    :param account: ``acct_…`` that installed.
    :param status: ``installed``, ``installing``, ``install_failed``, ``uninstalling`` or
        ``uninstall_failed``.
    :param channel: ``public``, ``testing`` …
    :param auth_code: an authorization code, when Stripe gives one.
    """

    id: str
    app: str
    account: str
    livemode: bool
    status: str
    channel: str | None = None
    permissions_granted: tuple[str, ...] = ()
    permissions_pending: tuple[str, ...] = ()
    approval_required: bool = False
    auth_code: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class InstallsRefused:
    """Stripe says no, for a reason that a repetition does not change."""

    message: str
    request_id: str | None = None


@dataclass(frozen=True)
class InstallsTrouble:
    """No usable answer: says nothing about the app or the account."""

    message: str
    request_id: str | None = None


def read_install(values: Any) -> Install | None:
    """Return an object ``apps.install``, ``None`` if it is none."""
    if not isinstance(values, Mapping) or values.get("object") != "apps.install":
        return None
    known = {name: values.get(name) for name in ("id", "app", "account", "status")}
    texts = {name: text for name, text in known.items() if isinstance(text, str)}
    livemode = values.get("livemode")
    if len(texts) < len(known) or not isinstance(livemode, bool):
        return None
    code, channel = values.get("auth_code"), values.get("channel")
    return Install(
        **texts,
        livemode=livemode,
        channel=channel if isinstance(channel, str) else None,
        permissions_granted=_names(values.get("permissions_granted")),
        permissions_pending=_names(values.get("permissions_pending")),
        approval_required=bool(values.get("approval_required")),
        auth_code=code if isinstance(code, str) and code else None,
    )


def _names(values: Any) -> tuple[str, ...]:
    found = values if isinstance(values, list) else []
    return tuple(sorted(name for name in found if isinstance(name, str)))


def classify(answer: RawAnswer | Exception) -> Any | InstallsRefused | InstallsTrouble:
    """Return the decoded JSON of a 200, else what the answer means.

    :param answer: an answer of the API, or what was raised instead of one.
    """
    if isinstance(answer, Exception):
        return InstallsTrouble(f"no answer from Stripe ({type(answer).__name__})")
    request_id = answer.headers.get("request-id")
    body = decode(answer.body)
    if answer.status == 200:
        if body is None:
            return InstallsTrouble("Stripe's answer was cut off", request_id)
        return body
    error = body.get("error") if body is not None else None
    if not isinstance(error, Mapping):  # a proxy's page, or an answer that was cut off
        return InstallsTrouble(f"HTTP {answer.status} without Stripe's words", request_id)
    said = scrub(error.get("message") or error.get("code") or "")
    text = f"HTTP {answer.status}: {said}" if said else f"HTTP {answer.status}"
    if answer.status in {409, 429} or answer.status >= 500:
        return InstallsTrouble(text, request_id)
    return InstallsRefused(text, request_id)


class InstallsApi:
    """The Install API with one app's secret key.

    :param client: sends requests with that key.
    """

    def __init__(self, client: KeyClient) -> None:
        self._client = client

    def list(
        self, app_id: str, account: str | None = None
    ) -> list[Install] | InstallsRefused | InstallsTrouble:
        """Return the installs of an app, all of them or one account's.

        :param app_id: ``app_…``.
        :param account: ``acct_…``, ``None`` for every account.
        """
        found: dict[str, Install] = {}
        query = {"app": app_id, "limit": str(PAGE)} | ({"account": account} if account else {})
        while True:
            answer = classify(self._client.get(PATH, query))
            if isinstance(answer, (InstallsRefused, InstallsTrouble)):
                return answer
            rows = answer.get("data")
            if not isinstance(rows, list) or not isinstance(answer.get("has_more"), bool):
                return InstallsTrouble("Stripe's answer is not a list of installs")
            page = [one for one in map(read_install, rows) if one is not None]
            if len(page) != len(rows) or (answer["has_more"] and not page):
                # A list that is only half understood must not make installs look uninstalled.
                return InstallsTrouble("Stripe's list holds something that is not an install")
            found |= {one.id: one for one in page if account in {None, one.account}}
            if not answer["has_more"]:
                return list(found.values())
            if query.get("starting_after") == page[-1].id:
                return InstallsTrouble("Stripe's list does not end")
            query["starting_after"] = page[-1].id

    def retrieve(self, install_id: str) -> Install | InstallsRefused | InstallsTrouble:
        """Return one install.

        :param install_id: its id.
        """
        return self._one(self._client.get(f"{PATH}/{quote(install_id, safe='')}", {}))

    def reinstall(
        self, app_id: str, account: str, *, channel: str, idempotency_key: str
    ) -> Install | InstallsRefused | InstallsTrouble:
        """Install the app again on an account; for OAuth apps the answer can carry a code.

        :param app_id: ``app_…``.
        :param account: ``acct_…``.
        :param channel: ``public`` or ``testing``.
        :param idempotency_key: the same for repetitions after a lost answer.
        """
        headers = {"Stripe-Account": account, "Idempotency-Key": idempotency_key}
        return self._one(
            self._client.post(PATH, {"app": app_id, "channel": channel}, headers=headers)
        )

    def uninstall(
        self, install_id: str, *, idempotency_key: str
    ) -> Install | InstallsRefused | InstallsTrouble:
        """Uninstall the app from the account of an install.

        :param install_id: the install.
        :param idempotency_key: the same for repetitions after a lost answer.
        """
        path = f"{PATH}/{quote(install_id, safe='')}/uninstall"
        return self._one(self._client.post(path, {}, headers={"Idempotency-Key": idempotency_key}))

    @staticmethod
    def _one(answer: RawAnswer | Exception) -> Install | InstallsRefused | InstallsTrouble:
        values = classify(answer)
        if isinstance(values, (InstallsRefused, InstallsTrouble)):
            return values
        return read_install(values) or InstallsTrouble("Stripe's answer is not an install")
