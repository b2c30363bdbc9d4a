"""The Hub client: runs the protocol's flows over httpx2, blocking or async, with the token kept to one origin."""

from __future__ import annotations
