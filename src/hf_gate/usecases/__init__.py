"""What the desk does, step by step: reads once, thinks, writes once; knows ports, never things."""
