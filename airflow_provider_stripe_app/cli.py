"""``airflow stripe-app …``: the life of an installation for deployments without a browser.

Every ``airflow`` command imports this module, so it only describes the commands; what they do is in
:mod:`.cli_commands`. No command takes a secret as an argument: those end in shell history and in
process lists. They come from a file, an environment variable, standard input or a prompt.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand


def _lazy(module: str, name: str) -> Callable[[Any], None]:
    """Return a function that imports the command's module when it is called."""

    def command(args: Any) -> None:
        found = importlib.import_module(f"airflow_provider_stripe_app.cli_commands.{module}")
        getattr(found, name)(args)

    command.__name__ = name
    command.__module__ = f"airflow_provider_stripe_app.cli_commands.{module}"
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
            description=STATUSES,
            subcommands=(
                *_installing(),
                *_keeping(),
                *_accounts(),
                _verify(),
                _requests(),
                _simulate(),
            ),
        )
    ]


STATUSES = (
    "Exit status: 0 done, or all installations are healthy; 1 failed, or an installation is in "
    "trouble; 2 wrong usage, or a question was not answered with yes; 3 the app has to be "
    "installed (again). With --json standard output is one JSON document, that of an error too. "
    "Secrets are never arguments: they come from a file, an environment variable, standard input "
    "or a prompt."
)


def _common() -> tuple[Any, Any, Any]:
    """Return ``--json``, ``--yes`` and the option that names an installation's connection."""
    as_json = _arg("--json", help="machine-readable", action="store_true")
    yes = _arg("--yes", help="do not ask", action="store_true")
    into = _arg(
        "--installation-conn-id",
        help="connection that the installation is kept in (default: the app's own)",
        default=None,
    )
    return as_json, yes, into


def _installing() -> list[CLICommand]:
    from airflow.cli.cli_config import ActionCommand

    as_json, _, into = _common()
    app = _arg("conn_id", help="connection with the app's install link and secret key")
    return [
        _manifest(),
        ActionCommand(
            name="add-app",
            help="Create the connection of an app",
            description="Reads the app's secret key (sk_…) from --secret-key-file, from "
            "$STRIPE_APP_SECRET_KEY, from standard input or by prompt, never from an argument.",
            func=_lazy("app_connection", "add_app"),
            args=(
                _arg("conn_id", help="the connection's name"),
                _arg("--install-link", help="the whole install link of the app", required=True),
                _arg("--secret-key-file", help="file that holds the secret key", default=None),
                _arg(
                    "--app-id",
                    help="the app's id, app_…; with it lost installations are mended by themselves",
                    default=None,
                ),
                _arg("--force", help="replace link and key of an app", action="store_true"),
                as_json,
            ),
        ),
        ActionCommand(
            name="install-url",
            help="Print the address at which an account owner installs the app",
            func=_lazy("installing", "install_url"),
            args=(app, into, as_json),
        ),
        ActionCommand(
            name="exchange",
            help="Finish an installation with the address that Stripe sent the browser to",
            description="Reads the whole address (or the code) from --callback-file, from "
            "$STRIPE_APP_CALLBACK, from standard input or by prompt, never from an argument.",
            func=_lazy("installing", "exchange"),
            args=(
                _arg("--callback-file", help="file that holds the address", default=None),
                _arg("--conn-id", help="only with a bare code: the app's connection", default=None),
                into,
                _arg("--yes", help="replace another account without asking", action="store_true"),
                as_json,
            ),
        ),
    ]


