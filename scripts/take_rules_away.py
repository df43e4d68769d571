"""Takes each rule of equality away, in a copy of this repository, and sees which test says so.

``python scripts/take_rules_away.py [words of a rule …]``; prints a line each, and the table of
docs/equality.md with ``--table``. A rule that no test misses is printed with ``NOT CAUGHT``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rules_of_equality import AWAY, Away

REPOSITORY = Path(__file__).resolve().parents[1]
NEEDED = ("airflow_provider_stripe_app", "benchmarks", "demo", "example_dags", "scripts", "tests")
SECONDS = 300


def copy_repository(to: Path) -> None:
    """Copy what tests need."""
    for name in NEEDED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, to / name, ignore=ignored)
    shutil.copy(REPOSITORY / "pyproject.toml", to)


def take_away(away: Away, copy: Path) -> str:
    """Take a rule away, run its test, and put the rule back.

    :return: ``caught``, ``NOT CAUGHT``, or what is wrong with the entry.
    """
    file = copy / away.file
    text = file.read_text()
    if text.count(away.old) != 1:
        return f"the text that keeps it is there {text.count(away.old)} times"
    file.write_text(text.replace(away.old, away.new))
    try:
        return verdict(away, copy)
    finally:
        file.write_text(text)


def verdict(away: Away, copy: Path) -> str:
    """Run a rule's test and tell what it says."""
    path, _, name = away.test.partition("::")
    name = re.split(r"::|\[", name)[-1 if "::" in name else 0]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", name]
    done = subprocess.run(
        [*command, "--timeout", "120", path],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode == 1 and re.search(r"\d (failed|error)", done.stdout):  # error: a fixture's
        return "caught"
    if done.returncode == 0:
        return "NOT CAUGHT"
    return f"the test cannot be run:\n{done.stdout[-2000:]}"


def table() -> list[str]:
    """Return the table of the page."""
    lines = ["| § | rule | the test that fails without it |", "|---|---|---|"]
    for away in AWAY:
        path, _, name = away.test.partition("::")
        name = re.split(r"\[", name)[0].removeprefix("TestWarehouse::")
        lines.append(
            f"| {away.section} | {away.rule} | `{name}` in [{Path(path).stem}](../{path}) |"
        )
    return lines


def main() -> int:
    """Take away what is asked for."""
    if sys.argv[1:] == ["--table"]:
        print("\n".join(table()))
        return 0
    wanted = [a for a in AWAY if all(w in f"{a.section} {a.rule}" for w in sys.argv[1:])]
    missed = 0
    with tempfile.TemporaryDirectory(prefix="stripe-app-rules-") as directory:
        copy = Path(directory)
        copy_repository(copy)
        for away in wanted:
            said = take_away(away, copy)
            missed += said != "caught"
            print(f"§{away.section} {away.rule}: {said}", flush=True)
    print(f"{len(wanted) - missed} of {len(wanted)} rules are held by a test")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
