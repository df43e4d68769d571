"""What ``airflow stripe-app …`` does. Runs where Airflow's metadata database is."""

from __future__ import annotations

import functools
import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    StripeAppError,
)

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_provider_stripe_app.oauth.install import Installed, Installer
    from airflow_provider_stripe_app.oauth.store import InstallationStatus

FAILED = 1
USAGE = 2
REAUTHORIZE = 3

CALLBACK_VARIABLE = "STRIPE_APP_CALLBACK"


@dataclass(frozen=True)
class Result:
    """What a command says on standard output, and its exit status."""

    text: str = ""
    status: int = 0


def _command(function: Callable[[Namespace], Result]) -> Callable[[Namespace], None]:
    """Make errors one sentence on standard error, and keep standard output for the result."""

    @functools.wraps(function)
    def guarded(args: Namespace) -> None:
        try:
            with _logs_to_stderr():
                result = function(args)
        except ReauthorizationRequired as error:
            _stop(str(error), REAUTHORIZE)
        except StripeAppError as error:
            _stop(str(error), FAILED)
        except KeyboardInterrupt:
            _stop("Interrupted.", 130)
        else:
            sys.stdout.write(result.text)
            if result.status:
                raise SystemExit(result.status)

    return guarded


@contextmanager
def _logs_to_stderr() -> Iterator[None]:
    """Send what Airflow logs meanwhile to standard error, as a file: 3.2 writes it to stdout."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _stop(text: str, status: int) -> NoReturn:
    print(text, file=sys.stderr)
    raise SystemExit(status)


def _user() -> str:
    """Return what a state that is started here is bound to."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a container without a passwd entry
        return f"cli:{os.getuid()}"


def _redirect_uri() -> str:
    from airflow.configuration import conf

    from airflow_provider_stripe_app.oauth.install import callback_uri

    return callback_uri(conf.get("api", "base_url", fallback="") or "http://localhost:8080")


def _installer() -> Installer:
    from airflow_provider_stripe_app.oauth.install import Installer
    from airflow_provider_stripe_app.oauth.store import TokenStore

    return Installer(TokenStore(), _redirect_uri())


