"""Installing an app without a browser in Airflow: manifest, link, what Stripe sends back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_stripe_app.cli_commands.output import (
    Result,
    agrees,
    command,
    read_input,
    say,
    user,
)
from airflow_provider_stripe_app.exceptions import ConfigurationError

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_stripe_app.oauth.install import Installed, Installer

CALLBACK_VARIABLE = "STRIPE_APP_CALLBACK"


def _redirect_uri() -> str:
    from airflow.configuration import conf

    from airflow_provider_stripe_app.oauth.install import callback_uri

    return callback_uri(conf.get("api", "base_url", fallback="") or "http://localhost:8080")


def _installer() -> Installer:
    from airflow_provider_stripe_app.oauth.install import Installer
    from airflow_provider_stripe_app.oauth.store import TokenStore

    return Installer(TokenStore(), _redirect_uri())


@command
def manifest(args: Namespace) -> Result:
    """Write ``stripe-app.json``."""
    from airflow_provider_stripe_app.oauth import manifest as made

    streams = [name.strip() for name in args.streams.split(",") if name.strip()]
    chosen = {
        "app_id": args.app_id,
        "name": args.name,
        "version": args.app_version,
        "icon": args.icon,
    }
    text = made.manifest_json(
        made.build_manifest(
            redirect_uris=args.redirect_uri or [_redirect_uri()],
            permissions=made.permissions_with_purpose(streams),
            **{name: value for name, value in chosen.items() if value is not None},
        )
    )
    if args.output_file is None:
        return Result(text.rstrip("\n"))
    path = Path(args.output_file)
    try:
        with path.open("w" if args.force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigurationError(f"{path} exists: add --force to replace it.") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from None
    say(f"Wrote {path}.")
    return Result()


@command
def install_url(args: Namespace) -> Result:
    """Print the address of Stripe's consent page."""
    from airflow_provider_stripe_app.oauth.install_states import LIFETIME

    conn_id = args.installation_conn_id or args.conn_id
    address = _installer().begin(args.conn_id, conn_id, user())
    say(
        f"Open this address within {LIFETIME // 60:.0f} minutes. Stripe then sends the browser to "
        f"an address that begins with {_redirect_uri()}: copy it whole out of the browser, also if "
        "the page says that something is wrong, and run: airflow stripe-app exchange"
    )
    data = {
        "url": address,
        "redirect_uri": _redirect_uri(),
        "conn_id": conn_id,
        "app_conn_id": args.conn_id,
        "expires_in": round(LIFETIME),
    }
    return Result(address, data)


@command
def exchange(args: Namespace) -> Result:
    """Finish an installation."""
    from airflow_provider_stripe_app.oauth.install import DifferentAccount

    pasted = read_input(
        args.callback_file, CALLBACK_VARIABLE, "Paste the address out of the browser"
    )
    values = parse_callback(pasted)
    steps, by = _installer(), user()
    try:
        installed = _finish(steps, values, args, by)
    except DifferentAccount as different:
        if not (args.yes or agrees(f"{different} Replace it?")):
            raise ConfigurationError(
                f"{different} Nothing was stored. To replace the account, start again with "
                "install-url and finish with: airflow stripe-app exchange --yes"
            ) from None
        installed = steps.confirm(different.handle, by, lambda *_: None)
    return installed_result(installed)


def installed_result(installed: Installed, word: str = "Installed") -> Result:
    """Return what is said of a new installation.

    :param installed: the installation.
    :param word: what was done.
    """
    mode = "live" if installed.livemode else "test"
    return Result(
        f"{word} {installed.account_id} ({mode} mode) in connection {installed.conn_id}.",
        {
            "conn_id": installed.conn_id,
            "account_id": installed.account_id,
            "livemode": installed.livemode,
        },
    )


def _finish(steps: Installer, values: dict[str, str], args: Namespace, by: str) -> Installed:
    state = values.get("state", "")
    if "error" in values:
        steps.decline(state, by, values["error"])
    if state:
        # Who may run the CLI may read and write every connection: there is nobody to ask.
        return steps.complete(state, values["code"], by, lambda *_: None)
    if not args.conn_id:
        raise ConfigurationError(
            "There is only a code and no state: paste the whole address out of the browser, or "
            "name the app's connection with --conn-id."
        )
    return steps.accept(args.conn_id, args.installation_conn_id or args.conn_id, values["code"], by)


def parse_callback(text: str) -> dict[str, str]:
    """Return ``code`` or ``error``, and ``state``, out of what was pasted.

    :param text: the address that Stripe sent the browser to, or a bare code.
    :raises ConfigurationError: if it is neither.
    """
    text = text.strip().strip("<>\"'")
    if text.startswith("ac_") and text.replace("_", "").isalnum():
        return {"code": text}
    pairs = parse_qsl(urlsplit(text).query, keep_blank_values=True)
    values = dict(reversed(pairs))  # the first of repeated ones wins
    if not (values.get("code") or values.get("error")):
        raise ConfigurationError(
            "That is not what Stripe sends back: paste the whole address of the page that the "
            "browser shows after consent (it has code=ac_… and state=… in it)."
        )
    wanted = ("code", "state", "error")
    return {name: values[name] for name in wanted if values.get(name)}
