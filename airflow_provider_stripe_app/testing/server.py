"""The simulated Stripe as users and tests hold it: in process, with its HTTP server in a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_stripe_app.testing import actions, control, signing
from airflow_provider_stripe_app.testing.clock import SimClock
from airflow_provider_stripe_app.testing.faults import Fault, Hook
from airflow_provider_stripe_app.testing.oauth import AppRecord, Redirect
from airflow_provider_stripe_app.testing.populate import Spread, populate
from airflow_provider_stripe_app.testing.service import Service
from airflow_provider_stripe_app.testing.switches import Switches
from airflow_provider_stripe_app.testing.wire import JsonObject, decode

if TYPE_CHECKING:
    import uvicorn

    from airflow_provider_stripe_app.testing.ledger import Space
    from airflow_provider_stripe_app.testing.messages import LoggedRequest, Request

DEFAULT_ACCOUNT = "acct_1SimulatedStripe"


@dataclass(frozen=True, slots=True)
class Account:
    """One account in one mode; what :class:`SimulatedStripe`'s methods take as ``account``."""

    id: str
    livemode: bool = False


class SimulatedStripe:
    """A Stripe on this machine, as nasty as the real one.

    ``with SimulatedStripe(seed=1) as sim: requests.get(sim.url + "/v1/customers", …)``

    :param seed: the same seed and the same requests give the same answers.
    :param switches: how to behave; also changed at run time by ``sim.switches.set(…)``.
    :param clock: its time; real time by default.
    """

    def __init__(
        self, seed: int = 0, switches: Switches | None = None, clock: SimClock | None = None
    ) -> None:
        self.clock = clock or SimClock()
        self.switches = switches or Switches()
        self.service = Service(
            self.clock, self.switches, seed, lambda request: control.handle(self, request)
        )
        self.oauth = self.service.oauth
        self.faults = self.service.faults
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.account(DEFAULT_ACCOUNT)

    # -- life

    def start(self, port: int = 0) -> str:
        """Serve on 127.0.0.1 from a thread of this process.

        :param port: 0 lets the system choose.
        :return: the base URL.
        """
        self._listen(port)
        self._thread = threading.Thread(target=self._run, name="simulated-stripe", daemon=True)
        self._thread.start()
        return self.url

    def serve(self, port: int = 0, ready: Callable[[str], object] | None = None) -> None:
        """Serve in this thread until interrupted.

        :param ready: called with the base URL once connections are accepted.
        """
        self._listen(port)
        if ready is not None:
            ready(self.url)
        self._run()

    def stop(self) -> None:
        """Stop serving; what is in flight is cut off after a second."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> SimulatedStripe:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base URL of the API, the token endpoint and the marketplace.

        :raises RuntimeError: before :meth:`start`.
        """
        if self._socket is None:
            raise RuntimeError("The simulated Stripe does not serve yet: call start()")
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

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
    ) -> AppRecord:
        """Upload an app; see :meth:`.OAuthServer.register_app`."""
        return self.oauth.register_app(
            redirect_uris=redirect_uris,
            permissions=permissions,
            livemode=livemode,
            channel=channel,
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
        spread: Spread = "years",
        small: bool = False,
        events: bool = False,
    ) -> dict[str, int]:
        """Make many linked objects; see :func:`.populate.populate`."""
        return populate(
            self.service.ledger,
            self._space(account or self.account()),
            customers=customers,
            invoices=invoices,
            subscriptions=subscriptions,
            spread=spread,
            small=small,
            events=events,
        )

    def create(
        self,
        account: Account | None,
        kind: str,
        fields: Mapping[str, Any] | None = None,
        *,
        silent: bool = False,
    ) -> JsonObject:
        """Make an object; see :meth:`.Ledger.create`."""
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

        :param kind: a type with a list of its own, ``line_item`` or ``subscription_item`` (all of
            them, whatever is inlined), or ``event`` (visible or not).
        """
        space = self._space(account or self.account())
        with self.service.ledger.lock:
            return control.raw_objects(space, kind)

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
            if kind == "account":
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

    def sign(self, payload: bytes | str, secret: str) -> str:
        """Return the ``Stripe-Signature`` header of a webhook that is sent now."""
        return signing.sign(payload, secret, self.clock.now())

    # -- inside

    def _space(self, account: Account) -> Space:
        if account.id not in self.service.accounts:
            self.service.accounts.append(account.id)
        return self.service.ledger.space(account.id, account.livemode)

    def _listen(self, port: int) -> None:
        if self._socket is not None:
            raise RuntimeError("The simulated Stripe serves already")
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
        self._socket = listener
        self.oauth.marketplace_url = self.url

    def _run(self) -> None:
        import uvicorn

        from airflow_provider_stripe_app.testing.http import Application, Protocol

        assert self._socket is not None  # noqa: S101 - _listen came first
        application = Application(self.service)

        class Server(uvicorn.Server):
            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                application.stop()
                await super().shutdown(sockets)

        config = uvicorn.Config(
            application,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=60,
            backlog=1024,
        )
        self._server = Server(config)
        self._server.run(sockets=[self._socket])
