"""The write transaction: stores events, and updates in it every row, count and message that depends on them."""
