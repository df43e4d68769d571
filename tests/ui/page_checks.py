"""What must hold of every page, whatever is on it: measured in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

MIN_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3 (AA), of normal text; larger text is held to the same."""

MIN_FOCUS_CONTRAST = 3.0
"""WCAG 2.2, 1.4.11 (AA): what shows the focus, against what is behind it."""

MIN_TARGET = 24
"""CSS pixels; WCAG 2.2, 2.5.8 (AA): width and height of what one presses."""

_SOURCE = Path(__file__).with_suffix(".js").read_text()


def _measure(page: Page, check: str, minimum: float = 0) -> Any:
    script = f"([check, minimum]) => {{ {_SOURCE} return checks[check](minimum); }}"
    return page.evaluate(script, [check, minimum])


def low_contrast(page: Page) -> list[str]:
    """Return texts that are hard to read on what is behind them, with their contrast."""
    return list(_measure(page, "contrast", MIN_CONTRAST))


def accessibility(page: Page) -> list[str]:
    """Return what a screen reader would stumble over."""
    return list(_measure(page, "accessibility"))


def too_wide(page: Page) -> list[str]:
    """Return what makes the page scroll sideways or is cut off."""
    return list(_measure(page, "width"))


def small_targets(page: Page) -> list[str]:
    """Return what is hard to hit with a thumb; links within text may be small."""
    return list(_measure(page, "targets", MIN_TARGET))


def keyboard(page: Page) -> list[str]:
    """Walk through the page with Tab and return what is wrong.

    Every control must be reached, in the order of the document, in view and with a focus that one
    sees.
    """
    wanted = list(_measure(page, "controls"))
    page.evaluate("() => { document.activeElement?.blur(); window.focusOrder = new Map(); }")
    page.evaluate("() => getSelection().setPosition(document.body, 0)")
    bad: list[str] = []
    order: list[int] = []
    for _ in range(len(wanted) + 1):
        page.keyboard.press("Tab")
        found = _measure(page, "focus", MIN_FOCUS_CONTRAST)
        if found is None or found["seen"] < len(order):
            break
        order.append(found["index"])
        if not found["visible"]:
            bad.append(f"its focus is not seen: {found['name']}")
    missed = set(range(len(wanted))) - set(order)
    bad += [f"not reached by Tab: {wanted[index]}" for index in sorted(missed)]
    if order != sorted(order):
        bad.append(f"not in the order of the page: {order}")
    return bad


def brightness(page: Page) -> str:
    """Return whether a page is ``light`` or ``dark``."""
    return str(_measure(page, "brightness"))


def everything(page: Page, *, phone: bool) -> list[str]:
    """Return all that is wrong with a page, for one message.

    :param phone: whether the window is as wide as a phone; there, thumbs press.
    """
    found = low_contrast(page) + accessibility(page) + too_wide(page)
    return found + (small_targets(page) if phone else keyboard(page))


def on_all_screens(page: Page) -> list[str]:
    """Return all that is wrong with a page, wide and on a phone of 360 pixels, with all unfolded.

    What is folded away is opened and stays so.
    """
    before = page.viewport_size
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.set_viewport_size({"width": 1280, "height": 900})
    found = everything(page, phone=False)
    page.set_viewport_size({"width": 360, "height": 740})
    found += everything(page, phone=True)
    if before:
        page.set_viewport_size(before)
    return found


def in_both_themes(page: Page) -> list[str]:
    """Return all that is wrong with a page in light and in dark; it ends up light."""
    found = []
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        found += [f"{theme}: {one}" for one in on_all_screens(page)]
    return found
