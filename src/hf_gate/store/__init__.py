"""What the workspace remembers: requests, ledger, plans and runs, in SQLite or PostgreSQL."""
