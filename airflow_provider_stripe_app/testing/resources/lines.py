"""The children that are inlined in objects which only scripting makes: as data, one row each."""

from __future__ import annotations

from airflow_provider_stripe_app.testing.resources.model import row

CHILDREN = (
    row(
        "credit_note_line_item",
        "credit_notes/{id}/lines",
        "credit_note",
        "cnli_",
        values="amount=~amount description=~sentence? metadata=~metadata quantity=~small "
        "type=custom_line_item unit_amount=~amount",
    ),
)
