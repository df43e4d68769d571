"""What Airflow discovers: valid for Airflow's own schemas, and light to read."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import airflow
import jsonschema

from airflow_provider_stripe_app.get_provider_info import CONNECTION_TYPE, get_provider_info

AIRFLOW = Path(airflow.__file__).parent


def schema(name):
    return json.loads((AIRFLOW / name).read_text())


def test_provider_info_is_valid_for_this_airflow():
    jsonschema.validate(get_provider_info(), schema("provider_info.schema.json"))


def test_connection_type_is_valid_for_the_stricter_schema_of_provider_yaml():
    wanted = schema("provider.yaml.schema.json")["properties"]["connection-types"]
    jsonschema.validate([CONNECTION_TYPE], wanted)


def test_form_fields_say_what_to_paste():
    behaviour = CONNECTION_TYPE["ui-field-behaviour"]
    assert behaviour["relabeling"]["login"] == "Install link"
    assert behaviour["relabeling"]["password"] == "Secret key or restricted key"
    assert all(len(text) <= 55 for text in behaviour["placeholders"].values())
    assert set(behaviour["hidden-fields"]) == {"host", "port", "schema"}


def test_only_secrets_have_names_that_airflow_masks():
    from airflow._shared.secrets_masker import should_hide_value_for_key

    written = {
        "account": False,
        "livemode": False,
        "broker_token": True,
        "access_grant_token": True,
    }
    declared = dict.fromkeys(CONNECTION_TYPE["conn-fields"], False)
    for name, secret in {**declared, **written}.items():
        assert should_hide_value_for_key(name) is secret, name


def test_form_asks_for_nothing_that_the_provider_writes():
    assert set(CONNECTION_TYPE["conn-fields"]) == {"app_conn_id", "mode", "app_id"}


def test_every_dotted_name_can_be_imported():
    def import_string(dotted):
        module, _, name = dotted.rpartition(".")
        return getattr(importlib.import_module(module), name)

    info = get_provider_info()
    for name in (*info["cli"], *info["db-managers"], *info["extra-links"]):
        assert callable(import_string(name))
    assert callable(import_string(info["connection-types"][0]["hook-class-name"]))


def test_reading_the_provider_info_and_the_plugin_imports_nothing_heavy():
    code = (
        "import sys\n"
        "import airflow_provider_stripe_app.get_provider_info as info\n"
        "info.get_provider_info()\n"
        "bad = {'airflow.models', 'sqlalchemy', 'fastapi', 'duckdb', 'stripe', 'requests', "
        "'pyarrow'}\n"
        "print(sorted(bad & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
