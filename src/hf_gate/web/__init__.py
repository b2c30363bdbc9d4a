"""The desk in the browser: one module a page, server-rendered; knows the application and the store, never a Hub call of its own."""
