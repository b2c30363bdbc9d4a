"""A Hub for gated repos on this machine, for tests and demos: in-memory data, answers, faults and a server."""
