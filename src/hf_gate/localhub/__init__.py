"""A Hub for gated repos on this machine, for tests and demos: its data in memory, its answers, its faults and its server."""
