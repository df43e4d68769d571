"""List requests: what they may ask, and which records answer them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, TypeVar

from airflow_provider_stripe_app.testing.errors import (
    invalid,
    invalid_integer,
    missing,
    unknown_param,
)
from airflow_provider_stripe_app.testing.store import position, position_at, window

_COMMON = {"limit", "starting_after", "ending_before", "expand"}
_BOUNDS = {"gte": 0, "gt": 1, "lt": 0, "lte": 1}


class Ordered(Protocol):
    """What can be paged: an id and a place in the order."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def order(self) -> int:
        """Its place, oldest first."""
        ...


R = TypeVar("R", bound=Ordered)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A checked list request.

    :param low: smallest ``created`` second, inclusive.
    :param high: largest ``created`` second, exclusive.
    :param filters: the other parameters.
    """

    limit: int = 10
    starting_after: str | None = None
    ending_before: str | None = None
    low: int | None = None
    high: int | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)


def parse_query(params: Mapping[str, Any], filters: Collection[str], created: bool) -> ListQuery:
    """Check the parameters of a list request.

    :param params: as :func:`.forms.parse` returns them.
    :param filters: names of the other parameters that this list takes.
    :param created: whether it takes ``created``.
    :raises ApiError: as Stripe refuses them.
    """
    known = _COMMON | set(filters) | ({"created"} if created else set())
    for name in params:
        if name not in known:
            raise unknown_param(name)
    if params.get("starting_after") and params.get("ending_before"):
        raise invalid("You cannot use both `starting_after` and `ending_before`.", "ending_before")
    low, high = bounds("created", params["created"]) if "created" in params else (None, None)
    return ListQuery(
        _limit(params.get("limit")),
        _cursor(params, "starting_after"),
        _cursor(params, "ending_before"),
        low,
        high,
        {name: value for name, value in params.items() if name in filters},
    )


def paginate(
    records: Sequence[R],
    query: ListQuery,
    find: Callable[[str], R | None],
    kind: str,
    keep: Callable[[R], bool] | None = None,
) -> tuple[list[R], bool]:
    """Return one page, newest first, and whether there is more.

    :param records: in ascending order; ``created`` is part of their order.
    :param find: looks a cursor's object up among the living ones.
    :param kind: what the error for a deleted cursor calls it.
    :param keep: leaves records out; ``None`` keeps all.
    :raises ApiError: 400 ``resource_missing`` if the cursor's object does not exist.
    """
    rows: Any = records
    first, last = window(rows, query.low, query.high)
    if query.starting_after is not None:
        cursor = _find(query.starting_after, find, kind, "starting_after")
        last = min(last, position_at(rows, cursor.order))
    if query.ending_before is not None:
        cursor = _find(query.ending_before, find, kind, "ending_before")
        first = max(first, position(rows, cursor.order))
        found = list(islice(_kept(records, range(first, last), keep), query.limit + 1))
        return found[: query.limit][::-1], len(found) > query.limit
    found = list(islice(_kept(records, range(last - 1, first - 1, -1), keep), query.limit + 1))
    return found[: query.limit], len(found) > query.limit


def paginate_children(
    children: Sequence[tuple[str, bytes]], query: ListQuery, kind: str
) -> tuple[list[bytes], bool]:
    """Return one page of an object's children, in their own order.

    :param children: (id, raw) in the order in which they are shown.
    :raises ApiError: 400 ``resource_missing`` if the cursor's child does not exist.
    """
    places = {id_: index for index, (id_, _) in enumerate(children)}
    first, last = 0, len(children)
    if query.starting_after is not None:
        first = _place(places, query.starting_after, kind, "starting_after") + 1
    if query.ending_before is not None:
        last = _place(places, query.ending_before, kind, "ending_before")
        first = max(first, last - query.limit)
        return [raw for _, raw in children[first:last]], first > 0
    found = children[first : first + query.limit]
    return [raw for _, raw in found], first + query.limit < last


def render_page(raws: Sequence[bytes], has_more: bool, url: str) -> bytes:
    """Join raw objects into a list object."""
    more = b"true" if has_more else b"false"
    head = b'{"object":"list","data":['
    return b"".join(
        (head, b",".join(raws), b'],"has_more":', more, b',"url":"', url.encode(), b'"}')
    )


def _kept(records: Sequence[R], indexes: range, keep: Callable[[R], bool] | None) -> Any:
    rows = (records[index] for index in indexes)
    return rows if keep is None else filter(keep, rows)


def _find(id_: str, find: Callable[[str], R | None], kind: str, param: str) -> R:
    record = find(id_)
    if record is None:
        raise missing(kind, id_, param, 400)
    return record


def _place(places: Mapping[str, int], id_: str, kind: str, param: str) -> int:
    if id_ not in places:
        raise missing(kind, id_, param, 400)
    return places[id_]


def _cursor(params: Mapping[str, Any], name: str) -> str | None:
    value = params.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise invalid(f"Invalid string: {value}", name)
    if value == "":
        raise invalid(f"You passed an empty string for '{name}'.", name, "parameter_invalid_empty")
    return value


def _limit(value: Any) -> int:
    if value is None:
        return 10
    number = _integer("limit", value)
    if number > 100:
        raise invalid(
            f"This value must be less than or equal to 100 (it currently is '{number}').", "limit"
        )
    if number < 1:
        raise invalid("This value must be greater than or equal to 1.", "limit")
    return number


def bounds(param: str, value: Any) -> tuple[int | None, int | None]:
    """Return [low, high) of a parameter such as ``created``: a value or a hash of bounds.

    :raises ApiError: for what is neither.
    """
    if not isinstance(value, Mapping):
        exact = _integer(param, value)
        return exact, exact + 1
    low: int | None = None
    high: int | None = None
    for name, bound in value.items():
        if name not in _BOUNDS:
            raise unknown_param(f"{param}[{name}]")
        edge = _integer(f"{param}[{name}]", bound) + _BOUNDS[name]
        if name.startswith("g"):
            low = edge if low is None else max(low, edge)
        else:
            high = edge if high is None else min(high, edge)
    return low, high


def _integer(name: str, value: Any) -> int:
    text = str(value)
    if not text.isascii() or not text.lstrip("-").isdigit() or len(text) > 12:
        raise invalid_integer(name, text)
    return int(text)
