"""Calls and messages that leave the workspace: notices, letters and heartbeats."""
