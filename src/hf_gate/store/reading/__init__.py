"""Reads the rows that several rooms need: requests, repos, runs, the ledger, and pages of a query."""
