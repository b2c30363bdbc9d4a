"""Pages and threads that decide: bulk, plans, runs, the tray."""
