"""Pages about policies and their verdicts."""
