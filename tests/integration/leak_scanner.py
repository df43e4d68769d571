"""Finds known secrets in whatever a run leaves behind, also cut off or encoded."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

_PREFIX = re.compile(r"^(?:sk|rk|rt|ac)_(?:test_|live_)?")
LENGTH = 16
"""So many characters of a secret in a row are a leak: nobody guesses the rest of fewer."""


@dataclass(frozen=True, order=True)
class Leak:
    """A secret where it must not be.

    :param place: for example ``file/process-logs/api-server.log``.
    :param kind: for example ``refresh token``.
    :param form: ``plain``, ``base64`` or ``hex``.
    """

    place: str
    kind: str
    form: str

    @property
    def group(self) -> str:
        """The first word of the place."""
        return self.place.split("/", 1)[0]


def needles(secret: str) -> Iterator[tuple[bytes, str]]:
    """Yield what gives a secret away, with the form it is in.

    Both ends of the random part are searched on their own, so that a value that somebody cut off
    is found too. Quoting for URLs and JSON does not change the characters that secrets are made of.
    """
    body = _PREFIX.sub("", secret).encode()
    if len(body) < LENGTH:
        raise ValueError(f"A secret of {len(body)} characters cannot be told from other words")
    for end in {body[:LENGTH], body[-LENGTH:]}:
        yield end, "plain"
        yield end.hex().encode(), "hex"
    for shift in range(3):  # base64 depends on where the secret begins in what is encoded
        encoded = base64.urlsafe_b64encode(b"\0" * shift + body[:LENGTH])
        yield encoded[4 if shift else 0 : -4], "base64"


class Corpus:
    """Everything that a run produced, by place."""

    def __init__(self) -> None:
        self._texts: dict[str, list[bytes]] = {}

    def add(self, place: str, content: str | bytes) -> None:
        """Add what was found at a place; a place may be added to."""
        data = content.encode(errors="replace") if isinstance(content, str) else content
        self._texts.setdefault(place, []).append(data)

    def add_to(self, other: Corpus) -> None:
        """Put everything into another corpus."""
        for place, parts in list(self._texts.items()):
            for part in parts:
                other.add(place, part)

    @property
    def places(self) -> list[str]:
        """All places, in order."""
        return sorted(self._texts)

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(len(part) for parts in self._texts.values() for part in parts)

    def text(self, place: str) -> str:
        """Return what is at a place."""
        return b"\n".join(self._texts[place]).decode(errors="replace")

    def find(self, secrets: Mapping[str, str]) -> list[Leak]:
        """Return where secrets are.

        :param secrets: secret → its kind.
        """
        looked = [
            (needle, kind, form)
            for secret, kind in secrets.items()
            for needle, form in needles(secret)
        ]
        found = set()
        for place, parts in self._texts.items():
            data = b"\n".join(parts)
            found |= {Leak(place, kind, form) for needle, kind, form in looked if needle in data}
        return sorted(found)


def describe(leaks: Iterable[Leak]) -> str:
    """Return one line a leak."""
    return "\n".join(f"{leak.kind} ({leak.form}) in {leak.place}" for leak in leaks)
