"""Commands that create, check and keep a workspace."""
