"""The desk, the web app: its server, routes, security and formatting; the pages are in `pages` of their rooms."""
