"""Facts from outside a request: lists of domains, profiles, and files of policies."""
