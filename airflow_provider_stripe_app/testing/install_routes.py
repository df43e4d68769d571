"""The Install API: ``/v1/apps/installs`` (https://docs.stripe.com/api/apps/installs).

Who may do what is Stripe's documentation; the answers to those who may not are our guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_stripe_app.testing.endpoints import Call, Handler
from airflow_provider_stripe_app.testing.errors import (
    ApiError,
    invalid,
    missing,
    missing_param,
    unknown_param,
)
from airflow_provider_stripe_app.testing.installs import STATUSES, InstallRecord
from airflow_provider_stripe_app.testing.lists import paginate, parse_query, render_page
from airflow_provider_stripe_app.testing.oauth_model import AppRecord
from airflow_provider_stripe_app.testing.token_form import valid_challenge
from airflow_provider_stripe_app.testing.wire import encode

SINCE = "2026-09-30"
"""The API version (endive) that brought the Install API; older ones do not know its URL [doc]."""

_LABEL = "app install"
_FILTERS = ("account", "app", "approval_required", "channel", "created_by", "status")
_CHANNELS = ("private_live", "private_test", "public", "testing")
_CREATE = ("app", "channel", "code_challenge", "code_challenge_method", "expand")


def list_installs(call: Call) -> bytes:
    """Answer ``GET /v1/apps/installs``.

    A developer's key with its own ``app`` sees that app's installs on all accounts, with
    ``Stripe-Account`` those of one; everyone else sees the installs of the own account.
    """
    query = parse_query(call.params, _FILTERS, created=True)
    keep = _keeper(call, query.filters)
    seen = [record for record in _visible(call, query.filters) if keep(record)]
    by_id = {record.id: record for record in seen}
    found, more = paginate(seen, query, by_id.get, _LABEL)
    return render_page([encode(call.oauth.show(record)) for record in found], more, call.path)


def create_install(call: Call) -> bytes:
    """Answer ``POST /v1/apps/installs``: a developer installs its app again on an account.

    What an account does with its own private apps is not simulated.
    """
    app = _app_to_install(call)
    challenge = _challenge(call.params)
    if not call.oauth.may_install(app, call.space.account_id):
        raise invalid("The app's developer can't grant new access on this account.", "app")
    record = call.oauth.install_of(call.space.account_id, app.client_id)
    if record is not None and record.status == "uninstalling":
        raise invalid("The app is being uninstalled from this account.", "app")
    record, code = call.oauth.reinstall(app, call.space.account_id, challenge)
    return encode(call.oauth.show(record, code))


def retrieve_install(call: Call) -> bytes:
    """Answer ``GET /v1/apps/installs/{id}`` to the account, or to the app's developer."""
    _only_expand(call)
    record = _find(call)
    developer = _is_developer(call, record)
    code = call.oauth.open_code(record) if developer else None
    return encode(call.oauth.show(record, code))


def reauthorize_install(call: Call) -> bytes:
    """Answer ``POST /v1/apps/installs/{id}``.

    The account's own key grants all that the app asks for; a developer grants nothing new [doc],
    so the install stays as it is [infer: it is not an error].
    """
    _only_expand(call)
    record = _find(call)
    if not _is_developer(call, record):
        wanted = call.oauth.app(record.client_id).permissions
        call.oauth.set_permissions(record.account_id, record.client_id, wanted)
    return encode(call.oauth.show(record))


def uninstall_install(call: Call) -> bytes:
    """Answer ``POST /v1/apps/installs/{id}/uninstall``; the answer says ``uninstalling``."""
    _only_expand(call)
    record = _find(call)
    if record.status != "uninstalling":
        call.oauth.uninstall(record.account_id, record.client_id, by_owner=False)
    return encode(call.oauth.show(record))


HANDLERS: Mapping[tuple[str, str], Handler] = {
    ("GET", "apps/installs"): list_installs,
    ("POST", "apps/installs"): create_install,
    ("GET", "apps/installs/{id}"): retrieve_install,
    ("POST", "apps/installs/{id}"): reauthorize_install,
    ("POST", "apps/installs/{id}/uninstall"): uninstall_install,
}


def _own_apps(call: Call, app_id: object) -> list[AppRecord]:
    """Return the caller's environments of an app in the mode of its key."""
    oauth = call.oauth
    mine = (app for app in oauth.apps() if app.app_id == app_id)
    return [app for app in mine if oauth.owns(call.bearer, call.grant, app)]


