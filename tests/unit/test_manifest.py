"""``stripe-app.json``: accepted by Stripe, or refused here with a sentence."""

from __future__ import annotations

import json

import pytest

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth import manifest

URI = "https://airflow.example.com/stripe-app/callback"


def build(**changes):
    values = {
        "redirect_uris": [URI],
        "permissions": {"event_read": "Sees what changed."},
        **changes,
    }
    return manifest.build_manifest(**values)


def test_manifest_asks_for_oauth_and_for_the_permissions_of_the_chosen_streams_only():
    permissions = manifest.permissions_with_purpose(["customers"])
    made = json.loads(manifest.manifest_json(build(permissions=permissions)))
    assert made["stripe_api_access_type"] == "oauth"
    assert made["distribution_type"] == "public"
    assert made["allowed_redirect_uris"] == [URI]
    assert made["sandbox_install_compatible"] is True
    assert made["ui_extension"] == {"views": []}
    names = [row["permission"] for row in made["permissions"]]
    assert names == ["customer_read", "event_read"]
    assert all(row["purpose"] for row in made["permissions"])


def test_manifest_of_all_streams_asks_for_nothing_that_stripe_may_not_know():
    from airflow_provider_stripe_app.streams.catalog import STREAMS

    permissions = manifest.permissions_with_purpose(["all"])
    sure = {s.permission for s in STREAMS.values() if not s.guessed_permission}
    guessed = {s.permission for s in STREAMS.values() if s.guessed_permission}
    assert sure | {"event_read"} == set(permissions)
    assert guessed
    assert not guessed & set(permissions)


def test_a_stream_whose_permission_is_a_guess_can_be_asked_for_by_name():
    permissions = manifest.permissions_with_purpose(["identity_verification_sessions"])
    assert "identity_verification_session_read" in permissions


def test_manifest_without_a_choice_asks_for_little():
    permissions = manifest.permissions_with_purpose([])
    assert set(permissions) == {"customer_read", "invoice_read", "subscription_read", "event_read"}
    assert permissions["invoice_read"] == (
        "Copies invoices and invoice line items into your data warehouse."
    )


def test_misspelled_stream_names_the_nearest():
    with pytest.raises(ConfigurationError, match="customers"):
        manifest.permissions_with_purpose(["costumers"])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"name": "Stripe sync"}, "Stripe"),
        ({"name": "Airflow app"}, "app"),
        ({"name": "My FREE sync"}, "FREE"),
        ({"name": "Paid sync"}, "Paid"),
        ({"name": " "}, "needs a name"),
        ({"app_id": "has space.x"}, "has space"),
        ({"app_id": "nodots"}, "nodots"),
        ({"version": "1 0"}, "version"),
        ({"icon": "icon.jpg"}, "icon"),
        ({"redirect_uris": ["http://airflow.example.com/stripe-app/callback"]}, "https"),
        ({"redirect_uris": [URI + "?a=1"]}, "exactly"),
        ({"redirect_uris": [URI + "#a"]}, "exactly"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "https"),
        ({"redirect_uris": []}, "redirect URI"),
        ({"permissions": {}}, "permission"),
    ],
)
def test_what_stripe_would_refuse_is_refused_here_with_its_name(change, word):
    with pytest.raises(ConfigurationError, match=word):
        build(**change)


@pytest.mark.parametrize("name", ["Airflow sync", "Mapper", "Happy data"])
def test_words_that_only_contain_app_are_fine(name):
    assert build(name=name)["name"] == name


def test_plain_http_is_accepted_for_this_machine_only():
    uri = "http://localhost:8080/stripe-app/callback"
    assert build(redirect_uris=[uri])["allowed_redirect_uris"] == [uri]
