"""The simulation's own HTTP routes under ``/_sim/``: JSON in, JSON out, no key, loopback only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from airflow_provider_stripe_app.testing.errors import ApiError
from airflow_provider_stripe_app.testing.faults import Fault, Hook
from airflow_provider_stripe_app.testing.messages import Request, Response
from airflow_provider_stripe_app.testing.wire import decode, encode

if TYPE_CHECKING:
    from airflow_provider_stripe_app.testing.oauth import AppRecord
    from airflow_provider_stripe_app.testing.scripting import Account
    from airflow_provider_stripe_app.testing.server import SimulatedStripe

Arguments = Mapping[str, Any]
Control = Callable[["SimulatedStripe", Arguments], Any]


def handle(sim: SimulatedStripe, request: Request) -> Response:
    """Answer a control request.

    :param request: arguments are the query of a GET, the JSON body of anything else.
    """
    name = request.path.removeprefix("/_sim/").strip("/")
    control = ROUTES.get((request.method, name))
    if control is None:
        known = sorted(f"{method} /_sim/{path}" for method, path in ROUTES)
        return _json(404, {"error": f"There is no {request.method} /_sim/{name}", "known": known})
    try:
        arguments = (
            dict(parse_qsl(request.query))
            if request.method == "GET"
            else decode(request.body or b"{}")
        )
        result = control(sim, arguments)
    except ApiError as error:
        return _json(error.status, error.body("req_control"))
    except (KeyError, ValueError, TypeError) as error:
        return _json(400, {"error": f"{type(error).__name__}: {error}"})
    return result if isinstance(result, Response) else _json(200, result)


def _objects(sim: SimulatedStripe, arguments: Arguments) -> Response:
    raws = sim.raw_objects(_account(sim, arguments), arguments["type"])
    return Response(200, b'{"data":[' + b",".join(raws) + b"]}")


def _json(status: int, body: Any) -> Response:
    return Response(status, encode(body))


def _account(sim: SimulatedStripe, arguments: Arguments) -> Account:
    livemode = arguments.get("livemode") in (True, "true", "1")
    return sim.account(arguments.get("account"), livemode=livemode)


def _app(app: AppRecord) -> dict[str, Any]:
    return {
        "client_id": app.client_id,
        "app_id": app.app_id,
        "developer_account": app.developer_account,
        "secret_key": app.secret_key,
        "install_link": app.install_link,
        "livemode": app.livemode,
        "permissions": sorted(app.permissions),
        "redirect_uris": list(app.redirect_uris),
    }


def _clock(sim: SimulatedStripe, _: Arguments) -> Any:
    return {"now": sim.clock.now(), "frozen": sim.clock.frozen}


def _advance(sim: SimulatedStripe, arguments: Arguments) -> Any:
    sim.clock.advance(float(arguments["seconds"]))
    return _clock(sim, arguments)


def _freeze(sim: SimulatedStripe, arguments: Arguments) -> Any:
    if arguments.get("frozen", True):
        sim.clock.freeze(arguments.get("at"))
    else:
        sim.clock.unfreeze()
    return _clock(sim, arguments)


def _switches(sim: SimulatedStripe, _: Arguments) -> Any:
    return sim.switches.as_dict()


def _set_switches(sim: SimulatedStripe, arguments: Arguments) -> Any:
    sim.switches.set(**arguments)
    return sim.switches.as_dict()


def _reset(sim: SimulatedStripe, arguments: Arguments) -> Any:
    sim.reset()
    return _clock(sim, arguments)


def _faults(sim: SimulatedStripe, _: Arguments) -> Any:
    return {"faults": [rule.as_dict() for rule in sim.faults.rules()]}


def _add_fault(sim: SimulatedStripe, arguments: Arguments) -> Any:
    return sim.faults.add(Fault.from_dict(arguments)).as_dict()


def _remove_faults(sim: SimulatedStripe, arguments: Arguments) -> Any:
    return {"removed": sim.faults.remove(arguments.get("id"))}


def _add_hook(sim: SimulatedStripe, arguments: Arguments) -> Any:
    """Run control routes when the n-th request of a path arrives or was carried out."""
    steps = [(step["route"], step.get("arguments", {})) for step in arguments["do"]]
    unknown = [name for name, _ in steps if ("POST", name) not in ROUTES]
    if unknown:
        raise ValueError(f"There is no POST /_sim/{unknown[0]}")

    def run(_: Request) -> None:
        for name, given in steps:
            ROUTES["POST", name](sim, given)

    hook = Hook(
        arguments["path"],
        run,
        arguments.get("method", ""),
        arguments.get("nth", 1),
        arguments.get("when", "before"),
    )
    sim.faults.add_hook(hook)
    return {"path": hook.path, "nth": hook.nth, "when": hook.when}


def _populate(sim: SimulatedStripe, arguments: Arguments) -> Any:
    wanted = {k: v for k, v in arguments.items() if k not in ("account", "livemode")}
    return sim.populate(_account(sim, arguments), **wanted)


def _create(sim: SimulatedStripe, arguments: Arguments) -> Any:
    return sim.create(
        _account(sim, arguments),
        arguments["type"],
        arguments.get("fields", {}),
        silent=arguments.get("silent", False),
    )


def _update(sim: SimulatedStripe, arguments: Arguments) -> Any:
    return sim.update(
        _account(sim, arguments),
        arguments["id"],
        arguments["changes"],
        silent=arguments.get("silent", False),
    )


def _delete(sim: SimulatedStripe, arguments: Arguments) -> Any:
    sim.delete(
        _account(sim, arguments),
        arguments["id"],
        silent=arguments.get("silent", False),
        force=arguments.get("force", False),
    )
    return {"deleted": arguments["id"]}


def _advance_object(sim: SimulatedStripe, arguments: Arguments) -> Any:
    return sim.advance_status(
        _account(sim, arguments),
        arguments["id"],
        arguments.get("to"),
        silent=arguments.get("silent", False),
    )


def _random_change(sim: SimulatedStripe, arguments: Arguments) -> Any:
    kinds = arguments.get("types")
    return {"did": sim.random_change(_account(sim, arguments), kinds)}


def _lines(sim: SimulatedStripe, arguments: Arguments) -> Any:
    account, invoice = _account(sim, arguments), arguments["invoice"]
    if arguments.get("add"):
        sim.add_lines(account, invoice, arguments["add"])
    if arguments.get("remove"):
        sim.remove_lines(account, invoice, arguments["remove"])
    return sim.get(account, invoice)


def _move(sim: SimulatedStripe, arguments: Arguments) -> Any:
    return sim.move_invoice(_account(sim, arguments), arguments["invoice"], arguments["action"])


def _apps(sim: SimulatedStripe, _: Arguments) -> Any:
    return {"apps": [_app(app) for app in sim.oauth.apps()]}


def _register(sim: SimulatedStripe, arguments: Arguments) -> Any:
    return _app(sim.register_app(**arguments))


def _release(sim: SimulatedStripe, arguments: Arguments) -> Any:
    return _app(sim.oauth.release(arguments["client_id"], arguments["permissions"]))


def _permissions(sim: SimulatedStripe, arguments: Arguments) -> Any:
    """Change what an installation was granted, as an uninstalled permission would."""
    account = _account(sim, arguments)
    permissions = arguments["permissions"]
    sim.oauth.set_permissions(account.id, arguments["client_id"], permissions)
    return {"account": account.id, "permissions": permissions}


def _install(sim: SimulatedStripe, arguments: Arguments) -> Any:
    location = sim.install(
        arguments["client_id"],
        _account(sim, arguments),
        redirect_uri=arguments.get("redirect_uri"),
        state=arguments.get("state"),
        decision=arguments.get("decision", "allow"),
    )
    return {"location": location}


def _uninstall(sim: SimulatedStripe, arguments: Arguments) -> Any:
    account = _account(sim, arguments)
    sim.uninstall(arguments["client_id"], account)
    return {"account": account.id}


def _installs(sim: SimulatedStripe, arguments: Arguments) -> Any:
    only = _account(sim, arguments) if arguments.get("account") else None
    return {"installs": sim.installs(only)}


def _kill_grant(sim: SimulatedStripe, arguments: Arguments) -> Any:
    account = _account(sim, arguments)
    sim.kill_grant(arguments["client_id"], account)
    return {"account": account.id}


def _install_status(sim: SimulatedStripe, arguments: Arguments) -> Any:
    account = _account(sim, arguments)
    return sim.set_install_status(arguments["client_id"], arguments["status"], account)


def _expire(sim: SimulatedStripe, arguments: Arguments) -> Any:
    return {"expired": sim.oauth.expire_access_tokens(_account(sim, arguments).id)}


def _keys(sim: SimulatedStripe, arguments: Arguments) -> Any:
    account = _account(sim, arguments)
    if arguments.get("kind", "secret") == "secret":
        return {"key": sim.secret_key(account)}
    return {"key": sim.restricted_key(arguments.get("permissions"), account)}


def _accounts(sim: SimulatedStripe, _: Arguments) -> Any:
    return {
        "accounts": [
            {
                "id": id_,
                "livemode": livemode,
                "objects": space.counts(),
                "events": len(space.events),
            }
            for (id_, livemode), space in sim.service.ledger.spaces.items()
        ]
    }


def _make_account(sim: SimulatedStripe, arguments: Arguments) -> Any:
    account = _account(sim, arguments)
    return {"id": account.id, "livemode": account.livemode}


def _requests(sim: SimulatedStripe, arguments: Arguments) -> Any:
    if arguments.get("per") == "second":
        return {"seconds": [row.as_dict() for row in sim.arrivals()]}
    found = sim.requests(arguments.get("match"))
    return {"count": len(found), "requests": [line.as_dict() for line in found]}


def _forget_requests(sim: SimulatedStripe, _: Arguments) -> Any:
    count = len(sim.service.log)
    sim.service.log.clear()
    sim.service.arrivals.clear()
    return {"forgotten": count}


def _stats(sim: SimulatedStripe, arguments: Arguments) -> Any:
    return {
        **_clock(sim, arguments),
        "counts": dict(sim.service.counts),
        "api": dict(sim.service.api.counts),
        "oauth": dict(sim.oauth.counts),
        **_accounts(sim, arguments),
    }


ROUTES: Mapping[tuple[str, str], Control] = {
    ("GET", "clock"): _clock,
    ("POST", "reset"): _reset,
    ("POST", "advance"): _advance,
    ("POST", "freeze"): _freeze,
    ("GET", "switches"): _switches,
    ("POST", "switches"): _set_switches,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _add_fault,
    ("DELETE", "faults"): _remove_faults,
    ("POST", "hooks"): _add_hook,
    ("POST", "populate"): _populate,
    ("POST", "create"): _create,
    ("POST", "update"): _update,
    ("POST", "delete"): _delete,
    ("POST", "advance_status"): _advance_object,
    ("POST", "random_change"): _random_change,
    ("POST", "lines"): _lines,
    ("POST", "move_invoice"): _move,
    ("GET", "objects"): _objects,
    ("GET", "apps"): _apps,
    ("POST", "apps"): _register,
    ("POST", "release"): _release,
    ("POST", "permissions"): _permissions,
    ("POST", "install"): _install,
    ("POST", "uninstall"): _uninstall,
    ("GET", "installs"): _installs,
    ("POST", "kill_grant"): _kill_grant,
    ("POST", "install_status"): _install_status,
    ("POST", "expire"): _expire,
    ("POST", "keys"): _keys,
    ("GET", "accounts"): _accounts,
    ("POST", "accounts"): _make_account,
    ("GET", "requests"): _requests,
    ("DELETE", "requests"): _forget_requests,
    ("GET", "stats"): _stats,
}
