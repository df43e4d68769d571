"""Long lists, a part at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

T = TypeVar("T")

PAGE_SIZE = 50


@dataclass(frozen=True)
class Part(Generic[T]):
    """One page of a list.

    :param items: what is on it.
    :param total: how many there are on all pages.
    :param page: its number, from 1.
    :param pages: how many pages there are, at least 1.
    :param first: number of its first item, from 1.
    """

    items: tuple[T, ...]
    total: int
    page: int
    pages: int
    first: int

    @property
    def last(self) -> int:
        """Return the number of its last item."""
        return self.first + len(self.items) - 1

    @property
    def words(self) -> str:
        """Return what of the list is on this page."""
        return f"{self.first:,} to {self.last:,} of {self.total:,}"


def number(text: str, most: int = 999_999) -> int:
    """Return the page number of an address; whatever is no number is 1."""
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        return 1
    return min(max(int(text), 1), most)


def part_of(items: Sequence[T], page: str, size: int = PAGE_SIZE) -> Part[T]:
    """Return a page of a list; a number that is too high is the last one.

    :param items: the whole list.
    :param page: what the address says.
    :param size: items on a page.
    """
    pages = max((len(items) + size - 1) // size, 1)
    chosen = number(page, pages)
    start = (chosen - 1) * size
    return Part(tuple(items[start : start + size]), len(items), chosen, pages, start + 1)


def address(path: str = ".", **query: str | int) -> str:
    """Return a relative address with the parameters that are not empty."""
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
