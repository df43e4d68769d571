"""The manifest's form: what was typed is kept, what is wrong is said beside it."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth import manifest as rules
from airflow_provider_stripe_app.plugin import pages
from airflow_provider_stripe_app.plugin.app import STATIC
from airflow_provider_stripe_app.plugin.views import manifest
from airflow_provider_stripe_app.streams.catalog import DEFAULT_STREAMS, STREAMS

URI = "https://airflow.example.com/af/stripe-app/callback"
EVIL = "\"></textarea><script>alert('1')</script>"


def typed(**changes: str) -> dict[str, str]:
    return {"typed": "1", "stream-customers": "1", **changes}


def field(form: manifest.Form, name: str) -> manifest.Field:
    return next(one for one in form.fields if one.name == name)


def test_first_visit_shows_a_whole_manifest_of_the_usual_streams() -> None:
    form = manifest.form({}, URI)
    assert tuple(one.name for one in form.choices if one.ticked) == DEFAULT_STREAMS
    made = json.loads(form.text)
    assert {one["permission"] for one in made["permissions"]} == {
        "customer_read",
        "event_read",
        "invoice_read",
        "subscription_read",
    }
    assert made["allowed_redirect_uris"] == [URI]
    assert rules.schema_problems(made) == []


def test_every_stream_stands_under_its_heading_and_a_ticked_one_can_be_seen() -> None:
    form = manifest.form(typed(), URI)
    assert sorted(one.name for one in form.choices) == sorted(STREAMS)
    html = pages.render(
        "manifest.html",
        airflow_url="/",
        page_url="/stripe-app/",
        form=form,
        redirect_uri=URI,
        redirect_warning="",
        connections_url="/connections",
    )
    assert html.count("<details open>") == sum(bool(group.ticked) for group in form.groups) == 1
    assert "<summary>Issuing" in html


def test_only_what_is_ticked_is_asked_for() -> None:
    form = manifest.form(typed(name="Data copy", id="com.acme.copy", version="1.2"), URI)
    made = json.loads(form.text)
    assert [one["permission"] for one in made["permissions"]] == ["customer_read", "event_read"]
    assert (made["name"], made["id"], made["version"]) == ("Data copy", "com.acme.copy", "1.2")
    assert [one.name for one in form.choices if one.ticked] == ["customers"]


def test_download_makes_the_same_file() -> None:
    form = manifest.form(typed(name="Data & copy", more="https://b.example.com/stripe-app/x"), URI)
    path, _, query = form.download.partition("?")
    assert path == "manifest/stripe-app.json"
    assert manifest.form(dict(parse_qsl(query)), URI).text == form.text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("name", "Stripe copy", "'Stripe'"),
        ("name", "", "needs a name"),
        ("id", "two words.x", "two words.x"),
        ("version", "", "version"),
        ("icon", "./icon.jpg", "PNG"),
        ("icon", "./my icon.png", "without spaces"),
        ("icon", "https://example.com/icon.png", "next to"),
    ],
)
def test_error_is_beside_its_field_and_what_was_typed_stays(
    name: str, value: str, words: str
) -> None:
    form = manifest.form(typed(**{name: value}), URI)
    assert words in field(form, name).error
    assert field(form, name).value == value
    assert [one.name for one in form.fields if one.error] == [name]
    assert form.text == form.download == ""


def test_no_stream_is_an_error_of_the_streams() -> None:
    form = manifest.form({"typed": "1"}, URI)
    assert "at least one" in form.streams_error
    assert not any(one.ticked for one in form.choices)
    assert form.text == ""


def test_further_redirect_uris_are_checked_and_kept() -> None:
    more = "https://staging.example.com/stripe-app/callback"
    made = json.loads(manifest.form(typed(more=f"{more}\n{URI}"), URI).text)
    assert made["allowed_redirect_uris"] == [URI, more]
    wrong = manifest.form(typed(more="http://staging.example.com/x"), URI)
    assert "https" in wrong.more.error
    assert wrong.more.value == "http://staging.example.com/x"


def test_redirect_uri_that_stripe_refuses_is_said_once() -> None:
    form = manifest.form({}, "http://airflow.example.com/stripe-app/callback")
    assert "Set [api] base_url" in form.redirect_error
    assert form.text == ""


def test_commands_are_safe_to_paste() -> None:
    text = "\n".join(command for _, command in manifest.commands("com.acme.copy", "./a/b.png"))
    assert "stripe apps create copy" in text
    assert "copy/a/b.png" in text
    assert "'$(rm -rf)'" in manifest.commands("x.$(rm -rf)", "./i.png")[1][1]


def test_what_was_typed_is_escaped() -> None:
    form = manifest.form(typed(name=EVIL, id=EVIL, version=EVIL, icon=EVIL, more=EVIL), URI)
    html = pages.render(
        "manifest.html",
        airflow_url="/",
        page_url="/stripe-app/",
        form=form,
        redirect_uri=EVIL,
        redirect_warning=EVIL,
        connections_url="/connections",
    )
    assert "<script>alert" not in html
    assert html.count("aria-invalid") == 4  # as a name it would do


def test_names_in_the_file_are_text_on_the_page() -> None:
    form = manifest.form(typed(name="<b>Copy</b> & more"), URI)
    html = pages.render(
        "manifest.html",
        airflow_url="/",
        page_url="/stripe-app/",
        form=form,
        redirect_uri=URI,
        redirect_warning="",
        connections_url="/connections",
    )
    assert "<b>Copy" not in html
    assert json.loads(form.text)["name"] == "<b>Copy</b> & more"


# -- rules of Stripe's published schema


def whole(**changes: object) -> dict:
    made = json.loads(manifest.form({}, URI).text)
    made.update(changes)
    return made


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"icon": "icon.png"}, "'icon'"),
        ({"icon": "./icon.v2.png"}, "'icon'"),
        ({"id": "has space"}, "'id'"),
        ({"name": ""}, "'name'"),
        ({"version": 1}, "'version'"),
        ({"own_key": 1}, "'own_key' is not known"),
        ({"permissions": ["customer_read"]}, "a permission"),
        ({"permissions": [{"permission": "customer_read", "purpose": ""}]}, "a permission"),
        ({"permissions": "customer_read"}, "a permission"),
        ({"allowed_redirect_uris": ["ftp://example.com/x"]}, "a redirect URI"),
        ({"allowed_redirect_uris": "https://example.com"}, "a redirect URI"),
        ({"ui_extension": []}, "'ui_extension'"),
    ],
)
def test_what_the_schema_refuses_is_named(change: dict, words: str) -> None:
    (problem,) = rules.schema_problems(whole(**change))
    assert words in problem


@pytest.mark.parametrize("name", rules.REQUIRED)
def test_what_the_schema_requires_is_missed(name: str) -> None:
    made = whole()
    del made[name]
    assert rules.schema_problems(made) == [f"{name!r} is missing"]


def test_our_own_icon_is_what_stripe_wants() -> None:
    assert rules.check_icon_file((Path(STATIC) / "icon.png").read_bytes()) == (300, 300)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a PNG"),
        (b"GIF89a" + b"\0" * 40, "not a PNG"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x01\x2c\0\0\0\xc8", "300 x 200"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x01", "not a PNG"),
    ],
)
def test_icons_that_stripe_refuses_are_named(data: bytes, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        rules.check_icon_file(data)
