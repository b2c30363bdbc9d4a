"""Accounts, members, sign-ins, approvals, and the terms on which people have access."""
