"""What the product does, one module per capability. Each step reads once, computes, and writes once."""
