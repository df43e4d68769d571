"""The manifest form: what was typed, what is wrong with it, the file and the commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from airflow_provider_stripe_app.exceptions import ConfigurationError
from airflow_provider_stripe_app.oauth import manifest

STREAM = "stream-"
"""Begins the name of a tick box; of a repeated name only the first value would count."""

TYPED = "typed"
"""Tells an address that was typed in, with no box ticked, from the first visit."""


@dataclass(frozen=True)
class Choice:
    """One stream to tick.

    :param needs: the stream that it is part of and that comes with it, empty for none.
    :param guessed: whether Stripe may not know its permission.
    """

    name: str
    permission: str
    ticked: bool
    needs: str
    guessed: bool


@dataclass(frozen=True)
class Group:
    """Streams under one heading."""

    name: str
    choices: tuple[Choice, ...]

    @property
    def ticked(self) -> int:
        """How many are ticked."""
        return sum(one.ticked for one in self.choices)


@dataclass(frozen=True)
class Field:
    """One field of the form.

    :param error: what is wrong with the value, a sentence; empty if nothing is.
    """

    name: str
    label: str
    value: str
    hint: str
    error: str = ""


@dataclass(frozen=True)
class Form:
    """The page.

    :param streams_error: what is wrong with the choice of streams.
    :param more: redirect URIs of other Airflows, one a line.
    :param text: the file, empty while something is wrong.
    :param download: address of the file.
    """

    groups: tuple[Group, ...]
    fields: tuple[Field, ...]
    streams_error: str
    more: Field
    redirect_error: str
    text: str
    download: str
    commands: tuple[tuple[str, str], ...]

    @property
    def choices(self) -> tuple[Choice, ...]:
        """All streams."""
        return tuple(one for group in self.groups for one in group.choices)


_FIELDS: tuple[tuple[str, str, str, str, Callable[[str], str]], ...] = (
    (
        "name",
        "Name",
        manifest.DEFAULT_NAME,
        "What people see when they are asked for consent. It must not contain Stripe, App, free or "
        "paid.",
        manifest.check_name,
    ),
    (
        "id",
        "Id",
        manifest.DEFAULT_APP_ID,
        "Your domain backwards and a word. It can never be changed after the first upload.",
        manifest.check_app_id,
    ),
    (
        "version",
        "Version",
        manifest.DEFAULT_VERSION,
        "Raise it at every upload.",
        manifest.check_version,
    ),
    (
        "icon",
        "Icon",
        manifest.DEFAULT_ICON,
        "Path of a square PNG, 300 x 300 pixels, next to stripe-app.json.",
        manifest.check_icon,
    ),
)


def form(query: Mapping[str, str], redirect_uri: str) -> Form:
    """Return the page for what the address says.

    :param query: the address's parameters.
    :param redirect_uri: this Airflow's redirect URI.
    """
    groups = _groups(query)
    fields = tuple(_field(query, *one) for one in _FIELDS)
    more = _more(query.get("more", ""))
    ticked = [one.name for group in groups for one in group.choices if one.ticked]
    redirect_error = _error(manifest.check_redirect_uri, redirect_uri)
    made = Form(
        groups=groups,
        fields=fields,
        streams_error="" if ticked else "Tick at least one stream.",
        more=more,
        redirect_error=redirect_error,
        text="",
        download="",
        commands=(),
    )
    if made.streams_error or more.error or redirect_error or any(one.error for one in fields):
        return made
    values = {one.name: one.value for one in fields}
    return Form(
        groups=groups,
        fields=fields,
        streams_error="",
        more=more,
        redirect_error="",
        text=_text(ticked, values, [redirect_uri, *more.value.split()]),
        download=f"manifest/stripe-app.json?{urlencode(_address(ticked, values, more.value))}",
        commands=commands(values["id"], values["icon"]),
    )


def _groups(query: Mapping[str, str]) -> tuple[Group, ...]:
    from airflow_provider_stripe_app.streams.catalog import DEFAULT_STREAMS, STREAMS

    first_visit = TYPED not in query
    found: dict[str, list[Choice]] = {}
    for name, stream in STREAMS.items():
        ticked = name in DEFAULT_STREAMS if first_visit else f"{STREAM}{name}" in query
        choice = Choice(
            name,
            stream.permission,
            ticked,
            stream.parent or "",
            stream.guessed_permission,
        )
        found.setdefault(stream.group, []).append(choice)
    return tuple(Group(name, tuple(choices)) for name, choices in found.items())


def _field(
    query: Mapping[str, str],
    name: str,
    label: str,
    default: str,
    hint: str,
    check: Callable[[str], str],
) -> Field:
    value = query.get(name, default).strip()
    return Field(name, label, value, hint, _error(check, value))


def _more(text: str) -> Field:
    error = next((found for uri in text.split() if (found := _error(_other_uri, uri))), "")
    return Field(
        "more",
        "Further redirect URIs",
        "\n".join(text.split()),
        "Only if other Airflows use the same app, for example staging: one address a line.",
        error,
    )


def _other_uri(uri: str) -> str:
    return manifest.check_redirect_uri(uri)


def _error(check: Callable[[str], str], value: str) -> str:
    try:
        check(value)
    except ConfigurationError as error:
        return str(error)
    return ""


def _text(streams: list[str], values: Mapping[str, str], uris: list[str]) -> str:
    made = manifest.build_manifest(
        redirect_uris=list(dict.fromkeys(uris)),
        permissions=manifest.permissions_with_purpose(streams),
        app_id=values["id"],
        name=values["name"],
        version=values["version"],
        icon=values["icon"],
    )
    return manifest.manifest_json(made)


def _address(streams: list[str], values: Mapping[str, str], more: str) -> dict[str, str]:
    given = {TYPED: "1", **values, **{f"{STREAM}{name}": "1" for name in streams}}
    return {**given, "more": more} if more else given


def commands(app_id: str, icon: str) -> tuple[tuple[str, str], ...]:
    """Return what to do with the file: words and the command, in order.

    :param app_id: the app's id; its last part names the directory.
    :param icon: path of the icon.
    """
    directory = shlex.quote(app_id.rsplit(".", 1)[-1] or "airflow-sync")
    return (
        (
            "Install the Stripe CLI, log in, and add the part for apps (1.5.12 or newer).",
            "stripe login\nstripe plugin install apps",
        ),
        ("Let it make a project.", f"stripe apps create {directory}"),
        (
            "Put the two downloads into it: stripe-app.json replaces the one that is there, and "
            f"the icon goes to {icon}.",
            f"mv ~/Downloads/stripe-app.json {directory}/stripe-app.json\n"
            f"mv ~/Downloads/icon.png {directory}/{shlex.quote(icon.removeprefix('./'))}",
        ),
        ("Upload it.", f"cd {directory}\nstripe apps upload"),
    )
