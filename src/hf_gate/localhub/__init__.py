"""A Hub for gated repos on this machine: its world in memory, its answers, its tantrums and its HTTP skin."""
