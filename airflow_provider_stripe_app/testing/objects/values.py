"""Realistic values: people, places, texts in many scripts, metadata, money."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")

NAMES = (
    "Jenny Rosen", "Amélie Lefèvre", "Łukasz Żółć", "Björk Guðmundsdóttir", "李小龍", "山田太郎",
    "김민준", "محمد الأحمد", "דוד כהן", "Νίκος Παπαδόπουλος", "Дмитрий Иванов", "अनिता शर्मा",
    "Nguyễn Thị Hoa", "O'Brien & Sons, \"Ltd.\"", "Zoë 🦄 Unicorn", "Ana\u0301 Nin\u0303o",
    "👩‍👩‍👧‍👦 Family Plan", "สมชาย ใจดี", "Müller GmbH & Co. KG", "Back\\slash \\u0000 Inc.",
    "İstanbul Ticaret A.Ş.", "\u202eright-to-left\u202c", "Zero\u200bWidth", "Smith\tTab\nLine",
)  # fmt: skip
"""Emoji with joiners, right-to-left, CJK, combining marks, quotes, and an escaped ``\\u0000``."""

PLACES = (
    ("San Francisco", "US", "354 Oyster Point Blvd", None, "94080", "CA"),
    ("Dublin", "IE", "1 Grand Canal Street", "The One Building", "D02 H210", None),
    ("東京都", "JP", "千代田区丸の内1-1-1", "2階", "100-0005", "東京都"),
    ("القاهرة", "EG", "١٢ شارع التحرير", None, None, None),
    ("Köln", "DE", "Domkloster 4", "", "50667", "NW"),
    ("الكويت", "KW", "Block 3, Street 12", None, "13001", None),
    ("São Paulo", "BR", "Av. Paulista, 1578", "apto. 42", "01310-200", "SP"),
    ("Reykjavík", "IS", "Laugavegur 22", None, "101", None),
)
"""City, country, line 1, line 2, postal code, state."""

CURRENCIES = ("usd", "usd", "usd", "eur", "eur", "gbp", "jpy", "kwd")
"""By frequency; ``jpy`` has no minor unit, ``kwd`` has three decimals."""

LOCALES = ("en-US", "fr-FR", "ja", "ar", "de", "pt-BR")

SENTENCES = (
    "Thank you for your business!", "Wholesale customer since 2019 — net 30.",
    "お支払いありがとうございます。", "شكرًا لتعاملكم معنا", "naïve café ☕ résumé",
    "100% \"quoted\" \\ text",
)  # fmt: skip

_KEYS = ("order_id", "crm id", "plan-tier", "ключ", "キー", "utm_source", "🔑", "notes")
_WORDS = ("6735", "gold", "значение", "値", "true", "", '{"a": [1, 2]}', "null", "x" * 120)
_HUGE = "äöü漢字🦄 0123456789 metadata value filler " * 14
HUGE_METADATA_SHARE = 0.002
MOST_KEYS, LONGEST_VALUE = 50, 500


def pick(rng: Random, values: Sequence[T]) -> T:
    """Return one of ``values``; twice as fast as ``rng.choice``."""
    return values[int(rng.random() * len(values))]


def maybe(rng: Random, share: float, values: Sequence[T]) -> T | None:
    """Return one of ``values`` in ``share`` of the cases, else ``None``."""
    return values[int(rng.random() * len(values))] if rng.random() < share else None


def address(rng: Random) -> dict[str, Any]:
    """Return an address."""
    city, country, line1, line2, postal_code, state = pick(rng, PLACES)
    return {
        "city": city,
        "country": country,
        "line1": line1,
        "line2": line2,
        "postal_code": postal_code,
        "state": state,
    }


def shipping(rng: Random, name: str | None) -> dict[str, Any]:
    """Return shipping details."""
    return {
        "address": address(rng),
        "carrier": maybe(rng, 0.3, ("UPS", "DHL", "ヤマト運輸")),
        "name": name,
        "phone": phone(rng),
        "tracking_number": maybe(rng, 0.2, ("1Z999AA10123456784",)),
    }


def phone(rng: Random) -> str:
    """Return a phone number."""
    return f"+1415{int(rng.random() * 10_000_000):07d}"


def metadata(rng: Random) -> dict[str, str]:
    """Return metadata: mostly none or a few keys, now and then all that Stripe allows."""
    draw = rng.random()
    if draw < 0.5:
        return {}
    if draw > 1 - HUGE_METADATA_SHARE:
        start = int(rng.random() * 40)
        value = _HUGE[start : start + LONGEST_VALUE]
        return {f"key {number:02d} ключ": value for number in range(MOST_KEYS)}
    return {pick(rng, _KEYS): pick(rng, _WORDS), "seed": str(int(rng.random() * 1e9))}


def nullable_metadata(rng: Random) -> dict[str, str] | None:
    """Return metadata where the annotations allow null."""
    return None if rng.random() < 0.02 else metadata(rng)


def currency(rng: Random) -> str:
    """Return a currency code."""
    return pick(rng, CURRENCIES)


def unit_amount(rng: Random, code: str) -> int:
    """Return a price in the currency's minor unit, as Stripe accepts it.

    Three-decimal currencies must end in 0 (https://docs.stripe.com/currencies#three-decimal).
    """
    units = 1 + int(rng.random() * 500)
    if code == "jpy":
        return units * 50
    return units * 1000 - 10 if code == "kwd" else units * 100 - 1
