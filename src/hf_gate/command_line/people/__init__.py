"""Commands about people: those who ask, and members."""
