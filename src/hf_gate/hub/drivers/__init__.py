"""Run the flows of the protocol over httpx2, blocking or on an event loop, within limits of time and rate."""
