"""The revisions, named after their numbers; a released revision never changes."""
