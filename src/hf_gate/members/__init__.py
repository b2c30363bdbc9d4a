"""The people of the desk: roles, sign-in, sessions, and what each may see and do.

How many people an acceptance needs is decided in `approvals`.
"""
