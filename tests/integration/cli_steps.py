"""Runs several ``airflow`` commands in one process, for starting Airflow is most of their time.

Reads ``[[argv, stdin], …]`` from standard input and prints ``[[status, stdout, stderr], …]``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile

from airflow.cli.cli_parser import get_parser


def step(parser: object, argv: list[str], text: str) -> tuple[object, str, str]:
    files = [tempfile.TemporaryFile("w+") for _ in range(3)]  # noqa: SIM115
    files[0].write(text)
    files[0].seek(0)
    kept = [os.dup(number) for number in range(3)]
    for number, file in enumerate(files):
        os.dup2(file.fileno(), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    status: object = 0
    try:
        args = parser.parse_args(argv)
        args.func(args)
    except SystemExit as stop:
        status = stop.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in enumerate(kept):
            os.dup2(copy, number)
            os.close(copy)
    said = []
    for file in files[1:]:
        file.seek(0)
        said.append(file.read())
    return status, said[0], said[1]


if __name__ == "__main__":
    steps = json.load(sys.stdin)
    built = get_parser()
    done = [step(built, argv, text) for argv, text in steps]
    print(json.dumps(done))
