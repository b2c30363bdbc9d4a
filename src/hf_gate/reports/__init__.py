"""Numbers about the workspace: status, overview, charts and metrics. Nothing here changes anything."""
