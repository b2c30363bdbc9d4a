"""Deliver one message: by mail, webhook or a chat service."""
