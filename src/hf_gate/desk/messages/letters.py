"""Letters to applicants in the desk: each text, who would get it, and letters whose outcome is unknown.

Nothing is sent.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from hf_gate.core.letters.messages import MessageState
from hf_gate.desk.http_context import HttpContext, require_all_repos
from hf_gate.messages.service.letters import list_samples
from hf_gate.messages.service.message_records import list_messages, preview_letters

_SHOWN: Final = 50


def page(context: HttpContext) -> Response:
    """Show the letters of the workspace to an admin of all repos."""
    require_all_repos(context, "Only an admin of all repos sees letters to applicants.")
    workspace = context.workspace
    config = workspace.location.config.letters
    return context.render(
        "letters.html",
        title="Letters",
        config=config,
        samples=list_samples(workspace),
        due=preview_letters(workspace, _SHOWN),
        problems=[
            letter
            for letter in list_messages(workspace, _SHOWN, is_letter=True)
            if letter.state != MessageState.WAITING
        ],
        shown=_SHOWN,
        headers={"cache-control": "no-store"},
    )
