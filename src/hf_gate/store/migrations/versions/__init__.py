"""The revisions, each named after its number; what a released one does never changes."""
