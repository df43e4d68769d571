"""Pages are cut into what Stripe sent, byte for byte, and into a copy that warehouses can type."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_stripe_app.api.events import split_events
from airflow_provider_stripe_app.api.split import (
    MalformedBody,
    sanitize,
    split_object,
    split_page,
    split_parent,
    split_parents,
)


def page(*objects: str, has_more: bool = False, gap: str = ",") -> bytes:
    more = "true" if has_more else "false"
    return f'{{"object":"list","data":[{gap.join(objects)}],"has_more":{more}}}'.encode()


def test_raw_is_what_was_sent_with_spaces_order_numbers_and_duplicates():
    first = (
        '{ "created" : 12,\n "id":"a", "n": 1.10, "e":1E5, "z":-0.0, "k":1,"k":2,"\\u0069d2":3 }'
    )
    second = '{"id":"b","emoji":"é😀\\ud83d\\ude00"}'
    items, has_more = split_page(page(first, second, has_more=True, gap=" ,\n\t"))
    assert [i.raw for i in items] == [first, second]
    assert [(i.id, i.created) for i in items] == [("a", 12), ("b", None)]
    assert [i.typed_from for i in items] == [None, None]
    assert has_more is True


@pytest.mark.parametrize("created", ["1.5", '"12"', "true", "null", "[]"])
def test_created_that_is_no_integer_is_unknown(created):
    items, _ = split_page(page(f'{{"id":"a","created":{created}}}'))
    assert items[0].created is None


def test_empty_page():
    assert split_page(page()) == ([], False)


@pytest.mark.parametrize(
    ("sent", "safe"),
    [
        (r"\u0000", r"\ufffd"),
        (r"a\u0000\u0000b", r"a\ufffd\ufffdb"),
        (r"\ud800", r"\ufffd"),
        (r"\uDfFf", r"\ufffd"),
        (r"\ude00\ud83d", r"\ufffd\ufffd"),
        (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
        (r"\ud83dx\ude00", r"\ufffdx\ufffd"),
        (r"\ud83d\n\ude00", r"\ufffd\n\ufffd"),
        (r"\ud83d\\ude00", r"\ufffd\\ude00"),
        (r"\\\u0000", r"\\\ufffd"),
    ],
)
def test_nul_and_lone_surrogates_are_replaced_by_as_many_bytes(sent, safe):
    body = f'{{"id":"a","x":"{sent}"}}'.encode()
    copy = sanitize(body)
    assert copy == f'{{"id":"a","x":"{safe}"}}'.encode()
    assert len(copy) == len(body)


@pytest.mark.parametrize("text", [r"\\u0000", r"\\ud800", r"\ud83d\ude00", r"\u0001", "u0000"])
def test_harmless_look_alikes_stay(text):
    assert sanitize(f'{{"x":"{text}"}}'.encode()) is None


def test_only_the_offending_items_get_a_copy():
    good, bad = r'{"id":"a","x":"\\u0000"}', r'{"id":"b","x":"\ud800","y":"\u0000"}'
    items, _ = split_page(page(good, bad, good.replace("a", "c")))
    assert [i.raw for i in items] == [good, bad, good.replace("a", "c")]
    assert [i.typed_from for i in items] == [
        None,
        r'{"id":"b","x":"\ufffd","y":"\ufffd"}',
        None,
    ]


def test_equal_safe_copies_of_different_originals_are_not_mixed_up():
    one, two = r'{"id":"a","x":"\ud800"}', r'{"id":"a","x":"\u0000"}'
    items, _ = split_page(page(one, two, one))
    assert [i.raw for i in items] == [one, two, one]


def parent(object_id: str, *lines: str, has_more: bool = False) -> str:
    inner = page(*lines, has_more=has_more).decode()
    return f'{{"id":"{object_id}","created":5,"lines":{inner},"after":"x"}}'


def test_inlined_children_are_cut_out_and_the_parent_stays_whole():
    lines = ['{"id":"il_1", "a":1}', '{"id":"il_2"}']
    whole, more = parent("in_1", *lines), parent("in_2", lines[0], has_more=True)
    items, _ = split_parents(page(whole, more), inlined="lines")
    assert [i.raw for i in items] == [whole, more]
    assert [c.raw for c in items[0].children] == lines
    assert [c.id for c in items[0].children] == ["il_1", "il_2"]
    assert [i.children_complete for i in items] == [True, False]


def test_childrens_originals_survive_in_an_offending_parent():
    lines = [r'{"id":"il_1","x":"\u0000"}', r'{"id":"il_2","x":"\ud800"}', '{"id":"il_3"}']
    sent = parent("in_1", *lines)
    for item in (
        split_parents(page(parent("in_0"), sent), inlined="lines")[0][1],
        split_parent(sent, inlined="lines"),
    ):
        assert item.raw == sent
        assert item.typed_from is not None
        assert [c.raw for c in item.children] == lines
        assert [c.typed_from is None for c in item.children] == [False, False, True]


@pytest.mark.parametrize("lines", ['"lines":null', '"other":1'])
def test_missing_inlined_list_counts_as_incomplete(lines):
    item = split_parent(f'{{"id":"in_1",{lines}}}', inlined="lines")
    assert (item.children, item.children_complete) == ((), False)


def test_without_children_wanted_a_parent_is_complete():
    item = split_parent(b'{"id":"in_1","lines":{"data":[{}],"has_more":true}}')
    assert (item.children, item.children_complete) == ((), True)


def test_single_object_keeps_its_bytes():
    body = b'{ "id" : "cus_1", "x":"\\u0000" }'
    item = split_object(body)
    assert item.raw.encode() == body
    assert json.loads(item.typed_from)["x"] == "\ufffd"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"data":[{"id":"a"}]}',
        b'{"data":[{"id":"a"}],"has_more":true',
        b'{"data":[{"id":"a"},],"has_more":true}',
        b'{"data":[{"object":"x"}],"has_more":true}',
        b'{"data":[{"id":"a","x":"\xff"}],"has_more":true}',
        b'{"data":[{"id":"a","x":"\xed\xa0\x80"}],"has_more":true}',
        b'{"data":[{"id":"a","x":"\\ud800","y":"\xff"}],"has_more":true}',
        b"<html></html>",
    ],
)
def test_anything_else_is_one_clear_error(body):
    with pytest.raises(MalformedBody, match="the answer is not"):
        split_page(body)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_every_truncation_is_noticed(cut):
    body = page('{"id":"a","created":1,"x":"yy"}', '{"id":"b"}', has_more=True)
    with pytest.raises(MalformedBody):
        split_page(body[:-cut])


_chars = st.text(
    st.sampled_from(["a", "\\", '"', "\x00", "\ud800", "\udc00", "\U0001f600", "u", "0", "é"]),
    max_size=12,
)
_objects = st.lists(st.tuples(_chars, _chars, st.lists(_chars, max_size=3)), max_size=5)


@settings(max_examples=150, deadline=None)
@given(_objects, st.booleans())
def test_any_text_is_cut_exactly(objects, compact):
    separators = (",", ":") if compact else (" ,\n", " : ")
    sent, kids = [], []
    for number, (key, value, lines) in enumerate(objects):
        inner = [json.dumps({"id": f"il_{n}", "v": v}) for n, v in enumerate(lines)]
        kids.append(inner)
        head = json.dumps({"id": f"in_{number}", "k" + key: value}, separators=separators)
        listed = page(*inner, gap=separators[0]).decode()
        sent.append(f'{head[:-1]},"lines":{listed}}}')
    items, _ = split_parents(page(*sent, gap=separators[0]), inlined="lines")
    assert [i.raw for i in items] == sent
    assert [[c.raw for c in i.children] for i in items] == kids
    for item in items:
        typed = item.typed_from or item.raw
        assert len(typed) == len(item.raw)
        decoded = json.loads(typed)
        text = "".join(str(k) + str(v) for k, v in decoded.items())
        assert "\x00" not in text
        text.encode()  # no lone surrogate is left
        assert (item.typed_from is None) == (item.raw == typed)


def test_events_carry_their_objects_byte_for_byte():
    subject = r'{ "id":"cus_1", "created":7, "x":"\u0000", "customer":{"id":"cus_9"} }'
    event = (
        '{"id":"evt_1","object":"event","type":"customer.updated","created":9,'
        '"api_version":"2020-08-27","account":"acct_1","data":{"object":%s,'
        r'"previous_attributes":{"x":"\ud800"}}}'
    )
    bare = event.replace("evt_1", "evt_2") % '{"object":"balance"}'
    items, has_more = split_events(page(event % subject, bare, has_more=True))
    assert has_more
    first, second = items
    assert first.object_raw == subject
    assert first.object_typed_from == subject.replace(r"\u0000", r"\ufffd")
    assert (first.id, first.type, first.created) == ("evt_1", "customer.updated", 9)
    assert (first.api_version, first.account) == ("2020-08-27", "acct_1")
    assert (first.object_id, first.object_created) == ("cus_1", 7)
    assert first.lookup("customer") == "cus_9"
    assert first.lookup("id") == "cus_1"
    assert first.lookup("created") is None
    assert first.lookup("customer", "nothing", "there") is None
    assert (second.object_id, second.object_raw) == (None, '{"object":"balance"}')


def test_a_page_of_hundred_objects_costs_about_a_millisecond():
    line = {"id": "il", "text": "x" * 150}
    lines = {"object": "list", "data": [line] * 3, "has_more": False}
    objects = [
        json.dumps({"id": f"in_{n}", "created": n, "lines": lines, "pad": "é" * 700})
        for n in range(100)
    ]
    body = page(*objects)
    assert len(body) > 200_000
    best = min(_seconds(body) for _ in range(15))
    assert best < 0.003, "a wide margin over the 0.4 ms that it takes"


def _seconds(body: bytes) -> float:
    began = time.perf_counter()
    split_page(body)
    return time.perf_counter() - began


def test_an_invoice_item_was_created_at_its_date() -> None:
    data = b'{"id":"ii_1","date":5},{"id":"x","created":7,"date":5}'
    items, _ = split_page(b'{"object":"list","data":[' + data + b'],"has_more":false}')
    assert [item.created for item in items] == [5, 7]