@_command
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
        return Result(text)
    path = Path(args.output_file)
    try:
        with path.open("w" if args.force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigurationError(f"{path} exists: add --force to replace it.") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from None
    print(f"Wrote {path}.", file=sys.stderr)
    return Result()


@_command
def install_url(args: Namespace) -> Result:
    """Print the address of Stripe's consent page."""
    conn_id = args.installation_conn_id or args.conn_id
    address = _installer().begin(args.conn_id, conn_id, _user())
    print(
        "Open this address within 10 minutes. Stripe then sends the browser to an address that "
        f"begins with {_redirect_uri()}: copy it whole out of the browser, also if the page says "
        "that something is wrong, and run: airflow stripe-app exchange",
        file=sys.stderr,
    )
    return Result(f"{address}\n")


@_command
def exchange(args: Namespace) -> Result:
    """Finish an installation."""
    from airflow_provider_stripe_app.oauth.install import DifferentAccount

    values = parse_callback(_read_callback())
    steps, user = _installer(), _user()
    try:
        installed = _finish(steps, values, args, user)
    except DifferentAccount as different:
        if not (args.yes or _agrees(f"{different} Replace it?")):
            raise ConfigurationError(
                f"{different} Nothing was stored. To replace the account, start again with "
                "install-url and finish with: airflow stripe-app exchange --yes"
            ) from None
        installed = steps.confirm(different.handle, user, lambda *_: None)
    mode = "live" if installed.livemode else "test"
    return Result(
        f"Installed {installed.account_id} ({mode} mode) in connection {installed.conn_id}.\n"
    )


def _finish(steps: Installer, values: dict[str, str], args: Namespace, user: str) -> Installed:
    state = values.get("state", "")
    if "error" in values:
        steps.decline(state, user, values["error"])
    if state:
        # Who may run the CLI may read and write every connection: there is nobody to ask.
        return steps.complete(state, values["code"], user, lambda *_: None)
    if not args.conn_id:
        raise ConfigurationError(
            "There is only a code and no state: paste the whole address out of the browser, or "
            "name the app's connection with --conn-id."
        )
    return steps.accept(
        args.conn_id, args.installation_conn_id or args.conn_id, values["code"], user
    )


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


def _read_callback() -> str:
    if text := os.environ.get(CALLBACK_VARIABLE, ""):
        return text
    if sys.stdin.isatty():
        return getpass.getpass("Paste the address out of the browser (it is not shown): ")
    return sys.stdin.read(65536)


def _agrees(question: str) -> bool:
    return sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


@_command
def status(args: Namespace) -> Result:
    """Show installations; exit status 3 if one has to be installed again."""
    from airflow_provider_stripe_app.oauth.refresh_rules import ACTIVE
    from airflow_provider_stripe_app.oauth.store import TokenStore

    found = TokenStore().installations()
    if args.conn_id is not None:
        found = [one for one in found if one.conn_id == args.conn_id]
        if not found:
            raise ReauthorizationRequired(f"The app is not installed in connection {args.conn_id}.")
    if args.json:
        text = json.dumps([asdict(one) for one in found], indent=2)
    else:
        text = "\n".join(_line(one) for one in found) or "Nothing is installed."
    lost = any(one.status != ACTIVE for one in found)
    return Result(f"{text}\n", REAUTHORIZE if lost else 0)


def _line(one: InstallationStatus) -> str:
    from airflow_provider_stripe_app.plugin.pages import health_of, mode_words, relative

    now = time.time()
    word, _, health = health_of(one, now)
    return (
        f"{one.conn_id}: {word}\n  {health}\n  account {one.account_id} "
        f"({mode_words(one.livemode)} mode), app {one.app_conn_id}\n  access token ends "
        f"{relative(one.access_expires_at, now)}, refreshed "
        f"{relative(one.last_refreshed_at, now)}, generation {one.generation}"
    )


@_command
def refresh(args: Namespace) -> Result:
    """Renew an installation's tokens now."""
    from airflow_provider_stripe_app.oauth.store import TokenStore
    from airflow_provider_stripe_app.plugin.pages import relative

    grant = TokenStore().renew(args.conn_id)
    ends = relative(grant.expires_at, time.time())
    return Result(f"Renewed {args.conn_id}: generation {grant.generation}, ends {ends}.\n")


@_command
def rotate_fernet(args: Namespace) -> Result:
    """Encrypt all tokens again with the first Fernet key."""
    from airflow_provider_stripe_app.oauth.rotation import rotate_keys

    count = rotate_keys()
    return Result(f"Encrypted the tokens of {count} installation(s) with the first Fernet key.\n")


@_command
def disconnect(args: Namespace) -> Result:
    """Forget an installation here."""
    from airflow_provider_stripe_app.oauth.store import TokenStore

    question = f"Forget the tokens of {args.conn_id}? The app stays installed in Stripe."
    if not (args.yes or _agrees(question)):
        _stop("Not done: add --yes to do it without being asked.", USAGE)
    if not TokenStore().forget(args.conn_id):
        raise ConfigurationError(f"Connection {args.conn_id} holds no installation to forget.")
    return Result(f"Forgot {args.conn_id}.\n")


def simulate(args: Namespace) -> None:
    """Run the simulated Stripe until interrupted."""
    from airflow_provider_stripe_app.testing.cli import main

    raise SystemExit(main(simulation_options(args)))


def simulation_options(args: Namespace) -> list[str]:
    """Return the options for ``testing.cli.main`` out of those of our command."""
    from airflow_provider_stripe_app.cli import SIMULATE_OPTIONS

    options: list[str] = []
    for name in SIMULATE_OPTIONS:
        value: Any = getattr(args, name)
        if value is True:
            options.append(f"--{name}")
        elif isinstance(value, list):
            options += [f"--{name}={one}" for one in value]
        elif value is not None and value is not False:
            options.append(f"--{name}={value}")
    return options
