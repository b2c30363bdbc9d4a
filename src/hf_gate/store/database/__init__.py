"""Creates, checks and upgrades the tables of a store."""
