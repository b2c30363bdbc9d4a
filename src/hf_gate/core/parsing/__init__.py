"""Literals, YAML with positions, and the query language: text that people write, as values or as one clear problem."""
