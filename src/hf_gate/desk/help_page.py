"""The help page: keys and words."""

from __future__ import annotations

from starlette.responses import Response

from hf_gate.core.parsing.query import KEYS

from .http_context import HttpContext


def page(context: HttpContext) -> Response:
    """Show the keys, the words, when a confirmation is needed, and on the whole page how to write a query."""
    return context.render(
        "parts/keys.html" if context.is_part else "keys.html",
        title="Keys and words",
        query_keys=KEYS.items(),
    )
