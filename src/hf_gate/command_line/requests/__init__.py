"""Commands that read, list, show and review requests."""
