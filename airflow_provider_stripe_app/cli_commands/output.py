"""What all commands have in common: one result on standard output, errors in one sentence, exit
statuses, questions.
"""

from __future__ import annotations

import functools
import getpass
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_stripe_app.exceptions import (
    ConfigurationError,
    ReauthorizationRequired,
    StripeAppError,
    TokenUnavailable,
)

if TYPE_CHECKING:
    from argparse import Namespace

FAILED = 1
USAGE = 2
REAUTHORIZE = 3
INTERRUPTED = 130
SECRET_LIMIT = 65536
"""Characters that are read of an input."""


class NotAgreed(StripeAppError):
    """A question was not answered with yes, or there was nobody to ask."""


KINDS: tuple[tuple[type[StripeAppError], str, int], ...] = (
    (NotAgreed, "not_agreed", USAGE),
    (ReauthorizationRequired, "reauthorization_required", REAUTHORIZE),
    (ConfigurationError, "configuration", FAILED),
    (TokenUnavailable, "unavailable", FAILED),
    (StripeAppError, "failed", FAILED),
)
"""Errors, what they are called in JSON, and their exit statuses; the first that fits counts."""


@dataclass(frozen=True)
class Result:
    """What a command says on standard output, and its exit status.

    :param text: for people.
    :param data: the same for machines, what ``--json`` prints.
    :param status: the exit status.
    """

    text: str = ""
    data: Any = None
    status: int = 0


def command(function: Callable[[Namespace], Result]) -> Callable[[Namespace], None]:
    """Make errors one sentence on standard error, and keep standard output for the result.

    With ``--json`` standard output is one JSON document in any case; that of an error is
    ``{"error": {"kind": …, "message": …}}``.
    """

    @functools.wraps(function)
    def guarded(args: Namespace) -> None:
        as_json = bool(getattr(args, "json", False))
        try:
            with _logs_to_stderr():
                result = function(args)
        except StripeAppError as error:
            kind, status = next((k, s) for cls, k, s in KINDS if isinstance(error, cls))
            if as_json:
                _print_json({"error": {"kind": kind, "message": str(error)}})
            stop(str(error), status)
        except KeyboardInterrupt:
            stop("Interrupted.", INTERRUPTED)
        else:
            if as_json:
                _print_json(result.data)
            elif result.text:
                sys.stdout.write(f"{result.text}\n")
            if result.status:
                raise SystemExit(result.status)

    return guarded


def _print_json(data: Any) -> None:
    sys.stdout.write(f"{json.dumps(data, indent=2)}\n")
    sys.stdout.flush()


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


def say(text: str) -> None:
    """Tell a person something that is not the result."""
    print(text, file=sys.stderr)


def stop(text: str, status: int) -> NoReturn:
    """End the command.

    :param text: one sentence for standard error.
    :param status: the exit status.
    """
    say(text)
    raise SystemExit(status)


def user() -> str:
    """Return who runs this, as it is written into the history and as states are bound to it."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a container without a passwd entry
        return f"cli:{os.getuid()}"


def agrees(question: str) -> bool:
    """Ask on the terminal; without one the answer is no."""
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def ask(args: Namespace, question: str) -> None:
    """Raise unless ``--yes`` was given or a person agrees.

    :param args: the command's arguments.
    :param question: what is going to happen, and a question mark.
    :raises NotAgreed: else; nothing was done then.
    """
    if not (args.yes or agrees(question)):
        raise NotAgreed(f"{question} Nothing was done: add --yes to do it without being asked.")


def read_input(file: str | None, variable: str, prompt: str) -> str:
    """Return something that must not be on a command line: from a file, the environment, standard
    input or a prompt.

    :param file: a path, ``None`` if no file was named.
    :param variable: environment variable.
    :param prompt: what to ask for on a terminal; what is typed is not shown.
    :raises ConfigurationError: if the file cannot be read.
    """
    if file is not None:
        try:
            with Path(file).open(encoding="utf-8") as opened:
                return opened.read(SECRET_LIMIT)
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigurationError(f"{file} cannot be read: {why}.") from None
    if text := os.environ.get(variable, ""):
        return text
    if sys.stdin.isatty():
        return getpass.getpass(f"{prompt} (it is not shown): ")
    return sys.stdin.read(SECRET_LIMIT)
