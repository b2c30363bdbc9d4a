"""Stores, executes, settles, retries and undoes runs of changes."""
