from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_stripe_app.testing.errors import ApiError
from airflow_provider_stripe_app.testing.forms import parse
from airflow_provider_stripe_app.testing.lists import paginate, parse_query
from airflow_provider_stripe_app.testing.store import Collection


def collection(created: list[int]) -> Collection:
    made = Collection("customer")
    for number, second in enumerate(created):
        made.put(made.build({"id": f"cus_{number}", "object": "customer", "created": second}))
    return made


def ids(made: Collection, query: str) -> tuple[list[str], bool]:
    parsed = parse_query(parse(query), (), created=True)
    found, more = paginate(made.ordered, parsed, made.by_id.get, "customer")
    return [record.id for record in found], more


@given(st.lists(st.integers(0, 20), max_size=40), st.integers(1, 7))
def test_paging_forwards_and_backwards_sees_everything_once(created: list[int], limit: int) -> None:
    made = collection(created)
    newest_first = [
        f"cus_{number}"
        for _, number in sorted(((c, n) for n, c in enumerate(created)), reverse=True)
    ]
    seen, more = ids(made, f"limit={limit}")
    while more:
        page, more = ids(made, f"limit={limit}&starting_after={seen[-1]}")
        seen += page
    assert seen == newest_first
    if seen:
        back, more = [seen[-1]], True
        while more:
            page, more = ids(made, f"limit={limit}&ending_before={back[0]}")
            back = page + back
        assert back == newest_first


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(0, 9), st.integers(0, 9))
def test_created_bounds_are_as_their_names_say(created: list[int], low: int, high: int) -> None:
    made = collection(created)
    for query, test in (
        (f"created[gte]={low}&created[lt]={high}", lambda c: low <= c < high),
        (f"created[gt]={low}&created[lte]={high}", lambda c: low < c <= high),
        (f"created={low}", lambda c: c == low),
    ):
        found, _ = ids(made, f"limit=100&{query}")
        assert sorted(found) == sorted(f"cus_{n}" for n, c in enumerate(created) if test(c))


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("limit=101", None, "limit"),
        ("limit=0", None, "limit"),
        ("limit=ten", "parameter_invalid_integer", "limit"),
        ("foo=1", "parameter_unknown", "foo"),
        ("created[after]=1", "parameter_unknown", "created[after]"),
        ("created[gte]=yesterday", "parameter_invalid_integer", "created[gte]"),
        ("starting_after=cus_gone", "resource_missing", "starting_after"),
        ("ending_before=cus_gone", "resource_missing", "ending_before"),
        ("starting_after=", "parameter_invalid_empty", "starting_after"),
        ("starting_after=cus_0&ending_before=cus_0", None, "ending_before"),
    ],
)
def test_what_stripe_refuses_is_refused(query: str, code: str | None, param: str) -> None:
    with pytest.raises(ApiError) as caught:
        ids(collection([1]), query)
    assert caught.value.status == 400
    assert (caught.value.error.get("code"), caught.value.error["param"]) == (code, param)


def test_only_ten_children_are_inlined_and_none_is_lost() -> None:
    made = Collection("invoice", "lines")
    lines = [{"id": f"il_{n}"} for n in range(11)]
    invoice = {
        "id": "in_1",
        "created": 1,
        "lines": {"object": "list", "data": lines, "has_more": False, "url": "/x"},
    }
    record = made.build(invoice)
    assert b'"has_more":true' in record.raw
    assert b"il_9" in record.raw
    assert b"il_10" not in record.raw
    assert made.whole(record)["lines"]["data"] == lines
    assert len(made.children_of(record)) == 11


def test_lone_surrogates_and_nul_survive() -> None:
    made = Collection("customer")
    value = {"id": "cus_1", "created": 1, "name": "\ud800 \x00 é"}
    assert made.whole(made.build(value)) == value


def test_a_stale_list_is_the_list_of_that_time() -> None:
    rng, made, states = Random(4), Collection("customer"), {}
    for now in range(1, 60):
        choice = rng.random()
        if choice < 0.5 or not made.ordered:
            new = {"id": f"cus_{now}", "created": rng.randint(0, now)}
            made.put(made.build(new), float(now))
        elif choice < 0.8:
            old = rng.choice(made.ordered)
            changed = {"id": old.id, "created": old.created, "name": str(now)}
            made.put(made.build(changed, old.order), float(now))
        else:
            made.remove(rng.choice(made.ordered).id, float(now), remember=True)
        states[now] = [(record.id, record.raw) for record in made.ordered]
    for now, state in states.items():
        assert [(record.id, record.raw) for record in made.as_of(now)] == state
    made.forget_history(30)
    assert [(r.id, r.raw) for r in made.as_of(40)] == states[40]


def test_an_index_follows_changes() -> None:
    made = Collection("invoice")
    first = made.build({"id": "in_1", "created": 1, "customer": "cus_1"})
    made.put(first)
    assert [r.id for r in made.where("customer", "cus_1")] == ["in_1"]
    made.put(made.build({"id": "in_2", "created": 2, "customer": "cus_1"}))
    changed = made.build({"id": "in_1", "created": 1, "customer": "cus_2"}, first.order)
    made.put(changed)
    assert [r.id for r in made.where("customer", "cus_1")] == ["in_2"]
    assert made.where("customer", "cus_2") == [changed]
    made.remove("in_2", 0.0)
    assert made.where("customer", "cus_1") == []
