"""How stores of earlier shapes become stores of today's: one Alembic revision for each change of `schema`."""
