"""Notices and letters as values: what each tells, its limits, and the state of a message that waits."""
