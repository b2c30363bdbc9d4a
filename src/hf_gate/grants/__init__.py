"""Access that ends: terms, conditions, renewals, and the owner's tables on which they rest.

It computes and records ends. `decisions` takes the access away when an end has come.
"""
