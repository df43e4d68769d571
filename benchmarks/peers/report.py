"""The figures as tables of a Markdown page. The best of each column is bold, whosever it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.peers.judge import CHILDREN, STREAMS

BEGIN = "<!-- measured: begin (python -m benchmarks.peers --write docs/peers.md) -->"
END = "<!-- measured: end -->"
Facts = Mapping[str, Any]
Cell = tuple[str, float | None]
"""What is shown, and what it is ranked by (smaller is better); ``None`` is out of the ranking."""


def replaced(page: str, text: str) -> str:
    """Return a page with what is between the markers replaced.

    :raises ValueError: if the markers are not there.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page has no place for the tables: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}"


def one_line(result: Mapping[str, Any]) -> str:
    """Return one run for the terminal."""
    if "failed" in result:
        return f"failed with {result['code']}: {result['failed']}"
    text = (
        f"{result['seconds']:7.1f} s  {result['requests']['total']:6,} requests"
        f"  {result['cpu']:7.1f} s CPU  {result['peak_mb']:6.0f} MB"
    )
    if result["requests"]["refused"]:
        text += f"  refused {result['requests']['refused']}"
    if "verdicts" in result:
        text += f"  differences {differences(result)}"
    return text


def differences(result: Mapping[str, Any]) -> dict[str, int]:
    """Add up the differences of a run by what they are, over all tables."""
    kinds = ("missing", "stale", "ghosts", "buried")
    return {k: sum(v[k] for v in result["verdicts"].values()) for k in kinds}


def tables(facts: Facts) -> str:
    """Return everything that is between the markers."""
    parts = [
        _conditions(facts),
        "### The first load, Stripe's limits in force",
        _loads(facts, "first"),
        "### The first load, no limits",
        _loads(facts, "unlimited"),
        "### What it costs to stay up to date",
        _staying(facts),
        "### What is wrong afterwards",
        _wrong(facts),
        _why(facts),
        "### Versions and settings",
        _about(facts),
    ]
    return "\n\n".join(parts)


def _conditions(facts: Facts) -> str:
    numbers = ", ".join(f"{number:,} {name}" for name, number in facts["numbers"].items())
    made = ", ".join(f"{number} × {what}" for what, number in facts["changes"].items())
    busy = (
        f" The machine was busy with other work (load {facts['load']:.0f} when it began): seconds "
        "are upper bounds, CPU, memory and counts are not touched by that."
        if facts["load"] > 1
        else ""
    )
    return (
        f"{facts['date']}, {os.cpu_count()} cores, all on one machine; {facts['minutes']:.0f} "
        f"minutes for everything.{busy} Data: {numbers}, with their lines and items, over three "
        "years, and the events of the last 30 days.\n\n"
        f"The round of changes ({facts['share']:.0%}): {made}."
    )


def _loads(facts: Facts, phase: str) -> str:
    first: Mapping[str, Any] = facts["results"]

    def rows(result: Mapping[str, Any], name: str) -> int:
        found = first[name].get("first", {}).get("verdicts", {})
        return sum(verdict["rows"] for verdict in found.values())

    def cells(name: str, result: Mapping[str, Any]) -> list[Cell]:
        number = rows(result, name)
        asked = result["requests"]
        speed = number / result["seconds"]
        return [
            (f"{result['seconds']:.1f}", result["seconds"]),
            (f"{number:,}", None),
            (f"{speed:,.0f}", -speed),
            (f"{asked['total']:,}", asked["total"]),
            (str(asked["refused"].get("429", 0)), None),
            (f"{result['cpu']:.1f}", result["cpu"]),
            (f"{1000 * result['cpu'] / max(number, 1):.2f}", result["cpu"] / max(number, 1)),
            (f"{result['peak_mb']:.0f}", result["peak_mb"]),
        ]

    head = [
        "seconds",
        "rows",
        "rows/s",
        "requests",
        "of them 429",
        "CPU s",
        "CPU ms/row",
        "MB peak",
    ]
    return _table(facts, [phase], head, lambda name, results: cells(name, results[0]))


