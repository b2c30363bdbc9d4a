"""Keys and words; and which theme somebody wants."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from .visit import Visit, local


def page(visit: Visit) -> Response:
    """Every key, what the words mean, and the ladder of brakes."""
    return visit.page("parts/keys.html" if visit.is_part else "keys.html", title="Keys and words")


def theme(visit: Visit) -> Response:
    """Remembers light or dark for this browser; anything else follows the system."""
    wanted = visit.said("theme")
    answer, is_https = RedirectResponse(local(visit.said("next")) or "/queue", 303), visit.office.is_https
    if wanted in {"light", "dark"}:
        answer.set_cookie(
            "theme", wanted, max_age=365 * 86_400, httponly=True, samesite="lax", secure=is_https, path="/"
        )
    else:
        answer.delete_cookie("theme", path="/")
    return answer
