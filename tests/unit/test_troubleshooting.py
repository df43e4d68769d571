"""``docs/troubleshooting.md`` quotes what the program says now, and knows every kind of error."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "airflow_provider_stripe_app"
PAGE = (ROOT / "docs/troubleshooting.md").read_text()
DOTS = "…"


@cache
def trees() -> list[ast.Module]:
    files = [path for path in PACKAGE.rglob("*.py") if "testing" not in path.parts]
    return [ast.parse(path.read_text()) for path in files]


def template(node: ast.AST) -> str | None:
    """Return a string of the source; what is filled in becomes three dots."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (v.value if isinstance(v, ast.Constant) else DOTS for v in node.values)
        return "".join(map(str, parts))
    return None


@cache
def templates() -> list[str]:
    found = (template(node) for tree in trees() for node in ast.walk(tree))
    return sorted({text for text in found if text is not None and len(text) > 8})


def says(message: str, quote: str) -> bool:
    """Tell whether a message has all the words of a quote, in their order."""
    place = 0
    for words in quote.split(DOTS):
        found = message.find(words.strip(" .:"), place)
        if found < 0:
            return False
        place = found + len(words.strip(" .:"))
    return True


QUOTES = re.findall(r"^> (.+)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_message_is_still_one_of_the_programs(quote: str) -> None:
    longest = max(quote.split(DOTS), key=len).strip()
    assert len(longest) >= 9, "the quote has no words that tell it from others"
    assert any(says(text, quote) for text in templates())


def test_every_class_of_error_has_an_entry() -> None:
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    known, size = {"StripeAppError", "CsrfError"}, 0
    while len(known) > size:
        size = len(known)
        known |= {name for name, above in bases.items() if above & known}
    assert size > 25
    assert not {name for name in known if f"`{name}`" not in PAGE}


@pytest.mark.parametrize(
    "name", ["README.md", "docs/setup.md", "docs/deploy.md", "docs/troubleshooting.md"]
)
def test_links_to_files_pictures_and_headings_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(((?!https?://)[^)\s]+)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        path = page.parent / file if file else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text()), target


def test_commands_and_options_in_the_docs_exist() -> None:
    from airflow_provider_stripe_app.cli import get_provider_cli_commands
    from airflow_provider_stripe_app.oauth.config import OPTIONS

    [group] = get_provider_cli_commands()
    commands = {
        command.name: {flag for arg in command.args for flag in arg.flags}
        for command in group.subcommands
    }
    text = "\n".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    text += (ROOT / "README.md").read_text()
    used = re.findall(r"airflow stripe-app\s+([a-z-]+)([^`\n]*)", text)
    assert len(used) > 20
    for name, rest in used:
        assert name in commands, name
        assert set(re.findall(r" (--[a-z-]+)", rest)) <= commands[name] | {"--help"}, (name, rest)
    assert set(re.findall(r"\[stripe_app\] (\w+)", text)) <= set(OPTIONS)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
