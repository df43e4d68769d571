"""What becomes of objects that only scripting makes: births, edits, steps of a life, timers.

Everything here follows the rows of :mod:`..resources`; no type of object is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop
from typing import TYPE_CHECKING

from airflow_provider_stripe_app.testing.errors import ApiError, invalid
from airflow_provider_stripe_app.testing.forms import merged
from airflow_provider_stripe_app.testing.objects import inline_list
from airflow_provider_stripe_app.testing.objects.sampled import Context, apply, look, put, sample
from airflow_provider_stripe_app.testing.objects.values import MOST_KEYS
from airflow_provider_stripe_app.testing.resources import BY_KIND, CHILD, Move, Resource
from airflow_provider_stripe_app.testing.wire import JsonObject, decode

if TYPE_CHECKING:
    from airflow_provider_stripe_app.testing.ledger import Ledger, Space


def birth(ledger: Ledger, space: Space, kind: str, fields: JsonObject) -> JsonObject:
    """Return a new object of a type that is made from data.

    :param fields: with ``id`` and ``created``; the others replace plain values. Children are given
        as a list of entries, or as a number of them.
    """
    row, created = BY_KIND[kind], fields.pop("created")
    children = fields.pop(row.children_key, []) if row.children_key else []
    context = plain_context(ledger, space, row, fields["id"], created)
    made = dress(space, row, sample(kind, row.values, context, rare=False), fields["id"], created)
    if row.children_key:
        entries = [{}] * children if isinstance(children, int) else children
        made[row.children_key] = birth_children(ledger, space, row, made, entries)
    return merged(made, fields)


def dress(space: Space, row: Resource, obj: JsonObject, id_: str, created: int) -> JsonObject:
    """Give an object what every object has: its id, its mode and when it was made."""
    obj["id"] = id_
    if "livemode" in obj:
        obj["livemode"] = space.livemode
    if row.created_field is not None:
        obj[row.created_field] = created
    return obj


def birth_children(
    ledger: Ledger, space: Space, row: Resource, parent: JsonObject, entries: Sequence[JsonObject]
) -> JsonObject:
    """Return the list object of an object's children, with all of them in it."""
    child = CHILD[str(row.child)]
    url = f"/v1/{row.path}/{parent['id']}/{row.children_key}"
    made = []
    for entry in entries:
        context = plain_context(ledger, space, child, "", 0, random=True)
        one = sample(child.kind, child.values, context)
        one |= {"id": ledger.new_id(child.prefix), "livemode": space.livemode}
        made.append(merged(one, entry))
    return inline_list(made, url, limit=len(made))


def plain_context(
    ledger: Ledger, space: Space, row: Resource, id_: str, at: int, *, random: bool = False
) -> Context:
    """Return what values are made from: references that are missing are made for real."""

    def pick(kind: str, needed: bool) -> str | None:
        living = space.collections[kind].ordered
        if living:
            return living[-1].id
        return str(ledger.create(space, kind, {})["id"]) if needed else None

    def whole(kind: str) -> JsonObject:
        found = pick(kind, True)
        return space.whole(kind, str(found))

    return Context(ledger.rng, at, pick, whole, f"/v1/{row.path}/{id_}", plain=not random)


def possible(row: Resource, obj: JsonObject) -> list[Move]:
    """Return the moves that an object can make now."""
    return [move for move in row.moves if _fits(move, obj)]


def _fits(move: Move, obj: JsonObject) -> bool:
    now = look(obj, tuple(move.field.split(".")))
    return now in move.before or ("*" in move.before and now is not None)


def advance(
    ledger: Ledger,
    space: Space,
    id_: str,
    to: str | None = None,
    *,
    kind: str | None = None,
    silent: bool = False,
    at: int | None = None,
) -> JsonObject:
    """Let an object make a step of its life, with the events that tell of it.

    :param to: name of the move, mostly the status that it leads to; ``None`` for one at random.
    :param at: when it happens, if not now.
    :raises ApiError: if the object cannot make it, or does not exist.
    """
    with ledger.lock:
        kind = kind or space.kind_of(id_)
        row, old = BY_KIND[kind], space.whole(kind, id_)
        moves = [m for m in possible(row, old) if to is None or m.name == to]
        if not moves:
            names = ", ".join(m.name for m in possible(row, old)) or "nothing"
            raise invalid(f"This {row.label} cannot become {to}; it can become: {names}.")
        move = moves[0] if to is not None else ledger.rng.choice(moves)
        when = int(ledger.clock.now()) if at is None else at
        new: JsonObject = space.whole(kind, id_)
        if move.after != "*":
            put(new, tuple(move.field.split(".")), move.after)
        apply(new, move.sets, plain_context(ledger, space, row, id_, when, random=True))
        return ledger.commit(space, kind, old, new, events=move.events, silent=silent, at=at)


