"""Bracket notation of query strings and form bodies, as Stripe's SDKs send it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from airflow_provider_stripe_app.testing.errors import invalid, invalid_integer
from airflow_provider_stripe_app.testing.resources import BOOLEANS, INTEGERS

_KEY = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
_PART = re.compile(r"\[([^\[\]]*)\]")


def parse(text: str) -> dict[str, Any]:
    """Parse ``a=1&b[c]=2&d[0]=x&d[]=y`` into nested dicts and lists; all leaves are text.

    :raises ApiError: for a key that is not bracket notation.
    """
    return nested(parse_qsl(text, keep_blank_values=True))


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Build nested dicts and lists from (key in bracket notation, value)."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        match = _KEY.match(key)
        if match is None:
            raise invalid(f"Invalid parameter name: {key}", key)
        path = [match.group(1), *_PART.findall(match.group(2))]
        _put(result, path, value)
    return {key: _lists(value, key) for key, value in result.items()}


def typed(params: Mapping[str, Any]) -> dict[str, Any]:
    """Give form values their types by the names of their parameters; ``""`` unsets (``None``).

    ``metadata`` keeps text throughout, ``""`` there removes a key (:func:`merged` does).

    :raises ApiError: for a number or boolean that is none.
    """
    return {name: _typed(name, value, name) for name, value in params.items()}


def merged(old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``old`` with ``changes`` laid over it: hashes key by key, everything else whole.

    In ``metadata`` an empty text removes the key, and an empty text or ``None`` for the whole
    empties it (https://docs.stripe.com/api/metadata).
    """
    result = dict(old)
    for name, value in changes.items():
        before = result.get(name)
        if name == "metadata":
            result[name] = _metadata(before or {}, value)
        elif isinstance(value, Mapping) and isinstance(before, Mapping):
            result[name] = merged(before, value)
        else:
            result[name] = value
    return result


def differences(old: Any, new: Any) -> dict[str, Any]:
    """Return what ``old`` had where ``new`` differs: the ``previous_attributes`` of an event."""
    result: dict[str, Any] = {}
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before == after and type(before) is type(after):
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            result[name] = differences(before, after)
        else:
            result[name] = before
    return result


def _metadata(old: Mapping[str, Any], new: Any) -> dict[str, Any]:
    if not new:
        return {}
    if not isinstance(new, Mapping):
        raise invalid("Invalid metadata: metadata must be a set of key-value pairs", "metadata")
    kept = {**old, **new}
    kept = {key: value for key, value in kept.items() if value not in ("", None)}
    for key, value in kept.items():
        if len(str(key)) > 40 or len(str(value)) > 500:
            raise invalid(
                "Metadata keys can have up to 40 characters and values up to 500 characters",
                f"metadata[{key}]",
            )
    if len(kept) > 50:
        raise invalid("Metadata can have up to 50 keys", "metadata")
    return kept


def _typed(name: str, value: Any, path: str) -> Any:
    if name == "metadata":
        return value
    if isinstance(value, Mapping):
        return {key: _typed(key, item, f"{path}[{key}]") for key, item in value.items()}
    if isinstance(value, list):
        return [_typed("", item, f"{path}[{i}]") for i, item in enumerate(value)]
    if not isinstance(value, str):
        return value  # an entry of a list that was typed with it
    return _leaf(name, value, path)


def _leaf(name: str, value: str, path: str) -> Any:
    if value == "" and name:
        return None
    if name in INTEGERS and value != "now":
        return _integer(value, path)
    return _boolean(value, path) if name in BOOLEANS else value


def _integer(value: str, path: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", value):
        raise invalid_integer(path, value)
    return int(value)


def _boolean(value: str, path: str) -> bool:
    if value not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", path)
    return value == "true"


def _put(target: dict[str, Any], path: list[str], value: str) -> None:
    for index, part in enumerate(path[:-1]):
        name = part or str(len(target))
        child = target.setdefault(name, {})
        if not isinstance(child, dict):
            raise invalid(f"Invalid hash: {path[0]}", "".join(path[: index + 1]))
        target = child
    target[path[-1] or str(len(target))] = value


def _lists(value: Any, name: str) -> Any:
    """Make lists of hashes whose keys are all numbers; metadata may well have such keys."""
    if not isinstance(value, dict):
        return value
    items = {key: _lists(item, key) for key, item in value.items()}
    if name != "metadata" and items and all(key.isdigit() for key in items):
        return [items[key] for key in sorted(items, key=int)]
    return items
