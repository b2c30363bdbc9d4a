"""Calls and messages that leave the workspace for services that watch it."""
