"""Pages about ends of access and tables."""
