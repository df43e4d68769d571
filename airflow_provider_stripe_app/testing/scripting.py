"""What tests do to the simulated Stripe in process: accounts, keys, objects, failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_stripe_app.testing import actions, lives, signing
from airflow_provider_stripe_app.testing.faults import Fault, Faults, Hook
from airflow_provider_stripe_app.testing.oauth import AppRecord, OAuthServer, Redirect
from airflow_provider_stripe_app.testing.populate import Spread, populate
from airflow_provider_stripe_app.testing.resources import COLLECTIONS, named
from airflow_provider_stripe_app.testing.wire import JsonObject, decode

if TYPE_CHECKING:
    from airflow_provider_stripe_app.testing.arrivals import Arrival
    from airflow_provider_stripe_app.testing.clock import SimClock
    from airflow_provider_stripe_app.testing.ledger import Space
    from airflow_provider_stripe_app.testing.messages import LoggedRequest, Request
    from airflow_provider_stripe_app.testing.service import Service

DEFAULT_ACCOUNT = "acct_1SimulatedStripe"


@dataclass(frozen=True, slots=True)
class Account:
    """One account in one mode; what :class:`SimulatedStripe`'s methods take as ``account``."""

    id: str
    livemode: bool = False


class Scripting:
    """The part of :class:`.SimulatedStripe` that needs no server.

    Where ``account`` is ``None`` the default account is meant.
    """

    clock: SimClock
    service: Service

    @property
    def oauth(self) -> OAuthServer:
        """Apps, consents, tokens and keys."""
        return self.service.oauth

    @property
    def faults(self) -> Faults:
        """Rules of failure and hooks; see also :meth:`fail`, :meth:`before` and :meth:`after`."""
        return self.service.faults

    # -- accounts, apps and keys

    def account(self, id: str | None = None, *, livemode: bool = False) -> Account:
        """Return an account; it is made if it does not exist.

        :param id: the default account when ``None``.
        """
        account = Account(id or DEFAULT_ACCOUNT, livemode)
        self._space(account)
        return account

    def register_app(
        self,
        *,
        redirect_uris: Iterable[str],
        permissions: Iterable[str],
        livemode: bool = False,
        channel: str | None = "chnlink_",
        developer_account: str = "acct_simdeveloper",
        app_id: str | None = None,
    ) -> AppRecord:
        """Upload an app; see :meth:`.AppRegistry.register_app`."""
        return self.oauth.register_app(
            redirect_uris=redirect_uris,
            permissions=permissions,
            livemode=livemode,
            channel=channel,
            developer_account=developer_account,
            app_id=app_id,
        )

    def install(
        self,
        client_id: str,
        account: Account | None = None,
        *,
        redirect_uri: str | None = None,
        state: str | None = None,
        decision: Literal["allow", "deny"] = "allow",
    ) -> str:
        """Go through the consent page without a browser.

        :return: where the browser would be sent, with ``code`` and ``state`` or ``error``.
        :raises ValueError: if Stripe would show an error page instead.
        """
        query = {"client_id": client_id}
        if redirect_uri is not None:
            query["redirect_uri"] = redirect_uri
        if state is not None:
            query["state"] = state
        outcome = self.oauth.authorize(query, (account or self.account()).id, decision)
        if not isinstance(outcome, Redirect):
            raise ValueError(outcome.message)  # noqa: TRY004 - it is about the arguments
        return outcome.location

    def uninstall(self, client_id: str, account: Account | None = None) -> None:
        """Let the owner uninstall an app: its tokens are dead, two events say so."""
        self.oauth.uninstall((account or self.account()).id, client_id)

    def installs(self, account: Account | None = None) -> list[JsonObject]:
        """Return the installs (``apps.install``) that there are, oldest first.

        :param account: only of this account and mode; ``None``: of all.
        """
        return [
            self.oauth.show(record)
            for record in self.oauth.installs()
            if account is None or account == Account(record.account_id, record.livemode)
        ]

    def kill_grant(self, client_id: str, account: Account | None = None) -> None:
        """Lose a grant while the app stays installed; see :meth:`.OAuthServer.kill_grant`."""
        self.oauth.kill_grant((account or self.account()).id, client_id)

    def set_install_status(
        self, client_id: str, status: str, account: Account | None = None
    ) -> JsonObject:
        """Let an install be in a status such as ``install_failed``, and return it."""
        who = (account or self.account()).id
        return self.oauth.show(self.oauth.set_install_status(who, client_id, status))

    def secret_key(self, account: Account | None = None) -> str:
        """Make a secret key (``sk_…``) of an account."""
        who = account or self.account()
        return self.oauth.register_key("secret", who.id, livemode=who.livemode)

    def restricted_key(
        self, permissions: Iterable[str] | None = None, account: Account | None = None
    ) -> str:
        """Make a restricted key (``rk_…``) of an account.

        :param permissions: what it may do; ``None`` for everything.
        """
        who = account or self.account()
        return self.oauth.register_key(
            "restricted", who.id, livemode=who.livemode, permissions=permissions
        )

    # -- objects

    def populate(
        self,
        account: Account | None = None,
        *,
        customers: int = 0,
        invoices: int = 0,
        subscriptions: int = 0,
        products: int = 0,
        prices: int = 0,
        spread: Spread = "years",
        small: bool = False,
        events: bool = False,
        **others: int,
    ) -> dict[str, int]:
        """Make many linked objects; see :func:`.populate.populate`.

        :param others: of other types, for example ``charges=100``.
        """
        return populate(
            self.service.ledger,
            self._space(account or self.account()),
            customers=customers,
            invoices=invoices,
            subscriptions=subscriptions,
            products=products,
            prices=prices,
            spread=spread,
            small=small,
            events=events,
            **others,
        )

    def create(
        self,
        account: Account | None,
        kind: str,
        fields: Mapping[str, Any] | None = None,
        *,
        silent: bool = False,
    ) -> JsonObject:
        """Make an object; see :meth:`.Ledger.create`.

        :param kind: Stripe's ``object`` value, for example ``checkout.session``.
        """
        space = self._space(account or self.account())
        return self.service.ledger.create(space, kind, fields or {}, silent=silent)

    def update(
        self,
        account: Account | None,
        id: str,
        changes: Mapping[str, Any],
        *,
        silent: bool = False,
    ) -> JsonObject:
        """Change any field of an object, known to Stripe or not; see :meth:`.Ledger.update`.

        :param silent: without an event.
        :return: the object after the change (for an item or line, its parent).
        """
        space = self._space(account or self.account())
        ledger = self.service.ledger
        with ledger.lock:
            kind = space.kind_of(id)
            if kind == "subscription_item":
                parent = actions.item_parent(space, id)
                entry = {**changes, "id": id}
                return actions.set_items(ledger, space, parent, [entry], {}, silent=silent)
            return ledger.update(space, kind, id, changes, silent=silent)

    def delete(
        self,
        account: Account | None,
        id: str,
        *,
        silent: bool = False,
        force: bool = False,
    ) -> None:
        """Delete an object as Stripe would; a subscription is canceled.

        :param force: also what Stripe does not delete, such as invoices that are no drafts.
        """
        space = self._space(account or self.account())
        actions.delete_any(self.service.ledger, space, id, silent=silent, force=force)

    def advance_status(
        self, account: Account | None, id: str, to: str | None = None, *, silent: bool = False
    ) -> JsonObject:
        """Let an object make a step of its life, as ``succeeded`` or ``paid``.

        :param to: mostly the status that it leads to; the steps are :attr:`.Resource.moves`.
            ``None`` for one at random.
        :param silent: without an event.
        :return: the object after it.
        :raises ApiError: if the object cannot make it; it says which ones it can.
        """
        space = self._space(account or self.account())
        return lives.advance(self.service.ledger, space, id, to, silent=silent)

    def drift(self, account: Account | None, id: str) -> JsonObject:
        """Change a field that Stripe changes without an event, such as how often a coupon was used.

        :raises ApiError: if there is no such field.
        """
        return lives.drift(self.service.ledger, self._space(account or self.account()), id)

    def random_change(
        self, account: Account | None = None, kinds: Sequence[str] | None = None
    ) -> str:
        """Make one random change: create, edit, advance, delete or drift an object.

        :param kinds: types to choose from; ``None``: all that only scripting makes.
        :return: what was done, for example ``advance po_1…``.
        """
        ledger = self.service.ledger
        space = self._space(account or self.account())
        names = kinds or [row.kind for row in COLLECTIONS if not row.writable]
        with ledger.lock:
            kind = ledger.rng.choice([named(name).kind for name in names])
            return lives.random_change(ledger, space, kind)

    def add_lines(
        self,
        account: Account | None,
        invoice_id: str,
        lines: Sequence[Mapping[str, Any]],
        *,
        silent: bool = False,
    ) -> JsonObject:
        """Add lines to a draft invoice and return the invoice with all its lines."""
        space = self._space(account or self.account())
        return actions.add_lines(self.service.ledger, space, invoice_id, lines, silent=silent)

    def update_line(
        self, account: Account | None, invoice_id: str, line_id: str, changes: Mapping[str, Any]
    ) -> JsonObject:
        """Change a line of a draft invoice and return the line."""
        space = self._space(account or self.account())
        return actions.update_line(self.service.ledger, space, invoice_id, line_id, changes)

    def remove_lines(
        self, account: Account | None, invoice_id: str, line_ids: Sequence[str]
    ) -> JsonObject:
        """Remove lines from a draft invoice and return the invoice with the lines that are left."""
        space = self._space(account or self.account())
        return actions.remove_lines(self.service.ledger, space, invoice_id, line_ids)

    def move_invoice(self, account: Account | None, invoice_id: str, action: str) -> JsonObject:
        """``finalize``, ``pay``, ``void`` or ``mark_uncollectible`` an invoice."""
        space = self._space(account or self.account())
        return actions.move_invoice(self.service.ledger, space, invoice_id, action)

    def raw_objects(self, account: Account | None, kind: str) -> list[bytes]:
        """Return the living objects of a type as Stripe would return them now, oldest first.

        :param kind: a type with a list of its own, the children of one such as ``line_item`` (all
            of them, whatever is inlined), or ``event`` (visible or not).
        """
        space = self._space(account or self.account())
        with self.service.ledger.lock:
            return space.raw_objects(kind)

    def objects(self, account: Account | None, kind: str) -> list[JsonObject]:
        """Return :meth:`raw_objects`, decoded."""
        return [decode(raw) for raw in self.raw_objects(account, kind)]

    def get(self, account: Account | None, id: str) -> JsonObject:
        """Return a living object with all its children.

        :raises ApiError: 404 if it does not exist.
        """
        space = self._space(account or self.account())
        with self.service.ledger.lock:
            kind = space.kind_of(id)
            if id == space.account_id:
                return dict(space.account)
            return actions.item(space, id) if kind == "subscription_item" else space.whole(kind, id)

    # -- failures, log, webhooks

    def fail(self, action: str, path: str = "", **rule: Any) -> Fault:
        """Put a failure rule into force; see :class:`.Fault`."""
        return self.faults.add(Fault.from_dict({"action": action, "path": path, **rule}))

    def before(
        self,
        path: str,
        run: Callable[[Request], object],
        *,
        nth: int | None = 1,
        method: str = "",
    ) -> Hook:
        """Run a callable when the n-th request of a path arrives, before it has any effect.

        :param path: regular expression searched in path and query.
        :param nth: ``None`` for every one.
        """
        return self.faults.add_hook(Hook(path, run, method, nth, "before"))

    def after(
        self,
        path: str,
        run: Callable[[Request], object],
        *,
        nth: int | None = 1,
        method: str = "",
    ) -> Hook:
        """Run a callable after the n-th request of a path had its effect, before it is answered."""
        return self.faults.add_hook(Hook(path, run, method, nth, "after"))

    def requests(self, pattern: str | None = None) -> list[LoggedRequest]:
        """Return the logged requests; see :meth:`.Service.requests`."""
        return self.service.requests(pattern)

    def arrivals(self) -> list[Arrival]:
        """Return how many requests of each operation arrived in each second, and what became of
        them; in real time, as rate limits are, and of the last hour.
        """
        return list(self.service.arrivals)

    def sign(self, payload: bytes | str, secret: str) -> str:
        """Return the ``Stripe-Signature`` header of a webhook that is sent now."""
        return signing.sign(payload, secret, self.clock.now())

    # -- inside

    def _space(self, account: Account) -> Space:
        if account.id not in self.service.accounts:
            self.service.accounts.append(account.id)
        space = self.service.ledger.space(account.id, account.livemode)
        lives.settle(self.service.ledger, space)
        return space
