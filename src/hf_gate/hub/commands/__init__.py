"""The commands that ask the Hub without a workspace."""
