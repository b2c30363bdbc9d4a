"""Gate forms and the roles of their fields."""
