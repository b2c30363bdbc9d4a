"""Conditions: parsed, checked, bounded, and compiled to functions in three values."""
