"""Where commands look connections up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_stripe_app.exceptions import ConfigurationError


@contextmanager
def connections_of_the_database() -> Iterator[None]:
    """Let hooks find connections in the metadata database, as ``airflow connections test`` does.

    :raises ConfigurationError: if there is no connection of a name that is looked for.
    """
    from airflow.sdk.exceptions import AirflowNotFoundException

    name = "_AIRFLOW_PROCESS_CONTEXT"
    before = os.environ.get(name)
    os.environ[name] = "server"
    try:
        yield
    except AirflowNotFoundException as error:
        raise ConfigurationError(f"{str(error).rstrip('.')}: create the connection.") from None
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
