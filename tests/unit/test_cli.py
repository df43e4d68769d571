"""The command line: no secret as an argument, the same options as the simulation, light to
import.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_stripe_app import cli
from airflow_provider_stripe_app.cli_commands import keeping, output
from airflow_provider_stripe_app.cli_commands.app_connection import KEY_VARIABLE
from airflow_provider_stripe_app.cli_commands.installing import CALLBACK_VARIABLE, parse_callback
from airflow_provider_stripe_app.cli_commands.simulating import simulation_options
from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    TokenUnavailable,
)


def commands():
    (group,) = cli.get_provider_cli_commands()
    return {command.name: command for command in group.subcommands}


def options(command) -> set[str]:
    return {flag for arg in command.args for flag in arg.flags}


def test_all_commands_are_there_and_lead_to_functions():
    found = commands()
    assert set(found) == {
        "manifest",
        "add-app",
        "install-url",
        "exchange",
        "status",
        "test",
        "history",
        "refresh",
        "take-over",
        "disconnect",
        "rotate-fernet",
        "accounts",
        "reconcile",
        "adopt",
        "uninstall",
        "verify",
        "requests",
        "simulate",
    }
    for command in found.values():
        module = importlib.import_module(command.func.__module__)
        assert callable(getattr(module, command.func.__name__))


def test_every_command_with_a_result_has_json_and_every_danger_can_be_agreed_to():
    found = commands()
    without = {name for name, command in found.items() if "--json" not in options(command)}
    assert without == {"manifest", "simulate"}  # the one prints JSON, the other does not end
    agreed = {name for name, command in found.items() if "--yes" in options(command)}
    assert agreed == {"exchange", "take-over", "disconnect", "adopt", "uninstall"}


def test_no_command_takes_a_secret_as_an_argument():
    flags = set().union(*(options(command) for command in commands().values()))
    assert "--secret-key-file" in flags
    assert not [
        flag
        for flag in flags
        if any(w in flag for w in ("code", "key", "token", "secret")) and not flag.endswith("-file")
    ]


# -- what all commands have in common


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ReauthorizationRequired("Install it."), 3, "reauthorization_required"),
        (ConfigurationError("Wrong."), 1, "configuration"),
        (TokenUnavailable("Later."), 1, "unavailable"),
        (output.NotAgreed("Sure?"), 2, "not_agreed"),
    ],
)
def test_errors_are_a_sentence_a_status_and_one_json_document(error, status, kind, capfd):
    def fail(_):
        os.write(1, b"a log line of Airflow\n")
        raise error

    for as_json in (False, True):
        with pytest.raises(SystemExit) as ended:
            output.command(fail)(argparse.Namespace(json=as_json))
        assert ended.value.code == status
        said = capfd.readouterr()
        assert said.err.endswith(f"{error}\n")
        document = {"error": {"kind": kind, "message": str(error)}}
        assert (json.loads(said.out) if as_json else said.out) == (document if as_json else "")


def test_result_is_text_or_json_and_logs_go_elsewhere(capfd):
    def work(_):
        os.write(1, b"a log line of Airflow\n")
        return output.Result("Done.", {"done": True})

    output.command(work)(argparse.Namespace(json=False))
    assert capfd.readouterr().out == "Done.\n"
    output.command(work)(argparse.Namespace(json=True))
    said = capfd.readouterr()
    assert json.loads(said.out) == {"done": True}
    assert "a log line" in said.err


def test_secret_comes_from_a_file_before_the_environment_before_standard_input(
    tmp_path, monkeypatch
):
    file = tmp_path / "address"
    file.write_text("of the file")
    monkeypatch.setattr(sys, "stdin", io.StringIO("of standard input"))
    monkeypatch.setenv("SOME_VARIABLE", "of the environment")
    assert output.read_input(str(file), "SOME_VARIABLE", "Paste") == "of the file"
    assert output.read_input(None, "SOME_VARIABLE", "Paste") == "of the environment"
    monkeypatch.delenv("SOME_VARIABLE")
    assert output.read_input(None, "SOME_VARIABLE", "Paste") == "of standard input"
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        output.read_input(str(tmp_path / "nothing"), "SOME_VARIABLE", "Paste")


def test_without_a_terminal_nothing_is_done_that_nobody_agreed_to(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    output.ask(argparse.Namespace(yes=True), "Do it?")
    with pytest.raises(output.NotAgreed, match="Nothing was done: add --yes"):
        output.ask(argparse.Namespace(yes=False), "Do it?")


@pytest.mark.parametrize(
    ("words", "healthy", "status"),
    [
        ([], True, 0),
        (["healthy", "permission missing", "expires soon"], True, 0),
        (["healthy", "trouble"], False, 1),
        (["mending itself"], False, 1),
        (["trouble", "reauthorize"], False, 3),
        (["expired"], False, 3),
    ],
)
def test_exit_status_of_status_says_whether_somebody_has_to_do_something(words, healthy, status):
    report = {"healthy": healthy, "installations": [{"health": word} for word in words]}
    assert keeping.status_code(report) == status


def test_every_command_and_kind_of_error_is_in_the_docs():
    page = (Path(__file__).parents[2] / "docs/command-line.md").read_text()
    assert not [name for name in commands() if f"| `{name}" not in page]
    assert not [kind for _, kind, _ in output.KINDS if f"`{kind}`" not in page]
    for variable in (CALLBACK_VARIABLE, KEY_VARIABLE):
        assert f"`{variable}`" in page


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
    passed = theirs.parse_args(simulation_options(ours.parse_args(asked)))
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
    assert parse_callback(pasted) == values


@pytest.mark.parametrize("pasted", ["", "sk_live_x", "https://a.b/x", "https://a.b/x?state=s"])
def test_anything_else_says_what_to_paste_and_does_not_repeat_it(pasted):
    with pytest.raises(ConfigurationError, match="whole address") as caught:
        parse_callback(pasted)
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
