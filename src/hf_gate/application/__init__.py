"""What the product does, one module a capability: each step reads once, computes, writes once."""
