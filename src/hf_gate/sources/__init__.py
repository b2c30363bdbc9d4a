"""Facts from outside a request: shipped lists, the owner's tables, profiles."""
