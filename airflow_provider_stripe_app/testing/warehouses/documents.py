"""Documents that engines take for something else if one lets them (EQUALITY §8)."""

from __future__ import annotations

import json

from airflow_provider_stripe_app.api.split import sanitize
from airflow_provider_stripe_app.warehouse.base import StagedRow

NASTY: dict[str, str] = {
    "plain": '{"id":"plain","amount":5,"paid":true,"name":"x","created":1700000000,"rate":"1.10",'
    '"metadata":{"b":1,"a":[1,2.50]},"customer":"cus_1","address":{"city":"Köln","geo":{"lat":-3}},'
    '"order":"o","select":{"from":"f"}}',
    "missing": '{"id":"missing"}',
    "nulls": '{"id":"nulls","amount":null,"paid":null,"name":null,"created":null,"rate":null,'
    '"metadata":null,"customer":null,"address":null,"order":null,"select":{"from":null}}',
    "fraction": '{"id":"fraction","amount":1.5,"created":1.5,"rate":1.5}',
    "whole_fraction": '{"id":"whole_fraction","amount":1.0,"created":1e9}',
    "exponent": '{"id":"exponent","amount":1e3}',
    "true_as_int": '{"id":"true_as_int","amount":true,"created":false,"paid":1}',
    "text_as_int": '{"id":"text_as_int","amount":"5","created":"5","paid":"true"}',
    "abc": '{"id":"abc","amount":"abc","paid":"abc"}',
    "int64": '{"id":"int64","amount":9223372036854775807}',
    "int64_min": '{"id":"int64_min","amount":-9223372036854775808}',
    "beyond": '{"id":"beyond","amount":9223372036854775808}',
    "below": '{"id":"below","amount":-9223372036854775809}',
    "huge": '{"id":"huge","amount":123456789012345678901234567890,"created":99999999999999999999}',
    "minus_zero": '{"id":"minus_zero","amount":-0}',
    "last_second": '{"id":"last_second","created":253402300799}',
    "too_late": '{"id":"too_late","created":253402300800}',
    "too_early": '{"id":"too_early","created":-1}',
    "epoch": '{"id":"epoch","created":0}',
    "int_as_text": '{"id":"int_as_text","name":5,"order":true,"customer":7,"rate":5}',
    "object_as_text": '{"id":"object_as_text","name":{"a":1},"order":[1]}',
    "expanded": '{"id":"expanded","customer":{"id":"cus_2","object":"customer"}}',
    "expanded_bad": '{"id":"expanded_bad","customer":{"id":5}}',
    "expanded_empty": '{"id":"expanded_empty","customer":{}}',
    "expanded_list": '{"id":"expanded_list","customer":["cus"]}',
    "not_an_object": '{"id":"not_an_object","address":"Köln","select":[{"from":"f"}]}',
    "half_an_object": '{"id":"half_an_object","address":{"city":5,"geo":"x"}}',
    "json_text": '{"id":"json_text","metadata":"5"}',
    "json_number": '{"id":"json_number","metadata":-0.5}',
    "json_false": '{"id":"json_false","metadata":false}',
    "json_nested_null": '{"id":"json_nested_null","metadata":{"a":null}}',
    "json_big": '{"id":"json_big","metadata":{"n":123456789012345678901234567890}}',
    "long_metadata": json.dumps(
        {"id": "long_metadata", "metadata": {f"k{i}": "ü" * 500 for i in range(50)}}
    ),
    "unicode": '{"id":"unicode",'
    '"name":"\\u00e9\\ud83d\\ude00 日本 \U0001f600 \\"q\\" \\\\ \\/ \\n\\t"}',
    "backslash_u": '{"id":"backslash_u","name":"\\\\u0000 \\\\ud800"}',
    "escaped_keys": r'{"id":"escaped_keys","am\u006funt":5,"n\u0061me" : "\u0061me\": \\"}',
    "quotes": '{"id":"quotes","name":"it\'s; DROP TABLE things;--"}',
    "spaces": '{ "id" : "spaces" ,\n\t"amount" : 7 , "name" : "" }',
    "nul": '{"id":"nul","name":"a\\u0000b","metadata":{"k\\u0000":"\\u0000"}}',
    "lone": '{"id":"lone","name":"\\ud800","order":"x\\uDC00y","metadata":["\\udfff"]}',
}
"""Id → JSON text."""


def staged(raw: str, version: int = 100) -> StagedRow:
    copy = sanitize(raw.encode())
    return StagedRow(json.loads(raw)["id"], raw, version, copy.decode() if copy else None)
