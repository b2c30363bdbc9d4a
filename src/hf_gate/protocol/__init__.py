"""The Hub's protocol for gated repos, as values without I/O; the client and the local Hub share it."""
