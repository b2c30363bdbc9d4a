"""Pages about letters and reasons."""
