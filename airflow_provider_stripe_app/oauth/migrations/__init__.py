"""Alembic migrations of the provider's own tables."""
