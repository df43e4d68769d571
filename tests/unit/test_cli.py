"""The command line: no secret as an argument, the same options as the simulation, light to
import.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from airflow_provider_stripe_app import cli, cli_commands
from airflow_provider_stripe_app.exceptions import ConfigurationError


def commands():
    (group,) = cli.get_provider_cli_commands()
    return {command.name: command for command in group.subcommands}


def options(command) -> set[str]:
    return {flag for arg in command.args for flag in arg.flags}


def test_all_commands_are_there_and_lead_to_functions():
    found = commands()
    assert set(found) == {
        "manifest",
        "install-url",
        "exchange",
        "status",
        "refresh",
        "disconnect",
        "rotate-fernet",
        "simulate",
    }
    for command in found.values():
        assert callable(getattr(cli_commands, command.func.__name__))


def test_no_command_takes_a_secret_as_an_argument():
    flags = set().union(*(options(command) for command in commands().values()))
    assert not [
        flag for flag in flags if any(w in flag for w in ("code", "key", "token", "secret"))
    ]


def test_help_has_no_square_brackets_because_airflow_takes_them_for_markup():
    for command in commands().values():
        for text in (command.help, command.description, *(a.kwargs["help"] for a in command.args)):
            assert "[" not in (text or "")


def test_simulate_has_exactly_the_options_of_the_simulation():
    from airflow_provider_stripe_app.testing.cli import add_arguments

    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    theirs = {flag for action in parser._actions for flag in action.option_strings}
    assert options(commands()["simulate"]) == theirs


def test_simulate_passes_its_options_on():
    from airflow_provider_stripe_app.testing.cli import add_arguments

    ours = argparse.ArgumentParser()
    for arg in commands()["simulate"].args:
        arg.add_to_parser(ours)
    theirs = argparse.ArgumentParser()
    add_arguments(theirs)
    asked = ["--port", "1234", "--livemode", "--switch", "a=1", "--switch", "b=2"]
    passed = theirs.parse_args(cli_commands.simulation_options(ours.parse_args(asked)))
    assert passed == theirs.parse_args(asked)


@pytest.mark.parametrize(
    ("pasted", "values"),
    [
        ("ac_Abc123", {"code": "ac_Abc123"}),
        (" https://a.b/x?code=ac_1&state=s%2B1\n", {"code": "ac_1", "state": "s+1"}),
        ("https://a.b/x?state=s&error=access_denied", {"state": "s", "error": "access_denied"}),
        ("https://a.b/x?code=ac_1&code=ac_2&state=s", {"code": "ac_1", "state": "s"}),
    ],
)
def test_pasted_address_or_code_is_understood(pasted, values):
    assert cli_commands.parse_callback(pasted) == values


@pytest.mark.parametrize("pasted", ["", "sk_live_x", "https://a.b/x", "https://a.b/x?state=s"])
def test_anything_else_says_what_to_paste_and_does_not_repeat_it(pasted):
    with pytest.raises(ConfigurationError, match="whole address") as caught:
        cli_commands.parse_callback(pasted)
    assert not pasted or pasted not in str(caught.value)


def test_describing_the_commands_imports_nothing_else_of_ours():
    code = (
        "import sys\n"
        "from airflow_provider_stripe_app.cli import get_provider_cli_commands\n"
        "get_provider_cli_commands()\n"
        "names = [m.split('.', 1)[1] for m in sys.modules if "
        "m.startswith('airflow_provider_stripe')"
        " and '.' in m]\n"
        "print(' '.join(names))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Airflow itself reads the provider info, which needs the options.
    light = {"cli", "exceptions", "get_provider_info", "oauth", "oauth.config"}
    assert set(done.stdout.splitlines()[-1].split()) <= light
