"""A Hub for gated repos on this machine, for tests and demos: data in memory, answers, faults and a server."""
