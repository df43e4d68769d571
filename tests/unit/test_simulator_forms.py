from __future__ import annotations

import pytest

from airflow_provider_stripe_app.testing.errors import ApiError
from airflow_provider_stripe_app.testing.forms import differences, merged, parse, typed


def test_brackets_become_nested_hashes_and_lists() -> None:
    text = "name=J%C3%BC&address[city]=K&items[0][price]=p1&items[1][price]=p2&types[]=a&types[]=b"
    assert parse(text) == {
        "name": "Jü",
        "address": {"city": "K"},
        "items": [{"price": "p1"}, {"price": "p2"}],
        "types": ["a", "b"],
    }


def test_numeric_metadata_keys_stay_a_hash() -> None:
    assert parse("metadata[6735]=x") == {"metadata": {"6735": "x"}}


def test_values_are_typed_by_the_name_of_their_parameter() -> None:
    fields = typed(parse("balance=-5&active=true&name=&metadata[n]=7&items[0][quantity]=3"))
    assert fields == {
        "balance": -5,
        "active": True,
        "name": None,
        "metadata": {"n": "7"},
        "items": [{"quantity": 3}],
    }


@pytest.mark.parametrize(
    ("text", "param", "code"),
    [
        ("balance=1.5", "balance", "parameter_invalid_integer"),
        ("items[0][quantity]=x", "items[0][quantity]", "parameter_invalid_integer"),
        ("active=yes", "active", None),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_parameter(
    text: str, param: str, code: str | None
) -> None:
    with pytest.raises(ApiError) as caught:
        typed(parse(text))
    assert (caught.value.status, caught.value.error["param"]) == (400, param)
    assert caught.value.error.get("code") == code


def test_metadata_merges_and_an_empty_value_removes_its_key() -> None:
    old = {"metadata": {"a": "1", "b": "2"}, "address": {"city": "K", "line1": "x"}}
    new = merged(old, {"metadata": {"a": "", "c": "3"}, "address": {"city": None}})
    assert new == {"metadata": {"b": "2", "c": "3"}, "address": {"city": None, "line1": "x"}}
    assert merged(old, {"metadata": ""})["metadata"] == {}


@pytest.mark.parametrize(
    "metadata", [{"k": "v" * 501}, {"k" * 41: "v"}, {str(n): "v" for n in range(51)}]
)
def test_metadata_beyond_stripes_limits_is_refused(metadata: dict[str, str]) -> None:
    with pytest.raises(ApiError):
        merged({"metadata": {}}, {"metadata": metadata})


def test_previous_attributes_are_the_old_values_of_what_changed() -> None:
    old = {"a": 1, "m": {"x": "1", "y": "2"}, "l": [1], "same": {"z": 0}}
    new = {"a": 2, "m": {"x": "9", "y": "2", "n": "0"}, "l": [1, 2], "same": {"z": 0}}
    assert differences(old, new) == {"a": 1, "m": {"x": "1", "n": None}, "l": [1]}
    assert differences({"a": 1}, {"a": True}) == {"a": 1}
