"""What holds a secret does not show it when somebody prints or logs it."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re

import airflow_provider_stripe_app

SECRET = re.compile(
    r"(^|_)(access_token|refresh_token|broker_token|auth_code|secret|secret_key|password)$"
    r"|^(code|token|key|body)$"
)
HARMLESS = {
    "Answer.body",  # what the API lists: customers' data, no tokens
    "Reply.body",  # the same
    "Claim.key",  # a stream of an account
    "Detail.token",  # when it expires, in words
}


def classes_of_the_package() -> dict[str, type]:
    package = airflow_provider_stripe_app
    found = {}
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".testing" in module.name or ".migrations" in module.name:
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and value.__module__ == module.name:
                found[value.__qualname__] = value
    return found


def test_no_field_with_a_secret_is_part_of_a_repr() -> None:
    shown = {}
    for name, one in classes_of_the_package().items():
        if dataclasses.is_dataclass(one):
            shown |= {f"{name}.{field.name}": field.repr for field in dataclasses.fields(one)}
        else:  # a named tuple shows everything
            shown |= {f"{name}.{field}": True for field in getattr(one, "_fields", ())}
    suspects = {name: on for name, on in shown.items() if SECRET.search(name.split(".")[-1])}
    assert len(suspects) > 8
    assert not {name for name, on in suspects.items() if on} - HARMLESS
