"""Pages of numbers, access and the audit log."""
