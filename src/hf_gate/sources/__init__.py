"""Facts from outside a request: lists shipped with hf-gate, the owner's tables, and profiles."""