def edit(ledger: Ledger, space: Space, id_: str, *, silent: bool = False) -> JsonObject:
    """Change an object as its owner would: its metadata, or the field that can be edited.

    :raises ApiError: if objects of its type never change, or it does not exist.
    """
    with ledger.lock:
        kind = space.kind_of(id_)
        row = BY_KIND[kind]
        if not row.edits:
            raise invalid(f"Nobody can edit a {row.label}.")
        word = f"{ledger.rng.getrandbits(40):x}"
        changes: JsonObject = {row.edits: word}
        if row.edits == "metadata":
            keys = list(space.whole(kind, id_).get("metadata") or ())
            changes = {"metadata": {keys[0] if len(keys) == MOST_KEYS else "edited": word}}
        return ledger.update(space, kind, id_, changes, silent=silent)


def drift(ledger: Ledger, space: Space, id_: str) -> JsonObject:
    """Change a field that Stripe changes without an event; a number goes up.

    :raises ApiError: if there is no such field, or the object does not exist.
    """
    with ledger.lock:
        kind = space.kind_of(id_)
        row, old, new = BY_KIND[kind], space.whole(kind, id_), space.whole(kind, id_)
        if not row.drifts:
            raise invalid(f"No field of a {row.label} changes without an event.")
        path = tuple(ledger.rng.choice(row.drifts).split("."))
        put(new, path, (look(old, path) or 0) + 1)
        return ledger.commit(space, kind, old, new, events=())


def settle(ledger: Ledger, space: Space) -> None:
    """Let happen what was to happen by now, at the time that it was to happen."""
    with ledger.lock:
        now = int(ledger.clock.now())
        while space.timers and space.timers[0][0] <= now:
            due, kind, id_, field = heappop(space.timers)
            record = space.collections[kind].by_id.get(id_)
            if record is None:
                continue
            row, obj = BY_KIND[kind], decode(record.raw)
            name = row.timers[field]
            same = look(obj, tuple(field.split("."))) == due
            if same and any(move.name == name for move in possible(row, obj)):
                advance(ledger, space, id_, name, kind=kind, at=due)


def grown_up(row: Resource, obj: JsonObject, now: int) -> None:
    """Make the moves that an object of the past has behind it; nobody is told."""
    for field, name in row.timers.items():
        due = look(obj, tuple(field.split(".")))
        if not isinstance(due, int) or due > now:
            continue
        for move in possible(row, obj):
            if move.name == name:
                put(obj, tuple(move.field.split(".")), move.after)
                break


def random_change(
    ledger: Ledger, space: Space, kind: str, chances: Mapping[str, float] | None = None
) -> str:
    """Make one random change to objects of a type: create, edit, advance, delete or drift.

    What an object cannot do is left out; with none living, one is made.

    :param chances: weight of each of the five; one that is left out does not happen.
    :return: what was done, for example ``advance po_1…``.
    """
    weights = chances or {"create": 2, "edit": 3, "advance": 4, "delete": 1, "drift": 1}
    with ledger.lock:
        row, living = BY_KIND[kind], space.collections[kind].ordered
        choice = ledger.rng.choices(list(weights), list(weights.values()))[0]
        if not living or choice == "create":
            return f"create {ledger.create(space, kind, {})['id']}"
        id_ = ledger.rng.choice(living).id
        return f"{choice} {id_}" if _change(ledger, space, row, id_, choice) else "nothing"


def _change(ledger: Ledger, space: Space, row: Resource, id_: str, choice: str) -> bool:
    """Make a change of a kind to an object; tell whether it could be made."""
    from airflow_provider_stripe_app.testing import actions

    can: dict[str, bool] = {
        "edit": bool(row.edits),
        "advance": bool(possible(row, space.whole(row.kind, id_))),
        "delete": row.deletion != "never",
        "drift": bool(row.drifts),
    }
    if not can[choice]:
        return False
    if choice == "edit":
        edit(ledger, space, id_)
    elif choice == "advance":
        advance(ledger, space, id_)
    elif choice == "drift":
        drift(ledger, space, id_)
    else:
        try:
            actions.delete_any(ledger, space, id_)
        except ApiError:  # an invoice that is no draft, a product with prices
            return False
    return True