def _manifest() -> CLICommand:
    from airflow.cli.cli_config import ActionCommand

    return ActionCommand(
        name="manifest",
        help="Write stripe-app.json for the chosen streams",
        func=_lazy("installing", "manifest"),
        args=(
            _arg(
                "--streams",
                help="comma-separated names, or all (default: customers, invoices and "
                "subscriptions with their items)",
                default="",
            ),
            _arg(
                "--app-id", help="reverse DNS id, e.g. com.yourcompany.airflow-sync", default=None
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
            _arg("--output-file", help="file to write (default: standard output)", default=None),
            _arg("--force", help="replace an existing file", action="store_true"),
        ),
    )


def _keeping() -> list[CLICommand]:
    from airflow.cli.cli_config import ActionCommand

    as_json, yes, _ = _common()
    conn_id = _arg("conn_id", help="connection of the installation")
    return [
        ActionCommand(
            name="status",
            help="Show installations, their health and when their tokens expire",
            description="Exit status: 0 all are healthy, 1 one is in trouble, 3 one has to be "
            "installed again.",
            func=_lazy("keeping", "status"),
            args=(_arg("conn_id", help="only this one", nargs="?", default=None), as_json),
        ),
        ActionCommand(
            name="test",
            help="Ask Stripe for something with an installation's token, or try a key",
            func=_lazy("keeping", "test"),
            args=(
                _arg("conn_id", help="connection of an installation, an app or a restricted key"),
                as_json,
            ),
        ),
        ActionCommand(
            name="history",
            help="Show what happened to an installation, the newest first",
            func=_lazy("keeping", "history"),
            args=(
                conn_id,
                _arg("--limit", help="how many lines (default: 20)", type=int, default=20),
                as_json,
            ),
        ),
        ActionCommand(
            name="refresh",
            help="Renew an installation's tokens now",
            func=_lazy("keeping", "refresh"),
            args=(conn_id, as_json),
        ),
        ActionCommand(
            name="take-over",
            help="Let this deployment renew an installation of a copied metadata database",
            func=_lazy("keeping", "take_over"),
            args=(conn_id, yes, as_json),
        ),
        ActionCommand(
            name="disconnect",
            help="Forget an installation here; the app stays installed in Stripe",
            func=_lazy("keeping", "disconnect"),
            args=(conn_id, yes, as_json),
        ),
        ActionCommand(
            name="rotate-fernet",
            help="Encrypt all tokens again with the first Fernet key",
            description="Run it after airflow rotate-fernet-key, which knows only Airflow's own "
            "tables, and before the old key leaves core.fernet_key.",
            func=_lazy("keeping", "rotate_fernet"),
            args=(as_json,),
        ),
    ]


def _accounts() -> list[CLICommand]:
    from airflow.cli.cli_config import ActionCommand

    as_json, yes, _ = _common()
    app = _arg("conn_id", help="the app's connection")
    return [
        ActionCommand(
            name="accounts",
            help="List the accounts that have an app, as Stripe last said",
            func=_lazy("accounts", "accounts"),
            args=(app, as_json),
        ),
        ActionCommand(
            name="reconcile",
            help="Ask Stripe which accounts have an app and what they granted",
            func=_lazy("accounts", "reconcile"),
            args=(
                _arg(
                    "conn_id",
                    help="the app's connection (default: all that are installed)",
                    nargs="?",
                    default=None,
                ),
                as_json,
            ),
        ),
        ActionCommand(
            name="adopt",
            help="Make an installation here of an account that has the app already",
            func=_lazy("accounts", "adopt"),
            args=(
                app,
                _arg("account", help="acct_…"),
                _arg(
                    "--installation-conn-id",
                    help="connection to keep it in (default: the app's and the account's name)",
                    default=None,
                ),
                yes,
                as_json,
            ),
        ),
        ActionCommand(
            name="uninstall",
            help="Uninstall the app from an account in Stripe, and forget it here",
            func=_lazy("accounts", "uninstall"),
            args=(_arg("conn_id", help="connection of the installation"), yes, as_json),
        ),
    ]


def _verify() -> CLICommand:
    from airflow.cli.cli_config import ActionCommand

    as_json, _, _ = _common()
    return ActionCommand(
        name="verify",
        help="Compare tables with Stripe, row by row, and repair them if wanted",
        description="Lists Stripe again: one request for a hundred objects. Exit status: 0 they "
        "are equal (or repaired now), 1 rows differ.",
        func=_lazy("verifying", "verify"),
        args=(
            _arg("conn_id", help="connection of the installation, or of a restricted key"),
            _arg("warehouse_conn_id", help="connection of the warehouse"),
            _arg("--streams", help="comma-separated names (default: all synced)", default=""),
            _arg("--schema", help="schema of the tables", default=None),
            _arg("--repair", help="write what differs as Stripe has it", action="store_true"),
            _arg("--examples", help="ids per table and kind (20)", type=int, default=20),
            _arg(
                "--lease-wait",
                help="seconds to wait for a running sync before repairing (900)",
                type=float,
                default=900.0,
            ),
            as_json,
        ),
    )


def _requests() -> CLICommand:
    from airflow.cli.cli_config import ActionCommand

    as_json, _, _ = _common()
    return ActionCommand(
        name="requests",
        help="Show how many requests syncs and audits have made, by day and purpose",
        description="Reads the warehouse, not Stripe, and so costs no request.",
        func=_lazy("counting", "requests"),
        args=(
            _arg("warehouse_conn_id", help="connection of the warehouse"),
            _arg("--account", help="acct_… (default: all)", default=None),
            _arg("--schema", help="schema of the tables", default=None),
            _arg("--days", help="how many days, with today (30)", type=int, default=30),
            as_json,
        ),
    )


def _simulate() -> CLICommand:
    """Declare the options of ``testing.cli``: importing them would slow every ``airflow``
    command.
    """
    from airflow.cli.cli_config import ActionCommand

    return ActionCommand(
        name="simulate",
        help="Run the simulated Stripe, for trying out and for testing DAGs",
        func=_lazy("simulating", "simulate"),
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
    "objects": {
        "action": "append",
        "default": [],
        "metavar": "NAME=NUMBER",
        "help": "of any other type, e.g. charges=1000",
    },
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
