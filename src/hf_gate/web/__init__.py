"""The desk, the web app: server-rendered pages, one module each, on top of the application."""
