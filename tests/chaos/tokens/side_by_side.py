"""Several cases at once: most of their time they wait for leases and pauses to be over."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping


def side_by_side(cases: Mapping[str, Callable[[], object]]) -> None:
    """Run all cases in threads of their own.

    :param cases: by name.
    :raises AssertionError: with the traces of all that failed.
    """
    failed: dict[str, str] = {}

    def run(name: str, case: Callable[[], object]) -> None:
        try:
            case()
        except BaseException:
            failed[name] = traceback.format_exc()

    threads = [threading.Thread(target=run, args=one) for one in cases.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, "\n\n".join(f"== {name}\n{trace}" for name, trace in failed.items())
