"""Stores requests, the ledger, plans and runs of a workspace in SQLite or PostgreSQL."""
