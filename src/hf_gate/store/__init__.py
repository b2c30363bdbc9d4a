"""What the desk remembers: requests, ledger, plans and runs, in SQLite or PostgreSQL."""
