"""Rotation of the Fernet key for the provider's own tables.

``airflow rotate-fernet-key`` knows only Airflow's tables; run this after it and before the old key
is taken out of ``[core] fernet_key``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from airflow_provider_stripe_app.oauth.cipher import seal, unseal
from airflow_provider_stripe_app.oauth.database import transaction
from airflow_provider_stripe_app.oauth.models import Installation

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_SEALED = ("access_token_sealed", "refresh_token_sealed", "broker_token_sealed")


def rotate_keys() -> int:
    """Seal the tokens of all installations again, with the first Fernet key.

    Safe while tokens are renewed: a row that changes meanwhile is done again.

    :return: how many installations there are.
    :raises ConfigurationError: if a token cannot be decrypted with any of the keys.
    """
    ids = transaction(lambda session: list(session.scalars(select(Installation.id))))
    for row_id in ids:
        while not transaction(partial(_rotate, row_id=row_id)):
            pass
    return len(ids)


def _rotate(session: Session, *, row_id: int) -> bool:
    row = session.get(Installation, row_id)
    if row is None:
        return True
    values = {name: seal(unseal(getattr(row, name))) for name in _SEALED}
    # The version stays: a renewal under way must not lose its lease to this.
    unchanged = [getattr(Installation, name) == getattr(row, name) for name in _SEALED]
    result = session.execute(
        update(Installation)
        .where(Installation.id == row_id, *unchanged)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]
