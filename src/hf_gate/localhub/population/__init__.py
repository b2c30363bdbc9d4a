"""The invented people, answers and gates of a local Hub."""
