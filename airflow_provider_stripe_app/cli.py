"""``airflow stripe-app …``: the life of an installation for deployments without a browser.

Every ``airflow`` command imports this module, so it only describes the commands; what they do is in
:mod:`.cli_commands`. No command takes a secret as an argument: those end in shell history and in
process lists. Codes come by prompt, standard input or the environment.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand


def _lazy(name: str) -> Callable[[Any], None]:
    """Return a function that imports the command's module when it is called."""

    def command(args: Any) -> None:
        module = importlib.import_module("airflow_provider_stripe_app.cli_commands")
        getattr(module, name)(args)

    command.__name__ = name
    return command


def _arg(*flags: str, **options: Any) -> Any:
    from airflow.cli.cli_config import Arg

    return Arg(flags, **options)  # type: ignore[no-untyped-call]


def get_provider_cli_commands() -> list[CLICommand]:
    """Return the command group that the provider adds to ``airflow``."""
    from airflow.cli.cli_config import GroupCommand

    return [
        GroupCommand(
            name="stripe-app",
            help="Install Stripe Apps and look after their tokens",
            description="Exit status: 0 done, 1 failed, 2 wrong usage, 3 the app has to be "
            "installed again.",
            subcommands=(*_installing(), *_keeping(), _simulate()),
        )
    ]


def _installing() -> list[CLICommand]:
    from airflow.cli.cli_config import ActionCommand

    conn_id = _arg("conn_id", help="connection with the app's install link and secret key")
    into = _arg(
        "--installation-conn-id",
        help="connection that the installation is kept in (default: the app's own)",
        default=None,
    )
    return [
        ActionCommand(
            name="manifest",
            help="Write stripe-app.json for the chosen streams",
            func=_lazy("manifest"),
            args=(
                _arg("--streams", help="comma-separated names (default: all)", default=""),
                _arg(
                    "--app-id",
                    help="reverse DNS id, e.g. com.yourcompany.airflow-sync",
                    default=None,
                ),
                _arg("--name", help="what people see at consent", default=None),
                _arg("--app-version", help="raise it at every upload", default=None),
                _arg("--icon", help="path of a PNG next to the manifest", default=None),
                _arg(
                    "--redirect-uri",
                    help="callback address; repeat for more (default: from api.base_url)",
                    action="append",
                    default=None,
                ),
                _arg(
                    "--output-file",
                    help="file to write (default: standard output)",
                    default=None,
                ),
                _arg("--force", help="replace an existing file", action="store_true"),
            ),
        ),
        ActionCommand(
            name="install-url",
            help="Print the address at which an account owner installs the app",
            func=_lazy("install_url"),
            args=(conn_id, into),
        ),
        ActionCommand(
            name="exchange",
            help="Finish an installation with the address that Stripe sent the browser to",
            description="Reads the whole address (or the code) from $STRIPE_APP_CALLBACK, from "
            "standard input or by prompt, never from an argument.",
            func=_lazy("exchange"),
            args=(
                _arg("--conn-id", help="only with a bare code: the app's connection", default=None),
                into,
                _arg("--yes", help="replace another account without asking", action="store_true"),
            ),
        ),
    ]


def _keeping() -> list[CLICommand]:
    from airflow.cli.cli_config import ActionCommand

    conn_id = _arg("conn_id", help="connection of the installation")
    return [
        ActionCommand(
            name="status",
            help="Show installations, their health and when their tokens expire",
            func=_lazy("status"),
            args=(
                _arg("conn_id", help="only this one", nargs="?", default=None),
                _arg("--json", help="machine-readable", action="store_true"),
            ),
        ),
        ActionCommand(
            name="refresh",
            help="Renew an installation's tokens now",
            func=_lazy("refresh"),
            args=(conn_id,),
        ),
        ActionCommand(
            name="disconnect",
            help="Forget an installation here; the app stays installed in Stripe",
            func=_lazy("disconnect"),
            args=(conn_id, _arg("--yes", help="do not ask", action="store_true")),
        ),
        ActionCommand(
            name="rotate-fernet",
            help="Encrypt all tokens again with the first Fernet key",
            description="Run it after airflow rotate-fernet-key, which knows only Airflow's own "
            "tables, and before the old key leaves core.fernet_key.",
            func=_lazy("rotate_fernet"),
            args=(),
        ),
    ]


def _simulate() -> CLICommand:
    """Declare the options of ``testing.cli``: importing them would slow every ``airflow``
    command.
    """
    from airflow.cli.cli_config import ActionCommand

    return ActionCommand(
        name="simulate",
        help="Run the simulated Stripe, for trying out and for testing DAGs",
        func=_lazy("simulate"),
        args=tuple(_arg(f"--{name}", **options) for name, options in SIMULATE_OPTIONS.items()),
    )


SIMULATE_OPTIONS: dict[str, dict[str, Any]] = {
    "port": {"type": int, "default": 0, "help": "0 lets the system choose"},
    "seed": {"type": int, "default": 0, "help": "the same seed makes the same objects"},
    "account": {"default": None, "help": "account to populate"},
    "livemode": {"action": "store_true", "help": "populate live mode, not test mode"},
    "customers": {"type": int, "default": 0, "help": "how many to make"},
    "invoices": {"type": int, "default": 0, "help": "how many to make"},
    "subscriptions": {"type": int, "default": 0, "help": "how many to make"},
    "spread": {"default": None, "help": "how creation is spread: years, minute or burst"},
    "small": {"action": "store_true", "help": "objects of a few fields"},
    "at": {"type": float, "default": None, "help": "start the clock at these unix seconds"},
    "switch": {
        "action": "append",
        "default": [],
        "metavar": "NAME=VALUE",
        "help": "a quirk, e.g. rate_limits=false",
    },
}
"""A test holds this against ``testing.cli.add_arguments``."""
