"""Exchanges single calls over httpx2 on an event loop.

It is a module of its own, because asyncio takes 8 ms to load.
"""

from __future__ import annotations

import asyncio
import math

import httpx2

from hf_gate.hub.protocol.messages import Answer, HubCall

from .deadlines import tls_context
from .transport import LIMITS, HubConnection, find_proxy, reject_cookies


class AsyncTransport:
    """Exchanges calls on one event loop."""

    def __init__(self, connection: HubConnection) -> None:
        self._connection = connection
        self._client = httpx2.AsyncClient(
            transport=httpx2.AsyncHTTPTransport(
                verify=tls_context(), limits=LIMITS, proxy=find_proxy(connection.origin)
            ),
            timeout=connection.build_timeouts(),
            follow_redirects=False,
            cookies=reject_cookies(),
        )

    async def exchange(self, send: HubCall, within: float = math.inf) -> Answer:
        """Send one call and return its answer within `within` seconds; failures are answers too."""
        limit = min(self._connection.max_call_s, within)
        try:
            async with asyncio.timeout(limit):
                return await self._exchange(send)
        except TimeoutError:
            return self._connection.too_slow_reply(limit)

    async def _exchange(self, send: HubCall) -> Answer:
        connection = self._connection
        url = connection.origin + send.path
        headers = connection.build_headers(send)
        try:
            sent = connection.clock.now()
            async with self._client.stream(send.method, url, content=send.body, headers=headers) as response:
                connection.clock.record_skew(response.headers, sent)
                chunks = []
                size = 0
                async for chunk in response.aiter_bytes():
                    size += len(chunk)
                    chunks.append(chunk)
                    if size > send.max_bytes:
                        return connection.too_large_reply(send)
                return connection.build_reply(response, b"".join(chunks))
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as problem:
            return connection.failure_reply(problem)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
