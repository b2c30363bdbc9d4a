"""The help page (keys and words), and the choice of the theme."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from .request_context import RequestContext, local_path


def page(context: RequestContext) -> Response:
    """Show the keys, the words, and when a confirmation is needed."""
    return context.render("parts/keys.html" if context.is_part else "keys.html", title="Keys and words")


def set_theme(context: RequestContext) -> Response:
    """Store light or dark in a cookie; any other value follows the system."""
    wanted = context.form_value("theme")
    answer, is_https = (
        RedirectResponse(local_path(context.form_value("next")) or "/queue", 303),
        context.app_state.is_https,
    )
    if wanted in {"light", "dark"}:
        answer.set_cookie(
            "theme", wanted, max_age=365 * 86_400, httponly=True, samesite="lax", secure=is_https, path="/"
        )
    else:
        answer.delete_cookie("theme", path="/")
    return answer
