"""Run the peers' benchmark: ``python -m benchmarks.peers [--write docs/peers.md]``.

Downloads, into ``.work/peers``: the peers' packages from PyPI, each into a venv of its own, and
dlt's Stripe source from GitHub (or ``--dlt-source``). Then everything happens on this machine: one
simulated Stripe, one contestant after the other.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import report
from benchmarks.peers.changes import Round
from benchmarks.peers.contestants import Contestant, Job, everybody
from benchmarks.peers.environments import NotAvailable
from benchmarks.peers.judge import explained, judge
from benchmarks.peers.server import ROOT, Stripe, simulated_stripe

LAUNCHER = Path(__file__).with_name("launcher.py")
SETTLE = 15.0
"""Seconds between the changes and the run that is to see them, so that nobody's lag counts."""
TIMEOUT = 3600.0


class Benchmark:
    """All runs of all contestants against one simulated Stripe.

    :param folder: where everything is written.
    """

    def __init__(self, stripe: Stripe, folder: Path, contestants: Sequence[Contestant]) -> None:
        self._stripe = stripe
        self._folder = folder
        self._contestants = list(contestants)
        self._jobs: dict[str, Job] = {}
        self.results: dict[str, dict[str, Any]] = {c.name: {} for c in contestants}
        self.changes: Mapping[str, int] = {}
        self._touched: Mapping[str, str] = {}
        self._known: dict[str, str] = {}

    def run(self, share: float, settle: float) -> None:
        """First load, without and with limits; an idle run; changes and a run that sees them.

        :param share: of the objects that change.
        :param settle: seconds between the changes and the next run.
        """
        self._stripe.limit(False)
        self._each("unlimited", "off")
        self._stripe.limit(True)
        self._each("first", "real", judged=True)
        self._each("idle", "real")
        self._stripe.limit(False)
        round_ = Round(self._stripe, share)
        round_.make()
        self.changes, self._touched = dict(round_.done), round_.touched
        self._stripe.limit(True)
        time.sleep(settle)
        self._each("changed", "real", judged=True)

    def _each(self, phase: str, limits: Any, *, judged: bool = False) -> None:
        truth = self._stripe.truth() if judged else None
        for stream, rows in (truth or {}).items():
            self._known.update(dict.fromkeys(rows, stream))
        for contestant in self._contestants:
            results = self.results[contestant.name]
            if any("failed" in result for result in results.values()):
                continue
            job = self._job(contestant, limits)
            result = results[phase] = self._run(contestant, job)
            if truth is not None and "failed" not in result:
                tables = contestant.tables(job)
                verdicts = {s: judge(rows, tables[s]) for s, rows in truth.items()}
                result["verdicts"] = {s: v.counts() for s, v in verdicts.items()}
                result["why"] = explained(verdicts, self._touched, self._known)
            say(f"  {phase:9} {contestant.name:16} {report.one_line(result)}")

    def _job(self, contestant: Contestant, limits: Any) -> Job:
        key = f"{contestant.name}, limits {limits}"
        if key not in self._jobs:
            folder = self._folder / key
            folder.mkdir(parents=True)
            self._jobs[key] = job = Job(folder, self._stripe, limits)
            contestant.prepare(job)
        return self._jobs[key]

    def _run(self, contestant: Contestant, job: Job) -> dict[str, Any]:
        """Run a contestant once and return what it took."""
        command, result = contestant.command(job), job.folder / f"run{job.runs}.json"
        errors = job.folder / f"run{job.runs}.err"
        launch = [sys.executable, "-S", str(LAUNCHER), str(result), str(job.output), str(errors)]
        self._stripe.forget_requests()
        run_whole([*launch, "--", *command], contestant.environment(job), job.folder)
        taken: dict[str, Any] = json.loads(result.read_text())
        taken["requests"] = self._stripe.requests().as_dict()
        job.runs += 1
        troubles = contestant.troubles(job)
        if taken["code"] or troubles:
            tail = errors.read_text(errors="replace").strip().splitlines()[-3:]
            taken["failed"] = "; ".join(troubles or tail)[:500]
        return taken


def run_whole(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
    """Run a command; whatever it started ends with it, or with this process's patience.

    :raises RuntimeError: if it fails.
    :raises subprocess.TimeoutExpired: after an hour.
    """
    process = subprocess.Popen(command, env=environment, cwd=folder, start_new_session=True)
    try:
        if process.wait(TIMEOUT):
            raise RuntimeError(f"{command[2]} ended with {process.returncode}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


def installed(contestants: Sequence[Contestant]) -> tuple[list[Contestant], dict[str, Any]]:
    """Make the environments; return who can run, and versions or the reason why not."""
    ready: list[Contestant] = []
    about: dict[str, Any] = {}
    for contestant in contestants:
        about[contestant.name] = {"settings": contestant.settings}
        try:
            about[contestant.name]["versions"] = dict(contestant.install())
        except NotAvailable as reason:
            about[contestant.name]["missing"] = str(reason)
            say(f"  {contestant.name}: {reason}")
        else:
            ready.append(contestant)
    return ready, about


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--customers", type=int, default=5000)
    parser.add_argument("--invoices", type=int, default=1250)
    parser.add_argument("--subscriptions", type=int, default=750)
    parser.add_argument("--share", type=float, default=0.01, help="of the objects that change")
    parser.add_argument("--peers", nargs="+", help="only these, beside this provider")
    parser.add_argument("--dlt-source", type=Path, help="directory with dlt's stripe_analytics")
    parser.add_argument("--airbyte-manifest", type=Path, help="a newer manifest.yaml of its source")
    parser.add_argument("--settle", type=float, default=SETTLE, help="seconds after the changes")
    parser.add_argument(
        "--ordered-events",
        action="store_true",
        help="list the events of one second in their order (Stripe does not promise it)",
    )
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    parser.add_argument("--keep", type=Path, help="empty directory for all outputs")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Install, run, print and write."""
    wanted = parsed(argv)
    chosen = [
        contestant
        for contestant in everybody(wanted.dlt_source, wanted.airbyte_manifest)
        if not wanted.peers or contestant.name in ("this provider", *wanted.peers)
    ]
    say("Environments (not measured) …")
    ready, about = installed(chosen)
    numbers = {n: getattr(wanted, n) for n in ("customers", "invoices", "subscriptions")}
    began, load = time.time(), os.getloadavg()[0]
    folder = Path(tempfile.mkdtemp(prefix="peers-")) if wanted.keep is None else wanted.keep
    try:
        with simulated_stripe() as stripe:
            stripe.prepare(ordered_events=wanted.ordered_events, **numbers)
            benchmark = Benchmark(stripe, folder, ready)
            benchmark.run(wanted.share, wanted.settle)
    finally:
        if wanted.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    facts = {
        "numbers": numbers,
        "share": wanted.share,
        "changes": benchmark.changes,
        "date": time.strftime("%Y-%m-%d", time.gmtime(began)),
        "load": load,
        "minutes": (time.time() - began) / 60,
        "about": about,
        "results": benchmark.results,
    }
    text = report.tables(facts)
    say(text)
    if wanted.json:
        wanted.json.write_text(json.dumps(facts, indent=1))
    if wanted.write:
        page = ROOT / wanted.write
        page.write_text(report.replaced(page.read_text(), text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
