"""Commands that show numbers, the status and the audit log."""
