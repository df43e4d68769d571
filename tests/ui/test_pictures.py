"""The pictures in the docs are those that ``make screenshots`` takes."""

from __future__ import annotations

import re
import struct

import screenshots


def test_every_picture_is_taken_by_the_script_and_small() -> None:
    files = {path.stem: path for path in screenshots.IMAGES.glob("*.png")}
    assert set(files) == set(screenshots.PICTURES)
    for name, path in files.items():
        data = path.read_bytes()
        assert len(data) <= screenshots.MOST, name
        width = struct.unpack(">I", data[16:20])[0]
        assert width in {screenshots.DESKTOP, 2 * screenshots.PHONE}, name


def test_the_docs_show_pictures_that_there_are() -> None:
    docs = screenshots.ROOT / "docs"
    text = "".join(path.read_text() for path in docs.glob("*.md"))
    shown = set(re.findall(r"\(images/([\w-]+)\.png\)", text))
    assert {"connection-form", "list-light", "detail-light", "manifest", "consent"} <= shown
    assert shown <= set(screenshots.PICTURES)
