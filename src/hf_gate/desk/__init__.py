"""The desk, the web app: its server, routes, security and formatting, and all pages, in folders by subject."""
