"""A browser as far as the installation needs one: cookies, redirects, and the forms of a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests


class PageError(RuntimeError):
    """A page is not what the next click needs."""


@dataclass
class Form:
    """One form: where it goes, what it holds, and what its buttons say."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)
    """Name, value and words of each submit button."""


class _FormParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.text: list[str] = []
        self._inside: Form | None = None
        self._button: tuple[str, str] | None = None
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._silent = tag in {"script", "style"}
        if tag == "form":
            self._inside = Form(values.get("action", ""), values.get("method", "get").lower())
            self.forms.append(self._inside)
        elif self._inside is not None and tag == "input" and "name" in values:
            self._input(self._inside, values)
        elif tag == "button":
            self._button = (values.get("name", ""), values.get("value", ""))

    def _input(self, form: Form, values: dict[str, str]) -> None:
        kind = values.get("type", "text")
        if kind == "submit":
            form.buttons.append((values["name"], values.get("value", ""), values.get("value", "")))
        elif kind not in {"checkbox", "radio"} or "checked" in values:
            form.fields[values["name"]] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        self._silent = False
        if tag == "form":
            self._inside = None
        elif tag == "button":
            self._button = None

    def handle_data(self, data: str) -> None:
        if self._silent or not data.strip():
            return
        self.text.append(data.strip())
        if self._inside is not None and self._button is not None:
            self._inside.buttons.append((*self._button, data.strip()))


@dataclass
class Page:
    """A page as it arrived.

    :param url: its address after redirects.
    """

    url: str
    status: int
    forms: list[Form]
    text: str

    def form(self, words: str, **fields: str) -> Form:
        """Return the form with a button that says ``words`` and with these field values.

        :raises PageError: if there is none.
        """
        for form in self.forms:
            labels = [label.lower() for _, _, label in form.buttons]
            if any(words.lower() in label for label in labels) and all(
                form.fields.get(name) == value for name, value in fields.items()
            ):
                return form
        raise PageError(
            f"No form with button {words!r} and {fields} on {self.url} ({self.status}): {self.text}"
        )


class Browser:
    """Opens pages and presses buttons, with cookies, like a person who does what the page says."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.headers["Accept"] = "text/html,application/xhtml+xml"

    def log_in(self, url: str, token: str) -> None:
        """Take on a session of Airflow's UI.

        :param url: address of Airflow.
        :param token: the user's token (JWT); the UI keeps it in this cookie.
        """
        self._session.cookies.set("_token", token, domain=urlsplit(url).hostname or "", path="/")

    def open(self, url: str) -> Page:
        """Open an address, following redirects."""
        return self._page(self._session.get(url, timeout=60))

    def press(
        self, page: Page, words: str, fill: dict[str, str] | None = None, **fields: str
    ) -> Page:
        """Press the button that says ``words`` and return the page that it leads to.

        :param page: where the button is.
        :param words: part of what the button says, in any case.
        :param fill: what to type into the form first.
        :param fields: values that the form must hold, to tell it from others on the page.
        :raises PageError: if there is no such button.
        """
        form = page.form(words, **fields)
        name, value, _ = next(b for b in form.buttons if words.lower() in b[2].lower())
        data = form.fields | (fill or {}) | ({name: value} if name else {})
        address = urljoin(page.url, form.action)
        # A browser names the page that a form came from; CSRF protections look at it.
        origin = "/".join(page.url.split("/", 3)[:3])
        headers = {"Origin": origin, "Referer": page.url}
        if form.method == "get":
            return self._page(self._session.get(address, params=data, timeout=60))
        return self._page(self._session.post(address, data=data, headers=headers, timeout=60))

    def _page(self, answer: requests.Response) -> Page:
        parser = _FormParser()
        parser.feed(answer.text)
        return Page(answer.url, answer.status_code, parser.forms, " ".join(parser.text))
