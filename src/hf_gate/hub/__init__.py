"""The Hub client: runs the protocol's flows over httpx2, blocking or async. It sends the token to one origin only."""
