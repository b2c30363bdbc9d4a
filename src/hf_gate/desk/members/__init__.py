"""Sign-in, sessions and the page of settings."""
