"""The owner's tables: rows, imports, and what a new version changes for people."""
