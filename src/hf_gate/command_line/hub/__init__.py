"""Commands that need the Hub and no workspace."""
