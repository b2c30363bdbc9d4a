"""Evaluates the rules of a repo on the facts of a request."""
