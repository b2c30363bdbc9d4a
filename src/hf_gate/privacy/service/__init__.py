"""What the product does here: each step reads once, computes, and writes once."""
