"""The answers of the local Hub, by the kind of call."""
