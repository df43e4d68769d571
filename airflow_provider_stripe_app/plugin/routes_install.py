"""Install → Stripe's consent page → callback → stored grant."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow_provider_stripe_app.plugin import rights, security, web
from airflow_provider_stripe_app.plugin.shield import query_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from airflow_provider_stripe_app.oauth.install import (
        Check,
        DifferentAccount,
        Installed,
        Installer,
    )

KEPT = frozenset({"code", "state", "error"})

MISSING_STATE = (
    "This answer from Stripe does not belong to an installation that was started here, so it "
    "was not accepted. Installations have to be started from Airflow: open the Stripe App page "
    "and press Install. (If you installed the app in Stripe's marketplace or Dashboard just "
    "now, that is fine: press Install once more from here.)"
)


def installer(user: Any | None = None) -> Installer:
    """Return the steps of an installation on this deployment's store.

    :param user: who takes them, once it is known.
    """
    from airflow_provider_stripe_app.oauth.install import Installer
    from airflow_provider_stripe_app.oauth.store import TokenStore

    by = security.person(user) if user is not None else None
    return Installer(TokenStore(), web.site().redirect_uri, by=by)


async def start(request: Request, user: Any) -> Response:
    """``POST /install``: make a state and send the browser to Stripe."""
    from starlette.concurrency import run_in_threadpool

    form = await web.form_of(request, user)
    app_conn_id = form.get("conn_id", "")
    conn_id = form.get("installation_conn_id", "").strip() or app_conn_id

    def work() -> str:
        rights.check_install(user, app_conn_id, conn_id)
        return installer().begin(app_conn_id, conn_id, security.user_key(user))

    return web.see_other(await run_in_threadpool(work))


async def callback(request: Request) -> Response:
    """``GET /callback``: what Stripe sends the browser back with.

    Its authority is the state: a top-level GET from another site can carry no form token.
    """
    from starlette.concurrency import run_in_threadpool

    if request.method != "GET":
        # Starlette gives every GET route a HEAD: a link checker's must not use the code up.
        return web.message("Start from Airflow", MISSING_STATE, status=405)
    query = query_of(request.scope)
    user = await security.current_user(request)
    if user is None:
        return await run_in_threadpool(_park, query)
    return await run_in_threadpool(_answer, user, query)


def _park(query: dict[str, str]) -> Response:
    """Keep an anonymous callback here and ask for a login, without the code in any address."""
    state, handle = query.get("state", ""), query.get("resume", "")
    callback_path = f"{web.site().page}callback"
    if state and not handle:
        kept = {name: value for name, value in query.items() if name in KEPT}
        handle = installer().park(state, kept)
    if not handle:
        return web.message("Start from Airflow", MISSING_STATE)
    return web.to_login(f"{callback_path}?{urlencode({'resume': handle})}")


def _answer(user: Any, query: dict[str, str]) -> Response:
    from airflow_provider_stripe_app.oauth.install import DifferentAccount

    steps, user_id = installer(user), security.user_key(user)
    if query.get("resume"):
        query = steps.unpark(query["resume"], user_id)
    state, code, error = (query.get(name, "") for name in ("state", "code", "error"))
    if not state or not (code or error):
        return web.message("Start from Airflow", MISSING_STATE)
    if error:
        steps.decline(state, user_id, error)

    try:
        return _done(steps.complete(state, code, user_id, _check_of(user)))
    except DifferentAccount as different:
        return _question(different)


def _check_of(user: Any) -> Check:
    """Return what asks the auth manager about the connections of a stored state."""
    return functools.partial(rights.check_install, user)


def _question(different: DifferentAccount) -> Response:
    """Another address, so that reloading asks again instead of sending the spent code again."""
    return web.see_other(f"{web.site().page}confirm", handle=different.handle)


async def ask(request: Request) -> Response:
    """``GET /confirm``: ask whether another account takes the place of the installed one."""
    from starlette.concurrency import run_in_threadpool

    user = await security.current_user(request)
    if user is None:
        return web.to_login(web.site().page)
    handle = query_of(request.scope).get("handle", "")
    user_id = security.user_key(user)
    question = await run_in_threadpool(
        lambda: installer().waiting(handle, user_id, _check_of(user))
    )
    return web.with_csrf(
        request,
        user,
        lambda csrf: web.html(
            "confirm.html",
            csrf=csrf,
            handle=handle,
            conn_id=question.conn_id,
            old_account=question.old_account,
            new_account=question.new_account,
            text=str(question),
        ),
    )


def _done(installed: Installed) -> Response:
    return web.done("installed", installed.conn_id)


async def confirm(request: Request, user: Any) -> Response:
    """``POST /confirm``: another account takes the place of the installed one."""
    from starlette.concurrency import run_in_threadpool

    from airflow_provider_stripe_app.oauth.install import DifferentAccount

    handle = (await web.form_of(request, user)).get("handle", "")

    def work() -> Response:
        user_id = security.user_key(user)
        try:
            return _done(installer(user).confirm(handle, user_id, _check_of(user)))
        except DifferentAccount as different:  # from what was asked about: somebody was faster
            return _question(different)

    return await run_in_threadpool(work)
