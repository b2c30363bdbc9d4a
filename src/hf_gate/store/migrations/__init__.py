"""Upgrades stores with older schemas: one Alembic revision for each change of `schema`."""
