"""Real ``airflow api-server`` processes in front of one metadata database."""

from __future__ import annotations

from pathlib import Path

from demo.processes import ManagedProcess, wait_for
from tests.chaos.tokens.sizes import LONG
from tests.chaos.tokens.world import World


class Replica:
    """One ``airflow api-server``.

    :param world: its deployment.
    :param name: names its files.
    :param workers: its processes.
    """

    def __init__(self, world: World, name: str, workers: int) -> None:
        self._world = world
        self.workers = workers
        self.process: ManagedProcess
        self.url: str
        self._kill_file: Path
        self.process, self.url, self._kill_file = world.api_server(name, workers)

    def ready(self) -> None:
        """Wait until plugin and Execution API answer; the first request builds the latter."""
        self._world.wait_for_api_server(self.process, self.url)

    def order_kill(self, step: str) -> None:
        """Let one of its processes end itself when it reaches a step."""
        part = self._kill_file.with_suffix(".new")
        part.write_text(step)
        part.replace(self._kill_file)

    def wait_for_kill(self) -> None:
        """Wait until one of its processes has reached the step."""
        wait_for(lambda: not self._kill_file.exists(), 180, "the step to be reached")

    def restart(self) -> None:
        """Start it again after its only process was killed."""
        self.process.stop(0)
        self.process.start()
        self.ready()


class Replicas:
    """One with two processes and, in the long version, another one. Use it as a context manager.

    :param world: a deployment on PostgreSQL.
    """

    def __init__(self, world: World) -> None:
        self.first = Replica(world, "replica-1", workers=2)
        self.all = [self.first, *([Replica(world, "replica-2", workers=1)] if LONG else [])]

    @property
    def urls(self) -> list[str]:
        return [one.url for one in self.all]

    def __enter__(self) -> Replicas:
        for one in self.all:
            one.ready()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.all:
            one.process.stop(3)
