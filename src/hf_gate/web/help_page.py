"""The help page (keys and words), and the choice of the theme."""

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


def set_theme(context: HttpContext) -> Response:
    """Store light or dark in a cookie; any other value follows the system."""
    wanted = context.form_value("theme")
    answer = context.redirect_back()
    is_https = context.app_state.is_https
    if wanted in {"light", "dark"}:
        answer.set_cookie(
            "theme", wanted, max_age=365 * 86_400, httponly=True, samesite="lax", secure=is_https, path="/"
        )
    else:
        answer.delete_cookie("theme", path="/")
    return answer