def _staying(facts: Facts) -> str:
    def cells(_: str, results: Sequence[Mapping[str, Any]]) -> list[Cell]:
        asked = [(f"{r['requests']['total']:,}", r["requests"]["total"]) for r in results]
        later = results[1:]
        seconds = [(f"{r['seconds']:.1f}", r["seconds"]) for r in later]
        month = 720 * results[1]["requests"]["total"]
        return [
            *asked,
            (f"{month:,}", month),
            *seconds,
            *[(f"{r['cpu']:.1f}", r["cpu"]) for r in later],
        ]

    head = ["requests: first load", "idle run", f"{facts['share']:.0%} changed"]
    head += ["30 days of idle hours", "seconds: idle", "changed", "CPU s: idle", "changed"]
    return _table(facts, ["first", "idle", "changed"], head, cells)


def _wrong(facts: Facts) -> str:
    parents = [stream for stream in STREAMS if stream not in CHILDREN]

    def total(result: Mapping[str, Any], streams: Sequence[str], kind: str) -> Cell:
        number = sum(result["verdicts"][stream][kind] for stream in streams)
        return str(number), number

    def cells(_: str, results: Sequence[Mapping[str, Any]]) -> list[Cell]:
        first, changed = results
        at_first = sum(differences(first).values())
        found: list[Cell] = [(str(at_first), at_first)]
        found += [total(changed, parents, k) for k in ("missing", "stale", "ghosts", "buried")]
        found += [total(changed, CHILDREN, k) for k in ("missing", "stale", "ghosts", "buried")]
        return found

    head = ["after the first load", "missing", "stale", "deleted but living", "living but deleted"]
    head += ["children: missing", "stale", "deleted but living", "living but deleted"]
    return _table(facts, ["first", "changed"], head, cells)


def _why(facts: Facts) -> str:
    lines = []
    for name, results in facts["results"].items():
        if "why" not in results.get("changed", {}):
            continue
        reasons = [f"{number:,} {reason}" for reason, number in results["changed"]["why"].items()]
        lines.append(f"- **{name}**: {'; '.join(reasons) or 'nothing'}.")
    return "\n".join(["What the differences after the changes are:", "", *lines])


def _about(facts: Facts) -> str:
    lines = []
    for name, about in facts["about"].items():
        if "missing" in about:
            lines.append(f"- **{name}**: not run. {about['missing']}")
            continue
        versions = ", ".join(f"{what} {version}" for what, version in about["versions"].items())
        lines.append(f"- **{name}**: {about['settings']}. {versions}.")
    return "\n".join(lines)


def _table(
    facts: Facts,
    phases: Sequence[str],
    head: Sequence[str],
    cells: Callable[[str, Sequence[Mapping[str, Any]]], list[Cell]],
) -> str:
    lines = [f"| | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    rows: dict[str, list[Cell] | str] = {}
    for name, results in facts["results"].items():
        failed = [r["failed"] for r in results.values() if "failed" in r]
        there = all(phase in results and "failed" not in results[phase] for phase in phases)
        rows[name] = (
            cells(name, [results[phase] for phase in phases]) if there else f"failed: {failed}"
        )
    complete = [row for row in rows.values() if not isinstance(row, str)]
    best = [_best([row[column] for row in complete]) for column in range(len(head))]
    for name, row in rows.items():
        if isinstance(row, str):
            lines.append(f"| {name} | {row} |" + " |" * (len(head) - 1))
            continue
        shown = [f"**{text}**" if rank is not None and rank == top else text
                 for (text, rank), top in zip(row, best, strict=True)]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _best(column: Sequence[Cell]) -> float | None:
    ranks = [rank for _, rank in column if rank is not None]
    return min(ranks) if ranks else None
