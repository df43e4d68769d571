"""What was done, counted: runs, kills, differences."""

from __future__ import annotations

from collections import Counter

TALLY: Counter[str] = Counter()
"""Of this process; the figures of all processes of a test run are added up at its end."""

ORDER = (
    "stories",
    "runs",
    "runs killed",
    "runs overtaken or kept waiting",
    "runs killed with SIGKILL",
    "warehouse servers killed with SIGKILL",
    "crash points",
    "tables compared",
    "rows compared",
    "differences",
)


def lines(tally: Counter[str]) -> list[str]:
    """Return the figures for people."""
    names = [n for n in ORDER if tally[n] or n == "differences"]
    names += sorted(tally.keys() - set(ORDER))
    return [f"{tally[name]:>9,} {name}" for name in names]
