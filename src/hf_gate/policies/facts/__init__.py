"""The facts that a condition can read: their table, their values, and the owner's tables."""
