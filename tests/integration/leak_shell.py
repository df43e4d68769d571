"""Runs ``airflow`` commands in one process, as they come: starting Airflow is most of their time.

Each line of standard input is ``[argv, stdin]``; the answer is a line ``[status, stdout, stderr]``.
"""

from __future__ import annotations

import json
import os


def main() -> None:
    questions = os.fdopen(os.dup(0))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Airflow prints when it is imported, or between commands, is no answer
    from airflow.cli.cli_parser import get_parser

    from tests.integration.cli_steps import step

    parser = get_parser()
    for line in questions:
        argv, text = json.loads(line)
        print(json.dumps(step(parser, argv, text)), file=answers, flush=True)


if __name__ == "__main__":
    main()
