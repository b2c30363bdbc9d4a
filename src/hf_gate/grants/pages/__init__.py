"""The pages of this room in the desk."""
