"""A plan as a value: its changes, limits, digest and text."""
