"""Commands about ends of access and tables."""
