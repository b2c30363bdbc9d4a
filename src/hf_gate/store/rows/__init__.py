"""The rows that several rooms share: requests, repos, runs, queued decisions, the ledger, and pages of a query."""
