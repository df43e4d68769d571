"""Write the table of streams in ``docs/streams.md``; with ``--check`` only compare."""

from __future__ import annotations

import sys
from pathlib import Path

from airflow_provider_stripe_app.streams.catalog import EVENT_RULES, STREAMS
from airflow_provider_stripe_app.streams.model import Stream

TARGET = Path(__file__).parent.parent / "docs/streams.md"
BEGIN, END = "<!-- streams: begin -->\n", "<!-- streams: end -->\n"
HEAD = "| stream (= table) | object, listed at `/v1/…` | permission | new | changed | deleted |\n"


def new(stream: Stream) -> str:
    """Return how new objects are found."""
    if stream.creates:
        return "event"
    return "list" if stream.dated else "day"


def changed(stream: Stream) -> str:
    """Return how changes are found."""
    if not stream.creates and not stream.dated:
        return "event, day" if stream.updates else "day"
    told = "event" if stream.updates else "week"
    return f"{told}; open ones day" if stream.open_while else told


def deleted(stream: Stream) -> str:
    """Return how deletions are found."""
    if not stream.deletes:
        return "week"
    rules = [rule for rules in EVENT_RULES.values() for rule in rules]
    own = [r for r in rules if r.stream == stream.name and r.effect in {"gone", "refetch"}]
    return "event" if own else "never"


def row(stream: Stream) -> str:
    """Return a stream's row."""
    listed = stream.path.removeprefix("/v1/")
    query = "&".join(f"{name}={value}" for name, value in stream.params.items())
    where = f"`{stream.object}`, `{listed}{'?' + query if query else ''}`"
    if stream.parent:
        return (
            f"| `{stream.name}` | {where} | as `{stream.parent}` "
            f"| with `{stream.parent}`, inlined as `{stream.inlined}` | | |\n"
        )
    mark = " (guessed)" if stream.guessed_permission else ""
    permission = f"`{stream.permission}`{mark}"
    cells = (new(stream), changed(stream), deleted(stream))
    return f"| `{stream.name}` | {where} | {permission} | {' | '.join(cells)} |\n"


def render() -> str:
    """Return the tables, one a group."""
    out, group = "", ""
    for stream in sorted(STREAMS.values(), key=lambda s: list(groups()).index(s.group)):
        if stream.group != group:
            group = stream.group
            out += f"\n### {group}\n\n{HEAD}|---|---|---|---|---|---|\n"
        out += row(stream)
    return out.lstrip("\n")


def groups() -> dict[str, None]:
    """Return the headings in the catalogue's order."""
    return dict.fromkeys(stream.group for stream in STREAMS.values())


def page(text: str) -> str:
    """Return the page with its tables as they should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{render()}\n{END}{after}"


def main() -> int:
    """Write the page, or with ``--check`` return 1 if it is out of date."""
    text = TARGET.read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        return int(page(text) != text)
    TARGET.write_text(page(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
