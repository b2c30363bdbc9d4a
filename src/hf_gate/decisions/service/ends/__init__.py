"""Changes of ends of access by people: set, confirmed, adopted."""