def _visible(call: Call, filters: Mapping[str, Any]) -> list[InstallRecord]:
    """Return the installs that a list may show, oldest first."""
    grant, acting, app_id = call.grant, call.space.account_id, filters.get("app")
    if app_id is not None and all(app.app_id != app_id for app in call.oauth.apps()):
        raise missing("app", str(app_id), "app", 400)
    mode = [r for r in call.oauth.installs() if r.livemode == grant.livemode]
    mine = {app.client_id for app in _own_apps(call, app_id)}
    if acting != grant.account_id:
        if app_id is None:
            raise missing_param("app")
        return [r for r in mode if r.account_id == acting and r.client_id in mine]
    if mine:
        return [r for r in mode if r.client_id in mine]
    if filters.get("account", acting) != acting:
        raise invalid("You may only list the app installs of your own account.", "account")
    return [r for r in mode if r.account_id == acting and app_id in (None, r.app_id)]


def _keeper(call: Call, filters: Mapping[str, Any]) -> Callable[[InstallRecord], bool]:
    """Return the test of the filters.

    :raises ApiError: 400 for a value that Stripe does not know.
    """
    status, channel = filters.get("status"), filters.get("channel")
    approval = filters.get("approval_required")
    if status is not None and status not in STATUSES:
        raise invalid(f"Invalid status: must be one of {', '.join(STATUSES)}", "status")
    if channel is not None and channel not in _CHANNELS:
        raise invalid(f"Invalid channel: must be one of {', '.join(_CHANNELS)}", "channel")
    if approval not in (None, "true", "false"):
        raise invalid(f"Invalid boolean: {approval}", "approval_required")
    wanted: dict[str, object] = {
        name: filters[name] for name in ("account", "status", "channel") if name in filters
    }
    if approval is not None:
        wanted["approval_required"] = approval == "true"

    def keep(record: InstallRecord) -> bool:
        shown = call.oauth.show(record)
        return "created_by" not in filters and all(shown[n] == v for n, v in wanted.items())

    return keep


def _app_to_install(call: Call) -> AppRecord:
    """Return the app of ``POST /v1/apps/installs``, after a check of who asks and which channel."""
    params, acting = call.params, call.space.account_id
    for name in params:
        if name not in _CREATE:
            raise unknown_param(name)
    app_id = params.get("app")
    if not isinstance(app_id, str) or not app_id:
        raise missing_param("app")
    own = _own_apps(call, app_id)
    if not own:
        raise _no_such_app(call, app_id)
    channel = params.get("channel", "public")
    if channel not in _CHANNELS:
        raise invalid(f"Invalid channel: must be one of {', '.join(_CHANNELS)}", "channel")
    fitting = [app for app in own if app.install_channel == channel]
    if not fitting:
        raise invalid(f"The app is not distributed on the {channel} channel.", "channel")
    if acting == call.grant.account_id:
        raise invalid(
            "An account can only install its own private apps through the API. To install your "
            "app on another account, set the Stripe-Account header.",
            "channel",
        )
    return next((a for a in fitting if call.oauth.may_install(a, acting)), fitting[0])


def _no_such_app(call: Call, app_id: str) -> ApiError:
    for app in call.oauth.apps():
        if app.app_id == app_id and app.developer_account == call.grant.account_id:
            there, here = ("live", "test") if app.livemode else ("test", "live")
            text = (
                f"No such app: '{app_id}'; a similar object exists in {there} mode, but a {here} "
                "mode key was used to make this request."
            )
            return ApiError(400, text, code="resource_missing", param="app")
    return missing("app", app_id, "app", 400)


def _challenge(params: Mapping[str, Any]) -> str | None:
    """Return the PKCE challenge.

    :raises ApiError: 400 unless it has Stripe's form and the method S256 [doc].
    """
    challenge, method = params.get("code_challenge"), params.get("code_challenge_method")
    if challenge is None:
        if method is not None:
            raise missing_param("code_challenge")
        return None
    if not isinstance(challenge, str) or not valid_challenge(challenge):
        raise invalid("Invalid code_challenge: must be 43 to 128 characters", "code_challenge")
    if method is None:
        raise missing_param("code_challenge_method")
    if method != "S256":
        raise invalid("Invalid code_challenge_method: must be S256", "code_challenge_method")
    return challenge


def _find(call: Call) -> InstallRecord:
    """Return the install of the path if the caller may know it.

    :raises ApiError: 404 otherwise.
    """
    id_, acting = call.ids[0], call.space.account_id
    for record in call.oauth.installs():
        if record.id != id_ or record.livemode != call.grant.livemode:
            continue
        mine = record.account_id == call.grant.account_id == acting
        addressed = acting in (call.grant.account_id, record.account_id)
        if mine or (addressed and _is_developer(call, record)):
            return record
    raise missing(_LABEL, id_)


def _is_developer(call: Call, record: InstallRecord) -> bool:
    return call.oauth.owns(call.bearer, call.grant, call.oauth.app(record.client_id))


def _only_expand(call: Call) -> None:
    for name in call.params:
        if name != "expand":
            raise unknown_param(name)
