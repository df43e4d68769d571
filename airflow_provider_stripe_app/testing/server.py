"""The simulated Stripe as users and tests hold it: in process, with its HTTP server in a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_stripe_app.testing import control
from airflow_provider_stripe_app.testing.clock import SimClock
from airflow_provider_stripe_app.testing.scripting import DEFAULT_ACCOUNT, Scripting
from airflow_provider_stripe_app.testing.service import Service
from airflow_provider_stripe_app.testing.switches import Switches

if TYPE_CHECKING:
    import uvicorn


class SimulatedStripe(Scripting):
    """A Stripe on this machine, as nasty as the real one.

    ``with SimulatedStripe(seed=1) as sim: requests.get(sim.url + "/v1/customers", …)``

    :param seed: the same seed and the same requests give the same answers.
    :param switches: how to behave; also changed at run time by ``sim.switches.set(…)``.
    :param clock: its time; real time by default.
    """

    def __init__(
        self, seed: int = 0, switches: Switches | None = None, clock: SimClock | None = None
    ) -> None:
        self.seed = seed
        self.clock = clock or SimClock()
        self.switches = switches or Switches()
        self.service = self._new_service()
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

    def reset(self) -> None:
        """Forget all accounts, apps, keys, failures and logs; real time and all switches again.

        The server goes on, at the same URL: one can serve many tests.
        """
        self.switches.reset()
        self.clock.reset()
        self.service = self._new_service()
        if self._socket is not None:
            self.oauth.marketplace_url = self.url
        self.account(DEFAULT_ACCOUNT)

    # -- inside

    def _new_service(self) -> Service:
        return Service(
            self.clock, self.switches, self.seed, lambda request: control.handle(self, request)
        )

    def _listen(self, port: int) -> None:
        if self._socket is not None:
            raise RuntimeError("The simulated Stripe serves already")
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
        self._socket = listener
        self._server = self._new_server()
        self.oauth.marketplace_url = self.url

    def _new_server(self) -> uvicorn.Server:
        import uvicorn

        from airflow_provider_stripe_app.testing.http import Application, Protocol

        application = Application(lambda: self.service)

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
        return Server(config)

    def _run(self) -> None:
        if self._server is not None and self._socket is not None:
            self._server.run(sockets=[self._socket])
