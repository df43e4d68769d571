"""Runs ``airflow`` commands one after the other in one process, for starting Airflow is most of
their time.

Reads lines ``{"argv": […], "stdin": "…", "env": {…}}`` from standard input and answers each with a
line ``[status, stdout, stderr]``.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path


class CliSession:
    """A process that runs commands."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, *argv: str, stdin: str = "", env: Mapping[str, str] | None = None) -> list:
        """Run a command; return its status, standard output and standard error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = {"argv": argv, "stdin": stdin, "env": dict(env or {})}
        self._process.stdin.write(f"{json.dumps(command)}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the session ended"
        return json.loads(line)


@contextlib.contextmanager
def cli_session(env: Mapping[str, str]) -> Iterator[CliSession]:
    """Start the process and end it."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve())],
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield CliSession(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=30)


def main() -> None:
    from airflow.cli.cli_parser import get_parser
    from cli_steps import step

    # The commands get other files as standard input and output.
    commands = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    parser = get_parser()
    for line in commands:
        command = json.loads(line)
        before = dict(os.environ)
        os.environ.update(command["env"])
        try:
            answer = step(parser, command["argv"], command["stdin"])
        except Exception:
            answer = (1, "", traceback.format_exc())
        finally:
            os.environ.clear()
            os.environ.update(before)
        answers.write(f"{json.dumps(answer)}\n")
        answers.flush()


if __name__ == "__main__":
    main()
