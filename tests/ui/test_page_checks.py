"""The measurements find what they are for; so when they find nothing, there is nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import page_checks
import pytest

GOOD = """<!doctype html><html lang="en"><head><title>Good</title></head><body><main>
<h1>Good</h1><p>Some text, <a href="#x">a link</a>.</p>
<label>Name <input placeholder="Ada" style="height: 30px"></label>
<button style="height: 30px; outline: none" class="b">Go</button>
</main><style>
* { box-sizing: border-box } :focus-visible, .b:focus-visible { outline: 3px solid #00f !important }
input::placeholder { color: #555 }
</style></body></html>"""


@pytest.fixture(scope="module")
def blank(browser: Any) -> Iterator[Any]:
    with browser.new_context(viewport={"width": 360, "height": 700}) as context:
        yield context.new_page()


def test_a_good_page_has_no_faults(blank: Any) -> None:
    blank.set_content(GOOD)
    assert page_checks.everything(blank, phone=True) == []
    assert page_checks.everything(blank, phone=False) == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ('<p style="color: #999">pale</p>', '2.85 of "pale"'),
        ('<div style="background: #111; color: #333">dark</div>', 'of "dark"'),
        ('<p style="opacity: .4">thin</p>', 'of "thin"'),
        ('<label>L <input value="typed" style="color: #aaa"></label>', 'of "typed"'),
        (
            '<label>L <input placeholder="h" class=p><style>.p::placeholder {color: #ccc}',
            '"h"',
        ),
        ("<h1>Second</h1>", "2 h1"),
        ("<h4>Deep</h4>", "h4 after h1"),
        ("<input>", "no label: <input>"),
        ("<button style='height: 30px'></button>", "no name: <button"),
        ("<img src='data:,'>", "no alt"),
        ("<i id=a></i><i id=a></i>", "id twice: a"),
        ("<p aria-describedby=gone>x</p>", "of nothing: gone"),
        ('<div style="width: 900px">wide</div>', "the page is 9"),
        (
            '<p style="width: 50px; overflow: hidden; white-space: nowrap">very long text</p>',
            "cut off",
        ),
        ('<button style="width: 12px; height: 12px; padding: 0">.</button>', "12 × 12"),
    ],
)
def test_a_fault_of_a_page_is_found(blank: Any, fault: str, words: str) -> None:
    blank.set_content(GOOD.replace("</main>", f"{fault}</main>"))
    found = page_checks.everything(blank, phone=True)
    assert any(words in one for one in found), found


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("<button style='outline: none !important'>Hidden focus</button>", "its focus is not seen"),
        ("<button style='outline-color: #eee !important'>Pale focus</button>", "its focus is not"),
        ("<button tabindex=3>First</button>", "not in the order"),
        ("<button onfocus='this.blur()'>Runs away</button>", "not reached by Tab: <button> Runs"),
    ],
)
def test_a_trap_for_the_keyboard_is_found(blank: Any, fault: str, words: str) -> None:
    blank.set_content(GOOD.replace("</main>", f"{fault}</main>"))
    found = page_checks.everything(blank, phone=False)
    assert any(words in one for one in found), found
